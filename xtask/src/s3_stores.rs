//! Real S3 stores on this machine: moto from PyPI and S3Proxy from Maven Central; the S3 client alone, and a controller with the
//! command line, against both.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::Binaries;
use crate::program::{Program, wait_for};

/// Debian packages that the stores need, in addition to Python's.
pub const PACKAGES: &[&str] = &["ca-certificates", "curl", "default-jre-headless"];

const MOTO: &str = "moto[server]==5.*";
const MOTO_ADDRESS: &str = "127.0.84.2:9002";
const S3PROXY: &str =
    "https://repo1.maven.org/maven2/org/gaul/s3proxy/4.1.0/s3proxy-4.1.0-jar-with-dependencies.jar";
/// SHA-256 of that file.
const S3PROXY_SHA256: &str = "a4d025969aaf796616ed4b1e2491d87d455ce84bb28cb9db086b2e6aaa68b48d";
const S3PROXY_ADDRESS: &str = "127.0.84.1:9001";
pub const BUCKET: &str = "backups";
pub const ACCESS_KEY: &str = "access";
pub const SECRET_KEY: &str = "secret";
const CONTROLLER: &str = "127.0.84.3:3370";
/// A backup as LINSTOR makes it: an object for its volume, and its description.
const ID: &str = "myres_back_20250328_150859";
const VOLUME: &str = "myres_00000_back_20250328_150859";
const META: &str = r#"{"rscName":"myres","nodeName":"linstor-sat-0","startTimestamp":1743174539000,
  "finishTimestamp":1743174541000,"layerData":{"kind":"storage","children":[],"rscNameSuffix":"","volumeList":[
   {"kind":"lvmThin","vlmNr":0,"storPoolApi":{"kind":"storPool","storPoolName":"pool1","deviceProviderKind":"LVM_THIN"},
    "usableSize":1048576,"allocatedSize":1048576,"snapshotUsableSize":1048576,"snapshotAllocatedSize":204800}]},
  "rscDfn":{"snapDfnProps":{},"rscDfnProps":{},"flags":0,"vlmDfns":{}},"rsc":{"snapProps":{},"rscProps":{},"flags":0,"vlms":{}},
  "backups":{"0":[{"name":"myres_00000_back_20250328_150859","finishedTimestamp":1743174540000,"node":"linstor-sat-0"}]},
  "clusterId":"0d1a5e1e-0000-0000-0000-000000000000","snapDfnUuid":"0d1a5e1e-0000-0000-0000-000000000001"}"#;
const START_MAX: Duration = Duration::from_secs(60);

/// A running store of moto with an empty bucket ([`BUCKET`]), which ends with this. It keeps its objects in memory, and takes
/// any key.
pub struct Moto(#[expect(dead_code, reason = "it ends the store")] Program);

impl Moto {
    /// Installs it; returns its interpreter.
    pub fn install() -> Result<PathBuf> {
        moto(&target()?)
    }

    /// Starts it at an address of the network that the calling thread is in.
    pub fn start(python: &Path, address: &str, log: File) -> Result<Moto> {
        let (host, port) = address.split_once(':').context("an address")?;
        let mut server = Command::new(python);
        server.args(["-m", "moto.server", "-H", host, "-p", port]);
        let moto = Moto(spawn(&mut server, log)?);
        wait_for(address, START_MAX)?;
        put(address, BUCKET, "")?;
        Ok(moto)
    }
}

/// Running stores, which end with this.
pub struct Stores {
    _moto: Moto,
    programs: Vec<Program>,
    directory: PathBuf,
}

impl Drop for Stores {
    fn drop(&mut self) {
        // They write into the directory.
        self.programs.clear();
        // What remains is found under this name.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Stores {
    /// Installs both, and starts them with an empty bucket each.
    pub fn start() -> Result<Stores> {
        let target = target()?;
        let (jar, python) = (s3proxy(&target)?, moto(&target)?);
        let directory = PathBuf::from(format!("/var/tmp/linstor-s3-stores-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("data").join(BUCKET))?;
        let settings = directory.join("s3proxy.conf");
        let data = directory.join("data").display().to_string();
        std::fs::write(
            &settings,
            format!(
                "s3proxy.endpoint=http://{S3PROXY_ADDRESS}\ns3proxy.authorization=aws-v2-or-v4\n\
                 s3proxy.identity={ACCESS_KEY}\ns3proxy.credential={SECRET_KEY}\n\
                 jclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={data}\n"
            ),
        )?;
        let log = File::create(directory.join("moto.log"))?;
        let mut stores = Stores {
            _moto: Moto::start(&python, MOTO_ADDRESS, log)?,
            programs: Vec::new(),
            directory,
        };
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-jar"]).arg(jar);
        java.arg("--properties").arg(&settings);
        stores.run(&mut java, "s3proxy.log")?;
        wait_for(S3PROXY_ADDRESS, START_MAX)?;
        Ok(stores)
    }

    fn run(&mut self, command: &mut Command, log: &str) -> Result<()> {
        let log = File::create(self.directory.join(log))?;
        self.programs.push(spawn(command, log)?);
        Ok(())
    }

    /// Puts an object into a store's bucket without the client that is tested.
    fn put(&self, address: &str, key: &str, content: &str) -> Result<()> {
        if address == MOTO_ADDRESS {
            return put(address, &format!("{BUCKET}/{key}"), content);
        }
        let path = self.directory.join("data").join(BUCKET).join(key);
        Ok(std::fs::write(path, content)?)
    }

    /// Remotes, lists, descriptions and deletions from the command line.
    pub fn test_commands(&mut self, binaries: &Binaries) -> Result<()> {
        let mut controller = Command::new(binaries.path("linstor-controller"));
        controller
            .arg("--controller-directory")
            .arg(&self.directory)
            .args(["--rest-bind", CONTROLLER, "-c", "/nonexistent"]);
        self.run(&mut controller, "controller.log")?;
        wait_for(CONTROLLER, START_MAX)?;
        let client = Client(binaries.path("linstor"));
        client.succeeds("encryption create-passphrase --passphrase pass", &[])?;
        for (remote, address) in [("proxied", S3PROXY_ADDRESS), ("storj-remote", MOTO_ADDRESS)] {
            let endpoint = format!("http://{address}");
            let create = |bucket: &str, secret: &str| {
                format!(
                    "remote create s3 {remote} {endpoint} {bucket} us-east-1 {ACCESS_KEY} {secret}"
                )
            };
            client.fails(&create("no-such-bucket", SECRET_KEY), "NoSuchBucket")?;
            if address == S3PROXY_ADDRESS {
                let wrong = create(BUCKET, "wrong");
                client.fails(&wrong, "SignatureDoesNotMatch")?;
            }
            client.succeeds(&create(BUCKET, SECRET_KEY), &[])?;
            let shown = format!("{endpoint}/{BUCKET}");
            client.succeeds("remote list --pastable", &[remote, "S3", &shown])?;
            self.put(address, VOLUME, "data")?;
            self.put(address, &format!("{ID}.meta"), META)?;
            self.put(address, "photo", "another object")?;
            let list = format!("backup list {remote} --pastable");
            client.succeeds(&list, &["myres", "back_20250328_150859", "Success"])?;
            client.succeeds(&format!("backup list {remote} --others"), &["photo"])?;
            let info = format!("backup info {remote} --resource myres");
            client.succeeds(&info, &[ID, "pool1 (LVM_THIN)", VOLUME])?;
            let delete = format!("backup delete id {remote} {ID}");
            client.succeeds(&format!("{delete} --dry-run"), &[VOLUME])?;
            client.succeeds(&list, &["myres"])?;
            client.succeeds(&delete, &[VOLUME])?;
            let left = client.succeeds(&list, &[])?;
            ensure!(!left.contains("myres"), "the backup is still there: {left}");
            client.succeeds(&format!("backup delete s3key {remote} photo"), &[])?;
            let left = client.succeeds(&format!("backup list {remote} --others"), &[])?;
            ensure!(!left.contains("photo"), "the object is still there: {left}");
        }
        Ok(())
    }

    /// Runs the client's tests against both.
    pub fn test_client(&self) -> Result<()> {
        let store = |name: &str, address: &str| {
            format!("{name}=http://{address},{BUCKET},{ACCESS_KEY},{SECRET_KEY}")
        };
        let stores = [
            store("s3proxy", S3PROXY_ADDRESS),
            store("moto", MOTO_ADDRESS),
        ];
        let status = Command::new(env!("CARGO"))
            .args(["test", "--quiet", "-p", "linstor-s3", "--test", "*"])
            .args(["--", "--ignored", "--nocapture"])
            .env("LINSTOR_S3_STORES", stores.join(" "))
            .status()?;
        ensure!(
            status.success(),
            "the tests of the S3 client ended with {status}"
        );
        Ok(())
    }
}

/// The command line.
struct Client(String);

impl Client {
    fn run(&self, line: &str) -> Result<(bool, String)> {
        let output = Command::new(&self.0)
            .args(["--controllers", CONTROLLER])
            .args(line.split(' '))
            .stdin(Stdio::null())
            .output()
            .context("start linstor")?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((output.status.success(), text))
    }

    /// Runs a command, whose output has these texts.
    fn succeeds(&self, line: &str, texts: &[&str]) -> Result<String> {
        let (succeeded, output) = self.run(line)?;
        ensure!(succeeded, "`linstor {line}` failed: {output}");
        match texts.iter().find(|text| !output.contains(**text)) {
            None => Ok(output),
            Some(text) => bail!("`linstor {line}` does not show '{text}': {output}"),
        }
    }

    /// Runs a command that fails with this text, and without the secret key.
    fn fails(&self, line: &str, text: &str) -> Result<()> {
        let (succeeded, output) = self.run(line)?;
        ensure!(!succeeded, "`linstor {line}` succeeded: {output}");
        ensure!(
            output.contains(text),
            "'{text}' is not the reason: {output}"
        );
        Ok(())
    }
}

/// Where the stores are installed.
fn target() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/s3-stores");
    std::fs::create_dir_all(&target)?;
    Ok(target.canonicalize()?)
}

fn spawn(command: &mut Command, log: File) -> Result<Program> {
    command.stdout(log.try_clone()?).stderr(log);
    Program::start(command)
}

fn s3proxy(target: &Path) -> Result<PathBuf> {
    let jar = target.join("s3proxy.jar");
    if !jar.exists() {
        // A download that breaks off leaves no file of this name.
        let part = target.join("s3proxy.part");
        succeed(Command::new("curl").args(["-sfLo"]).arg(&part).arg(S3PROXY))?;
        let output = Command::new("sha256sum").arg(&part).output()?;
        let sum = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            sum.starts_with(S3PROXY_SHA256),
            "{S3PROXY} has another content than it had: {sum}"
        );
        std::fs::rename(part, &jar)?;
    }
    Ok(jar)
}

fn moto(target: &Path) -> Result<PathBuf> {
    let environment = target.join("moto");
    let python = environment.join("bin/python");
    let mark = environment.join("complete");
    if !mark.exists() {
        succeed(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        )?;
        succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet", MOTO]))?;
        std::fs::write(mark, MOTO)?;
    }
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("start {program:?}"))?;
    ensure!(status.success(), "{program:?} ended with {status}");
    Ok(())
}

/// Moto takes requests without a signature.
fn put(address: &str, path: &str, content: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_MAX))?;
    let length = content.len();
    write!(
        stream,
        "PUT /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let line = answer.lines().next().unwrap_or_default();
    ensure!(line.contains(" 200 "), "moto did not take {path}: {line}");
    Ok(())
}
