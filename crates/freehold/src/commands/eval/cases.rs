//! The questions that results are answers to: results hold none.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use freehold_proof::dataset::{DataSet, read};

use super::record::Results;

/// The cases of a run, from its data set: the whole, or the sample that was asked.
pub(super) fn of(results: &Results, dataset: Option<&Path>) -> Result<DataSet> {
    let head = &results.head;
    let path = dataset.unwrap_or(Path::new(&head.dataset));
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {name}: name the data set with --dataset"))?;
    let whole = read(&text, None)
        .with_context(|| format!("{name} is no data set"))?
        .set;
    if whole.version()? == head.version {
        return Ok(whole);
    }
    let ids: BTreeSet<&str> = results.lines.keys().map(String::as_str).collect();
    let asked = whole.only(&ids);
    let sampled = head
        .settings
        .seed
        .map(|seed| whole.sample(head.cases, seed));
    for set in [asked, sampled].into_iter().flatten() {
        if set.version()? == head.version {
            return Ok(set);
        }
    }
    bail!(
        "{name} is not what these results are answers to: name the data set as it was with --dataset"
    )
}
