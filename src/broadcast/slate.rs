//! What a broadcast does while its studio is away.

use std::time::Duration;

/// The longest title, in characters: two lines of the card.
const LONGEST_TITLE: usize = 80;

/// The longest freeze before the slate.
const LATEST_SLATE: Duration = Duration::from_mins(1);

/// The longest slate, in minutes: half a day.
const MOST_MINUTES: u32 = 720;

/// The slate of a broadcast as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlateSpec {
    enabled: bool,
    title: String,
    after: Duration,
    limit: Duration,
}

impl Default for SlateSpec {
    /// A card without a title, 2 s after the studio's last picture, for 10 minutes.
    fn default() -> Self {
        Self {
            enabled: true,
            title: String::new(),
            after: Duration::from_secs(2),
            limit: Duration::from_mins(10),
        }
    }
}

impl SlateSpec {
    /// Asks for a slate; what is `None` is as in the default.
    ///
    /// `title` has at most 80 characters, none of them a control character; `after_milliseconds` is at most
    /// 60,000; `minutes` is 1 to 720.
    pub fn new(
        enabled: Option<bool>,
        title: Option<String>,
        after_milliseconds: Option<u64>,
        minutes: Option<u32>,
    ) -> Result<Self, SlateSpecError> {
        let default = Self::default();
        let title = title.unwrap_or(default.title);
        if title.chars().count() > LONGEST_TITLE || title.chars().any(char::is_control) {
            return Err(SlateSpecError::Title);
        }
        let after = after_milliseconds.map_or(default.after, Duration::from_millis);
        if after > LATEST_SLATE {
            return Err(SlateSpecError::After);
        }
        let limit = match minutes {
            Some(minutes @ 1..=MOST_MINUTES) => Duration::from_mins(u64::from(minutes)),
            Some(_) => return Err(SlateSpecError::Minutes),
            None => default.limit,
        };
        Ok(Self {
            enabled: enabled.unwrap_or(default.enabled),
            title,
            after,
            limit,
        })
    }

    /// Whether anything stands in at all. Without, destinations are closed when the studio stays away.
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// What the default card says; may be empty.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How long the last picture stands before the slate comes.
    pub const fn after(&self) -> Duration {
        self.after
    }

    /// How long the studio may stay away before the broadcast ends.
    pub const fn limit(&self) -> Duration {
        self.limit
    }
}

/// Why a slate cannot be as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlateSpecError {
    /// The title is too long or has control characters.
    #[error("a title has at most {LONGEST_TITLE} characters and no control characters")]
    Title,
    /// The freeze would be too long.
    #[error("the slate comes after 0 to 60000 ms")]
    After,
    /// Too short or too long.
    #[error("the slate lasts 1 to {MOST_MINUTES} minutes")]
    Minutes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slate(
        title: &str,
        after: Option<u64>,
        minutes: Option<u32>,
    ) -> Result<SlateSpec, SlateSpecError> {
        SlateSpec::new(None, Some(title.to_owned()), after, minutes)
    }

    #[test]
    fn what_is_not_said_is_as_in_the_default() {
        assert_eq!(
            SlateSpec::new(None, None, None, None),
            Ok(SlateSpec::default())
        );
    }

    #[test]
    fn every_limit_holds_at_its_bound() {
        assert!(slate(&"é".repeat(80), Some(60_000), Some(720)).is_ok());
        assert_eq!(
            slate(&"é".repeat(81), None, None),
            Err(SlateSpecError::Title)
        );
        assert_eq!(slate("a\nb", None, None), Err(SlateSpecError::Title));
        assert_eq!(slate("", Some(60_001), None), Err(SlateSpecError::After));
        assert_eq!(slate("", None, Some(0)), Err(SlateSpecError::Minutes));
        assert_eq!(slate("", None, Some(721)), Err(SlateSpecError::Minutes));
    }
}
