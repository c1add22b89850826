//! The edge in workerd: migrations applied, wrangler started, waited for, stopped with all that it
//! started.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::build::{self, Profile};
use crate::fingerprint::Fingerprint;
use crate::process::{Group, Stop, run_until_stopped, wait_until};
use crate::tools::Tools;
use crate::workspace::Workspace;

/// The database's name in wrangler.toml.
pub(crate) const DATABASE: &str = "crl-edge";

/// wrangler starts in two seconds on an idle machine, and in a minute beside many others.
const START_LIMIT: Duration = Duration::from_mins(4);

/// What a person may choose for one edge.
pub(crate) struct Settings {
    pub(crate) origin_url: String,
    pub(crate) port: u16,
    pub(crate) state: PathBuf,
    pub(crate) vars: Vec<Var>,
    pub(crate) test_scheduled: bool,
    /// What wrangler runs instead of wrangler.toml's `main`.
    pub(crate) script: Option<PathBuf>,
}

/// A setting of the Worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Var {
    key: String,
    value: String,
}

impl Var {
    pub(crate) fn new(key: &str, value: &str) -> Self {
        Self {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }
}

impl FromStr for Var {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if is_key(key) => Ok(Self::new(key, value)),
            _ => Err("expected KEY=VALUE, with KEY of letters, digits and _".to_owned()),
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `cargo xtask edge`: runs one until it is stopped.
pub(crate) fn run(
    workspace: &Workspace,
    settings: &Settings,
    profile: Profile,
    until_stdin_closes: bool,
) -> Result<()> {
    let tools = build::ensure(workspace, profile)?;
    let stop = Stop::on_signals()?;
    if until_stdin_closes {
        stop.also_when_stdin_closes();
    }
    let mut edge = start(&tools, workspace, settings, &stop)?;
    println!(
        "ready on http://127.0.0.1:{} (process group {})",
        settings.port,
        edge.id()
    );
    run_until_stopped(&stop, &mut [&mut edge], || {})
}

/// Starts an edge from what is in build/, and returns once it answers.
pub(crate) fn start(
    tools: &Tools<'_>,
    workspace: &Workspace,
    settings: &Settings,
    stop: &Stop,
) -> Result<Group> {
    check_port_is_free(settings.port)?;
    fs::create_dir_all(&settings.state)?;
    let state = settings.state.canonicalize()?;
    migrate(tools, workspace, &state)?;

    let mut wrangler = tools.wrangler();
    wrangler
        .args([
            "dev",
            "--local",
            "--ip",
            "127.0.0.1",
            "--show-interactive-dev-session=false",
        ])
        .args(["--port", &settings.port.to_string()])
        // Whichever is free.
        .args(["--inspector-port", "0"])
        .arg("--persist-to")
        .arg(&state)
        .args(["--var", &format!("ORIGIN_URL:{}", settings.origin_url)])
        .args(settings.test_scheduled.then_some("--test-scheduled"))
        .args(&settings.script)
        .env(build::BUILT, "1")
        // The local runtime would ask the network what today's `request.cf` looks like.
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
        // Edges that run at once must not take each other for one application.
        .env("WRANGLER_REGISTRY_PATH", state.join("registry"));
    for Var { key, value } in &settings.vars {
        wrangler.args(["--var", &format!("{key}:{value}")]);
    }
    let mut edge = Group::spawn(
        "the edge (wrangler dev)",
        &mut wrangler,
        &state.join("wrangler.log"),
    )?;
    wait_until(START_LIMIT, stop, &mut [&mut edge], || {
        answers_200(settings.port, "/healthz")
    })?;
    Ok(edge)
}

/// Applies the D1 migrations to a state folder that has not seen these.
///
/// wrangler takes seconds for it; so a new folder gets a copy of one that was migrated before.
fn migrate(tools: &Tools<'_>, workspace: &Workspace, state: &Path) -> Result<()> {
    let mut made_from = Fingerprint::default();
    for input in ["migrations", "wrangler.toml", "xtask/npm/package-lock.json"] {
        made_from.path(&workspace.join(input))?;
    }
    let made_from = made_from.finish();
    let stamp = state.join("migrated");
    if fs::read_to_string(&stamp).is_ok_and(|applied| applied == made_from) {
        return Ok(());
    }
    if state.join(D1).exists() {
        apply_migrations(tools, workspace, state)?;
    } else {
        copy_folder(
            &migrated_template(tools, workspace, &made_from)?,
            &state.join(D1),
        )?;
    }
    fs::write(stamp, made_from)?;
    Ok(())
}

/// Where the local runtime keeps D1 databases in a state folder.
const D1: &str = "v3/d1";

/// A D1 folder with the migrations applied and nothing else, made once.
fn migrated_template(tools: &Tools<'_>, workspace: &Workspace, made_from: &str) -> Result<PathBuf> {
    let folder = workspace.join("target/wasm/migrated");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let stamp = folder.join("made-from");
    if !fs::read_to_string(&stamp).is_ok_and(|known| known == made_from) {
        let _ = fs::remove_dir_all(folder.join("v3"));
        apply_migrations(tools, workspace, &folder)?;
        fs::write(stamp, made_from)?;
    }
    Ok(folder.join(D1))
}

fn apply_migrations(tools: &Tools<'_>, workspace: &Workspace, state: &Path) -> Result<()> {
    let mut apply = tools.wrangler();
    apply
        .args([
            "d1",
            "migrations",
            "apply",
            DATABASE,
            "--local",
            "--persist-to",
        ])
        .arg(state)
        // Never asks.
        .env("CI", "1");
    workspace.progress().run(
        "applying the D1 migrations",
        &mut apply,
        "If the database in the state folder is from elsewhere, use another folder.",
    )
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

/// Checks the port before wrangler does, whose error is harder to understand.
pub(crate) fn check_port_is_free(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "port {port} on 127.0.0.1 cannot be used: {error}; choose another by --port or --origin-port"
        ),
    }
}

/// Whether a GET of `path` is answered by 200 within a second.
pub(crate) fn answers_200(port: u16, path: &str) -> bool {
    request(port, "GET", path, None, Duration::from_secs(1)).is_ok_and(|status| status == 200)
}

/// Sends a request without a body; returns the status of the answer.
pub(crate) fn request(
    port: u16,
    method: &str,
    path: &str,
    token: Option<&str>,
    limit: Duration,
) -> Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let authorization = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = answer
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
    status.with_context(|| format!("port {port} does not speak HTTP"))
}

#[cfg(test)]
mod tests {
    use super::Var;

    #[test]
    fn a_var_is_split_at_the_first_equals_sign() {
        assert_eq!(
            "ORIGIN_TOKEN=a=b".parse(),
            Ok(Var::new("ORIGIN_TOKEN", "a=b"))
        );
        assert_eq!("EMPTY=".parse(), Ok(Var::new("EMPTY", "")));
        assert!("=x".parse::<Var>().is_err());
        assert!("A B=x".parse::<Var>().is_err());
        assert!("no value".parse::<Var>().is_err());
    }
}
