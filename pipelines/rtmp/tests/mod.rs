//! The publisher against real servers on loopback.

mod after_cut;
mod black_box;
mod cutter;
mod decoded;
mod ffmpeg;
mod loopback;
mod nginx;
mod numbered;
mod paused;
mod programme;
mod secure;
