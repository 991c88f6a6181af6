//! A search for pieces of secrets, in all the forms that they may be shown in.

use std::{collections::HashMap, fmt::Write as _};

/// At this many bytes in a row a piece of a secret is the secret; names of providers, which secrets of fakes hold, are shorter.
const PIECE_BYTES: usize = 12;

/// As many bytes of a piece as make whole characters in base64.
const WHOLE_BYTES: usize = PIECE_BYTES / 3 * 3;

/// What all forms of all pieces are at least as long as.
const BEGINNING_BYTES: usize = 8;

type Beginning = [u8; BEGINNING_BYTES];

/// What is looked for.
pub(super) struct Search {
    pieces: HashMap<Beginning, Vec<Vec<u8>>>,
    /// Whether a piece begins with this byte.
    first: [bool; 256],
}

impl Search {
    /// For secrets of at least [`PIECE_BYTES`].
    pub(super) fn new(secrets: &[String]) -> Self {
        let mut search = Self {
            pieces: HashMap::new(),
            first: [false; 256],
        };
        for secret in secrets {
            assert!(secret.len() >= PIECE_BYTES, "{secret} is too short");
            for piece in secret.as_bytes().windows(PIECE_BYTES) {
                for form in forms(piece) {
                    search.add(form);
                }
            }
        }
        search
    }

    fn add(&mut self, form: Vec<u8>) {
        let Some(beginning) = form.first_chunk::<BEGINNING_BYTES>() else {
            return;
        };
        self.first[usize::from(form[0])] = true;
        let alike = self.pieces.entry(*beginning).or_default();
        if !alike.contains(&form) {
            alike.push(form);
        }
    }

    /// The first line with a piece of a secret.
    pub(super) fn line_with_any<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.lines().find(|line| self.finds(line.as_bytes()))
    }

    fn finds(&self, line: &[u8]) -> bool {
        line.windows(BEGINNING_BYTES)
            .enumerate()
            .any(|(at, window)| {
                self.first[usize::from(window[0])]
                    && window
                        .first_chunk()
                        .and_then(|beginning| self.pieces.get(beginning))
                        .is_some_and(|pieces| {
                            pieces.iter().any(|piece| line[at..].starts_with(piece))
                        })
            })
    }
}

/// Whether there is a signed token in the line, whoever made it: a head and claims, both of which are JSON in base64.
pub(super) fn is_token(line: &str) -> bool {
    line.contains(".eyJ")
}

/// As it is, for a URL, in base64 of both alphabets, in hexadecimal, and as a list of bytes.
fn forms(piece: &[u8]) -> [Vec<u8>; 7] {
    let (mut escaped, mut hexadecimal, mut list) = (String::new(), String::new(), String::new());
    for &byte in piece {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        let _ = write!(hexadecimal, "{byte:02x}");
        let _ = write!(list, "{byte}, ");
    }
    let capitals = hexadecimal.to_uppercase();
    let whole = &piece[..WHOLE_BYTES];
    [
        piece.to_vec(),
        escaped.into_bytes(),
        base64(whole, *b"+/"),
        base64(whole, *b"-_"),
        capitals.into_bytes(),
        hexadecimal.into_bytes(),
        list.into_bytes(),
    ]
}

/// Base64 of whole groups of three bytes.
fn base64(bytes: &[u8], last_two: [u8; 2]) -> Vec<u8> {
    let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9');
    let alphabet: Vec<u8> = letters.chain(last_two).collect();
    let groups = bytes.as_chunks::<3>().0.iter();
    groups
        .flat_map(|&[a, b, c]| {
            let bits = u32::from_be_bytes([0, a, b, c]);
            [18, 12, 6, 0].map(|shift| alphabet[(bits >> shift) as usize & 0x3f])
        })
        .collect()
}

#[test]
fn a_secret_is_found_in_all_its_forms() {
    let search = Search::new(&["live_518204_Zq9?token=Yh7sJ2&x=a/b".to_owned()]);

    for text in [
        "a live_518204_Zq9?token=Yh7sJ2&x=a/b b",
        "first\ncut: live_518204_Z",
        "escaped: %3Ftoken%3DYh7sJ2%26x",
        // Behind nothing, one byte and two bytes.
        "bGl2ZV81MTgyMDRfWnE5P3Rva2Vu",
        "OmxpdmVfNTE4MjA0X1pxOT90b2tlbg==",
        "YTpsaXZlXzUxODIwNF9acTk/dG9rZW4=",
        "6c6976655f3531383230345f5a",
        "6C6976655F3531383230345F5A",
        "[108, 105, 118, 101, 95, 53, 49, 56, 50, 48, 52, 95, 90]",
    ] {
        assert!(search.line_with_any(text).is_some(), "{text}");
    }
    assert_eq!(search.line_with_any("nothing\nlive_5182 is short"), None);
    assert!(is_token(
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2ln"
    ));
}
