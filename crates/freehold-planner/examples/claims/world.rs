//! What the claims are checked against: dated list prices, and open models on GPUs that were simulated.

use std::collections::BTreeMap;

use freehold_cost::PriceBook;
use freehold_planner::{
    Advice, Answers, Assumptions, Bill, BreakEven, Candidate, Case, HOURS_PER_MONTH, Input, Offer,
    PlanError, Range, RateCard, Settings, Traffic, advise, find, hosts,
};
use freehold_sim::{
    CurveInput, CurveSettings, Engine, FittedConstants, Fleet, Gpu, LoadCurve, LoadPoint,
    ModelShape, Server, Slo, Weights, poisson,
};
use freehold_workload::Workload;

/// The date of all list prices.
pub(crate) const PRICES_AT: &str = "20 November 2026";
/// The same, its first moment, Unix milliseconds.
pub(crate) const PRICES_AT_UNIX_MS: u64 = 1_795_132_800_000;
/// For all random choices.
const SEED: u64 = 1;
/// Days of a month, as the planner counts.
pub(crate) const DAYS_PER_MONTH: f64 = HOURS_PER_MONTH / 24.0;
/// Draws of the planner where ranges matter, and where only most likely values do.
const DRAWS: usize = 100;
const FEW_DRAWS: usize = 10;

/// Three tokens in for one out, as in the usual blended price.
pub(crate) const THREE_TO_ONE: (u32, u32) = (900, 300);
/// Mean lengths of the Azure LLM inference trace of 2023, conversations.
pub(crate) const CONVERSATION: (u32, u32) = (1_155, 211);

/// One open model that is owned, on the ways to serve it that are looked at.
pub(crate) struct Machine {
    /// The curve, price and power, as the planner takes them; on demand only.
    pub(crate) candidate: Candidate,
    /// With everything that the bundled offer has.
    pub(crate) offer: Offer,
    /// One replica.
    pub(crate) server: Server,
}

impl Machine {
    /// What it is called in tables.
    pub(crate) fn name(&self) -> String {
        let gpu = &self.server.gpu.name;
        match self.server.gpus {
            1 => gpu.clone(),
            gpus => format!("{gpus} x {gpu}"),
        }
    }

    /// An hour of one GPU on demand, USD.
    pub(crate) fn gpu_usd(&self) -> f64 {
        self.candidate
            .offer
            .on_demand
            .map_or(f64::NAN, |price| price.base)
    }

    /// A month of the smallest fleet, USD.
    pub(crate) fn month_usd(&self) -> f64 {
        f64::from(self.server.gpus) * self.gpu_usd() * HOURS_PER_MONTH
    }
}

/// A pattern of traffic with the machines that were simulated under it.
pub(crate) struct Pattern {
    pub(crate) workload: Workload,
    pub(crate) traffic: Traffic,
    pub(crate) machines: Vec<Machine>,
}

/// An API or a host, and the open model that would take its place.
pub(crate) struct Pair {
    /// How the API is called in tables.
    pub(crate) label: String,
    pub(crate) api: RateCard,
    /// The open model.
    pub(crate) model: &'static str,
    /// Whether it is the same open model at a host.
    pub(crate) is_hosted: bool,
}

impl Pair {
    /// USD per million tokens at a ratio of input to output.
    pub(crate) fn blend(&self, input: f64, output: f64) -> f64 {
        let tier = &self.api.tiers[0];
        (input * tier.input + output * tier.output) / (input + output)
    }

    /// What replaces what.
    pub(crate) fn versus(&self) -> String {
        if self.is_hosted {
            self.label.clone()
        } else {
            format!("{} -> {}", self.label, self.model)
        }
    }
}

/// What is paid besides GPUs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Besides {
    /// So much of one engineer, and nothing else: no building, no growth, nothing left at the API.
    People(f64),
    /// Everything that the advisor assumes unless told otherwise, over so many months.
    All(u32),
}

/// Where owning becomes cheaper than renting, on the machine where it does first.
pub(crate) struct Even {
    pub(crate) told: BreakEven,
    pub(crate) machine: String,
}

/// Everything.
pub(crate) struct World {
    pub(crate) book: PriceBook,
    pub(crate) assumptions: Assumptions,
    pub(crate) offers: Vec<Offer>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) slo: Slo,
    /// 900 tokens in, 300 out, at any time of the day alike.
    pub(crate) even: Pattern,
    /// Lengths of recorded conversations, at any time of the day alike.
    pub(crate) chat: Pattern,
}

/// The APIs, by the price book's names, with the open model that would take the place of each.
const APIS: [(&str, &str, &str); 5] = [
    (
        "Claude Opus 4.7",
        "anthropic/claude-opus-4-7",
        "gpt-oss-120b",
    ),
    ("GPT-5", "openai/gpt-5", "gpt-oss-120b"),
    ("GPT-5 mini", "openai/gpt-5-mini", "gpt-oss-120b"),
    ("GPT-4o mini", "openai/gpt-4o-mini", "gpt-oss-120b"),
    ("GPT-3.5 turbo", "openai/gpt-3.5-turbo", "Llama-3.1-8B"),
];
/// The open models, with the replicas that are looked at: GPU and how many.
const OPEN: [(&str, &[(&str, u32)]); 3] = [
    (
        "gpt-oss-120b",
        &[("H100", 1), ("A100", 1), ("RTX-PRO-6000", 1)],
    ),
    ("Llama-3.3-70B", &[("H100", 2), ("H200", 1)]),
    (
        "Llama-3.1-8B",
        &[("H100", 1), ("L40S", 1), ("RTX-6000-Ada", 1)],
    ),
];
/// Of each model, the replica that stands for it where one is enough.
pub(crate) const GPT_OSS: &str = OPEN[0].0;
pub(crate) const LLAMA_70B: &str = OPEN[1].0;
pub(crate) const LLAMA_8B: &str = OPEN[2].0;

impl World {
    pub(crate) fn new() -> Result<Self, PlanError> {
        let book = PriceBook::bundled();
        let offers = Offer::bundled()?;
        let slo = Slo::default();
        let mut pairs = Vec::new();
        for (label, name, model) in APIS {
            pairs.push(Pair {
                label: label.to_owned(),
                api: find(&book, name, PRICES_AT_UNIX_MS)?,
                model,
                is_hosted: false,
            });
        }
        for (model, _) in OPEN {
            pairs.push(usual_host(&book, model)?);
        }
        let steady = |lengths: (u32, u32)| {
            poisson(1.0, 0.0, 1.0, lengths.0, lengths.1, SEED).map_err(|error| told(&error))
        };
        let (even, chat) = (steady(THREE_TO_ONE)?, steady(CONVERSATION)?);
        let machines = Machines {
            offers: &offers,
            slo: &slo,
        };
        Ok(Self {
            even: machines.under(even)?,
            chat: machines.under(chat)?,
            assumptions: Assumptions::bundled()?,
            book,
            offers,
            pairs,
            slo,
        })
    }

    /// The base value of an assumption.
    pub(crate) fn base(&self, input: Input) -> f64 {
        self.range(input).base
    }

    /// The range of an assumption.
    pub(crate) fn range(&self, input: Input) -> Range {
        self.assumptions
            .range(input)
            .unwrap_or(Range::exactly(f64::NAN))
    }

    /// The pair of an API or host by its label's beginning.
    pub(crate) fn pair(&self, label: &str) -> &Pair {
        let found = self.pairs.iter().find(|pair| pair.label.starts_with(label));
        found.unwrap_or(&self.pairs[0])
    }

    /// What the planner says of a pair on one machine, at so many tokens a day.
    pub(crate) fn ask(
        &self,
        pattern: &Pattern,
        (pair, machine): (&Pair, &Machine),
        besides: Besides,
        tokens_per_day: f64,
    ) -> Result<Advice, PlanError> {
        self.look(pattern, (pair, machine), besides, "", tokens_per_day, DRAWS)
    }

    fn look(
        &self,
        pattern: &Pattern,
        (pair, machine): (&Pair, &Machine),
        besides: Besides,
        own: &str,
        tokens_per_day: f64,
        draws: usize,
    ) -> Result<Advice, PlanError> {
        let recorded = pattern.traffic.total().tokens() / DAYS_PER_MONTH;
        let (assumptions, months, candidate) = match besides {
            Besides::People(fte) => (self.only_people(fte)?, 1, machine.candidate.clone()),
            Besides::All(months) => {
                let offer = machine.offer.clone();
                let full = Candidate {
                    offer,
                    ..machine.candidate.clone()
                };
                (self.assumptions.clone(), months, full)
            }
        };
        let assumptions = assumptions.with_yaml(if own.is_empty() { "{}" } else { own })?;
        let factor = tokens_per_day / recorded;
        let volume = assumptions
            .range(Input::VolumeFactor)
            .unwrap_or(Range::exactly(1.0));
        let volume = Range {
            low: volume.low * factor,
            base: volume.base * factor,
            high: volume.high * factor,
        };
        let assumptions = assumptions.with(Input::VolumeFactor, volume, "the claim")?;
        advise(Case {
            workload: &pattern.workload,
            traffic: &pattern.traffic,
            api: pair.api.clone(),
            hosts: BTreeMap::new(),
            candidates: vec![candidate],
            rejected: vec![],
            assumptions,
            answers: Answers::default(),
            flow_bounds: vec![],
            proofs: vec![],
            settings: Settings {
                draws,
                seed: SEED,
                months,
            },
            notes: vec![],
        })
    }

    /// Where owning becomes cheaper, of all machines of the pair's model the one where it does first.
    pub(crate) fn break_even(
        &self,
        pattern: &Pattern,
        pair: &Pair,
        besides: Besides,
        own: &str,
    ) -> Result<Option<Even>, PlanError> {
        let recorded = pattern.traffic.total().tokens() / DAYS_PER_MONTH;
        let mut best: Option<Even> = None;
        for machine in pattern.of(pair.model) {
            let advice = self.look(pattern, (pair, machine), besides, own, recorded, FEW_DRAWS)?;
            let Some(told) = advice.break_even.into_iter().next() else {
                continue;
            };
            let Some(at) = told.tokens_per_day else {
                continue;
            };
            let is_first = best.as_ref().and_then(|best| best.told.tokens_per_day);
            if is_first.is_none_or(|first| at < first) {
                best = Some(Even {
                    told,
                    machine: machine.name(),
                });
            }
        }
        Ok(best)
    }

    /// The bundled assumptions with nothing but GPUs and people.
    fn only_people(&self, fte: f64) -> Result<Assumptions, PlanError> {
        let mut assumptions = self.assumptions.clone();
        let ones = [
            Input::VolumeFactor,
            Input::TokenRatio,
            Input::ThroughputFactor,
        ];
        let kept = [
            Input::LifeYears,
            Input::PowerShare,
            Input::ServerPowerFactor,
            Input::Pue,
        ];
        for (input, _) in Input::ASSUMED {
            if kept.contains(&input) {
                continue;
            }
            let value = match input {
                Input::RunFte => fte,
                Input::StaffUsdPerYear => self.base(input),
                one if ones.contains(&one) => 1.0,
                _ => 0.0,
            };
            assumptions = assumptions.with(input, Range::exactly(value), "the claim")?;
        }
        Ok(assumptions)
    }
}

impl Pattern {
    /// The machines of a model.
    pub(crate) fn of(&self, model: &str) -> impl Iterator<Item = &Machine> {
        self.machines
            .iter()
            .filter(move |machine| machine.candidate.model == model)
    }

    /// The first machine of a model, which stands for it.
    pub(crate) fn first(&self, model: &str) -> &Machine {
        self.of(model).next().unwrap_or(&self.machines[0])
    }

    /// Tokens of a second at load 1, input and output.
    pub(crate) fn tokens_per_s(&self) -> f64 {
        self.traffic.total().tokens() / (HOURS_PER_MONTH * 3_600.0)
    }

    /// The fleet that so many tokens a day take.
    pub(crate) fn fleet(&self, machine: &Machine, tokens_per_day: f64) -> LoadPoint {
        let load = tokens_per_day / (self.tokens_per_s() * 86_400.0);
        machine.candidate.curve.at(load)
    }

    /// Tokens a day, input and output, that one GPU carries within the service level.
    pub(crate) fn full_gpu(&self, machine: &Machine) -> f64 {
        machine.candidate.best_load_per_gpu() * self.tokens_per_s() * 86_400.0
    }

    /// USD per million tokens on demand when GPUs are as full as the service level allows, nothing else.
    pub(crate) fn full_usd(&self, machine: &Machine) -> f64 {
        machine.gpu_usd() * 24.0 / self.full_gpu(machine) * 1e6
    }

    /// The machine of a model whose full GPUs cost least per token.
    pub(crate) fn cheapest(&self, model: &str) -> &Machine {
        let by_price = |a: &&Machine, b: &&Machine| self.full_usd(a).total_cmp(&self.full_usd(b));
        self.of(model).min_by(by_price).unwrap_or(&self.machines[0])
    }

    /// Tokens of a request.
    pub(crate) fn tokens_per_request(&self) -> f64 {
        let total = self.traffic.total();
        total.tokens() / total.requests
    }

    /// A month at an API's list price, USD, for so many tokens a day.
    pub(crate) fn rent_usd(&self, pair: &Pair, tokens_per_day: f64) -> f64 {
        let bills = pair.api.bills(&self.workload, &self.traffic);
        let month: f64 = bills.iter().map(Bill::total_usd).sum();
        month * tokens_per_day / (self.traffic.total().tokens() / DAYS_PER_MONTH)
    }
}

/// How machines are simulated.
struct Machines<'a> {
    offers: &'a [Offer],
    slo: &'a Slo,
}

/// Loads that are simulated, times a request a second; beyond, GPUs grow in proportion.
const LOADS: [f64; 15] = [
    0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5, 9.0, 11.0, 14.0, 18.0, 24.0, 32.0,
];
/// About how many requests one simulation has.
const REQUESTS_MAX: usize = 4_000;

impl Machines<'_> {
    fn under(&self, workload: Workload) -> Result<Pattern, PlanError> {
        let constants = FittedConstants::bundled();
        let mut machines = Vec::new();
        for (model, replicas) in OPEN {
            let shape = ModelShape::find(model).map_err(|error| told(&error))?;
            for (gpu, gpus) in replicas {
                let gpu = Gpu::find(gpu).map_err(|error| told(&error))?;
                let weights = weights(&shape, &gpu);
                let server = Server::new(shape.clone(), weights, gpu, *gpus, Engine::Vllm);
                machines.push(self.machine(&workload, server, &constants)?);
            }
        }
        Ok(Pattern {
            traffic: Traffic::of(&workload, None)?,
            workload,
            machines,
        })
    }

    fn machine(
        &self,
        workload: &Workload,
        server: Server,
        constants: &FittedConstants,
    ) -> Result<Machine, PlanError> {
        let input = CurveInput {
            workload,
            server: &server,
            constants: &constants.of(&server),
            fleet: &Fleet::fixed(1),
            slo: self.slo,
        };
        let settings = CurveSettings {
            loads: LOADS.to_vec(),
            requests_max: REQUESTS_MAX,
            seed: SEED,
            ..CurveSettings::default()
        };
        let curve = LoadCurve::build(&input, &settings).map_err(|error| told(&error))?;
        let name = &server.gpu.name;
        let offer = self.offers.iter().find(|offer| offer.gpu == *name);
        let offer = offer.cloned().unwrap_or_else(|| Offer::unpriced(name));
        let candidate = Candidate {
            model: server.shape.name.clone(),
            weights: server.weights.to_string(),
            engine: server.engine.name().to_owned(),
            scaling: "fixed fleet".to_owned(),
            curve,
            board_power_w: server.gpu.board_power_w,
            offer: Offer {
                on_demand: offer.on_demand.map(|price| Range::exactly(price.base)),
                ..Offer::unpriced(name)
            },
            notes: vec![],
        };
        Ok(Machine {
            candidate,
            offer,
            server,
        })
    }
}

/// 8 bits where the GPU computes in them, else as the makers publish the model.
fn weights(shape: &ModelShape, gpu: &Gpu) -> Weights {
    if gpu.tflops_8.is_some() && shape.native.bits() > 8.5 {
        Weights::Fp8
    } else {
        shape.native
    }
}

/// Of the hosts of a model, cheapest first, the cheaper half's middle one, as the planner takes it.
fn usual_host(book: &PriceBook, model: &'static str) -> Result<Pair, PlanError> {
    let mut cards = hosts(book, model, PRICES_AT_UNIX_MS);
    let Some(last) = cards.len().checked_sub(1) else {
        return Err(PlanError::NoPrice {
            model: model.to_owned(),
            hint: "the price book knows no host".to_owned(),
        });
    };
    let api = cards.swap_remove(last / 4);
    let host = api.name.split('/').next().unwrap_or(&api.name);
    Ok(Pair {
        label: format!("{model} at {host}"),
        api,
        model,
        is_hosted: true,
    })
}

/// The lowest of rising volumes from which on owning stays cheaper, to two percent; nothing when it is not at the last.
pub(crate) fn stays_cheaper(low: f64, high: f64, saves: impl Fn(f64) -> bool) -> Option<f64> {
    let steps = ((high / low).ln() / 1.02_f64.ln()).ceil() as i32;
    let mut least = None;
    for step in (0..=steps).rev() {
        let volume = low * 1.02_f64.powi(step);
        if !saves(volume) {
            break;
        }
        least = Some(volume);
    }
    least
}

pub(crate) fn told(error: &dyn std::error::Error) -> PlanError {
    PlanError::Malformed {
        what: "a claim's setting".to_owned(),
        why: error.to_string(),
    }
}
