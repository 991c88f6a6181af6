//! ICE and DTLS of a transport, in the JSON of mediasoup.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::lenient;

/// The router's side of ICE. It is an ICE-lite agent: clients never tell theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceParameters {
    /// The user fragment.
    pub username_fragment: String,
    /// The password.
    pub password: String,
    /// Always true of the router's.
    #[serde(default)]
    pub ice_lite: bool,
}

/// What carries a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceProtocol {
    /// UDP.
    Udp,
    /// TCP (RFC 6544), passive.
    Tcp,
}

/// Where the router can be reached. Old clients read `ip`, new ones `address`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// Names what it is derived from.
    pub foundation: String,
    /// RFC 8445 § 5.1.2.
    pub priority: u32,
    /// The address.
    pub ip: IpAddr,
    /// The address again.
    pub address: IpAddr,
    /// What carries it.
    pub protocol: IceProtocol,
    /// The port.
    pub port: u16,
    /// Always `host`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `passive`, of TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_type: Option<String>,
}

/// The part in the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// Either.
    #[default]
    Auto,
    /// Begins it.
    Client,
    /// Waits for it.
    Server,
}

/// The hash of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsFingerprint {
    /// Such as `sha-256`.
    pub algorithm: String,
    /// Hexadecimal bytes with colons between.
    pub value: String,
}

/// One side of DTLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsParameters {
    /// Its part.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub role: DtlsRole,
    /// Its certificate's hashes. A mediasoup client uses the last one.
    pub fingerprints: Vec<DtlsFingerprint>,
}
