//! nginx, which serves the same files.

use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use tempfile::TempDir;

/// A running nginx. Dropping it ends its process.
pub(crate) struct Nginx {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Nginx {
    /// Serves each file as `/ID.crl`. Returns `None` if nginx is not installed.
    pub(crate) fn start<'f>(files: impl Iterator<Item = (&'f str, &'f [u8])>) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/local/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let folder = TempDir::new().expect("a temporary folder");
        for (id, der) in files {
            fs::write(folder.path().join(format!("{id}.crl")), der).expect("a file");
        }
        let port = end_to_end::free_port();
        let configuration = folder.path().join("nginx.conf");
        fs::write(&configuration, configure(folder.path(), port)).expect("a file");
        let child = Command::new(program)
            .arg("-c")
            .arg(&configuration)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx");
        let nginx = Self {
            child,
            port,
            _folder: folder,
        };
        nginx.wait_until_it_listens();
        Some(nginx)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_it_listens(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("nginx does not listen");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

fn configure(root: &Path, port: u16) -> String {
    // Keep the current user: nginx would drop root and then could not read the folder.
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let user = if is_root { "user root;" } else { "" };
    let root = root.display();
    format!(
        "{user} daemon off; pid {root}/pid; error_log {root}/error.log; worker_processes 1;
         events {{}}
         http {{
           access_log off; sendfile on; keepalive_requests 1000000; types {{ application/pkix-crl crl; }}
           client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;
           uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;
           server {{ listen 127.0.0.1:{port}; root {root}; }}
         }}"
    )
}
