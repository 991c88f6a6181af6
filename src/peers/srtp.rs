//! SRTP with keys that were agreed on elsewhere (RFC 3711), bounded against senders that make up SSRCs.

use std::{collections::HashSet, sync::Arc};

use bytes::{Bytes, BytesMut};
use rtc::{
    crypto::{RTCCryptoProvider, SecretVec},
    shared::error::Error,
    srtp::{
        context::Context,
        option::{srtcp_replay_protection, srtp_replay_protection},
        protection_profile::ProtectionProfile,
    },
};

use crate::plain::SrtpParameters;

/// How far a packet may be behind the newest: repetitions come a second late, at 500 packets a second.
const REPLAY_WINDOW: usize = 1024;
/// Packets of unknown SSRCs after which what was remembered of them is forgotten.
const PROBES_LIMIT: u32 = 64;

/// A profile, and a master key and salt behind each other, which nothing shows.
#[derive(Clone)]
pub(crate) struct SrtpKeys {
    profile: ProtectionProfile,
    key: Arc<SecretVec>,
}

impl SrtpKeys {
    /// `None`: not as long as the profile wants it.
    pub(crate) fn new(profile: ProtectionProfile, key: Arc<SecretVec>) -> Option<Self> {
        let wanted = profile.key_len() + profile.salt_len();
        (key.len() == wanted).then_some(Self { profile, key })
    }

    fn key_and_salt(&self) -> (&[u8], &[u8]) {
        let bytes: &[u8] = (*self.key).as_ref();
        bytes.split_at(self.profile.key_len())
    }
}

impl From<&SrtpParameters> for SrtpKeys {
    fn from(parameters: &SrtpParameters) -> Self {
        Self {
            profile: parameters.suite().profile(),
            key: parameters.key(),
        }
    }
}

/// Opens what a sender has sealed.
pub(crate) struct Opener {
    keys: SrtpKeys,
    crypto: Arc<dyn RTCCryptoProvider>,
    trusted: Context,
    /// Those that have proven themselves.
    ssrcs: HashSet<u32>,
    /// The most of them; a sender that has more begins anew.
    limit: usize,
    /// Tries packets of SSRCs that have proven nothing. A context remembers each SSRC that it is shown.
    probing: Context,
    probes: u32,
}

impl Opener {
    /// `limit`: how many SSRCs one sender may have that have proven themselves.
    pub(crate) fn new(
        keys: SrtpKeys,
        limit: usize,
        crypto: Arc<dyn RTCCryptoProvider>,
    ) -> Result<Self, Error> {
        Ok(Self {
            trusted: receiving(&keys, &crypto)?,
            probing: receiving(&keys, &crypto)?,
            keys,
            crypto,
            ssrcs: HashSet::new(),
            limit,
            probes: 0,
        })
    }

    /// The RTP packet, if it is authentic and new.
    pub(crate) fn open_rtp(&mut self, datagram: &[u8], ssrc: u32) -> Option<Bytes> {
        self.open(datagram, ssrc, |context, datagram| {
            context.decrypt_rtp(datagram)
        })
    }

    /// The RTCP compound, if it is authentic and new.
    pub(crate) fn open_rtcp(&mut self, datagram: &[u8]) -> Option<Bytes> {
        if !self.is_sealed(datagram) {
            return None;
        }
        let ssrc = datagram.get(4..8)?;
        let ssrc = u32::from_be_bytes([ssrc[0], ssrc[1], ssrc[2], ssrc[3]]);
        self.open(datagram, ssrc, |context, datagram| {
            context.decrypt_rtcp(datagram)
        })
    }

    /// Whether a compound says that it is encrypted (RFC 3711 § 3.4). The library takes one that says it is not without
    /// looking at its tag.
    fn is_sealed(&self, datagram: &[u8]) -> bool {
        const ENCRYPTED: u8 = 0x80;
        const INDEX_BYTES: usize = 4;
        let tag = self.keys.profile.rtcp_auth_tag_len();
        let index = datagram.len().checked_sub(tag + INDEX_BYTES);
        index
            .and_then(|index| datagram.get(index))
            .is_some_and(|first| first & ENCRYPTED != 0)
    }

    fn open(
        &mut self,
        datagram: &[u8],
        ssrc: u32,
        decrypt: impl Fn(&mut Context, &[u8]) -> Result<BytesMut, Error>,
    ) -> Option<Bytes> {
        if !self.ssrcs.contains(&ssrc) {
            self.probe(datagram, &decrypt)?;
            if self.ssrcs.len() >= self.limit {
                self.trusted = receiving(&self.keys, &self.crypto).ok()?;
                self.ssrcs.clear();
            }
            self.ssrcs.insert(ssrc);
        }
        decrypt(&mut self.trusted, datagram)
            .ok()
            .map(BytesMut::freeze)
    }

    fn probe(
        &mut self,
        datagram: &[u8],
        decrypt: &impl Fn(&mut Context, &[u8]) -> Result<BytesMut, Error>,
    ) -> Option<()> {
        self.probes += 1;
        if self.probes > PROBES_LIMIT {
            self.probing = receiving(&self.keys, &self.crypto).ok()?;
            self.probes = 1;
        }
        decrypt(&mut self.probing, datagram).ok().map(drop)
    }
}

/// Seals what goes out.
pub(crate) struct Sealer(Context);

impl Sealer {
    pub(crate) fn new(keys: &SrtpKeys, crypto: &Arc<dyn RTCCryptoProvider>) -> Result<Self, Error> {
        let (key, salt) = keys.key_and_salt();
        Context::new(key, salt, keys.profile, None, None, crypto.crypto()).map(Self)
    }

    /// Seals an RTP packet. `None`: the key has been used up.
    pub(crate) fn seal_rtp(&mut self, datagram: &[u8]) -> Option<BytesMut> {
        self.0.encrypt_rtp(datagram).ok()
    }

    /// Seals an RTCP compound.
    pub(crate) fn seal_rtcp(&mut self, datagram: &[u8]) -> Option<BytesMut> {
        self.0.encrypt_rtcp(datagram).ok()
    }
}

fn receiving(keys: &SrtpKeys, crypto: &Arc<dyn RTCCryptoProvider>) -> Result<Context, Error> {
    let (key, salt) = keys.key_and_salt();
    Context::new(
        key,
        salt,
        keys.profile,
        Some(srtp_replay_protection(REPLAY_WINDOW)),
        Some(srtcp_replay_protection(REPLAY_WINDOW)),
        crypto.crypto(),
    )
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;
    use crate::plain::CryptoSuite;

    const LIMIT: usize = 8;

    fn crypto() -> Arc<dyn RTCCryptoProvider> {
        rtc::crypto::default_provider().unwrap()
    }

    fn keys(suite: CryptoSuite, byte: u8) -> SrtpKeys {
        (&SrtpParameters::new(suite, vec![byte; suite.key_bytes()]).unwrap()).into()
    }

    fn datagram(ssrc: u32, sequence: u16) -> BytesMut {
        let mut datagram = BytesMut::from(&[0x80, 96][..]);
        datagram.put_u16(sequence);
        datagram.put_u32(1);
        datagram.put_u32(ssrc);
        datagram.put_slice(b"picture");
        datagram
    }

    #[test]
    fn what_is_sealed_is_opened_once_and_with_the_right_key_only() {
        for suite in CryptoSuite::ALL {
            let mut sealer = Sealer::new(&keys(suite, 7), &crypto()).unwrap();
            let mut right = Opener::new(keys(suite, 7), LIMIT, crypto()).unwrap();
            let mut wrong = Opener::new(keys(suite, 8), LIMIT, crypto()).unwrap();

            let plain = datagram(5, 1);
            let protected = sealer.seal_rtp(&plain).unwrap();

            assert_ne!(protected, plain);
            assert_eq!(wrong.open_rtp(&protected, 5), None);
            assert_eq!(right.open_rtp(&protected, 5).unwrap(), plain);
            assert_eq!(right.open_rtp(&protected, 5), None, "a replay");
        }
    }

    #[test]
    fn reports_are_sealed_and_opened() {
        let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
        for suite in CryptoSuite::ALL {
            let mut sealer = Sealer::new(&keys(suite, 7), &crypto()).unwrap();
            let mut opener = Opener::new(keys(suite, 7), LIMIT, crypto()).unwrap();

            let protected = sealer.seal_rtcp(&report).unwrap();

            assert_eq!(&opener.open_rtcp(&protected).unwrap()[..], report);
        }
    }

    #[test]
    fn a_report_that_says_it_is_not_encrypted_is_refused() {
        for suite in CryptoSuite::ALL {
            let mut opener = Opener::new(keys(suite, 7), LIMIT, crypto()).unwrap();
            let mut forged = vec![0x80, 203, 0, 1, 0, 0, 0, 9];
            forged.extend([0; 40]);

            assert_eq!(opener.open_rtcp(&forged), None);
        }
    }

    #[test]
    fn forged_ssrcs_do_not_disturb_the_stream() {
        let suite = CryptoSuite::AesCm128HmacSha1_80;
        let mut sealer = Sealer::new(&keys(suite, 7), &crypto()).unwrap();
        let mut opener = Opener::new(keys(suite, 7), LIMIT, crypto()).unwrap();
        // Over the wrap of the sequence number, which only a context that remembers the stream can follow.
        for number in 0..100_u16 {
            let sequence = 65_500_u16.wrapping_add(number);
            let plain = datagram(5, sequence);
            let protected = sealer.seal_rtp(&plain).unwrap();
            for forged in 0..10 {
                let ssrc = u32::from(number) * 10 + forged + 1000;
                assert_eq!(opener.open_rtp(&datagram(ssrc, sequence), ssrc), None);
            }

            assert_eq!(opener.open_rtp(&protected, 5).unwrap(), plain, "{sequence}");
        }
    }

    #[test]
    fn more_ssrcs_than_the_limit_are_opened_too() {
        let suite = CryptoSuite::AesCm128HmacSha1_80;
        let mut sealer = Sealer::new(&keys(suite, 7), &crypto()).unwrap();
        let mut opener = Opener::new(keys(suite, 7), LIMIT, crypto()).unwrap();

        for ssrc in 0..100 {
            let plain = datagram(ssrc, 1);
            let protected = sealer.seal_rtp(&plain).unwrap();
            assert_eq!(opener.open_rtp(&protected, ssrc).unwrap(), plain);
            assert!(opener.ssrcs.len() <= LIMIT);
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), gcm: bool) {
            let suite = CryptoSuite::ALL[usize::from(gcm)];
            let mut opener = Opener::new(keys(suite, 7), LIMIT, crypto()).unwrap();
            prop_assert!(opener.open_rtp(&bytes, 5).is_none());
            prop_assert!(opener.open_rtcp(&bytes).is_none());
        }
    }
}
