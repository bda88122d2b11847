//! Tokens with which callers of the API authenticate. A token is in the answer that makes it, and nowhere else.

use std::net::IpAddr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use linstor_api::auth_token::{
    AuthToken as Json, AuthTokenCreate, AuthTokenList, AuthTokenModify, InitAuthToken,
};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::{AuthToken, AuthTokens, Controller, Model};
use linstor_wire::Secret;
use linstor_wire::auth_token::{from_random, hash};

use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::https;
use crate::transaction::{Refusal, Transaction};

/// What the first token is for if the request does not say it.
const FIRST: &str = "init-client";
/// The longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1024;
/// How a date begins.
const DATE_CHARS: usize = "2025-12-31".len();

/// LINSTOR's replies about tokens have neither operation and object bits nor references.
fn context() -> Context {
    Context::new(0, "")
}

/// Whether a caller at an address may use the API with the token that it sent, if any.
///
/// # Errors
///
/// The reply to a caller who may not.
pub fn check(cluster: &Cluster, token: Option<&str>, from: Option<IpAddr>) -> Result<(), Reply> {
    let model = cluster.model();
    let config = cluster.shared.config.as_ref();
    if config.is_some_and(|config| !config.token_authentication) || !model.needs_auth_token() {
        return Ok(());
    }
    let now = cluster.env().now_ms();
    if token.is_some_and(|token| model.accepts_auth_token(&hash(token), from, now)) {
        return Ok(());
    }
    let message = "Unauthorized: token invalid or not provided";
    Err(Reply::new(code::FAIL_ACC_DENIED_COMMAND, message)
        .cause("Callers of this controller have to authenticate with a token that is valid for their address.")
        .correction("Send the header 'Authorization: Bearer TOKEN'."))
}

/// All tokens that were not revoked.
pub fn list(cluster: &Cluster) -> AuthTokenList {
    let model = cluster.model();
    let tokens = model.auth_tokens.tokens.iter();
    let known = tokens.filter(|(_, token)| token.is_known(&model));
    let list: Vec<Json> = known.map(|(id, token)| show(&model, *id, token)).collect();
    AuthTokenList {
        count: list.len() as u64,
        list: Some(list),
    }
}

fn show(model: &Model, id: u32, token: &AuthToken) -> Json {
    let time = |ms: u64| {
        let time = i64::try_from(ms).ok();
        let time = time.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        time.unwrap_or(jiff::Timestamp::MAX).to_string()
    };
    Json {
        id,
        created_at: time(token.created_at),
        is_active: token.active,
        expires_at: token.expires_at.map(time),
        description: Some(token.description.clone()),
        ip_filter: token.from_address(model).map(|ip| ip.to_string()),
        is_user_token: token.node.is_none(),
    }
}

/// Makes a token for a user. Authentication is not switched on by it.
pub async fn create(cluster: &Cluster, request: AuthTokenCreate) -> Vec<Reply> {
    let now = cluster.env().now_ms();
    let parse = || {
        let Some(text) = request.description.as_deref() else {
            let message = "The token has no description.";
            return Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
                .cause("The request has no 'description'.")
                .correction("Send what the token is for as 'description'.")
                .into());
        };
        let expires_at = request.expires_at.as_deref();
        let expires_at = expires_at.map(|text| expiry(text, now)).transpose()?;
        Ok((
            description(text)?,
            expires_at,
            address(request.ip_filter.as_deref())?,
        ))
    };
    let plan = context().change(
        cluster,
        parse,
        |tx, (description, expires_at, ip_filter)| {
            let (secret, token) = of_user(tx, description);
            let mut row = AuthTokens::clone(&tx.auth_tokens);
            row.add(AuthToken {
                expires_at,
                ip_filter,
                ..token
            });
            tx.put_auth_tokens(row);
            let message = format!("Auth token created successfully: {}", secret.reveal());
            tx.reply(Reply::new(code::CREATED, message).about("token", secret.reveal()));
            Ok(Wait::Nothing)
        },
    );
    plan.await
}

/// Changes a token.
pub async fn modify(cluster: &Cluster, id: &str, request: AuthTokenModify) -> Vec<Reply> {
    let parse = || {
        let id = number(id)?;
        let text = request.description.as_deref();
        let text = text.map(description).transpose()?;
        let filter = request.ip_filter.as_deref();
        let filter = filter.map(|text| address(Some(text))).transpose()?;
        Ok((id, text, filter, request.is_active))
    };
    let plan = context().change(cluster, parse, |tx, (id, description, filter, active)| {
        let mut row = AuthTokens::clone(&tx.auth_tokens);
        let known = row.tokens.get_mut(&id);
        let Some(token) = known.filter(|token| token.is_known(tx)) else {
            return Err(
                Reply::new(code::FAIL_NOT_FOUND_NODE, "Auth token not found")
                    .cause("The specified auth token does not exist")
                    .correction("See /v1/controller/auth/token for the ids of tokens.")
                    .into(),
            );
        };
        if let Some(description) = description {
            token.description = description;
        }
        if let Some(filter) = filter {
            token.ip_filter = filter;
        }
        token.active = active.unwrap_or(token.active);
        put(tx, row)?;
        tx.reply(Reply::new(
            code::MODIFIED,
            "Auth token modified successfully",
        ));
        Ok(Wait::Nothing)
    });
    plan.await
}

/// Revokes a token.
pub async fn delete(cluster: &Cluster, id: &str) -> Vec<Reply> {
    let plan = context().change(
        cluster,
        || number(id),
        |tx, id| {
            let mut row = AuthTokens::clone(&tx.auth_tokens);
            let known = row.tokens.get_mut(&id);
            let Some(token) = known.filter(|token| token.is_known(tx)) else {
                let message = "Auth token not found or already revoked";
                return Err(Reply::new(code::WARN_NOT_FOUND, message)
                    .cause("The specified auth token does not exist or was already revoked")
                    .into());
            };
            match token.node {
                Some(_) => token.revoked = true,
                None => drop(row.tokens.remove(&id)),
            }
            put(tx, row)?;
            tx.reply(Reply::new(code::DELETED, "Auth token revoked successfully"));
            Ok(Wait::Nothing)
        },
    );
    plan.await
}

/// Switches authentication on: has HTTPS served unless the request says otherwise, and makes a token for the caller and one for
/// each satellite, which the satellite is given when it is connected.
pub async fn initialize(cluster: &Cluster, request: InitAuthToken) -> Vec<Reply> {
    let satellites = request.only_satellites;
    let over_https = !request.no_https && !satellites;
    if over_https
        && !cluster.model().needs_auth_token()
        && let Err(reason) = cluster.shared.https.ensure().await
    {
        let message = "Token authentication cannot be initialized with HTTPS.";
        return vec![Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause(format!(
                "HTTPS is not served: {reason}. Tokens would be sent unencrypted."
            ))
            .correction(
                "Nothing was changed. Have HTTPS served, by section [https] of linstor.toml, or send 'no_https' with the value \
                 true if the network may be trusted.",
            )];
    }
    let parse = || description(request.description.as_deref().unwrap_or(FIRST));
    let plan = context().change(cluster, parse, move |tx, description| {
        let needed = tx.needs_auth_token();
        if needed && !satellites {
            let message = "Token authentication is already initialized";
            return Err(Reply::new(code::WARN_NO_EFFECT, message)
                .correction("Create tokens with POST /v1/controller/auth/token.")
                .into());
        }
        let mut row = AuthTokens::clone(&tx.auth_tokens);
        let mut done = Reply::new(code::CREATED, "The tokens of the satellites are made anew.");
        if !satellites {
            let (secret, token) = of_user(tx, description);
            row.add(token);
            let message = "Token authentication initialized successfully. Init token";
            done.message = format!("{message} {}", secret.reveal());
            done = done.about("token", secret.reveal());
            let mut controller = Controller::clone(&tx.controller);
            let (key, value) = (prop::TOKEN_AUTHENTICATION, prop::TRUE);
            controller.props.insert(key.to_owned(), value.to_owned());
            if over_https {
                controller
                    .props
                    .insert(https::AUTO.to_owned(), value.to_owned());
            }
            tx.put_controller(controller);
        }
        row.tokens.retain(|_, token| token.node.is_none());
        let now = tx.now_ms;
        for node in tx
            .nodes
            .values()
            .filter(|node| node.node_type.has_satellite())
        {
            row.add(AuthToken::for_satellite(node.name.clone(), node.uuid, now));
        }
        tx.put_auth_tokens(row);
        tx.reply(done);
        Ok(Wait::Nothing)
    });
    let replies = plan.await;
    if over_https && replies.iter().any(|reply| code::is_error(reply.ret_code)) {
        // What was begun for this alone ends. Where it does not, the log has why.
        let _ = cluster.shared.https.follow().await;
    }
    replies
}

/// A new token of a user, itself and as it is stored.
fn of_user(tx: &Transaction<'_>, description: String) -> (Secret, AuthToken) {
    let secret = from_random(tx.random());
    let token = AuthToken {
        hash: Some(hash(secret.reveal())),
        description,
        created_at: tx.now_ms,
        expires_at: None,
        ip_filter: None,
        active: true,
        node: None,
        revoked: false,
    };
    (secret, token)
}

/// Stores the tokens, unless nobody could use the API afterwards.
fn put(tx: &mut Transaction<'_>, row: AuthTokens) -> Result<(), Refusal> {
    let (needed, now) = (tx.needs_auth_token(), tx.now_ms);
    tx.put_auth_tokens(row);
    if !needed || tx.has_valid_user_token(now) {
        return Ok(());
    }
    let message = "The last valid token of a user cannot be revoked or switched off.";
    let key = prop::TOKEN_AUTHENTICATION;
    Err(Reply::new(code::FAIL_IN_USE, message)
        .cause("Authentication is switched on: nobody could use the API without it.")
        .correction(format!(
            "Create another token first, or set the property '{key}' of the controller to False."
        ))
        .into())
}

fn number(id: &str) -> Result<u32, Refusal> {
    id.parse().map_err(|_| {
        let message = format!("'{}' is not the id of a token.", id.escape_debug());
        Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause("Ids are whole numbers.")
            .correction("See /v1/controller/auth/token for the ids of tokens.")
            .into()
    })
}

fn description(text: &str) -> Result<String, Refusal> {
    match text.chars().count() <= DESCRIPTION_CHARS_MAX {
        true => Ok(text.to_owned()),
        false => Err(Reply::new(
            code::FAIL_INVLD_CONF,
            "The description of the token is too long.",
        )
        .cause(format!(
            "It has at most {DESCRIPTION_CHARS_MAX} characters."
        ))
        .correction("Use a shorter description.")
        .into()),
    }
}

/// Midnight at the beginning of a date, in milliseconds since the Unix epoch.
fn expiry(text: &str, now_ms: u64) -> Result<u64, Refusal> {
    let invalid = |cause: &str| {
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        let message = format!("Invalid expiration date format: {shown}");
        Refusal::from(
            Reply::new(code::FAIL_INVLD_CONF, message)
                .cause(cause)
                .correction("Give the first day on which the token is not valid any more."),
        )
    };
    let date = text.get(..DATE_CHARS).unwrap_or(text);
    let date: Option<Date> = date.parse().ok();
    let time = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let time = time.ok_or_else(|| {
        invalid("The expiration date must start with a valid date (e.g., 2025-12-31)")
    })?;
    let ms = u64::try_from(time.timestamp().as_millisecond()).unwrap_or(0);
    match ms > now_ms {
        true => Ok(ms),
        false => Err(invalid("The expiration date must be in the future")),
    }
}

/// An address; none of an empty text.
fn address(text: Option<&str>) -> Result<Option<IpAddr>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        Reply::new(code::FAIL_INVLD_CONF, format!("Invalid IP filter: {shown}"))
            .cause("The IP filter must be a valid IPv4 or IPv6 address")
            .correction("Give one address without a prefix length.")
            .into()
    })
}
