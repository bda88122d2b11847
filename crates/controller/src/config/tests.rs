use std::net::Ipv4Addr;

use super::*;

fn load(
    text: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
    let mut all = vec!["linstor-controller", "-c", dir.path().to_str().unwrap()];
    all.extend(arguments);
    let arguments = Arguments::try_parse_from(all).unwrap();
    let environment = |name: &str| {
        let found = environment.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::load(&arguments, &environment)
}

/// Without a file and without settings the defaults hold.
#[test]
fn defaults_hold() {
    let arguments = Arguments {
        config_directory: Some("/nonexistent".into()),
        ..Arguments::default()
    };
    let config = Config::load(&arguments, &|_| None).unwrap();
    assert_eq!(
        config,
        Config {
            http: Some(Listen {
                address: None,
                port: 3370
            }),
            https: Some(Https {
                listen: Listen {
                    address: None,
                    port: 3371
                },
                certificate: None,
                clients: None,
            }),
            netcom: None,
            database: Database::File("/var/lib/linstor/linstor.db".into()),
            limits: Limits::default(),
            passphrase: None,
            token_authentication: true,
            keys_on_plain_links: true,
            directory: "/nonexistent".into(),
            log_level: "info".into(),
            warnings: vec![],
        }
    );
}

/// The command line beats the file, the file beats the environment.
#[test]
fn nearer_sources_win() {
    let environment = [
        ("LS_REST_BIND_ADDRESS", "127.0.0.3:3"),
        ("LS_LOG_LEVEL", "trace"),
    ];
    let file = "[http]\nlisten_addr = \"127.0.0.2\"\nport = 2\n[logging]\nlevel = \"DEBUG\"";
    let at = |n: u8| {
        Some(Listen {
            address: Some(Ipv4Addr::new(127, 0, 0, n).into()),
            port: n.into(),
        })
    };
    let config = load("", &[], &environment).unwrap();
    assert_eq!((config.http, config.log_level.as_str()), (at(3), "trace"));
    let config = load(file, &[], &environment).unwrap();
    assert_eq!((config.http, config.log_level.as_str()), (at(2), "debug"));
    let arguments = ["--rest-bind", "127.0.0.1:1", "--log-level", "warn"];
    let config = load(file, &arguments, &environment).unwrap();
    assert_eq!((config.http, config.log_level.as_str()), (at(1), "warn"));
}

/// LINSTOR's keys that have no effect here cause a warning, and do not keep the controller from starting.
#[test]
fn unknown_keys_are_told() {
    let text = "[http]\nenabled = false\n[ldap]\nenabled = true\n[db]\nuser = \"x\"\n[db.k8s]\nrequest_retries = 3";
    let config = load(text, &[], &[]).unwrap();
    assert_eq!(config.http, None);
    let warnings = config.warnings.join("\n");
    for key in ["ldap", "db.user", "db.k8s"] {
        assert!(warnings.contains(&format!("'{key}'")), "{warnings}");
    }
    let error = load("[http]\nport = \"many\"", &[], &[]).unwrap_err();
    assert!(error.to_string().contains("linstor.toml"), "{error}");
}

/// HTTPS has LINSTOR's key stores or PEM files, beside the settings; its address comes from where that of HTTP comes from.
#[test]
fn https_is_configured() {
    let https = |text: &str, arguments: &[&str], environment: &[(&str, &str)]| {
        let config = load(&format!("[https]\n{text}"), arguments, environment)?;
        Ok::<_, ConfigError>((config.https, config.warnings))
    };
    let stores = "keystore = \"ssl/keystore.p12\"\nkeystore_password = \"s3cret\"\ntruststore = \"/t.p12\"\n\
                  truststore_password = \"s4cret\"\nport = 4\nlisten_addr = \"127.0.0.4\"";
    let (found, warnings) =
        https(stores, &[], &[("LS_REST_BIND_ADDRESS_SECURE", "[::1]:9")]).unwrap();
    let found = found.unwrap();
    let shown = format!("{found:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("s4cret"),
        "{shown}"
    );
    let Some(Certificate::Store(store)) = &found.certificate else {
        panic!("{shown}");
    };
    assert!(store.path.is_absolute() && store.path.ends_with("ssl/keystore.p12"));
    assert_eq!(store.password, Secret::new("s3cret"));
    assert_eq!(found.clients.as_ref().unwrap().path, Path::new("/t.p12"));
    assert_eq!(found.listen.port, 4);
    assert_eq!(
        found.listen.address,
        Some(Ipv4Addr::new(127, 0, 0, 4).into())
    );
    assert_eq!(warnings, Vec::<String>::new());
    let without = found.without_secrets();
    assert_eq!(without.clients.unwrap().password, Secret::default());

    let (found, _) = https(
        "certificate = \"/c\"",
        &[],
        &[("LS_REST_BIND_ADDRESS_SECURE", "[::1]:9")],
    )
    .unwrap();
    let found = found.unwrap();
    let both = Certificate::Pem {
        certificate: "/c".into(),
        key: "/c".into(),
    };
    assert_eq!((found.certificate, found.listen.port), (Some(both), 9));
    let (found, warnings) = https("port = 8", &["--rest-bind-secure", "[::]:7"], &[]).unwrap();
    assert_eq!(
        found.unwrap().listen,
        Listen {
            address: None,
            port: 7
        }
    );
    assert!(warnings[0].contains("no certificate"), "{warnings:?}");
    assert_eq!(
        https("enabled = false\nkeystore = \"/k\"", &[], &[])
            .unwrap()
            .0,
        None
    );
    for (wrong, expected) in [
        ("keystore = \"/k\"\ncertificate = \"/c\"", "both given"),
        (
            "truststore = \"/k\"\nclient_ca = \"/c\"\ncertificate = \"/c\"",
            "both given",
        ),
        ("key = \"/k\"", "without 'certificate'"),
        ("client_ca = \"/c\"", "without a certificate"),
    ] {
        let error = https(wrong, &[], &[]).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("linstor.toml"),
            "{error}"
        );
    }
}

/// Links to satellites over TLS need both: a certificate of the controller, and what satellites are checked with.
#[test]
fn links_are_configured() {
    let netcom =
        |text: &str| Ok::<_, ConfigError>(load(&format!("[netcom]\n{text}"), &[], &[])?.netcom);
    let found = netcom("keystore = \"k\"\nkeystore_password = \"s3cret\"\nsatellite_ca = \"/c\"")
        .unwrap()
        .unwrap();
    assert!(!format!("{found:?}").contains("s3cret"));
    assert_eq!(found.satellites.path, Path::new("/c"));
    let Certificate::Store(store) = found.without_secrets().certificate else {
        panic!("not a key store");
    };
    assert!(store.path.is_absolute() && store.password.is_empty());
    assert_eq!(netcom("").unwrap(), None);
    for (wrong, expected) in [
        ("certificate = \"c\"", "none to check satellites with"),
        ("truststore = \"c\"", "no certificate of the controller"),
    ] {
        let error = netcom(wrong).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("[netcom]"),
            "{error}"
        );
    }
}

/// Database URLs: SQLite in several spellings, LINSTOR's default, and a sentence for the rest.
#[test]
fn database_urls_are_understood() {
    let url = |url: &str| {
        let text = format!("[db]\nconnection_url = {url:?}");
        load(&text, &[], &[]).map(|config| config.database)
    };
    let file = |path: &str| Database::File(path.into());
    assert_eq!(url("sqlite:/a/b.db").unwrap(), file("/a/b.db"));
    assert_eq!(url("jdbc:sqlite:/a/b.db").unwrap(), file("/a/b.db"));
    let h2 = url("jdbc:h2:/nonexistent/linstordb").unwrap();
    assert_eq!(h2, file("/nonexistent/linstor.db"));
    let error = url("jdbc:postgresql://h/x").unwrap_err().to_string();
    assert!(error.contains("SQLite"), "{error}");
}

/// An H2 database with a cluster in it is not passed over in silence.
#[test]
fn a_cluster_in_h2_is_not_hidden() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("linstordb.mv.db"), "H2").unwrap();
    let url = format!("jdbc:h2:{}", dir.path().join("linstordb").display());
    let text = format!("[db]\nconnection_url = {url:?}");
    let error = load(&text, &[], &[]).unwrap_err().to_string();
    assert!(error.contains("linstordb.mv.db"), "{error}");
    std::fs::write(dir.path().join("linstor.db"), "").unwrap();
    assert!(load(&text, &[], &[]).is_ok());
}

/// Limits come from the file; zero is no limit that anybody could mean.
#[test]
fn limits_are_configured() {
    let file = "[http]\nconnections_max = 7\nheader_bytes_max = 1\nbody_seconds_max = 3\nallowed_origins = [\"http://gui\"]";
    let limits = load(file, &[], &[]).unwrap().limits;
    let expected = Limits {
        connections_max: 7,
        header_bytes_max: HEADER_BYTES_MIN,
        body_time_max: Duration::from_secs(3),
        allowed_origins: vec!["http://gui".to_owned()],
        ..Limits::default()
    };
    assert_eq!(limits, expected);
    assert!(load("[http]\nrequests_max = 0", &[], &[]).is_err());
}

/// The file's passphrase takes precedence over the environment's, and that over systemd's credential; none is
/// ever shown.
#[test]
fn the_passphrase_has_three_sources() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(CREDENTIAL), "third\n").unwrap();
    let credentials = ("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap());
    let environment = [("MASTER_PASSPHRASE", "second"), credentials];
    let file = "[encrypt]\npassphrase = \"first\"";
    for (file, environment, expected) in [
        (file, &environment[..], "first"),
        ("", &environment[..], "second"),
        ("", &environment[1..], "third"),
    ] {
        let config = load(file, &[], environment).unwrap();
        assert_eq!(config.passphrase, Some(Secret::new(expected)));
        assert!(!format!("{config:?}").contains(expected));
    }
}

/// Units and containers that were written for the original start the controller unchanged; what has no effect is logged.
#[test]
fn command_lines_in_use() {
    for (line, warnings) in [
        (
            "--logs=/var/log/linstor-controller --config-directory=/etc/linstor",
            1,
        ),
        (
            "-l /var/log -d -p --log-level DEBUG --rest-bind [::]:3370",
            2,
        ),
        (
            "--memory-database=jdbc:h2:mem:x --disable-db-version-check --log-level-linstor TRACE",
            1,
        ),
        (
            "--rest-bind-secure 0.0.0.0:3371 --webui-directory /usr/share/ui",
            1,
        ),
    ] {
        let words = std::iter::once("linstor-controller").chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(words).unwrap();
        assert_eq!(arguments.without_effect().count(), warnings, "{line}");
    }
    let config = load(
        "[logging]\nlevel = \"error\"\n",
        &["-d", "--log-level", "WARN"],
        &[],
    )
    .unwrap();
    assert_eq!(
        (config.database, config.log_level.as_str()),
        (Database::Memory, "warn")
    );
}
