//! The RTMP handshake: the simple form, which servers that know the digest form accept as well.

/// Bytes of C1, C2, S1 and S2.
pub(super) const BLOCK_BYTES: usize = 1_536;

/// Random bytes that each side puts into its first block.
pub(super) const RANDOM_BYTES: usize = BLOCK_BYTES - 8;

const VERSION: u8 = 3;

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the peer speaks version {0} of the handshake, not 3")]
    Version(u8),
}

/// The side that connects. What the server's blocks hold is not checked, since digest servers do not echo.
pub(super) struct ClientHandshake {
    received: Vec<u8>,
    answered: bool,
}

impl ClientHandshake {
    /// Begins; the bytes to send are C0 and C1.
    pub(super) fn new(random: &[u8; RANDOM_BYTES]) -> (Self, Vec<u8>) {
        // The zero after the time says that there is no digest.
        let mut first = vec![0; 9];
        first[0] = VERSION;
        first.extend(random);
        (
            Self {
                received: Vec::new(),
                answered: false,
            },
            first,
        )
    }

    /// Takes bytes and writes C2 once S1 is there. Returns what follows S2, when the handshake is over.
    pub(super) fn handle_bytes<'a>(
        &mut self,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, HandshakeError> {
        let missing = (1 + 2 * BLOCK_BYTES) - self.received.len();
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.received.extend(taken);
        match self.received.first() {
            Some(&version) if version != VERSION => return Err(HandshakeError::Version(version)),
            _ => {}
        }
        if !self.answered
            && let Some(first) = self.received.get(1..=BLOCK_BYTES)
        {
            out.extend(first);
            self.answered = true;
        }
        Ok((taken.len() == missing).then_some(rest))
    }
}

/// The side that listens.
pub(super) struct ServerHandshake {
    received: Vec<u8>,
    random: Box<[u8; RANDOM_BYTES]>,
    answered: bool,
}

/// How a client ended its handshake.
pub(super) struct ClientIn<'a> {
    /// The bytes after C2.
    pub(super) rest: &'a [u8],
    /// Whether C2 repeats the random bytes of S1, as it must.
    pub(super) echoed: bool,
}

impl ServerHandshake {
    pub(super) fn new(random: &[u8; RANDOM_BYTES]) -> Self {
        Self {
            received: Vec::new(),
            random: Box::new(*random),
            answered: false,
        }
    }

    /// Takes bytes and writes S0, S1 and S2 once C1 is there.
    pub(super) fn handle_bytes<'a>(
        &mut self,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientIn<'a>>, HandshakeError> {
        let missing = (1 + 2 * BLOCK_BYTES) - self.received.len();
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.received.extend(taken);
        match self.received.first() {
            Some(&version) if version != VERSION => return Err(HandshakeError::Version(version)),
            _ => {}
        }
        if !self.answered
            && let Some(first) = self.received.get(1..=BLOCK_BYTES)
        {
            out.push(VERSION);
            out.extend([0; 8]);
            out.extend(&*self.random);
            out.extend(first);
            self.answered = true;
        }
        Ok((taken.len() == missing).then(|| ClientIn {
            rest,
            echoed: self.received[1 + BLOCK_BYTES + 8..] == self.random[..],
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn client_and_server_finish_whatever_the_pieces() {
        for piece in [1, 7, 1_536, 1_537, 5_000] {
            let (mut client, first) = ClientHandshake::new(&[7; RANDOM_BYTES]);
            let mut server = ServerHandshake::new(&[9; RANDOM_BYTES]);
            let mut from_server = Vec::new();
            let mut from_client = Vec::new();

            for bytes in first.chunks(piece) {
                assert!(
                    server
                        .handle_bytes(bytes, &mut from_server)
                        .unwrap()
                        .is_none()
                );
            }
            from_server.extend(b"next");
            let mut rest: Vec<u8> = Vec::new();
            let mut finished = false;
            for bytes in from_server.chunks(piece) {
                if finished {
                    rest.extend(bytes);
                } else if let Some(left) = client.handle_bytes(bytes, &mut from_client).unwrap() {
                    finished = true;
                    rest.extend(left);
                }
            }
            let end = server
                .handle_bytes(&from_client, &mut Vec::new())
                .unwrap()
                .unwrap();

            assert_eq!(rest, b"next");
            assert!(end.echoed && end.rest.is_empty());
        }
    }

    #[test]
    fn another_version_is_refused_at_its_first_byte() {
        let (mut client, _) = ClientHandshake::new(&[0; RANDOM_BYTES]);

        let error = client.handle_bytes(b"HTTP/1.1 400", &mut Vec::new()).err();

        assert_eq!(error, Some(HandshakeError::Version(b'H')));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_handshake_panic(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 0..5),
        ) {
            let (mut client, _) = ClientHandshake::new(&[1; RANDOM_BYTES]);
            let mut server = ServerHandshake::new(&[2; RANDOM_BYTES]);
            let mut out = Vec::new();
            let all = [vec![VERSION]].into_iter().chain(pieces);
            for bytes in all {
                let over = client.handle_bytes(&bytes, &mut out).is_ok_and(|rest| rest.is_some());
                let ended = server.handle_bytes(&bytes, &mut out).is_ok_and(|end| end.is_some());
                if over || ended {
                    break;
                }
            }
        }
    }
}
