//! Downlinks in virtual time.
