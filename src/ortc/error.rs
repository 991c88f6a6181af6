//! Why parameters are not taken.

/// Why parameters are not taken. The words are for the client's developer; they hold no more than [`MAX_WORDS_BYTES`] of
/// what came.
///
/// [`MAX_WORDS_BYTES`]: crate::MAX_WORDS_BYTES
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrtcError {
    /// They break a rule, in words.
    #[error("{0}")]
    Malformed(String),
    /// They are well formed, but ask for something that is not there, in words.
    #[error("{0}")]
    Unsupported(String),
}

/// How much of what came may stand in an error, in bytes: enough to find the place, too little to flood a log.
pub const MAX_WORDS_BYTES: usize = 200;

/// An [`OrtcError::Malformed`] of these words, cut to [`MAX_WORDS_BYTES`].
pub(crate) fn malformed(words: impl Into<String>) -> OrtcError {
    OrtcError::Malformed(cut(words.into()))
}

/// An [`OrtcError::Unsupported`] of these words, cut to [`MAX_WORDS_BYTES`].
pub(crate) fn unsupported(words: impl Into<String>) -> OrtcError {
    OrtcError::Unsupported(cut(words.into()))
}

fn cut(mut words: String) -> String {
    if words.len() > MAX_WORDS_BYTES {
        let end = (0..=MAX_WORDS_BYTES)
            .rev()
            .find(|index| words.is_char_boundary(*index))
            .unwrap_or(0);
        words.truncate(end);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_between_characters() {
        let OrtcError::Malformed(words) = malformed("é".repeat(MAX_WORDS_BYTES)) else {
            unreachable!("malformed makes Malformed");
        };

        assert_eq!(words, "é".repeat(MAX_WORDS_BYTES / 2));
    }
}
