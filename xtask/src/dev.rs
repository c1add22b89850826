//! `cargo xtask dev`: the demo. An origin with issuers of several kinds, the edge in front of it,
//! some history, and what to try.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Result, bail};
use clap::Args;

use crate::build::{self, Profile};
use crate::edge::{self, Var, answers_200, request};
use crate::process::{Group, Stop, run_until_stopped, wait_until};
use crate::progress::Progress;
use crate::tools::Tools;
use crate::workspace::Workspace;

/// Good on 127.0.0.1 alone, where the demo listens.
const ORIGIN_TOKEN: &str = "demo-origin-token";
const OPERATOR_TOKEN: &str = "demo-operator-token";
const HOOK_TOKEN: &str = "demo-edge-hook-token";

/// The demo's issuers, and the kinds of their keys as crl-origin names them.
const ISSUERS: [(&str, &str); 3] = [
    ("demo-rsa", "rsa-2048"),
    ("demo-p256", "p256"),
    ("demo-ed25519", "ed25519"),
];

/// Its CRL is at a URL that no host answers, so that every refresh fails.
const FAILING: &str = "demo-failing";

/// Its key changed after the edge had pinned it, so that the new certificate waits for an operator.
const REKEYED: &str = "demo-rekeyed";

#[derive(Args)]
pub(crate) struct Options {
    /// The edge's port on 127.0.0.1
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// The origin's port on 127.0.0.1
    #[arg(long, default_value_t = 8788)]
    origin_port: u16,
    /// Start anew: forget this port's demo, its issuers, CRLs and events
    #[arg(long)]
    fresh: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    edge::check_port_is_free(options.port)?;
    edge::check_port_is_free(options.origin_port)?;
    let tools = build::ensure_beside(workspace, Profile::Dev, || {
        build::build_native(
            workspace,
            "building the origin and bindgen",
            &["--bin", "crl-origin", "--bin", "bindgen"],
        )
    })?;

    // Certificates name the edge's URL, so each port has a demo of its own.
    let folder = workspace.join(&format!("target/dev-{}", options.port));
    if options.fresh && folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let demo = Demo {
        workspace,
        origin: workspace.native_target().join("debug/crl-origin"),
        folder,
        options,
    };
    let stop = Stop::on_signals()?;
    let (mut origin, mut edge) = demo.start(&tools, &stop)?;
    println!("{}", demo.what_to_try());
    let mut sources = Sources::new(workspace)?;
    run_until_stopped(&stop, &mut [&mut origin, &mut edge], || {
        sources.rebuild_if_changed(workspace);
    })
}

struct Demo<'d> {
    workspace: &'d Workspace,
    /// The program crl-origin.
    origin: PathBuf,
    folder: PathBuf,
    options: &'d Options,
}

impl Demo<'_> {
    /// Starts the origin and the edge; the first time, makes issuers and history as well.
    fn start(&self, tools: &Tools<'_>, stop: &Stop) -> Result<(Group, Group)> {
        let made = self.folder.join("made");
        let settings = self.edge_settings();
        if made.exists() {
            let origin = self.start_origin(ORIGIN, stop)?;
            let edge = edge::start(tools, self.workspace, &settings, stop)?;
            return Ok((origin, edge));
        }
        let progress = self.workspace.progress();
        for (issuer, key) in ISSUERS {
            self.make_issuer(&progress, issuer, key)?;
        }
        self.make_failing(&progress)?;
        for database in [ORIGIN_BEFORE, ORIGIN] {
            self.create_issuer(&progress, database, REKEYED, "p256")?;
        }

        // The edge pins the key that the issuer had before.
        let before = self.start_origin(ORIGIN_BEFORE, stop)?;
        let edge = edge::start(tools, self.workspace, &settings, stop)?;
        self.refresh(REKEYED)?;
        drop(before);
        let origin = self.start_origin(ORIGIN, stop)?;
        self.make_history(&progress)?;
        fs::write(made, "")?;
        Ok((origin, edge))
    }

    /// An issuer with a good certificate and a revoked one.
    fn make_issuer(&self, progress: &Progress, issuer: &str, key: &str) -> Result<()> {
        self.create_issuer(progress, ORIGIN, issuer, key)?;
        let mut show = self.origin(ORIGIN);
        show.args(["issuer", "show", issuer, "--pem"]);
        fs::write(self.certificate(issuer, "ca"), show.output()?.stdout)?;
        self.issue(progress, issuer, "good")?;
        self.issue(progress, issuer, "revoked")?;
        self.revoke(progress, issuer, "revoked")
    }

    fn create_issuer(
        &self,
        progress: &Progress,
        database: &str,
        issuer: &str,
        key: &str,
    ) -> Result<()> {
        let mut create = self.origin(database);
        create
            .args(["issuer", "create", issuer, "--if-missing", "--key", key])
            .arg("--subject")
            .arg(format!("CN={issuer},O=crl-edge demo,C=DE"))
            .arg("--distribution-point")
            .arg(self.url(issuer))
            .args(["--crl-validity", "1h"]);
        progress.run(&format!("making issuer {issuer}"), &mut create, ANEW)
    }

    fn make_failing(&self, progress: &Progress) -> Result<()> {
        let mut connect = self.origin(ORIGIN);
        connect
            .args(["issuer", "connect", "url", FAILING, "--if-missing"])
            .arg("--certificate")
            .arg(self.certificate("demo-rsa", "ca"))
            .args(["--url", "http://ca.invalid/demo.crl"])
            .arg("--distribution-point")
            .arg(self.url(FAILING));
        progress.run(&format!("making issuer {FAILING}"), &mut connect, ANEW)
    }

    /// Some refreshes and revocations, so that the dashboard has something to show.
    fn make_history(&self, progress: &Progress) -> Result<()> {
        let step = progress.begin("making some history");
        for (issuer, _) in ISSUERS {
            self.refresh(issuer)?;
        }
        for name in ["earlier", "lately"] {
            self.issue(progress, "demo-p256", name)?;
            self.revoke(progress, "demo-p256", name)?;
            self.refresh("demo-p256")?;
        }
        // Both fail, each for its reason.
        self.refresh(FAILING)?;
        self.refresh(REKEYED)?;
        step.end("done");
        Ok(())
    }

    fn issue(&self, progress: &Progress, issuer: &str, name: &str) -> Result<()> {
        let mut issue = self.origin(ORIGIN);
        issue
            .args(["cert", "issue", issuer, "--dns", &format!("{name}.example")])
            .arg("--out")
            .arg(self.certificate(issuer, name))
            .arg("--key-out")
            .arg(self.folder.join(format!("{issuer}-{name}.key")));
        let what = format!("issuing a certificate of {issuer}: {name}");
        progress.run(&what, &mut issue, ANEW)
    }

    fn revoke(&self, progress: &Progress, issuer: &str, name: &str) -> Result<()> {
        let mut revoke = self.origin(ORIGIN);
        revoke
            .args(["revoke", issuer, "--reason", "keyCompromise"])
            .arg("--certificate")
            .arg(self.certificate(issuer, name));
        let what = format!("revoking a certificate of {issuer}: {name}");
        progress.run(&what, &mut revoke, ANEW)
    }

    /// Has the edge refresh an issuer, which may fail: 502. The edge first answers 404, until its
    /// copy of the registry has the issuer.
    fn refresh(&self, issuer: &str) -> Result<()> {
        let path = format!("/v1/issuers/{issuer}/refresh");
        let limit = Duration::from_secs(30);
        let started = Instant::now();
        loop {
            match request(
                self.options.port,
                "POST",
                &path,
                Some(OPERATOR_TOKEN),
                limit,
            )? {
                200 | 502 => return Ok(()),
                status if started.elapsed() > limit => {
                    bail!("the edge answers a refresh of {issuer} with {status}. {ANEW}")
                }
                _ => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    fn start_origin(&self, database: &str, stop: &Stop) -> Result<Group> {
        let mut serve = self.origin(database);
        serve
            .args([
                "serve",
                "--listen",
                &format!("127.0.0.1:{}", self.options.origin_port),
            ])
            .args(["--token", ORIGIN_TOKEN])
            .current_dir(self.workspace.root());
        let mut origin = Group::spawn("the origin", &mut serve, &self.folder.join("origin.log"))?;
        wait_until(Duration::from_secs(30), stop, &mut [&mut origin], || {
            answers_200(self.options.origin_port, "/healthz")
        })?;
        Ok(origin)
    }

    fn edge_settings(&self) -> edge::Settings {
        edge::Settings {
            origin_url: format!("http://127.0.0.1:{}", self.options.origin_port),
            port: self.options.port,
            state: self.edge_state(),
            vars: vec![
                Var::new("ORIGIN_TOKEN", ORIGIN_TOKEN),
                Var::new("OPERATOR_TOKEN", OPERATOR_TOKEN),
                Var::new("HOOK_TOKEN", HOOK_TOKEN),
                // An issuer that was just made shows at once.
                Var::new("REGISTRY_TTL_SECONDS", "1"),
            ],
            test_scheduled: false,
            script: None,
        }
    }

    fn url(&self, issuer: &str) -> String {
        format!("http://127.0.0.1:{}/crl/{issuer}.crl", self.options.port)
    }

    fn edge_state(&self) -> PathBuf {
        self.folder.join("edge")
    }

    fn certificate(&self, issuer: &str, name: &str) -> PathBuf {
        self.folder.join(format!("{issuer}-{name}.pem"))
    }

    fn database(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn origin(&self, database: &str) -> Command {
        let mut command = Command::new(&self.origin);
        command.arg("--database").arg(self.database(database));
        command
    }

    fn what_to_try(&self) -> String {
        let Options {
            port, origin_port, ..
        } = self.options;
        let edge = format!("http://127.0.0.1:{port}");
        let state = shown(&self.edge_state());
        let ca = shown(&self.certificate("demo-p256", "ca"));
        let good = shown(&self.certificate("demo-p256", "good"));
        let revoked = shown(&self.certificate("demo-p256", "revoked"));
        let origin = format!(
            "{} --database {}",
            shown(&self.origin),
            shown(&self.database(ORIGIN))
        );
        let issuers = ISSUERS
            .map(|(issuer, _)| format!("  {edge}/crl/{issuer}.crl"))
            .join("\n");
        format!(
            "
The edge is on {edge}, the origin on http://127.0.0.1:{origin_port}; Ctrl-C stops both.
{issuers}

The dashboard: {edge}/dashboard
  sign in with the token {OPERATOR_TOKEN}
  {FAILING} fails, since its CA does not answer; {REKEYED} has a new certificate, which waits for your trust

Things to try, in another terminal at the root of the checkout:

  # The CRL, with its caching headers
  curl -sD- -o demo.crl {edge}/crl/demo-p256.crl && openssl crl -inform DER -in demo.crl -noout -text

  # A client that follows the certificate's distribution point: one is good, one is revoked
  openssl verify -crl_check -crl_download -CAfile {ca} {good}
  openssl verify -crl_check -crl_download -CAfile {ca} {revoked}

  # Revoke the good one at the origin, and have the edge refresh
  {origin} revoke demo-p256 --reason superseded --certificate {good}
  curl -s -X POST -H 'Authorization: Bearer {OPERATOR_TOKEN}' {edge}/v1/issuers/demo-p256/refresh

  # Regenerate all issuers, as the cron trigger does
  curl {edge}/cdn-cgi/handler/scheduled

  # What every refresh did
  cargo xtask wrangler d1 execute {} --local --persist-to {state} \\
    --command \"SELECT started_at, issuer_id, trigger, outcome, crl_number, duration_ms FROM crl_generation_events ORDER BY started_at DESC LIMIT 10\"

A change of the Worker's sources rebuilds and reloads the edge. `cargo xtask dev --fresh` starts anew.
Logs: {} and {}
",
            edge::DATABASE,
            shown(&self.edge_state().join("wrangler.log")),
            shown(&self.folder.join("origin.log")),
        )
    }
}

/// The origin's database, and the one that it had before [`REKEYED`] changed its key.
const ORIGIN: &str = "origin.sqlite";
const ORIGIN_BEFORE: &str = "origin-before.sqlite";

/// What to do if a step of the demo's making fails.
const ANEW: &str = "`cargo xtask dev --fresh` makes the demo anew.";

/// Watches the Worker's sources.
struct Sources {
    known: String,
    looked_at: Instant,
}

impl Sources {
    fn new(workspace: &Workspace) -> Result<Self> {
        Ok(Self {
            known: build::sources(workspace)?.finish(),
            looked_at: Instant::now(),
        })
    }

    /// Looks once a second. wrangler reloads what the build writes; an error leaves the Worker as
    /// it is.
    fn rebuild_if_changed(&mut self, workspace: &Workspace) {
        if self.looked_at.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.looked_at = Instant::now();
        // A file may be half written, or gone for a moment.
        let Ok(sources) = build::sources(workspace) else {
            return;
        };
        let now = sources.finish();
        if now == self.known {
            return;
        }
        self.known = now;
        if let Err(error) = build::run(workspace, Profile::Dev) {
            eprintln!("{error:#}");
        }
    }
}

/// A path as a person at the root of the checkout would type it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}
