//! Files on disk, as lists and chains read them.

mod faults;
mod fixture;
mod formats;
mod independent;
mod lines;
mod resume;
mod splitting;
