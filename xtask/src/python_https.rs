//! The Python client from PyPI and the command line over HTTPS, against controllers as processes of this machine, with certificates and a key store
//! that OpenSSL makes, as users do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cluster::Binaries;
use crate::program::wait_for;
use crate::python;
use crate::python_calls::{START_MAX, start};

/// Serves everybody, with its certificate in PEM.
const OPEN: &str = "127.0.83.21";
/// Wants a certificate of its callers, and has its own in a key store.
const CLOSED: &str = "127.0.83.22";

/// Starts the programs, runs the script and removes what it left.
pub fn run(binaries: &Binaries) -> Result<()> {
    let python = python::environment().context("install the Python client")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/https.py");
    let directory = PathBuf::from(format!(
        "/var/tmp/linstor-python-https-{}",
        std::process::id()
    ));
    std::fs::create_dir_all(&directory)?;
    let result = connections(binaries, &python, &script, &directory);
    match &result {
        Ok(()) => std::fs::remove_dir_all(&directory)?,
        Err(_) => println!("logs and files are in {}", directory.display()),
    }
    result
}

fn connections(binaries: &Binaries, python: &Path, script: &Path, directory: &Path) -> Result<()> {
    for name in ["ca", "other"] {
        openssl(
            directory,
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"
            ),
        )?;
    }
    for name in [OPEN, CLOSED, "person"] {
        let names = match name {
            "person" => "DNS:person".to_owned(),
            address => format!("IP:{address}"),
        };
        openssl(
            directory,
            &format!(
                "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} -addext subjectAltName={names}"
            ),
        )?;
        openssl(
            directory,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out {name}.pem"
            ),
        )?;
    }
    openssl(
        directory,
        &format!(
            "pkcs12 -export -in {CLOSED}.pem -inkey {CLOSED}.key -passout pass:linstor -out {CLOSED}.p12"
        ),
    )?;
    let closed = format!(
        "keystore = \"{CLOSED}.p12\"\nkeystore_password = \"linstor\"\ntruststore = \"ca.pem\"\n"
    );
    let open = format!("certificate = \"{OPEN}.pem\"\nkey = \"{OPEN}.key\"\n");
    let mut programs = Vec::new();
    for (address, settings) in [(OPEN, open), (CLOSED, closed)] {
        let own = directory.join(format!("{address}-controller"));
        std::fs::create_dir_all(&own)?;
        std::fs::write(
            directory.join("linstor.toml"),
            format!("[https]\n{settings}"),
        )?;
        programs.push(start(
            Command::new(binaries.path("linstor-controller"))
                .arg("--controller-directory")
                .arg(&own)
                .args(["--rest-bind", &format!("{address}:3370")])
                .args(["--rest-bind-secure", &format!("{address}:3371")])
                .arg("-c")
                .arg(directory),
            &directory.join(format!("{address}.log")),
        )?);
        // Its settings are read by then.
        wait_for(&format!("{address}:3371"), START_MAX)?;
    }
    let status = Command::new(python)
        .arg(script)
        .args([format!("{OPEN}:3370"), format!("{CLOSED}:3370")])
        .arg(directory)
        .status()?;
    ensure!(
        status.success(),
        "tests/python/https.py ended with {status}"
    );
    own_client(binaries, directory)
}

/// The same with the command line of this project: exit codes, and what is said where it is refused.
fn own_client(binaries: &Binaries, directory: &Path) -> Result<()> {
    let secure = format!("https://{CLOSED}");
    let both = format!("https://{OPEN},https://{CLOSED}");
    for (controllers, options, code, words) in [
        (OPEN, "", 0, ""),
        (OPEN, "--cafile ca.pem", 0, ""),
        (
            OPEN,
            "--cafile other.pem",
            20,
            "not signed by one of --cafile",
        ),
        (
            OPEN,
            "--cafile absent.pem",
            2,
            "absent.pem: it cannot be read",
        ),
        (CLOSED, "--cafile ca.pem", 20, "give --certfile"),
        (
            &secure,
            "--cafile ca.pem --certfile person.pem --keyfile person.key",
            0,
            "",
        ),
        (
            &secure,
            "--certfile other.pem --keyfile other.key",
            20,
            "does not accept the certificate",
        ),
        (
            &both,
            "--cafile ca.pem --certfile person.pem --keyfile person.key",
            0,
            "",
        ),
    ] {
        let output = Command::new(binaries.path("linstor"))
            .env_remove("LS_CONTROLLERS")
            .args(["--disable-config", "--controllers", controllers])
            .args(options.split_whitespace())
            .args(["node", "list"])
            .current_dir(directory)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(code) && said.contains(words),
            "linstor --controllers {controllers} {options} node list ended with {}: {said}",
            output.status
        );
    }
    println!("linstor over HTTPS: 8 command lines as expected");
    Ok(())
}

fn openssl(directory: &Path, line: &str) -> Result<()> {
    let output = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(directory)
        .output()
        .context("start openssl")?;
    ensure!(
        output.status.success(),
        "openssl {line} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
