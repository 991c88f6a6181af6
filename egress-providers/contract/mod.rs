//! What every provider is held to, by suites that each of them joins with a line.

mod scripted;
mod sessions;
mod stage;
