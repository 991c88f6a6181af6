//! STUN as an ICE-lite agent speaks it (RFC 8489, RFC 8445 § 2.5): authenticated binding requests in, answers out.

use std::net::SocketAddr;

use rtc::{
    crypto::RTCCrypto,
    ice::attributes::{
        control::{AttrControlled, AttrControlling},
        use_candidate::UseCandidateAttr,
    },
    stun::{
        attributes::{ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY, ATTR_USERNAME},
        error_code::{CODE_ROLE_CONFLICT, ErrorCodeAttribute},
        fingerprint::FINGERPRINT,
        integrity::MessageIntegrity,
        message::{
            BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, MESSAGE_HEADER_SIZE, Message, Setter,
            TransactionId, is_stun_message,
        },
        textattrs::TextAttribute,
        xoraddr::XorMappedAddress,
    },
};

/// The longest STUN message that is looked at, in bytes. Chrome's have about 120.
const LONGEST_MESSAGE: usize = 1024;

/// Short-term credentials of one ICE agent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) fragment: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Credentials({})", self.fragment)
    }
}

/// A decoded message that nobody has vouched for yet.
pub(crate) struct Untrusted {
    message: Message,
}

/// A binding request whose sender knows our password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BindingRequest {
    transaction: TransactionId,
    /// The sender has chosen this path.
    pub(crate) nominates: bool,
    /// The sender believes to be controlled too, which a full agent opposite a lite one must not be.
    pub(crate) claims_control_is_ours: bool,
}

impl Untrusted {
    /// Decodes a datagram, `None` when it is not a well-formed STUN message.
    pub(crate) fn decode(datagram: &[u8]) -> Option<Self> {
        if datagram.len() > LONGEST_MESSAGE || !is_stun_message(datagram) {
            return None;
        }
        let mut message = Message {
            raw: datagram.to_vec(),
            ..Message::default()
        };
        message.decode().ok()?;
        // Bytes behind the message would not be covered by its integrity.
        (message.raw.len() == MESSAGE_HEADER_SIZE + message.length as usize)
            .then_some(Self { message })
    }

    /// The part of `USERNAME` left of the colon: which of our agents is meant.
    pub(crate) fn local_fragment(&self) -> Option<String> {
        if self.message.typ != BINDING_REQUEST {
            return None;
        }
        let username = TextAttribute::get_from_as(&self.message, ATTR_USERNAME)
            .ok()?
            .text;
        let (local, _) = username.split_once(':')?;
        Some(local.to_owned())
    }

    /// The transaction of a binding success, for matching with what we asked.
    pub(crate) fn success_transaction(&self) -> Option<TransactionId> {
        (self.message.typ == BINDING_SUCCESS).then_some(self.message.transaction_id)
    }

    /// Whether the sender knows `password`.
    pub(crate) fn verify(&mut self, password: &str, crypto: &dyn RTCCrypto) -> bool {
        self.message.contains(ATTR_MESSAGE_INTEGRITY)
            && MessageIntegrity::check(&mut self.message, password.as_bytes(), crypto).is_ok()
    }

    /// The request, once its sender has proven to know `password`.
    pub(crate) fn authenticate(
        mut self,
        password: &str,
        crypto: &dyn RTCCrypto,
    ) -> Option<BindingRequest> {
        if self.message.typ != BINDING_REQUEST || !self.verify(password, crypto) {
            return None;
        }
        Some(BindingRequest {
            transaction: self.message.transaction_id,
            nominates: UseCandidateAttr::is_set(&self.message),
            claims_control_is_ours: self.message.contains(ATTR_ICE_CONTROLLED),
        })
    }
}

impl BindingRequest {
    /// The answer to send back to `source`, or `None` when it cannot be built.
    pub(crate) fn answer(
        self,
        source: SocketAddr,
        password: &str,
        crypto: &dyn RTCCrypto,
    ) -> Option<Vec<u8>> {
        if self.claims_control_is_ours {
            let conflict = ErrorCodeAttribute {
                code: CODE_ROLE_CONFLICT,
                reason: b"Role Conflict".to_vec(),
            };
            return build(&[
                Box::new(BINDING_ERROR),
                Box::new(self.transaction),
                Box::new(conflict),
                Box::new(integrity(password, crypto)),
                Box::new(FINGERPRINT),
            ]);
        }
        build(&[
            Box::new(BINDING_SUCCESS),
            Box::new(self.transaction),
            Box::new(XorMappedAddress {
                ip: source.ip(),
                port: source.port(),
            }),
            Box::new(integrity(password, crypto)),
            Box::new(FINGERPRINT),
        ])
    }
}

/// A success without authentication of its request, as the inner agent's stub peer gives.
pub(crate) fn success(
    transaction: TransactionId,
    mapped: SocketAddr,
    password: &str,
    crypto: &dyn RTCCrypto,
) -> Option<Vec<u8>> {
    BindingRequest {
        transaction,
        nominates: false,
        claims_control_is_ours: false,
    }
    .answer(mapped, password, crypto)
}

/// A nominating request from a controlling agent `from` to the agent `to`.
pub(crate) fn nominating_request(
    from: &Credentials,
    to: &Credentials,
    crypto: &dyn RTCCrypto,
) -> Option<Vec<u8>> {
    let username = format!("{}:{}", to.fragment, from.fragment);
    build(&[
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId::new()),
        Box::new(TextAttribute::new(ATTR_USERNAME, username)),
        Box::new(UseCandidateAttr::new()),
        Box::new(AttrControlling(1)),
        Box::new(rtc::ice::attributes::priority::PriorityAttr(1)),
        Box::new(integrity(&to.password, crypto)),
        Box::new(FINGERPRINT),
    ])
}

/// A request with which a lite agent measures the round trip to a full one.
pub(crate) fn probe_request(
    from: &Credentials,
    to: &Credentials,
    crypto: &dyn RTCCrypto,
) -> Option<(TransactionId, Vec<u8>)> {
    let transaction = TransactionId::new();
    let username = format!("{}:{}", to.fragment, from.fragment);
    let request = build(&[
        Box::new(BINDING_REQUEST),
        Box::new(transaction),
        Box::new(TextAttribute::new(ATTR_USERNAME, username)),
        Box::new(AttrControlled(1)),
        Box::new(rtc::ice::attributes::priority::PriorityAttr(1)),
        Box::new(integrity(&to.password, crypto)),
        Box::new(FINGERPRINT),
    ])?;
    Some((transaction, request))
}

fn integrity<'a>(password: &str, crypto: &'a dyn RTCCrypto) -> MessageIntegrity<'a> {
    MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto)
}

fn build(setters: &[Box<dyn Setter + '_>]) -> Option<Vec<u8>> {
    let mut message = Message::new();
    message.build(setters).ok()?;
    Some(message.raw)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::crypto::default_provider;

    use super::*;

    fn credentials(name: &str) -> Credentials {
        Credentials {
            fragment: name.to_owned(),
            password: format!("password-of-{name}-0123456789"),
        }
    }

    #[test]
    fn a_request_is_believed_only_with_the_right_password() {
        let provider = default_provider().unwrap();
        let (door, studio) = (credentials("door"), credentials("studio"));
        let request = nominating_request(&studio, &door, provider.crypto()).unwrap();

        let trusted = Untrusted::decode(&request).unwrap();
        assert_eq!(trusted.local_fragment().as_deref(), Some("door"));
        assert!(
            trusted
                .authenticate(&door.password, provider.crypto())
                .unwrap()
                .nominates
        );

        let stranger = Untrusted::decode(&request).unwrap();
        assert_eq!(
            stranger.authenticate("another password", provider.crypto()),
            None
        );
    }

    #[test]
    fn a_flipped_bit_spoils_the_request() {
        let provider = default_provider().unwrap();
        let (door, studio) = (credentials("door"), credentials("studio"));
        let request = nominating_request(&studio, &door, provider.crypto()).unwrap();
        // Up to the integrity's value; the fingerprint behind it is not covered by it.
        for position in 8..request.len() - 8 {
            let mut spoilt = request.clone();
            spoilt[position] ^= 1;

            let believed = Untrusted::decode(&spoilt)
                .and_then(|message| message.authenticate(&door.password, provider.crypto()));

            assert_eq!(believed, None, "byte {position}");
        }
    }

    #[test]
    fn a_second_controlled_agent_gets_a_role_conflict() {
        let provider = default_provider().unwrap();
        let (door, studio) = (credentials("door"), credentials("studio"));
        let (_, request) = probe_request(&studio, &door, provider.crypto()).unwrap();
        let request = Untrusted::decode(&request)
            .unwrap()
            .authenticate(&door.password, provider.crypto())
            .unwrap();

        let answer = request
            .answer(
                "192.0.2.1:5".parse().unwrap(),
                &door.password,
                provider.crypto(),
            )
            .unwrap();

        assert_eq!(
            Untrusted::decode(&answer).unwrap().message.typ,
            BINDING_ERROR
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_is_never_believed(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            let provider = default_provider().unwrap();
            if let Some(message) = Untrusted::decode(&bytes) {
                let _ = message.local_fragment();
                prop_assert_eq!(message.authenticate("password", provider.crypto()), None);
            }
        }

        #[test]
        fn damaged_requests_never_panic(cut in 0usize..120, position in 0usize..120, value: u8) {
            let provider = default_provider().unwrap();
            let mut bytes =
                nominating_request(&credentials("studio"), &credentials("door"), provider.crypto()).unwrap();
            let position = position % bytes.len();
            bytes[position] = value;
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Some(message) = Untrusted::decode(&bytes) {
                let _ = message.local_fragment();
                let _ = message.authenticate("password-of-door-0123456789", provider.crypto());
            }
        }
    }
}
