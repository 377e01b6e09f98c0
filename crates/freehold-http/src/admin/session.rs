//! What a browser keeps: encrypted and authenticated, so that it can neither read nor change it.
//!
//! A session holds who somebody is, never what they may: that follows from the configuration at every
//! request. Nothing is kept at the gateway, so replicas with one key know each other's sessions.

use std::time::Duration;

use cookie::{Cookie, CookieJar, SameSite};
use freehold_ports::Person;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Door;

/// Encrypts what browsers keep.
#[derive(Clone)]
pub struct SessionKey(cookie::Key);

impl SessionKey {
    /// A key of its own, which no other gateway has: sessions end with this process.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn random() -> Option<Self> {
        cookie::Key::try_generate().map(Self)
    }

    /// The key that follows from a secret of at least 32 bytes.
    pub fn from_secret(secret: &[u8]) -> Option<Self> {
        (secret.len() >= 32).then(|| Self(cookie::Key::derive_from(secret)))
    }
}

/// What is kept while somebody is at the login service.
pub(super) const LOGIN: &str = "freehold_login";
/// What is kept while somebody is signed in.
const SESSION: &str = "freehold_session";

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    until_unix_ms: u64,
    value: T,
}

#[derive(Serialize, Deserialize)]
struct KeptPerson {
    name: String,
    claims: Vec<(String, String)>,
}

/// The name under which a browser keeps something. With the prefix it takes it from TLS only, and
/// from no neighbouring host.
fn name_at(door: &Door, name: &str) -> String {
    if door.is_secure() {
        return format!("__Host-{name}");
    }
    name.to_owned()
}

/// Has the browser keep something for a while.
pub(super) fn keep(
    door: &Door,
    name: &str,
    value: impl Serialize,
    lifetime: Duration,
    now_unix_ms: u64,
) -> Option<HeaderValue> {
    let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    let kept = Kept {
        until_unix_ms: now_unix_ms.saturating_add(lifetime_ms),
        value,
    };
    let value = serde_json::to_string(&kept).ok()?;
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let mut cookie = cookie(door, name, value);
    cookie.set_max_age(cookie::time::Duration::seconds(seconds));
    let name = cookie.name().to_owned();
    let mut jar = CookieJar::new();
    jar.private_mut(&door.key.0).add(cookie);
    HeaderValue::try_from(jar.get(&name)?.to_string()).ok()
}

/// Has the browser forget something.
pub(super) fn forget(door: &Door, name: &str) -> Option<HeaderValue> {
    let mut cookie = cookie(door, name, String::new());
    cookie.make_removal();
    HeaderValue::try_from(cookie.to_string()).ok()
}

fn cookie(door: &Door, name: &str, value: String) -> Cookie<'static> {
    Cookie::build((name_at(door, name), value))
        .path("/")
        .http_only(true)
        .secure(door.is_secure())
        // Somebody comes back from the login service by a link, which takes `Strict` cookies away.
        .same_site(SameSite::Lax)
        .build()
}

/// What the browser has kept, when it is ours and its time is not over.
pub(super) fn kept<T: DeserializeOwned>(
    door: &Door,
    name: &str,
    headers: &HeaderMap,
    now_unix_ms: u64,
) -> Option<T> {
    let name = name_at(door, name);
    let sent = headers.get_all(header::COOKIE).iter();
    let sent = sent.filter_map(|value| value.to_str().ok());
    let cookie = sent
        .flat_map(|value| Cookie::split_parse(value.to_owned()))
        .flatten()
        .find(|cookie| cookie.name() == name)?;
    let mut jar = CookieJar::new();
    jar.add_original(cookie);
    let opened = jar.private(&door.key.0).get(&name)?;
    let kept: Kept<T> = serde_json::from_str(opened.value()).ok()?;
    (now_unix_ms < kept.until_unix_ms).then_some(kept.value)
}

/// Signs somebody in.
pub(super) fn open(door: &Door, person: &Person, now_unix_ms: u64) -> Option<HeaderValue> {
    let value = KeptPerson {
        name: person.name.clone(),
        claims: person.claims.clone(),
    };
    keep(door, SESSION, value, door.session, now_unix_ms)
}

/// Signs somebody out.
pub(super) fn close(door: &Door) -> Option<HeaderValue> {
    forget(door, SESSION)
}

/// Who is signed in.
pub(super) fn person(door: &Door, headers: &HeaderMap, now_unix_ms: u64) -> Option<Person> {
    let kept: KeptPerson = kept(door, SESSION, headers, now_unix_ms)?;
    Some(Person {
        name: kept.name,
        claims: kept.claims,
    })
}
