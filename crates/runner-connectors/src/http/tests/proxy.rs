//! What stands between a client and a server, and fails on the way: by bytes, below anything that either of them says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to the bytes of a connection's answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Clear,
    /// After this many bytes nothing comes any more, and the connection stays open.
    StallsAfter(usize),
    /// After this many bytes the connection is reset.
    ResetsAfter(usize),
    /// One byte at a time.
    Trickles(Duration),
}

/// A running proxy. It stops when it is dropped.
pub(super) struct Proxy {
    pub(super) url: String,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Before this server; `way` is asked with the number of the connection, from 0.
    pub(super) async fn start(
        server: &str,
        way: impl Fn(usize) -> Way + Send + Sync + 'static,
    ) -> Self {
        let target = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let way = way(counter.fetch_add(1, Ordering::SeqCst));
                let server = TcpStream::connect(&target).await.unwrap();
                open.spawn(carry(client, server, way));
            }
        });
        Self {
            url,
            connections,
            task,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection. Whoever hangs up ends it, and that is no failure of the proxy's.
async fn carry(client: TcpStream, server: TcpStream, way: Way) {
    client.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let questions = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let answers = async {
        let mut left = match way {
            Way::StallsAfter(bytes) | Way::ResetsAfter(bytes) => bytes,
            Way::Clear | Way::Trickles(_) => usize::MAX,
        };
        let mut buffer = [0; 1 << 10];
        loop {
            let most = match way {
                Way::Trickles(pause) => {
                    tokio::time::sleep(pause).await;
                    1
                }
                _ => buffer.len().min(left),
            };
            if most == 0 {
                break;
            }
            match from_server.read(&mut buffer[..most]).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    left -= read;
                    if to_client.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
        if let Way::StallsAfter(_) = way {
            std::future::pending::<()>().await;
        }
        // What was sent is on its way before the reset can overtake it.
        tokio::time::sleep(Duration::from_millis(5)).await;
        to_client.as_ref().set_zero_linger().unwrap();
    };
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}
