//! Tokens of clients, as they stand in a header, which no formatter can print.

use std::fmt;

use axum::http::{HeaderMap, header};
use zeroize::Zeroizing;

/// The longest token, in bytes; signed ones with many claims stay below 4 KiB.
const LONGEST_BYTES: usize = 8 * 1024;

/// What a client shows to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(Zeroizing<String>);

/// Why there is no token in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BearerError {
    /// Another scheme than `Bearer`.
    #[error("the Authorization header must be 'Bearer' and a token")]
    Scheme,
    /// More than one header.
    #[error("there must be one Authorization header")]
    Ambiguous,
    /// Empty, longer than 8 KiB, or with characters that no token has.
    #[error("the token has no valid form")]
    Form,
}

impl Bearer {
    /// Takes 1 to 8192 characters of the token alphabet (RFC 6750: `A-Z a-z 0-9 - . _ ~ + / =`).
    pub fn new(token: impl Into<String>) -> Result<Self, BearerError> {
        let token = Zeroizing::new(token.into());
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if (1..=LONGEST_BYTES).contains(&token.len()) && token.bytes().all(valid) {
            Ok(Self(token))
        } else {
            Err(BearerError::Form)
        }
    }

    /// Reads the `Authorization` header; `None` when there is none, or no token in it.
    pub fn of_request(headers: &HeaderMap) -> Result<Option<Self>, BearerError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(BearerError::Ambiguous);
        }
        let value = value.to_str().map_err(|_| BearerError::Form)?.trim();
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        match (scheme.eq_ignore_ascii_case("bearer"), token.trim()) {
            (false, _) => Err(BearerError::Scheme),
            // What clients send whose token field was left empty.
            (true, "") => Ok(None),
            (true, token) => Self::new(token).map(Some),
        }
    }

    /// The token itself, for checking and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Bearer(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Result<Option<Bearer>, BearerError> {
        let headers = values
            .iter()
            .map(|value| {
                (
                    header::AUTHORIZATION,
                    HeaderValue::from_str(value).expect("a header"),
                )
            })
            .collect();
        Bearer::of_request(&headers)
    }

    #[test]
    fn a_token_is_read_whatever_the_case_of_the_scheme() {
        assert_eq!(of(&["bearer a.b-c"]).unwrap().unwrap().expose(), "a.b-c");
        assert_eq!(of(&[]).unwrap(), None);
    }

    #[test]
    fn what_is_no_token_is_told() {
        assert_eq!(of(&["Basic dXNlcjpwdw=="]), Err(BearerError::Scheme));
        assert_eq!(of(&["Bearer"]), Ok(None));
        assert_eq!(of(&["Bearer a b"]), Err(BearerError::Form));
        assert_eq!(
            of(&[&format!("Bearer {}", "a".repeat(8193))]),
            Err(BearerError::Form)
        );
        assert_eq!(of(&["Bearer a", "Bearer b"]), Err(BearerError::Ambiguous));
    }

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(
            format!("{:?}", Bearer::new("hunter2").unwrap()),
            "Bearer(hidden)"
        );
    }
}
