//! Requests about live inputs and their outputs.

use broadcast::Endpoint;

use super::{
    recent::Recent,
    wire::{
        Envelope, Listed, Listing, LiveInput, LiveOutput, Meta, NewInput, NewOutput, OutputSwitch,
        Recording, StorageUsage,
    },
};
use crate::hosted::{
    ApiClient, BreakerState, Cost, Operation, ProviderError, Request, address::server_url,
    outputs::Output,
};

/// How many broadcasts' keys against doubles are remembered: as many as a node may have live.
const ATTEMPTS_LIMIT: usize = 1024;

const INPUT: &str = "live input";
const OUTPUT: &str = "output";

/// The live inputs of an account.
#[derive(Debug)]
pub(super) struct LiveInputs {
    client: ApiClient,
    /// `/accounts/ID/stream`.
    root: String,
    /// What is told as `Idempotency-Key` for each name, so that a request whose answer was lost can be made again.
    attempts: Recent<String>,
}

impl LiveInputs {
    pub(super) fn new(client: ApiClient, account: &str) -> Self {
        Self {
            client,
            root: format!("/accounts/{account}/stream"),
            attempts: Recent::new(ATTEMPTS_LIMIT),
        }
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.client.breaker()
    }

    /// The live input of this name, which is made if there is none.
    pub(super) async fn adopt_or_create(&self, name: &str) -> Result<LiveInput, ProviderError> {
        if let Some(input) = self.adopt(name).await? {
            return Ok(input);
        }
        match self.create(name).await {
            // The key belongs to an input that somebody else has deleted within the last six hours.
            Err(ProviderError::Conflict(_)) => {
                self.attempts.forget(name);
                self.create(name).await
            }
            result => result,
        }
    }

    /// Asks for one of which the id is known.
    pub(super) async fn get(&self, input: &str) -> Result<LiveInput, ProviderError> {
        let path = self.path(input, "");
        let operation = reading("get_live_input", &path, INPUT);
        answer(self.client.request(operation), INPUT).await
    }

    /// Deletes one, which ends what is published to it. One that is gone is no error.
    pub(super) async fn delete(&self, input: &str) -> Result<(), ProviderError> {
        let path = self.path(input, "");
        let operation = Operation {
            method: "DELETE",
            ..reading("delete_live_input", &path, INPUT)
        };
        gone(self.client.request(operation).done().await)
    }

    /// All of the account, as far as one answer tells them.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, ProviderError> {
        let path = format!("{}/live_inputs", self.root);
        let operation = reading("list_live_inputs", &path, INPUT);
        let request = self.client.request(operation);
        let listing: Listing = answer(request.query("include_counts", "true"), "list").await?;
        let (inputs, total) = listing.inputs();
        if let Some(total) = total.filter(|total| *total > inputs.len() as u64) {
            // No way to ask for more is documented.
            tracing::warn!(
                listed = inputs.len(),
                total,
                "Cloudflare does not list all live inputs; some left behind may stay"
            );
        }
        Ok(inputs)
    }

    /// The destinations of one.
    pub(super) async fn outputs(&self, input: &str) -> Result<Vec<Output>, ProviderError> {
        let path = self.path(input, "/outputs");
        let operation = reading("list_outputs", &path, INPUT);
        let outputs: Vec<LiveOutput> = answer(self.client.request(operation), "list").await?;
        Ok(outputs.into_iter().map(Output::from).collect())
    }

    /// Adds a destination; its id.
    ///
    /// It is not asked for twice: an answer that was lost may have been a yes, and then the key would have two publishers.
    pub(super) async fn add_output(
        &self,
        input: &str,
        endpoint: &Endpoint,
    ) -> Result<String, ProviderError> {
        let path = self.path(input, "/outputs");
        let operation = Operation {
            method: "POST",
            idempotent: false,
            cost: Cost::Start,
            ..reading("create_output", &path, INPUT)
        };
        let request = self.client.request(operation).json(&NewOutput {
            url: server_url(endpoint).expose(),
            stream_key: endpoint.stream_key().expose(),
            enabled: true,
        });
        let output: LiveOutput = answer(request, OUTPUT).await?;
        Ok(Output::from(output).uid)
    }

    /// Switches a destination on.
    pub(super) async fn enable_output(
        &self,
        input: &str,
        output: &str,
    ) -> Result<(), ProviderError> {
        let path = self.path(input, &format!("/outputs/{output}"));
        let operation = Operation {
            method: "PUT",
            ..reading("enable_output", &path, OUTPUT)
        };
        let switch = OutputSwitch { enabled: true };
        self.client
            .request(operation)
            .json(&switch)
            .done()
            .await
            .map(|_| ())
    }

    /// Removes a destination. One that is gone is no error.
    pub(super) async fn remove_output(
        &self,
        input: &str,
        output: &str,
    ) -> Result<(), ProviderError> {
        let path = self.path(input, &format!("/outputs/{output}"));
        let operation = Operation {
            method: "DELETE",
            ..reading("delete_output", &path, OUTPUT)
        };
        gone(self.client.request(operation).done().await)
    }

    /// How full the account is.
    pub(super) async fn storage(&self) -> Result<StorageUsage, ProviderError> {
        let path = format!("{}/storage-usage", self.root);
        let operation = reading("get_storage_usage", &path, "account");
        answer(self.client.request(operation), "usage").await
    }

    /// The input of this name, if there is one. Any others of the same name are deleted: they are from attempts whose
    /// answers were lost.
    async fn adopt(&self, name: &str) -> Result<Option<LiveInput>, ProviderError> {
        let listed = self.list().await?;
        let mut adopted: Option<LiveInput> = None;
        for listed in listed.iter().filter(|listed| listed.name() == Some(name)) {
            if adopted.is_some() {
                self.delete(&listed.uid).await?;
                continue;
            }
            adopted = match self.get(&listed.uid).await {
                Ok(input) => Some(input),
                // A list may be older than a deletion.
                Err(ProviderError::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(adopted)
    }

    async fn create(&self, name: &str) -> Result<LiveInput, ProviderError> {
        let path = format!("{}/live_inputs", self.root);
        let operation = Operation {
            name: "create_live_input",
            method: "POST",
            path: &path,
            // By its key.
            idempotent: true,
            cost: Cost::Start,
            thing: INPUT,
        };
        let key = self
            .attempts
            .get_or(name, || format!("{name}-{:016x}", rand::random::<u64>()));
        let request = self
            .client
            .request(operation)
            .header("idempotency-key", &key)
            .json(&NewInput {
                meta: Meta { name },
                recording: Recording { mode: "off" },
                prefer_low_latency: false,
                enabled: true,
            });
        answer(request, INPUT).await
    }

    fn path(&self, input: &str, rest: &str) -> String {
        format!("{}/live_inputs/{input}{rest}", self.root)
    }
}

/// A question that changes nothing, which most operations differ from in little.
const fn reading<'a>(name: &'static str, path: &'a str, thing: &'static str) -> Operation<'a> {
    Operation {
        name,
        method: "GET",
        path,
        idempotent: true,
        cost: Cost::General,
        thing,
    }
}

async fn answer<T: serde::de::DeserializeOwned>(
    request: Request<'_>,
    what: &str,
) -> Result<T, ProviderError> {
    request.send::<Envelope<T>>().await?.body.result(what)
}

fn gone(result: Result<u16, ProviderError>) -> Result<(), ProviderError> {
    match result {
        Ok(_) | Err(ProviderError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
