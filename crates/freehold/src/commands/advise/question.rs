//! From the command line to what the planner is asked.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use anyhow::{Context, Result, anyhow, bail};
use freehold_cost::PriceBook;
use freehold_planner::{
    Answers, Assumptions, FlowBound, Found, Input, Must, Offer, Proof, Range, RateCard, Search,
    Settings, find, hosts,
};
use freehold_sim::{CurveSettings, Engine, Gpu, ModelShape, Slo, Weights};
use freehold_workload::Workload;
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;

use crate::cli::advise::{AdviseArgs, KnownArgs, OwnArgs};
use crate::commands::proof::read_proofs;
use crate::commands::time_range;
use crate::home;
use crate::money::book_file::{self, Origin};

/// The API that is taken when neither the record nor anybody names one.
const USUAL_API: &str = "openai/gpt-5-mini";
/// The open model that is taken when nobody names one.
const USUAL_MODEL: &str = "gpt-oss-120b";
/// GPUs that are taken when nobody names any.
const USUAL_GPUS: [&str; 5] = [
    "H100-SXM",
    "H200-SXM",
    "A100-SXM-80G",
    "L40S",
    "RTX-PRO-6000-SE",
];

/// Times the traffic that are simulated; beyond the last, GPUs grow in proportion.
const LOADS: [f64; 7] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// What renting costs.
pub(super) struct Prices {
    book: PriceBook,
    at_unix_ms: u64,
    pub(super) api: RateCard,
}

impl Prices {
    /// The hosts of each model.
    pub(super) fn hosts(
        &self,
        models: impl Iterator<Item = String>,
    ) -> BTreeMap<String, Vec<RateCard>> {
        let mut found = BTreeMap::new();
        for model in models {
            let of = |model: &String| hosts(&self.book, model, self.at_unix_ms);
            found.entry(model).or_insert_with_key(of);
        }
        found
    }
}

/// The API's prices; what was taken by default goes into the notes.
pub(super) fn prices(
    args: &AdviseArgs,
    workload: &Workload,
    notes: &mut Vec<String>,
) -> Result<Prices> {
    let now = OffsetDateTime::now_utc();
    let at = args.rent.prices_at.as_deref();
    let at_unix_ms = match at {
        Some(text) => time_range::parse(text, now).context("--prices-at")?,
        None => time_range::parse("0h", now)?,
    };
    let stored = book_file::load(&book_file::file_in(&home::directory()));
    if stored.origin != Origin::Bundled {
        notes.push(format!("list prices: {}", stored.origin));
    }
    let book = stored.book;
    let api = match (&args.rent.api, &args.rent.api_price) {
        (name, Some(prices)) => own_price(name.as_deref().unwrap_or("today's API"), prices)?,
        (Some(name), None) => find(&book, name, at_unix_ms)?,
        (None, None) => usual_api(&book, at_unix_ms, workload, notes)?,
    };
    Ok(Prices {
        book,
        at_unix_ms,
        api,
    })
}

fn own_price(name: &str, prices: &str) -> Result<RateCard> {
    let numbers: Result<Vec<f64>, _> = prices
        .split(',')
        .map(|price| price.trim().parse())
        .collect();
    let numbers =
        numbers.map_err(|_| anyhow!("--api-price {prices}: write INPUT,OUTPUT, such as 0.25,2"))?;
    let (input, cached, output) = match numbers[..] {
        [input, output] => (input, None, output),
        [input, cached, output] => (input, Some(cached), output),
        _ => bail!("--api-price {prices}: write INPUT,OUTPUT or INPUT,CACHED,OUTPUT"),
    };
    Ok(RateCard::flat(
        name,
        input,
        cached,
        output,
        "given on the command line",
    )?)
}

/// The model that served most of the record's requests and has a list price.
fn usual_api(
    book: &PriceBook,
    at_unix_ms: u64,
    workload: &Workload,
    notes: &mut Vec<String>,
) -> Result<RateCard> {
    let mut requests: BTreeMap<&str, u64> = BTreeMap::new();
    for arrival in &workload.arrivals {
        if let Some(model) = workload.model_of(arrival) {
            *requests.entry(model).or_default() += 1;
        }
    }
    let mut models: Vec<(&str, u64)> = requests.into_iter().collect();
    models.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let several = models.len() > 1;
    for (model, count) in models.into_iter().take(20) {
        if let Ok(card) = find(book, model, at_unix_ms) {
            let others = if several {
                ", which all are priced as"
            } else {
                ""
            };
            notes.push(format!(
                "today's API: {}, which served {count} of {} requests{others} (name another with --api)",
                card.name,
                workload.arrivals.len()
            ));
            return Ok(card);
        }
    }
    notes.push(format!(
        "today's API: {USUAL_API}, because the record names no model with a list price (name yours with --api)"
    ));
    Ok(find(book, USUAL_API, at_unix_ms)?)
}

/// Simulates what could be owned, with a bar.
pub(super) fn search(
    args: &AdviseArgs,
    workload: &Workload,
    answers: &Answers,
    notes: &mut Vec<String>,
) -> Result<Found> {
    let own = &args.own;
    let weights: Option<Weights> = own.weights.as_deref().map(str::parse).transpose()?;
    let engine: Engine = own.engine.parse()?;
    let slo = slo(own);
    notes.push(format!(
        "asked of the service: first token within {} ms, later ones within {} ms each, for {} % of requests \
         (--slo-ttft-ms, --slo-tpot-ms, --slo-share)",
        slo.ttft_ms.unwrap_or_default(),
        slo.tpot_ms.unwrap_or_default(),
        slo.share * 100.0
    ));
    let critical = answers.of("availability") == "critical";
    let search = Search {
        workload,
        models: models(own, notes)?,
        weights,
        gpus: gpus(own, notes)?,
        engine,
        slo,
        scales: true,
        spares: own.spares.unwrap_or(u32::from(critical)),
        curve: CurveSettings {
            loads: LOADS.to_vec(),
            requests_max: own.simulated_requests,
            seed: args.read.seed(),
            ..CurveSettings::default()
        },
    };
    let bar = bar(search.pairs());
    let found = search.run(&mut |done, next| {
        bar.set_position(done as u64);
        bar.set_message(next.to_owned());
    })?;
    bar.finish_and_clear();
    Ok(found)
}

fn slo(own: &OwnArgs) -> Slo {
    let default = Slo::default();
    Slo {
        ttft_ms: own.slo_ttft_ms.or(default.ttft_ms),
        tpot_ms: own.slo_tpot_ms.or(default.tpot_ms),
        share: own.slo_share.unwrap_or(default.share),
        ..default
    }
}

fn models(own: &OwnArgs, notes: &mut Vec<String>) -> Result<Vec<ModelShape>> {
    if own.model.is_empty() {
        notes.push(format!(
            "open model: {USUAL_MODEL} (name others with --model)"
        ));
        return Ok(vec![ModelShape::find(USUAL_MODEL)?]);
    }
    Ok(own
        .model
        .iter()
        .map(|name| ModelShape::find(name))
        .collect::<Result<_, _>>()?)
}

fn gpus(own: &OwnArgs, notes: &mut Vec<String>) -> Result<Vec<(Gpu, Offer)>> {
    let offers = Offer::bundled()?;
    let is_usual = own.gpu.is_empty();
    let names: Vec<&str> = if is_usual {
        notes.push(format!(
            "GPUs: {} (name others with --gpu)",
            USUAL_GPUS.join(", ")
        ));
        USUAL_GPUS.to_vec()
    } else {
        own.gpu.iter().map(String::as_str).collect()
    };
    let has_price = own.gpu_usd_per_hour.is_some() || own.gpu_usd.is_some();
    if has_price && names.len() != 1 {
        bail!("a price of a GPU belongs to one: name it with --gpu");
    }
    let mut gpus = Vec::new();
    for name in names {
        let gpu = Gpu::find(name)?;
        let known = offers.iter().find(|offer| offer.gpu == gpu.name).cloned();
        let mut offer = known.unwrap_or_else(|| Offer::unpriced(&gpu.name));
        if has_price {
            // Somebody who gives a price means that way alone.
            offer = Offer {
                on_demand: own.gpu_usd_per_hour.map(Range::exactly),
                buy: own.gpu_usd.map(Range::exactly),
                sold_in: offer.sold_in,
                ..Offer::unpriced(&gpu.name)
            };
        }
        offer.check()?;
        gpus.push((gpu, offer));
    }
    Ok(gpus)
}

/// The bundled assumptions with the user's own.
pub(super) fn assumptions(known: &KnownArgs) -> Result<Assumptions> {
    let mut assumptions = Assumptions::bundled()?;
    if let Some(path) = &known.assumptions {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        assumptions = assumptions
            .with_yaml(&text)
            .with_context(|| format!("{name}"))?;
    }
    if let Some(growth) = &known.growth {
        let numbers: Result<Vec<f64>, _> =
            growth.split(',').map(|part| part.trim().parse()).collect();
        let range = match numbers.as_deref() {
            Ok([value]) => Range::exactly(*value),
            Ok([low, base, high]) => Range {
                low: *low,
                base: *base,
                high: *high,
            },
            _ => {
                bail!("--growth {growth}: write one figure, or LOW,BASE,HIGH, in percent per month")
            }
        };
        assumptions = assumptions.with(
            Input::GrowthPercentPerMonth,
            range,
            "given on the command line",
        )?;
    }
    Ok(assumptions)
}

pub(super) fn settings(args: &AdviseArgs) -> Settings {
    Settings {
        draws: args.known.draws,
        seed: args.read.seed(),
        months: args.known.months,
    }
}

/// Flows that must stay inside, checked against those that there are.
pub(super) fn flow_bounds(known: &KnownArgs, workload: &Workload) -> Result<Vec<FlowBound>> {
    let bound = |flow: &String| {
        if !workload.flows.contains(flow) {
            let some: Vec<&str> = workload.flows.iter().take(8).map(String::as_str).collect();
            bail!(
                "--inside {flow}: the traffic has no such flow; there are {}",
                some.join(", ")
            );
        }
        Ok(FlowBound {
            flow: flow.clone(),
            must: Must::Own,
            why: "--inside".to_owned(),
        })
    };
    known.inside.iter().map(bound).collect()
}

pub(super) fn proofs(known: &KnownArgs) -> Result<Vec<Proof>> {
    known.proofs.as_deref().map_or(Ok(Vec::new()), read_proofs)
}

/// A bar where somebody looks.
fn bar(pairs: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(pairs as u64);
    match ProgressStyle::with_template("simulating {msg} {wide_bar} {pos} of {len}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => ProgressBar::hidden(),
    }
}
