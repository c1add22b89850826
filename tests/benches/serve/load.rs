//! A client with little overhead, which repeats one request on connections that stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::processor;

const CONNECTIONS: usize = 16;

/// The server to send requests to, and the process whose CPU time counts.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    port: u16,
    process: u32,
}

impl Target {
    pub(crate) fn of(port: u16, process: u32) -> Self {
        Self { port, process }
    }
}

/// A request, encoded once.
pub(crate) struct Load {
    method: &'static str,
    path: String,
    headers: String,
}

/// The cost of many requests.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// CPU time of the server's processes.
    pub(crate) cpu_per_request: Duration,
}

impl Load {
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            headers: String::new(),
        }
    }

    pub(crate) fn head(path: &str) -> Self {
        Self {
            method: "HEAD",
            ..Self::get(path)
        }
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers = format!("{line}\r\n");
        self
    }

    /// Sends the request this many times, after a tenth of that to warm up.
    pub(crate) async fn run(&self, target: Target, requests: usize) -> Measured {
        let request = format!(
            "{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n",
            self.method, self.path, self.headers
        );
        let request: Arc<[u8]> = request.into_bytes().into();
        let has_body = self.method != "HEAD";
        send(target.port, &request, has_body, requests / 10).await;

        let (started, cpu) = (Instant::now(), processor::time_of(target.process));
        let mut latencies = send(target.port, &request, has_body, requests).await;
        let (took, cpu) = (
            started.elapsed(),
            processor::time_of(target.process).saturating_sub(cpu),
        );
        latencies.sort_unstable();
        let count = u32::try_from(requests).expect("few enough requests");
        let at =
            |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
        Measured {
            per_second: f64::from(count) / took.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            cpu_per_request: cpu / count,
        }
    }
}

async fn send(port: u16, request: &Arc<[u8]>, has_body: bool, requests: usize) -> Vec<Duration> {
    let left = Arc::new(AtomicUsize::new(requests));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (left, request) = (Arc::clone(&left), Arc::clone(request));
        connections.spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port))
                .await
                .expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            let mut buffer = vec![0; 256 * 1024];
            let mut latencies = Vec::new();
            let take = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let started = Instant::now();
                stream
                    .write_all(&request)
                    .await
                    .expect("the request is sent");
                read_response(&mut stream, &mut buffer, has_body).await;
                latencies.push(started.elapsed());
            }
            latencies
        });
    }
    connections.join_all().await.concat()
}

/// Reads one response completely.
async fn read_response(stream: &mut TcpStream, buffer: &mut [u8], has_body: bool) {
    let mut filled = 0;
    let head = loop {
        filled += read(stream, &mut buffer[filled..]).await;
        if let Some(end) = buffer[..filled]
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
        {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let status = text.get(9..12).unwrap_or_default();
    assert!(matches!(status, "200" | "206" | "304"), "{text}");
    if !has_body || status == "304" {
        return;
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    if let Some(length) = length {
        let mut left = length - (filled - head);
        while left > 0 {
            left -= read(stream, buffer).await;
        }
        return;
    }
    // The body is chunked and no other response follows, so it ends with the last chunk.
    let mut tail = buffer[filled.saturating_sub(5).max(head)..filled].to_vec();
    while !tail.ends_with(b"0\r\n\r\n") {
        let count = read(stream, buffer).await;
        tail.extend_from_slice(&buffer[count.saturating_sub(5)..count]);
        tail.drain(..tail.len().saturating_sub(5));
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    let count = stream.read(buffer).await.expect("the answer is read");
    assert!(count > 0, "the connection ended in the middle of an answer");
    count
}
