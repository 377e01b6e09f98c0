//! Who may use how much: keys' lives, teams, limits and budgets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use freehold_ports::{Bound, Budget, Limits, Period, Scope};
use freehold_store::meter::{SharedSettings, Stance};
use freehold_store::{KeySettings, PreviousKey, StaticAccounts};
use freehold_types::{FlowName, NanoUsd, TeamName};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::settings::{Environment, constraint, sensitivity};
use super::text::Text;
use super::{Complaint, access, raw};

/// Shorter keys can be guessed.
const KEY_CHARS_MIN: usize = 16;

/// A key that has been replaced and is still taken for a while.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Previous {
    /// The key, or `sha256:` and its hex digest.
    pub(crate) key: Text,
    /// Until when: a date, `2027-01-31` (its first moment, UTC), or a time, `2027-01-31T18:00:00Z`.
    pub(crate) until: String,
}

/// How much may be used.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLimits {
    /// Requests within any minute.
    pub(crate) requests_per_minute: Option<u64>,
    /// Tokens, read and written, within any minute.
    pub(crate) tokens_per_minute: Option<u64>,
    /// Requests at the same time.
    pub(crate) concurrent: Option<u64>,
}

/// How much may be spent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBudget {
    /// In which time; days and months are those of UTC.
    pub(crate) per: RawPeriod,
    /// US dollars: no request is admitted that could spend more.
    pub(crate) usd: Option<f64>,
    /// US dollars: a warning is logged once when so much is spent.
    pub(crate) alert_usd: Option<f64>,
}

/// How long a budget lasts.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawPeriod {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
    /// For ever.
    Total,
}

/// The limits of a team, with all teams that are a part of it, or of a workload.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limited {
    /// How much may be used.
    pub(crate) limits: RawLimits,
    /// How much may be spent.
    pub(crate) budgets: Vec<RawBudget>,
}

impl Limited {
    fn limits(&self, path: &[&str]) -> Result<Limits, Complaint> {
        limits(&self.limits, &self.budgets, path)
    }
}

/// Where limits and budgets are counted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAccounts {
    /// A Valkey or Redis server that many gateways share: `redis://`, `rediss://` (TLS) or `unix://`.
    /// Default: `$REDIS_URL`; without either, this gateway counts alone, in memory.
    pub(crate) redis_url: Option<Text>,
    /// Gateways that count together have the same.
    pub(crate) namespace: String,
    /// A request longer than this without a sign of life from its gateway counts as ended, in
    /// seconds.
    pub(crate) lease_s: u32,
    /// How long the server may take to answer, in ms.
    pub(crate) timeout_ms: u32,
    /// What this gateway admits by itself while the server is away. Default: nothing.
    pub(crate) outage: Option<RawOutage>,
}

/// A little that is admitted without the shared accounts, and charged when they are back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOutage {
    /// The part of each limit per minute that this gateway takes for its own, 0 to 1; with N
    /// gateways, at most 1/N keeps the limits.
    pub(crate) share: f64,
    /// What each key, team and flow may spend at this gateway in one outage, in US dollars.
    pub(crate) usd: f64,
}

impl Default for RawAccounts {
    fn default() -> Self {
        Self {
            redis_url: None,
            namespace: "freehold".to_owned(),
            lease_s: 60,
            timeout_ms: 500,
            outage: None,
        }
    }
}

/// The shared accounts, if there are to be any.
pub(crate) fn shared(
    raw: &RawAccounts,
    environment: &Environment,
) -> Result<Option<SharedSettings>, Complaint> {
    let from_environment = (environment.variable)("REDIS_URL").filter(|url| !url.is_empty());
    let url = raw.redis_url.as_ref().map(|url| url.as_str().to_owned());
    let Some(url) = url.or(from_environment) else {
        return Ok(None);
    };
    let schemes = [
        "redis://",
        "rediss://",
        "unix://",
        "valkey://",
        "valkeys://",
    ];
    if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
        // The address may hold a password: it is not repeated.
        let message = "the address of the shared accounts is none";
        return Err(Complaint::new(["accounts", "redis_url"], message)
            .hint("write redis://HOST:6379, rediss://HOST:6379 (TLS) or unix:///PATH"));
    }
    let stance = match &raw.outage {
        None => Stance::Deny,
        Some(outage) if !(0.0..=1.0).contains(&outage.share) => {
            let message = format!("{} is no part of a limit", outage.share);
            return Err(Complaint::new(["accounts", "outage", "share"], message)
                .hint("write a number from 0 to 1"));
        }
        Some(outage) => Stance::Allow {
            share: outage.share,
            spend: NanoUsd::from_usd(outage.usd)
                .filter(|usd| *usd >= NanoUsd::ZERO)
                .ok_or_else(|| {
                    let message = format!("{} is no amount of money", outage.usd);
                    Complaint::new(["accounts", "outage", "usd"], message)
                })?,
        },
    };
    Ok(Some(SharedSettings {
        namespace: raw.namespace.clone(),
        lease: Duration::from_secs(raw.lease_s.max(3).into()),
        timeout: Duration::from_millis(raw.timeout_ms.max(1).into()),
        stance,
        ..SharedSettings::new(url)
    }))
}

/// Teams and their limits.
pub(crate) type Teams = BTreeMap<TeamName, Arc<Limits>>;

/// The keys, each with all that limits it.
pub(crate) fn keys(raw: &raw::Config) -> Result<Vec<KeySettings>, Complaint> {
    let teams = teams(&raw.teams)?;
    let mut keys = Vec::with_capacity(raw.keys.len());
    for (index, key) in raw.keys.iter().enumerate() {
        keys.push(read(key, &index.to_string(), &teams)?);
    }
    // The store finds doubles; its complaint names the keys.
    StaticAccounts::new(keys.clone())
        .map_err(|error| Complaint::new(["keys"], error.to_string()))?;
    Ok(keys)
}

/// The limits of workloads.
pub(crate) fn flows(
    raw: &BTreeMap<String, Limited>,
) -> Result<HashMap<FlowName, Arc<Limits>>, Complaint> {
    raw.iter()
        .map(|(name, limited)| {
            let limits = limited.limits(&["flows", name])?;
            Ok((FlowName::from(name.as_str()), Arc::new(limits)))
        })
        .collect()
}

fn teams(raw: &BTreeMap<String, Limited>) -> Result<Teams, Complaint> {
    raw.iter()
        .map(|(name, limited)| {
            if name
                .split('/')
                .any(|part| part.trim() != part || part.is_empty())
            {
                let message = format!("`{name}` is no name of a team");
                return Err(Complaint::new(["teams", name], message)
                    .hint("write a team as `acme`, and a part of it as `acme/search`"));
            }
            let limits = limited.limits(&["teams", name])?;
            Ok((TeamName::from(name.as_str()), Arc::new(limits)))
        })
        .collect()
}

fn read(key: &raw::Key, index: &str, teams: &Teams) -> Result<KeySettings, Complaint> {
    let team = key.team.as_deref().map(TeamName::from);
    if let Some(team) = &team
        && !teams.contains_key(team)
    {
        let message = format!("there is no team `{team}`");
        return Err(Complaint::new(["keys", index, "team"], message)
            .hint(format!("add it:  teams: {{\"{team}\": {{}}}}")));
    }
    let own = limits(&key.limits, &key.budgets, &["keys", index])?;
    let mut bounds = vec![Bound {
        scope: Scope::Key(key.name.as_str().into()),
        limits: Arc::new(own),
    }];
    for team in team.iter().flat_map(TeamName::lineage) {
        if let Some(limits) = teams.get(&team) {
            bounds.push(Bound {
                scope: Scope::Team(team),
                limits: Arc::clone(limits),
            });
        }
    }
    bounds.retain(|bound| !bound.limits.is_empty());
    let mut previous = Vec::with_capacity(key.previous.len());
    for (number, replaced) in key.previous.iter().enumerate() {
        let number = number.to_string();
        let path = ["keys", index, "previous", &number];
        previous.push(PreviousKey {
            secret: secret(&replaced.key, &[&path[..], &["key"]].concat())?,
            until_unix_ms: moment(&replaced.until, &[&path[..], &["until"]].concat())?,
        });
    }
    let expires = key.expires.as_deref();
    Ok(KeySettings {
        prefix: key.prefix.clone(),
        expires_unix_ms: expires
            .map(|expires| moment(expires, &["keys", index, "expires"]))
            .transpose()?,
        previous,
        sensitivity: key.sensitivity.map(sensitivity),
        routes: key.routes.clone(),
        constraint: constraint(&key.require),
        flow: key.flow.as_deref().map(Into::into),
        // The tenant is the largest team, unless the key says otherwise.
        tenant: key
            .tenant
            .clone()
            .or_else(|| team.as_ref().map(|team| team.root().to_owned())),
        region: key.region.clone(),
        grant: access::grant_of(key.role, team.as_ref()),
        team,
        bounds,
        ..KeySettings::new(
            key.name.as_str(),
            secret(&key.key, &["keys", index, "key"])?,
        )
    })
}

fn secret(key: &Text, path: &[&str]) -> Result<SecretString, Complaint> {
    let key = key.as_str();
    if key.chars().count() < KEY_CHARS_MIN {
        let message = format!("a key of fewer than {KEY_CHARS_MIN} characters can be guessed");
        return Err(Complaint::new(path, message).hint("make one with: freehold keys create NAME"));
    }
    Ok(SecretString::from(key.to_owned()))
}

fn limits(raw: &RawLimits, budgets: &[RawBudget], path: &[&str]) -> Result<Limits, Complaint> {
    let mut read = Vec::with_capacity(budgets.len());
    for (index, budget) in budgets.iter().enumerate() {
        let index = index.to_string();
        let path = [path, &["budgets", &index]].concat();
        let usd = |amount: Option<f64>, field| {
            let Some(amount) = amount else {
                return Ok(None);
            };
            let found = NanoUsd::from_usd(amount).filter(|amount| *amount >= NanoUsd::ZERO);
            let found = found.ok_or_else(|| {
                Complaint::new(
                    [&path[..], &[field]].concat(),
                    format!("{amount} is no amount of money"),
                )
            })?;
            Ok::<_, Complaint>(Some(found))
        };
        let budget = Budget {
            period: match budget.per {
                RawPeriod::Day => Period::Day,
                RawPeriod::Month => Period::Month,
                RawPeriod::Total => Period::Total,
            },
            hard: usd(budget.usd, "usd")?,
            soft: usd(budget.alert_usd, "alert_usd")?,
        };
        if budget.hard.is_none() && budget.soft.is_none() {
            let message = "a budget without an amount limits nothing";
            return Err(Complaint::new(&path, message).hint("add `usd`, `alert_usd` or both"));
        }
        read.push(budget);
    }
    Ok(Limits {
        requests_per_minute: raw.requests_per_minute,
        tokens_per_minute: raw.tokens_per_minute,
        concurrent: raw.concurrent,
        budgets: read,
    })
}

/// A date or a time, as Unix milliseconds.
///
/// # Errors
///
/// Where it is neither; the complaint is about the value at `path`.
pub fn moment(text: &str, path: &[&str]) -> Result<u64, Complaint> {
    let day = time::Date::parse(text, format_description!("[year]-[month]-[day]"));
    let at = day.map(|day| day.midnight().assume_utc());
    let at = at.or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
    let at = at.map_err(|_| {
        Complaint::new(path, format!("`{text}` is no date and no time"))
            .hint("write 2027-01-31 or 2027-01-31T18:00:00Z")
    })?;
    Ok(u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

#[cfg(test)]
mod tests;
