//! A part of a workload.

use crate::{FlowIndex, Workload};

/// Which requests to look at: all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Not before this moment, Unix milliseconds.
    pub since_unix_ms: Option<u64>,
    /// Before this moment, Unix milliseconds.
    pub until_unix_ms: Option<u64>,
    /// Only of these flows; of all when none is named.
    pub flows: Vec<String>,
}

/// Why nothing can be selected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSelection {
    /// Dates were asked for, and there are none.
    #[error(
        "the record counts time from its own beginning and has no dates: leave out --since and --until"
    )]
    NoDates,
    /// A flow that is not there.
    #[error("there is no flow `{asked}`; there are {known}")]
    NoFlow {
        /// What was asked for.
        asked: String,
        /// Some of those that are there.
        known: String,
    },
    /// Nothing is left.
    #[error("no request is left of {of} after --since, --until and --flow: loosen them")]
    Empty {
        /// How many there were.
        of: usize,
    },
}

impl Workload {
    /// The requests of a selection, in a window as long as the selection's. Flows, models, blocks and
    /// sessions keep their numbers.
    ///
    /// # Errors
    /// When there are no dates to select by, a flow is not there, or nothing is left.
    pub fn select(&self, selection: &Selection) -> Result<Self, BadSelection> {
        let mut wanted = Vec::new();
        for name in &selection.flows {
            let index = self.flows.iter().position(|flow| flow == name);
            let index = index.ok_or_else(|| BadSelection::NoFlow {
                asked: name.clone(),
                known: self
                    .flows
                    .iter()
                    .take(20)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            wanted.push(FlowIndex(u32::try_from(index).unwrap_or(u32::MAX)));
        }
        let (from_us, until_us) = self.cut(selection)?;
        let kept: Vec<usize> = (0..self.arrivals.len())
            .filter(|index| {
                let arrival = &self.arrivals[*index];
                (from_us..until_us).contains(&arrival.at_us)
                    && (wanted.is_empty() || wanted.contains(&arrival.flow))
            })
            .collect();
        if kept.is_empty() {
            return Err(BadSelection::Empty {
                of: self.arrivals.len(),
            });
        }
        let mut selected = self.picked(&kept);
        for arrival in &mut selected.arrivals {
            arrival.at_us -= from_us;
        }
        selected.duration_us = until_us.min(self.duration_us) - from_us;
        selected.began_unix_ms = self.began_unix_ms.map(|began| began + from_us / 1_000);
        Ok(selected)
    }

    /// The window to keep, microseconds since the beginning; the end is exclusive.
    fn cut(&self, selection: &Selection) -> Result<(u64, u64), BadSelection> {
        if selection.since_unix_ms.is_none() && selection.until_unix_ms.is_none() {
            return Ok((0, u64::MAX));
        }
        let began = self.began_unix_ms.ok_or(BadSelection::NoDates)?;
        let since = |unix_ms: u64| unix_ms.saturating_sub(began).saturating_mul(1_000);
        let from = selection.since_unix_ms.map_or(0, since);
        let until = selection.until_unix_ms.map_or(u64::MAX, since);
        if from >= until.min(self.duration_us) {
            return Err(BadSelection::Empty {
                of: self.arrivals.len(),
            });
        }
        Ok((from, until))
    }

    /// The requests of these indices, in this order, which must be that of time.
    pub(crate) fn picked(&self, indices: &[usize]) -> Self {
        let costs_nano_usd = if self.costs_nano_usd.is_empty() {
            Vec::new()
        } else {
            indices
                .iter()
                .map(|index| self.costs_nano_usd[*index])
                .collect()
        };
        Self {
            arrivals: indices.iter().map(|index| self.arrivals[*index]).collect(),
            costs_nano_usd,
            began_unix_ms: self.began_unix_ms,
            duration_us: self.duration_us,
            flows: self.flows.clone(),
            models: self.models.clone(),
            prefix_blocks: self.prefix_blocks.clone(),
            prefix_block_tokens: self.prefix_block_tokens,
            is_generated: self.is_generated,
        }
    }
}
