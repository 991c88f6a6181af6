//! What an answer takes of an offer, as far as a sender must know it.

use media::TrackKind;

/// Returns the payload types of the first section of a kind, the server's favourite first. None when it is rejected.
pub(super) fn payload_types(answer: &str, kind: TrackKind) -> impl Iterator<Item = u8> {
    let prefix = match kind {
        TrackKind::Audio => "m=audio ",
        TrackKind::Video => "m=video ",
    };
    let section = answer.lines().find_map(|line| line.strip_prefix(prefix));
    // The port, then the protocol, then what is taken (RFC 8866 § 5.14).
    let mut words = section.unwrap_or_default().split_ascii_whitespace();
    let is_taken = words.next().is_some_and(|port| port != "0");
    words
        .skip(1)
        .filter(move |_| is_taken)
        .filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\nm=video 9 UDP/TLS/RTP/SAVPF 104 105\r\n";

    #[test]
    fn the_servers_favourite_comes_first() {
        let video: Vec<u8> = payload_types(ANSWER, TrackKind::Video).collect();

        assert_eq!(video, [104, 105]);
        assert_eq!(payload_types(ANSWER, TrackKind::Audio).next(), Some(111));
    }

    #[test]
    fn nothing_is_taken_of_what_is_rejected_or_not_there() {
        let rejected = ANSWER.replace("m=video 9", "m=video 0");

        assert_eq!(payload_types(&rejected, TrackKind::Video).next(), None);
        assert_eq!(payload_types("v=0", TrackKind::Audio).next(), None);
        assert_eq!(payload_types("m=audio", TrackKind::Audio).next(), None);
        assert_eq!(
            payload_types("m=audio 9 x y 300", TrackKind::Audio).next(),
            None
        );
    }
}
