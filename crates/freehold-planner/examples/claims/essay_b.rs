//! Essay B: heavy loads, and loads that come and go.

use freehold_planner::{HOURS_PER_MONTH, Input, RateCard, hosts};
use freehold_workload::Profile;

use super::Asked;
use super::essay_a_volume::unchecked;
use super::world::{
    DAYS_PER_MONTH, GPT_OSS, LLAMA_8B, LLAMA_70B, PRICES_AT_UNIX_MS, World, stays_cheaper,
};
use super::write::{Cases, Claim, Table, count, saved, usd};

pub(crate) fn claims(asked: &Asked) -> Vec<Claim> {
    vec![
        heavy_loads(&asked.world),
        nine_and_three(&asked.world),
        unchecked(
            "B3",
            "Small models of one domain reach 90 % of the quality and more.",
            "It is about quality on that domain. A proof on your own traffic decides (`freehold proof`).",
        ),
    ]
}

/// A month of GPUs and a quarter of a person over the tokens, USD per million.
fn own_usd(world: &World, model: &str, tokens_per_day: f64) -> f64 {
    let machine = world.even.cheapest(model);
    let fleet = world.even.fleet(machine, tokens_per_day);
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    let month = f64::from(fleet.replicas_peak) * machine.month_usd() + people;
    month / (tokens_per_day * DAYS_PER_MONTH) * 1e6
}

fn heavy_loads(world: &World) -> Claim {
    let volumes = [100e6, 1e9, 10e9];
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "Llama 3 at",
        "rent, $ per million",
        "full GPUs, no people",
        "100 million a day",
        "1 billion",
        "10 billion",
    ]);
    for model in [LLAMA_70B, LLAMA_8B] {
        let cards = hosts(&world.book, model, PRICES_AT_UNIX_MS);
        let full = world.even.full_usd(world.even.cheapest(model));
        let Some(last) = cards.len().checked_sub(1) else {
            continue;
        };
        for (which, place) in [("cheapest", 0), ("usual", last / 4), ("dearest", last)] {
            let card = &cards[place];
            let rent = blend(card);
            cases.add(
                format!("{model}, {which} host, full GPUs without people"),
                full <= 0.6 * rent,
            );
            let mut cells = vec![
                format!("{} ({which})", card.name),
                usd(rent),
                saved(rent, full),
            ];
            for volume in volumes {
                let own = own_usd(world, model, volume);
                if volume > 5e9 {
                    cases.add(
                        format!("{model}, {which} host, 10 billion a day"),
                        own <= 0.6 * rent,
                    );
                }
                cells.push(saved(rent, own));
            }
            table.row(cells);
        }
    }
    Claim {
        id: "B1",
        says: "Under heavy load, owning Llama 3 is up to 50 % cheaper.",
        verdict: cases.verdict("the host that it is compared with"),
        found: vec![format!(
            "Compared with the same model at hosts, which is what a rented Llama 3 is. A case holds when owning saves at \
             least 40 %. {}",
            cases.text()
        )],
        table: Some(table),
        assumed: "3:1; on the cheapest GPU for the model; the columns of volumes have a quarter of a person. \"2.0 times\" \
                  is owning at twice the rent."
            .to_owned(),
        break_even: "the table of break-even volumes has the usual host of each model.".to_owned(),
    }
}

fn blend(card: &RateCard) -> f64 {
    (3.0 * card.tiers[0].input + card.tiers[0].output) / 4.0
}

/// GPUs that a pattern of volumes over a week takes.
#[derive(Clone, Copy)]
enum Fleet {
    /// As many as the mean rate takes, always.
    Even,
    /// As many as the busiest hour takes, always.
    Fixed,
    /// Each hour what it takes, as if somebody knew.
    Scaled,
}

/// GPUs on average, over an office's week unless the rate is even.
fn gpus(world: &World, fleet: Fleet, tokens_per_day: f64) -> f64 {
    let machine = world.even.first(GPT_OSS);
    let takes = |share: f64| f64::from(world.even.fleet(machine, share * tokens_per_day).gpus_peak);
    let office = Profile::office();
    let hours = office.hours();
    match fleet {
        Fleet::Even => takes(1.0),
        Fleet::Fixed => takes(office.most()),
        Fleet::Scaled => hours.iter().map(|share| takes(*share)).sum::<f64>() / hours.len() as f64,
    }
}

fn nine_and_three(world: &World) -> Claim {
    let machine = world.even.first(GPT_OSS);
    let per_million = |gpus: f64, volume: f64| gpus * machine.gpu_usd() * 24.0 / volume * 1e6;
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "tokens a day",
        "even rate: GPUs",
        "$ per million",
        "office, fixed fleet: GPUs",
        "$ per million",
        "office, scaled: GPUs on average",
        "$ per million",
    ]);
    for volume in [30e6, 100e6, 300e6, 1e9, 3e9, 10e9] {
        let even = gpus(world, Fleet::Even, volume);
        let mut cells = vec![count(volume)];
        for (fleet, name) in [
            (Fleet::Even, ""),
            (Fleet::Fixed, "fixed"),
            (Fleet::Scaled, "scaled"),
        ] {
            let takes = gpus(world, fleet, volume);
            if !name.is_empty() {
                cases.add(
                    format!("{name} at {} a day", count(volume)),
                    takes > 1.25 * even,
                );
            }
            cells.push(format!("{takes:.1}"));
            cells.push(usd(per_million(takes, volume)));
        }
        table.row(cells);
    }
    let mini = world.pair("GPT-5 mini");
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    let breaks_even = |fleet: Fleet| {
        let saves = |volume: f64| {
            let own = gpus(world, fleet, volume) * machine.gpu_usd() * HOURS_PER_MONTH + people;
            own < world.even.rent_usd(mini, volume)
        };
        stays_cheaper(1e6, 1e11, saves).map_or("never".to_owned(), count)
    };
    Claim {
        id: "B2",
        says: "Busy at 9 in the morning and dead at 3 at night makes owning inefficient: API cost is a line, GPUs are a staircase.",
        verdict: cases.verdict("the volume, and on whether the fleet scales"),
        found: vec![format!(
            "An office's week (busy from 9 to 17 on weekdays, about a tenth of that otherwise; its busiest hour has {:.1} times \
             the mean) against the same volume at an even rate. A case holds when that makes a token at least a quarter \
             dearer. {} Where one GPU is enough, bursts add nothing: it idles anyway. The staircase is in the numbers of GPUs.",
            Profile::office().most(),
            cases.text()
        )],
        table: Some(table),
        assumed: format!(
            "{GPT_OSS} on {} at {} an hour, GPUs only. Scaled: each hour has the GPUs that it takes, without loading \
             times; no autoscaler does better. The profile is an assumption of docs/workload.md.",
            machine.server.gpu.name,
            usd(machine.gpu_usd())
        ),
        break_even: format!(
            "against GPT-5 mini with a quarter of a person: {} tokens a day at an even rate, {} over an office's week on a \
             fixed fleet, {} when it scales.",
            breaks_even(Fleet::Even),
            breaks_even(Fleet::Fixed),
            breaks_even(Fleet::Scaled)
        ),
    }
}
