//! Where packets leave: stamped, numbered over the whole transport, and remembered. Pure; time is an argument.

use std::time::Instant;

use super::{
    DownlinkHands,
    packet::{ExtensionIds, Packet, Stamp, Stream},
    prober::Prober,
    sent::Sent,
};

/// What the network adds to a datagram: the tag of SRTP, UDP and IPv4.
const OVERHEAD_BYTES: usize = 10 + 8 + 20;
/// Units of `abs-send-time` in a second: 6 bits of seconds, 18 of fraction.
const SEND_TIME_UNITS: i128 = 1 << 18;

/// The way out of one transport.
#[derive(Debug)]
pub(super) struct Wire {
    /// Reused memory.
    datagram: Vec<u8>,
    pub(super) sent: Sent,
    pub(super) prober: Prober,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self {
            datagram: Vec::new(),
            sent: Sent::new(1),
            prober: Prober::default(),
        }
    }

    /// Sends a packet, at a moment of the client's wall clock in nanoseconds. What had a stamp before keeps it, and is
    /// not remembered again.
    pub(super) fn send(
        &mut self,
        (ids, packet, stream): (&ExtensionIds, &Packet, Stream),
        before: Option<Stamp>,
        ours: i64,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) -> Stamp {
        let stamp = before.unwrap_or_else(|| Stamp {
            send_time: send_time(ours),
            transport_sequence: self.sent.next_on_the_wire(),
        });
        ids.write(packet, stream, stamp, &mut self.datagram);
        if before.is_none() && ids.has_transport_sequence() {
            let bytes = self.datagram.len() + OVERHEAD_BYTES;
            self.sent.push(bytes, now);
            self.prober.count(bytes);
        }
        hands.send_rtp(&self.datagram);
        stamp
    }
}

/// The lowest 24 bits of a time in units of 2^-18 s.
fn send_time(nanoseconds: i64) -> u32 {
    let units = i128::from(nanoseconds) * SEND_TIME_UNITS / 1_000_000_000;
    u32::try_from(units.rem_euclid(1 << 24)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_sending_has_six_bits_of_seconds() {
        assert_eq!(send_time(0), 0);
        assert_eq!(send_time(1_500_000_000), 0x06_0000);
        assert_eq!(send_time(64_250_000_000), 0x01_0000);
    }
}
