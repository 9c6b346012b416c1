//! An API of any size whose rows are made while they are asked for, with a count of every request.
//!
//! It runs in the process of the test or the soak and shares nothing with the runner. Every row is known from its id,
//! so that counts and sums at the destination can be checked without keeping what was sent.
//!
//! | path | answer |
//! | --- | --- |
//! | `/rows?cursor=N` | `{"rows": [...], "next": "M"}`, a page from row N on; no `next` on the last |
//! | `/document` | `{"rows": [...]}`, all rows in one response, chunked |
//! | `/parents?cursor=N` | pages of `{"parent_id": I}` |
//! | `/parents/I/children` | the one row of a parent |

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

const CHUNK_ROWS: u64 = 4096;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The id of the first row.
    pub first: u64,
    /// What the id of a row is above that of the row before it.
    pub step: u64,
    pub rows: u64,
    pub page_rows: u64,
    pub parents: u64,
    /// How long a page takes, so that a test can interrupt between and within pages.
    pub page_delay: Duration,
}

impl Size {
    /// The id of the last row.
    fn last(self) -> u64 {
        self.first + (self.rows - 1) * self.step
    }

    fn ids(self) -> Ids {
        Ids {
            last: self.last(),
            step: self.step,
        }
    }
}

/// The ids of an endpoint's rows, whatever the first one is.
#[derive(Clone, Copy)]
struct Ids {
    last: u64,
    step: u64,
}

impl Ids {
    fn of_page(self, first: u64, rows: u64) -> impl Iterator<Item = u64> {
        (0..rows)
            .map(move |number| first + number * self.step)
            .take_while(move |id| *id <= self.last)
    }

    fn after_page(self, first: u64, rows: u64) -> Option<u64> {
        Some(first + rows * self.step).filter(|id| *id <= self.last)
    }
}

/// A running API.
#[derive(Debug)]
pub struct GeneratedApi {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    size: Size,
    stopped: AtomicBool,
    requests: AtomicU64,
    pages: Mutex<BTreeMap<u64, u32>>,
}

impl GeneratedApi {
    /// Starts to answer on a free port of the loopback address.
    pub fn start(size: Size) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("failed to bind a loopback port")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            size,
            stopped: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            pages: Mutex::new(BTreeMap::new()),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if serving.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(connection), shared) = (connection, Arc::clone(&serving)) else {
                    continue;
                };
                // A client that goes away ends its connection, and nothing else.
                thread::spawn(move || drop(shared.serve(&connection)));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How often each page of `/rows` was asked for, by the cursor.
    pub fn page_requests(&self) -> BTreeMap<u64, u32> {
        self.shared.pages().clone()
    }

    /// The sum of the column `amount_cents` over all rows.
    pub fn sum_of_amounts(&self) -> u64 {
        let size = self.shared.size;
        size.ids()
            .of_page(size.first, size.rows)
            .map(amount_cents)
            .sum()
    }
}

impl Drop for GeneratedApi {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // The accepting thread looks up when somebody calls.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn pages(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, u32>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers requests until the client closes the connection.
    fn serve(&self, connection: &TcpStream) -> std::io::Result<()> {
        connection.set_nodelay(true)?;
        let mut reader = BufReader::new(connection);
        while let Some(Request { target, is_last }) = read_request(&mut reader)? {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.answer(&target, connection)?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, target: &str, connection: &TcpStream) -> std::io::Result<()> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let cursor = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("cursor="))
            .and_then(|text| text.parse().ok())
            .unwrap_or(if path == "/rows" { self.size.first } else { 1 });
        match path {
            "/document" => self.send_document(connection),
            "/rows" => {
                *self.pages().entry(cursor).or_default() += 1;
                thread::sleep(self.size.page_delay);
                send(
                    connection,
                    "200 OK",
                    &self.page(cursor, self.size.ids(), write_row),
                )
            }
            "/parents" => send(
                connection,
                "200 OK",
                &self.page(
                    cursor,
                    Ids {
                        last: self.size.parents,
                        step: 1,
                    },
                    write_parent,
                ),
            ),
            _ => match child_of(path) {
                Some(parent) => {
                    thread::sleep(self.size.page_delay);
                    let mut body = String::from("{\"rows\":[");
                    write_row(&mut body, parent);
                    body.push_str("]}");
                    send(connection, "200 OK", &body)
                }
                None => send(connection, "404 Not Found", "{\"error\":\"no such path\"}"),
            },
        }
    }

    fn page(&self, first: u64, ids: Ids, write: fn(&mut String, u64)) -> String {
        let mut body = String::from("{\"rows\":[");
        write_all(&mut body, ids.of_page(first, self.size.page_rows), write);
        match ids.after_page(first, self.size.page_rows) {
            Some(next) => {
                let _ = write!(body, "],\"next\":\"{next}\"}}");
            }
            None => body.push_str("],\"next\":null}"),
        }
        body
    }

    fn send_document(&self, mut connection: &TcpStream) -> std::io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection.write_all(head.as_bytes())?;
        let ids = self.size.ids();
        let mut next = Some(self.size.first);
        let mut chunk = String::from("{\"rows\":[");
        while let Some(first) = next {
            write_all(&mut chunk, ids.of_page(first, CHUNK_ROWS), write_row);
            next = ids.after_page(first, CHUNK_ROWS);
            chunk.push_str(if next.is_some() { "," } else { "]}" });
            connection.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes())?;
            chunk.clear();
        }
        connection.write_all(b"0\r\n\r\n")
    }
}

struct Request {
    target: String,
    /// Whether the client wants the connection closed after the answer.
    is_last: bool,
}

/// The next request, its headers read; `None` where the client has closed.
fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut is_last = first.contains("HTTP/1.0");
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        is_last |= header.to_ascii_lowercase().starts_with("connection: close");
        header.clear();
    }
    let target = first.split(' ').nth(1).unwrap_or("/").to_owned();
    Ok(Some(Request { target, is_last }))
}

fn send(mut connection: &TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

fn child_of(path: &str) -> Option<u64> {
    path.strip_prefix("/parents/")?
        .strip_suffix("/children")?
        .parse()
        .ok()
}

fn write_all(body: &mut String, ids: impl Iterator<Item = u64>, write: fn(&mut String, u64)) {
    for (number, id) in ids.enumerate() {
        if number > 0 {
            body.push(',');
        }
        write(body, id);
    }
}

/// A row is known from its id.
fn write_row(body: &mut String, id: u64) {
    let (minute, hour, day) = (id % 60, id / 60 % 24, id / 1440 % 28 + 1);
    let _ = write!(
        body,
        "{{\"id\":{id},\"name\":\"row {id}\",\"category\":\"category {}\",\"amount_cents\":{},\"ratio\":{}.5,\
         \"is_even\":{},\"happened_at\":\"2026-01-{day:02}T{hour:02}:{minute:02}:00Z\",\"note\":null}}",
        id % 10,
        amount_cents(id),
        id % 1000,
        id.is_multiple_of(2),
    );
}

fn write_parent(body: &mut String, id: u64) {
    let _ = write!(body, "{{\"parent_id\":{id}}}");
}

fn amount_cents(id: u64) -> u64 {
    id * 7919 % 100_003
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    fn get(api: &GeneratedApi, target: &str) -> serde_json::Value {
        http::request("GET", api.port, target, &[], b"")
            .unwrap()
            .json()
            .unwrap()
    }

    #[test]
    fn pages_cover_every_row_once_and_are_counted() {
        let size = Size {
            first: 1,
            step: 1,
            rows: 25,
            page_rows: 10,
            parents: 3,
            page_delay: Duration::ZERO,
        };
        let api = GeneratedApi::start(size).unwrap();
        let (mut cursor, mut seen, mut sum) = ("1".to_owned(), 0, 0);
        loop {
            let page = get(&api, &format!("/rows?cursor={cursor}"));
            let rows = page["rows"].as_array().unwrap();
            seen += rows.len();
            sum += rows
                .iter()
                .filter_map(|row| row["amount_cents"].as_u64())
                .sum::<u64>();
            let Some(next) = page["next"].as_str() else {
                break;
            };
            next.clone_into(&mut cursor);
        }
        assert_eq!((seen, sum), (25, api.sum_of_amounts()));
        assert_eq!(
            api.page_requests(),
            BTreeMap::from([(1, 1), (11, 1), (21, 1)])
        );
        assert_eq!(get(&api, "/parents")["rows"].as_array().unwrap().len(), 3);
        assert_eq!(get(&api, "/parents/2/children")["rows"][0]["id"], 2);
    }
}
