//! A connection to PostgreSQL that is cut at a chosen moment.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// When the connection is cut. Those that follow are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server is never told to commit.
    BeforeCommit,
    /// The server has committed, and its answer is lost.
    AfterCommit,
}

/// Passes everything on to the server, until it is told to cut.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub port: u16,
    due: Arc<Mutex<Option<Cut>>>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            due: Arc::default(),
        };
        let due = Arc::clone(&proxy.due);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], server)));
                tokio::spawn(pass(client, server.await.unwrap(), Arc::clone(&due)));
            }
        });
        proxy
    }

    /// Cuts the connection of the next commit.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.due.lock().unwrap() = Some(cut);
    }

    pub(crate) fn has_cut(&self) -> bool {
        self.due.lock().unwrap().is_none()
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, due: Arc<Mutex<Option<Cut>>>) {
    let mut sent = vec![0; 64 << 10];
    let mut answered = vec![0; 64 << 10];
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Ok(count @ 1..) = read else { return };
                let chunk = &sent[..count];
                let commits = chunk.windows(7).any(|window| window == b"COMMIT\0");
                let cut = if commits { due.lock().unwrap().take() } else { None };
                if cut == Some(Cut::BeforeCommit) || server.write_all(chunk).await.is_err() {
                    return;
                }
                if cut == Some(Cut::AfterCommit) {
                    let count = server.read(&mut answered).await.unwrap();
                    assert!(answered[..count].starts_with(b"C"), "it was not committed");
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
