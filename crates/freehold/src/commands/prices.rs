//! `freehold prices`: shows, updates and compares prices, and tells what owned machines cost.

mod fetch;
mod owned;
mod show;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use freehold_config::Settings;
use freehold_cost::{BookChange, ListedPrice, PriceBook, differences};
use freehold_types::{Deployment, PriceBasis};
use serde_json::json;
use time::OffsetDateTime;

use super::time_range;
use crate::cli::{BookSource, PricesArgs, PricesCommand};
use crate::cli::{PricesDiffArgs, PricesListArgs, PricesUpdateArgs};
use crate::money::book_file::{self, Loaded, Origin};

pub(crate) async fn run(args: PricesArgs, settings: &Settings) -> anyhow::Result<()> {
    let home = crate::home::directory();
    let out = &mut std::io::stdout();
    match args.command {
        PricesCommand::List(args) => list(&args, settings, &home, out),
        PricesCommand::Update(args) => update(&args, settings, &home, out).await,
        PricesCommand::Diff(args) => diff(&args, settings, &home, out).await,
        PricesCommand::Owned { json } => owned::run(json, &settings.ledger, &home, out).await,
    }
}

/// Which models a list or a comparison is about.
fn list(
    args: &PricesListArgs,
    settings: &Settings,
    home: &Path,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let at_unix_ms = moment(args.at.as_deref())?;
    let Loaded { book, origin } = book_file::load(&book_file::file_in(home));
    if !args.all && args.model.is_none() {
        let priced = show::deployments(&book, &configured(settings), at_unix_ms);
        if args.json {
            let told = json!({"book": about(&book, &origin), "deployments": priced});
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
        }
        if priced.is_empty() {
            writeln!(
                out,
                "The configuration has no models. `freehold prices list --model NAME` looks into the \
                 price book."
            )?;
        } else {
            writeln!(out, "{}", show::table_of_deployments(&priced))?;
        }
        return Ok(writeln!(out, "\n{}", line_about(&book, &origin))?);
    }
    let listed = of_book(&book, args.model.as_deref(), at_unix_ms);
    if args.json {
        let told = json!({"book": about(&book, &origin), "models": listed});
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
    }
    match &args.model {
        Some(model) if listed.is_empty() => bail!(
            "the price book has no model with `{model}` in its name; `freehold prices update` fetches \
             a newer book, and `price` below a model in freehold.yaml is a price of your own"
        ),
        _ => writeln!(out, "{}", show::table_of_listed(&listed))?,
    }
    Ok(writeln!(out, "\n{}", line_about(&book, &origin))?)
}

/// Entries of the book, those with the text in their name when there is one.
fn of_book(book: &PriceBook, model: Option<&str>, at_unix_ms: u64) -> Vec<ListedPrice> {
    let wanted = model.map(str::to_lowercase);
    let named = |name: &str| match &wanted {
        Some(wanted) => name.to_lowercase().contains(wanted),
        None => true,
    };
    book.names()
        .filter(|(_, model)| named(model))
        .filter_map(|(provider, model)| {
            Some(ListedPrice {
                provider: provider.to_owned(),
                model: model.to_owned(),
                // What is not sold by the token is left out.
                prices: book.rates(provider, model, at_unix_ms).ok()?,
            })
        })
        .collect()
}

async fn update(
    args: &PricesUpdateArgs,
    settings: &Settings,
    home: &Path,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let path = book_file::file_in(home);
    if args.bundled {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        let book = PriceBook::bundled();
        if args.json {
            let told = json!({"stored": false, "book": about(&book, &Origin::Bundled)});
            return Ok(writeln!(out, "{told}")?);
        }
        return Ok(writeln!(out, "{}", line_about(&book, &Origin::Bundled))?);
    }
    let data = candidate(&args.source, settings).await?;
    let newer = book_file::book_of(&data).context("nothing was stored")?;
    let old = book_file::load(&path).book;
    let changes = changed(&old, &newer, settings, false)?;
    book_file::store(&path, &data)?;
    let origin = Origin::File(path.display().to_string());
    if args.json {
        let told = json!({"stored": true, "book": about(&newer, &origin), "changes": changes});
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
    }
    if !changes.is_empty() {
        writeln!(out, "{}\n", show::table_of_changes(&changes))?;
    }
    writeln!(out, "{}", line_about(&newer, &origin))?;
    Ok(writeln!(
        out,
        "Prices of {} configured models change. A running gateway takes them over within 10 seconds; \
         what was recorded keeps its price.",
        changes.len()
    )?)
}

async fn diff(
    args: &PricesDiffArgs,
    settings: &Settings,
    home: &Path,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let data = candidate(&args.source, settings).await?;
    let newer = book_file::book_of(&data)?;
    let old = book_file::load(&book_file::file_in(home)).book;
    let changes = changed(&old, &newer, settings, args.all)?;
    if args.json {
        let told = json!({"old": old.id(), "new": newer.id(), "changes": changes});
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
    }
    if changes.is_empty() {
        let which = if args.all {
            ""
        } else {
            " of the configuration's models"
        };
        return Ok(writeln!(out, "No price{which} changes today.")?);
    }
    Ok(writeln!(out, "{}", show::table_of_changes(&changes))?)
}

/// The text of a book that may take the place of the present one.
async fn candidate(source: &BookSource, settings: &Settings) -> anyhow::Result<Vec<u8>> {
    if let Some(file) = &source.file {
        return fetch::from_file(file);
    }
    if settings.policy.outside_up_to().is_none() {
        bail!(
            "nothing is fetched: the perimeter is sealed. Fetch {} elsewhere, and hand it over with \
             `--file FILE`",
            freehold_cost::BOOK_URL
        );
    }
    let url = source.url.as_deref().unwrap_or(freehold_cost::BOOK_URL);
    fetch::from_url(url).await
}

/// What changes today: for the configuration's models, or for all.
fn changed(
    old: &PriceBook,
    newer: &PriceBook,
    settings: &Settings,
    all: bool,
) -> anyhow::Result<Vec<BookChange>> {
    let at_unix_ms = moment(None)?;
    if all {
        return Ok(differences(old, newer, at_unix_ms));
    }
    let used: BTreeSet<(String, String)> = configured(settings)
        .into_iter()
        .filter_map(|deployment| match &deployment.price {
            PriceBasis::Listed { provider, model } => Some((provider.clone(), model.clone())),
            _ => None,
        })
        .collect();
    let changes = used.into_iter().filter_map(|(provider, model)| {
        let before = old.rates(&provider, &model, at_unix_ms).ok();
        let after = newer.rates(&provider, &model, at_unix_ms).ok();
        (before != after).then_some(BookChange {
            provider,
            model,
            before,
            after,
        })
    });
    Ok(changes.collect())
}

/// The models that the configuration names or knows.
fn configured(settings: &Settings) -> Vec<&Deployment> {
    let hosted = settings.hosted.iter().flat_map(|entry| &entry.deployments);
    let embedded = settings.embedded.iter().map(|entry| &entry.deployment);
    hosted.chain(embedded).collect()
}

fn moment(at: Option<&str>) -> anyhow::Result<u64> {
    let now = OffsetDateTime::now_utc();
    match at {
        Some(at) => time_range::parse(at, now),
        None => Ok(u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)),
    }
}

fn about(book: &PriceBook, origin: &Origin) -> serde_json::Value {
    let (providers, models) = book.size();
    json!({
        "id": book.id(),
        "origin": origin.to_string(),
        "providers": providers,
        "models": models,
    })
}

fn line_about(book: &PriceBook, origin: &Origin) -> String {
    let (providers, models) = book.size();
    format!(
        "Price book {}: {models} models of {providers} providers, {origin}.",
        book.id()
    )
}

#[cfg(test)]
mod tests;
