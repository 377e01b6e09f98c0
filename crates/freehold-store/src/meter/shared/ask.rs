//! What the script is asked, and what it answers. Pure.

use freehold_ports::{Period, Remaining, Reservation, Scope, Standing, Used};
use freehold_types::{NanoUsd, RequestId};
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;

use crate::Life;
use crate::meter::PeriodStart;

/// How long a budget's sums stay after its day or month, in seconds: requests may end late.
const KEPT_S: u64 = 3 * 24 * 3_600;

/// A call of the script.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Call {
    Reserve(Reserve),
    Settle(Settle),
    Renew {
        ids: Vec<RequestId>,
        /// Lapsed requests that this gateway was told of before.
        skip: u64,
    },
    #[serde(serialize_with = "keys")]
    Unknown(Vec<String>),
    #[serde(serialize_with = "keys")]
    Standings(Vec<String>),
    Restore {
        key: String,
        cost: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        until_s: Option<u64>,
    },
}

fn keys<S: serde::Serializer>(keys: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Keys<'a> {
        keys: &'a [String],
    }
    Keys { keys }.serialize(serializer)
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Reserve {
    id: RequestId,
    life: Life,
    tokens: u64,
    cost: String,
    bounds: Vec<AskedBound>,
}

#[derive(Clone, Debug, Serialize)]
struct AskedBound {
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpm: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrent: Option<u64>,
    budgets: Vec<AskedBudget>,
}

#[derive(Clone, Debug, Serialize)]
struct AskedBudget {
    index: usize,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soft: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Settle {
    id: RequestId,
    tokens: u64,
    cost: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
}

impl Call {
    /// The script's name for it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Reserve(_) => "reserve",
            Self::Settle(_) => "settle",
            Self::Renew { .. } => "renew",
            Self::Unknown(_) => "unknown",
            Self::Standings(_) => "standings",
            Self::Restore { .. } => "restore",
        }
    }

    pub(super) fn reserve(asked: &Reservation, life: Life) -> Self {
        let bounds = asked.bounds.iter().map(|bound| {
            let limits = &bound.limits;
            let budgets = limits.budgets.iter().enumerate().map(|(index, budget)| {
                let period = PeriodStart::holding(budget.period, asked.started_unix_ms);
                AskedBudget {
                    index,
                    key: budget_key(&bound.scope, period),
                    hard: budget.hard.map(nanos),
                    soft: budget.soft.map(nanos),
                }
            });
            AskedBound {
                scope: scope_key(&bound.scope),
                rpm: limits.requests_per_minute,
                tpm: limits.tokens_per_minute,
                concurrent: limits.concurrent,
                budgets: budgets.collect(),
            }
        });
        Self::Reserve(Reserve {
            id: asked.id,
            life,
            tokens: asked.tokens,
            cost: nanos(asked.cost),
            bounds: bounds.collect(),
        })
    }

    pub(super) fn settle(id: RequestId, used: Used, keys: Option<Vec<String>>) -> Self {
        Self::Settle(Settle {
            id,
            tokens: used.tokens,
            cost: nanos(used.cost),
            keys,
        })
    }

    pub(super) fn renew(ids: Vec<RequestId>, skip: u64) -> Self {
        Self::Renew { ids, skip }
    }

    pub(super) fn restore(key: String, spent: NanoUsd, period: PeriodStart) -> Self {
        let ends = period.ends_after(period.unix_ms);
        Self::Restore {
            key,
            cost: nanos(spent),
            until_s: ends.map(|length| period.unix_ms / 1_000 + length.as_secs() + KEPT_S),
        }
    }
}

fn nanos(amount: NanoUsd) -> String {
    amount.nanos().to_string()
}

fn scope_key(scope: &Scope) -> String {
    match scope {
        Scope::Key(name) => format!("key/{name}"),
        Scope::Team(name) => format!("team/{name}"),
        Scope::Flow(name) => format!("flow/{name}"),
    }
}

/// Where the sums of a budget are.
pub(super) fn budget_key(scope: &Scope, period: PeriodStart) -> String {
    let which = match period.period {
        Period::Day => "day",
        Period::Month => "month",
        Period::Total => "total",
    };
    format!("spend:{}:{which}:{}", scope_key(scope), period.unix_ms)
}

/// What the script answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reply {
    pub(super) short: Option<Short>,
    #[serde(deserialize_with = "list")]
    pub(super) standing: Vec<BoundStanding>,
    #[serde(deserialize_with = "list")]
    pub(super) alerts: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub(super) lapsed: Vec<LapsedHold>,
    pub(super) lapsed_count: u64,
    pub(super) skip: u64,
    #[serde(deserialize_with = "list")]
    pub(super) missing: Vec<usize>,
    #[serde(deserialize_with = "list")]
    pub(super) standings: Vec<SpendStanding>,
    pub(super) held: u64,
}

/// What there is too little of.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Short {
    pub(super) what: String,
    pub(super) bound: usize,
    #[serde(default)]
    pub(super) budget: Option<usize>,
    /// Negative: for ever.
    #[serde(default)]
    pub(super) wait_ms: Option<i64>,
    #[serde(default)]
    pub(super) spent: Option<String>,
    #[serde(default)]
    pub(super) reserved: Option<String>,
    #[serde(default)]
    pub(super) way: Option<String>,
}

/// What a gateway that gave no sign of life had reserved.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LapsedHold {
    pub(super) id: String,
    pub(super) cost: String,
    pub(super) life: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct BoundStanding {
    #[serde(default)]
    requests: Option<Left>,
    #[serde(default)]
    tokens: Option<Left>,
}

#[derive(Clone, Debug, Deserialize)]
struct Left {
    limit: u64,
    remaining: u64,
    reset_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SpendStanding {
    pub(super) spent: String,
    pub(super) reserved: String,
}

/// Lua has one kind of table: an empty list looks like an empty object.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Table<T> {
        List(Vec<T>),
        Empty {},
    }
    Ok(match Table::deserialize(deserializer)? {
        Table::List(list) => list,
        Table::Empty {} => vec![],
    })
}

/// The tightest of each.
pub(super) fn tightest(bounds: Vec<BoundStanding>) -> Standing {
    let mut tightest = Standing::default();
    let remaining = |left: Option<Left>| {
        left.map(|left| Remaining {
            limit: left.limit,
            remaining: left.remaining,
            reset: Duration::from_millis(left.reset_ms),
        })
    };
    for bound in bounds {
        tightest.tighten(Standing {
            requests: remaining(bound.requests),
            tokens: remaining(bound.tokens),
        });
    }
    tightest
}
