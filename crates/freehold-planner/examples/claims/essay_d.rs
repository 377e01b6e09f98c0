//! Essay D: small and middling volumes, building, switching.

use freehold_planner::{Input, PlanError};

use super::Asked;
use super::essay_a_volume::unchecked;
use super::world::{Besides, DAYS_PER_MONTH, Even, GPT_OSS, World};
use super::write::{Cases, Claim, Table, Verdict, count, even, saved, usd};

pub(crate) fn claims(asked: &Asked) -> Result<Vec<Claim>, PlanError> {
    Ok(vec![
        low_millions(asked),
        tens_of_millions(&asked.world),
        half_a_year(&asked.world)?,
        unchecked(
            "D4",
            "It takes a year to learn to run it well.",
            "How fast a team learns, only that team can tell. The advisor takes it as answers (`freehold advise --interview` \
             asks for experience) and as the share of a person that running takes.",
        ),
        unchecked(
            "D5",
            "Open models lag 3 to 9 months behind.",
            "See C6: quality over time, and contradicted by essay C.",
        ),
        switching(&asked.world),
    ])
}

fn low_millions(asked: &Asked) -> Claim {
    let world = &asked.world;
    let mut cases = Cases::default();
    for (pair, row) in asked.evens.each(world) {
        let at = row
            .nobody
            .as_ref()
            .and_then(|even| even.told.tokens_per_day);
        cases.add(
            format!("{} at 3 million a day", pair.label),
            at.is_none_or(|at| at > 3e6),
        );
    }
    Claim {
        id: "D1",
        says: "From thousands to a few million tokens a day, use an API.",
        verdict: cases.verdict("the API"),
        found: vec![format!(
            "At 3 million a day, against GPUs without any people, the case most in favour of owning. {}",
            cases.text()
        )],
        table: None,
        assumed: "3:1, the machine that breaks even first.".to_owned(),
        break_even: format!(
            "{} tokens a day without people.",
            asked.evens.span(|row| row.nobody.as_ref())
        ),
    }
}

fn tens_of_millions(world: &World) -> Claim {
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "API or host -> open model",
        "10 million a day",
        "30 million",
        "90 million",
    ]);
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    for pair in &world.pairs {
        let mut cells = vec![pair.versus()];
        for volume in [10e6, 30e6, 90e6] {
            let rent = world.even.rent_usd(pair, volume);
            let months = world.even.of(pair.model).map(|machine| {
                f64::from(world.even.fleet(machine, volume).replicas_peak) * machine.month_usd()
            });
            let gpus = months.fold(f64::MAX, f64::min);
            let own = gpus + people;
            cases.add(
                format!("{} at {} a day", pair.label, count(volume)),
                own <= 0.7 * rent,
            );
            cells.push(format!("{} / {}", saved(rent, gpus), saved(rent, own)));
        }
        table.row(cells);
    }
    Claim {
        id: "D2",
        says: "At tens of millions of tokens a day, owning is much cheaper.",
        verdict: cases.verdict("the API: it takes one priced like the best"),
        found: vec![format!(
            "A case holds when GPUs and a quarter of a person cost at least 30 % less. {} In the table: GPUs only / with a \
             quarter of a person, against the rent.",
            cases.text()
        )],
        table: Some(table),
        assumed: "3:1, the cheapest fleet of the table's GPUs; \"2.0 times\" is owning at twice the rent.".to_owned(),
        break_even: "the table of break-even volumes.".to_owned(),
    }
}

/// Break-even volumes by how long building takes.
fn by_build(world: &World, months: f64) -> Result<Vec<Option<Even>>, PlanError> {
    let own = format!("build_months: {months}\n");
    let pairs = world.pairs.iter();
    pairs
        .map(|pair| world.break_even(&world.even, pair, Besides::All(24), &own))
        .collect()
}

fn half_a_year(world: &World) -> Result<Claim, PlanError> {
    let mut cases = Cases::default();
    let quick = by_build(world, 0.25)?;
    let quarter = by_build(world, 3.0)?;
    let half = by_build(world, 6.0)?;
    let year = by_build(world, 12.0)?;
    let mut table = Table::new(&[
        "API or host -> open model",
        "a week",
        "3 months",
        "6 months",
        "12 months",
    ]);
    for (index, pair) in world.pairs.iter().enumerate() {
        let at = half[index]
            .as_ref()
            .and_then(|even| even.told.tokens_per_day);
        for volume in [10e6, 100e6, 1e9] {
            let name = format!("{} at {} a day", pair.label, count(volume));
            cases.add(name, at.is_none_or(|at| at > volume));
        }
        let cells = [&quick, &quarter, &half, &year].map(|found| even(found[index].as_ref()));
        table.row(std::iter::once(pair.versus()).chain(cells).collect());
    }
    let build = 6.0 * world.base(Input::BuildFte) * world.base(Input::StaffUsdPerYear) / 12.0;
    Ok(Claim {
        id: "D3",
        says: "Half a year of building costs more than owning saves.",
        verdict: cases.verdict("the volume and the API"),
        found: vec![format!(
            "Six months of building cost {} in people, and the API all the while. Tried at 10 million, 100 million and 1 \
             billion tokens a day over 24 months. {}",
            usd(build),
            cases.text()
        )],
        table: Some(table),
        assumed: format!(
            "all assumptions, with {} FTE who build.",
            world.base(Input::BuildFte)
        ),
        break_even: "tokens a day in the table, by how long building takes.".to_owned(),
    })
}

fn switching(world: &World) -> Claim {
    let staff = world.base(Input::StaffUsdPerYear);
    let weeks = world.range(Input::HostedSwitchWeeks);
    let six = 6.0 * staff / 52.0;
    let host = world
        .pairs
        .iter()
        .find(|pair| pair.is_hosted && pair.model == GPT_OSS);
    let mut table = Table::new(&[
        "from",
        "to",
        "saved per million at 3:1",
        "six weeks are back within a year from",
    ]);
    for pair in world.pairs.iter().filter(|pair| !pair.is_hosted) {
        let Some(host) = host else { continue };
        let saved = pair.blend(3.0, 1.0) - host.blend(3.0, 1.0);
        let tokens = six / 12.0 / DAYS_PER_MONTH / saved * 1e6;
        table.row(vec![
            pair.label.clone(),
            host.label.clone(),
            usd(saved),
            if saved > 0.0 {
                format!("{} tokens a day", count(tokens))
            } else {
                "never".to_owned()
            },
        ]);
    }
    Claim {
        id: "D6",
        says: "Changing the provider takes six weeks, not quarters.",
        verdict: Verdict::NotCalculated,
        found: vec![format!(
            "How long it takes depends on prompts and tests, not on money. The advisor takes {} weeks of one engineer ({} to \
             {}). Six of them cost {}:",
            weeks.base,
            weeks.low,
            weeks.high,
            usd(six)
        )],
        table: Some(table),
        assumed: format!("{} a year; prices stay.", usd(staff)),
        break_even: "in the table.".to_owned(),
    }
}
