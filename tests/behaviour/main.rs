//! Behaviour of the whole, against servers and browsers that are not ours.

mod analyser;
mod servers;
mod weather;
