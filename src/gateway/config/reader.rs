//! Reads variables one by one, remembering every mistake and every effective value.

use std::{fmt, fs::File, io::Read as _};

use broadcast::StreamKey;

use super::{
    Secret,
    secret::{mistaken_credential, weakness},
    variables::{Fallback, Variable, find},
};

/// How many bytes a file with a secret may have.
const LONGEST_SECRET_FILE_BYTES: u64 = 16 * 1024;

/// One mistake of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The variable, by the name under which it was set.
    pub variable: String,
    /// What is wrong with it, without a secret.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.variable, self.message)
    }
}

/// Every mistake of the configuration, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the configuration has ")?;
        match self.0.len() {
            1 => writeln!(formatter, "a mistake:")?,
            count => writeln!(formatter, "{count} mistakes:")?,
        }
        for mistake in &self.0 {
            writeln!(formatter, "  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Where an effective value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The variable of this name.
    Set(String),
    /// The table's fallback.
    Default,
}

/// One effective value, as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) name: &'static str,
    pub(super) shown: String,
    pub(super) origin: Origin,
}

struct Found {
    name: String,
    text: String,
}

pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) effective: Vec<Effective>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            mistakes: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// Whether something stands in the variable of exactly this name.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Remembers a mistake that shows only when values are seen together.
    pub(super) fn mistake(&mut self, variable: impl Into<String>, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            variable: variable.into(),
            message: message.into(),
        });
    }

    /// Reads a variable that has a textual default, which also stands in for a bad value, so that
    /// reading goes on and finds the other mistakes.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let Fallback::Text(default) = find(name).fallback else {
            unreachable!("{name} has a textual default")
        };
        if !self.find_any(name) {
            self.show(name, default.to_owned(), Origin::Default);
        }
        self.optional(name, &parse)
            .unwrap_or_else(|| parse(default).expect("the table's defaults are valid"))
    }

    /// Reads a variable; a bad value is remembered and counts as none.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.find(find(name))?;
        match parse(&found.text) {
            Ok(value) => {
                self.show(name, found.text, Origin::Set(found.name));
                Some(value)
            }
            Err(message) => {
                self.mistake(found.name, message);
                None
            }
        }
    }

    /// Reads a secret from its variable or its file, and refuses a weak one.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        let found = self.find(find(name))?;
        if let Some(message) = weakness(&found.text) {
            self.mistake(found.name, message);
            return None;
        }
        self.show(name, "(hidden)".to_owned(), Origin::Set(found.name));
        Some(Secret::new(found.text))
    }

    /// Reads what somebody else gave us to be known by, from its variable or its file. Its length is theirs to choose.
    pub(super) fn credential(&mut self, name: &'static str) -> Option<StreamKey> {
        let found = self.find(find(name))?;
        if let Some(message) = mistaken_credential(&found.text) {
            self.mistake(found.name, message);
            return None;
        }
        self.show(name, "(hidden)".to_owned(), Origin::Set(found.name));
        Some(StreamKey::new(found.text))
    }

    /// Reads what must not be shown and is more than a text; what `parse` says shows nothing of it.
    pub(super) fn hidden<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.find(find(name))?;
        match parse(&found.text) {
            Ok(value) => {
                self.show(name, "(hidden)".to_owned(), Origin::Set(found.name));
                Some(value)
            }
            Err(message) => {
                self.mistake(found.name, message);
                None
            }
        }
    }

    /// Reads a small text file, remembering a failure.
    pub(super) fn file(&mut self, variable: &str, path: &str) -> Option<String> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| {
            file.take(LONGEST_SECRET_FILE_BYTES + 1)
                .read_to_string(&mut text)
        });
        match read {
            Ok(bytes) if bytes as u64 > LONGEST_SECRET_FILE_BYTES => {
                self.mistake(variable, format!("the file {path} is longer than 16 KiB"));
                None
            }
            Ok(_) => Some(text),
            Err(error) => {
                self.mistake(variable, format!("the file {path} cannot be read: {error}"));
                None
            }
        }
    }

    /// Tells what a computed default came to.
    pub(super) fn computed(&mut self, name: &'static str, shown: impl fmt::Display) {
        self.show(name, shown.to_string(), Origin::Default);
    }

    fn show(&mut self, name: &'static str, shown: String, origin: Origin) {
        self.effective.push(Effective {
            name,
            shown,
            origin,
        });
    }

    /// Whether a variable is set by its own name or an alias.
    pub(super) fn find_any(&self, name: &str) -> bool {
        let variable = find(name);
        std::iter::once(&variable.name)
            .chain(variable.aliases)
            .any(|name| self.is_set(name))
    }

    /// The first name that is set; the others must agree with it.
    fn find(&mut self, variable: &'static Variable) -> Option<Found> {
        let mut all: Vec<Found> = std::iter::once(&variable.name)
            .chain(variable.aliases)
            .filter_map(|name| {
                Some(Found {
                    name: (*name).to_owned(),
                    text: self.text(name)?,
                })
            })
            .collect();
        if variable.secret {
            let name = format!("{}_FILE", variable.name);
            if let Some(path) = self.text(&name) {
                let text = self.file(&name, &path)?.trim().to_owned();
                if text.is_empty() {
                    self.mistake(name, format!("the file {path} is empty"));
                    return None;
                }
                all.push(Found { name, text });
            }
        }
        if all.is_empty() {
            return None;
        }
        let first = all.remove(0);
        for other in all {
            if other.text != first.text {
                self.mistake(first.name.clone(), format!("disagrees with {}", other.name));
            }
        }
        Some(first)
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = (self.lookup)(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}
