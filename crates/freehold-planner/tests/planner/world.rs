//! A small world in which everything can be worked out by hand.

use std::collections::BTreeMap;

use freehold_planner::{
    Advice, Answers, Assumptions, Candidate, Case, FlowBound, Offer, PlanError, Proof, Range,
    RateCard, Settings, Traffic, advise,
};
use freehold_sim::{LoadCurve, LoadPoint, Percentiles};
use freehold_workload::{Arrival, FlowIndex, Workload};

/// Everything that is not said is nothing: no people, no growth, no building, no fees.
const NOTHING: &str = "
volume_factor: 1
growth_percent_per_month: 0
context_growth_percent_per_month: 0
api_price_change_percent_per_year: 0
hosted_price_change_percent_per_year: 0
api_discount_percent: 0
api_batch_percent: 0
api_cache_hit: 0
api_retry_percent: 0
tool_usd_per_thousand_requests: 0
hosted_switch_weeks: 0
token_ratio: 1
fallback_percent: 0
throughput_factor: 1
gpu_price_change_percent_per_year: 0
reserved_discount_percent: 0
spot_overhead_percent: 0
network_capex_percent: 0
life_years: 4
residual_percent: 0
capital_percent: 0
power_share: 1
server_power_factor: 1
pue: 1
usd_per_kwh: 0
colocation_usd_per_kw_month: 0
network_usd_per_month: 0
storage_usd_per_month: 0
software_usd_per_month: 0
staff_usd_per_year: 120000
run_fte: 0
run_fte_per_eight_gpus: 0
on_call_usd_per_month: 0
evaluation_fte: 0
build_months: 0
build_fte: 0
";

/// One request a second for an hour: flow, input, output; the flows take turns.
pub(crate) fn steady(flows: &[(&str, u32, u32)]) -> Workload {
    let arrivals = (0..3_600_u32).map(|second| {
        let flow = second as usize % flows.len();
        Arrival {
            at_us: u64::from(second) * 1_000_000,
            input_tokens: flows[flow].1,
            output_tokens: flows[flow].2,
            flow: FlowIndex(flow as u32),
            ..Arrival::default()
        }
    });
    Workload {
        duration_us: 3_600_000_000,
        arrivals: arrivals.collect(),
        flows: flows.iter().map(|(name, ..)| (*name).to_owned()).collect(),
        ..Workload::default()
    }
}

/// A point of a fleet that does not scale: load, GPUs, busy share.
pub(crate) fn point(load: f64, gpus: u32, utilisation: f64) -> LoadPoint {
    LoadPoint {
        load,
        requests_per_s: load,
        output_tokens_per_s: 250.0 * load,
        replicas_peak: gpus,
        gpus_peak: gpus,
        gpus_mean: f64::from(gpus),
        utilisation,
        ttft_ms: Percentiles::default(),
        tpot_ms: Percentiles::default(),
        e2e_ms: Percentiles::default(),
        slo_share: 1.0,
        meets_slo: true,
    }
}

/// A model on a GPU that serves twice the recorded traffic, for 2 dollars an hour.
pub(crate) fn candidate() -> Candidate {
    let points = vec![point(1.0, 1, 0.5), point(2.0, 1, 1.0), point(4.0, 2, 1.0)];
    Candidate {
        model: "open-8b".to_owned(),
        weights: "fp8".to_owned(),
        engine: "vllm".to_owned(),
        scaling: "fixed fleet".to_owned(),
        curve: LoadCurve::from_points(1, points).unwrap(),
        board_power_w: 700.0,
        offer: Offer {
            on_demand: Some(Range::exactly(2.0)),
            ..Offer::unpriced("GPU")
        },
        notes: vec![],
    }
}

/// A case in the making.
pub(crate) struct World {
    pub(crate) workload: Workload,
    pub(crate) api: RateCard,
    pub(crate) hosts: Vec<RateCard>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) assumptions: String,
    pub(crate) answers: Answers,
    pub(crate) flow_bounds: Vec<FlowBound>,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) settings: Settings,
}

impl World {
    pub(crate) fn new(flows: &[(&str, u32, u32)]) -> Self {
        Self {
            workload: steady(flows),
            api: RateCard::flat("vendor/big", 2.0, None, 8.0, "test").unwrap(),
            hosts: vec![],
            candidates: vec![candidate()],
            assumptions: String::new(),
            answers: Answers::default(),
            flow_bounds: vec![],
            proofs: vec![],
            settings: Settings {
                draws: 50,
                ..Settings::default()
            },
        }
    }

    /// The same, with other assumptions than nothing.
    pub(crate) fn assuming(mut self, yaml: &str) -> Self {
        self.assumptions.push_str(yaml);
        self
    }

    pub(crate) fn answering(mut self, key: &str, choice: &str) -> Self {
        self.answers.give(key, choice).unwrap();
        self
    }

    pub(crate) fn hosted_at(mut self, input: f64, output: f64) -> Self {
        self.hosts
            .push(RateCard::flat("host/open-8b", input, None, output, "test").unwrap());
        self
    }

    /// The advice with the bundled ranges.
    pub(crate) fn real(&self) -> Result<Advice, PlanError> {
        self.ask(Assumptions::bundled()?.with_yaml(&self.own())?)
    }

    /// The advice when only what the test says costs anything.
    pub(crate) fn advice(&self) -> Advice {
        self.try_advice().unwrap()
    }

    pub(crate) fn try_advice(&self) -> Result<Advice, PlanError> {
        let nothing = Assumptions::bundled()?.with_yaml(NOTHING)?;
        self.ask(nothing.with_yaml(&self.own())?)
    }

    fn own(&self) -> String {
        if self.assumptions.is_empty() {
            "{}".to_owned()
        } else {
            self.assumptions.clone()
        }
    }

    fn ask(&self, assumptions: Assumptions) -> Result<Advice, PlanError> {
        let traffic = Traffic::of(&self.workload, None)?;
        let mut hosts = BTreeMap::new();
        if !self.hosts.is_empty() {
            hosts.insert("open-8b".to_owned(), self.hosts.clone());
        }
        advise(Case {
            workload: &self.workload,
            traffic: &traffic,
            api: self.api.clone(),
            hosts,
            candidates: self.candidates.clone(),
            rejected: vec![],
            assumptions,
            answers: self.answers.clone(),
            flow_bounds: self.flow_bounds.clone(),
            proofs: self.proofs.clone(),
            settings: self.settings,
            notes: vec![],
        })
    }
}

/// Equal to a cent.
#[track_caller]
pub(crate) fn near(value: f64, expected: f64) {
    assert!(
        (value - expected).abs() < 0.0101,
        "{value} is not {expected}"
    );
}
