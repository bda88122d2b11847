//! Tokens with which callers of the REST API authenticate. Only their hashes are stored.

use std::collections::BTreeMap;
use std::net::IpAddr;

use linstor_api::prop;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Model;
use crate::model::RowKey;
use crate::name::NodeName;

/// All tokens, in one row: there are few of them, and what is decided is decided about all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthTokens {
    /// Id of the last token that was made: ids are not used again.
    pub last_id: u32,
    /// Tokens by id.
    #[serde(default)]
    pub tokens: BTreeMap<u32, AuthToken>,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthToken {
    /// Its hash ([`linstor_wire::auth_token::hash`]); none while the satellite that it is for has not got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// What it is for.
    pub description: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// From when on it is not valid any more, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// The only address from which it is valid. Without one a satellite's token is valid from its node's address, a user's
    /// from everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_filter: Option<IpAddr>,
    /// Whether it is switched on.
    pub active: bool,
    /// The node whose satellite it is for; a user's has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<TokenNode>,
    /// A satellite's token that was revoked stays here, or the satellite would get another one when it connects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

/// The node of a satellite's token. A node that was deleted and created again is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenNode {
    /// Its name.
    pub name: NodeName,
    /// Its identity.
    pub uuid: Uuid,
}

impl AuthTokens {
    /// Adds a token and returns its id.
    pub fn add(&mut self, token: AuthToken) -> u32 {
        self.last_id += 1;
        self.tokens.insert(self.last_id, token);
        self.last_id
    }

    /// The token of a node's satellite.
    pub fn of_node(&self, node: Uuid) -> Option<(u32, &AuthToken)> {
        let mut tokens = self.tokens.iter();
        let found = tokens.find(|(_, token)| token.node.as_ref().is_some_and(|n| n.uuid == node));
        found.map(|(id, token)| (*id, token))
    }
}

impl AuthToken {
    /// A token for a node's satellite, which has not got it yet.
    pub fn for_satellite(name: NodeName, uuid: Uuid, created_at: u64) -> Self {
        AuthToken {
            hash: None,
            description: format!("satellite:{name}"),
            created_at,
            expires_at: None,
            ip_filter: None,
            active: true,
            node: Some(TokenNode { name, uuid }),
            revoked: false,
        }
    }

    /// Whether it exists for callers: it was not revoked, nor was its node deleted.
    pub fn is_known(&self, model: &Model) -> bool {
        let node = self.node.as_ref();
        let has_node = |node: &TokenNode| {
            let row = model.node(&node.name);
            row.is_some_and(|row| row.uuid == node.uuid)
        };
        !self.revoked && node.is_none_or(has_node)
    }

    /// Whether it is valid at a time, whoever sends it.
    pub fn is_valid(&self, model: &Model, now_ms: u64) -> bool {
        self.active && self.expires_at.is_none_or(|at| now_ms < at) && self.is_known(model)
    }

    /// The only address from which it is valid.
    pub fn from_address(&self, model: &Model) -> Option<IpAddr> {
        let of_node = || {
            let row = model.node(&self.node.as_ref()?.name)?;
            let active = row.net_interfaces.iter().find(|net_if| net_if.active);
            active.map(|net_if| net_if.address)
        };
        self.ip_filter.or_else(of_node)
    }
}

impl Model {
    /// Whether callers of the REST API have to authenticate: it is switched on, and there is a token of a user. Tokens that
    /// cannot be read count: a damaged row must not open the API.
    pub fn needs_auth_token(&self) -> bool {
        let on = self.controller.props.get(prop::TOKEN_AUTHENTICATION);
        let users = || {
            let mut tokens = self.auth_tokens.tokens.values();
            tokens.any(|token| token.node.is_none() && token.is_known(self))
        };
        on.is_some_and(|value| value.eq_ignore_ascii_case(prop::TRUE))
            && (users() || self.held.refuses(&RowKey::AuthTokens, false).is_some())
    }

    /// Whether a caller at an address may use the REST API with the token of this hash.
    pub fn accepts_auth_token(&self, hash: &str, from: Option<IpAddr>, now_ms: u64) -> bool {
        let mut tokens = self.auth_tokens.tokens.values();
        tokens.any(|token| {
            token.hash.as_deref() == Some(hash)
                && token.is_valid(self, now_ms)
                && token
                    .from_address(self)
                    .is_none_or(|address| Some(address.to_canonical()) == from)
        })
    }

    /// Whether a user has a valid token.
    pub fn has_valid_user_token(&self, now_ms: u64) -> bool {
        let mut tokens = self.auth_tokens.tokens.values();
        tokens.any(|token| token.node.is_none() && token.is_valid(self, now_ms))
    }
}
