//! SDP fragments of trickle ICE and ICE restarts (RFC 8840).

use crate::{SessionError, door::stun::Credentials};

/// The longest fragment, in bytes: some dozens of candidates.
const LONGEST_FRAGMENT: usize = 16 * 1024;

/// Checks a fragment and takes its credentials, if it has some.
pub(crate) fn parse(text: &str) -> Result<Option<Credentials>, SessionError> {
    if text.len() > LONGEST_FRAGMENT {
        return Err(malformed("it is longer than 16 KiB"));
    }
    let (mut fragment, mut password) = (None, None);
    for line in text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
    {
        let Some((kind, value)) = line.split_once('=') else {
            return Err(malformed("a line is not SDP"));
        };
        match kind {
            "m" => {}
            "a" => {
                if let Some(value) = value.strip_prefix("ice-ufrag:") {
                    fragment = Some(value.to_owned());
                } else if let Some(value) = value.strip_prefix("ice-pwd:") {
                    password = Some(value.to_owned());
                }
            }
            _ => return Err(malformed("only m= and a= lines may stand in it")),
        }
    }
    match (fragment, password) {
        (Some(fragment), Some(password)) if valid(&fragment, 4) && valid(&password, 22) => {
            Ok(Some(Credentials { fragment, password }))
        }
        (None, None) => Ok(None),
        _ => Err(malformed(
            "ice-ufrag and ice-pwd must both be valid (RFC 8445)",
        )),
    }
}

fn malformed(what: &str) -> SessionError {
    SessionError::Malformed(what.to_owned())
}

/// RFC 8839 § 5.4: ice-char, with a least length.
fn valid(text: &str, shortest: usize) -> bool {
    (shortest..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_come_with_a_restart_only() {
        let trickle = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n";
        let restart = format!(
            "a=ice-ufrag:abcd\r\na=ice-pwd:{}\r\n{trickle}",
            "p".repeat(22)
        );

        assert_eq!(parse(trickle), Ok(None));
        assert_eq!(parse(&restart).unwrap().unwrap().fragment, "abcd");
        assert!(parse("a=ice-ufrag:abcd\r\n").is_err());
        assert!(parse("hello").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,400}") {
            let _ = parse(&text);
        }
    }
}
