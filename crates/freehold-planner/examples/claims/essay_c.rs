//! Essay C: what engineering adds, how long it takes to pay, and what volume does to the bill.

use freehold_planner::{Advice, Bill, HOURS_PER_MONTH, Input, PlanError, Traffic};
use freehold_workload::Scenario;

use super::Asked;
use super::essay_a_volume::unchecked;
use super::world::{Besides, DAYS_PER_MONTH, Even, GPT_OSS, Pair, World};
use super::write::{Cases, Claim, Table, Verdict, count, even, percent, usd};

pub(crate) fn claims(asked: &Asked) -> Result<Vec<Claim>, PlanError> {
    let world = &asked.world;
    let queries = Queries::of(world)?;
    Ok(vec![
        engagement(world)?,
        eighteen_months(asked)?,
        queries.few(),
        queries.many(),
        engineer_month(asked),
        ten_times(world)?,
        unchecked(
            "C6",
            "Open models lag 6 to 18 months behind the best closed ones.",
            "It is about quality over time, and essay D says 3 to 9 months: the two contradict each other. Dated results of \
             both on the same tasks would decide; for your own tasks a proof does (`freehold proof`).",
        ),
    ])
}

fn engagement(world: &World) -> Result<Claim, PlanError> {
    let machine = world.even.first(GPT_OSS);
    let pair = world.pair("GPT-5 mini");
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "tokens a day",
        "GPUs",
        "GPUs and services in a year",
        "people in that year",
        "on top",
    ]);
    for volume in [30e6, 1e9, 10e9, 30e9, 70e9] {
        let advice = world.ask(&world.even, (pair, machine), Besides::All(12), volume)?;
        let month = &advice.best.month;
        let build = world.base(Input::BuildMonths).min(12.0);
        let runs = 12.0 - build;
        let machines = (month.gpus_usd + month.power_and_space_usd + month.services_usd) * runs;
        let people = advice.best.build_usd + month.people_usd * runs;
        let share = people / machines;
        cases.add(
            format!("{} a day", count(volume)),
            (0.2..=0.4).contains(&share),
        );
        table.row(vec![
            count(volume),
            advice.best.gpus_peak.to_string(),
            usd(machines),
            usd(people),
            percent(share),
        ]);
    }
    let gpus = |share: f64| gpus_at_share(world, machine.gpu_usd(), share);
    Ok(Claim {
        id: "C1",
        says: "Engineering adds 20 to 40 % to the cost in the first year.",
        verdict: cases.verdict("the size of the fleet"),
        found: vec![format!(
            "People are a nearly fixed sum: they dwarf one GPU and fade beside a large fleet, which takes more of them. {}",
            cases.text()
        )],
        table: Some(table),
        assumed: format!(
            "{GPT_OSS} on {}, the cheapest way to come by GPUs; {} months of building with {} FTE, then {} and {} of a \
             person plus {} for each eight GPUs.",
            machine.server.gpu.name,
            world.base(Input::BuildMonths),
            world.base(Input::BuildFte),
            world.base(Input::RunFte),
            world.base(Input::EvaluationFte),
            world.base(Input::RunFtePerEightGpus)
        ),
        break_even: format!(
            "on demand at {} an hour, people add 40 % at about {} GPUs and 20 % at about {}.",
            usd(machine.gpu_usd()),
            gpus(0.4).map_or("no number of".to_owned(), count),
            gpus(0.2).map_or("no number of".to_owned(), count)
        ),
    })
}

/// GPUs on demand over the first year beside which people are such a share, services left out.
fn gpus_at_share(world: &World, gpu_usd: f64, share: f64) -> Option<f64> {
    let salary = world.base(Input::StaffUsdPerYear) / 12.0;
    let build = world.base(Input::BuildMonths);
    let runs = 12.0 - build;
    let fixed = build * world.base(Input::BuildFte) * salary
        + runs
            * ((world.base(Input::RunFte) + world.base(Input::EvaluationFte)) * salary
                + world.base(Input::OnCallUsdPerMonth));
    let per_gpu = runs
        * (share * gpu_usd * HOURS_PER_MONTH
            - world.base(Input::RunFtePerEightGpus) / 8.0 * salary);
    (per_gpu > 0.0).then(|| fixed / per_gpu)
}

fn eighteen_months(asked: &Asked) -> Result<Claim, PlanError> {
    let world = &asked.world;
    let mut cases = Cases::default();
    let mut table = Table::new(&[
        "API or host -> open model",
        "18 months",
        "24 months",
        "36 months",
    ]);
    for (pair, row) in asked.evens.each(world) {
        let at = |months| world.break_even(&world.even, pair, Besides::All(months), "");
        let (short, long) = (at(18)?, at(36)?);
        for volume in [10e6, 100e6, 1e9] {
            let told =
                |found: &Option<Even>| found.as_ref().and_then(|even| even.told.tokens_per_day);
            let name = format!("{} at {} a day", pair.label, count(volume));
            cases.add(name, told(&long).is_none_or(|at| at > volume));
        }
        table.row(vec![
            pair.versus(),
            even(short.as_ref()),
            even(row.all.as_ref()),
            even(long.as_ref()),
        ]);
    }
    Ok(Claim {
        id: "C2",
        says: "Owning for the sake of cost disappoints for 18 months, and the API wins over 2 to 3 years.",
        verdict: cases.verdict("the volume and the API"),
        found: vec![format!(
            "Tried at 10 million, 100 million and 1 billion tokens a day over 36 months. {} A longer horizon helps less than \
             one thinks: APIs are assumed to get cheaper by {} % a year, rented GPUs by {} %.",
            cases.text(),
            -world.base(Input::ApiPriceChangePercentPerYear),
            -world.base(Input::GpuPriceChangePercentPerYear)
        )],
        table: Some(table),
        assumed:
            "all assumptions, most likely values; the API is paid until the owned service runs."
                .to_owned(),
        break_even:
            "tokens a day in the table: above them owning has cost less by the end of the horizon."
                .to_owned(),
    })
}

/// Claims that count queries.
struct Queries {
    table: Table,
    few: Cases,
    many: Cases,
    span: String,
}

impl Queries {
    fn of(world: &World) -> Result<Self, PlanError> {
        let mut told = Self {
            table: Table::new(&[
                "API or host -> open model",
                "10 million: rent a month",
                "saved by owning",
                "100 million: rent a month",
                "saved by owning",
                "breaks even at, queries a month",
            ]),
            few: Cases::default(),
            many: Cases::default(),
            span: String::new(),
        };
        let mut found = Vec::new();
        for pair in &world.pairs {
            let machine = world.chat.cheapest(pair.model);
            let mut cells = vec![pair.versus()];
            for queries in [10e6, 100e6] {
                let tokens = queries * world.chat.tokens_per_request() / DAYS_PER_MONTH;
                let advice = world.ask(&world.chat, (pair, machine), Besides::All(24), tokens)?;
                let saving = advice.best.saving_vs_api;
                if queries < 50e6 {
                    told.few.add(pair.label.clone(), saving.p50 < 0.0);
                } else {
                    told.many.add(pair.label.clone(), saving.p50 > 0.0);
                }
                cells.push(usd(world.chat.rent_usd(pair, tokens)));
                cells.push(saving_text(&advice));
            }
            let even = world.break_even(&world.chat, pair, Besides::All(24), "")?;
            let at = queries_at(world, even.as_ref());
            cells.push(at.map_or("never".to_owned(), count));
            found.extend(at);
            told.table.row(cells);
        }
        let low = found.iter().copied().fold(f64::MAX, f64::min);
        let high = found.iter().copied().fold(0.0, f64::max);
        told.span = format!(
            "{} to {} queries a month, never for {} of {}",
            count(low),
            count(high),
            world.pairs.len() - found.len(),
            world.pairs.len()
        );
        Ok(told)
    }

    fn few(&self) -> Claim {
        Claim {
            id: "C3a",
            says: "Below 10 million queries a month the API almost always wins.",
            verdict: self.few.verdict("the price that it is compared with"),
            found: vec![format!(
                "At 10 million. {} The figures stand under C3b.",
                self.few.text()
            )],
            table: None,
            assumed: ASSUMED.to_owned(),
            break_even: format!("{}.", self.span),
        }
    }

    fn many(self) -> Claim {
        Claim {
            id: "C3b",
            says: "From 100 million queries a month, owning may pay.",
            verdict: self.many.verdict("the price that it is compared with"),
            found: vec![self.many.text()],
            break_even: format!("{}.", self.span),
            table: Some(self.table),
            assumed: ASSUMED.to_owned(),
        }
    }
}

const ASSUMED: &str = "conversation lengths (1,155 in, 211 out on average), all assumptions over 24 months; rent at list price \
                       today, savings per month over the horizon, median and P10 to P90 of 100 draws.";

fn saving_text(advice: &Advice) -> String {
    let saving = advice.best.saving_vs_api;
    format!(
        "{} ({} to {})",
        usd(saving.p50),
        usd(saving.p10),
        usd(saving.p90)
    )
}

fn queries_at(world: &World, even: Option<&Even>) -> Option<f64> {
    let tokens = even?.told.tokens_per_day?;
    Some(tokens * DAYS_PER_MONTH / world.chat.tokens_per_request())
}

fn engineer_month(asked: &Asked) -> Claim {
    let world = &asked.world;
    let run = world.range(Input::RunFte);
    Claim {
        id: "C4",
        says: "Running it takes an engineer-month every month.",
        verdict: Verdict::NotCalculated,
        found: vec![format!(
            "How much work it is, a time sheet tells. The advisor takes {} of a person ({} to {}), so this claim is the upper \
             end of its range. What the answer is worth stands in the table of break-even volumes.",
            run.base, run.low, run.high
        )],
        table: None,
        assumed: format!(
            "{} a year; GPUs and this person only.",
            usd(world.base(Input::StaffUsdPerYear))
        ),
        break_even: format!(
            "{} tokens a day with a quarter of a person, {} with one.",
            asked.evens.span(|row| row.quarter.as_ref()),
            asked.evens.span(|row| row.one.as_ref())
        ),
    }
}

fn ten_times(world: &World) -> Result<Claim, PlanError> {
    let machine = world.even.first(GPT_OSS);
    let mut cases = Cases::default();
    for (name, factor) in [("10 times", 10.0), ("a tenth", 0.1)] {
        for (pair, ratio) in world.pairs.iter().zip(bill_ratios(world, factor)?) {
            // A volume is thinned and copied by chance: a few percent are the sample.
            let is_line = (ratio / factor - 1.0).abs() < 0.05;
            cases.add(format!("{} at {name}", pair.label), is_line);
        }
    }
    let mut table = Table::new(&[
        "owned, tokens a day",
        "a month",
        "at a tenth of the volume",
        "at ten times",
    ]);
    let people = 0.25 * world.base(Input::StaffUsdPerYear) / 12.0;
    for volume in [30e6, 300e6, 3e9] {
        let month = |tokens: f64| {
            f64::from(world.even.fleet(machine, tokens).replicas_peak) * machine.month_usd()
                + people
        };
        let now = month(volume);
        table.row(vec![
            count(volume),
            usd(now),
            format!(
                "{} ({} of it)",
                usd(month(volume / 10.0)),
                percent(month(volume / 10.0) / now)
            ),
            format!(
                "{} ({:.1} times)",
                usd(month(volume * 10.0)),
                month(volume * 10.0) / now
            ),
        ]);
    }
    Ok(Claim {
        id: "C5",
        says: "An API bill follows the volume: ten times the traffic is ten times the cost, 90 % less is 90 % less.",
        verdict: cases.verdict("the API"),
        found: vec![format!(
            "Bills of the same traffic copied and thinned. {} List prices know no volume; negotiated ones do. Owning is the \
             opposite: it falls little, and rises late.",
            cases.text()
        )],
        table: Some(table),
        assumed: format!(
            "{GPT_OSS} on {} at an even rate with a quarter of a person, USD a month.",
            machine.server.gpu.name
        ),
        break_even: "none: it is a line against a staircase. Their crossings are in the table of break-even volumes.".to_owned(),
    })
}

/// Each pair's bill of the scaled traffic over that of the recorded.
fn bill_ratios(world: &World, factor: f64) -> Result<Vec<f64>, PlanError> {
    let pattern = &world.even;
    let (scaled, _) = Scenario::Scale(factor)
        .apply(&pattern.workload, 1, 1_000_000)
        .map_err(|error| super::world::told(&error))?;
    let traffic = Traffic::of(&scaled, None)?;
    let recorded = pattern.traffic.total().tokens() / DAYS_PER_MONTH;
    let ratio = |pair: &Pair| {
        let bills = pair.api.bills(&scaled, &traffic);
        let month: f64 = bills.iter().map(Bill::total_usd).sum();
        month / pattern.rent_usd(pair, recorded)
    };
    Ok(world.pairs.iter().map(ratio).collect())
}
