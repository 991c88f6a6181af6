//! Behaviour of the whole, against servers and browsers that are not ours.

mod analyser;
mod api;
mod deployment;
mod fleet;
mod heavy;
mod plain_rtp_orders;
mod probe;
mod providers;
mod rooms_crowd;
mod rooms_hostile;
mod servers;
mod tidy;
mod weather;
mod whip;
