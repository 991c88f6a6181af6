//! Finds DTLS alerts, of which the core tells nobody.

/// The first bytes of DTLS datagrams (RFC 7983).
const DTLS: std::ops::RangeInclusive<u8> = 20..=63;
/// The content type of an alert (RFC 6347 § 4.1).
const ALERT: u8 = 21;

/// What a datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alert {
    /// Anybody may have written it; the core believes it even after the handshake.
    Plain,
    /// Only the studio can have written it, if it can be decrypted.
    Encrypted,
}

/// Looks for alerts among the records of a datagram; a plain one counts first.
pub(super) fn find(datagram: &[u8]) -> Option<Alert> {
    if !datagram.first().is_some_and(|first| DTLS.contains(first)) {
        return None;
    }
    let mut found = None;
    let mut records = datagram;
    while let [
        kind,
        _,
        _,
        epoch_high,
        epoch_low,
        _,
        _,
        _,
        _,
        _,
        _,
        high,
        low,
        rest @ ..,
    ] = records
    {
        if *kind == ALERT {
            if (*epoch_high, *epoch_low) == (0, 0) {
                return Some(Alert::Plain);
            }
            found = Some(Alert::Encrypted);
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records = rest.get(length..).unwrap_or_default();
    }
    found
}

/// Whether the core has written an alert.
pub(super) fn is_alert(datagram: &[u8]) -> bool {
    datagram.first() == Some(&ALERT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, epoch: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut record = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 1, 0, length];
        record.extend(payload);
        record
    }

    #[test]
    fn alerts_are_found_wherever_they_stand() {
        let (plain, encrypted) = (record(ALERT, 0, &[1, 0]), record(ALERT, 1, &[7; 26]));
        let handshake = record(22, 0, &[9; 40]);

        assert_eq!(find(&plain), Some(Alert::Plain));
        assert_eq!(find(&encrypted), Some(Alert::Encrypted));
        assert_eq!(find(&handshake), None);
        assert_eq!(
            find(&[handshake.clone(), plain.clone()].concat()),
            Some(Alert::Plain)
        );
        assert_eq!(
            find(&[encrypted, handshake, plain].concat()),
            Some(Alert::Plain)
        );
    }

    #[test]
    fn media_and_stun_hold_no_alert() {
        assert_eq!(find(&[0x80; 200]), None);
        assert_eq!(find(&[1; 200]), None);
        assert_eq!(find(&[]), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100), first in DTLS) {
            find(&bytes);
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            find(&bytes);
        }
    }
}
