//! Tokens with which callers authenticate.

use crate::lenient::object;

object! {
    /// `POST /v1/controller/auth/initialize-token-auth`: switches authentication on.
    pub struct InitAuthToken {
        /// Only make the tokens of satellites anew.
        pub only_satellites: bool,
        /// What the first token is for; `init-client` when it is not given.
        pub description: Option<String>,
        /// Without HTTPS: tokens are sent unencrypted.
        pub no_https: bool,
    }

    /// A new token.
    pub struct AuthTokenCreate {
        /// What it is for.
        pub description: Option<String>,
        /// Its first day on which it is not valid any more, in UTC. A time of day is not regarded.
        pub expires_at: Option<String>,
        /// The only address from which it is valid.
        pub ip_filter: Option<String>,
    }

    /// Changes of a token.
    pub struct AuthTokenModify {
        /// What it is for.
        pub description: Option<String>,
        /// The only address from which it is valid; an empty text removes it.
        pub ip_filter: Option<String>,
        /// Whether it is switched on.
        pub is_active: Option<bool>,
    }

    /// A token as it is listed: never itself.
    pub struct AuthToken {
        /// Its id.
        pub id: u32,
        /// When it was made, as RFC 3339 has it.
        pub created_at: String,
        /// Whether it is switched on.
        pub is_active: bool,
        /// When it ends, as RFC 3339 has it.
        pub expires_at: Option<String>,
        /// What it is for.
        pub description: Option<String>,
        /// The only address from which it is valid.
        pub ip_filter: Option<String>,
        /// Whether it is a user's, not a satellite's.
        pub is_user_token: bool,
    }

    /// All tokens.
    pub struct AuthTokenList {
        /// How many there are.
        pub count: u64,
        /// The tokens, in the order of their ids.
        pub list: Option<Vec<AuthToken>>,
    }
}
