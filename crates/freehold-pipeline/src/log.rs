//! The attempts of one request, written down as they happen, so that none is lost however the
//! request ends.

use std::time::Duration;

use freehold_types::outcome::ErrorSummary;
use freehold_types::{
    AttemptRecord, Deployment, DeploymentId, Error, ErrorKind, NanoUsd, Request, Usage,
};
use parking_lot::Mutex;

use crate::accounting::{Accounting, Ended, UnderWay};
use crate::draft::total_cost;
use crate::snapshot::Snapshot;
use crate::tally::Tally;

/// Names one attempt in its [`AttemptLog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttemptNumber(usize);

impl AttemptNumber {
    /// Its place in the outcome's attempts.
    pub(crate) const fn place(self) -> usize {
        self.0
    }
}

/// All attempts of one request. Shared by attempts that race.
#[derive(Debug, Default)]
pub(crate) struct AttemptLog {
    attempts: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    record: AttemptRecord,
    /// What has to be given back when it ends.
    under_way: Option<UnderWay>,
}

/// How an attempt ended.
#[derive(Clone, Copy)]
pub(crate) struct Settled<'a> {
    pub(crate) at: Duration,
    pub(crate) error: Option<&'a Error>,
    pub(crate) usage: Usage,
}

impl AttemptLog {
    /// Writes down that an attempt begins, `at` after admission.
    pub(crate) fn open(
        &self,
        deployment: &Deployment,
        under_way: UnderWay,
        at: Duration,
    ) -> AttemptNumber {
        let mut attempts = self.attempts.lock();
        attempts.push(Entry {
            record: AttemptRecord {
                deployment: deployment.id.clone(),
                backend: deployment.backend.clone(),
                reported_model: None,
                perimeter: deployment.site.perimeter,
                region: deployment.site.region.clone(),
                started_us: micros(at),
                duration_us: 0,
                first_token_us: None,
                error: None,
                usage: Usage::default(),
                cost: None,
            },
            under_way: Some(under_way),
        });
        AttemptNumber(attempts.len() - 1)
    }

    /// Writes down when the first piece of content came.
    pub(crate) fn first_token(&self, number: AttemptNumber, at: Duration) {
        if let Some(entry) = self.attempts.lock().get_mut(number.0) {
            let record = &mut entry.record;
            record
                .first_token_us
                .get_or_insert(micros(at).saturating_sub(record.started_us));
        }
    }

    /// When its first piece of content came, after admission; `None` while none has come.
    pub(crate) fn first_token_at(&self, number: AttemptNumber) -> Option<Duration> {
        let attempts = self.attempts.lock();
        let record = &attempts.get(number.0)?.record;
        let first_token_us = record.first_token_us?;
        Some(Duration::from_micros(
            record.started_us.saturating_add(first_token_us),
        ))
    }

    /// Closes an attempt: settles its accounts and writes down how it ended. Only the first end
    /// counts.
    pub(crate) fn settle(
        &self,
        accounting: &Accounting,
        deployment: &Deployment,
        number: AttemptNumber,
        tally: &Tally,
        end: Settled<'_>,
    ) {
        // First of all, so that nothing can go wrong between what is taken and its being given back.
        let now = accounting.now();
        let mut attempts = self.attempts.lock();
        let Some(entry) = attempts.get_mut(number.0) else {
            return;
        };
        let Some(under_way) = entry.under_way.take() else {
            return;
        };
        let record = &mut entry.record;
        record.duration_us = micros(end.at).saturating_sub(record.started_us);
        let ended = Ended {
            deployment,
            error: end.error,
            usage: end.usage,
            first_token: record.first_token_us.map(Duration::from_micros),
            duration: Duration::from_micros(record.duration_us),
        };
        let cost = accounting.end(under_way, &ended, now);
        record.reported_model = tally.model().map(|model| model.chars().take(128).collect());
        record.error = end.error.map(ErrorSummary::from);
        record.usage = end.usage;
        record.cost = cost;
    }

    /// Closes every attempt that is still open, but for one: they were dropped by the winner of a
    /// race, or by the client. What they were sent may be billed all the same.
    pub(crate) fn settle_open(
        &self,
        accounting: &Accounting,
        snapshot: &Snapshot,
        except: Option<AttemptNumber>,
        end: Settled<'_>,
    ) {
        let open: Vec<_> = {
            let attempts = self.attempts.lock();
            (0..)
                .map(AttemptNumber)
                .zip(attempts.iter())
                .filter(|(number, entry)| entry.under_way.is_some() && Some(*number) != except)
                .map(|(number, entry)| (number, entry.record.deployment.clone()))
                .collect()
        };
        for (number, id) in open {
            if let Some(deployment) = snapshot.deployment(&id) {
                self.settle(accounting, &deployment, number, &Tally::default(), end);
            }
        }
    }

    /// Time of the first attempt's begin after admission.
    pub(crate) fn first_began(&self) -> Option<Duration> {
        let attempts = self.attempts.lock();
        attempts
            .first()
            .map(|entry| Duration::from_micros(entry.record.started_us))
    }

    /// How many attempts were begun.
    pub(crate) fn len(&self) -> usize {
        self.attempts.lock().len()
    }

    /// The deployment that was tried last.
    pub(crate) fn last_deployment(&self) -> Option<DeploymentId> {
        self.attempts
            .lock()
            .last()
            .map(|entry| entry.record.deployment.clone())
    }

    /// What all attempts cost; `None` when any part of it is unknown.
    pub(crate) fn cost(&self) -> Option<NanoUsd> {
        let attempts = self.attempts.lock();
        total_cost(attempts.iter().map(|entry| &entry.record))
    }

    /// What its attempts have cost, or could where they are under way or nobody knows: `most` tells
    /// how much that is at a deployment.
    pub(crate) fn at_most(&self, most: impl Fn(&DeploymentId) -> NanoUsd) -> NanoUsd {
        let attempts = self.attempts.lock();
        let costs = attempts.iter().map(|entry| match entry.record.cost {
            Some(cost) if entry.under_way.is_none() => cost.total,
            _ => most(&entry.record.deployment),
        });
        costs.sum()
    }

    /// The records, in order.
    pub(crate) fn records(&self) -> Vec<AttemptRecord> {
        self.attempts
            .lock()
            .iter()
            .map(|entry| entry.record.clone())
            .collect()
    }
}

/// The error of an attempt that somebody stopped.
pub(crate) fn stopped(why: &str) -> Error {
    Error::new(ErrorKind::Cancelled, why)
}

/// An attempt that was dropped before its answer began: what was sent may be billed all the same.
pub(crate) fn usage_of_unanswered(request: &Request) -> Usage {
    Tally::default().usage(request)
}

/// Whole microseconds, saturating.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
