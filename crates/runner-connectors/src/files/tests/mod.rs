//! Files on disk, as lists and chains read them.

mod faults;
mod fixture;
mod formats;
mod independent;
mod resume;
mod splitting;
