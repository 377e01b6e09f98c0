//! What a request could use at most, and what clients are told when that is too much.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freehold_cost::PriceBook;
use freehold_cost::tokens::bound_request;
use freehold_guard::Guard;
use freehold_ports::{
    Account, Bound, Denial, Limits, Period, Reservation, ReserveError, Scope, Shortage, Slot,
    Standing,
};
use freehold_types::outcome::{Cost, CostBasis, CostGap, ErrorSummary};
use freehold_types::{
    AttemptRecord, Deployment, DeploymentId, Error, ErrorKind, ErrorSource, FlowName, NanoUsd,
    Outcome, PriceBasis, Request, RequestId, Retry, Usage, UsageBasis,
};

use crate::draft::{Draft, unmeasured};
use crate::log::AttemptLog;
use crate::observe::refused;
use crate::pipeline::Pipeline;
use crate::withhold::withhold;

/// What is reserved for an answer whose length nobody bounds.
const UNBOUNDED_OUTPUT_TOKENS: u64 = 16_384;
/// Said to clients that retry by themselves: they need not.
pub const BUDGET_SPENT: &str = "insufficient_quota";
/// A limit of requests, tokens or streams is reached.
pub const LIMIT_REACHED: &str = "rate_limit_exceeded";
/// A budget cannot be kept, as nobody knows what the request would cost.
const PRICE_UNKNOWN: &str = "price_unknown";
/// Nobody can tell whether limits are reached.
const ACCOUNTS_UNREACHABLE: &str = "accounts_unreachable";

/// The limits of workloads.
pub type FlowLimits = HashMap<FlowName, Arc<Limits>>;

/// What was reserved, and how the limits stand.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// `None` when nothing limits the request.
    pub(crate) reservation: Option<Reservation>,
    pub(crate) standing: Option<Box<Standing>>,
    /// Where it stands among the requests under way.
    pub(crate) slot: Option<Slot>,
}

/// The money that is reserved for a request that some budget limits: no attempt begins that could
/// spend more.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    reserved: NanoUsd,
    /// The most that one attempt at each deployment of the plan could cost.
    each: Vec<(DeploymentId, NanoUsd)>,
}

impl Purse {
    /// Whether one more attempt at a deployment fits, beside what the others have cost or could.
    pub(crate) fn covers(&self, log: &AttemptLog, deployment: &Deployment) -> bool {
        let most = |id: &DeploymentId| {
            let known = self.each.iter().find(|(known, _)| known == id);
            known.map_or(self.reserved, |(_, most)| *most)
        };
        log.at_most(most) + most(&deployment.id) <= self.reserved
    }
}

/// A reservation that was not made.
pub(crate) struct Denied {
    pub(crate) error: Error,
    pub(crate) standing: Option<Box<Standing>>,
}

/// Who asks for what.
pub(crate) struct Asked<'a> {
    pub(crate) id: RequestId,
    pub(crate) started_unix_ms: u64,
    pub(crate) account: &'a Account,
    pub(crate) flow: Option<&'a FlowName>,
    pub(crate) request: &'a Request,
    /// A guess at its prompt's tokens.
    pub(crate) prompt_tokens: u64,
    pub(crate) attempts: &'a [Arc<Deployment>],
    /// How many of them may be under way at once, and billed.
    pub(crate) parallel: usize,
    /// Whether one can be made after another has failed.
    pub(crate) again: bool,
}

impl Pipeline {
    /// Takes what the request could use from everything that limits it.
    pub(crate) async fn reserve(
        &self,
        asked: &Asked<'_>,
        flows: &FlowLimits,
    ) -> Result<(Hold, Option<Purse>), Denied> {
        let bounds = bounds(asked.account, asked.flow, flows);
        if bounds.is_empty() {
            return Ok((Hold::default(), None));
        }
        let Some(meter) = &self.meter else {
            let defect = "limits are set, and nothing counts them";
            return Err(denied(Error::new(ErrorKind::Internal, defect)));
        };
        let has_budget = bounds.iter().any(|bound| !bound.limits.budgets.is_empty());
        let purse = has_budget.then(|| most(asked, &self.accounting.prices()));
        let must_be_known = bounds.iter().any(|bound| bound.limits.has_hard_budget());
        let purse = match purse {
            Some(None) if must_be_known => {
                refused(PRICE_UNKNOWN, "none");
                return Err(denied(unknown_price(asked)));
            }
            purse => purse.flatten(),
        };
        let cost = purse.as_ref().map_or(NanoUsd::ZERO, |purse| purse.reserved);
        let input = asked.prompt_tokens;
        let output = output_tokens(asked.request, asked.attempts, input);
        let reservation = Reservation {
            id: asked.id,
            started_unix_ms: asked.started_unix_ms,
            bounds,
            tokens: input.saturating_add(output),
            cost,
        };
        match meter.reserve(&reservation).await {
            Ok(standing) => {
                let hold = Hold {
                    reservation: Some(reservation),
                    standing: Some(Box::new(standing)),
                    slot: None,
                };
                Ok((hold, purse.filter(|_| must_be_known)))
            }
            Err(ReserveError::Denied(denial)) => {
                refused(reason(&denial.shortage), kind(&denial.scope));
                Err(Denied {
                    error: explain(&denial),
                    standing: Some(Box::new(denial.standing)),
                })
            }
            Err(error @ ReserveError::Unreachable(_)) => {
                refused(ACCOUNTS_UNREACHABLE, "none");
                // The accounts tell of their absence once; here it would be once a request.
                tracing::debug!(%error, id = %asked.id, "refused: its limits cannot be checked");
                let message = "the gateway cannot check this key's limits now; try again shortly";
                Err(denied(
                    Error::new(ErrorKind::Unavailable, message)
                        .with_code(ACCOUNTS_UNREACHABLE)
                        .on_side(ErrorSource::Internal)
                        .with_retry(Retry::After(Duration::from_secs(1))),
                ))
            }
        }
    }
}

impl Pipeline {
    /// Remembers a request that is about to be sent, beyond the death of this process.
    pub(crate) fn remember(
        &self,
        asked: &Asked<'_>,
        draft: &Draft,
        guard: &Guard,
    ) -> Result<Option<Slot>, Error> {
        let Some(journal) = &self.journal else {
            return Ok(None);
        };
        let mut provisional = provisional(asked, draft, &self.accounting.prices());
        let is_found = draft.decision.is_some();
        withhold(&mut provisional, guard, is_found, &draft.names);
        let slot = journal.begin(&provisional).map_err(|error| {
            let message = format!("the request cannot be recorded: {error}");
            Error::new(ErrorKind::Unavailable, message).on_side(ErrorSource::Internal)
        })?;
        Ok(Some(slot))
    }
}

/// What is recorded of a request if nobody ever tells how it ended: the most it can have used at the
/// deployment that is asked first.
fn provisional(asked: &Asked<'_>, draft: &Draft, prices: &PriceBook) -> Outcome {
    let input_tokens = asked.prompt_tokens;
    let usage = Usage {
        input_tokens,
        output_tokens: output_tokens(asked.request, asked.attempts, input_tokens),
        basis: UsageBasis::Estimated,
        ..Usage::default()
    };
    let died = ErrorSummary::from(&Error::new(ErrorKind::Internal, "the gateway died"));
    let attempt = asked.attempts.first().map(|deployment| AttemptRecord {
        usage,
        cost: cost(deployment, &usage, asked.started_unix_ms, prices).map(|total| Cost {
            total,
            idle_share: NanoUsd::ZERO,
            basis: match deployment.price {
                PriceBasis::Hourly { .. } => CostBasis::Hours,
                _ => CostBasis::Tokens,
            },
            gap: Some(CostGap::Interrupted),
            book: None,
        }),
        ..unmeasured(deployment, Some(died.clone()))
    });
    draft.interrupted(attempt, died)
}

fn denied(error: Error) -> Denied {
    Denied {
        error,
        standing: None,
    }
}

/// Everything that limits a request.
fn bounds(account: &Account, flow: Option<&FlowName>, flows: &FlowLimits) -> Vec<Bound> {
    let mut bounds = account.bounds.clone();
    let flow = flow.and_then(|flow| flows.get_key_value(flow));
    bounds.extend(flow.map(|(flow, limits)| Bound {
        scope: Scope::Flow(flow.clone()),
        limits: Arc::clone(limits),
    }));
    bounds
}

/// The tokens that the answer may have.
fn output_tokens(request: &Request, attempts: &[Arc<Deployment>], input: u64) -> u64 {
    let answers = u64::from(request.sampling.n.unwrap_or(1).max(1));
    let each = request.sampling.max_output_tokens.unwrap_or_else(|| {
        let windows = attempts
            .iter()
            .map(|deployment| deployment.context_window_tokens.map_or(u64::MAX, u64::from));
        let largest = windows.max().unwrap_or(u64::MAX);
        largest.saturating_sub(input).min(UNBOUNDED_OUTPUT_TOKENS)
    });
    each.saturating_mul(answers)
}

/// What the request could cost at the dearest deployments of its plan, and the prompt once more for an
/// attempt that fails when its answer has been opened; `None` when nobody knows.
fn most(asked: &Asked<'_>, prices: &PriceBook) -> Option<Purse> {
    let input = bound_request(asked.request);
    let output = output_tokens(asked.request, asked.attempts, 0);
    let mut each = Vec::with_capacity(asked.attempts.len());
    let mut prompt = NanoUsd::ZERO;
    for deployment in asked.attempts {
        let plain = Usage {
            input_tokens: input,
            output_tokens: output,
            ..Usage::default()
        };
        // Some vendors take more for what they are to remember.
        let remembered = Usage {
            cache_write_tokens: input,
            ..plain
        };
        let at = asked.started_unix_ms;
        let most = cost(deployment, &plain, at, prices)?;
        let most = most.max(cost(deployment, &remembered, at, prices)?);
        each.push((deployment.id.clone(), most));
        if asked.again && !matches!(deployment.price, PriceBasis::Hourly { .. }) {
            let unanswered = Usage {
                output_tokens: 0,
                ..remembered
            };
            prompt = prompt.max(cost(deployment, &unanswered, at, prices)?);
        }
    }
    let mut costs: Vec<_> = each.iter().map(|(_, most)| *most).collect();
    costs.sort_unstable_by(|one, other| other.cmp(one));
    let dearest: NanoUsd = costs.into_iter().take(asked.parallel).sum();
    Some(Purse {
        reserved: dearest + prompt,
        each,
    })
}

/// What so much costs at a deployment; `None` when nobody knows.
fn cost(deployment: &Deployment, usage: &Usage, at: u64, prices: &PriceBook) -> Option<NanoUsd> {
    match &deployment.price {
        PriceBasis::Hourly { per_hour } => {
            let busy_us = expected_us(deployment, usage.output_tokens);
            Some(PriceBook::busy_cost(*per_hour, busy_us))
        }
        price => Some(prices.cost(price, usage, at).ok()?.total),
    }
}

/// How long an owned machine would be busy, in microseconds, if nothing else ran on it.
fn expected_us(deployment: &Deployment, output: u64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate; the conversion saturates"
    )]
    let generating_us = (output as f64 * 1e6 / deployment.tokens_per_second.max(1.0)) as u64;
    generating_us.saturating_add(u64::from(deployment.first_token_ms).saturating_mul(1_000))
}

fn unknown_price(asked: &Asked<'_>) -> Error {
    let unknown = asked
        .attempts
        .iter()
        .map(|deployment| deployment.id.as_str());
    let names: Vec<_> = unknown.collect();
    let message = format!(
        "a budget limits this request, and nobody knows the price of one of {}: the gateway's operator \
         can set it under `models: [{{price: ...}}]`",
        names.join(", ")
    );
    Error::new(ErrorKind::PermissionDenied, message).with_code(PRICE_UNKNOWN)
}

/// What is counted of a shortage.
fn reason(shortage: &Shortage) -> &'static str {
    match shortage {
        Shortage::Requests { .. } => "requests",
        Shortage::Tokens { .. } => "tokens",
        Shortage::Concurrent { .. } => "concurrent",
        Shortage::Budget { .. } => "budget",
    }
}

fn kind(scope: &Scope) -> &'static str {
    match scope {
        Scope::Key(_) => "key",
        Scope::Team(_) => "team",
        Scope::Flow(_) => "flow",
    }
}

/// The error that a client gets, and when it may come again.
fn explain(denial: &Denial) -> Error {
    let Denial {
        scope,
        shortage,
        retry_after,
        ..
    } = denial;
    let (message, code) = match shortage {
        Shortage::Requests { limit } => (
            format!("{scope} has reached its limit of {limit} requests per minute"),
            LIMIT_REACHED,
        ),
        Shortage::Tokens { limit, needed } => (
            format!(
                "{scope} has too little left of its {limit} tokens per minute: this request may use \
                 {needed} (lower `max_tokens` if that is too many)"
            ),
            LIMIT_REACHED,
        ),
        Shortage::Concurrent { limit } => (
            format!("{scope} has reached its limit of {limit} requests at the same time"),
            LIMIT_REACHED,
        ),
        Shortage::Budget {
            period,
            limit,
            taken,
            needed,
        } => {
            let which = match period {
                Period::Day => "daily",
                Period::Month => "monthly",
                Period::Total => "total",
            };
            (
                format!(
                    "{scope} has too little left of its {which} budget of ${limit}: ${taken} are spent or \
                     reserved, and this request may cost ${needed}"
                ),
                BUDGET_SPENT,
            )
        }
    };
    Error::new(ErrorKind::RateLimited, message)
        .with_code(code)
        .on_side(ErrorSource::Client)
        .with_retry(retry_after.map_or(Retry::Never, Retry::After))
}

#[cfg(test)]
mod tests;
