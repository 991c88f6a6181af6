//! The peer that the inner ICE agent believes to talk to.
//!
//! The crate's agent needs the remote password, which mediasoup-client never sends, so the door speaks ICE with the
//! studio and this stub, whose credentials we chose, speaks ICE with the agent. The inner addresses never change,
//! whatever path the studio takes; an ICE restart does not reach the agent.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use rtc::{
    crypto::RTCCrypto,
    shared::{TransportContext, TransportProtocol},
    stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message},
};

use crate::door::stun::{Credentials, nominating_request, success};

/// The agent's own candidate. No packet ever carries it.
pub(crate) const AGENT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000));
/// The stub's address, likewise.
const STUB: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_001));

/// How far the agent has been led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Checking,
    Nominating,
    Done,
}

/// The stub peer of one agent.
#[derive(Debug)]
pub(crate) struct InnerPeer {
    agent: Credentials,
    stub: Credentials,
    stage: Stage,
}

impl InnerPeer {
    /// A stub with credentials of its own, for an agent with the credentials `agent`.
    pub(crate) fn new(agent: Credentials) -> Self {
        let stub = Credentials {
            fragment: "stub".to_owned(),
            password: "stubstubstubstubstubstub".to_owned(),
        };
        Self {
            agent,
            stub,
            stage: Stage::Idle,
        }
    }

    /// The stub's credentials, for the inner offer.
    pub(crate) const fn credentials(&self) -> &Credentials {
        &self.stub
    }

    /// The addresses with which everything goes into the agent.
    pub(crate) fn transport() -> TransportContext {
        TransportContext {
            local_addr: AGENT,
            peer_addr: STUB,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        }
    }

    /// The first message to the agent, once the studio has proven a path.
    pub(crate) fn start(&mut self, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
        if self.stage != Stage::Idle {
            return None;
        }
        self.stage = Stage::Checking;
        nominating_request(&self.stub, &self.agent, crypto)
    }

    /// Answers what the agent sends to its peer.
    pub(crate) fn handle_stun(&mut self, datagram: &[u8], crypto: &dyn RTCCrypto) -> Vec<Vec<u8>> {
        let mut message = Message {
            raw: datagram.to_vec(),
            ..Message::default()
        };
        if message.decode().is_err() {
            return Vec::new();
        }
        if message.typ == BINDING_REQUEST {
            let mut replies: Vec<Vec<u8>> =
                success(message.transaction_id, AGENT, &self.stub.password, crypto)
                    .into_iter()
                    .collect();
            if self.stage == Stage::Checking {
                // The pair is valid by our success; only now does a nomination select it.
                self.stage = Stage::Nominating;
                replies.extend(nominating_request(&self.stub, &self.agent, crypto));
            }
            return replies;
        }
        if message.typ == BINDING_SUCCESS && self.stage == Stage::Nominating {
            self.stage = Stage::Done;
        }
        Vec::new()
    }
}
