//! Makes the providers that are configured.

use std::{io, path::PathBuf, sync::Arc, time::SystemTime};

use broadcast::Provider;
use egress_providers::{
    Limits, Own, Prices, ProcessLeases, Trust,
    cloudflare::{CLOUDFLARE_RATES, Cloudflare, CloudflareSettings},
    daily::{
        DAILY_RATES, Daily, DailyContribution, DailySettings, DailySetupError, DailyTokens,
        SIDECAR_PYTHON, Sidecar, SidecarSettings,
    },
    hosted::{
        ApiSetupError, Contribute, DirectoryHandles, HandleStore, HandleStoreError, Hosted,
        HostedApi, HostedParts, LocalBudget, MemoryHandles, Observer, Owner, Push, Rates,
        Surroundings,
    },
    livekit::{Livekit, LivekitSettings, Picture},
    mux::{MUX_RATES, Mux, MuxSettings},
    restream::{Restream, RestreamKind, RestreamSettings, RestreamSetupError},
};
use pipelines::decoder::Canvas;

use super::{Hosting, Providers, owner};
use crate::{
    config::{
        CloudflareConfig, DailyConfig, HostedConfig, LivekitConfig, MuxConfig, OwnerConfig,
        RestreamConfig, owner_of,
    },
    slates::Slates,
    whip_out::WhipOut,
};

/// The folder in the state folder for what was made at providers.
const HANDLES: &str = "providers";

/// Why a provider cannot be used as it is configured. Its texts hold no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderSetupError {
    /// Its API cannot be asked.
    #[error("{0} cannot be asked: {1}")]
    Api(Provider, #[source] ApiSetupError),
    /// Daily cannot be asked.
    #[error("daily cannot be used: {0}")]
    Daily(#[from] DailySetupError),
    /// The server or service that takes RTMP cannot be asked.
    #[error("restream cannot be used: {0}")]
    Restream(#[from] RestreamSetupError),
    /// The program that joins Daily's calls cannot be written down.
    #[error("the sidecar for daily cannot be prepared: {0}")]
    Sidecar(#[source] io::Error),
    /// The state folder cannot be used.
    #[error("STATE_DIR {0} cannot be used: {1}")]
    State(PathBuf, #[source] io::Error),
}

/// What providers take of this process.
pub(crate) struct Outfit<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) observer: Arc<dyn Observer>,
    /// Whose private folder and children they share.
    pub(crate) slates: &'a Slates,
}

/// What all hosted providers have in common.
struct Workshop<'a> {
    owner: Owner,
    store: Arc<dyn HandleStore>,
    observer: Arc<dyn Observer>,
    trust: Trust,
    push: Arc<dyn Contribute>,
    whip: Arc<dyn Contribute>,
    slates: &'a Slates,
}

impl Providers {
    /// Makes our own publisher, and whoever is configured beside it.
    pub(crate) fn start(
        config: &HostedConfig,
        outfit: Outfit<'_>,
    ) -> Result<Self, ProviderSetupError> {
        let Outfit {
            trust,
            observer,
            slates,
        } = outfit;
        let limits = Limits::default();
        let own = Arc::new(Own::new(trust.clone(), limits));
        let workshop = Workshop {
            owner: find_owner(config)?,
            store: find_store(config)?,
            observer,
            trust: trust.clone(),
            push: Arc::new(Push::new(trust.clone(), limits)),
            whip: Arc::new(WhipOut),
            slates,
        };
        let mut hosted = Vec::new();
        if let Some(config) = &config.daily {
            hosted.push(workshop.daily(config)?);
        }
        if let Some(config) = &config.livekit {
            hosted.push(workshop.livekit(config)?);
        }
        if let Some(config) = &config.cloudflare {
            hosted.push(workshop.cloudflare(config)?);
        }
        if let Some(config) = &config.mux {
            hosted.push(workshop.mux(config)?);
        }
        if let Some(config) = &config.restream {
            hosted.push(workshop.restream(config)?);
        }
        let providers = Self::new(
            own,
            hosted,
            config.hybrid.clone(),
            Arc::new(ProcessLeases::default()),
        );
        providers.announce(config, &workshop.owner);
        Ok(providers)
    }

    fn announce(&self, config: &HostedConfig, owner: &Owner) {
        for hosting in self.hosted() {
            let provider = hosting.provider.provider();
            tracing::info!(%provider, %owner, "a hosted provider is available");
        }
        let is_random = matches!(config.owner, OwnerConfig::Named { lasting: false, .. });
        if is_random && self.hosted().next().is_some() {
            tracing::warn!(
                "what this process leaves behind at hosted providers is not found by the next one; set SERVER_ID, PROVIDER_OWNER or STATE_DIR"
            );
        }
    }
}

fn find_owner(config: &HostedConfig) -> Result<Owner, ProviderSetupError> {
    match &config.owner {
        OwnerConfig::Named { owner, .. } => Ok(owner.clone()),
        OwnerConfig::Kept(folder) => {
            let made_up = owner_of(&uuid::Uuid::new_v4().to_string());
            owner::keep(folder, &made_up)
                .map_err(|error| ProviderSetupError::State(folder.clone(), error))
        }
    }
}

fn find_store(config: &HostedConfig) -> Result<Arc<dyn HandleStore>, ProviderSetupError> {
    let Some(folder) = &config.state else {
        return Ok(Arc::new(MemoryHandles::default()));
    };
    let folder = folder.join(HANDLES);
    let opened = DirectoryHandles::open(folder.clone());
    let handles =
        opened.map_err(|HandleStoreError(error)| ProviderSetupError::State(folder, error))?;
    Ok(Arc::new(handles))
}

impl Workshop<'_> {
    fn surroundings(&self) -> Surroundings {
        Surroundings {
            observer: Arc::clone(&self.observer),
            ..Surroundings::new(self.trust.clone())
        }
    }

    fn hosting(
        &self,
        api: impl HostedApi,
        contribute: &Arc<dyn Contribute>,
        prices: &Prices,
    ) -> Hosting {
        let provider = Hosted::new(HostedParts {
            api: Arc::new(api),
            contribute: Arc::clone(contribute),
            owner: self.owner.clone(),
            store: Arc::clone(&self.store),
            observer: Arc::clone(&self.observer),
        });
        Hosting {
            provider: Arc::new(provider),
            prices: prices.clone(),
        }
    }

    fn daily(&self, config: &DailyConfig) -> Result<Hosting, ProviderSetupError> {
        let api = Daily::new(DailySettings {
            base: config.api.clone(),
            api_key: config.api_key.clone(),
            contribution: config.contribution,
            tokens: DailyTokens::Signed,
            webhook_secret: config.webhook_secret.clone(),
            budget: budget(DAILY_RATES),
            clock: SystemTime::now,
            surroundings: self.surroundings(),
        })?;
        let contribute = match config.contribution {
            DailyContribution::Sidecar => self.sidecar(config)?,
            // Nobody is asked to bring anything there.
            DailyContribution::Direct => Arc::clone(&self.push),
        };
        Ok(self.hosting(api, &contribute, &config.prices))
    }

    fn sidecar(&self, config: &DailyConfig) -> Result<Arc<dyn Contribute>, ProviderSetupError> {
        let python = config.python.clone();
        let sidecar = Sidecar::new(SidecarSettings {
            python: python.unwrap_or_else(|| PathBuf::from(SIDECAR_PYTHON)),
            launcher: self.slates.launcher().clone(),
            folder: self.slates.folder().to_owned(),
            canvas: Canvas::USUAL,
            proxy: None,
        })
        .map_err(ProviderSetupError::Sidecar)?;
        if !sidecar.is_installed() {
            tracing::warn!(
                "the method daily needs its sidecar: run scripts/enable-daily, or set DAILY_PYTHON or DAILY_CONTRIBUTION=direct"
            );
        }
        Ok(Arc::new(sidecar))
    }

    fn livekit(&self, config: &LivekitConfig) -> Result<Hosting, ProviderSetupError> {
        let settings = LivekitSettings {
            url: config.url.clone(),
            api_key: config.api_key.expose().to_owned(),
            api_secret: config.api_secret.clone(),
            picture: Picture::default(),
        };
        let api = Livekit::new(settings, self.surroundings())
            .map_err(|error| ProviderSetupError::Api(Provider::Livekit, error))?;
        Ok(self.hosting(api, &self.whip, &config.prices))
    }

    fn cloudflare(&self, config: &CloudflareConfig) -> Result<Hosting, ProviderSetupError> {
        let api = Cloudflare::new(CloudflareSettings {
            base: config.api.clone(),
            account: config.account.clone(),
            token: config.api_token.clone(),
            webhook_secret: config.webhook_secret.clone(),
            budget: budget(CLOUDFLARE_RATES),
            surroundings: self.surroundings(),
        })
        .map_err(|error| ProviderSetupError::Api(Provider::Cloudflare, error))?;
        Ok(self.hosting(api, &self.push, &config.prices))
    }

    fn mux(&self, config: &MuxConfig) -> Result<Hosting, ProviderSetupError> {
        let api = Mux::new(MuxSettings {
            base: config.api.clone(),
            ingest: config.ingest.clone(),
            token_id: config.token_id.clone(),
            token_secret: config.token_secret.clone(),
            webhook_secret: config.webhook_secret.clone(),
            keep_recordings: config.keep_recordings,
            budget: budget(MUX_RATES),
            surroundings: self.surroundings(),
        })
        .map_err(|error| ProviderSetupError::Api(Provider::Mux, error))?;
        Ok(self.hosting(api, &self.push, &config.prices))
    }

    fn restream(&self, config: &RestreamConfig) -> Result<Hosting, ProviderSetupError> {
        let kind: RestreamKind = config.kind;
        let api = Restream::new(RestreamSettings {
            kind,
            api: config.api.clone(),
            token: config.token.clone(),
            ingest: config.ingest.clone(),
            budget: budget(kind.rates()),
            surroundings: self.surroundings(),
        })?;
        Ok(self.hosting(api, &self.push, &config.prices))
    }
}

fn budget(rates: Rates) -> Arc<LocalBudget> {
    Arc::new(LocalBudget::new(rates))
}
