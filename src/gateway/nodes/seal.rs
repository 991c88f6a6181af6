//! Seals what the registry keeps of broadcasts: whoever reads the registry learns no key, and can put nothing in.

use fleet::Fence;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
};
use zeroize::Zeroizing;

/// The length of a secret in bytes.
const SECRET_BYTES: usize = 32;

/// The first byte of what is sealed in this way.
const VERSION: u8 = 1;

/// In front of what is sealed: the version, the number of the holding, the nonce.
const HEADER_BYTES: usize = 1 + 8 + NONCE_LEN;

/// Keeps these keys apart from others that are made of the same secret.
const PURPOSE: &[u8] = b"castgate broadcast state";

/// What is sealed cannot be opened: it is damaged, was sealed with another secret, or is another broadcast's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "what was written down of the broadcast cannot be opened; have all nodes the same SECRETS_KEY?"
)]
pub(crate) struct SealError;

/// Seals and opens with secrets that all nodes share. Cloning copies the keys.
#[derive(Clone)]
pub(crate) struct Sealer {
    /// The newest first, which seals; the others only open.
    keys: Vec<Prk>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sealer(hidden)")
    }
}

impl Sealer {
    /// With the newest secret, and those before it that something may still be sealed with.
    pub(crate) fn new<'a>(
        newest: &'a [u8; SECRET_BYTES],
        older: impl IntoIterator<Item = &'a [u8; SECRET_BYTES]>,
    ) -> Self {
        let salt = Salt::new(HKDF_SHA256, PURPOSE);
        let secrets = std::iter::once(newest).chain(older);
        Self {
            keys: secrets.map(|secret| salt.extract(secret)).collect(),
        }
    }

    /// Seals what is written down of a broadcast by whoever holds it by this number.
    pub(crate) fn seal(&self, broadcast: &str, fence: Fence, state: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&fence.0.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        let mut text = state.to_vec();
        let tag = key(&self.keys[0], broadcast, fence).seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(&sealed[..HEADER_BYTES - NONCE_LEN]),
            &mut text,
        );
        sealed.append(&mut text);
        sealed.extend_from_slice(tag.expect("a state is shorter than 64 GiB").as_ref());
        sealed
    }

    /// Opens what was sealed of a broadcast by whoever held it by this number, or by an earlier one.
    ///
    /// # Errors
    /// When it was sealed otherwise.
    pub(crate) fn open(
        &self,
        broadcast: &str,
        fence: Fence,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (header, text) = sealed.split_at_checked(HEADER_BYTES).ok_or(SealError)?;
        let (public, nonce) = header.split_at(HEADER_BYTES - NONCE_LEN);
        let &[VERSION, ref number @ ..] = public else {
            return Err(SealError);
        };
        let number: [u8; 8] = number.try_into().map_err(|_| SealError)?;
        let sealed_by = Fence(u64::from_be_bytes(number));
        if sealed_by > fence {
            return Err(SealError);
        }
        for secret in &self.keys {
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
            let mut text = Zeroizing::new(text.to_vec());
            let opened = key(secret, broadcast, sealed_by).open_in_place(
                nonce,
                Aad::from(public),
                &mut text,
            );
            if let Ok(length) = opened.map(|opened| opened.len()) {
                text.truncate(length);
                return Ok(text);
            }
        }
        Err(SealError)
    }
}

/// A key for each holding: so many are never sealed with one that two nonces could be the same.
fn key(secret: &Prk, broadcast: &str, fence: Fence) -> LessSafeKey {
    let number = fence.0.to_be_bytes();
    // The name is last: the rest has a fixed length.
    let info = [&number[..], broadcast.as_bytes()];
    let material = secret.expand(&info, &AES_256_GCM);
    let material = material.expect("a key is shorter than HKDF's limit");
    LessSafeKey::new(UnboundKey::from(material))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&[7; SECRET_BYTES], &[])
    }

    #[test]
    fn what_is_sealed_shows_nothing_and_opens_again() {
        let state = b"rtmp://host/live/a-secret-key";

        let sealed = sealer().seal("show", Fence(3), state);

        assert!(
            !sealed
                .windows(8)
                .any(|window| state.windows(8).any(|part| part == window))
        );
        assert_eq!(
            sealer().open("show", Fence(3), &sealed).unwrap()[..],
            state[..]
        );
        assert_ne!(sealed, sealer().seal("show", Fence(3), state));
    }

    #[test]
    fn whoever_took_over_and_wrote_nothing_leaves_what_was_written_before() {
        let sealed = sealer().seal("show", Fence(3), b"state");

        assert!(sealer().open("show", Fence(4), &sealed).is_ok());
        assert_eq!(sealer().open("show", Fence(2), &sealed), Err(SealError));
    }

    #[test]
    fn it_opens_for_no_other_broadcast_and_with_no_other_secret() {
        let sealed = sealer().seal("show", Fence(3), b"state");

        let other = Sealer::new(&[8; SECRET_BYTES], &[]);

        assert_eq!(sealer().open("shop", Fence(3), &sealed), Err(SealError));
        assert_eq!(other.open("show", Fence(3), &sealed), Err(SealError));
    }

    #[test]
    fn secrets_are_changed_without_losing_what_was_sealed_before() {
        let sealed = sealer().seal("show", Fence(3), b"state");

        let changed = Sealer::new(&[8; SECRET_BYTES], &[[7; SECRET_BYTES]]);

        assert!(changed.open("show", Fence(3), &sealed).is_ok());
        let sealed = changed.seal("show", Fence(3), b"state");
        assert_eq!(sealer().open("show", Fence(3), &sealed), Err(SealError));
    }

    proptest! {
        #[test]
        fn nothing_else_opens(bytes in proptest::collection::vec(any::<u8>(), 0..80), number in any::<u64>()) {
            prop_assert_eq!(sealer().open("show", Fence(number), &bytes), Err(SealError));
        }

        #[test]
        fn what_is_changed_anywhere_does_not_open(place in any::<prop::sample::Index>(), change in 1_u8..) {
            let mut sealed = sealer().seal("show", Fence(3), b"state");
            let place = place.index(sealed.len());
            sealed[place] ^= change;

            prop_assert_eq!(sealer().open("show", Fence(u64::MAX), &sealed), Err(SealError));
        }
    }
}
