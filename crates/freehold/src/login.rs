//! People sign in by an `OpenID` Connect service: the authorisation code flow with PKCE (RFC 7636).
//!
//! The service is asked for its addresses and keys when somebody wants to sign in, so a service that
//! is away keeps nobody's requests. What it says of a person is believed only out of an ID token that
//! it signed for this gateway and this login.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use freehold_config::{LoginSettings, Mapping, is_private, literal};
use freehold_hosted::Networks;
use freehold_ports::{BoxFuture, Invitation, Login, LoginError, Person};
use freehold_types::Grant;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenResponse as _,
};
use parking_lot::Mutex;
use reqwest::dns::{Name, Resolve, Resolving};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use url::Url;

/// How long the service may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// No answer of it is longer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long its addresses and keys are taken for the same.
const METADATA_FRESH: Duration = Duration::from_secs(3_600);
/// How often they are asked for at most because a signature is by a key that is not among them.
const METADATA_AGAIN: Duration = Duration::from_secs(60);
/// How a service may sign: by a key that it alone has.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What a browser brings along when it comes back.
#[derive(Serialize, Deserialize)]
struct Keepsake {
    state: String,
    nonce: String,
    verifier: String,
}

/// The service's addresses and keys.
#[derive(Clone)]
struct Known {
    metadata: Arc<CoreProviderMetadata>,
    since: Instant,
}

/// Asks the service, and nobody else.
struct Fetcher {
    http: reqwest::Client,
    /// Where the service must stand; `None` when it may stand anywhere.
    confined_to: Option<Networks>,
}

impl Fetcher {
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| FetchError::Address)?;
        if !is_private(&url) {
            return Err(FetchError::Address);
        }
        if let (Some(networks), Some(address)) = (&self.confined_to, literal(&url))
            && !networks.hold(address)
        {
            return Err(FetchError::Outside);
        }
        let asked = self
            .http
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body);
        let mut answer = asked.send().await?;
        let mut read = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if read.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(FetchError::Long);
            }
            read.extend_from_slice(&piece);
        }
        let mut response = HttpResponse::new(read);
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Fetcher {
    type Error = FetchError;
    type Future = BoxFuture<'c, Result<HttpResponse, FetchError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.fetch(request))
    }
}

/// Lets people sign in by an `OpenID` Connect service.
pub(crate) struct OidcLogin {
    settings: LoginSettings,
    fetcher: Fetcher,
    known: Mutex<Option<Known>>,
}

impl OidcLogin {
    /// Reads the authorities' file; asks nobody yet.
    pub(crate) fn new(settings: LoginSettings) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            // A redirect could lead to an address that nobody has configured.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &settings.ca_file {
            let pem = std::fs::read(file)
                .with_context(|| format!("login.ca_file: cannot read {}", file.display()))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("login.ca_file: {}", file.display()))?;
            builder = builder.tls_certs_merge(authorities);
        }
        if let Some(networks) = &settings.confined_to {
            builder = builder.dns_resolver(Arc::new(Inside(networks.clone())));
        }
        Ok(Self {
            fetcher: Fetcher {
                http: builder
                    .build()
                    .context("login: cannot set up an HTTP client")?,
                confined_to: settings.confined_to.clone(),
            },
            settings,
            known: Mutex::new(None),
        })
    }

    /// The service's addresses and keys, not older than this.
    async fn metadata(&self, fresh: Duration) -> Result<Arc<CoreProviderMetadata>> {
        let known = self.known.lock().clone();
        if let Some(known) = known
            && known.since.elapsed() < fresh
        {
            return Ok(known.metadata);
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone())?;
        let found = CoreProviderMetadata::discover_async(issuer, &self.fetcher).await;
        let metadata = Arc::new(found.context("its addresses and keys")?);
        *self.known.lock() = Some(Known {
            metadata: Arc::clone(&metadata),
            since: Instant::now(),
        });
        Ok(metadata)
    }

    fn redirect(&self) -> Result<RedirectUrl> {
        Ok(RedirectUrl::new(format!(
            "{}/login/callback",
            self.settings.origin
        ))?)
    }

    fn client_secret(&self) -> Option<ClientSecret> {
        let secret = self.settings.client_secret.as_ref()?;
        Some(ClientSecret::new(secret.expose_secret().to_owned()))
    }

    async fn begin(&self) -> Result<Invitation> {
        let metadata = self.metadata(METADATA_FRESH).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = CoreClient::from_provider_metadata(
            (*metadata).clone(),
            ClientId::new(self.settings.client_id.clone()),
            self.client_secret(),
        )
        .set_redirect_uri(self.redirect()?);
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        let keepsake = Keepsake {
            state: state.secret().clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.secret().clone(),
        };
        Ok(Invitation {
            url: url.into(),
            keepsake: serde_json::to_string(&keepsake)?,
        })
    }

    /// What the service says of whoever has brought this code, once it is sure that it says it.
    async fn claims(&self, keepsake: Keepsake, code: &str) -> Result<Map<String, Value>> {
        let metadata = self.metadata(METADATA_FRESH).await?;
        let client = CoreClient::from_provider_metadata(
            (*metadata).clone(),
            ClientId::new(self.settings.client_id.clone()),
            self.client_secret(),
        )
        .set_redirect_uri(self.redirect()?);
        let tokens = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))?
            .set_pkce_verifier(PkceCodeVerifier::new(keepsake.verifier))
            .request_async(&self.fetcher)
            .await
            .context("the code was not taken")?;
        let token = tokens.id_token().context("it has sent no ID token")?;
        let nonce = Nonce::new(keepsake.nonce);
        let verified = self.verified(&metadata, token, &nonce);
        if verified.is_err() {
            // It may have new keys since it was asked for them.
            let metadata = self.metadata(METADATA_AGAIN).await?;
            self.verified(&metadata, token, &nonce)?;
        }
        payload(&token.to_string())
    }

    /// Checks who signed the token, for whom, for which login, and until when (`OpenID` Connect Core
    /// 1.0, 3.1.3.7).
    fn verified(
        &self,
        metadata: &CoreProviderMetadata,
        token: &CoreIdToken,
        nonce: &Nonce,
    ) -> Result<()> {
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            ClientId::new(self.settings.client_id.clone()),
            self.client_secret(),
        );
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        token
            .claims(&verifier, nonce)
            .map(|_| ())
            .context("its ID token")
    }

    async fn end(&self, keepsake: &str, code: &str, state: &str) -> Result<Person, LoginError> {
        let keepsake: Keepsake =
            serde_json::from_str(keepsake).map_err(|_| refused("this browser has not begun it"))?;
        if keepsake.state != state {
            return Err(refused("it was begun by somebody else"));
        }
        let claims = self.claims(keepsake, code).await.map_err(|error| {
            tracing::warn!(issuer = %self.settings.issuer, "a login failed: {error:#}");
            refused("the login service did not confirm it; the gateway's log says more")
        })?;
        person(&claims, &self.settings.mappings)
            .ok_or_else(|| refused("the login service has told no name"))
    }
}

fn refused(message: &str) -> LoginError {
    LoginError::Refused(message.to_owned())
}

/// What a signed token says. Only for tokens that were verified.
fn payload(token: &str) -> Result<Map<String, Value>> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload)) = (parts.next(), parts.next()) else {
        bail!("its ID token has no payload");
    };
    Ok(serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD.decode(payload)?,
    )?)
}

/// Who somebody is, and what of it roles depend on. `None` when the claims name nobody.
fn person(claims: &Map<String, Value>, mappings: &[Mapping]) -> Option<Person> {
    let text = |name| claims.get(name).and_then(Value::as_str);
    let email = text("email").filter(|_| is_verified(claims));
    let name = email
        .or_else(|| text("preferred_username"))
        .or_else(|| text("sub"))?;
    let mut kept: Vec<(String, String)> = Vec::new();
    for mapping in mappings {
        let pair = (mapping.claim.clone(), mapping.value.clone());
        // An address that nobody has verified is whatever somebody has typed.
        let is_believed = mapping.claim != "email" || is_verified(claims);
        if is_believed && has(claims, &mapping.claim, &mapping.value) && !kept.contains(&pair) {
            kept.push(pair);
        }
    }
    Some(Person {
        name: name.to_owned(),
        claims: kept,
    })
}

fn is_verified(claims: &Map<String, Value>) -> bool {
    match claims.get("email_verified") {
        Some(Value::Bool(is_verified)) => *is_verified,
        // Some services write it so.
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// Whether a claim is this value, or a list with it. `a.b` is also `b` within `a`, as in Keycloak's
/// `realm_access.roles`.
fn has(claims: &Map<String, Value>, name: &str, value: &str) -> bool {
    let found = claims.get(name).or_else(|| {
        let mut steps = name.split('.');
        let first = claims.get(steps.next()?)?;
        steps.try_fold(first, |inner, step| inner.get(step))
    });
    let is = |found: &Value| match found {
        Value::String(text) => text == value,
        Value::Bool(flag) => flag.to_string() == value,
        Value::Number(number) => number.to_string() == value,
        _ => false,
    };
    match found {
        Some(Value::Array(values)) => values.iter().any(is),
        Some(other) => is(other),
        None => false,
    }
}

impl Login for OidcLogin {
    fn invite(&self) -> BoxFuture<'_, Result<Invitation, LoginError>> {
        Box::pin(async {
            self.begin().await.map_err(|error| {
                tracing::error!(issuer = %self.settings.issuer, "nobody can sign in: {error:#}");
                LoginError::Unavailable
            })
        })
    }

    fn welcome<'a>(
        &'a self,
        keepsake: &'a str,
        code: &'a str,
        state: &'a str,
    ) -> BoxFuture<'a, Result<Person, LoginError>> {
        Box::pin(self.end(keepsake, code, state))
    }

    fn grants(&self, person: &Person) -> Vec<Grant> {
        let mut grants = Vec::new();
        for mapping in &self.settings.mappings {
            let is_theirs = person
                .claims
                .iter()
                .any(|(claim, value)| *claim == mapping.claim && *value == mapping.value);
            if is_theirs && !grants.contains(&mapping.grant) {
                grants.push(mapping.grant.clone());
            }
        }
        grants
    }
}

/// Why the service could not be asked.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it names an address that is neither https nor on this machine")]
    Address,
    #[error("it names an address that is not inside, and the gateway is sealed")]
    Outside,
    #[error("it answers with more than {ANSWER_BYTES_MAX} bytes")]
    Long,
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// Finds only addresses of these networks: one that is not among them spoils the name.
struct Inside(Networks);

impl Resolve for Inside {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<_> = found.collect();
            if !found.iter().all(|address| networks.hold(address.ip())) {
                return Err(Box::from(FetchError::Outside));
            }
            Ok(Box::new(found.into_iter()) as Box<_>)
        })
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
