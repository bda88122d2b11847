//! The settings of the controller and of satellites: shown, and the level of the log changed while a program runs.

use linstor_api::code;
use std::time::Duration;

use linstor_api::config::{
    ControllerConfig as Json, Db, Debug, Directory, Http, Ldap, Log, Net, SatelliteConfig,
};
use linstor_api::kind::Encryption;
use linstor_api::reply::Reply;
use linstor_model::name::NodeName;
use linstor_wire::question::{Answer, Question};
use tokio::time::Instant;

use super::name;
use super::request::Context;
use crate::cluster::Cluster;
use crate::config::Database;
use crate::transaction::Refusal;
use crate::wait::not_answered;
use linstor_log as log;

/// How long a satellite may take to show or change its settings.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// What ends with the program.
const UNTIL: &str =
    "The level of the log is what the program's file of settings says when it starts again.";

/// The settings.
pub fn show(cluster: &Cluster) -> Json {
    let config = cluster.shared.config.as_ref();
    let server = config.and_then(|config| config.http);
    let secure = cluster.shared.https.port();
    let https = config.and_then(|config| config.https.as_ref());
    let listens = https.and_then(|https| https.listen.address);
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
            enabled: Some(secure.is_some()),
            listen_address: secure.and(listens).map(|address| address.to_string()),
            port: secure.map(i32::from),
        }),
        ldap: Some(Ldap {
            enabled: Some(false),
            ..Ldap::default()
        }),
    }
}

/// Changes the level of the log, also of all satellites where a global one is given.
pub async fn modify(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let work = async {
        let wanted = request.log.ok_or_else(no_level)?;
        let global = known_of(wanted.level_linstor_global.or(wanted.level_global))?;
        if let Some(level) = known_of(wanted.level_linstor.or(wanted.level))?.or(global) {
            log::set_level(level);
        }
        let mut replies = Vec::new();
        if let Some(level) = global {
            let model = cluster.model();
            let nodes = model.satellites().map(|node| &node.name);
            let asked = nodes.map(|node| set_level(cluster, node, level));
            let asked = futures::future::join_all(asked).await.into_iter();
            replies.extend(asked.filter_map(Result::err));
        }
        let message = "Successfully updated controller config";
        replies.insert(0, Reply::new(code::MODIFIED, message).details(UNTIL));
        Ok(replies)
    };
    Context::new(code::MASK_CTRL_CONF | code::MASK_MOD, "Controller")
        .run(work)
        .await
}

/// The settings of a node's satellite.
pub async fn show_satellite(cluster: &Cluster, name: &str) -> Result<SatelliteConfig, Refusal> {
    let node = name::node(name)?;
    let model = cluster.model();
    let interfaces = &name::known_node(&model, &node)?.net_interfaces;
    let active = interfaces.iter().find(|row| row.active);
    let encrypted = active.is_some_and(|row| row.encryption == Some(Encryption::Ssl));
    let deadline = Instant::now() + ANSWER_MAX;
    if !cluster.observed().is_online(&node) {
        let message = format!("Node '{node}' is offline.");
        return Err(Reply::new(code::WARN_NOT_CONNECTED | code::MASK_NODE, message).into());
    }
    let settings = match cluster.ask(&node, Question::Settings, deadline).await? {
        Answer::Settings(settings) => settings,
        answer => return Err(not_answered(&node, answer).into()),
    };
    let level = settings.log_level.map(|level| level.to_ascii_uppercase());
    Ok(SatelliteConfig {
        config: Some(Directory {
            dir: Some(settings.directory),
        }),
        debug: Some(Debug {
            console_enabled: Some(false),
        }),
        log: Some(Log {
            level: level.clone(),
            level_linstor: level,
            ..Log::default()
        }),
        stlt_override_node_name: Some(String::new()),
        remote_spdk: Some(false),
        ebs: Some(false),
        special_satellite: Some(false),
        drbd_keep_res_pattern: None,
        net: Some(Net {
            bind_address: Some(settings.address.unwrap_or_else(|| "::".to_owned())),
            port: Some(settings.port.into()),
            com_type: Some(if encrypted { "SSL" } else { "PLAIN" }.to_owned()),
        }),
    })
}

/// Changes the level of the log of a node's satellite.
pub async fn modify_satellite(
    cluster: &Cluster,
    name: String,
    request: SatelliteConfig,
) -> Vec<Reply> {
    let work = async {
        let node = name::node(&name)?;
        name::known_node(&cluster.model(), &node).map_err(Refusal::plain)?;
        let wanted = request.log.ok_or_else(no_level)?;
        let level = known_of(wanted.level_linstor.or(wanted.level))?.ok_or_else(no_level)?;
        set_level(cluster, &node, level).await?;
        let message = "Successfully updated satellite config";
        Ok(vec![Reply::new(code::MODIFIED, message).details(UNTIL)])
    };
    Context::new(code::MASK_NODE | code::MASK_MOD, format!("Node: {name}"))
        .about("Node", &name)
        .run(work)
        .await
}

async fn set_level(cluster: &Cluster, node: &NodeName, level: &str) -> Result<(), Reply> {
    let level = level.to_owned();
    let deadline = Instant::now() + ANSWER_MAX;
    match cluster
        .ask(node, Question::LogLevel { level }, deadline)
        .await?
    {
        Answer::Done(_) => Ok(()),
        answer => Err(not_answered(node, answer)),
    }
}

fn no_level() -> Refusal {
    Reply::new(
        code::FAIL_UNKNOWN_ERROR,
        "The request has no level of the log.",
    )
    .cause("Nothing else can be changed while the program runs.")
    .correction("Give 'log' with 'level', or change the file of settings and start again.")
    .plain()
    .into()
}

fn known_of(level: Option<String>) -> Result<Option<&'static str>, Refusal> {
    level.as_deref().map(known).transpose()
}

fn known(level: &str) -> Result<&'static str, Refusal> {
    let mut levels = log::LEVELS.into_iter();
    levels
        .find(|known| level.eq_ignore_ascii_case(known))
        .ok_or_else(|| {
            let message = format!("The log level '{}' is invalid.", level.escape_debug());
            let reply = Reply::new(code::FAIL_INVLD_CONF, message);
            let known = format!("Use one of {}.", log::LEVELS.join(", "));
            reply.correction(known).plain().into()
        })
}
