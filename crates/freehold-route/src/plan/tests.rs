use std::collections::BTreeSet;

use freehold_guard::Scan;
use freehold_policy::{Claim, Constraint, Labels, Rules, decide as permit};
use freehold_types::request::{MediaSource, ResponseFormat};
use freehold_types::{
    Availability, Capability, Dialect, ErrorKind, Extra, Message, Objective, Part, Perimeter,
    Retry, Role, Sensitivity, Site,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::table::RouteSettings;

fn request(text: &str) -> Request {
    Request::new(
        Dialect::OpenaiChat,
        "auto",
        vec![Message::text(Role::User, text)],
    )
}

fn small() -> Deployment {
    Deployment {
        id: "local/small".into(),
        backend: "local".into(),
        model: "small".into(),
        site: Site::inside(),
        dialects: vec![],
        capabilities: [Capability::Chat, Capability::JsonSchema].into(),
        context_window_tokens: Some(2_048),
        price: PriceBasis::Hourly {
            per_hour: NanoUsd::from_usd(0.5).unwrap(),
        },
        quality: 0.25,
        tokens_per_second: 40.0,
        first_token_ms: 100,
    }
}

fn large() -> Deployment {
    Deployment {
        id: "openai/gpt-5".into(),
        backend: "openai".into(),
        model: "gpt-5".into(),
        site: Site::outside(),
        dialects: vec![Dialect::OpenaiChat],
        capabilities: [
            Capability::Chat,
            Capability::Tools,
            Capability::Images,
            Capability::JsonSchema,
            Capability::Reasoning,
        ]
        .into(),
        context_window_tokens: Some(400_000),
        price: PriceBasis::Listed {
            provider: "openai".into(),
            model: "gpt-5".into(),
        },
        quality: 0.95,
        tokens_per_second: 80.0,
        first_token_ms: 600,
    }
}

fn route(deployments: Vec<Deployment>, objective: Objective) -> Resolved {
    Resolved {
        name: "auto".into(),
        deployments: deployments.into_iter().map(Arc::new).collect(),
        settings: RouteSettings {
            objective,
            ..RouteSettings::default()
        },
    }
}

fn permit_for(label: Sensitivity, constraints: Vec<Constraint>) -> Permit {
    let scan = Scan::default();
    let labels = Labels {
        default: label,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &scan,
    };
    permit(&Rules::open(), &labels, constraints).unwrap()
}

fn up(_: &Deployment) -> Health {
    Health::default()
}

struct Case {
    request: Request,
    route: Resolved,
    permit: Permit,
}

impl Case {
    fn new(text: &str, objective: Objective) -> Self {
        Self {
            request: request(text),
            route: route(vec![small(), large()], objective),
            permit: permit_for(Sensitivity::Internal, vec![]),
        }
    }

    fn plan(&self, health: &dyn Fn(&Deployment) -> Health) -> Result<Plan, Rejected> {
        let prices = PriceBook::bundled();
        plan(&Query {
            request: &self.request,
            route: &self.route,
            permit: &self.permit,
            prices: &prices,
            health,
            at_unix_ms: 1_792_497_600_000,
        })
    }

    /// The plan's deployments, in order.
    fn check(&self, expected: &[&str]) -> Plan {
        let plan = self.plan(&up).unwrap();
        let ids: Vec<_> = plan
            .attempts
            .iter()
            .map(|a| a.deployment.id.as_str())
            .collect();
        assert_eq!(ids, expected, "{:#?}", plan.decision);
        plan
    }

    fn check_error(&self, kind: ErrorKind, param: Option<&str>, says: &str) {
        let rejected = self.plan(&up).unwrap_err();
        assert_eq!(rejected.error.kind, kind);
        assert_eq!(rejected.error.param.as_deref(), param);
        assert!(rejected.error.message.contains(says), "{}", rejected.error);
        assert!(
            rejected
                .decision
                .candidates
                .iter()
                .all(|c| c.rank.is_none())
        );
        assert_eq!(replay(&rejected.decision).unwrap(), *rejected.decision);
    }
}

const HARD: &str = "Prove that the following algorithm terminates, analyze its complexity, compare \
it with quicksort and explain why the recurrence T(n) = 2T(n/2) + n^2 has the solution you derive. \
Then implement it:\n```rust\nfn sort(items: &mut [u32]) {\n    if items.len() < 2 { return; }\n    \
let pivot = items[0];\n    todo(pivot);\n}\n```\n";

#[test]
fn the_cheapest_good_enough_is_small_for_easy_and_large_for_hard() {
    let easy = Case::new("Hello! What is the capital of France?", Objective::Cheapest);
    let plan = easy.check(&["local/small", "openai/gpt-5"]);
    assert!(
        plan.attempts[0].reason.starts_with("good enough"),
        "{}",
        plan.attempts[0].reason
    );
    Case::new(HARD, Objective::Cheapest).check(&["openai/gpt-5", "local/small"]);
}

#[test]
fn objectives_order_as_they_say() {
    Case::new("hi", Objective::Best).check(&["openai/gpt-5", "local/small"]);
    // 600 ms + 400 / 80 s against 100 ms + 400 / 40 s.
    Case::new("hi", Objective::Fastest).check(&["openai/gpt-5", "local/small"]);
    Case::new(HARD, Objective::Ordered).check(&["local/small", "openai/gpt-5"]);
}

#[test]
fn the_routes_weights_and_margin_count() {
    let mut case = Case::new("hi", Objective::Best);
    let weights = freehold_types::Weights {
        cost: 1.0,
        latency: 0.0,
        quality: 0.1,
    };
    case.route.settings.weights = Some(weights);
    case.check(&["local/small", "openai/gpt-5"]);
    let mut case = Case::new("hi", Objective::Cheapest);
    case.route.settings.quality_margin = 0.5;
    case.check(&["openai/gpt-5", "local/small"]);
}

#[test]
fn an_owned_machine_may_cost_its_busy_time() {
    let mut case = Case::new("hi", Objective::Cheapest);
    let plan = case.check(&["local/small", "openai/gpt-5"]);
    assert_eq!(plan.decision.inputs.candidates[0].cost, Some(NanoUsd::ZERO));
    case.route.settings.count_busy_time = true;
    let plan = case.plan(&up).unwrap();
    // 10.1 s of 0.50 dollars an hour.
    assert_eq!(
        plan.decision.inputs.candidates[0].cost.unwrap().nanos(),
        1_402_778
    );
}

#[test]
fn policy_takes_outside_deployments_away() {
    let mut case = Case::new(HARD, Objective::Best);
    case.permit = permit_for(Sensitivity::Confidential, vec![]);
    let plan = case.check(&["local/small"]);
    let excluded = &plan.decision.candidates[1];
    assert_eq!(
        excluded.reason,
        "policy: outside, and the request is confidential"
    );
    case.route = route(vec![large()], Objective::Best);
    case.check_error(
        ErrorKind::PolicyRefused,
        None,
        "confidential by the default",
    );
}

#[test]
fn a_refusal_does_not_tell_which_deployments_others_may_use() {
    let mut case = Case::new("hi", Objective::Best);
    let constraint = Constraint {
        deployments: Some(["secret/backend".into()].into()),
        perimeter: Some(Perimeter::Inside),
        ..Constraint::default()
    };
    case.permit = permit_for(Sensitivity::Internal, vec![constraint]);
    let rejected = case.plan(&up).unwrap_err();
    assert_eq!(rejected.error.kind, ErrorKind::PolicyRefused);
    assert!(rejected.error.message.contains("inside backends only"));
    for name in ["secret/backend", "openai", "local/small"] {
        assert!(!rejected.error.message.contains(name), "{}", rejected.error);
    }
}

#[test]
fn capabilities_are_asked_for_by_name() {
    let mut case = Case::new("What is in this picture?", Objective::Cheapest);
    case.request.messages[0].parts.push(Part::Image {
        source: MediaSource::Url("https://example.org/x.png".into()),
        detail: None,
        extra: Extra::new(),
    });
    case.check(&["openai/gpt-5"]);
    case.route = route(vec![small()], Objective::Cheapest);
    case.check_error(
        ErrorKind::Unsupported,
        Some("messages[0].content[1]"),
        "no deployment of `auto` that may serve this request does images",
    );
    let mut case = Case::new("hi", Objective::Cheapest);
    case.request.sampling.n = Some(3);
    case.check_error(ErrorKind::Unsupported, Some("n"), "several choices");
    let mut case = Case::new("hi", Objective::Cheapest);
    case.request.sampling.logprobs = Some(true);
    case.check_error(
        ErrorKind::Unsupported,
        Some("logprobs"),
        "log-probabilities",
    );
    let mut case = Case::new("hi", Objective::Cheapest);
    case.request.messages.clear();
    case.request.prompt = Some(freehold_types::request::Prompt::Text("Once".into()));
    case.check_error(ErrorKind::Unsupported, Some("prompt"), "raw completions");
    // Who can fit a schema can also write some JSON.
    let mut case = Case::new("hi", Objective::Cheapest);
    case.request.response_format = ResponseFormat::JsonObject;
    case.check(&["local/small", "openai/gpt-5"]);
}

#[test]
fn prompts_that_overflow_name_the_limit() {
    let long = "word ".repeat(4_000);
    let mut case = Case::new(&long, Objective::Cheapest);
    case.check(&["openai/gpt-5"]);
    case.route = route(vec![small()], Objective::Cheapest);
    case.check_error(
        ErrorKind::ContextOverflow,
        Some("messages"),
        "2048 tokens at most",
    );
    let mut case = Case::new("hi", Objective::Cheapest);
    case.request.sampling.max_output_tokens = Some(u64::MAX);
    case.check_error(
        ErrorKind::ContextOverflow,
        Some("messages"),
        "400000 tokens at most",
    );
}

#[test]
fn what_is_down_is_not_tried_and_the_error_says_when() {
    let case = Case::new("hi", Objective::Cheapest);
    let down = |id: &'static str, for_ms: u64| {
        move |deployment: &Deployment| Health {
            availability: if deployment.id.as_str() == id || id == "*" {
                Availability::Down { for_ms }
            } else {
                Availability::Up
            },
            ..Health::default()
        }
    };
    let plan = case.plan(&down("local/small", 9_000)).unwrap();
    assert_eq!(plan.attempts.len(), 1);
    assert_eq!(
        plan.decision.candidates[1].reason,
        "not available for another 9 s"
    );
    let rejected = case.plan(&down("*", 1_500)).unwrap_err();
    assert_eq!(rejected.error.kind, ErrorKind::Unavailable);
    assert_eq!(
        rejected.error.retry,
        Retry::After(std::time::Duration::from_millis(1_500))
    );
    assert!(
        rejected.error.message.contains("in 2 s"),
        "{}",
        rejected.error
    );
}

#[test]
fn measured_speed_replaces_belief() {
    let case = Case::new("hi", Objective::Fastest);
    let slow = |deployment: &Deployment| Health {
        first_token_ms: (deployment.id.as_str() == "openai/gpt-5").then_some(60_000),
        ..Health::default()
    };
    let plan = case.plan(&slow).unwrap();
    assert_eq!(plan.attempts[0].deployment.id.as_str(), "local/small");
}

fn replicas(count: usize) -> Vec<Deployment> {
    (0..count)
        .map(|index| Deployment {
            id: format!("vllm-{index}/llama").into(),
            backend: format!("vllm-{index}").into(),
            model: "llama".into(),
            quality: 0.9,
            capabilities: [Capability::Chat].into(),
            ..small()
        })
        .collect()
}

#[test]
fn a_conversation_stays_on_one_replica_and_conversations_spread() {
    let prices = PriceBook::bundled();
    let route = route(replicas(4), Objective::Cheapest);
    let permit = permit_for(Sensitivity::Internal, vec![]);
    // Measured speeds differ a little from turn to turn, and so does the load.
    let choose = |request: &Request, turn: u32| {
        let health = |d: &Deployment| Health {
            first_token_ms: Some(100 + (turn * 13 + d.id.as_str().len() as u32) % 40),
            in_flight: turn % 3,
            ..Health::default()
        };
        let query = Query {
            request,
            route: &route,
            permit: &permit,
            prices: &prices,
            health: &health,
            at_unix_ms: 0,
        };
        plan(&query).unwrap().attempts[0].deployment.id.clone()
    };
    let mut chosen = BTreeSet::new();
    for conversation in 0..64 {
        let mut request = request(&format!(
            "Question number {conversation}: who was Ada Lovelace?"
        ));
        let first = choose(&request, 0);
        for turn in 1..6 {
            request
                .messages
                .push(Message::text(Role::Assistant, "She was a mathematician."));
            request
                .messages
                .push(Message::text(Role::User, format!("And what about {turn}?")));
            assert_eq!(choose(&request, turn), first);
        }
        chosen.insert(first);
    }
    assert_eq!(chosen.len(), 4);
}

#[test]
fn an_overloaded_replica_gives_way() {
    let mut case = Case::new("hi", Objective::Cheapest);
    case.route = route(replicas(2), Objective::Cheapest);
    let favourite = case.plan(&up).unwrap().attempts[0].deployment.id.clone();
    let loaded = |deployment: &Deployment| Health {
        in_flight: if deployment.id == favourite { 9 } else { 2 },
        ..Health::default()
    };
    let plan = case.plan(&loaded).unwrap();
    assert_ne!(plan.attempts[0].deployment.id, favourite);
    assert_eq!(plan.attempts[1].deployment.id, favourite);
}

#[test]
fn a_decision_survives_the_ledger_and_is_compact() {
    let case = Case::new(HARD, Objective::Cheapest);
    let plan = case.plan(&up).unwrap();
    let stored = serde_json::to_string(&plan.decision).unwrap();
    assert!(stored.len() < 2_000, "{} bytes: {stored}", stored.len());
    assert!(!stored.contains("quicksort"));
    let read: Decision = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, plan.decision);
    assert_eq!(replay(&read).unwrap(), plan.decision);
    let mut other = read;
    other.inputs.version += 1;
    assert_eq!(
        replay(&other),
        Err(ReplayError::OtherVersion {
            made_by: VERSION + 1
        })
    );
    // Tampering shows.
    other.inputs.version = VERSION;
    other.inputs.candidates[0].quality = 1.0;
    assert_ne!(replay(&other).unwrap(), plan.decision);
}

fn any_deployment() -> impl Strategy<Value = Deployment> {
    (
        0_u32..40,
        any::<bool>(),
        proptest::option::of(0_u32..5_000),
        prop_oneof![0.0_f64..1.0, Just(f64::NAN), Just(-3.0)],
        prop_oneof![0.0_f64..500.0, Just(f64::INFINITY)],
        any::<u32>(),
        proptest::collection::btree_set(
            proptest::sample::select(vec![
                Capability::Chat,
                Capability::Tools,
                Capability::Images,
                Capability::JsonSchema,
            ]),
            0..4,
        ),
        prop_oneof![
            Just(PriceBasis::Unknown),
            any::<i64>().prop_map(|n| PriceBasis::Hourly {
                per_hour: NanoUsd::from_nanos(n)
            }),
            Just(PriceBasis::Listed {
                provider: "openai".into(),
                model: "gpt-5".into()
            }),
        ],
    )
        .prop_map(
            |(number, inside, window, quality, speed, first_ms, capabilities, price)| Deployment {
                id: format!("b{}/m{number}", number % 7).into(),
                backend: format!("b{}", number % 7).into(),
                model: format!("m{number}"),
                site: if inside {
                    Site::inside()
                } else {
                    Site::outside()
                },
                dialects: vec![],
                capabilities,
                context_window_tokens: window,
                price,
                quality,
                tokens_per_second: speed,
                first_token_ms: first_ms,
            },
        )
}

fn any_health() -> impl Strategy<Value = Health> {
    (
        prop_oneof![
            3 => Just(Availability::Up),
            1 => Just(Availability::Probing),
            1 => Just(Availability::Loading),
            1 => any::<u64>().prop_map(|for_ms| Availability::Down { for_ms }),
        ],
        proptest::option::of(any::<u32>()),
        proptest::option::of(prop_oneof![0.0_f64..1e9, Just(f64::NAN)]),
        any::<u32>(),
    )
        .prop_map(
            |(availability, first_token_ms, tokens_per_second, in_flight)| Health {
                availability,
                first_token_ms,
                tokens_per_second,
                in_flight,
            },
        )
}

proptest! {
    /// No plan holds what the permit forbids, what is down, or more than its bound; the same input
    /// makes the same plan; every decision can be made again from its JSON form.
    #[test]
    fn plans_keep_their_promises(
        deployments in proptest::collection::vec(any_deployment(), 1..12),
        healths in proptest::collection::vec(any_health(), 12),
        label in proptest::sample::select(Sensitivity::ALL.to_vec()),
        perimeter in proptest::option::of(prop_oneof![Just(Perimeter::Inside), Just(Perimeter::Outside)]),
        allowed in proptest::option::of(proptest::collection::btree_set(0_u32..40, 0..20)),
        objective in proptest::sample::select(Objective::ALL.to_vec()),
        max_attempts in 1_u32..9,
        margin in -1.0_f64..1.0,
        text in "\\PC{0,300}",
        count_busy_time in any::<bool>(),
        picture in any::<bool>(),
    ) {
        let constraint = Constraint {
            perimeter,
            deployments: allowed.map(|numbers| {
                numbers.iter().map(|n| format!("b{}/m{n}", n % 7).into()).collect()
            }),
            ..Constraint::default()
        };
        let scan = Scan::default();
        let labels = Labels { default: label, route: None, key: None, claim: Claim::None, scan: &scan };
        let Ok(permit) = permit(&Rules::open(), &labels, [constraint]) else {
            return Ok(());
        };
        let mut deployments = deployments;
        deployments.sort_by(|a, b| a.id.cmp(&b.id));
        deployments.dedup_by(|a, b| a.id == b.id);
        let mut case = Case {
            request: request(&text),
            route: route(deployments, objective),
            permit,
        };
        case.route.settings.max_attempts = max_attempts;
        case.route.settings.quality_margin = margin;
        case.route.settings.count_busy_time = count_busy_time;
        if picture {
            case.request.messages[0].parts.push(Part::Image {
                source: MediaSource::FileId("f".into()),
                detail: None,
                extra: Extra::new(),
            });
        }
        let ids: Vec<_> = case.route.deployments.iter().map(|d| d.id.clone()).collect();
        let health = |d: &Deployment| {
            healths[ids.iter().position(|id| *id == d.id).unwrap()]
        };
        let (plan, again) = (case.plan(&health), case.plan(&health));
        let decision = match (&plan, &again) {
            (Ok(plan), Ok(again)) => {
                prop_assert_eq!(&plan.decision, &again.decision);
                prop_assert!(!plan.attempts.is_empty());
                prop_assert!(plan.attempts.len() <= max_attempts as usize);
                let mut seen = BTreeSet::new();
                for attempt in &plan.attempts {
                    prop_assert!(case.permit.allows(&attempt.deployment).is_ok());
                    prop_assert!(case.permit.passage(&attempt.deployment).is_ok());
                    prop_assert!(seen.insert(attempt.deployment.id.clone()));
                    let is_down = matches!(health(&attempt.deployment).availability, Availability::Down { .. });
                    prop_assert!(!is_down);
                    prop_assert!(attempt.deployment.capabilities.contains(&Capability::Chat));
                    prop_assert!(!picture || attempt.deployment.capabilities.contains(&Capability::Images));
                }
                plan.decision.clone()
            }
            (Err(rejected), Err(again)) => {
                prop_assert_eq!(&rejected.decision, &again.decision);
                prop_assert_eq!(&rejected.error.message, &again.error.message);
                (*rejected.decision).clone()
            }
            _ => return Err(TestCaseError::fail("the same input made a plan and none")),
        };
        prop_assert!(decision.difficulty.is_finite());
        prop_assert_eq!(decision.candidates.len(), case.route.deployments.len());
        let stored = serde_json::to_string(&decision).unwrap();
        let read: Decision = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&read, &decision);
        prop_assert_eq!(replay(&read).unwrap(), decision);
    }
}

#[test]
fn tools_in_the_request_need_tools() {
    let mut case = Case::new("weather?", Objective::Cheapest);
    case.request
        .tools
        .push(freehold_types::request::Tool::Function {
            name: "weather".into(),
            description: None,
            parameters: Some(json!({"type": "object"})),
            strict: None,
            extra: Extra::new(),
        });
    case.check(&["openai/gpt-5"]);
    case.request.tool_choice = Some(freehold_types::request::ToolChoice::None);
    assert_eq!(case.plan(&up).unwrap().attempts.len(), 2);
}
