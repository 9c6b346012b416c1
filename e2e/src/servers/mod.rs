//! One type per server. Each `start` picks free ports of 127.0.0.1, waits until the server answers, and the server stops
//! when the value is dropped. Each takes the folder of its installed component, which [`crate::require`] finds.

mod datasette;
mod graphql;
mod nginx;
mod oauth2;
mod postgres;
mod seaweedfs;

pub use datasette::Datasette;
pub use graphql::GraphqlServer;
pub use nginx::Nginx;
pub use oauth2::{CLIENT_ID, CLIENT_SECRET, OauthServer};
pub use postgres::Postgres;
pub use seaweedfs::{ACCESS_KEY, BUCKET, SECRET_KEY, SeaweedFs, TABLE_BUCKET};

use crate::http;

/// Whether a GET is answered at all, with whatever status.
fn answers(port: u16, target: &str) -> bool {
    http::request("GET", port, target, &[], b"").is_ok()
}
