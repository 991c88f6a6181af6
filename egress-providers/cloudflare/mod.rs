//! Cloudflare Stream: RTMPS in, up to fifty destinations that come and go while the show is on, and not a word about them.

mod webhook;
mod wire;
