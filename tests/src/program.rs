//! This workspace's own programs, found beside the running test program.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Once,
};

/// A program that does not watch its standard input, and yet ends with this one, however that ends: a shell watches for it.
pub(crate) struct Attached {
    /// Closing it ends the program.
    stdin: Option<ChildStdin>,
    shell: Child,
}

impl Attached {
    /// Starts it, quietly, by a command that is its path and its arguments.
    pub(crate) fn start(program: &Command) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#""$@" & read _; kill $!; wait"#, "sh"])
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut shell = shell.spawn()?;
        let stdin = shell.stdin.take();
        Ok(Self { stdin, shell })
    }

    /// What it prints.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.shell.stdout.take().expect("a pipe")
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The path of `xtask` or `crl-origin`, built and fresh.
///
/// `cargo xtask test` has built them before and says so; otherwise cargo is asked, once.
pub(crate) fn path(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        if env::var_os("CRL_EDGE_BINARIES_BUILT").is_none() {
            let built = Command::new(env!("CARGO"))
                .args([
                    "build",
                    "--quiet",
                    "--package",
                    "xtask",
                    "--package",
                    "crl-origin",
                ])
                .current_dir(workspace())
                .status();
            assert!(
                built.is_ok_and(|status| status.success()),
                "cannot build xtask and crl-origin"
            );
        }
    });
    let test_program = env::current_exe().expect("a path of this program");
    // target/PROFILE/deps/this-program
    let target = test_program.ancestors().nth(3).expect("a target folder");
    target.join("debug").join(name)
}

/// The checkout.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace")
}
