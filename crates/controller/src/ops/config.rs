//! The controller's settings: shown, and its log level changed while it runs.

use linstor_api::code;
use linstor_api::config::{ControllerConfig as Json, Db, Debug, Directory, Http, Ldap, Log};
use linstor_api::reply::Reply;

use super::request::Context;
use crate::cluster::Cluster;
use crate::config::Database;
use crate::log;
use crate::transaction::Refusal;

/// Levels of the log.
const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// The settings.
pub fn show(cluster: &Cluster) -> Json {
    let config = cluster.shared.config.as_ref();
    let server = config.and_then(|config| config.http);
    let url = config.and_then(|config| match &config.database {
        Database::File(path) => Some(format!("sqlite:{}", path.display())),
        Database::Memory => None,
    });
    let level = log::level().map(|level| level.to_ascii_uppercase());
    Json {
        config: Some(Directory {
            dir: config.map(|config| config.directory.display().to_string()),
        }),
        debug: Some(Debug {
            console_enabled: Some(false),
        }),
        log: Some(Log {
            level: level.clone(),
            level_linstor: level,
            ..Log::default()
        }),
        db: Some(Db {
            in_memory: url.is_none().then(|| "sqlite".to_owned()),
            connection_url: url,
            ..Db::default()
        }),
        http: Some(Http {
            enabled: Some(server.is_some()),
            listen_address: server
                .and_then(|server| server.address)
                .map(|address| address.to_string()),
            port: server.map(|server| i32::from(server.port)),
        }),
        https: Some(Http {
            enabled: Some(false),
            ..Http::default()
        }),
        ldap: Some(Ldap {
            enabled: Some(false),
            ..Ldap::default()
        }),
    }
}

/// Changes the level of the log.
pub async fn modify(request: Json) -> Vec<Reply> {
    let work = async {
        let Some(wanted) = request.log else {
            let message = "The request has no level of the log.";
            return Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
                .cause("Nothing else can be changed while the controller runs.")
                .correction("Give 'log' with 'level', or change linstor.toml and start again.")
                .plain()
                .into());
        };
        let global = wanted.level_linstor_global.or(wanted.level_global);
        let level = wanted.level_linstor.or(wanted.level).or(global);
        if let Some(level) = level {
            log::set_level(known(&level)?);
        }
        let message = "Successfully updated controller config";
        let until =
            "The level of the log is what linstor.toml says when the controller starts again.";
        Ok(vec![Reply::new(code::MODIFIED, message).details(until)])
    };
    Context::new(code::MASK_CTRL_CONF | code::MASK_MOD, "Controller")
        .run(work)
        .await
}

fn known(level: &str) -> Result<&'static str, Refusal> {
    let found = LEVELS
        .iter()
        .find(|known| level.eq_ignore_ascii_case(known));
    found.copied().ok_or_else(|| {
        let message = format!("The log level '{}' is invalid.", level.escape_debug());
        let reply = Reply::new(code::FAIL_INVLD_CONF, message);
        let known = format!("Use one of {}.", LEVELS.join(", "));
        reply.correction(known).plain().into()
    })
}
