//! Which inputs the answer hangs on: each at its tenth and ninetieth percentile, all others most likely.

use serde::Serialize;

use crate::choose::Choosable;
use crate::costing;
use crate::draws::{cents, four};
use crate::input::Input;

/// One input's pull on what owning saves against today's API, USD a month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Swing {
    /// The input.
    pub input: Input,
    /// What it means.
    pub about: String,
    /// Its unit.
    pub unit: String,
    /// Its tenth percentile.
    pub low: f64,
    /// Its ninetieth.
    pub high: f64,
    /// Saved with the tenth.
    pub saving_at_low: f64,
    /// Saved with the ninetieth.
    pub saving_at_high: f64,
    /// How far these are apart.
    pub swing: f64,
}

/// All inputs that pull, the strongest first.
pub(crate) fn tornado(option: &Choosable<'_>, months: u32) -> Vec<Swing> {
    let base = option.ranges.base();
    let saving = |input: Input, value: f64| {
        let mut values = base;
        values.set(input, value);
        let totals = costing::totals(&values, &option.need, &option.way, months);
        (totals.api - totals.own) / f64::from(months)
    };
    let mut swings: Vec<Swing> = Input::all()
        .map(|input| {
            let range = option.ranges.range(input);
            let (low, high) = (range.quantile(0.1), range.quantile(0.9));
            let (at_low, at_high) = (saving(input, low), saving(input, high));
            let (about, unit) = described(option, input);
            Swing {
                input,
                about,
                unit,
                low: four(low),
                high: four(high),
                saving_at_low: cents(at_low),
                saving_at_high: cents(at_high),
                swing: cents((at_high - at_low).abs()),
            }
        })
        .filter(|swing| swing.swing > 0.0)
        .collect();
    swings.sort_by(|a, b| b.swing.total_cmp(&a.swing).then(a.input.cmp(&b.input)));
    swings
}

fn described(option: &Choosable<'_>, input: Input) -> (String, String) {
    let entries = option.ranges.assumptions.entries();
    if let Some(entry) = entries.get(input as usize) {
        return (entry.about.clone(), entry.unit.clone());
    }
    let gpu = &option.way.candidate.offer.gpu;
    match (input, option.way.procurement) {
        (Input::GpuPrice, crate::Procurement::Buy) => {
            (format!("price of one {gpu}"), "USD".to_owned())
        }
        (Input::GpuPrice, _) => (format!("price of an hour of {gpu}"), "USD".to_owned()),
        _ => (
            "price of the open model at hosts".to_owned(),
            "x".to_owned(),
        ),
    }
}
