//! Looking at a backend: is it there, does it take our key, which models does it serve.

use freehold_ports::{Probe, Timeouts};
use freehold_types::{Deployment, Error, ErrorKind, Retry};
use http::{Method, Uri};
use serde_json::Value;

use crate::backend::HostedBackend;
use crate::catalogue::Catalogue;

/// A listing with more models than this is cut: some vendors list thousands.
const MODELS_MAX: usize = 4096;
/// Longer names are no model names.
const NAME_BYTES_MAX: usize = 256;

/// A model as its server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListedModel {
    id: String,
    context_window_tokens: Option<u32>,
}

impl HostedBackend {
    /// The deployments that a server offers now: its own list of models, with what the catalogue
    /// believes of each. Its price is unknown unless the catalogue has one.
    ///
    /// # Errors
    /// As [`freehold_ports::Backend::probe`].
    pub async fn discover(&self, catalogue: &Catalogue) -> Result<Vec<Deployment>, Error> {
        let models = self.list().await?;
        let shared_window = match &self.endpoints.context {
            Some(uri) => self.shared_window(uri).await,
            None => None,
        };
        let site = freehold_ports::Backend::site(self);
        let deployments = models.into_iter().map(|listed| {
            let mut deployment = catalogue.deployment(&self.row, &self.id, site, &listed.id);
            // What the server says of itself is truer than what the catalogue knows of the model.
            let told = listed.context_window_tokens.or(shared_window);
            deployment.context_window_tokens = told.or(deployment.context_window_tokens);
            deployment
        });
        Ok(deployments.collect())
    }

    pub(crate) async fn look(&self) -> Result<Probe, Error> {
        let models = self.list().await?;
        let count = models.len();
        let caveat = if self.row.listing.public && !self.row.auth.env.is_empty() {
            "; it lists them to anybody, so the key is not checked"
        } else {
            ""
        };
        Ok(Probe {
            detail: format!("{}: {count} models{caveat}", self.row.name),
            models: models.into_iter().map(|model| model.id).collect(),
        })
    }

    async fn list(&self) -> Result<Vec<ListedModel>, Error> {
        let listing = self.ask_json(&self.endpoints.listing).await;
        let listing = listing.map_err(|error| self.hint(error))?;
        let form = &self.row.listing;
        let Some(models) = listing.pointer(&form.models).and_then(Value::as_array) else {
            let message = format!("`{}` does not list its models as expected", self.id);
            return Err(Error::new(ErrorKind::BadUpstream, message).with_retry(Retry::Elsewhere));
        };
        let listed = models.iter().filter_map(|model| {
            let id = model.pointer(&form.id)?.as_str()?;
            let window = form
                .context
                .iter()
                .find_map(|pointer| tokens(model, pointer));
            usable_name(id).then(|| ListedModel {
                id: id.to_owned(),
                context_window_tokens: window,
            })
        });
        Ok(listed.take(MODELS_MAX).collect())
    }

    /// A missing path is mostly a base URL without its version.
    fn hint(&self, mut error: Error) -> Error {
        if error.upstream_status == Some(404) {
            let path = self.endpoints.listing.path();
            error.message = format!(
                "`{}` has nothing at {path}; its base URL may lack or repeat the version, like {}",
                self.id, self.row.base_url
            );
        }
        error
    }

    /// The window that all models of a server share. That a server does not tell it is no failure.
    async fn shared_window(&self, uri: &Uri) -> Option<u32> {
        let pointer = &self.row.context.as_ref()?.pointer;
        match self.ask_json(uri).await {
            Ok(answer) => tokens(&answer, pointer),
            Err(error) => {
                tracing::debug!(backend = %self.id, %error, "the server does not tell its context window");
                None
            }
        }
    }

    async fn ask_json(&self, uri: &Uri) -> Result<Value, Error> {
        let timeouts = Timeouts {
            connect: self.probe_timeout,
            first_byte: self.probe_timeout,
            idle: self.probe_timeout,
        };
        let body = self
            .ask(Method::GET, uri, bytes::Bytes::new(), timeouts)
            .await?;
        serde_json::from_slice(&body).map_err(|_| {
            let message = format!("`{}` does not list its models as JSON", self.id);
            Error::new(ErrorKind::BadUpstream, message).with_retry(Retry::Elsewhere)
        })
    }
}

/// A positive number of tokens at a JSON pointer.
fn tokens(value: &Value, pointer: &str) -> Option<u32> {
    let number = value.pointer(pointer)?.as_u64()?;
    u32::try_from(number).ok().filter(|tokens| *tokens > 0)
}

/// Names go into logs and model lists: no control characters, no endless text.
fn usable_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}
