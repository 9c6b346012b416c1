//! Files as sources: a file, a folder or a glob, local or in an object store, plain or compressed.
//!
//! From the outside in: [`FileSource`] is a stream, checked and ready. `listing` finds its files, once a run; `split` cuts large ones
//! where that is exact; each `piece` is a chain. `chain` delivers one, and sets a file aside that can't be read to its end while others
//! can. `text` and `columnar` read a piece on a thread of their own, from the bytes that `content` brings; `lines` knows which line of the
//! file one begins with.
//!
//! A page is a stretch of a piece behind which a barrier may stand: some mebibytes of CSV or JSON lines, a row group of Parquet, a
//! whole document. A chain goes on behind the last sealed page without reading it again: the list holds each file's version, and a
//! file that has another by now is an error.

mod chain;
mod columnar;
mod content;
mod error;
mod kind;
mod lines;
mod listing;
mod location;
mod piece;
mod remote;
mod source;
mod split;
#[cfg(test)]
mod tests;
mod text;

pub use source::FileSource;
