//! `linstor key-value-store`: properties that other programs store in the controller.

use linstor_api::key_value_store::KeyValueStore;

use super::list_options::PASTABLE;
use crate::action::{Action, read};
use crate::define::{Arg, Command, Names, group, list, own, value};
use crate::output::table::Cell;
use crate::request::Request;

const INSTANCE: Arg = value("instance", "Name of the store").of(Names::KeyValueStore);

pub const KEY_VALUE_STORE: Command = group(
    "key-value-store kv",
    "Key-value stores: properties that other programs store in the controller",
    &[
        list(
            "List the stores",
            "GET key-value-store",
            &[PASTABLE],
            |given, answer, screen| {
                let mut table = given.table(screen, &["Name"]).group_by(&[]);
                for store in read::<Vec<KeyValueStore>>(answer)? {
                    table.row(vec![Cell::from(store.name)]);
                }
                screen.table(table)
            },
        ),
        own(
            "show s",
            "Show what a store holds",
            &[INSTANCE, PASTABLE],
            |given| {
                let name = given.need("instance").to_owned();
                Ok(Action::Properties {
                    request: Request::get(&["key-value-store"]),
                    pastable: given.has("pastable"),
                    find: Box::new(move |answer| {
                        let stores: Vec<KeyValueStore> = read(answer)?;
                        let found = stores
                            .into_iter()
                            .find(|store| store.name.eq_ignore_ascii_case(&name));
                        Ok(Some(found.map(|store| store.props).unwrap_or_default()))
                    }),
                })
            },
        ),
        own(
            "modify m",
            "Set a key, or remove it",
            &[
                INSTANCE,
                value("key", "The key"),
                value("value", "Its new value; without one it is removed").maybe(),
            ],
            |given| {
                let change = super::property::change(
                    given.need("key"),
                    given.text("value").unwrap_or_default(),
                );
                Action::modify(Request::put(
                    &["key-value-store", given.need("instance")],
                    &change,
                ))
            },
        ),
    ],
);
