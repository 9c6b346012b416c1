//! The command line as people meet it: the real binary, its exit codes, and everything that it prints, word for word.

mod desk;
mod documents;
mod feeds;
mod jobs;
mod plans;
mod runs;
mod upkeep;
