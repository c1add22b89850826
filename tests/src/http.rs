//! A minimal HTTP/1.1 server that can break the protocol: no library lets a test send a wrong
//! Content-Length.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The parts of a request that tests look at.
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Keyed by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
}

/// The bytes that go over the wire, and when.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) delay: Duration,
    /// Bytes to send in order, each after its pause.
    pub(crate) pieces: Vec<(Duration, Vec<u8>)>,
    pub(crate) end: End,
}

/// What happens after the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    /// Keep the connection open and send nothing.
    Hang,
}

/// A server. Dropping it closes its socket and all connections.
pub(crate) struct Server {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<A>(answer: A) -> io::Result<Self>
    where
        A: Fn(Request) -> Response + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let answer = Arc::new(answer);
        let accepting = tokio::spawn(async move {
            // Dropping the set aborts its tasks.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                connections.spawn(async move { serve(stream, &*answer).await });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves one request per connection, so that no answer can leak into the next one.
async fn serve(stream: TcpStream, answer: &(dyn Fn(Request) -> Response + Sync)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read(&mut stream).await?;
    let response = answer(request);
    tokio::time::sleep(response.delay).await;
    for (pause, bytes) in &response.pieces {
        tokio::time::sleep(*pause).await;
        stream.write_all(bytes).await?;
        stream.flush().await?;
    }
    match response.end {
        End::Close => stream.shutdown().await,
        End::Hang => std::future::pending().await,
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Request {
        method,
        target,
        headers,
    })
}
