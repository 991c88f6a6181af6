//! What a fake does with media: a trait, so that the same fake answers requests alone or moves real pictures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

/// Where a show is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// An RTMP(S) address without its key, or a WHIP endpoint without its token.
    pub url: String,
    /// The key or token.
    pub key: String,
}

/// How one output of a show is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputState {
    /// There is none of this name.
    Absent,
    /// It is there, and nothing has arrived at its destination yet.
    Connecting,
    /// Its destination takes the show.
    Live,
    /// It has been given up, in words.
    Failed(String),
}

/// Moves shows. A show is named by its key; an output of it by a word that its owner chooses.
#[async_trait]
pub trait Media: Send + Sync + fmt::Debug + 'static {
    /// Makes ready to take in the show `key`.
    async fn ingest(&self, key: &str) -> Ingest;

    /// Whether the show arrives at the moment.
    fn is_arriving(&self, key: &str) -> bool;

    /// Sends the show to `url`, which has its stream key at its end, as soon as it arrives.
    async fn connect(&self, key: &str, output: &str, url: &str);

    /// Ends one output, if it is there.
    async fn disconnect(&self, key: &str, output: &str);

    /// How an output is.
    fn state(&self, key: &str, output: &str) -> OutputState;

    /// Ends the show with all its outputs, and takes it in no more.
    async fn forget(&self, key: &str);
}

/// Moves nothing, and says of shows what it is told to.
#[derive(Debug, Default)]
pub struct NoMedia(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// Whether all shows arrive that nobody has said anything about.
    all_arrive: bool,
    arriving: BTreeMap<String, bool>,
    outputs: BTreeMap<(String, String), String>,
    /// What is found in an output's URL, with the words of its failure.
    failures: BTreeMap<String, String>,
    forgotten: BTreeSet<String>,
}

impl NoMedia {
    /// Nothing arrives until it is told so.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Every show arrives at once.
    pub fn arriving() -> Self {
        Self(Mutex::new(Told {
            all_arrive: true,
            ..Told::default()
        }))
    }

    /// From now on `key` arrives.
    pub fn arrive(&self, key: &str) {
        self.lock().arriving.insert(key.to_owned(), true);
    }

    /// From now on `key` does not arrive.
    pub fn leave(&self, key: &str) {
        self.lock().arriving.insert(key.to_owned(), false);
    }

    /// From now on outputs with `part` in their URL fail.
    pub fn fail(&self, part: &str, words: &str) {
        self.lock()
            .failures
            .insert(part.to_owned(), words.to_owned());
    }

    /// From now on outputs with `part` in their URL do not fail any more.
    pub fn mend(&self, part: &str) {
        self.lock().failures.remove(part);
    }

    /// Where the show `key` is sent, in the order of the outputs' names.
    pub fn outputs(&self, key: &str) -> Vec<String> {
        self.lock()
            .outputs
            .iter()
            .filter(|((show, _), _)| show == key)
            .map(|(_, url)| url.clone())
            .collect()
    }

    /// Whether the show `key` was taken in and is not any more.
    pub fn is_forgotten(&self, key: &str) -> bool {
        self.lock().forgotten.contains(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Media for NoMedia {
    async fn ingest(&self, key: &str) -> Ingest {
        self.lock().forgotten.remove(key);
        Ingest {
            // The port of the discard protocol: nothing of this process listens there.
            url: "rtmp://127.0.0.1:9/live".to_owned(),
            key: key.to_owned(),
        }
    }

    fn is_arriving(&self, key: &str) -> bool {
        let told = self.lock();
        let arrives = told.arriving.get(key).copied();
        arrives.unwrap_or(told.all_arrive) && !told.forgotten.contains(key)
    }

    async fn connect(&self, key: &str, output: &str, url: &str) {
        let name = (key.to_owned(), output.to_owned());
        self.lock().outputs.insert(name, url.to_owned());
    }

    async fn disconnect(&self, key: &str, output: &str) {
        let name = (key.to_owned(), output.to_owned());
        self.lock().outputs.remove(&name);
    }

    fn state(&self, key: &str, output: &str) -> OutputState {
        let arriving = self.is_arriving(key);
        let told = self.lock();
        let name = (key.to_owned(), output.to_owned());
        let Some(url) = told.outputs.get(&name) else {
            return OutputState::Absent;
        };
        let failure = told.failures.iter().find(|(part, _)| url.contains(*part));
        match failure {
            Some((_, words)) => OutputState::Failed(words.clone()),
            None if arriving => OutputState::Live,
            None => OutputState::Connecting,
        }
    }

    async fn forget(&self, key: &str) {
        let mut told = self.lock();
        told.outputs.retain(|(show, _), _| show != key);
        told.arriving.remove(key);
        told.forgotten.insert(key.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_output_is_live_while_its_show_arrives() {
        let media = NoMedia::silent();
        media.ingest("show").await;
        media
            .connect("show", "1", "rtmp://a.example/live/key")
            .await;

        assert_eq!(media.state("show", "1"), OutputState::Connecting);
        media.arrive("show");
        assert_eq!(media.state("show", "1"), OutputState::Live);
        media.leave("show");
        assert_eq!(media.state("show", "1"), OutputState::Connecting);
        media.disconnect("show", "1").await;
        assert_eq!(media.state("show", "1"), OutputState::Absent);
    }

    #[tokio::test]
    async fn an_output_fails_by_its_address() {
        let media = NoMedia::arriving();
        media.fail("/refused", "the key is refused");
        media
            .connect("show", "1", "rtmp://a.example/live/refused")
            .await;
        media
            .connect("show", "2", "rtmp://a.example/live/taken")
            .await;

        assert_eq!(
            media.state("show", "1"),
            OutputState::Failed("the key is refused".to_owned())
        );
        assert_eq!(media.state("show", "2"), OutputState::Live);
    }

    #[tokio::test]
    async fn a_forgotten_show_has_no_outputs() {
        let media = NoMedia::arriving();
        media
            .connect("show", "1", "rtmp://a.example/live/key")
            .await;

        media.forget("show").await;

        assert!(media.outputs("show").is_empty());
        assert!(media.is_forgotten("show") && !media.is_arriving("show"));
    }
}
