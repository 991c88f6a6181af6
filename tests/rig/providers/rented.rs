//! A fake provider that takes RTMPS, with the variables that make a gateway use it.

use std::{fmt, sync::Arc};

use anyhow::{Context, Result};
use fake_providers::{
    FakeSettings, Faults, Media, Records,
    cloudflare::{CloudflareQuirks, FakeCloudflare},
    livekit::{self, FakeLivekit},
    mux::{FakeMux, MuxQuirks},
    restream::{self, FakeMediaMtx},
};

use super::{RtmpMedia, WhipMedia};

/// Which provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlord {
    /// Cloudflare Stream.
    Cloudflare,
    /// `LiveKit`.
    Livekit,
    /// Mux.
    Mux,
    /// `MediaMTX`, as the provider `restream`.
    MediaMtx,
}

impl Landlord {
    /// The method of broadcasts that it carries, and its name as a provider.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Livekit => "livekit",
            Self::Mux => "mux",
            Self::MediaMtx => "restream",
        }
    }
}

/// A fake provider with real media.
#[derive(Debug)]
pub struct Rented {
    /// What goes wrong there.
    pub faults: Faults,
    moving: Moving,
    fake: Fake,
}

/// What moves its media.
#[derive(Debug)]
enum Moving {
    Rtmp(Arc<RtmpMedia>),
    Whip(Arc<WhipMedia>),
}

enum Fake {
    Cloudflare(FakeCloudflare),
    Livekit(FakeLivekit),
    Mux(FakeMux),
    MediaMtx(FakeMediaMtx),
}

impl fmt::Debug for Fake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Rented {
    /// Starts it with nothing in its account.
    pub async fn start(landlord: Landlord) -> Result<Self> {
        let faults = Faults::none();
        let moving = match landlord {
            Landlord::Livekit => Moving::Whip(WhipMedia::start().await?),
            Landlord::Cloudflare | Landlord::Mux | Landlord::MediaMtx => {
                Moving::Rtmp(RtmpMedia::start().await?)
            }
        };
        let media: Arc<dyn Media> = match &moving {
            Moving::Rtmp(media) => media.clone(),
            Moving::Whip(media) => media.clone(),
        };
        let settings = FakeSettings {
            faults: faults.clone(),
            media,
            ..FakeSettings::default()
        };
        let fake = match landlord {
            Landlord::Cloudflare => {
                let quirks = CloudflareQuirks::default();
                Fake::Cloudflare(FakeCloudflare::start(&settings, quirks).await?)
            }
            Landlord::Livekit => Fake::Livekit(FakeLivekit::start(settings).await?),
            Landlord::Mux => Fake::Mux(FakeMux::start(&settings, MuxQuirks::default()).await?),
            Landlord::MediaMtx => Fake::MediaMtx(FakeMediaMtx::start(settings).await?),
        };
        Ok(Self {
            faults,
            moving,
            fake,
        })
    }

    /// How many shows arrive there at the moment.
    pub fn publishing(&self) -> usize {
        match &self.moving {
            Moving::Rtmp(media) => media.publishing(),
            Moving::Whip(media) => media.publishing(),
        }
    }

    /// How often a publisher was turned away because another was there.
    pub fn collisions(&self) -> Result<usize> {
        match &self.moving {
            Moving::Rtmp(media) => media.collisions(),
            // Who comes later by WHIP takes over.
            Moving::Whip(_) => Ok(0),
        }
    }

    /// What its outputs have complained about.
    pub fn complaints(&self) -> String {
        match &self.moving {
            Moving::Rtmp(media) => media.complaints(),
            Moving::Whip(_) => String::new(),
        }
    }

    /// The variables of a gateway that may use it.
    pub fn variables(&self) -> Result<Vec<(&'static str, String)>> {
        let mut variables = Vec::new();
        let mut entrance = String::new();
        if let Moving::Rtmp(media) = &self.moving {
            let authority = media.authority().to_str().context("a path")?;
            variables.push(("SSL_CERT_FILE", authority.to_owned()));
            entrance = media.url();
        }
        match &self.fake {
            Fake::Cloudflare(fake) => variables.extend([
                ("CLOUDFLARE_ACCOUNT_ID", FakeCloudflare::ACCOUNT.to_owned()),
                ("CLOUDFLARE_API_TOKEN", FakeCloudflare::TOKEN.to_owned()),
                ("CLOUDFLARE_API_URL", fake.base().to_string()),
            ]),
            Fake::Livekit(fake) => variables.extend([
                ("LIVEKIT_URL", fake.base().to_string()),
                ("LIVEKIT_API_KEY", livekit::API_KEY.to_owned()),
                ("LIVEKIT_API_SECRET", livekit::API_SECRET.to_owned()),
            ]),
            Fake::Mux(fake) => variables.extend([
                ("MUX_TOKEN_ID", FakeMux::TOKEN_ID.to_owned()),
                ("MUX_TOKEN_SECRET", FakeMux::TOKEN_SECRET.to_owned()),
                ("MUX_API_URL", fake.base().to_string()),
                ("MUX_INGEST_URL", entrance),
            ]),
            Fake::MediaMtx(fake) => variables.extend([
                ("RESTREAM_KIND", "mediamtx".to_owned()),
                ("RESTREAM_API_URL", fake.base().to_string()),
                ("RESTREAM_TOKEN", format!("castgate:{}", restream::TOKEN)),
                ("RESTREAM_INGEST_URL", entrance),
            ]),
        }
        Ok(variables)
    }

    /// What a gateway is known by there, which nobody may see.
    pub const fn secret(&self) -> &'static str {
        match &self.fake {
            Fake::Cloudflare(_) => FakeCloudflare::TOKEN,
            Fake::Livekit(_) => livekit::API_SECRET,
            Fake::Mux(_) => FakeMux::TOKEN_SECRET,
            Fake::MediaMtx(_) => restream::TOKEN,
        }
    }

    /// What it was asked.
    pub const fn records(&self) -> &Records {
        match &self.fake {
            Fake::Cloudflare(fake) => fake.records(),
            Fake::Livekit(fake) => fake.records(),
            Fake::Mux(fake) => fake.records(),
            Fake::MediaMtx(fake) => fake.records(),
        }
    }

    /// The keys for its ways in that it has handed out, which nobody may see, either.
    pub async fn ingest_keys(&self) -> Vec<String> {
        match &self.fake {
            Fake::Livekit(fake) => {
                let mut keys = Vec::new();
                for room in fake.rooms().await {
                    keys.extend(fake.stream_keys(&room).await);
                }
                keys
            }
            // Their names of shows are the keys.
            Fake::Cloudflare(_) | Fake::Mux(_) | Fake::MediaMtx(_) => self.shows().await,
        }
    }

    /// Its names of the shows that it has something for.
    pub async fn shows(&self) -> Vec<String> {
        match &self.fake {
            Fake::Cloudflare(fake) => fake.inputs().into_iter().map(|input| input.key).collect(),
            Fake::Livekit(fake) => fake.rooms().await,
            Fake::Mux(fake) => fake
                .streams()
                .into_iter()
                .map(|stream| stream.key)
                .collect(),
            Fake::MediaMtx(fake) => fake.paths().into_keys().collect(),
        }
    }
}
