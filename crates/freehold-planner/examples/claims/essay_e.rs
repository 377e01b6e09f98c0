//! Essay E: what fits, what is fixed, and what agents cost.

use freehold_planner::{Input, PlanError, RateCard};
use freehold_sim::{Engine, FittedConstants, Gpu, ModelShape, Server, fit_in};

use super::Asked;
use super::world::{GPT_OSS, PRICES_AT_UNIX_MS, World, told};
use super::write::{Cases, Claim, Table, Verdict, count, usd};

pub(crate) fn claims(asked: &Asked) -> Result<Vec<Claim>, PlanError> {
    let world = &asked.world;
    Ok(vec![
        one_gpu()?,
        fixed_cost(world),
        agents(world),
        months(world),
    ])
}

fn one_gpu() -> Result<Claim, PlanError> {
    let constants = FittedConstants::bundled();
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "model on GPU",
        "GB of weights",
        "GB left for the cache",
        "tokens in the cache",
        "at once: 1,500 tokens",
        "8,000",
        "32,000",
        "131,000",
    ]);
    let tried = [
        (GPT_OSS, "H100", true),
        (GPT_OSS, "A100", true),
        ("gpt-oss-20b", "A100", true),
        ("gpt-oss-20b", "RTX-4090", false),
        ("gpt-oss-20b", "T4", false),
    ];
    for (model, gpu, has_80_gb) in tried {
        let shape = ModelShape::find(model).map_err(|error| told(&error))?;
        let gpu = Gpu::find(gpu).map_err(|error| told(&error))?;
        let weights = shape.native;
        let server = Server::new(shape, weights, gpu.clone(), 1, Engine::Vllm);
        let mut cells = vec![format!("{model} on {}", gpu.name)];
        let room = server.room();
        cells.push(format!("{:.1}", room.weight_bytes / 1e9));
        cells.push(format!("{:.1}", room.cache_bytes.max(0.0) / 1e9));
        cells.push(count(room.cache_tokens as f64));
        for (input, output) in [
            (1_000.0, 500.0),
            (7_000.0, 1_000.0),
            (30_000.0, 2_000.0),
            (127_000.0, 4_000.0),
        ] {
            let fit = fit_in(&server, &constants, input, output);
            cells.push(if fit.fits {
                fit.concurrency.to_string()
            } else {
                "does not fit".to_owned()
            });
            if has_80_gb {
                cases.add(
                    format!(
                        "{model} on {} with {} tokens",
                        gpu.name,
                        count(input + output)
                    ),
                    fit.fits,
                );
            }
        }
        table.row(cells);
    }
    Ok(Claim {
        id: "E1",
        says: "gpt-oss fits on one GPU with 80 GB.",
        verdict: cases.verdict("the length of a request"),
        found: vec![format!(
            "{} The large one leaves under an eighth of the memory for the cache, but half of its layers see only the last \
             128 tokens, so a cached token is cheap. Near its longest context, requests run one or two at a time. 24 GB and \
             16 GB are there for comparison.",
            cases.text()
        )],
        table: Some(table),
        assumed: "published MXFP4 weights, keys and values in 16 bits, vLLM's 90 % of the memory and its limits on \
                  sequences (1,024 on an H100, 256 elsewhere), which cap the first columns."
            .to_owned(),
        break_even: "requests at once in the table; `freehold fit gpt-oss-120b --gpu H100` tells more.".to_owned(),
    })
}

fn fixed_cost(world: &World) -> Claim {
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "API or host -> open model",
        "100,000 tokens a day: rent",
        "1 million",
        "10 million",
        "owned, at least",
    ]);
    for pair in &world.pairs {
        let least = world.even.of(pair.model).map(|machine| machine.month_usd());
        let own = least.fold(f64::MAX, f64::min) + people;
        let rents = [1e5, 1e6, 1e7].map(|volume| world.even.rent_usd(pair, volume));
        for (rent, name) in rents.iter().zip(["100,000", "1 million"]) {
            cases.add(format!("{} at {name} a day", pair.label), own > 10.0 * rent);
        }
        table.row(vec![
            pair.versus(),
            usd(rents[0]),
            usd(rents[1]),
            usd(rents[2]),
            usd(own),
        ]);
    }
    Claim {
        id: "E2",
        says: "At a small volume the fixed cost of owning dwarfs the API; bursts favour the API, a steady load owning.",
        verdict: cases.verdict("the API"),
        found: vec![
            format!(
                "A case holds when the smallest owned service costs over ten times the rent, at 100,000 and at 1 million \
                 tokens a day. {}",
                cases.text()
            ),
            "B2 has the second half of the claim in figures.".to_owned(),
        ],
        table: Some(table),
        assumed: "USD a month at 3:1; the cheapest replica of the model and a quarter of a person."
            .to_owned(),
        break_even: "the table of break-even volumes, the column with a quarter of a person."
            .to_owned(),
    }
}

/// Tokens of an agent's first prompt, of what it writes in a step, and of what a tool answers.
const PROMPT: f64 = 2_000.0;
const WRITTEN: f64 = 200.0;
const TOOL: f64 = 500.0;

/// Fresh input, input that was in the last step's prompt or answer, and output of so many steps.
fn agent_tokens(steps: u32) -> (f64, f64, f64) {
    let (mut fresh, mut repeated) = (0.0, 0.0);
    let mut context = 0.0;
    for step in 0..steps {
        let new = if step == 0 { PROMPT } else { TOOL };
        fresh += new;
        repeated += context;
        context += new + WRITTEN;
    }
    (fresh, repeated, f64::from(steps) * WRITTEN)
}

fn agent_usd(card: &RateCard, steps: u32, is_cached: bool) -> f64 {
    let tier = &card.tiers[0];
    let (fresh, repeated, output) = agent_tokens(steps);
    let again = if is_cached {
        tier.cached_input
    } else {
        tier.input
    };
    (fresh * tier.input + repeated * again + output * tier.output) / 1e6
}

fn agents(world: &World) -> Claim {
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "API or host",
        "1 step",
        "5 steps",
        "20 steps",
        "20, repeats from the cache",
        "20 steps cost, times one",
        "with the cache",
        "20-step tasks a day that pay one owned replica",
    ]);
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    for pair in &world.pairs {
        let cost = |steps| agent_usd(&pair.api, steps, false);
        let cached = agent_usd(&pair.api, 20, true);
        cases.add(pair.label.clone(), cost(20) > 20.0 * cost(1));
        cases.add(format!("{}, cached", pair.label), cached > 20.0 * cost(1));
        let own = world.even.first(pair.model).month_usd() + people;
        table.row(vec![
            pair.label.clone(),
            usd(cost(1)),
            usd(cost(5)),
            usd(cost(20)),
            usd(cached),
            format!("{:.0}", cost(20) / cost(1)),
            format!("{:.0}", cached / cost(1)),
            count(own / super::world::DAYS_PER_MONTH / cached),
        ]);
    }
    let (fresh, repeated, output) = agent_tokens(20);
    let listed = world.book.rates("openai", "gpt-5", PRICES_AT_UNIX_MS).ok();
    let search = listed.and_then(|rates| rates.web_searches_per_thousand);
    let search = search.map_or(
        "The price book has no fee for a web search of GPT-5.".to_owned(),
        |fee| {
            format!(
                "A web search adds {} per thousand at GPT-5.",
                usd(fee.usd())
            )
        },
    );
    Claim {
        id: "E3",
        says: "Context, tools and agent loops multiply the cost beyond the tokens that one sees.",
        verdict: cases.verdict("whether what is repeated comes from the vendor's cache"),
        found: vec![format!(
            "A case holds when 20 steps cost more than 20 single ones. {} Twenty steps read {} tokens, of which {} were read \
             before, and write {}: the user sees {} of them. {search}",
            cases.text(),
            count(fresh + repeated),
            count(repeated),
            count(output),
            count(WRITTEN)
        )],
        table: Some(table),
        assumed: format!(
            "a prompt of {} tokens, {} written and {} answered by a tool in each step, everything read again each time; \
             cached input at list price where there is one. Writing into a cache costs extra at some vendors and is left \
             out. The last column ignores what a replica can carry and has a quarter of a person.",
            count(PROMPT),
            count(WRITTEN),
            count(TOOL)
        ),
        break_even: "the last column, tasks a day with the vendor's cache.".to_owned(),
    }
}

fn months(world: &World) -> Claim {
    let build = world.range(Input::BuildMonths);
    Claim {
        id: "E4",
        says: "A prototype takes hours, production days, and a hybrid of both 6 to 12 months.",
        verdict: Verdict::NotCalculated,
        found: vec![format!(
            "How long a team takes is a matter of record, not of calculation. The advisor assumes {} months until an owned \
             service carries the traffic ({} to {}). The table of D3 tells what a week, half a year and a year make of \
             the break-even volumes.",
            build.base, build.low, build.high
        )],
        table: None,
        assumed: String::new(),
        break_even: "the table of D3.".to_owned(),
    }
}
