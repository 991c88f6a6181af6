//! SDP fragments of trickle ICE (`application/trickle-ice-sdpfrag`, RFC 8840): enough of them to know what is asked.

/// The most candidates in one fragment; a browser with many interfaces sends a dozen.
const CANDIDATES_LIMIT: usize = 256;

/// What stands in a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fragment<'a> {
    /// The ICE user fragment, if told.
    pub ufrag: Option<&'a str>,
    /// The ICE password, if told.
    pub password: Option<&'a str>,
    /// How many candidates it brings.
    pub candidates: usize,
    /// Whether no more candidates will come.
    pub complete: bool,
}

/// Why a text is no fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// A line that is not a letter, `=` and a value.
    #[error("a line is not of the form a=value")]
    Line,
    /// A user fragment that RFC 8839 forbids.
    #[error("ice-ufrag must have 4 to 256 ICE characters")]
    Ufrag,
    /// A password that RFC 8839 forbids.
    #[error("ice-pwd must have 22 to 256 ICE characters")]
    Password,
    /// Two values for one ICE session.
    #[error("the fragment names two ICE sessions")]
    Ambiguous,
    /// More candidates than anybody has.
    #[error("a fragment has at most {CANDIDATES_LIMIT} candidates")]
    TooMany,
    /// Nothing in it.
    #[error("the fragment is empty")]
    Empty,
}

impl<'a> Fragment<'a> {
    /// Reads a fragment; attributes that say nothing about ICE are passed over.
    pub fn parse(text: &'a str) -> Result<Self, FragmentError> {
        let mut fragment = Self::default();
        let mut empty = true;
        for line in text.lines().filter(|line| !line.is_empty()) {
            empty = false;
            let mut letters = line.chars();
            let kind = letters
                .next()
                .filter(char::is_ascii_lowercase)
                .ok_or(FragmentError::Line)?;
            let value = letters
                .as_str()
                .strip_prefix('=')
                .ok_or(FragmentError::Line)?;
            if value.chars().any(char::is_control) {
                return Err(FragmentError::Line);
            }
            if kind == 'a' {
                fragment.take(value)?;
            }
        }
        if empty {
            Err(FragmentError::Empty)
        } else {
            Ok(fragment)
        }
    }

    fn take(&mut self, attribute: &'a str) -> Result<(), FragmentError> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-ufrag" => {
                check(value, 4).ok_or(FragmentError::Ufrag)?;
                put(&mut self.ufrag, value)
            }
            "ice-pwd" => {
                check(value, 22).ok_or(FragmentError::Password)?;
                put(&mut self.password, value)
            }
            "candidate" if self.candidates == CANDIDATES_LIMIT => Err(FragmentError::TooMany),
            "candidate" => {
                self.candidates += 1;
                Ok(())
            }
            "end-of-candidates" => {
                self.complete = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn check(value: &str, least: usize) -> Option<()> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    ((least..=256).contains(&value.len()) && value.bytes().all(valid)).then_some(())
}

fn put<'a>(place: &mut Option<&'a str>, value: &'a str) -> Result<(), FragmentError> {
    if place.replace(value).is_some_and(|earlier| earlier != value) {
        Err(FragmentError::Ambiguous)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of RFC 9725, section 4.3.2, shortened.
    const TRICKLE: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\na=end-of-candidates\r\n";

    #[test]
    fn the_example_of_the_rfc_is_understood() {
        assert_eq!(
            Fragment::parse(TRICKLE),
            Ok(Fragment {
                ufrag: Some("EsAw"),
                password: Some("P2uYro0UCOQ4zxjKXaWCBui1"),
                candidates: 1,
                complete: true,
            })
        );
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        for (text, error) in [
            ("", FragmentError::Empty),
            ("\r\n", FragmentError::Empty),
            ("hello", FragmentError::Line),
            ("a:b", FragmentError::Line),
            ("A=b", FragmentError::Line),
            ("a=x\u{0}", FragmentError::Line),
            ("a=ice-ufrag:abc", FragmentError::Ufrag),
            ("a=ice-ufrag:ab\"cd", FragmentError::Ufrag),
            ("a=ice-pwd:short", FragmentError::Password),
            (
                "a=ice-ufrag:abcd\na=ice-ufrag:abce",
                FragmentError::Ambiguous,
            ),
        ] {
            assert_eq!(Fragment::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            Fragment::parse(&"a=candidate:1\n".repeat(257)),
            Err(FragmentError::TooMany)
        );
    }

    proptest! {
        #[test]
        fn hostile_fragments_never_panic(text in "(a=|m=|ice-ufrag:|candidate:|\r\n|\\PC|[\u{0}-\u{7f}]){0,200}") {
            if let Ok(fragment) = Fragment::parse(&text) {
                prop_assert!(fragment.candidates <= CANDIDATES_LIMIT);
                prop_assert!(fragment.ufrag.is_none_or(|ufrag| ufrag.len() >= 4));
            }
        }
    }
}
