//! Prices as tables.

use comfy_table::Table;
use freehold_cost::{BookChange, ListedPrice, ListedRates, PriceBook};
use freehold_types::price::{PriceList, TokenRates};
use freehold_types::{Deployment, NanoUsd, PriceBasis};
use serde::Serialize;

use super::super::usage::{align_right, printable, table};

/// What a configured model costs.
#[derive(Debug, Serialize)]
pub(super) struct Priced {
    /// `backend/model`.
    deployment: String,
    /// Where its price is from.
    basis: &'static str,
    /// By token.
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<ListedRates>,
    /// The operator's own list.
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<PriceList>,
    /// By the hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_hour: Option<NanoUsd>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

const CLASSES: [&str; 6] = ["input", "cached", "written", "written 1h", "output", "also"];

/// What configured models cost.
pub(super) fn deployments(
    book: &PriceBook,
    deployments: &[&Deployment],
    at_unix_ms: u64,
) -> Vec<Priced> {
    let priced = |deployment: &&Deployment| {
        let mut priced = Priced {
            deployment: deployment.id.to_string(),
            basis: "unknown",
            prices: None,
            own: None,
            per_hour: None,
            unknown: None,
        };
        match &deployment.price {
            PriceBasis::Listed { provider, model } => {
                priced.basis = "listed";
                match book.rates(provider, model, at_unix_ms) {
                    Ok(rates) => priced.prices = Some(rates),
                    Err(unknown) => priced.unknown = Some(unknown.to_string()),
                }
            }
            PriceBasis::PerToken {
                input_per_million,
                cached_input_per_million,
                output_per_million,
            } => {
                priced.basis = "own";
                priced.own = Some(PriceList {
                    rates: TokenRates {
                        input: *input_per_million,
                        cached_input: *cached_input_per_million,
                        output: *output_per_million,
                        ..TokenRates::default()
                    },
                    ..PriceList::default()
                });
            }
            PriceBasis::List(list) => {
                priced.basis = "own";
                priced.own = Some((**list).clone());
            }
            PriceBasis::Hourly { per_hour } => {
                priced.basis = "hourly";
                priced.per_hour = Some(*per_hour);
            }
            PriceBasis::Unknown => {
                priced.unknown = Some("no price is configured".to_owned());
            }
        }
        priced
    };
    deployments.iter().map(priced).collect()
}

/// What configured models cost, in dollars per million tokens.
pub(super) fn table_of_deployments(priced: &[Priced]) -> String {
    let mut table = table(["deployment", "price"].into_iter().chain(CLASSES));
    for priced in priced {
        let [input, cached, written, hour, output, mut also] = match (&priced.prices, &priced.own) {
            (Some(listed), _) => cells(listed),
            (None, Some(own)) => own_cells(own),
            (None, None) => Default::default(),
        };
        if let Some(per_hour) = priced.per_hour {
            also = format!("{} $ per hour", per_hour.usd());
        }
        if let Some(unknown) = &priced.unknown {
            also.clone_from(unknown);
        }
        let name = printable(&priced.deployment);
        let basis = priced.basis.to_owned();
        table.add_row([name, basis, input, cached, written, hour, output, also]);
    }
    align_right(&mut table, 2..7);
    told(&table)
}

/// Entries of the book, in dollars per million tokens.
pub(super) fn table_of_listed(listed: &[ListedPrice]) -> String {
    let mut table = table(["provider", "model"].into_iter().chain(CLASSES));
    for entry in listed {
        let names = [printable(&entry.provider), printable(&entry.model)];
        table.add_row(names.into_iter().chain(cells(&entry.prices)));
    }
    align_right(&mut table, 2..7);
    told(&table)
}

/// What changes, in dollars per million tokens: a line before and a line after.
pub(super) fn table_of_changes(changes: &[BookChange]) -> String {
    let mut table = table(["provider", "model", "when"].into_iter().chain(CLASSES));
    for change in changes {
        for (when, prices) in [("before", &change.before), ("after", &change.after)] {
            let names = [
                printable(&change.provider),
                printable(&change.model),
                when.to_owned(),
            ];
            let cells = match prices {
                Some(prices) => cells(prices),
                None => {
                    let mut cells: [String; 6] = Default::default();
                    "not listed".clone_into(&mut cells[5]);
                    cells
                }
            };
            table.add_row(names.into_iter().chain(cells));
        }
    }
    align_right(&mut table, 3..8);
    told(&table)
}

fn told(table: &Table) -> String {
    table.trim_fmt()
}

fn usd(amount: NanoUsd) -> String {
    amount.usd().to_string()
}

fn maybe(amount: Option<NanoUsd>) -> String {
    amount.map(usd).unwrap_or_default()
}

fn cells(listed: &ListedRates) -> [String; 6] {
    let mut also = parts(&listed.rates);
    for tier in &listed.tiers {
        let (input, output) = (usd(tier.input), usd(tier.output));
        also.push(format!(
            "{input} / {output} above {} tokens",
            tier.above_input_tokens
        ));
    }
    for (tier, input, output) in &listed.service_tiers {
        also.push(format!(
            "{} {} / {}",
            tier.as_str(),
            usd(*input),
            usd(*output)
        ));
    }
    fees(
        &mut also,
        listed.per_request,
        listed.web_searches_per_thousand,
    );
    row(&listed.rates, &also)
}

fn own_cells(list: &PriceList) -> [String; 6] {
    let mut also = parts(&list.rates);
    for tier in &list.tiers {
        let (input, output) = (usd(tier.rates.input), usd(tier.rates.output));
        also.push(format!(
            "{input} / {output} above {} tokens",
            tier.above_input_tokens
        ));
    }
    for (name, percent) in [
        ("batch", list.batch_percent),
        ("flex", list.flex_percent),
        ("priority", list.priority_percent),
        ("fast", list.fast_percent),
    ] {
        also.extend(percent.map(|percent| format!("{name} {percent} %")));
    }
    let per_request = Some(list.per_request).filter(|fee| *fee > NanoUsd::ZERO);
    fees(&mut also, per_request, list.web_searches_per_thousand);
    row(&list.rates, &also)
}

fn row(rates: &TokenRates, also: &[String]) -> [String; 6] {
    [
        usd(rates.input),
        maybe(rates.cached_input),
        maybe(rates.cache_write),
        maybe(rates.cache_write_1h),
        usd(rates.output),
        also.join("; "),
    ]
}

/// Classes of tokens that few models have.
fn parts(rates: &TokenRates) -> Vec<String> {
    [
        ("audio in", rates.input_audio),
        ("picture in", rates.input_image),
        ("reasoning", rates.reasoning),
        ("audio out", rates.output_audio),
        ("picture out", rates.output_image),
    ]
    .into_iter()
    .filter_map(|(name, price)| price.map(|price| format!("{name} {}", usd(price))))
    .collect()
}

fn fees(also: &mut Vec<String>, per_request: Option<NanoUsd>, searches: Option<NanoUsd>) {
    also.extend(per_request.map(|fee| format!("{} per request", usd(fee))));
    also.extend(searches.map(|fee| format!("{} per 1000 searches", usd(fee))));
}
