//! The page as a text, from nothing but the committed code and tables.

pub(crate) mod essay_a;
pub(crate) mod essay_a_volume;
pub(crate) mod essay_b;
pub(crate) mod essay_c;
pub(crate) mod essay_d;
pub(crate) mod essay_e;
pub(crate) mod evens;
pub(crate) mod world;
pub(crate) mod write;

use freehold_planner::PlanError;

use evens::Evens;
use world::World;
use write::{Claim, Table, item, paragraph};

/// What every part is made from.
pub(crate) struct Asked {
    pub(crate) world: World,
    pub(crate) evens: Evens,
}

/// The essays, with the claims of each.
const ESSAYS: [(&str, &str); 5] = [
    ("A", "Managed APIs vs self-hosted models"),
    ("B", "Choosing the right LLM strategy in 2026"),
    ("C", "Self-hosted LLM vs OpenAI API, when to choose what"),
    (
        "D",
        "Should we self-host an open-source model or use the API?",
    ),
    (
        "E",
        "Open-source models vs hosted LLM APIs: how to choose in 2026",
    ),
];

/// docs/claims.md.
///
/// # Errors
/// When the price book does not list a model any more, or a setting makes no sense.
pub(crate) fn page() -> Result<String, PlanError> {
    let world = World::new()?;
    let evens = Evens::of(&world)?;
    let asked = Asked { world, evens };
    let mut claims = essay_a::claims(&asked)?;
    claims.extend(essay_a_volume::claims(&asked));
    claims.extend(essay_b::claims(&asked));
    claims.extend(essay_c::claims(&asked)?);
    claims.extend(essay_d::claims(&asked)?);
    claims.extend(essay_e::claims(&asked)?);
    let mut page = String::new();
    head(&mut page, &asked.world);
    summary(&mut page, &claims);
    asked.evens.write(&mut page, &asked.world);
    for (letter, title) in ESSAYS {
        page.push_str(&format!("## Essay {letter}: \"{title}\"\n\n"));
        for claim in claims.iter().filter(|claim| claim.id.starts_with(letter)) {
            claim.write(&mut page);
        }
    }
    while page.ends_with("\n\n") {
        page.pop();
    }
    Ok(page)
}

fn head(page: &mut String, world: &World) {
    page.push_str("# Claims about renting and owning, checked\n\n");
    paragraph(
        page,
        "What five much-read kinds of essay say about hosted APIs and models of one's own, in our words, with what \
         Freehold's planner, simulator and price book make of it. A test compares this page with what the command \
         prints, so no figure here is typed by hand:",
    );
    page.push_str(
        "```sh\ncargo run --quiet -p freehold-planner --example claims > docs/claims.md\n```\n\n",
    );
    item(
        page,
        &format!(
            "**Prices** of tokens are list prices of {} (genai-prices {}); a host is the usual one, as the planner takes \
             it: of the cheaper half, the one in the middle. GPUs are on demand at the base price of \
             `crates/freehold-planner/data/gpu_offers.csv`: {}.",
            world::PRICES_AT,
            freehold_cost::BUNDLED_VERSION,
            gpu_prices(world)
        ),
    );
    item(
        page,
        &format!(
            "**GPUs come whole** and are counted by simulated load curves (vLLM; 8-bit weights where the GPU computes in \
             them, gpt-oss as published) that keep a service level: first token within {} ms, later ones within {} ms \
             each, for {} % of requests. *Full* is the most that a GPU carries within it.",
            world.slo.ttft_ms.unwrap_or_default(),
            world.slo.tpot_ms.unwrap_or_default(),
            world.slo.share * 100.0
        ),
    );
    item(
        page,
        "**Traffic** is made up (Poisson, exponential lengths): 900 tokens in and 300 out on average, or 1,155 and 211 \
         where a claim counts queries, the means of the Azure LLM inference 2023 conversation trace. A token is one \
         of input or output.",
    );
    item(
        page,
        "**People**: *no people* and *a quarter of a person* are GPUs and that share of one engineer, nothing else. \
         *All assumptions* is what `freehold advise` assumes: building, growth, falling prices, people, on-call, \
         the share left at the API (`crates/freehold-planner/data/assumptions.yaml`, most likely values).",
    );
    item(
        page,
        "**Not modelled**: whether the open model is good enough (`->` only says what is compared with what), reserved, \
         spot and bought GPUs except under *all assumptions*, prompt caches unless a claim says so, spare GPUs for \
         failures, taxes, free tiers, negotiated prices. docs/advisor.md and docs/sim.md tell the limits of the \
         models; throughput alone is off by 11 % (dense) to 19 % (mixtures of experts) in the median.",
    );
    item(
        page,
        "**Verdicts** follow from the cases by rule: confirmed when all hold, refuted when none does, else *depends*.",
    );
    page.push('\n');
}

fn gpu_prices(world: &World) -> String {
    let machines = world.even.machines.iter();
    let mut prices: Vec<String> = machines
        .map(|machine| format!("{} ${:.2}", machine.server.gpu.name, machine.gpu_usd()))
        .collect();
    prices.sort();
    prices.dedup();
    prices.join(", ")
}

fn summary(page: &mut String, claims: &[Claim]) {
    page.push_str("## In short\n\n");
    let mut table = Table::new(&["", "claim", "verdict"]);
    for claim in claims {
        table.row(vec![
            claim.id.to_owned(),
            claim.says.to_owned(),
            claim.verdict.text(),
        ]);
    }
    table.write(page);
}
