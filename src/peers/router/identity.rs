//! Our certificate in the DTLS handshakes of rooms: one for each process, made when it starts.

use ortc::{DtlsFingerprint, DtlsParameters, DtlsRole};
use rtc::{
    crypto::{HashAlgorithm, RTCCrypto},
    dtls::crypto::Certificate,
    shared::error::Error,
};

/// A self-signed ECDSA certificate with its key.
pub(crate) struct Identity {
    certificate: Certificate,
    fingerprint: String,
}

impl Identity {
    /// Makes one.
    pub(crate) fn new(crypto: &dyn RTCCrypto) -> Result<Self, Error> {
        // The name is of no use to anybody: the fingerprint is what counts.
        let certificate = Certificate::generate_self_signed(vec!["castgate".to_owned()], crypto)?;
        let first = certificate
            .certificate
            .first()
            .ok_or(Error::ErrNonCertificate)?;
        let fingerprint = fingerprint(first, crypto)?;
        Ok(Self {
            certificate,
            fingerprint,
        })
    }

    /// What is presented in a handshake.
    pub(crate) fn certificate(&self) -> Certificate {
        self.certificate.clone()
    }

    /// What clients are told.
    pub(crate) fn parameters(&self) -> DtlsParameters {
        DtlsParameters {
            role: DtlsRole::Auto,
            fingerprints: vec![DtlsFingerprint {
                algorithm: "sha-256".to_owned(),
                value: self.fingerprint.clone(),
            }],
        }
    }
}

/// The SHA-256 of a certificate as SDP says it (RFC 8122 § 5).
pub(crate) fn fingerprint(certificate: &[u8], crypto: &dyn RTCCrypto) -> Result<String, Error> {
    let hash = crypto
        .hash(HashAlgorithm::Sha256, certificate)
        .map_err(|error| Error::Crypto(error.to_string()))?;
    let bytes: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(bytes.join(":"))
}
