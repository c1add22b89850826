//! This workspace's own programs, which are in the same target folder as the test program.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;
use std::{env, io};

/// A child process that ends with this one, even if this one is killed. The child does not watch
/// its standard input; a shell does so on its behalf.
pub(crate) struct Attached {
    /// Closing it ends the child.
    stdin: Option<ChildStdin>,
    shell: Child,
}

impl Attached {
    /// Starts a program without showing its output. Only the command's path and arguments are used.
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

    /// The child's standard output.
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

/// The path of `xtask` or `crl-origin`, up to date.
///
/// `cargo xtask test` builds both first and says so in the environment; otherwise this builds
/// them, once.
pub(crate) fn path(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        if env::var_os("CRL_EDGE_BINARIES_BUILT").is_none() {
            // The selection of xtask (`build::PACKAGES`): with another one, cargo would compile the
            // dependencies again.
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--workspace"])
                .args(["--exclude", "bench-crl", "--exclude", "bench-crl-wasm"])
                .args(["--bin", "xtask", "--bin", "crl-origin"])
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

/// The root of this checkout.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace")
}
