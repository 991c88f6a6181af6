//! The publisher against real servers on loopback.

mod loopback;
mod nginx;
mod programme;
mod secure;
