//! `cargo xtask dev`: the demo. An origin with issuers of three kinds, the edge in front, and what to try.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use clap::Args;

use crate::{
    build::{self, Profile},
    edge::{self, Var, answers_200},
    process::{Group, Stop, run_until_stopped, wait_until},
    progress::Progress,
    tools::Tools,
    workspace::Workspace,
};

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

#[derive(Args)]
pub(crate) struct Ports {
    /// The edge's port on 127.0.0.1
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// The origin's port on 127.0.0.1
    #[arg(long, default_value_t = 8788)]
    origin_port: u16,
}

pub(crate) fn run(workspace: &Workspace, ports: &Ports) -> Result<()> {
    edge::refuse_taken_port(ports.port)?;
    edge::refuse_taken_port(ports.origin_port)?;
    let tools = Tools::ensure(workspace)?;
    let origin = thread::scope(|scope| {
        let origin = scope.spawn(|| build_origin(workspace));
        build::ensure(workspace, &tools, Profile::Release)?;
        origin
            .join()
            .map_err(|panic| anyhow!("the origin's build panicked: {panic:?}"))?
    })?;

    // Certificates name the edge's URL, so each port has a demo of its own.
    let folder = workspace.join(&format!("target/dev-{}", ports.port));
    fs::create_dir_all(&folder)?;
    let demo = Demo {
        origin,
        folder,
        ports,
    };
    demo.issue()?;

    let stop = Stop::on_signals()?;
    let mut origin = demo.start_origin(workspace, &stop)?;
    let mut edge = edge::start(&tools, workspace, &demo.edge_settings(), &stop)?;
    println!("{}", demo.what_to_try());
    run_until_stopped(&stop, &mut [&mut origin, &mut edge])
}

fn build_origin(workspace: &Workspace) -> Result<PathBuf> {
    Progress::default().run(
        "building the origin (the first time about 2 min)",
        workspace.cargo().args(["build", "--package", "crl-origin"]),
    )?;
    Ok(workspace.native_target().join("debug/crl-origin"))
}

struct Demo<'p> {
    /// The program crl-origin.
    origin: PathBuf,
    folder: PathBuf,
    ports: &'p Ports,
}

impl Demo<'_> {
    /// Issuers, and for each a good certificate and a revoked one; what exists stays.
    fn issue(&self) -> Result<()> {
        let progress = Progress::default();
        for (issuer, key) in ISSUERS {
            if self.certificate(issuer, "revoked").exists() {
                continue;
            }
            let subject = format!("CN={issuer},O=crl-edge demo,C=DE");
            let url = format!("http://127.0.0.1:{}/crl/{issuer}.crl", self.ports.port);
            let mut create = self.origin();
            create
                .args([
                    "issuer",
                    "create",
                    issuer,
                    "--if-missing",
                    "--key",
                    key,
                    "--subject",
                    &subject,
                ])
                .args(["--distribution-point", &url, "--crl-validity", "1h"]);
            progress.run(&format!("making issuer {issuer}"), &mut create)?;

            let mut show = self.origin();
            show.args(["issuer", "show", issuer, "--pem"]);
            fs::write(self.certificate(issuer, "ca"), show.output()?.stdout)?;
            for name in ["good", "revoked"] {
                let mut issue = self.origin();
                issue
                    .args([
                        "cert",
                        "issue",
                        issuer,
                        "--dns",
                        &format!("{name}.example"),
                        "--out",
                    ])
                    .arg(self.certificate(issuer, name))
                    .arg("--key-out")
                    .arg(self.folder.join(format!("{issuer}-{name}.key")));
                progress.run(
                    &format!("issuing a certificate of {issuer}: {name}"),
                    &mut issue,
                )?;
            }
            let mut revoke = self.origin();
            revoke
                .args([
                    "revoke",
                    issuer,
                    "--reason",
                    "keyCompromise",
                    "--certificate",
                ])
                .arg(self.certificate(issuer, "revoked"));
            progress.run(&format!("revoking a certificate of {issuer}"), &mut revoke)?;
        }
        Ok(())
    }

    fn start_origin(&self, workspace: &Workspace, stop: &Stop) -> Result<Group> {
        let mut serve = self.origin();
        serve
            .args([
                "serve",
                "--listen",
                &format!("127.0.0.1:{}", self.ports.origin_port),
            ])
            .args(["--token", ORIGIN_TOKEN])
            .current_dir(workspace.root());
        let mut origin = Group::spawn("the origin", &mut serve, &self.folder.join("origin.log"))?;
        wait_until(Duration::from_secs(30), stop, &mut [&mut origin], || {
            answers_200(self.ports.origin_port, "/healthz")
        })?;
        Ok(origin)
    }

    fn edge_settings(&self) -> edge::Settings {
        edge::Settings {
            origin_url: format!("http://127.0.0.1:{}", self.ports.origin_port),
            port: self.ports.port,
            state: self.edge_state(),
            vars: vec![
                Var::new("ORIGIN_TOKEN", ORIGIN_TOKEN),
                Var::new("OPERATOR_TOKEN", OPERATOR_TOKEN),
                Var::new("HOOK_TOKEN", HOOK_TOKEN),
            ],
            test_scheduled: false,
            script: None,
        }
    }

    fn edge_state(&self) -> PathBuf {
        self.folder.join("edge")
    }

    fn certificate(&self, issuer: &str, name: &str) -> PathBuf {
        self.folder.join(format!("{issuer}-{name}.pem"))
    }

    fn database(&self) -> PathBuf {
        self.folder.join("origin.sqlite")
    }

    fn origin(&self) -> Command {
        let mut command = Command::new(&self.origin);
        command.arg("--database").arg(self.database());
        command
    }

    fn what_to_try(&self) -> String {
        let Ports { port, origin_port } = self.ports;
        let edge = format!("http://127.0.0.1:{port}");
        let state = shown(&self.edge_state());
        let ca = shown(&self.certificate("demo-p256", "ca"));
        let good = shown(&self.certificate("demo-p256", "good"));
        let revoked = shown(&self.certificate("demo-p256", "revoked"));
        let origin = format!(
            "{} --database {}",
            shown(&self.origin),
            shown(&self.database())
        );
        let issuers = ISSUERS
            .map(|(issuer, _)| format!("  {edge}/crl/{issuer}.crl"))
            .join("\n");
        format!(
            "
The edge is on {edge}, the origin on http://127.0.0.1:{origin_port}; Ctrl-C stops both.
{issuers}

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

Logs: {} and {}
",
            edge::DATABASE,
            shown(&self.edge_state().join("wrangler.log")),
            shown(&self.folder.join("origin.log")),
        )
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
