//! The harness itself: no process that it started outlives it.

use std::process::Command;
use std::sync::Arc;

use end_to_end::{Start, World, suite};

struct Nothing;

impl World for Nothing {
    async fn start() -> Self {
        Self
    }

    fn log(&self) -> String {
        String::new()
    }
}

async fn a_dropped_edge_leaves_no_process(_: Arc<Nothing>) {
    let edge = Start::new("http://127.0.0.1:9").start().await;
    let group = edge.process_group();
    assert!(is_alive(group));
    drop(edge);
    assert!(!is_alive(group));
}

async fn a_test_that_panics_leaves_no_process(_: Arc<Nothing>) {
    let edge = Start::new("http://127.0.0.1:9").start().await;
    let group = edge.process_group();
    let panicked = tokio::spawn(async move {
        let _held = edge;
        panic!("as a failing test does");
    });
    assert!(panicked.await.is_err());
    assert!(!is_alive(group));
}

async fn a_killed_edge_starts_again_on_its_state(_: Arc<Nothing>) {
    let edge = Start::new("http://127.0.0.1:9").start().await;
    let group = edge.process_group();
    let start = edge.kill();
    assert!(!is_alive(group));
    let edge = start.start().await;
    assert_eq!(edge.get("/healthz").await.status(), 200);
}

async fn every_environment_binds_what_the_worker_needs(_: Arc<Nothing>) {
    for environment in ["staging", "production"] {
        let out = tempfile::TempDir::new().unwrap();
        let output = Command::new(end_to_end::xtask())
            .args(["wrangler", "deploy", "--dry-run", "--env", environment])
            .arg("--outdir")
            .arg(out.path())
            // The tests run the configuration that would be deployed.
            .env("CRL_EDGE_BUILT", "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        for binding in ["CRLS", "DB", "ISSUERS", "REGISTRY", "ORIGIN_URL"] {
            let bound = printed.contains(&format!("env.{binding} "));
            assert!(bound, "{binding} in {environment}: {printed}");
        }
    }
}

fn is_alive(process_group: u32) -> bool {
    let signalled = Command::new("kill")
        .args(["-0", "--", &format!("-{process_group}")])
        .output()
        .unwrap();
    signalled.status.success()
}

suite!(
    Nothing;
    a_dropped_edge_leaves_no_process,
    a_test_that_panics_leaves_no_process,
    a_killed_edge_starts_again_on_its_state,
    every_environment_binds_what_the_worker_needs,
);
