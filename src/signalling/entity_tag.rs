//! Strong entity tags (RFC 9110): how WHIP names an ICE session in `ETag` and `If-Match`.

use axum::http::{HeaderMap, HeaderValue, header};

/// What the client expects of the ICE session, by `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// No such header.
    None,
    /// `*`: whichever it is. By RFC 9725 this announces an ICE restart.
    Any,
    /// One of these strong tags; weak and malformed ones are left out, for they never match.
    OneOf(Vec<String>),
}

impl Expectation {
    /// Reads all `If-Match` headers. The examples of RFC 9725 write `*` in quotes, so both forms count.
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        let mut present = false;
        let mut tags = Vec::new();
        for value in headers.get_all(header::IF_MATCH) {
            present = true;
            for entry in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                match unquote(entry) {
                    _ if entry == "*" => return Self::Any,
                    Some("*") => return Self::Any,
                    Some(tag) => tags.push(tag.to_owned()),
                    None => {}
                }
            }
        }
        if present {
            Self::OneOf(tags)
        } else {
            Self::None
        }
    }
}

/// Writes a strong tag; `None` when the text cannot stand in one.
pub(crate) fn quoted(tag: &str) -> Option<HeaderValue> {
    let valid = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    if tag.is_empty() || !tag.bytes().all(valid) {
        return None;
    }
    HeaderValue::try_from(format!("\"{tag}\"")).ok()
}

fn unquote(entry: &str) -> Option<&str> {
    entry
        .strip_prefix('"')?
        .strip_suffix('"')
        .filter(|tag| !tag.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Expectation {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        Expectation::of_request(&headers)
    }

    #[test]
    fn lists_and_several_headers_are_one_expectation() {
        assert_eq!(
            of(&["\"a\", \"b\"", "\"c\""]),
            Expectation::OneOf(vec!["a".into(), "b".into(), "c".into()])
        );
    }

    #[test]
    fn weak_and_broken_tags_never_match() {
        assert_eq!(of(&["W/\"a\", b, \"c"]), Expectation::OneOf(vec![]));
    }

    #[test]
    fn a_star_counts_with_and_without_quotes() {
        assert_eq!(of(&["*"]), Expectation::Any);
        assert_eq!(of(&["\"*\""]), Expectation::Any);
        assert_eq!(of(&[]), Expectation::None);
    }

    #[test]
    fn a_tag_is_written_in_quotes_or_not_at_all() {
        assert_eq!(quoted("aB+/").unwrap(), "\"aB+/\"");
        assert_eq!(quoted("a\"b"), None);
        assert_eq!(quoted("a\r\nb"), None);
        assert_eq!(quoted(""), None);
    }
}
