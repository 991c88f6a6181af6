//! The DTLS handshake of a transport, and the keys that come of it (RFC 5764). No I/O; time is an argument.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Instant,
};

use bytes::BytesMut;
use ortc::{DtlsParameters, DtlsRole};
use rtc::{
    crypto::{RTCCryptoProvider, SecretVec},
    dtls::{
        cipher_suite::CipherSuiteId,
        config::{
            ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig,
            VerifyPeerCertificateFn,
        },
        endpoint::{Endpoint, EndpointEvent},
        extension::extension_use_srtp::SrtpProtectionProfile,
        state::State,
    },
    shared::{TransportProtocol, error::Error},
    srtp::{config::LABEL_EXTRACTOR_DTLS_SRTP, protection_profile::ProtectionProfile},
};

use super::{
    RouterError,
    identity::{Identity, fingerprint},
};
use crate::srtp::SrtpKeys;

/// Datagrams that may wait for the client's fingerprint: a `ClientHello` and its repetitions.
const EARLY_LIMIT: usize = 16;
/// The most fingerprints that are looked at. Browsers tell one.
const FINGERPRINTS_LIMIT: usize = 16;
/// Letters of a SHA-256 fingerprint: 32 bytes with colons between.
const FINGERPRINT_LETTERS: usize = 95;
/// DTLS records that are remembered against replay.
const REPLAY_WINDOW: usize = 64;
/// The library tells connections apart by addresses. There is one, and its paths are the door's business.
const CLIENT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9));

/// The keys of both directions.
pub(super) struct Keys {
    pub(super) receiving: SrtpKeys,
    pub(super) sending: SrtpKeys,
}

/// What a datagram or a timer brought about.
pub(super) enum Step {
    /// Nothing that matters.
    Nothing,
    /// The client is who it said it is, and media can flow.
    Finished(Keys),
    /// The client said good-bye.
    Closed,
    /// There is no way on, for this reason.
    Failed(&'static str),
}

/// The handshake of one transport.
#[derive(Default)]
pub(super) struct Handshake {
    endpoint: Option<Endpoint>,
    /// Of the client's certificate, in capitals, in order.
    fingerprints: Vec<String>,
    early: VecDeque<BytesMut>,
    over: bool,
}

impl Handshake {
    /// Whether the client's fingerprint is known.
    pub(super) const fn is_begun(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Takes the client's fingerprint. What came before is to be replayed by [`replay`](Self::replay).
    pub(super) fn connect(
        &mut self,
        parameters: &DtlsParameters,
        identity: &Identity,
        crypto: &Arc<dyn RTCCryptoProvider>,
        now: Instant,
    ) -> Result<(), RouterError> {
        let fingerprints = known_fingerprints(parameters)?;
        if self.endpoint.is_some() {
            return if self.fingerprints == fingerprints {
                Ok(())
            } else {
                Err(RouterError::AlreadyConnected)
            };
        }
        let client_waits = parameters.role == DtlsRole::Server;
        let config = configuration(&fingerprints, client_waits, identity, crypto)
            .map_err(|error| internal(&error))?;
        let protocol = TransportProtocol::UDP;
        let mut endpoint = if client_waits {
            Endpoint::new(CLIENT, protocol, None)
        } else {
            Endpoint::new(CLIENT, protocol, Some(Arc::clone(&config)))
        };
        if client_waits {
            endpoint
                .connect(now, CLIENT, config, None)
                .map_err(|error| internal(&error))?;
        }
        self.fingerprints = fingerprints;
        self.endpoint = Some(endpoint);
        Ok(())
    }

    /// Handles the next of the datagrams that came before the client's fingerprint; `None`: there are no more.
    pub(super) fn replay(&mut self, now: Instant) -> Option<Step> {
        let datagram = self.early.pop_front()?;
        Some(self.read(datagram, now))
    }

    /// A datagram of DTLS.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> Step {
        let datagram = BytesMut::from(datagram);
        if self.endpoint.is_none() {
            // The newest are lost: the first is the one that counts, and it comes again.
            if self.early.len() < EARLY_LIMIT {
                self.early.push_back(datagram);
            }
            return Step::Nothing;
        }
        self.read(datagram, now)
    }

    /// What is to be sent.
    pub(super) fn poll_transmit(&mut self) -> Option<BytesMut> {
        Some(self.endpoint.as_mut()?.poll_transmit()?.message)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.as_ref()?.poll_timeout(&CLIENT)
    }

    /// Time has passed: flights are repeated.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(endpoint) = &mut self.endpoint
            && endpoint.poll_timeout(&CLIENT).is_some_and(|due| due <= now)
            && let Err(error) = endpoint.handle_timeout(CLIENT, now)
        {
            tracing::debug!(%error, "DTLS timer failed");
        }
    }

    /// Says good-bye.
    pub(super) fn close(&mut self, now: Instant) {
        if let Some(endpoint) = self.endpoint.as_mut().filter(|_| !self.over) {
            self.over = true;
            let _ = endpoint.close(now);
        }
    }

    fn read(&mut self, datagram: BytesMut, now: Instant) -> Step {
        let Some(endpoint) = self.endpoint.as_mut().filter(|_| !self.over) else {
            // After the end a late datagram would be taken for a new handshake.
            return Step::Nothing;
        };
        let events = match endpoint.read(now, CLIENT, None, datagram) {
            Ok(events) => events,
            Err(error) => {
                tracing::debug!(%error, "DTLS datagram refused");
                return Step::Nothing;
            }
        };
        for event in events {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "a non-exhaustive enum of another crate"
            )]
            match event {
                EndpointEvent::HandshakeComplete => {
                    let state = endpoint.get_connection_state(CLIENT);
                    return match state.map(keys) {
                        Some(Ok(keys)) => Step::Finished(keys),
                        _ => Step::Failed("no SRTP profile in common"),
                    };
                }
                EndpointEvent::PeerClosed => {
                    self.over = true;
                    return Step::Closed;
                }
                // Data channels are not spoken.
                _ => {}
            }
        }
        Step::Nothing
    }
}

/// The SHA-256 fingerprints, in order.
fn known_fingerprints(parameters: &DtlsParameters) -> Result<Vec<String>, RouterError> {
    let malformed = |what: &str| RouterError::Malformed(what.to_owned());
    if parameters.fingerprints.len() > FINGERPRINTS_LIMIT {
        return Err(malformed("more than 16 fingerprints"));
    }
    let mut known: Vec<String> = parameters
        .fingerprints
        .iter()
        .filter(|fingerprint| fingerprint.algorithm.eq_ignore_ascii_case("sha-256"))
        .map(|fingerprint| fingerprint.value.to_ascii_uppercase())
        .collect();
    if known.is_empty() {
        return Err(malformed("a sha-256 fingerprint is needed"));
    }
    let is_hexadecimal = |value: &String| {
        value.len() == FINGERPRINT_LETTERS
            && value
                .split(':')
                .all(|byte| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    if !known.iter().all(is_hexadecimal) {
        return Err(malformed("a fingerprint is not 32 bytes in hexadecimal"));
    }
    known.sort_unstable();
    known.dedup();
    Ok(known)
}

fn configuration(
    fingerprints: &[String],
    is_client: bool,
    identity: &Identity,
    crypto: &Arc<dyn RTCCryptoProvider>,
) -> Result<Arc<HandshakeConfig>, Error> {
    let expected = fingerprints.to_vec();
    let hasher = Arc::clone(crypto);
    let verify: VerifyPeerCertificateFn = Arc::new(move |certificates, _| {
        let first = certificates.first().ok_or(Error::ErrNonCertificate)?;
        let presented = fingerprint(first, hasher.crypto())?;
        if expected.contains(&presented) {
            Ok(())
        } else {
            Err(Error::ErrNoMatchingCertificateFingerprint)
        }
    });
    let config = ConfigBuilder::default()
        .with_crypto_provider(Arc::clone(crypto))
        .with_certificates(vec![identity.certificate()])
        .with_srtp_protection_profiles(vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ])
        // Those that our ECDSA certificate can satisfy.
        .with_cipher_suites(vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_256_Cbc_Sha,
        ])
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // Certificates are self-signed: the fingerprint below is what is verified.
        .with_insecure_skip_verify(true)
        .with_verify_peer_certificate(Some(verify))
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        .with_replay_protection_window(REPLAY_WINDOW)
        .build(is_client, None)?;
    Ok(Arc::new(config))
}

fn keys(state: &State) -> Result<Keys, Error> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a non-exhaustive enum of another crate"
    )]
    let profile = match state.srtp_protection_profile() {
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => {
            ProtectionProfile::Aes128CmHmacSha1_80
        }
        _ => return Err(Error::ErrNoSuchSrtpProfile),
    };
    let (key, salt) = (profile.key_len(), profile.salt_len());
    let material =
        state.export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], 2 * (key + salt))?;
    let bytes: &[u8] = material.as_ref();
    // RFC 5764 § 4.2: the client's key, the server's key, the client's salt, the server's salt.
    let (keys, salts) = bytes.split_at(2 * key);
    let of = |index: usize| {
        let master = [
            &keys[index * key..(index + 1) * key],
            &salts[index * salt..(index + 1) * salt],
        ]
        .concat();
        SrtpKeys::new(profile, Arc::new(SecretVec::new(master))).ok_or(Error::ErrNoSuchSrtpProfile)
    };
    let (client, server) = (of(0)?, of(1)?);
    Ok(if state.is_client() {
        Keys {
            receiving: server,
            sending: client,
        }
    } else {
        Keys {
            receiving: client,
            sending: server,
        }
    })
}

fn internal(error: &Error) -> RouterError {
    RouterError::Internal(error.to_string())
}

#[cfg(test)]
#[path = "dtls_tests.rs"]
mod tests;
