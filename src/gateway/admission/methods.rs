//! Which methods this node can run, and why not the others.

use std::collections::BTreeSet;

use broadcast::{Method, Provider};
use pipelines::ffmpeg::{Ffmpeg, FfmpegAbsent};

use crate::config;

/// A method that this node cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the method {method} is not available on this node: {why}")]
pub struct MethodUnavailable {
    /// Which.
    pub method: Method,
    /// Why, for an operator: what to install or to set, without a secret.
    pub why: String,
}

/// A provider that a destination names, and that this node cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the provider {provider} is not available on this node: set {needs}")]
pub struct ProviderUnavailable {
    /// Which.
    pub provider: Provider,
    /// The variables that would make it available.
    pub needs: &'static str,
}

/// What was found at the start. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Methods {
    ffmpeg: Result<Ffmpeg, FfmpegAbsent>,
    hosted: BTreeSet<Provider>,
}

impl Methods {
    /// Knows of this `FFmpeg`, or why there is none.
    pub const fn new(ffmpeg: Result<Ffmpeg, FfmpegAbsent>) -> Self {
        let hosted = BTreeSet::new();
        Self { ffmpeg, hosted }
    }

    /// And can use these hosted providers.
    #[must_use]
    pub fn with_hosted(mut self, hosted: impl IntoIterator<Item = Provider>) -> Self {
        self.hosted = hosted.into_iter().collect();
        self
    }

    /// The `FFmpeg` that can be used.
    pub fn ffmpeg(&self) -> Option<&Ffmpeg> {
        self.ffmpeg.as_ref().ok()
    }

    /// Whether broadcasts can have this method.
    pub fn check(&self, method: Method) -> Result<(), MethodUnavailable> {
        let why = match (method, &self.ffmpeg) {
            (Method::Ffmpeg, Err(error)) => Some(error.to_string()),
            _ => method
                .provider()
                .and_then(|provider| self.check_provider(provider).err())
                .map(|error| format!("set {}", error.needs)),
        };
        why.map_or(Ok(()), |why| Err(MethodUnavailable { method, why }))
    }

    /// Whether destinations can name this provider.
    pub fn check_provider(&self, provider: Provider) -> Result<(), ProviderUnavailable> {
        if !provider.is_hosted() || self.hosted.contains(&provider) {
            return Ok(());
        }
        let needs = config::needs(provider);
        Err(ProviderUnavailable { provider, needs })
    }

    /// What `FFmpeg` is like, in a few words.
    pub fn describe_ffmpeg(&self) -> String {
        match &self.ffmpeg {
            Err(error) => format!("not available: {error}"),
            Ok(ffmpeg) => {
                let version = ffmpeg.full_version();
                let missing = ffmpeg.missing_encoders();
                if missing.is_empty() {
                    version.to_owned()
                } else {
                    format!(
                        "{version}, without {}: it can copy only",
                        missing.join(", ")
                    )
                }
            }
        }
    }

    /// Tells the log what is there and what is missing. It is a warning when broadcasts need it by default.
    pub fn announce(&self, default: Method) {
        let ffmpeg = self.describe_ffmpeg();
        let is_complete = self
            .ffmpeg()
            .is_some_and(|ffmpeg| ffmpeg.missing_encoders().is_empty());
        if is_complete {
            tracing::info!(ffmpeg, "the method ffmpeg is available");
        } else if default == Method::Ffmpeg {
            tracing::warn!(
                ffmpeg,
                "STREAMING_METHOD is ffmpeg, which this node cannot run as it should"
            );
        } else {
            tracing::info!(ffmpeg, "the method ffmpeg is not available in full");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::Path};

    use super::*;

    fn find(program: &str) -> Methods {
        Methods::new(Ffmpeg::find(Path::new(program), OsStr::new("/usr/bin")))
    }

    #[test]
    fn an_absent_program_makes_one_method_unavailable_in_words() {
        let methods = find("no-such-ffmpeg");

        let refused = methods.check(Method::Ffmpeg).unwrap_err();

        assert!(methods.check(Method::Gstreamer).is_ok());
        assert!(
            refused.to_string().contains("apt-get install ffmpeg"),
            "{refused}"
        );
        assert!(methods.describe_ffmpeg().starts_with("not available: "));
        assert!(methods.ffmpeg().is_none());
    }

    #[test]
    fn a_program_that_is_there_makes_all_available() {
        let methods = find("ffmpeg");

        assert!(methods.check(Method::Ffmpeg).is_ok());
        assert!(methods.ffmpeg().is_some());
        methods.announce(Method::Ffmpeg);
    }

    #[test]
    fn a_hosted_method_is_there_when_its_provider_is_configured() {
        let methods = find("ffmpeg").with_hosted([Provider::Mux]);

        let refused = methods.check(Method::Livekit).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "the method livekit is not available on this node: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        );
        assert!(methods.check(Method::Mux).is_ok() && methods.check(Method::Hybrid).is_ok());
        assert!(methods.check_provider(Provider::Own).is_ok());
        assert!(methods.check_provider(Provider::Daily).is_err());
    }
}
