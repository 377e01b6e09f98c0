use freehold_ports::{Period, SystemClock};
use freehold_types::{BackendId, Capability, DeploymentId, Dialect, Message, Role, Site};

use freehold_cost::tokens::estimate_request;

use super::*;
use crate::accounting::Accounting;
use crate::log::Settled;
use crate::tally::Tally;

fn deployment(price: PriceBasis, window: Option<u32>) -> Arc<Deployment> {
    Arc::new(Deployment {
        id: DeploymentId::new("one/m"),
        backend: BackendId::new("one"),
        model: "m".to_owned(),
        site: Site::inside(),
        dialects: vec![],
        capabilities: [Capability::Chat].into(),
        context_window_tokens: window,
        price,
        quality: 0.5,
        tokens_per_second: 50.0,
        first_token_ms: 1_000,
    })
}

fn per_token(output_usd_per_million: i64) -> PriceBasis {
    PriceBasis::PerToken {
        input_per_million: NanoUsd::from_nanos(1_000_000_000),
        cached_input_per_million: None,
        output_per_million: NanoUsd::from_nanos(output_usd_per_million * 1_000_000_000),
    }
}

fn request(max_tokens: Option<u64>, n: Option<u32>) -> Request {
    let mut request = Request::new(
        Dialect::OpenaiChat,
        "route",
        vec![Message::text(Role::User, "say hello")],
    );
    request.sampling.max_output_tokens = max_tokens;
    request.sampling.n = n;
    request
}

fn purse_of(
    request: &Request,
    attempts: &[Arc<Deployment>],
    parallel: usize,
    again: bool,
) -> Option<Purse> {
    let account = Account::of_key("app");
    let asked = Asked {
        id: RequestId::at(1_700_000_000_000),
        started_unix_ms: 1_700_000_000_000,
        account: &account,
        flow: None,
        request,
        prompt_tokens: estimate_request(request),
        attempts,
        parallel,
        again,
    };
    most(&asked, &PriceBook::bundled())
}

fn cost_of(request: &Request, attempts: &[Arc<Deployment>], parallel: usize) -> Option<NanoUsd> {
    purse_of(request, attempts, parallel, false).map(|purse| purse.reserved)
}

#[test]
fn the_dearest_of_the_plan_is_reserved() {
    let attempts = [per_token(2), per_token(10)].map(|price| deployment(price, None));
    // 9 bytes, and four times the template's 4 and 3 tokens: 37 at a dollar per million; 100 at 10.
    let asked = request(Some(100), None);
    let cost = |parallel| cost_of(&asked, &attempts, parallel).unwrap().nanos();
    assert_eq!(cost(1), 37_000 + 1_000_000);
    // Two at a time can both be billed.
    assert_eq!(cost(2), 37_000 + 1_000_000 + 37_000 + 200_000);
    let three = request(Some(100), Some(3));
    assert_eq!(
        cost_of(&three, &attempts, 1).unwrap().nanos(),
        37_000 + 3_000_000
    );
}

#[test]
fn what_is_reserved_covers_one_more_prompt_where_another_attempt_may_follow() {
    let other = Deployment {
        id: DeploymentId::new("two/m"),
        ..(*deployment(per_token(10), None)).clone()
    };
    let attempts = [deployment(per_token(2), None), Arc::new(other)];
    let asked = request(Some(100), None);
    let purse = purse_of(&asked, &attempts, 1, true).unwrap();
    assert_eq!(purse.reserved.nanos(), 37_000 + 37_000 + 1_000_000);
    let log = AttemptLog::default();
    // The first is under way: the dearer would not fit beside it, nor the cheaper.
    let prices = Accounting::new(Arc::new(SystemClock::new()), PriceBook::bundled());
    assert!(purse.covers(&log, &attempts[1]));
    let number = log.open(&attempts[1], prices.begin(&attempts[1]), Duration::ZERO);
    assert!(!purse.covers(&log, &attempts[1]) && !purse.covers(&log, &attempts[0]));
    // It has failed when its answer was open: both fit again.
    let usage = Usage {
        input_tokens: 37,
        ..Usage::default()
    };
    let end = Settled {
        at: Duration::ZERO,
        error: None,
        usage,
    };
    log.settle(&prices, &attempts[1], number, &Tally::default(), end);
    assert!(purse.covers(&log, &attempts[1]) && purse.covers(&log, &attempts[0]));
}

#[test]
fn an_answer_without_a_bound_is_bounded_by_the_window_and_by_habit() {
    let free = request(None, None);
    let tokens = |window| output_tokens(&free, &[deployment(per_token(1), window)], 1_000);
    assert_eq!(tokens(None), UNBOUNDED_OUTPUT_TOKENS);
    assert_eq!(tokens(Some(200_000)), UNBOUNDED_OUTPUT_TOKENS);
    assert_eq!(tokens(Some(4_096)), 3_096);
    assert_eq!(tokens(Some(512)), 0);
}

#[test]
fn an_owned_machine_costs_the_time_that_is_expected() {
    let per_hour = NanoUsd::from_nanos(3_600_000_000_000);
    let owned = [deployment(PriceBasis::Hourly { per_hour }, None)];
    // A second to the first token, and two for a hundred more, at a dollar per second.
    let cost = cost_of(&request(Some(100), None), &owned, 1).unwrap();
    assert_eq!(cost.nanos(), 3_000_000_000);
}

#[test]
fn what_nobody_knows_the_price_of_has_no_bound() {
    let attempts = [per_token(2), PriceBasis::Unknown].map(|price| deployment(price, None));
    assert_eq!(cost_of(&request(Some(1), None), &attempts, 1), None);
}

#[test]
fn a_denial_says_what_is_short_and_when_to_come_again() {
    let denial = |shortage, retry_after| Denial {
        scope: Scope::Team("acme/search".into()),
        shortage,
        retry_after,
        standing: Standing::default(),
    };
    let minute = Duration::from_secs(60);
    let error = explain(&denial(Shortage::Requests { limit: 5 }, Some(minute)));
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert_eq!(error.code.as_deref(), Some(LIMIT_REACHED));
    assert_eq!(error.retry, Retry::After(minute));
    assert!(error.message.contains("team `acme/search`") && error.message.contains("5 requests"));
    let shortage = Shortage::Budget {
        period: Period::Month,
        limit: NanoUsd::from_nanos(5_000_000_000),
        taken: NanoUsd::from_nanos(4_000_000_000),
        needed: NanoUsd::from_nanos(1_000_000_001),
    };
    let error = explain(&denial(shortage, None));
    assert_eq!(error.code.as_deref(), Some(BUDGET_SPENT));
    assert_eq!(error.retry, Retry::Never);
    assert!(error.message.contains("monthly budget of $5.000000000"));
}
