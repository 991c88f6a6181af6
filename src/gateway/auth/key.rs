//! Public keys for tokens, each bound to the one algorithm that its kind allows.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};

/// The fewest bytes of an RSA modulus: 2048 bits.
const SHORTEST_MODULUS_BYTES: usize = 256;

/// A format byte and two coordinates.
const UNCOMPRESSED_P256_POINT_BYTES: usize = 65;

/// The fewest base64 characters of an RSA modulus: 2048 bits.
const SHORTEST_MODULUS_CHARACTERS: usize = 341;

/// A key and the algorithm that it is pinned to.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl Key {
    /// Reads a PEM public key; its kind decides the algorithm: RSA is RS256, P-256 is ES256, Ed25519 is `EdDSA`.
    pub(super) fn of_pem(pem: &str) -> Result<Self, String> {
        if pem.contains("PRIVATE KEY") {
            return Err("is a private key; a public one is wanted here".to_owned());
        }
        let bytes = pem.as_bytes();
        let kinds = [
            (Algorithm::RS256, DecodingKey::from_rsa_pem(bytes)),
            (Algorithm::ES256, DecodingKey::from_ec_pem(bytes)),
            (Algorithm::EdDSA, DecodingKey::from_ed_pem(bytes)),
        ];
        let (algorithm, decoding) = kinds
            .into_iter()
            .find_map(|(algorithm, key)| Some((algorithm, key.ok()?)))
            .filter(|(algorithm, key)| has_length(*algorithm, key))
            .ok_or("is not a PEM public key of RSA (2048 bits or more), P-256 or Ed25519")?;
        Ok(Self {
            algorithm,
            decoding,
        })
    }

    /// Reads a published key; `None` when it is not for tokens of this gateway.
    pub(super) fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let signs = jwk
            .common
            .public_key_use
            .as_ref()
            .is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) if rsa.n.len() >= SHORTEST_MODULUS_CHARACTERS => {
                Algorithm::RS256
            }
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            AlgorithmParameters::RSA(_)
            | AlgorithmParameters::EllipticCurve(_)
            | AlgorithmParameters::OctetKeyPair(_)
            | AlgorithmParameters::OctetKey(_)
            | AlgorithmParameters::Other(_)
            | _ => return None,
        };
        let named = jwk
            .common
            .key_algorithm
            .is_none_or(|named| named == KeyAlgorithm::from(algorithm));
        if !signs || !named {
            return None;
        }
        Some(Self {
            algorithm,
            decoding: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

/// Whether a PEM key is as long as its algorithm wants: other curves come by the same reader.
fn has_length(algorithm: Algorithm, key: &DecodingKey) -> bool {
    let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    if algorithm == Algorithm::ES256 {
        bytes == UNCOMPRESSED_P256_POINT_BYTES
    } else {
        algorithm != Algorithm::RS256 || bytes >= SHORTEST_MODULUS_BYTES
    }
}

/// Says what is wrong with the PEM text of a public key.
pub(crate) fn check_public_key(pem: &str) -> Result<(), String> {
    Key::of_pem(pem).map(drop)
}
