//! A fake login service: `OpenID` Connect with the authorisation code flow and PKCE, on loopback.
//!
//! It lets everybody in at once, as whoever the test says, and lies in its tokens on command.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::TestkitError;

/// What the gateway is called at the service.
pub const CLIENT_ID: &str = "freehold-test";
/// What it shows there.
pub const CLIENT_SECRET: &str = "client-secret-7Yh2Uj9Ik4";

/// How the next token lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It is for another login.
    Nonce,
    /// It is for another application.
    Audience,
    /// It is of another service.
    Issuer,
    /// Its time is over.
    Expiry,
    /// Its signature is somebody else's.
    Signature,
    /// It has no signature (`alg: none`).
    Unsigned,
}

struct Login {
    challenge: String,
    nonce: String,
    redirect: String,
}

struct Signer {
    id: String,
    key: EcdsaKeyPair,
}

impl Signer {
    fn new(id: String) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
        let key = made.map(|pkcs8| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random));
        match key {
            Ok(Ok(key)) => Self { id, key },
            _ => unreachable!("a key that was just made is one"),
        }
    }

    /// The public key (RFC 7518, 6.2.1).
    fn jwk(&self) -> Value {
        // One byte that says "uncompressed", then both coordinates.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        })
    }
}

struct State {
    signer: Signer,
    claims: Map<String, Value>,
    lie: Option<Lie>,
    logins: HashMap<String, Login>,
    codes: u64,
    is_broken: bool,
}

/// A fake login service. It stops when dropped.
pub struct IdentityProvider {
    issuer: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl IdentityProvider {
    /// Starts to listen on a free port, on the current Tokio runtime.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self, TestkitError> {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let listen = |source| TestkitError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let issuer = format!("http://{}", listener.local_addr().map_err(listen)?);
        let state = Arc::new(Mutex::new(State {
            signer: Signer::new("key-1".to_owned()),
            claims: Map::new(),
            lie: None,
            logins: HashMap::new(),
            codes: 0,
            is_broken: false,
        }));
        let task = tokio::spawn(accept(listener, issuer.clone(), Arc::clone(&state)));
        Ok(Self {
            issuer,
            state,
            task,
        })
    }

    /// The service's name, which is also its address.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who signs in from now on.
    pub fn person(&self, claims: Value) {
        if let Value::Object(claims) = claims {
            self.state.lock().claims = claims;
        }
    }

    /// The next token lies.
    pub fn lie(&self, lie: Lie) {
        self.state.lock().lie = Some(lie);
    }

    /// Signs with another key from now on.
    pub fn rotate(&self) {
        self.state.lock().signer = Signer::new("key-2".to_owned());
    }

    /// Answers nothing sensible any more, or again.
    pub fn set_broken(&self, is_broken: bool) {
        self.state.lock().is_broken = is_broken;
    }
}

async fn accept(listener: TcpListener, issuer: String, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (issuer, state) = (issuer.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (issuer, state) = (issuer.clone(), Arc::clone(&state));
                async move { Ok::<_, Infallible>(answer(request, &issuer, &state).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client's broken connection is the client's affair.
            let _ = connection.await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

fn parameters(text: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

async fn answer(request: Request<Incoming>, issuer: &str, state: &Mutex<State>) -> Answer {
    if state.lock().is_broken {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "broken");
    }
    let (parts, body) = request.into_parts();
    let sent = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return plain(StatusCode::BAD_REQUEST, "{}"),
    };
    match parts.uri.path() {
        "/.well-known/openid-configuration" => plain(StatusCode::OK, metadata(issuer).to_string()),
        "/keys" => {
            let keys = json!({"keys": [state.lock().signer.jwk()]});
            plain(StatusCode::OK, keys.to_string())
        }
        "/authorize" => {
            let asked = parameters(parts.uri.query().unwrap_or_default().as_bytes());
            authorize(&asked, &mut state.lock())
        }
        "/token" => {
            let shown = parts.headers.get(header::AUTHORIZATION);
            let shown = shown.and_then(|value| value.to_str().ok());
            token(&parameters(&sent), shown, issuer, &mut state.lock())
        }
        _ => plain(StatusCode::NOT_FOUND, "{}"),
    }
}

fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "none"],
        "code_challenge_methods_supported": ["S256"],
    })
}

/// Everybody is let in at once: the browser goes back with a code.
fn authorize(asked: &BTreeMap<String, String>, state: &mut State) -> Answer {
    let get = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let is_right = get("client_id") == CLIENT_ID
        && get("response_type") == "code"
        && get("code_challenge_method") == "S256"
        && get("scope").split(' ').any(|scope| scope == "openid");
    if !is_right {
        return plain(StatusCode::BAD_REQUEST, r#"{"error":"invalid_request"}"#);
    }
    state.codes += 1;
    let code = format!("code-{}", state.codes);
    let login = Login {
        challenge: get("code_challenge"),
        nonce: get("nonce"),
        redirect: get("redirect_uri"),
    };
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("code", &code)
        .append_pair("state", &get("state"))
        .finish();
    let location = format!("{}?{query}", login.redirect);
    state.logins.insert(code, login);
    let mut response = plain(StatusCode::FOUND, "");
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A code is good once, for whoever began the login.
fn token(
    asked: &BTreeMap<String, String>,
    shown: Option<&str>,
    issuer: &str,
    state: &mut State,
) -> Answer {
    let refused = || plain(StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#);
    let get = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let basic = BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    if shown != Some(format!("Basic {basic}").as_str()) {
        return plain(StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#);
    }
    let Some(login) = state.logins.remove(get("code")) else {
        return refused();
    };
    let proof = digest(&SHA256, get("code_verifier").as_bytes());
    if BASE64_URL_SAFE_NO_PAD.encode(proof) != login.challenge
        || get("redirect_uri") != login.redirect
    {
        return refused();
    }
    let token = id_token(&login, issuer, state);
    let body = json!({"access_token": "none", "token_type": "Bearer", "id_token": token});
    plain(StatusCode::OK, body.to_string())
}

fn id_token(login: &Login, issuer: &str, state: &mut State) -> String {
    let lie = state.lie.take();
    let or =
        |is: Lie, lied: &str, truth: &str| if lie == Some(is) { lied } else { truth }.to_owned();
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let expires_s = if lie == Some(Lie::Expiry) {
        now_s - 3_600
    } else {
        now_s + 3_600
    };
    let mut claims = state.claims.clone();
    claims.insert(
        "iss".to_owned(),
        or(Lie::Issuer, "https://else.example", issuer).into(),
    );
    claims.insert(
        "aud".to_owned(),
        or(Lie::Audience, "else", CLIENT_ID).into(),
    );
    claims.insert(
        "nonce".to_owned(),
        or(Lie::Nonce, "else", &login.nonce).into(),
    );
    claims.insert("iat".to_owned(), (now_s - 7_200).into());
    claims.insert("exp".to_owned(), expires_s.into());
    claims.entry("sub").or_insert_with(|| "somebody".into());
    let is_unsigned = lie == Some(Lie::Unsigned);
    let head = if is_unsigned {
        json!({"alg": "none"})
    } else {
        json!({"alg": "ES256", "kid": state.signer.id})
    };
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&Value::Object(claims)));
    let other;
    let signer = if lie == Some(Lie::Signature) {
        other = Signer::new(String::new());
        &other
    } else {
        &state.signer
    };
    let signature = match signer.key.sign(&SystemRandom::new(), signed.as_bytes()) {
        Ok(signature) if !is_unsigned => BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()),
        _ => String::new(),
    };
    format!("{signed}.{signature}")
}
