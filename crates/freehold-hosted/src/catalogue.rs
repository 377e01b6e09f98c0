//! The catalogue: every vendor and every kind of self-hosted server is one [`Row`] of data.

use std::collections::{BTreeMap, BTreeSet};

use freehold_types::{
    BackendId, Capability, Deployment, DeploymentId, Dialect, Perimeter, PriceBasis, Site,
};
use freehold_wire::Quirks;
use serde::{Deserialize, Serialize};

/// The rows that come with Freehold, and what is known about families of models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Vendors and kinds of servers.
    pub rows: Vec<Row>,
    /// What to believe about models that no row lists; the first match counts.
    #[serde(default)]
    pub families: Vec<Family>,
}

/// A catalogue that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The text is not a catalogue.
    #[error("the catalogue cannot be read: {0}")]
    Unreadable(String),
    /// Two rows have the same id.
    #[error("the catalogue has two rows with the id `{0}`")]
    Duplicate(String),
    /// A row cannot be used.
    #[error("the catalogue's row `{row}` is not usable: {reason}")]
    Row {
        /// The row's id.
        row: String,
        /// Why.
        reason: String,
    },
}

/// One vendor, or one kind of self-hosted server. Paths are references relative to the base URL, so
/// `chat/completions` lies below it and `../props` beside its last segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The name in configuration and model names, e.g. `openai`.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// Where the API begins, e.g. `https://api.openai.com/v1`. For a self-hosted server the address
    /// it has when nobody configured another.
    pub base_url: String,
    /// On whose machines it runs.
    pub perimeter: Perimeter,
    /// How it is told who we are.
    #[serde(default)]
    pub auth: Auth,
    /// The wire formats it accepts, preferred first.
    pub dialects: Vec<Endpoint>,
    /// Headers that every request carries.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Where it differs from the dialect's inventor.
    #[serde(default)]
    pub quirks: Quirks,
    /// Its id in the price book; `None` when the price book does not know it.
    #[serde(default)]
    pub price_provider: Option<String>,
    /// Where it lists its models.
    pub listing: Listing,
    /// Where the server tells its context window, when the listing does not.
    #[serde(default)]
    pub context: Option<ContextSource>,
    /// How it counts the tokens of a prompt, when it can.
    #[serde(default)]
    pub token_count: Option<TokenCount>,
    /// Texts (lower case) in the body of a status 503 that mean: the model is being loaded.
    #[serde(default)]
    pub loading: Vec<String>,
    /// What to believe about a model that neither `models` nor the families know.
    pub defaults: Prior,
    /// Well-known models.
    #[serde(default)]
    pub models: Vec<KnownModel>,
}

/// How a backend is told who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Where the key goes.
    pub scheme: AuthScheme,
    /// Environment variables that may hold the key, first wins.
    #[serde(default)]
    pub env: Vec<String>,
    /// True when nothing can be asked without a key.
    #[serde(default)]
    pub required: bool,
}

/// Where the key goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthScheme {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
    /// Nowhere.
    #[default]
    None,
}

/// A wire format and where it is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The wire format.
    pub dialect: Dialect,
    /// Relative to the base URL; `None` for the dialect's usual path.
    #[serde(default)]
    pub path: Option<String>,
}

/// Where models are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Relative to the base URL; may have a query.
    pub path: String,
    /// JSON pointer to the array of models.
    #[serde(default = "data_pointer")]
    pub models: String,
    /// JSON pointer, within a model, to its name.
    #[serde(default = "id_pointer")]
    pub id: String,
    /// JSON pointers, within a model, to its context window in tokens; the first number counts.
    #[serde(default)]
    pub context: Vec<String>,
    /// True when anybody may list, so that a listing says nothing about the key.
    #[serde(default)]
    pub public: bool,
}

fn data_pointer() -> String {
    "/data".to_owned()
}

fn id_pointer() -> String {
    "/id".to_owned()
}

/// Where a server tells its context window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextSource {
    /// Relative to the base URL.
    pub path: String,
    /// JSON pointer to the number of tokens.
    pub pointer: String,
}

/// How a prompt's tokens are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "style", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenCount {
    /// Anthropic's `count_tokens`.
    AnthropicMessages {
        /// Relative to the base URL.
        path: String,
    },
    /// The messages of a chat request go in, a number or a list of tokens comes out.
    ChatTokenize {
        /// Relative to the base URL.
        path: String,
        /// JSON pointer to the number, or to the list.
        pointer: String,
    },
    /// The chat template makes a prompt of the messages, which is then tokenised (llama.cpp).
    TemplateThenTokenize {
        /// Relative to the base URL: messages in, `prompt` out.
        template_path: String,
        /// Relative to the base URL: `content` in, `tokens` out.
        tokenize_path: String,
    },
}

/// What to believe about a model before anything was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// Quality of its answers, 0 (useless) to 1 (the best there is).
    pub quality: f64,
    /// Generated tokens per second of one stream.
    pub tokens_per_second: f64,
    /// Time to the first token.
    pub first_token_ms: u32,
}

/// A model that a row lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// Its name as the backend knows it.
    pub id: String,
    /// Tokens of prompt and answer together.
    pub context_window_tokens: u32,
    /// What it can do; `None` as the row's defaults say.
    #[serde(default)]
    pub capabilities: Option<BTreeSet<Capability>>,
    /// Quality of its answers, 0 (useless) to 1 (the best there is).
    pub quality: f64,
    /// Generated tokens per second of one stream.
    pub tokens_per_second: f64,
    /// Time to the first token.
    pub first_token_ms: u32,
    /// Where the price book lists it, when not under the row's provider and the model's id.
    #[serde(default)]
    pub price: Option<PriceReference>,
    /// Where it differs from what the row says; `None` for the row's quirks.
    #[serde(default)]
    pub quirks: Option<Quirks>,
}

/// A place in the price book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceReference {
    /// The price book's provider id.
    pub provider: String,
    /// The price book's model reference.
    pub model: String,
}

/// What to believe about models by their name, whoever serves them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Parts (lower case) that the model's name must all have.
    pub contains: Vec<String>,
    /// Quality of its answers, 0 (useless) to 1 (the best there is).
    pub quality: f64,
    /// Capabilities beyond the row's defaults.
    #[serde(default)]
    pub adds: BTreeSet<Capability>,
}

impl Catalogue {
    /// The catalogue that comes with Freehold.
    ///
    /// # Errors
    /// Never in a released binary: a test reads the same text.
    pub fn builtin() -> Result<Self, CatalogueError> {
        Self::parse(include_str!("catalogue.yaml"))
    }

    /// Reads a catalogue from YAML.
    ///
    /// # Errors
    /// When the text is not YAML of this shape, two rows share an id, or a row is unusable.
    pub fn parse(yaml: &str) -> Result<Self, CatalogueError> {
        let catalogue: Self = serde_saphyr::from_str(yaml)
            .map_err(|error| CatalogueError::Unreadable(error.to_string()))?;
        let believed = |family: &Family| (0.0..=1.0).contains(&family.quality);
        if let Some(family) = catalogue.families.iter().find(|family| !believed(family)) {
            let parts = family.contains.join(" ");
            let reason = format!("the family `{parts}` has a quality that is not between 0 and 1");
            return Err(CatalogueError::Unreadable(reason));
        }
        let mut ids = BTreeSet::new();
        for row in &catalogue.rows {
            if !ids.insert(row.id.as_str()) {
                return Err(CatalogueError::Duplicate(row.id.clone()));
            }
            row.validate().map_err(|reason| CatalogueError::Row {
                row: row.id.clone(),
                reason,
            })?;
        }
        Ok(catalogue)
    }

    /// The row with this id.
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }

    /// The rows whose key `lookup` finds, with the key: a vendor appears as soon as its variable is set.
    pub fn rows_with_keys<'a>(
        &'a self,
        lookup: impl Fn(&str) -> Option<String> + 'a,
    ) -> impl Iterator<Item = (&'a Row, secrecy::SecretString)> + 'a {
        self.rows
            .iter()
            .filter(|row| row.perimeter == Perimeter::Outside)
            .filter_map(move |row| row.key_from(&lookup).map(|key| (row, key)))
    }

    /// The first family that a model's name belongs to.
    pub fn family(&self, model: &str) -> Option<&Family> {
        let name = model.to_ascii_lowercase();
        self.families
            .iter()
            .find(|family| family.contains.iter().all(|part| name.contains(part)))
    }

    /// One model of a row as a deployment. What the row does not list takes the family's and then the
    /// row's beliefs; its context window is unknown.
    pub fn deployment(
        &self,
        row: &Row,
        backend: &BackendId,
        site: &Site,
        model: &str,
    ) -> Deployment {
        match row.models.iter().find(|known| known.id == model) {
            Some(known) => row.known_deployment(backend, site, known),
            None => self.unlisted_deployment(row, backend, site, model),
        }
    }

    fn unlisted_deployment(
        &self,
        row: &Row,
        backend: &BackendId,
        site: &Site,
        model: &str,
    ) -> Deployment {
        let prior = &row.defaults;
        let family = self.family(model);
        let mut capabilities = prior.capabilities.clone();
        if let Some(family) = family {
            capabilities.extend(family.adds.iter().copied());
        }
        Deployment {
            id: deployment_id(backend, model),
            backend: backend.clone(),
            model: model.to_owned(),
            site: site.clone(),
            dialects: row.dialects_for(&capabilities),
            capabilities,
            context_window_tokens: None,
            price: row.listed_price(model),
            quality: family.map_or(prior.quality, |family| family.quality),
            tokens_per_second: prior.tokens_per_second,
            first_token_ms: prior.first_token_ms,
        }
    }
}

impl Row {
    /// Every model that the row lists, as deployments of `backend`.
    pub fn deployments(&self, backend: &BackendId, site: &Site) -> Vec<Deployment> {
        self.models
            .iter()
            .map(|known| self.known_deployment(backend, site, known))
            .collect()
    }

    /// Where the row's machines stand, as far as the row says.
    pub fn site(&self) -> Site {
        match self.perimeter {
            Perimeter::Inside => Site::inside(),
            Perimeter::Outside => Site::outside(),
        }
    }

    /// The port of the base URL.
    pub fn default_port(&self) -> Option<u16> {
        url::Url::parse(&self.base_url)
            .ok()
            .and_then(|url| url.port_or_known_default())
    }

    /// What to heed when asking for a model.
    pub(crate) fn quirks_of(&self, model: &str) -> &Quirks {
        let known = self.models.iter().find(|known| known.id == model);
        known
            .and_then(|known| known.quirks.as_ref())
            .unwrap_or(&self.quirks)
    }

    /// The key that `lookup` (usually the environment) has under the row's names; empty counts as none.
    pub fn key_from(
        &self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Option<secrecy::SecretString> {
        self.auth
            .env
            .iter()
            .filter_map(|name| lookup(name))
            .map(|key| key.trim().to_owned())
            .find(|key| !key.is_empty())
            .map(secrecy::SecretString::from)
    }

    fn known_deployment(&self, backend: &BackendId, site: &Site, known: &KnownModel) -> Deployment {
        let capabilities = known
            .capabilities
            .clone()
            .unwrap_or_else(|| self.defaults.capabilities.clone());
        let price = match &known.price {
            Some(reference) => PriceBasis::Listed {
                provider: reference.provider.clone(),
                model: reference.model.clone(),
            },
            None => self.listed_price(&known.id),
        };
        Deployment {
            id: deployment_id(backend, &known.id),
            backend: backend.clone(),
            model: known.id.clone(),
            site: site.clone(),
            dialects: self.dialects_for(&capabilities),
            capabilities,
            context_window_tokens: Some(known.context_window_tokens),
            price,
            quality: known.quality,
            tokens_per_second: known.tokens_per_second,
            first_token_ms: known.first_token_ms,
        }
    }

    fn listed_price(&self, model: &str) -> PriceBasis {
        match &self.price_provider {
            Some(provider) => PriceBasis::Listed {
                provider: provider.clone(),
                model: model.to_owned(),
            },
            None => PriceBasis::Unknown,
        }
    }

    /// The row's dialects that a model with these capabilities can be asked in.
    fn dialects_for(&self, capabilities: &BTreeSet<Capability>) -> Vec<Dialect> {
        self.dialects
            .iter()
            .map(|endpoint| endpoint.dialect)
            .filter(|dialect| capabilities.contains(&needed_capability(*dialect)))
            .collect()
    }

    fn validate(&self) -> Result<(), String> {
        if self.id.is_empty() || self.id.contains(['/', '*']) {
            return Err("its id must be a name without `/` and `*`".to_owned());
        }
        if self.dialects.is_empty() {
            return Err("it accepts no dialect".to_owned());
        }
        if self.auth.required && self.auth.scheme == AuthScheme::None {
            return Err("it needs a key but has no auth scheme".to_owned());
        }
        let priors = self.models.iter().map(|model| model.quality);
        if !priors
            .chain([self.defaults.quality])
            .all(|quality| (0.0..=1.0).contains(&quality))
        {
            return Err("a quality is not between 0 and 1".to_owned());
        }
        crate::settings::Endpoints::resolve(self, &self.base_url)
            .map_err(|error| error.to_string())?;
        crate::settings::extra_headers(self).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// `backend/model`.
pub(crate) fn deployment_id(backend: &BackendId, model: &str) -> DeploymentId {
    DeploymentId::from(format!("{backend}/{model}"))
}

/// What a model must be able to do to be asked in a dialect.
fn needed_capability(dialect: Dialect) -> Capability {
    match dialect {
        Dialect::OpenaiCompletions => Capability::Completions,
        Dialect::OpenaiChat | Dialect::AnthropicMessages => Capability::Chat,
    }
}
