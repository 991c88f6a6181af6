//! Servers and services that take one show by RTMP and are told where to send it: four of them, behind one [`HostedApi`].

mod api_video;
mod dialect;
mod ingest;
mod livepeer;
mod mediamtx;
mod oven;
mod remote;
mod settings;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use async_trait::async_trait;
use broadcast::Provider;

pub use self::settings::{RestreamKind, RestreamSettings, RestreamSetupError};
use self::{dialect::Dialect, ingest::Ingest, remote::Remote};
use crate::{
    Capabilities,
    hosted::{
        BreakerState, Contribution, EgressSpec, EgressStatus, Handle, HostedApi, HostedTarget,
        Owner, Prepared, ProviderError, WebhookError, WebhookEvent, WebhookHeaders,
    },
};

/// A server or service that sends a show on.
#[derive(Debug)]
pub struct Restream {
    kind: RestreamKind,
    dialect: Box<dyn Dialect>,
    ingest: Ingest,
}

impl Restream {
    /// One that has not been asked anything yet.
    pub fn new(settings: RestreamSettings) -> Result<Self, RestreamSetupError> {
        let kind = settings.kind;
        let ingest = settings.ingest()?;
        let dialect: Box<dyn Dialect> = match kind {
            RestreamKind::MediaMtx => {
                Box::new(mediamtx::MediaMtx::new(settings.client()?, ingest.clone()))
            }
            RestreamKind::OvenMediaEngine => {
                let secret = settings.token.clone();
                Box::new(oven::Oven::new(settings.client()?, secret))
            }
            RestreamKind::Livepeer => {
                let secret = settings.token.clone();
                Box::new(livepeer::Livepeer::new(settings.client()?, secret))
            }
            RestreamKind::ApiVideo => Box::new(api_video::ApiVideo::new(settings.client()?)),
        };
        Ok(Self {
            kind,
            dialect,
            ingest,
        })
    }

    fn handle(
        &self,
        broadcast: &str,
        owner: &str,
        remote: &Remote,
    ) -> Result<Handle, ProviderError> {
        Ok(Handle {
            broadcast: broadcast.to_owned(),
            owner: owner.to_owned(),
            remote: remote.to_json(self.kind)?,
        })
    }

    /// Has the show sent to these and no others, and writes down what came of it whether or not all of it worked.
    async fn settle(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let mut remote = Remote::from_json(&handle.remote, self.kind)?;
        let settled = self.dialect.settle(&mut remote, targets).await;
        handle.remote = remote.to_json(self.kind)?;
        settled
    }
}

#[async_trait]
impl HostedApi for Restream {
    fn provider(&self) -> Provider {
        Provider::Restream
    }

    fn capabilities(&self) -> &Capabilities {
        self.dialect.capabilities()
    }

    fn check(&self, target: &HostedTarget) -> Result<(), ProviderError> {
        self.dialect.check(target)
    }

    async fn prepare(&self, spec: &EgressSpec) -> Result<Prepared, ProviderError> {
        let name = spec.owner.name_for(&spec.broadcast);
        let (remote, key) = self.dialect.prepare(&name, &spec.targets).await?;
        Ok(Prepared {
            handle: self.handle(spec.broadcast.as_str(), spec.owner.as_str(), &remote)?,
            contribution: Contribution::Push(self.ingest.endpoint(key.as_ref(), &name)?),
        })
    }

    async fn start(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        self.settle(handle, targets).await
    }

    async fn update(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        self.settle(handle, targets).await
    }

    async fn status(&self, handle: &Handle) -> Result<EgressStatus, ProviderError> {
        let remote = Remote::from_json(&handle.remote, self.kind)?;
        self.dialect.status(&remote).await
    }

    async fn stop(&self, handle: &Handle) -> Result<(), ProviderError> {
        let remote = Remote::from_json(&handle.remote, self.kind)?;
        self.dialect.stop(&remote).await
    }

    fn webhook(
        &self,
        _headers: &WebhookHeaders,
        _body: &[u8],
        _now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        Err(WebhookError::Unsupported)
    }

    fn matches(&self, _handle: &Handle, _subject: &str) -> bool {
        false
    }

    fn breaker(&self) -> BreakerState {
        self.dialect.breaker()
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.dialect.health().await
    }

    async fn owned(&self, owner: &Owner) -> Result<Vec<Handle>, ProviderError> {
        let prefix = format!("castgate-{owner}-");
        let mut handles = Vec::new();
        for remote in self.dialect.named(&prefix).await? {
            // A name that is not ours after all, whatever it begins with.
            let Some(broadcast) = owner.broadcast_named(&remote.name) else {
                continue;
            };
            handles.push(self.handle(broadcast.as_str(), owner.as_str(), &remote)?);
        }
        Ok(handles)
    }
}
