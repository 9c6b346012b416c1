//! Pages, credentials and rate limits as frameworks and servers of others have them. Rows are counted by DuckDB, requests by the server.

mod auth;
mod feed;
mod pagination;
mod rate_limits;
