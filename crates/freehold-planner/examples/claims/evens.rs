//! Break-even volumes of every pair, which many claims come back to.

use freehold_planner::PlanError;

use super::world::{Besides, Even, LLAMA_8B, Pair, World};
use super::write::{Table, count, even, even_in_full, paragraph, usd};

/// One pair's.
pub(crate) struct Row {
    pub(crate) nobody: Option<Even>,
    pub(crate) quarter: Option<Even>,
    pub(crate) one: Option<Even>,
    pub(crate) all: Option<Even>,
}

/// In the order of the pairs.
pub(crate) struct Evens(pub(crate) Vec<Row>);

/// Tokens a day whose price pays one GPU by the hour, ignoring what the GPU can carry.
pub(crate) fn closed_form(usd_per_hour: f64, usd_per_million: f64) -> f64 {
    usd_per_hour * 24.0 / usd_per_million * 1e6
}

impl Evens {
    pub(crate) fn of(world: &World) -> Result<Self, PlanError> {
        let rows = world.pairs.iter().map(|pair| {
            let at = |besides| world.break_even(&world.even, pair, besides, "");
            Ok(Row {
                nobody: at(Besides::People(0.0))?,
                quarter: at(Besides::People(0.25))?,
                one: at(Besides::People(1.0))?,
                all: at(Besides::All(24))?,
            })
        });
        Ok(Self(rows.collect::<Result<_, PlanError>>()?))
    }

    /// Every pair with its break-even volumes.
    pub(crate) fn each<'a>(
        &'a self,
        world: &'a World,
    ) -> impl Iterator<Item = (&'a Pair, &'a Row)> {
        world.pairs.iter().zip(&self.0)
    }

    /// The lowest and the highest volume that breaks even, and how many pairs never do.
    pub(crate) fn span(&self, of: impl Fn(&Row) -> Option<&Even>) -> String {
        let found = self.0.iter().filter_map(|row| of(row)?.told.tokens_per_day);
        let mut found: Vec<f64> = found.collect();
        found.sort_by(f64::total_cmp);
        let never = self.0.len() - found.len();
        let never = match never {
            0 => String::new(),
            some => format!("; never for {some} of {}", self.0.len()),
        };
        match (found.first(), found.last()) {
            (Some(low), Some(high)) => format!("{} to {}{never}", count(*low), count(*high)),
            _ => "never".to_owned(),
        }
    }

    pub(crate) fn write(&self, page: &mut String, world: &World) {
        page.push_str("## Break-even volumes\n\n");
        let h100 = world.even.first(LLAMA_8B);
        paragraph(
            page,
            &format!(
                "Tokens a day, input and output, from which on owning stays cheaper, with the GPUs that this takes and how \
                 full they are. The *closed form* is what calculators print: one H100 at {} an hour over the blended price, \
                 whatever that GPU can carry. *Never*: not even full GPUs cost less than the rent. With all assumptions \
                 the horizon is 24 \
                 months, and GPUs are come by in the cheapest way, which lowers what large fleets cost.",
                usd(h100.gpu_usd())
            ),
        );
        let mut table = Table::new(&[
            "API or host -> open model",
            "$ per million, 3:1",
            "closed form",
            "no people",
            "a quarter of a person",
            "one person",
            "all assumptions",
        ]);
        for (pair, row) in self.each(world) {
            let blend = pair.blend(3.0, 1.0);
            table.row(vec![
                pair.versus(),
                usd(blend),
                count(closed_form(h100.gpu_usd(), blend)),
                even_in_full(row.nobody.as_ref()),
                even_in_full(row.quarter.as_ref()),
                even(row.one.as_ref()),
                even(row.all.as_ref()),
            ]);
        }
        table.write(page);
        let machines = self.each(world).filter_map(|(pair, row)| {
            let machine = &row.quarter.as_ref()?.machine;
            Some(format!("{} on {machine}", pair.versus()))
        });
        let machines: Vec<String> = machines.collect();
        paragraph(
            page,
            &format!(
                "With a quarter of a person, these machines break even first: {}.",
                machines.join("; ")
            ),
        );
    }
}
