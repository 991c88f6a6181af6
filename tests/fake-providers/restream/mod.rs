//! Servers and services that take RTMP and are told targets: `MediaMTX`, `OvenMediaEngine`, Livepeer Studio, api.video.

mod api_video;
mod livepeer;
mod mediamtx;
mod oven;

pub use api_video::FakeApiVideo;
pub use livepeer::FakeLivepeer;
pub use mediamtx::FakeMediaMtx;
pub use oven::FakeOven;

use axum::http::{HeaderMap, header};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// What all of them take for the token of whoever may ask: `MediaMTX` as `castgate:TOKEN`.
pub const TOKEN: &str = "restream-token-of-a-test";

/// Whether the request says so.
fn is_authorized(headers: &HeaderMap, wanted: &str) -> bool {
    let said = headers.get(header::AUTHORIZATION);
    said.and_then(|said| said.to_str().ok()) == Some(wanted)
}

fn basic(text: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(text))
}
