//! An API for tests: it answers as a closure says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use serde_json::{Value, json};

/// A running API. It stops when it is dropped.
pub(super) struct Server {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    /// As it was sent.
    pub(super) raw_query: String,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

/// What to answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<Piece>,
    pub(super) delay: Duration,
    pub(super) under_way: Option<UnderWay>,
}

/// A request that has not been answered: counted until then.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

/// A piece of a body.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    Pause(Duration),
    /// The connection is cut.
    Cut,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let router = router(Arc::clone(&asked), answer);
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, asked, task }
    }

    /// Requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl UnderWay {
    /// One more, and how many there are with it.
    pub(super) fn begin(count: &Arc<AtomicUsize>) -> (Self, usize) {
        let now = count.fetch_add(1, Ordering::SeqCst) + 1;
        (Self(Arc::clone(count)), now)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn router(
    log: Arc<Mutex<Vec<Asked>>>,
    answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> Router {
    let answer = Arc::new(answer);
    Router::new().fallback(move |request: Request| {
        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
        async move {
            let asked = Asked::read(request).await;
            log.lock().unwrap().push(asked.clone());
            let answer = answer(&asked);
            tokio::time::sleep(answer.delay).await;
            answer.into_response()
        }
    })
}

impl Asked {
    async fn read(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: url::form_urlencoded::parse(raw_query.as_bytes())
                .into_owned()
                .collect(),
            raw_query,
            headers: parts.headers,
            body: to_bytes(body, 1 << 20).await.unwrap(),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.query.get(name).map(|value| value.parse().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: vec![Piece::Bytes(body.into())],
            delay: Duration::ZERO,
            under_way: None,
        }
    }

    pub(super) fn json(value: &Value) -> Self {
        Self::new(200, "application/json", value.to_string())
    }

    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            delay: Duration::ZERO,
            under_way: None,
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The request is under way until it is answered.
    pub(super) fn ending(mut self, under_way: UnderWay) -> Self {
        self.under_way = Some(under_way);
        self
    }

    /// The same body, cut after this share of it.
    pub(super) fn cut_after(mut self, share: f64) -> Self {
        let Piece::Bytes(whole) = self.body.remove(0) else {
            panic!("already cut")
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a short body"
        )]
        let at = (whole.len() as f64 * share) as usize;
        self.body = vec![
            Piece::Bytes(whole.slice(..at)),
            Piece::Pause(Duration::from_millis(5)),
            Piece::Cut,
        ];
        self
    }

    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = match self.body.as_slice() {
            [] => Body::empty(),
            [Piece::Bytes(whole)] => Body::from(whole.clone()),
            _ => Body::from_stream(stream::iter(self.body).filter_map(|piece| async {
                match piece {
                    Piece::Bytes(bytes) => Some(Ok(bytes)),
                    Piece::Pause(pause) => {
                        tokio::time::sleep(pause).await;
                        None
                    }
                    Piece::Cut => Some(Err(std::io::Error::other("cut"))),
                }
            })),
        };
        response.body(body).unwrap()
    }
}

impl From<Infallible> for Answer {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Rows of a numbered table, from `start` on, at most `most` of them.
pub(super) fn rows(all: u64, start: u64, most: u64) -> Vec<Value> {
    (start..all.min(start.saturating_add(most)))
        .map(|id| json!({"id": id, "name": format!("row {id}")}))
        .collect()
}
