//! Hosted providers that are not there: small servers with the state, the quirks and, by script, the faults of the real ones.
