//! One type per server. Each `start` picks free ports of 127.0.0.1, waits until the server answers, and the server stops
//! when the value is dropped. Each takes the folder of its installed component, which [`crate::require`] finds.

mod datasette;
mod graphql;
mod json_server;
mod nginx;
mod oauth2;
mod postgres;
mod rest_api;
mod seaweedfs;

pub use datasette::Datasette;
pub use graphql::GraphqlServer;
pub use json_server::JsonServer;
pub use nginx::Nginx;
pub use oauth2::{CLIENT_ID, CLIENT_SECRET, OauthServer};
pub use postgres::Postgres;
pub use rest_api::{RestApi, USER};
pub use seaweedfs::{ACCESS_KEY, BUCKET, SECRET_KEY, SeaweedFs, TABLE_BUCKET};

use crate::http;

/// A request that a server has answered, from its own log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    /// Path and query, as they were sent.
    pub target: String,
    pub status: u16,
}

/// The GETs of an access log whose lines hold `"GET /path?query HTTP/1.1" 200`.
fn answered(log: &str) -> Vec<Answered> {
    log.lines()
        .filter_map(|line| {
            let (_, request) = line.split_once("\"GET ")?;
            let (target, rest) = request.split_once(" HTTP/")?;
            let (_, status) = rest.split_once("\" ")?;
            let status = status.split_whitespace().next()?.parse().ok()?;
            Some(Answered {
                target: target.to_owned(),
                status,
            })
        })
        .collect()
}

/// Whether a GET is answered at all, with whatever status.
fn answers(port: u16, target: &str) -> bool {
    http::request("GET", port, target, &[], b"").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_in_the_logs_of_three_servers() {
        let log = "starting\n\
            [23/Nov/2026 02:58:04] \"GET /page/20?page=3 HTTP/1.1\" 404 26\n\
            INFO:     127.0.0.1:5 - \"GET /db/t.json?_next=10 HTTP/1.1\" 200 OK\n\
            \"GET /slow/2.json HTTP/1.1\" 429\n";
        let found = answered(log);
        let found: Vec<(&str, u16)> = found
            .iter()
            .map(|request| (request.target.as_str(), request.status))
            .collect();
        assert_eq!(
            found,
            [
                ("/page/20?page=3", 404),
                ("/db/t.json?_next=10", 200),
                ("/slow/2.json", 429)
            ]
        );
    }
}
