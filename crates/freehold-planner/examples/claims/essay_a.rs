//! Essay A: what full and idle GPUs cost, people, memory.

use freehold_planner::{HOURS_PER_MONTH, Input, PlanError, hosts};
use freehold_sim::{
    CacheType, Engine, FittedConstants, Gpu, ModelShape, Offer, Server, StepModel, Weights, fit_in,
    steady,
};

use super::Asked;
use super::evens::closed_form;
use super::world::{Besides, GPT_OSS, LLAMA_8B, LLAMA_70B, Machine, PRICES_AT_UNIX_MS, World};
use super::write::{Cases, Claim, Table, count, even, percent, saved, usd};

pub(crate) fn claims(asked: &Asked) -> Result<Vec<Claim>, PlanError> {
    let world = &asked.world;
    Ok(vec![
        half_of_gpt_3_5(asked),
        half_full(asked),
        mostly_idle(asked),
        a_salary(asked)?,
        few_tokens(world),
        a_million_a_day(asked),
        memory()?,
    ])
}

/// USD per million tokens of one full replica with a quarter of a person.
fn with_people(world: &World, machine: &Machine, replicas: f64) -> f64 {
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    let gpus = f64::from(machine.server.gpus) * replicas;
    let tokens = world.even.full_gpu(machine) * gpus * super::world::DAYS_PER_MONTH;
    (machine.month_usd() * replicas + people) / tokens * 1e6
}

fn half_of_gpt_3_5(asked: &Asked) -> Claim {
    let world = &asked.world;
    let gpt = world.pair("GPT-3.5");
    let price = gpt.blend(3.0, 1.0);
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "model on GPU",
        "$ per million, GPUs only",
        "against GPT-3.5",
        "one replica and a quarter of a person",
        "against GPT-3.5",
        "eight replicas and the same",
    ]);
    for model in [LLAMA_8B, GPT_OSS, LLAMA_70B] {
        let machine = world.even.cheapest(model);
        let full = world.even.full_usd(machine);
        let one = with_people(world, machine, 1.0);
        let eight = with_people(world, machine, 8.0);
        cases.add(format!("{model}, GPUs only"), full <= 0.5 * price);
        cases.add(
            format!("{model}, one replica with people"),
            one <= 0.5 * price,
        );
        cases.add(format!("{model}, eight with people"), eight <= 0.5 * price);
        table.row(vec![
            format!("{model} on {}", machine.name()),
            usd(full),
            saved(price, full),
            usd(one),
            saved(price, one),
            usd(eight),
        ]);
    }
    let quarter = asked
        .evens
        .each(world)
        .find(|(pair, _)| pair.label == gpt.label);
    Claim {
        id: "A1",
        says: "Run at full capacity, an open model costs about half of GPT-3.5.",
        verdict: cases.verdict("the model, and on how many GPUs share one engineer"),
        found: vec![format!(
            "GPT-3.5 turbo costs {} per million tokens at 3:1. {}",
            usd(price),
            cases.text()
        )],
        table: Some(table),
        assumed: format!(
            "full is the most that the simulated GPU carries within the service level; staff at {} a year.",
            usd(world.base(Input::StaffUsdPerYear))
        ),
        break_even: format!(
            "{LLAMA_8B} against GPT-3.5: {} tokens a day without people, {} with a quarter of a person.",
            even(quarter.and_then(|(_, row)| row.nobody.as_ref())),
            even(quarter.and_then(|(_, row)| row.quarter.as_ref())),
        ),
    }
}

/// USD per million tokens at as many in as out, as full as it goes, without a service level.
fn flat_out_usd(machine: &Machine) -> f64 {
    let tokens_per_s = 2.0 * flat_out(&machine.server);
    machine.month_usd() / (tokens_per_s * HOURS_PER_MONTH * 3_600.0) * 1e6
}

/// Tokens written per second with 1,000 in and 1,000 out, as full as it goes.
fn flat_out(server: &Server) -> f64 {
    let constants = FittedConstants::bundled().of(server);
    let model = StepModel::new(server, &constants);
    let speed = steady(server, &model, Offer::Unlimited, 1_000.0, 1_000.0);
    speed.map_or(0.0, |speed| speed.output_tokens_per_s)
}

fn half_full(asked: &Asked) -> Claim {
    let world = &asked.world;
    let mut cases = Cases::default();
    let mut needed = Vec::new();
    let mut table = Table::new(&[
        "API or host -> open model",
        "rent, $ per million",
        "full GPUs, $ per million",
        "full enough at",
        "1:1 and flat out",
        "a quarter of a person, at break-even",
    ]);
    for (pair, row) in asked.evens.each(world) {
        let machine = world.even.cheapest(pair.model);
        let rent = pair.blend(3.0, 1.0);
        let full = world.even.full_usd(machine);
        let share = full / rent;
        needed.push(share);
        cases.add(pair.label.clone(), (0.4..=0.6).contains(&share));
        let at_even = row.quarter.as_ref().and_then(|even| even.told.utilisation);
        table.row(vec![
            pair.versus(),
            usd(rent),
            usd(full),
            percent(share),
            percent(flat_out_usd(machine) / pair.blend(1.0, 1.0)),
            at_even.map_or("never".to_owned(), percent),
        ]);
    }
    let low = needed.iter().copied().fold(f64::MAX, f64::min);
    let high = needed.iter().copied().fold(0.0, f64::max);
    Claim {
        id: "A2",
        says: "Owning pays only when GPUs are at least half used.",
        verdict: cases.verdict("the price that it is compared with"),
        found: vec![
            format!(
                "A case holds when GPUs must be 40 to 60 % full for the rent to be as high. {} Half is no constant: it \
                 runs from {} to {}; above 100 % not even full GPUs pay.",
                cases.text(),
                percent(low),
                percent(high)
            ),
            llama_hosts(world),
        ],
        table: Some(table),
        assumed: "full enough: GPUs only, of the most within the service level at 3:1, on the cheapest GPU for the \
                  model. Flat out: 1,000 in and 1,000 out, no service level, what most calculators take."
            .to_owned(),
        break_even: format!("{} to {} full, GPUs only.", percent(low), percent(high)),
    }
}

/// One model at its cheapest and dearest hosts.
fn llama_hosts(world: &World) -> String {
    let cards = hosts(&world.book, LLAMA_70B, PRICES_AT_UNIX_MS);
    let machine = world.even.first(LLAMA_70B);
    let usd_flat_out = flat_out_usd(machine);
    let told = |card: Option<&freehold_planner::RateCard>| {
        card.map_or(String::new(), |card| {
            let rent = f64::midpoint(card.tiers[0].input, card.tiers[0].output);
            format!(
                "{} of {} ({})",
                percent(usd_flat_out / rent),
                card.name,
                usd(rent)
            )
        })
    };
    let mut small_cache = Server::new(
        machine.server.shape.clone(),
        machine.server.weights,
        machine.server.gpu.clone(),
        machine.server.gpus,
        Engine::TensorrtLlm,
    );
    small_cache.cache = CacheType::Eight;
    let (here, faster) = (flat_out(&machine.server), flat_out(&small_cache));
    format!(
        "The same model shows it: {LLAMA_70B} on {} flat out at 1:1 costs {} per million, which is {} and {}, of {} hosts. \
         The engine matters too: that is vLLM with {} tokens written per second; TensorRT-LLM with an 8-bit cache is \
         reckoned to write {}, for {} per million.",
        machine.name(),
        usd(usd_flat_out),
        told(cards.first()),
        told(cards.last()),
        cards.len(),
        count(here),
        count(faster),
        usd(usd_flat_out * here / faster)
    )
}

fn mostly_idle(asked: &Asked) -> Claim {
    let world = &asked.world;
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "API or host -> open model",
        "rent",
        "20 % full, GPUs only",
        "of the rent",
    ]);
    for (pair, _) in asked.evens.each(world) {
        let machine = world.even.cheapest(pair.model);
        let rent = pair.blend(3.0, 1.0);
        let idle = world.even.full_usd(machine) / 0.2;
        cases.add(pair.label.clone(), idle > rent);
        table.row(vec![
            pair.versus(),
            usd(rent),
            usd(idle),
            percent(idle / rent),
        ]);
    }
    Claim {
        id: "A3",
        says: "GPUs that idle for 80 % of the time cost more than the API.",
        verdict: cases.verdict("the price that it is compared with"),
        found: vec![cases.text()],
        table: Some(table),
        assumed: "USD per million tokens at 3:1; a fifth of what GPUs carry within the service level; no people.".to_owned(),
        break_even: "a fifth is enough where A2 says 20 % or less.".to_owned(),
    }
}

fn a_salary(asked: &Asked) -> Result<Claim, PlanError> {
    let world = &asked.world;
    let staff = world.range(Input::StaffUsdPerYear);
    let volumes = [1e6, 10e6, 100e6, 1e9];
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "API or host -> open model",
        "two years' savings pay one year's salary from",
        "and a person for both years from",
    ]);
    for (pair, row) in asked.evens.each(world) {
        // A year's salary over two years is half a person.
        let half = world.break_even(&world.even, pair, Besides::People(0.5), "")?;
        let at = half.as_ref().and_then(|even| even.told.tokens_per_day);
        for volume in volumes {
            let name = format!("{} at {} a day", pair.label, count(volume));
            cases.add(name, at.is_none_or(|at| at > volume));
        }
        table.row(vec![
            pair.versus(),
            even(half.as_ref()),
            even(row.one.as_ref()),
        ]);
    }
    Ok(Claim {
        id: "A4",
        says: "One senior engineer's salary exceeds two years of savings on the API.",
        verdict: cases.verdict("the volume and the API"),
        found: vec![
            format!(
                "Tried at 1 million, 10 million, 100 million and 1 billion tokens a day. {}",
                cases.text()
            ),
            format!(
                "In dollars: two years pay a year's salary when the rent exceeds GPUs by {} a month ({} to {} over the \
                 range of salaries).",
                usd(staff.base / 24.0),
                usd(staff.low / 24.0),
                usd(staff.high / 24.0)
            ),
        ],
        table: Some(table),
        assumed: format!(
            "{} a year, everything included ({} to {}); tokens a day at 3:1; GPUs and this person only.",
            usd(staff.base),
            usd(staff.low),
            usd(staff.high)
        ),
        break_even: "as in the table, tokens a day.".to_owned(),
    })
}

fn few_tokens(world: &World) -> Claim {
    let offers = world.offers.iter();
    let prices = offers.filter_map(|offer| Some((offer.on_demand?.low, offer.gpu.as_str())));
    let (hour, gpu) = prices
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or_default();
    let month = hour * HOURS_PER_MONTH;
    let mut cases = Cases::default();
    let mut dearest: f64 = 0.0;
    for pair in &world.pairs {
        let rent = world.even.rent_usd(pair, 10_000.0);
        dearest = dearest.max(rent);
        cases.add(pair.label.clone(), rent < month);
    }
    let least = world
        .pairs
        .iter()
        .map(|pair| closed_form(hour, pair.blend(3.0, 1.0)));
    Claim {
        id: "A5a",
        says: "Below 10,000 tokens a day, use an API.",
        verdict: cases.verdict("the API"),
        found: vec![format!(
            "{} 10,000 tokens a day cost at most {} a month; the cheapest GPU of the table ({gpu} at the low end, \
             {} an hour) costs {}, without people.",
            cases.text(),
            usd(dearest),
            usd(hour),
            usd(month)
        )],
        table: None,
        assumed: "a GPU of one's own runs day and night. One that exists anyway (a workstation) is another sum.".to_owned(),
        break_even: format!(
            "no API is as dear below {} tokens a day, whatever the model on that GPU.",
            count(least.fold(f64::MAX, f64::min))
        ),
    }
}

fn a_million_a_day(asked: &Asked) -> Claim {
    let world = &asked.world;
    let mut cases = Cases::default();
    for (pair, row) in asked.evens.each(world) {
        let at = row
            .nobody
            .as_ref()
            .and_then(|even| even.told.tokens_per_day);
        cases.add(
            format!("{}, no people", pair.label),
            at.is_some_and(|at| at <= 1e6),
        );
    }
    Claim {
        id: "A5b",
        says: "Above a million tokens a day, owning is likely to win.",
        verdict: cases.verdict("the API"),
        found: vec![format!(
            "{} Even without people the volumes that break even are higher; see the table of break-even volumes.",
            cases.text()
        )],
        table: None,
        assumed: "GPUs only, the case most in favour of owning.".to_owned(),
        break_even: format!(
            "{} tokens a day without people, {} with a quarter of a person.",
            asked.evens.span(|row| row.nobody.as_ref()),
            asked.evens.span(|row| row.quarter.as_ref())
        ),
    }
}

const SEVENS: [&str; 4] = ["Llama-2-7B", "Mistral-7B", "Qwen2.5-7B", LLAMA_8B];
const FORMATS: [Weights; 4] = [Weights::Bf16, Weights::Q8_0, Weights::Int4, Weights::Q4KM];
/// Tokens of the request that must fit.
const REQUEST_TOKENS: f64 = 4_096.0;

fn memory() -> Result<Claim, PlanError> {
    let gpu = |name: &str| Gpu::find(name).map_err(|error| super::world::told(&error));
    let (sixteen, twenty_four) = (gpu("T4")?, gpu("RTX-3090")?);
    let constants = FittedConstants::bundled();
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "model",
        "weights",
        "GB of weights",
        "GB of GPU needed",
        "requests at once in 16 GB",
        "in 24 GB",
    ]);
    let mut spans = FORMATS.map(|weights| (weights, f64::MAX, 0.0_f64));
    for model in SEVENS {
        let shape = ModelShape::find(model).map_err(|error| super::world::told(&error))?;
        for (weights, least, most) in &mut spans {
            let weights = *weights;
            let on = |gpu: &Gpu| Server::new(shape.clone(), weights, gpu.clone(), 1, Engine::Vllm);
            let large = on(&twenty_four);
            let room = large.room();
            let sequence = large.sequence_bytes(REQUEST_TOKENS);
            let needed =
                (room.weight_bytes + room.buffer_bytes + sequence) / large.limits.memory_share;
            (*least, *most) = (least.min(needed), most.max(needed));
            let at_once = |server: &Server| {
                let fit = fit_in(server, &constants, REQUEST_TOKENS - 512.0, 512.0);
                if fit.fits {
                    fit.concurrency.to_string()
                } else {
                    "does not fit".to_owned()
                }
            };
            cases.add(
                format!("{model} in {weights}"),
                (16e9..=24e9).contains(&needed),
            );
            table.row(vec![
                model.to_owned(),
                weights.to_string(),
                format!("{:.1}", room.weight_bytes / 1e9),
                format!("{:.1}", needed / 1e9),
                at_once(&on(&sixteen)),
                at_once(&large),
            ]);
        }
    }
    let spans = spans
        .map(|(weights, least, most)| format!("{weights} {:.1} to {:.1}", least / 1e9, most / 1e9));
    Ok(Claim {
        id: "A6",
        says: "A 7B model needs a GPU with 16 to 24 GB, such as an RTX 3090 or 4090.",
        verdict: cases.verdict("how weights are stored"),
        found: vec![format!(
            "A case holds when the smallest GPU that serves one request of 4,096 tokens has 16 to 24 GB. {} 24 GB are \
             enough for all; 4-bit weights need far less, and what is left is what lets requests run together.",
            cases.text()
        )],
        table: Some(table),
        assumed: "vLLM's own 10 % and buffers; keys and values in 16 bits; 16 GB as on a T4, 24 GB as on an RTX 3090. \
                  Speed is another matter: the simulator has no measurement of either."
            .to_owned(),
        break_even: format!("GB of GPU that these models need: {}.", spans.join(", ")),
    })
}
