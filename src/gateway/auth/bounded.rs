//! Asks other servers for small JSON documents without trusting them: no redirects, a time limit, a size limit.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, redirect::Policy};

use super::AuthSetupError;

/// How long a connection may take to open.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a whole exchange may take; a studio waits for it.
const EXCHANGE_PATIENCE: Duration = Duration::from_secs(5);

/// Why a document was not had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection, or it broke.
    #[error("the server cannot be reached")]
    Unreachable,
    /// The server took too long.
    #[error("the server did not answer in time")]
    TooSlow,
    /// The server sent more than expected.
    #[error("the server's answer is too long")]
    TooLong,
}

pub(super) fn client() -> Result<Client, AuthSetupError> {
    // An error means that a provider is installed already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .connect_timeout(CONNECT_PATIENCE)
        .timeout(EXCHANGE_PATIENCE)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent("castgate")
        .build()
        .map_err(AuthSetupError::Http)
}

/// Sends a request and reads at most `limit` bytes of the answer.
pub(super) async fn exchange(
    request: RequestBuilder,
    limit: usize,
) -> Result<(StatusCode, Vec<u8>), HttpError> {
    let mut response = request.send().await.map_err(|error| kind(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| kind(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(HttpError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// The error itself holds the URL, which may not be shown to clients.
fn kind(error: &reqwest::Error) -> HttpError {
    if error.is_timeout() {
        HttpError::TooSlow
    } else {
        HttpError::Unreachable
    }
}
