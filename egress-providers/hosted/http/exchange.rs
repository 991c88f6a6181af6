//! The attempts of one request.

use std::time::Duration;

use reqwest::{Response, header::RETRY_AFTER};
use tokio::time::{Instant, sleep, timeout};

use super::{ApiClient, Refusal, Request, refusal::cleaned};
use crate::hosted::{ProviderError, RequestOutcome, Stage};

/// The most bytes of an answer; listings of a hundred rooms have some tens of thousands.
const ANSWER_LIMIT_BYTES: usize = 1024 * 1024;

/// How often a request is sent in all.
const ATTEMPTS: u32 = 3;

/// How long a refusal asks to be left alone at the most, as far as we believe it.
const RETRY_AFTER_LIMIT: Duration = Duration::from_mins(10);

/// Why an attempt failed, and whether another may follow.
struct Failed {
    error: ProviderError,
    again: Again,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It was surely not done.
    Always,
    /// It may have been done.
    IfIdempotent,
    /// It would go the same way.
    Never,
}

impl Request<'_> {
    /// The status and body of a success.
    pub(super) async fn exchange(self) -> Result<(u16, Vec<u8>), ProviderError> {
        if let Some(why) = self.unsound {
            return Err(ProviderError::Invalid(why.to_owned()));
        }
        self.client.remember(&self.hidden);
        let mut patience = self.client.limits.patience;
        let mut pause = self.client.limits.pause;
        let mut attempt = 1;
        loop {
            self.take_budget(&mut patience).await?;
            let failed = match self.attempt().await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            tracing::debug!(
                provider = %self.client.provider,
                operation = self.operation.name,
                error = %failed.error,
                attempt,
                "provider's API did not do as asked"
            );
            let again = match failed.again {
                Again::Always => true,
                Again::IfIdempotent => self.operation.idempotent,
                Again::Never => false,
            };
            let wait = failed
                .error
                .retry_after()
                .unwrap_or(pause / 2 + pause.mul_f64(rand::random_range(0.0..0.5)));
            if !again || attempt == ATTEMPTS || wait > patience {
                return Err(failed.error);
            }
            patience -= wait;
            sleep(wait).await;
            pause *= 4;
            attempt += 1;
        }
    }

    /// Waits for its turn within what is left of its patience.
    async fn take_budget(&self, patience: &mut Duration) -> Result<(), ProviderError> {
        let client = self.client;
        while let Err(wait) = client.budget.take(self.operation.cost).await {
            // Others wait for the same turn.
            let wait = wait.max(Duration::from_millis(1));
            if wait > *patience {
                self.observe(RequestOutcome::HeldBack, Duration::ZERO);
                return Err(ProviderError::RateLimited {
                    retry_after: Some(wait),
                });
            }
            *patience -= wait;
            sleep(wait).await;
        }
        Ok(())
    }

    async fn attempt(&self) -> Result<(u16, Vec<u8>), Failed> {
        let leave = match self.client.with_breaker(super::Breaker::admit) {
            Ok(leave) => leave,
            Err(rest) => {
                self.observe(RequestOutcome::LeftAlone, Duration::ZERO);
                return Err(Failed {
                    error: ProviderError::Unavailable {
                        message: "it failed too often and is left alone for a while".to_owned(),
                        retry_after: Some(rest),
                    },
                    again: Again::Never,
                });
            }
        };
        let begun = Instant::now();
        let limit = self.client.limits.answer;
        let (outcome, result) = match timeout(limit, self.ask()).await {
            Ok(Ok((status, retry_after, body))) => (
                RequestOutcome::Answered(status),
                self.judge(status, retry_after, body),
            ),
            Ok(Err(trouble)) => trouble.told(),
            Err(_) => Trouble::TimedOut.told(),
        };
        self.observe(outcome, begun.elapsed());
        let available = match outcome {
            RequestOutcome::Answered(status) => status < 500,
            RequestOutcome::TimedOut
            | RequestOutcome::Unreachable
            | RequestOutcome::LeftAlone
            | RequestOutcome::HeldBack => false,
        };
        self.client
            .with_breaker(|breaker, now| breaker.settle(leave, available, now));
        result
    }

    /// Sends it once and reads the whole answer.
    async fn ask(&self) -> Result<(u16, Option<Duration>, Vec<u8>), Trouble> {
        let method = self.method().ok_or(Trouble::Broken)?;
        let mut request = self.client.http.request(method, self.url.clone());
        if let Some(authorization) = &self.client.authorization {
            request = request.header(reqwest::header::AUTHORIZATION, authorization);
        }
        let mut request = request.header(reqwest::header::ACCEPT, "application/json");
        if !self.body.is_empty() {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(self.body.clone());
        }
        // What the request brings stands in place of what the client was made with.
        let mut request = request.build().map_err(|_| Trouble::Broken)?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let response = self.client.http.execute(request).await.map_err(trouble)?;
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let body = read(response).await?;
        Ok((status, retry_after, body))
    }

    fn judge(
        &self,
        status: u16,
        retry_after: Option<Duration>,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), Failed> {
        if (200..300).contains(&status) {
            return Ok((status, body));
        }
        let document = serde_json::from_slice(&body).ok();
        let refusal = Refusal {
            status,
            document: document.as_ref(),
            retry_after,
            thing: self.operation.thing,
        };
        let error = (self.client.refusals)(&refusal).unwrap_or_else(|| refusal.by_status());
        let again = match status {
            429 => Again::Always,
            503 if retry_after.is_some() => Again::Always,
            408 | 500 | 502 | 503 | 504 => Again::IfIdempotent,
            _ => Again::Never,
        };
        Err(Failed {
            error: cleaned(error, &self.client.hidden(&self.hidden)),
            again,
        })
    }

    fn observe(&self, outcome: RequestOutcome, elapsed: Duration) {
        let ApiClient {
            observer, provider, ..
        } = self.client;
        observer.requested(*provider, self.operation.name, outcome, elapsed);
    }
}

/// Why there is no answer.
enum Trouble {
    /// The connection was refused, or there is no such host: nothing was asked.
    Refused,
    /// The connection broke: it may have been done.
    Broken,
    TimedOut,
    TooLong,
}

impl Trouble {
    fn told(self) -> (RequestOutcome, Result<(u16, Vec<u8>), Failed>) {
        let unavailable = |message: &str| ProviderError::Unavailable {
            message: message.to_owned(),
            retry_after: None,
        };
        let (outcome, error, again) = match self {
            Self::Refused => (
                RequestOutcome::Unreachable,
                unavailable("no connection to it can be made"),
                Again::Always,
            ),
            Self::Broken => (
                RequestOutcome::Unreachable,
                unavailable("the connection broke"),
                Again::IfIdempotent,
            ),
            Self::TimedOut => (
                RequestOutcome::TimedOut,
                ProviderError::Timeout(Stage::Answer),
                Again::IfIdempotent,
            ),
            Self::TooLong => (
                RequestOutcome::Unreachable,
                ProviderError::Protocol("its answer is longer than 1 MiB".to_owned()),
                Again::Never,
            ),
        };
        (outcome, Err(Failed { error, again }))
    }
}

/// The error itself holds the URL.
#[expect(clippy::needless_pass_by_value, reason = "it is given by map_err")]
fn trouble(error: reqwest::Error) -> Trouble {
    if error.is_connect() {
        Trouble::Refused
    } else if error.is_timeout() {
        Trouble::TimedOut
    } else {
        Trouble::Broken
    }
}

/// In seconds only: a date would need a clock that both agree on.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let asked = Duration::from_secs(seconds.trim().parse().ok()?);
    Some(asked.min(RETRY_AFTER_LIMIT))
}

async fn read(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(trouble)? {
        if body.len() + chunk.len() > ANSWER_LIMIT_BYTES {
            return Err(Trouble::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
