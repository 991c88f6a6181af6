//! The publisher against real servers on loopback.

mod ffmpeg;
mod loopback;
mod nginx;
mod programme;
mod secure;
