//! Behaviour of the whole, against servers and browsers that are not ours.

mod analyser;
mod api;
mod heavy;
mod probe;
mod servers;
mod tidy;
mod weather;
mod whip;
