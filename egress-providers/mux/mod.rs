//! Mux: RTMPS in, up to six destinations that can be changed only while nothing is live, each with its state.

mod webhook;
mod wire;
