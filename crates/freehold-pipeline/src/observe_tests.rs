use std::collections::{BTreeMap, BTreeSet, HashMap};

use freehold_guard::{Guard, Settings};
use freehold_policy::Rules;
use freehold_route::{RouteSettings, RouteTable};
use freehold_types::outcome::{ErrorSummary, Timing};
use freehold_types::{
    AttemptRecord, BackendId, DeploymentId, Error, FlowName, KeyName, NanoUsd, Perimeter,
    RequestId, RouteName, Sensitivity,
};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

const DIALECTS: [Dialect; 3] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiCompletions,
    Dialect::AnthropicMessages,
];

const ENDS: [(OutcomeStatus, Option<ErrorKind>); 4] = [
    (OutcomeStatus::Completed, None),
    (OutcomeStatus::Cancelled, Some(ErrorKind::Cancelled)),
    (OutcomeStatus::Failed, Some(ErrorKind::BadUpstream)),
    (OutcomeStatus::Refused, Some(ErrorKind::NotFound)),
];

fn snapshot() -> Snapshot {
    Snapshot {
        policy: Rules::open().into(),
        default_sensitivity: Sensitivity::Internal,
        guard: Guard::new(&Settings::default()).unwrap(),
        routes: RouteTable::new(vec![], vec![], vec![], RouteSettings::default()).unwrap(),
        flow_limits: crate::FlowLimits::default(),
        backends: HashMap::new(),
    }
}

/// A request that names whatever it likes.
fn junk(number: usize) -> Outcome {
    let usage = Usage {
        input_tokens: 11,
        cached_input_tokens: 1,
        cache_write_tokens: 1,
        output_tokens: 7,
        reasoning_tokens: 2,
        ..Usage::default()
    };
    let (status, error) = ENDS[number % ENDS.len()];
    let attempt = |place: usize| AttemptRecord {
        deployment: DeploymentId::new(format!("vendor/junk-{number}-{place}")),
        backend: BackendId::new("vendor"),
        reported_model: Some(format!("reported-{number}")),
        perimeter: Perimeter::Outside,
        region: None,
        started_us: 0,
        duration_us: 1,
        first_token_us: Some(1),
        error: None,
        usage,
        cost: None,
    };
    Outcome {
        id: RequestId::at(1_700_000_000_000),
        started_unix_ms: 1_700_000_000_000,
        dialect: DIALECTS[number % DIALECTS.len()],
        route: RouteName::new(format!("junk-{number}")),
        key: KeyName::new(format!("key-{number}")),
        team: None,
        flow: Some(FlowName::new(format!("flow-{number}"))),
        sensitivity: Sensitivity::Internal,
        findings: BTreeMap::new(),
        redacted: BTreeMap::new(),
        status,
        http_status: 200,
        error: error.map(|kind| ErrorSummary::from(&Error::new(kind, "x"))),
        streamed: true,
        attempts: match status {
            OutcomeStatus::Refused => vec![],
            _ => vec![attempt(0), attempt(1)],
        },
        usage,
        cost: number.is_multiple_of(2).then(|| NanoUsd::from_nanos(5)),
        timing: Timing {
            total_us: 900,
            first_token_us: Some(300),
            overhead_us: 40,
        },
        decision: None,
        rollout: None,
        agent: freehold_types::AgentSignals::default(),
    }
}

fn series(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.rsplit_once(' ')?.0))
        .collect()
}

#[test]
fn a_hundred_thousand_junk_names_add_no_series() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    describe_metrics();
    let (meters, snapshot) = (Meters::default(), snapshot());
    for number in 0..1_000 {
        meters.count(&junk(number), &snapshot);
    }
    let few = handle.render();
    for number in 1_000..100_000 {
        meters.count(&junk(number), &snapshot);
        if number.is_multiple_of(10_000) {
            handle.run_upkeep();
        }
    }
    let many = handle.render();
    assert_eq!(series(&few), series(&many));
    assert!(
        !many.contains("junk") && !many.contains("key-") && !many.contains("flow-"),
        "{many}"
    );
    let counted: u64 = many
        .lines()
        .filter(|line| line.starts_with("freehold_requests_total{"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert_eq!(counted, 100_000);
    assert_eq!(meters.deployments.read().len(), 2);
}

/// What is exposed is described, to Prometheus and to people.
#[test]
fn every_metric_is_described() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    describe_metrics();
    let (meters, snapshot) = (Meters::default(), snapshot());
    for number in 0..12 {
        meters.count(&junk(number), &snapshot);
    }
    unrecorded();
    refused("budget", "key");
    let text = recorder.handle().render();
    let exposed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let helped: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
        .collect();
    assert_eq!(exposed, helped);
    let page = include_str!("../../../docs/metrics.md");
    for name in &exposed {
        assert!(page.contains(&format!("| `{name}`")), "{name}");
    }
    let known: BTreeSet<&str> = COUNTERS
        .iter()
        .chain(HISTOGRAMS)
        .map(|known| known.0)
        .collect();
    let elsewhere = BTreeSet::from(["freehold_unaudited_decisions_total"]);
    let union: BTreeSet<&str> = exposed.union(&elsewhere).copied().collect();
    assert_eq!(union, known);
}
