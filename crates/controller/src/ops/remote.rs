//! Remotes: where backups are shipped to. Their secrets are sealed with the master key, and no answer has them.

use std::net::Ipv6Addr;

use linstor_api::code;
use linstor_api::remote::{EbsRemote, LinstorRemote, RemoteList, S3Remote};
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::secret_text::SecretText;
use linstor_model::backup::history;
use linstor_model::master_key::{Key, Sealed};
use linstor_model::model::RowKey;
use linstor_model::name::RemoteName;
use linstor_model::process::Kind;
use linstor_model::remote::{Ebs, Linstor, S3, Target};
use linstor_model::{Model, Remote};
use linstor_s3::{Bucket, Settings};
use linstor_wire::secret::Secret;
use uuid::Uuid;

use super::backup::bucket;
use super::request::Context;
use super::{encryption, name, node, schedule};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

fn context(name: Option<&str>) -> Context {
    let mask = code::MASK_REMOTE | code::MASK_MOD;
    Context::new(mask, format!("Remote: {}", name.unwrap_or("null")))
        .about("Remote", name.unwrap_or(UNNAMED))
}

/// All remotes.
pub fn list(cluster: &Cluster) -> RemoteList {
    let mut list = RemoteList::default();
    for remote in cluster.model().remotes.values() {
        let remote_name = Some(remote.name.to_string());
        match &remote.target {
            Target::S3(s3) => list.s3_remotes.push(S3Remote {
                remote_name,
                endpoint: Some(s3.endpoint.clone()),
                bucket: Some(s3.bucket.clone()),
                region: Some(s3.region.clone()),
                ..S3Remote::default()
            }),
            Target::Linstor(linstor) => list.linstor_remotes.push(LinstorRemote {
                remote_name,
                url: Some(linstor.url.clone()),
                ..LinstorRemote::default()
            }),
            Target::Ebs(ebs) => list.ebs_remotes.push(EbsRemote {
                remote_name,
                endpoint: Some(ebs.endpoint.clone()),
                region: Some(ebs.region.clone()),
                availability_zone: Some(ebs.availability_zone.clone()),
                ..EbsRemote::default()
            }),
        }
    }
    list
}

/// Refuses a request that lacks one of these.
fn required(given: &[(&str, bool)]) -> Result<(), Refusal> {
    let missing: Vec<&str> = given
        .iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    let message = format!("The remote was not created, because parameters are missing: {missing}");
    Err(
        Reply::new(code::FAIL_INVLD_BACKUP_CONFIG | code::MASK_BACKUP, message)
            .cause("A remote of this kind cannot be used without them.")
            .correction("Give a value that is not empty to each of them.")
            .into(),
    )
}

fn text(given: &Option<String>) -> bool {
    given.as_ref().is_some_and(|text| !text.is_empty())
}

fn secret(given: &Option<SecretText>) -> bool {
    given.as_ref().is_some_and(|text| !text.reveal().is_empty())
}

/// A name that is not taken.
fn free(model: &Model, given: Option<&str>) -> Result<RemoteName, Refusal> {
    let name = name::remote(given.unwrap_or_default())?;
    if let Some(held) = model.held.refuses(&RowKey::Remote(name.clone()), false) {
        return Err(held.into());
    }
    match model.remotes.contains_key(&name) {
        true => Err(exists(&name).into()),
        false => Ok(name),
    }
}

fn exists(name: &RemoteName) -> Reply {
    let message = format!("A remote with the name '{name}' already exists.");
    Reply::new(code::FAIL_EXISTS_REMOTE, message)
        .cause("Remotes of all kinds share their names, which compare without regard to case.")
        .correction("Use another name, or modify the remote instead.")
}

fn other_kind(name: &RemoteName, kind: &str) -> Refusal {
    let message = format!("The remote with the name '{name}' is not a {kind} remote.");
    Reply::new(code::FAIL_EXISTS_REMOTE, message)
        .cause("The kind of a remote cannot be changed.")
        .correction("Delete the remote and create it again.")
        .into()
}

fn seal(
    tx: &Transaction<'_>,
    key: &Key,
    (remote, member): (Uuid, &str),
    given: &SecretText,
) -> Sealed {
    let purpose = Remote::purpose(remote, member);
    key.seal(tx.random(), &purpose, &Secret::new(given.reveal()))
}

fn put(tx: &mut Transaction<'_>, name: RemoteName, uuid: Uuid, target: Target, message: &str) {
    tx.put_remote(Remote { name, uuid, target });
    tx.reply(Reply::new(code::CREATED, message));
}

/// Creates an S3 remote. Its bucket has to answer to its keys.
pub async fn create_s3(cluster: &Cluster, request: S3Remote) -> Vec<Reply> {
    let work = async {
        required(&[
            ("remote_name", text(&request.remote_name)),
            ("endpoint", text(&request.endpoint)),
            ("bucket", text(&request.bucket)),
            ("region", text(&request.region)),
            ("access_key", secret(&request.access_key)),
            ("secret_key", secret(&request.secret_key)),
        ])?;
        let request = request.clone();
        let name = free(&cluster.model(), request.remote_name.as_deref())?;
        let key = encryption::unlocked(cluster)?;
        let of = |given: &Option<SecretText>| {
            let given = given.as_ref().map(SecretText::reveal);
            Secret::new(given.unwrap_or_default())
        };
        let settings = Settings {
            endpoint: request.endpoint.clone().unwrap_or_default(),
            bucket: request.bucket.clone().unwrap_or_default(),
            region: request.region.clone().unwrap_or_default(),
            use_path_style: request.use_path_style.unwrap_or(false),
            access_key: of(&request.access_key),
            secret_key: of(&request.secret_key),
            timeout: linstor_model::remote::timeout(&cluster.model()),
        };
        try_bucket(&settings, "created").await?;
        let committed = cluster.commit(move |tx| {
            let name = free(tx, Some(name.as_str()))?;
            let uuid = tx.uuid();
            let access_key = request.access_key.unwrap_or_default();
            let secret_key = request.secret_key.unwrap_or_default();
            let target = Target::S3(S3 {
                endpoint: request.endpoint.unwrap_or_default(),
                bucket: request.bucket.unwrap_or_default(),
                region: request.region.unwrap_or_default(),
                access_key: seal(tx, &key, (uuid, "access_key"), &access_key),
                secret_key: seal(tx, &key, (uuid, "secret_key"), &secret_key),
                use_path_style: request.use_path_style.unwrap_or(false),
            });
            put(tx, name, uuid, target, "S3 remote successfully created");
            Ok(())
        });
        Ok(committed.await?.replies)
    };
    context(request.remote_name.as_deref()).run(work).await
}

/// Refuses a bucket whose objects cannot be listed.
async fn try_bucket(settings: &Settings, what: &str) -> Result<(), Refusal> {
    let failed = |error| {
        let message = format!(
            "The remote could not be used with the given parameters, and therefore was not {what}."
        );
        bucket::failed(message, &error)
    };
    let bucket = Bucket::new(settings).map_err(failed)?;
    bucket.check().await.map_err(failed)
}

/// Changes an S3 remote; what is not given or empty is left unchanged.
pub async fn modify_s3(cluster: &Cluster, name: String, request: S3Remote) -> Vec<Reply> {
    let work = async {
        let name = name::remote(&name)?;
        let known = name::known_remote(&cluster.model(), &name)?.clone();
        let Target::S3(before) = &known.target else {
            return Err(other_kind(&name, "s3"));
        };
        let key = encryption::unlocked(cluster)?;
        let mut settings = bucket::settings(&cluster.model(), &key, &known, before)?;
        replace(&mut settings.endpoint, request.endpoint.clone());
        replace(&mut settings.bucket, request.bucket.clone());
        replace(&mut settings.region, request.region.clone());
        for (member, given) in [
            (&mut settings.access_key, &request.access_key),
            (&mut settings.secret_key, &request.secret_key),
        ] {
            if let Some(given) = given.as_ref().filter(|text| !text.reveal().is_empty()) {
                *member = Secret::new(given.reveal());
            }
        }
        try_bucket(&settings, "changed").await?;
        let committed = cluster.commit(move |tx| {
            let known = name::known_remote(tx, &name)?;
            let mut row = Remote::clone(known);
            let Target::S3(s3) = &mut row.target else {
                return Err(other_kind(&name, "s3"));
            };
            replace(&mut s3.endpoint, request.endpoint);
            replace(&mut s3.bucket, request.bucket);
            replace(&mut s3.region, request.region);
            if let Some(given) = request.access_key.filter(|text| !text.reveal().is_empty()) {
                s3.access_key = seal(tx, &key, (row.uuid, "access_key"), &given);
            }
            if let Some(given) = request.secret_key.filter(|text| !text.reveal().is_empty()) {
                s3.secret_key = seal(tx, &key, (row.uuid, "secret_key"), &given);
            }
            tx.put_remote(row);
            tx.reply(Reply::new(code::MODIFIED, "S3 remote successfully updated"));
            Ok(())
        });
        Ok(committed.await?.replies)
    };
    context(Some(&name)).run(work).await
}

fn replace(member: &mut String, given: Option<String>) {
    if let Some(given) = given.filter(|text| !text.is_empty()) {
        *member = given;
    }
}

/// Creates a remote that is another LINSTOR cluster.
pub async fn create_linstor(cluster: &Cluster, request: LinstorRemote) -> Vec<Reply> {
    let work = async {
        required(&[
            ("remote_name", text(&request.remote_name)),
            ("url", text(&request.url)),
        ])?;
        let request = request.clone();
        let name = free(&cluster.model(), request.remote_name.as_deref())?;
        let url = linstor_url(&request.url.unwrap_or_default())?;
        let cluster_id = request.cluster_id.filter(|text| !text.is_empty());
        let cluster_id = cluster_id.as_deref().map(cluster_id_of).transpose()?;
        let passphrase = request.passphrase.filter(|text| !text.reveal().is_empty());
        let passphrase = match passphrase {
            Some(given) => Some((encryption::unlocked(cluster)?, given)),
            None => None,
        };
        let committed = cluster.commit(move |tx| {
            let name = free(tx, Some(name.as_str()))?;
            let uuid = tx.uuid();
            let sealed =
                passphrase.map(|(key, given)| seal(tx, &key, (uuid, "passphrase"), &given));
            let target = Target::Linstor(Linstor {
                url,
                passphrase: sealed,
                cluster_id,
            });
            put(
                tx,
                name,
                uuid,
                target,
                "Linstor remote successfully created",
            );
            Ok(())
        });
        Ok(committed.await?.replies)
    };
    context(request.remote_name.as_deref()).run(work).await
}

/// Changes a remote that is another LINSTOR cluster; what is not given or empty is left unchanged.
pub async fn modify_linstor(cluster: &Cluster, name: String, request: LinstorRemote) -> Vec<Reply> {
    let work = async {
        let name = name::remote(&name)?;
        let url = request.url.filter(|text| !text.is_empty());
        let passphrase = request.passphrase.filter(|text| !text.reveal().is_empty());
        let cluster_id = request.cluster_id.filter(|text| !text.is_empty());
        name::known_remote(&cluster.model(), &name)?;
        let url = url.as_deref().map(linstor_url).transpose()?;
        let cluster_id = cluster_id.as_deref().map(cluster_id_of).transpose()?;
        let passphrase = match passphrase {
            Some(given) => Some((encryption::unlocked(cluster)?, given)),
            None => None,
        };
        let committed = cluster.commit(move |tx| {
            let mut row = Remote::clone(name::known_remote(tx, &name)?);
            let Target::Linstor(linstor) = &mut row.target else {
                return Err(other_kind(&name, "linstor"));
            };
            replace(&mut linstor.url, url);
            linstor.cluster_id = cluster_id.or(linstor.cluster_id);
            if let Some((key, given)) = passphrase {
                linstor.passphrase = Some(seal(tx, &key, (row.uuid, "passphrase"), &given));
            }
            tx.put_remote(row);
            let message = "Linstor remote successfully updated";
            tx.reply(Reply::new(code::MODIFIED, message));
            Ok(())
        });
        Ok(committed.await?.replies)
    };
    context(Some(&name)).run(work).await
}

fn cluster_id_of(given: &str) -> Result<Uuid, Refusal> {
    given.parse().map_err(|_| {
        let message = "The given cluster id is not a valid UUID";
        Reply::new(code::FAIL_INVLD_CONF, message)
            .cause(format!("'{}' is not a UUID.", given.escape_debug()))
            .correction("Use the other cluster's property 'Cluster/LocalID'.")
            .into()
    })
}

/// Creates an EBS remote.
pub async fn create_ebs(cluster: &Cluster, request: EbsRemote) -> Vec<Reply> {
    let work = async {
        required(&[
            ("remote_name", text(&request.remote_name)),
            ("availability_zone", text(&request.availability_zone)),
            ("access_key", secret(&request.access_key)),
            ("secret_key", secret(&request.secret_key)),
        ])?;
        let request = request.clone();
        let name = free(&cluster.model(), request.remote_name.as_deref())?;
        let zone = request.availability_zone.unwrap_or_default();
        let region = request.region.filter(|text| !text.is_empty());
        let region = region.or_else(|| region_of(&zone));
        required(&[("region", region.is_some())])?;
        let region = region.unwrap_or_default();
        let endpoint = request.endpoint.filter(|text| !text.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| ebs_endpoint(&region));
        authority(&endpoint)?;
        let key = encryption::unlocked(cluster)?;
        let committed = cluster.commit(move |tx| {
            let name = free(tx, Some(name.as_str()))?;
            let uuid = tx.uuid();
            let access_key = request.access_key.unwrap_or_default();
            let secret_key = request.secret_key.unwrap_or_default();
            let target = Target::Ebs(Ebs {
                endpoint,
                region,
                availability_zone: zone,
                access_key: seal(tx, &key, (uuid, "access_key"), &access_key),
                secret_key: seal(tx, &key, (uuid, "secret_key"), &secret_key),
            });
            put(tx, name, uuid, target, "EBS remote successfully created");
            Ok(())
        });
        let mut replies = committed.await?.replies;
        replies.extend(node::unaffected(cluster, NO_EBS_VOLUMES));
        Ok(replies)
    };
    context(request.remote_name.as_deref()).run(work).await
}

const NO_EBS_VOLUMES: &str = "The node has no volumes of the EBS remote";

/// Changes an EBS remote; what is not given or empty is left unchanged.
pub async fn modify_ebs(cluster: &Cluster, name: String, request: EbsRemote) -> Vec<Reply> {
    let work = async {
        let name = name::remote(&name)?;
        name::known_remote(&cluster.model(), &name)?;
        let endpoint = request.endpoint.filter(|text| !text.is_empty());
        endpoint.as_deref().map(authority).transpose()?;
        let changes_keys = secret(&request.access_key) || secret(&request.secret_key);
        let key = changes_keys.then(|| encryption::unlocked(cluster));
        let key = key.transpose()?;
        let committed = cluster.commit(move |tx| {
            let mut row = Remote::clone(name::known_remote(tx, &name)?);
            let Target::Ebs(ebs) = &mut row.target else {
                return Err(other_kind(&name, "ebs"));
            };
            tx.reply(Reply::new(
                code::MODIFIED,
                "EBS remote successfully updated",
            ));
            let zone = request.availability_zone.filter(|text| !text.is_empty());
            let region = request.region.filter(|text| !text.is_empty());
            let region = region.or_else(|| zone.as_deref().and_then(region_of));
            replace(&mut ebs.availability_zone, zone);
            let moves = region.as_ref().is_some_and(|region| *region != ebs.region);
            replace(&mut ebs.region, region);
            match endpoint {
                Some(endpoint) => ebs.endpoint = endpoint,
                None if moves => {
                    ebs.endpoint = ebs_endpoint(&ebs.region);
                    let message = format!(
                        "The endpoint is {} now, because the region was changed",
                        ebs.endpoint
                    );
                    tx.reply(Reply::new(code::MODIFIED, message));
                }
                None => {}
            }
            if let Some(key) = &key {
                if let Some(given) = request.access_key.filter(|text| !text.reveal().is_empty()) {
                    ebs.access_key = seal(tx, key, (row.uuid, "access_key"), &given);
                }
                if let Some(given) = request.secret_key.filter(|text| !text.reveal().is_empty()) {
                    ebs.secret_key = seal(tx, key, (row.uuid, "secret_key"), &given);
                }
            }
            tx.put_remote(row);
            Ok(())
        });
        let mut replies = committed.await?.replies;
        replies.extend(node::unaffected(cluster, NO_EBS_VOLUMES));
        Ok(replies)
    };
    context(Some(&name)).run(work).await
}

/// The region of a zone such as `eu-central-1a`.
fn region_of(zone: &str) -> Option<String> {
    let mut parts = zone.splitn(3, '-');
    let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
    let number = c.chars().next()?;
    (!a.is_empty() && !b.is_empty()).then(|| format!("{a}-{b}-{number}"))
}

fn ebs_endpoint(region: &str) -> String {
    format!("https://ec2.{region}.amazonaws.com")
}

/// Deletes a remote, and disables its schedules.
pub async fn delete(cluster: &Cluster, name: Option<String>) -> Vec<Reply> {
    let context = context(name.as_deref());
    let work = async {
        let name = name::remote(&name.unwrap_or_default())?;
        let committed = cluster.commit(move |tx| {
            let key = RowKey::Remote(name.clone());
            let Some(row) = tx.remotes.get(&name).cloned() else {
                return Err(match tx.held.refuses(&key, true) {
                    Some(held) => held,
                    None => {
                        let message = format!("Remote: {name} not found.");
                        Reply::new(code::WARN_NOT_FOUND, message)
                    }
                }
                .into());
            };
            if let Some((_, backup)) = tx.shipments().find(|(_, of)| of.remote == name) {
                let message = format!("The remote {name} is not deleted.");
                let resource = &backup.resource;
                return Err(Reply::new(code::FAIL_IN_USE, message)
                    .cause(format!(
                        "A backup of resource '{resource}' is being sent to it."
                    ))
                    .correction("Wait until that is done, or abort the backup first.")
                    .into());
            }
            if let Some((_, shipped)) = tx.outbounds().find(|(_, of)| of.remote == name) {
                let message = format!("The remote {name} is not deleted.");
                let resource = &shipped.resource;
                return Err(Reply::new(code::FAIL_IN_USE, message)
                    .cause(format!(
                        "A snapshot of resource '{resource}' is being shipped to it."
                    ))
                    .correction("Wait until that is done, or abort the backup first.")
                    .into());
            }
            let mut processes = tx.processes.values();
            let restored = processes.find_map(|process| match &process.kind {
                Kind::RestoreBackup(of) if of.remote == name => Some(of.resource.clone()),
                _ => None,
            });
            if let Some(resource) = restored {
                let message = format!("The remote {name} is not deleted.");
                return Err(Reply::new(code::FAIL_IN_USE, message)
                    .cause(format!(
                        "A backup on it is being restored to resource '{resource}'."
                    ))
                    .correction("Wait until that is done, or abort it first.")
                    .into());
            }
            schedule::remove_uses(tx, |remote, _| {
                remote.eq_ignore_ascii_case(row.name.as_str())
            });
            history::forget(tx, |remote, _| *remote == row.name);
            tx.remove(&key);
            Ok(row)
        });
        let row = committed.await?.value;
        let what = format!("Remote: {}", row.name);
        let mut replies = vec![super::reply::marked(&what, row.uuid)];
        if matches!(row.target, Target::Ebs(_)) {
            replies.extend(node::unaffected(cluster, NO_EBS_VOLUMES));
        }
        replies.push(super::reply::deleted(&what, row.uuid));
        // LINSTOR's entries about remotes have no UUID among their references.
        for reply in &mut replies {
            reply.obj_refs.remove("UUID");
        }
        Ok(replies)
    };
    context.run(work).await
}

/// The URL of a cluster's REST API with scheme and port.
fn linstor_url(given: &str) -> Result<String, Refusal> {
    let (scheme, host, port) = authority(given)?;
    let https = scheme == Some("https");
    let (scheme, default) = if https {
        ("https", 3371)
    } else {
        ("http", 3370)
    };
    Ok(format!("{scheme}://{host}:{}", port.unwrap_or(default)))
}

/// Scheme, host and port of an URL that has nothing else.
fn authority(given: &str) -> Result<(Option<&'static str>, String, Option<u16>), Refusal> {
    let invalid = |cause: String| -> Refusal {
        let shown = given.escape_debug();
        Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            format!("'{shown}' is not a valid URL."),
        )
        .cause(cause)
        .correction("Use http:// or https://, a host name or address, and optionally a port.")
        .into()
    };
    let schemes = [("https://", "https"), ("http://", "http")];
    let scheme = schemes.into_iter().find_map(|(prefix, scheme)| {
        let rest = given.get(prefix.len()..)?;
        given[..prefix.len()]
            .eq_ignore_ascii_case(prefix)
            .then_some((scheme, rest))
    });
    let (scheme, rest) = match scheme {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, given),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            if address.parse::<Ipv6Addr>().is_err() {
                let cause = format!("'{}' is not an IPv6 address.", address.escape_debug());
                return Err(invalid(cause));
            }
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err(invalid("Only a port may follow the address.".to_owned()));
            }
            (format!("[{address}]"), port)
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (rest.to_owned(), None),
        },
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let bracketed = host.starts_with('[');
    if host.is_empty() || !bracketed && !host.chars().all(allowed) {
        let cause = format!("'{}' is not a host.", host.escape_debug());
        return Err(invalid(cause));
    }
    let port = port.map(|port| {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| invalid(format!("'{}' is not a port.", port.escape_debug())))
    });
    Ok((scheme, host, port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// URLs get what they lack, and hostile ones are refused.
    #[test]
    fn urls_are_completed() {
        for (given, url) in [
            ("127.0.0.1", "http://127.0.0.1:3370"),
            ("HTTPS://host.example.com", "https://host.example.com:3371"),
            ("http://a:1/", "http://a:1"),
            ("[::1]", "http://[::1]:3370"),
            ("https://[fe80::1]:7", "https://[fe80::1]:7"),
        ] {
            assert_eq!(linstor_url(given).unwrap(), url);
        }
        for bad in [
            "",
            "::",
            "not a url",
            "http://",
            "ftp://a",
            "http://a:0",
            "http://a:99999",
            "http://a/b",
            "http://u@a",
            "[x]",
            "[::1]x",
            "http://a:",
            "http://a\n",
        ] {
            assert!(linstor_url(bad).is_err(), "{bad:?}");
        }
    }

    /// The region is the zone without its last letters.
    #[test]
    fn a_zone_has_its_region() {
        assert_eq!(region_of("eu-central-1a").as_deref(), Some("eu-central-1"));
        assert_eq!(region_of("z"), None);
    }
}
