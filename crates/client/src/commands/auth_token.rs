//! `linstor controller auth`: tokens of the REST API. An addition to LINSTOR's command line.

use linstor_api::auth_token::AuthTokenList;

use super::list_options::PASTABLE;
use crate::action::{Screen, read};
use crate::define::{Arg, Command, Given, flag, group, modify, object, option, value};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;

const DESCRIPTION: Arg = option("--description -d", "What it is for").body("description");
const ADDRESS: Arg = option("--ip-filter", "Only from this address").body("ip_filter");
const ID: Arg = value(
    "id",
    "Number of the token, as 'controller auth list' shows it",
);
const ONE: &str = "PUT controller/auth/token/{id}";

pub const AUTH: Command = group(
    "auth a",
    "Authentication by tokens",
    &[
        modify(
            "initialize i init",
            "Demand tokens from now on; prints the first one",
            "POST controller/auth/initialize-token-auth",
            &[
                DESCRIPTION,
                flag("--only-satellites", "Only distribute tokens to satellites")
                    .body("only_satellites"),
                flag("--no-https", "Do not enable HTTPS").body("no_https"),
            ],
        ),
        modify(
            "create c",
            "Create a token; it is printed only this once",
            "POST controller/auth/token",
            &[
                value("description", "What it is for")
                    .maybe()
                    .body("description"),
                ADDRESS,
                option(
                    "--expires-at -e",
                    "Day after which it is not valid: 2027-01-31",
                )
                .body("expires_at"),
            ],
        ),
        object(
            "list l",
            "List the tokens",
            "GET controller/auth/token",
            &[PASTABLE],
            show,
        ),
        modify(
            "modify m",
            "Change a token",
            ONE,
            &[ID, DESCRIPTION, ADDRESS],
        ),
        modify("enable en", "Accept a token again", ONE, &[ID, ACTIVE]),
        modify("disable dis", "Do not accept a token", ONE, &[ID, INACTIVE]),
        modify(
            "delete d",
            "Delete a token",
            "DELETE controller/auth/token/{id}",
            &[ID],
        ),
    ],
);
const ACTIVE: Arg = crate::define::always_bool("is_active", true);
const INACTIVE: Arg = crate::define::always_bool("is_active", false);

fn show(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let tokens: AuthTokenList = read(answer)?;
    let columns = ["Id", "Description", "CreatedAt", "ExpiresAt", "IpFilter"];
    let mut table = given
        .table(screen, &columns)
        .colored("State", Color::DarkGreen)
        .group_by(&[]);
    for token in tokens.list.unwrap_or_default() {
        table.row(vec![
            token.id.to_string().into(),
            token.description.unwrap_or_default().into(),
            token.created_at.into(),
            token.expires_at.unwrap_or_default().into(),
            token.ip_filter.unwrap_or_default().into(),
            match token.is_active {
                true => "Active".into(),
                false => Cell::colored("Inactive", Color::Yellow),
            },
        ]);
    }
    screen.table(table)
}
