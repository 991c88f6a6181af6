//! Downlinks in virtual time: against a client that looks at every packet, and behind a bottleneck.

mod bottleneck;
mod client;
mod hostile;
mod layers;
mod rig;
