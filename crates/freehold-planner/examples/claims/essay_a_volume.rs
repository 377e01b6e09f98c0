//! Essay A: thousands of queries a minute, and what only a proof can tell.

use freehold_planner::Input;

use super::Asked;
use super::world::{DAYS_PER_MONTH, Machine, Pair, World, stays_cheaper};
use super::write::{Cases, Claim, Table, count, usd};

const PER_MINUTE: [f64; 2] = [1_000.0, 5_000.0];

pub(crate) fn claims(asked: &Asked) -> Vec<Claim> {
    vec![
        queries_a_minute(&asked.world),
        most_deployments(),
        fine_tunes(),
        vicuna(),
    ]
}

/// A month of GPUs and a quarter of a person, USD, for so many tokens a day.
fn own_usd(world: &World, machine: &Machine, tokens_per_day: f64) -> (u32, f64) {
    let fleet = world.chat.fleet(machine, tokens_per_day);
    let replicas = f64::from(fleet.replicas_peak);
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    (fleet.gpus_peak, replicas * machine.month_usd() + people)
}

/// The least queries a minute at which owning costs less, on the cheapest machine, up to 100,000.
fn breaks_even(world: &World, pair: &Pair, machine: &Machine) -> Option<f64> {
    let per_query = world.chat.tokens_per_request() * 1_440.0;
    let loses = |queries: f64| {
        own_usd(world, machine, queries * per_query).1
            > world.chat.rent_usd(pair, queries * per_query)
    };
    stays_cheaper(1.0, 1e5, |queries| !loses(queries))
}

fn queries_a_minute(world: &World) -> Claim {
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "API or host -> open model",
        "1,000 a minute: rent",
        "owned",
        "5,000 a minute: rent",
        "owned",
        "owning is cheaper from",
    ]);
    for pair in &world.pairs {
        let machine = world.chat.cheapest(pair.model);
        let mut cells = vec![pair.versus()];
        for queries in PER_MINUTE {
            let tokens = queries * 1_440.0 * world.chat.tokens_per_request();
            let rent = world.chat.rent_usd(pair, tokens);
            let (gpus, own) = own_usd(world, machine, tokens);
            cases.add(
                format!("{} at {} a minute", pair.label, count(queries)),
                rent > own,
            );
            cells.push(usd(rent));
            cells.push(format!(
                "{} ({gpus} x {})",
                usd(own),
                machine.server.gpu.name
            ));
        }
        let even = breaks_even(world, pair, machine);
        cells.push(even.map_or("never".to_owned(), |at| format!("{} a minute", count(at))));
        table.row(cells);
    }
    let month = 1_000.0 * 1_440.0 * DAYS_PER_MONTH;
    Claim {
        id: "A7",
        says: "At thousands of queries a minute the API's bill runs away from what owning costs.",
        verdict: cases.verdict("the price that it is compared with"),
        found: vec![format!(
            "A thousand a minute are {} queries a month. A case holds when GPUs and a quarter of a person cost less than \
             the rent. {}",
            count(month),
            cases.text()
        )],
        table: Some(table),
        assumed: "USD a month; conversation lengths (1,155 in, 211 out on average); the same rate day and night.".to_owned(),
        break_even: "the last column: from there on owning stays cheaper.".to_owned(),
    }
}

fn most_deployments() -> Claim {
    unchecked(
        "A8",
        "Most deployments of open models have 7 to 13 billion parameters.",
        "It counts other people's deployments. A survey would decide it; nothing that Freehold calculates does.",
    )
}

fn fine_tunes() -> Claim {
    unchecked(
        "A9",
        "A fine-tuned 7B model beats a general one of 1.7 trillion parameters.",
        "It is about quality on a task. What decides it is a proof on that task's own traffic (`freehold proof`, \
         docs/proof.md); the advisor calls quality unproven until there is one.",
    )
}

fn vicuna() -> Claim {
    unchecked(
        "A10",
        "Vicuna has over 90 % of ChatGPT's quality.",
        "It is about quality, as judged by another model in 2023. A proof on your own traffic decides (`freehold proof`).",
    )
}

/// A claim that no calculation decides, and what would.
pub(crate) fn unchecked(id: &'static str, says: &'static str, why: &str) -> Claim {
    Claim {
        id,
        says,
        verdict: super::write::Verdict::NotCalculated,
        found: vec![why.to_owned()],
        table: None,
        assumed: String::new(),
        break_even: "none.".to_owned(),
    }
}
