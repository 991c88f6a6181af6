//! What a server's refusal means, told without the secrets that it may repeat.

use broadcast::{Endpoint, Failure, Reason};

use super::{amf0::Value, black_box::What};

/// How much of a server's words is passed on, in characters.
const WORDS_LIMIT: usize = 200;

/// The shortest part of a key that is hidden in a server's words, in bytes; shorter ones would hide common words.
const KEY_PART_BYTES: usize = 4;

/// The same of an application, which is a word such as `live` unless it is part of the secret.
const APPLICATION_PART_BYTES: usize = 8;

/// Words by which servers say that the key, and not its use, is the matter.
const KEY_WORDS: [&str; 14] = [
    "auth",
    "key",
    "token",
    "credential",
    "permission",
    "denied",
    "forbidden",
    "not allowed",
    "unauthori",
    "signature",
    "expired",
    "password",
    "invalid name",
    "invalid stream",
];

/// Words by which servers say that another publisher holds the key: it will be free again.
const BUSY_WORDS: [&str; 5] = ["already", "in use", "busy", "exists", "duplicate"];

/// The step at which a server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    CreateStream,
    Publish,
}

impl Step {
    /// What the server's answer at this step is in the black box.
    pub(super) const fn what(self) -> What {
        match self {
            Self::Connect => What::ConnectReply,
            Self::CreateStream => What::CreateStream,
            Self::Publish => What::Publish,
        }
    }
}

/// `level`, `code` and `description` of an answer.
pub(super) struct Answer<'a> {
    pub(super) level: &'a str,
    pub(super) code: &'a str,
    description: &'a str,
}

impl<'a> Answer<'a> {
    /// Finds the first object with an answer among a command's values.
    pub(super) fn find(values: &'a [Value]) -> Self {
        let text = |name| {
            values
                .iter()
                .find_map(|value| value.member(name))
                .and_then(Value::as_str)
                .unwrap_or("")
        };
        Self {
            level: text("level"),
            code: text("code"),
            description: text("description"),
        }
    }

    /// The refusal as a failure.
    pub(super) fn failure(&self, step: Step, endpoint: &Endpoint) -> Failure {
        let reason = self.reason(step);
        let what = if reason == Reason::AppRefused {
            "the application"
        } else if reason == Reason::KeyRefused {
            "the stream key"
        } else {
            "to publish"
        };
        Failure::new(
            reason,
            format!("the server refused {what}{}", self.words(endpoint)),
        )
    }

    fn reason(&self, step: Step) -> Reason {
        let description = self.description.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
        if self.code == "NetConnection.Connect.InvalidApp" {
            return Reason::AppRefused;
        }
        if self.code == "NetStream.Publish.BadName" {
            // nginx answers so while the connection that was lost is still open on its side.
            return if says(&BUSY_WORDS) {
                Reason::PublishRefused
            } else {
                Reason::KeyRefused
            };
        }
        let about_key = says(&KEY_WORDS) && !says(&BUSY_WORDS);
        match step {
            Step::Connect if description.contains("authmod") || says(&["token", "stream key"]) => {
                Reason::KeyRefused
            }
            Step::Connect => Reason::AppRefused,
            Step::CreateStream => Reason::PublishRefused,
            Step::Publish if about_key => Reason::KeyRefused,
            Step::Publish => Reason::PublishRefused,
        }
    }

    /// Code and description, shortened and without the endpoint's secrets; empty when there is neither.
    pub(super) fn said(&self, endpoint: &Endpoint) -> String {
        let said = match (self.code, self.description) {
            ("", "") => return String::new(),
            ("", words) | (words, "") => words.to_owned(),
            (code, description) => format!("{code}, {description}"),
        };
        shown(&said, endpoint)
    }

    fn words(&self, endpoint: &Endpoint) -> String {
        let said = self.said(endpoint);
        if said.is_empty() {
            said
        } else {
            format!(": {said}")
        }
    }
}

/// A peer's words, shortened, and without any part of the endpoint's secrets.
fn shown(words: &str, endpoint: &Endpoint) -> String {
    let (key, application) = (
        endpoint.stream_key().expose(),
        endpoint.application().expose(),
    );
    if key.len() < KEY_PART_BYTES && words.contains(key) {
        return "(hidden)".to_owned();
    }
    let parts = |secret, shortest| secret_parts(secret).filter(move |part| part.len() >= shortest);
    let mut hidden: Vec<&str> = parts(key, KEY_PART_BYTES)
        .chain(parts(application, APPLICATION_PART_BYTES))
        .collect();
    // Longest first, so that no part hides half of a longer one and leaves the rest.
    hidden.sort_unstable_by_key(|part| std::cmp::Reverse(part.len()));
    let mut text = words.to_owned();
    for part in hidden {
        text = text.replace(part, "(hidden)");
    }
    text.chars()
        .filter(|c| !c.is_control())
        .take(WORDS_LIMIT)
        .collect()
}

fn secret_parts(secret: &str) -> impl Iterator<Item = &str> {
    secret.split(['/', '?', '&', '=']).chain([secret])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::parse(
            "rtmp://host/live2/secret-part",
            Some("abcd-1234?s=77/x&token=Zz99"),
        )
        .unwrap()
    }

    fn reason(step: Step, code: &'static str, description: &'static str) -> Reason {
        Answer {
            level: "error",
            code,
            description,
        }
        .failure(step, &endpoint())
        .reason
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let bad_name = "NetStream.Publish.BadName";

        assert_eq!(
            reason(Step::Connect, "NetConnection.Connect.Rejected", ""),
            Reason::AppRefused
        );
        assert_eq!(
            reason(
                Step::Connect,
                "NetConnection.Connect.Rejected",
                "[ authmod=adobe ] : ?reason=needauth"
            ),
            Reason::KeyRefused
        );
        assert_eq!(reason(Step::Publish, bad_name, ""), Reason::KeyRefused);
        assert_eq!(
            reason(Step::Publish, bad_name, "Already publishing"),
            Reason::PublishRefused
        );
        assert_eq!(
            reason(
                Step::Publish,
                "NetStream.Publish.Denied",
                "Authentication failed"
            ),
            Reason::KeyRefused
        );
        assert_eq!(
            reason(Step::Publish, "NetStream.Publish.Failed", ""),
            Reason::PublishRefused
        );
        assert_eq!(reason(Step::CreateStream, "", "no"), Reason::PublishRefused);
    }

    #[test]
    fn words_that_repeat_the_key_hide_it() {
        let answer = Answer {
            level: "error",
            code: "NetStream.Publish.BadName",
            description: "live2/secret-part/abcd-1234?s=77/x&token=Zz99: abcd-1234 with Zz99\r\n is unknown",
        };

        let message = answer.failure(Step::Publish, &endpoint()).message;

        assert!(message.ends_with("is unknown"), "{message}");
        for part in ["abcd", "1234", "Zz99", "secret", "\n"] {
            assert!(!message.contains(part), "{message}");
        }
    }

    #[test]
    fn words_with_a_very_short_key_are_not_shown() {
        let endpoint = Endpoint::parse("rtmp://host/live", Some("ab")).unwrap();
        let answer = Answer {
            level: "error",
            code: "NetStream.Failed",
            description: "no ab here",
        };

        let message = answer.failure(Step::Publish, &endpoint).message;

        assert_eq!(message, "the server refused to publish: (hidden)");
    }

    #[test]
    fn long_words_are_cut() {
        let words = "x".repeat(5_000);
        let answer = Answer {
            level: "error",
            code: "",
            description: &words,
        };

        let message = answer.failure(Step::Publish, &endpoint()).message;

        assert!(message.len() < 300);
    }
}
