//! What every provider is held to, by suites that each of them joins with a line.

mod bench;
mod control_plane;
mod destinations;
mod failures;
mod renewal;
mod scripted;
mod sessions;
mod stage;
