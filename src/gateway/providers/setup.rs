//! Makes the providers that are configured.

use std::{io, path::PathBuf, sync::Arc};

use broadcast::Provider;
use egress_providers::{
    Limits, Own, Prices, ProcessLeases, Trust,
    cloudflare::{CLOUDFLARE_RATES, Cloudflare, CloudflareSettings},
    hosted::{
        ApiSetupError, Contribute, HandleStore, Hosted, HostedApi, HostedParts, LocalBudget,
        MemoryHandles, Observer, Owner, Push, Rates, Surroundings,
    },
    mux::{MUX_RATES, Mux, MuxSettings},
    restream::{Restream, RestreamKind, RestreamSettings, RestreamSetupError},
};

use super::{Hosting, Providers, owner};
use crate::config::{
    CloudflareConfig, HostedConfig, MuxConfig, OwnerConfig, RestreamConfig, owner_of,
};

/// Why a provider cannot be used as it is configured. Its texts hold no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderSetupError {
    /// Its API cannot be asked.
    #[error("{0} cannot be asked: {1}")]
    Api(Provider, #[source] ApiSetupError),
    /// The server or service that takes RTMP cannot be asked.
    #[error("restream cannot be used: {0}")]
    Restream(#[from] RestreamSetupError),
    /// The state folder cannot be used.
    #[error("STATE_DIR {0} cannot be used: {1}")]
    State(PathBuf, #[source] io::Error),
}

/// What all hosted providers have in common.
struct Workshop {
    owner: Owner,
    store: Arc<dyn HandleStore>,
    observer: Arc<dyn Observer>,
    trust: Trust,
    push: Arc<dyn Contribute>,
}

impl Providers {
    /// Makes our own publisher, and whoever is configured beside it.
    pub(crate) fn start(
        config: &HostedConfig,
        trust: &Trust,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ProviderSetupError> {
        let limits = Limits::default();
        let own = Arc::new(Own::new(trust.clone(), limits));
        let workshop = Workshop {
            owner: find_owner(config)?,
            store: find_store(config)?,
            observer,
            trust: trust.clone(),
            push: Arc::new(Push::new(trust.clone(), limits)),
        };
        let mut hosted = Vec::new();
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
    let _ = config;
    Ok(Arc::new(MemoryHandles::default()))
}

impl Workshop {
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
