//! What traffic would be like: more of it, less, in bursts, over a week.
//!
//! Requests are kept, dropped and copied in groups, never one by one: a group is a conversation where
//! the record tells conversations, else the requests that share blocks of input that few others have.
//! So what is left still finds in a cache what it would have found, and no conversation loses turns.
//!
//! - **Less** (thinning): each group stays with the probability that is asked for.
//! - **More** (superposition): whole copies of the record are laid over it. Each is turned by up to
//!   half an hour (its end comes in again at its beginning), so that bursts of the copies do not fall
//!   on each other; a conversation across the seam is cut in two. Copies are other people: their
//!   conversations have other numbers, and their own blocks other ids. Blocks that many requests have
//!   in common (instructions, shared documents) stay the same, because they would be the same.
//! - What varies with time decides by the moment at which a group begins.
//!
//! Same workload, scenario and seed: same result.

mod groups;
mod profile;

use std::collections::HashMap;
use std::str::FromStr;

pub use profile::Profile;

use self::groups::Groups;
use crate::import::gather::{random, unit};
use crate::statistics::{DAY_US, HOUR_US, WEEK_HOURS, hour_of_week_at, real};
use crate::{NO_SESSION, PrefixRange, Workload};

/// Copies are turned by at most so much.
const TURN_US_MAX: u64 = HOUR_US / 2;
/// Volumes beyond this factor are a mistake.
const FACTOR_MAX: f64 = 10_000.0;

/// What traffic is changed into.
#[derive(Clone, Debug, PartialEq)]
pub enum Scenario {
    /// So many times the volume: `x10`, `x0.1`, `-90%`, `+20%`.
    Scale(f64),
    /// A burst: after a tenth of the record the volume rises to so many times itself, within a
    /// twentieth of the record, and of what is more, half is gone after each further 15 %: `launch=5`.
    Launch(f64),
    /// The volume after so many months of growth, such as 0.1 for a tenth more each month:
    /// `growth=10%x12`.
    Growth {
        /// What is added each month, of 1.
        per_month: f64,
        /// How many months.
        months: f64,
    },
    /// The same volume, weighted by the hour of the week: `season=office`.
    Season(Profile),
    /// A week, made of a record of any length by laying it end to end, weighted by the hour of the
    /// week: `week=office`.
    Week(Profile),
}

/// Why a scenario makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScenario {
    /// It cannot be read.
    #[error(
        "`{text}` is no scenario: write x10, -90%, +20%, launch=5, growth=10%x12, season=office or \
         week=office (office, consumer, flat, or 24 or 168 numbers with commas between)"
    )]
    Unknown {
        /// What was written.
        text: String,
    },
    /// A factor that no traffic can have.
    #[error("{what} must be more than 0 and at most {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// The most.
        max: u32,
    },
    /// Hours of the week need dates.
    #[error(
        "the record has no dates, so its hours have no place in a week: use week=… instead of \
         season=…"
    )]
    NoDates,
    /// More than memory should hold.
    #[error(
        "that would be more than {max} requests: take a smaller factor, or a share of the record with \
         --share 0.1"
    )]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// Nothing is left.
    #[error("no request is left of {of}: take a larger factor or a longer record")]
    Empty {
        /// How many there were.
        of: usize,
    },
}

impl FromStr for Scenario {
    type Err = BadScenario;

    fn from_str(text: &str) -> Result<Self, BadScenario> {
        let unknown = || BadScenario::Unknown {
            text: text.to_owned(),
        };
        let number = |text: &str| {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
        };
        let percent = |text: &str| Some(number(text.strip_suffix('%')?)? / 100.0);
        let text = text.trim();
        let scenario = if let Some(factor) = text.strip_prefix(['x', 'X']) {
            number(factor).map(Self::Scale)
        } else if text.starts_with(['-', '+']) {
            percent(text).map(|change| Self::Scale(1.0 + change))
        } else if let Some(peak) = text.strip_prefix("launch=") {
            number(peak).map(Self::Launch)
        } else if let Some(growth) = text.strip_prefix("growth=") {
            growth.split_once('x').and_then(|(rate, months)| {
                Some(Self::Growth {
                    per_month: percent(rate)?,
                    months: number(months)?,
                })
            })
        } else if let Some(profile) = text.strip_prefix("season=") {
            profile.parse().ok().map(Self::Season)
        } else if let Some(profile) = text.strip_prefix("week=") {
            profile.parse().ok().map(Self::Week)
        } else {
            None
        };
        let scenario = scenario.ok_or_else(unknown)?;
        scenario.check()?;
        Ok(scenario)
    }
}

/// How often what comes at a moment shall come, at most so often.
struct Weights<'a> {
    times_at: &'a dyn Fn(u64) -> f64,
    most: f64,
}

impl Scenario {
    fn check(&self) -> Result<(), BadScenario> {
        let range = |what, number: f64, max: u32| {
            if number > 0.0 && number <= f64::from(max) {
                Ok(())
            } else {
                Err(BadScenario::Range { what, max })
            }
        };
        match self {
            Self::Scale(factor) => range("the factor", *factor, 10_000),
            Self::Launch(peak) => range("the peak", *peak, 10_000),
            Self::Growth { per_month, months } => {
                range("the months", *months, 1_200)?;
                range("the volume after one month", 1.0 + per_month, 100)?;
                range(
                    "the volume in the end",
                    (1.0 + per_month).powf(*months),
                    10_000,
                )
            }
            Self::Season(_) | Self::Week(_) => Ok(()),
        }
    }

    /// The workload that would be, of at most so many requests, and a sentence on how it was made.
    ///
    /// # Errors
    /// When the scenario makes no sense for this workload, or too much of it.
    pub fn apply(
        &self,
        workload: &Workload,
        seed: u64,
        requests_max: usize,
    ) -> Result<(Workload, String), BadScenario> {
        self.check()?;
        let one = |times_at: &dyn Fn(u64) -> f64, most: f64| {
            weave(
                workload,
                (1, workload.duration_us, workload.began_unix_ms),
                &Weights { times_at, most },
                seed,
                requests_max,
            )
        };
        match self {
            Self::Scale(factor) => {
                let made = one(&|_| *factor, *factor)?;
                Ok((
                    made,
                    format!("Scenario: {factor} times the volume{}", how(*factor)),
                ))
            }
            Self::Growth { per_month, months } => {
                let factor = (1.0 + per_month).powf(*months);
                let made = one(&|_| factor, factor)?;
                let percent = per_month * 100.0;
                let told = format!(
                    "Scenario: {months} months of {percent} % growth, {factor:.3} times the volume{}",
                    how(factor)
                );
                Ok((made, told))
            }
            Self::Launch(peak) => {
                let length = real(workload.duration_us.max(1));
                let made = one(&|at_us| launch(*peak, real(at_us) / length), peak.max(1.0))?;
                let told = format!(
                    "Scenario: a launch with {peak} times the volume at its peak{}",
                    how(*peak)
                );
                Ok((made, told))
            }
            Self::Season(profile) => season(profile, workload, one),
            Self::Week(profile) => week(profile, workload, seed, requests_max),
        }
    }
}

fn how(factor: f64) -> &'static str {
    if factor > 1.0 {
        ": copies of the record were laid over it, as other people with the same shared prompts."
    } else {
        ": whole conversations were left out at random."
    }
}

/// How many times the volume, at a moment from 0 to 1 of the record.
fn launch(peak: f64, at: f64) -> f64 {
    let (begin, ramp, half_life) = (0.10, 0.05, 0.15);
    let more = peak - 1.0;
    if at < begin {
        1.0
    } else if at < begin + ramp {
        1.0 + more * (at - begin) / ramp
    } else {
        1.0 + more * 0.5_f64.powf((at - begin - ramp) / half_life)
    }
}

fn season(
    profile: &Profile,
    workload: &Workload,
    weave: impl Fn(&dyn Fn(u64) -> f64, f64) -> Result<Workload, BadScenario>,
) -> Result<(Workload, String), BadScenario> {
    let began_us = workload.began_unix_ms.ok_or(BadScenario::NoDates)? * 1_000;
    let mean = profile.mean_between(began_us, began_us + workload.duration_us);
    let times_at = |at_us: u64| profile.weight(hour_of_week_at(began_us + at_us)) / mean;
    let made = weave(&times_at, profile.most() / mean)?;
    let told = format!(
        "Scenario: weighted by the hour of the week ({profile}), on top of what the record's own hours \
         are."
    );
    Ok((made, told))
}

fn week(
    profile: &Profile,
    workload: &Workload,
    seed: u64,
    requests_max: usize,
) -> Result<(Workload, String), BadScenario> {
    let week_us = WEEK_HOURS as u64 * HOUR_US;
    let own_us = workload.duration_us.max(1);
    let (mean, place, began) = match workload.began_unix_ms {
        Some(began_ms) => {
            let began_us = began_ms * 1_000;
            let mean = profile.mean_between(began_us, began_us + own_us);
            let told = format!("whose own hours have {mean:.2} of the week's mean in it");
            // Monday 0:00 of its week.
            let since_monday = (began_us / HOUR_US + 72) % WEEK_HOURS as u64 * HOUR_US;
            let monday_us = (began_us / HOUR_US * HOUR_US).saturating_sub(since_monday);
            (mean, told, Some(monday_us / 1_000))
        }
        None => (1.0, "taken for an average hour".to_owned(), None),
    };
    let times_at = |at_us: u64| profile.weight(hour_of_week_at(at_us + 4 * DAY_US)) / mean;
    let made = weave(
        workload,
        (week_us.div_ceil(own_us), week_us, began),
        &Weights {
            times_at: &times_at,
            most: profile.most() / mean,
        },
        seed,
        requests_max,
    )?;
    let told = format!(
        "Scenario: a week made of {:.2} hours by laying them end to end, weighted by the hour of the \
         week ({profile}); the record is {place}. It is no record of a week.",
        real(own_us) / real(HOUR_US)
    );
    Ok((made, told))
}

/// One copy of the record being laid down.
struct Copy<'a> {
    source: &'a Workload,
    groups: &'a Groups,
    /// What the result began with, and how long a copy is.
    base_us: u64,
    turn_us: u64,
    /// Whether conversations and blocks are those of the record.
    is_original: bool,
    sessions: HashMap<(u32, bool), u32>,
    blocks: HashMap<u64, u64>,
}

/// What is being made.
struct Made {
    /// Moment, index of the source's arrival, session, blocks.
    arrivals: Vec<(u64, u32, u32, PrefixRange)>,
    blocks: Vec<u64>,
    next_session: u32,
    next_block: u64,
}

impl Made {
    /// Nothing yet, with the source's blocks.
    fn of(source: &Workload) -> Self {
        let sessions = source.arrivals.iter().map(|arrival| arrival.session);
        let last_session = sessions.filter(|session| *session != NO_SESSION).max();
        Self {
            arrivals: Vec::new(),
            blocks: source.prefix_blocks.clone(),
            next_session: last_session.map_or(0, |last| last.saturating_add(1)),
            next_block: source
                .prefix_blocks
                .iter()
                .max()
                .map_or(0, |last| last.wrapping_add(1)),
        }
    }
}

/// Lays copies of the source over each other and end to end.
fn weave(
    source: &Workload,
    (tiles, duration_us, began_unix_ms): (u64, u64, Option<u64>),
    weights: &Weights<'_>,
    seed: u64,
    requests_max: usize,
) -> Result<Workload, BadScenario> {
    let too_many = || BadScenario::TooMany { max: requests_max };
    if !(weights.most > 0.0 && weights.most <= FACTOR_MAX) {
        return Err(too_many());
    }
    let groups = Groups::of(source);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 to 10,000"
    )]
    let layers = weights.most.ceil() as u64;
    let mut made = Made::of(source);
    for tile in 0..tiles {
        for layer in 0..layers {
            let number = tile * layers + layer;
            let mut random = random(seed, number);
            let draws: Vec<f64> = (0..groups.count).map(|_| unit(&mut random)).collect();
            let turn = unit(&mut random);
            let turn_us = if number == 0 {
                0
            } else {
                turn_us(source, tiles, turn)
            };
            let mut copy = Copy {
                source,
                groups: &groups,
                base_us: tile * source.duration_us,
                turn_us,
                is_original: number == 0,
                sessions: HashMap::new(),
                blocks: HashMap::new(),
            };
            copy.lay(&mut made, duration_us, |group, starts_us| {
                let times = (weights.times_at)(starts_us) - real(layer);
                draws[group as usize] < times
            });
            if made.arrivals.len() > requests_max || u32::try_from(made.blocks.len()).is_err() {
                return Err(too_many());
            }
        }
    }
    if made.arrivals.is_empty() {
        return Err(BadScenario::Empty {
            of: source.arrivals.len(),
        });
    }
    made.arrivals.sort_by_key(|(at_us, ..)| *at_us);
    let is_generated = source.is_generated || tiles > 1 || weights.most > 1.0;
    Ok(finished(
        source,
        made,
        (duration_us, began_unix_ms, is_generated),
    ))
}

/// By how much a copy is turned: by a part of half an hour, or of all where the record is laid end to
/// end.
fn turn_us(source: &Workload, tiles: u64, part: f64) -> u64 {
    let most_us = if tiles > 1 {
        source.duration_us
    } else {
        TURN_US_MAX.min(source.duration_us)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part"
    )]
    let turn_us = (part * real(most_us)) as u64;
    turn_us
}

fn finished(
    source: &Workload,
    made: Made,
    (duration_us, began_unix_ms, is_generated): (u64, Option<u64>, bool),
) -> Workload {
    let costs_nano_usd = if source.costs_nano_usd.is_empty() {
        Vec::new()
    } else {
        let indices = made.arrivals.iter().map(|(_, index, ..)| *index as usize);
        indices.map(|index| source.costs_nano_usd[index]).collect()
    };
    let arrivals = made.arrivals.iter().map(|(at_us, index, session, prefix)| {
        let mut arrival = source.arrivals[*index as usize];
        arrival.at_us = *at_us;
        arrival.session = *session;
        arrival.prefix = *prefix;
        arrival
    });
    Workload {
        began_unix_ms,
        duration_us,
        arrivals: arrivals.collect(),
        flows: source.flows.clone(),
        models: source.models.clone(),
        costs_nano_usd,
        prefix_blocks: made.blocks,
        prefix_block_tokens: source.prefix_block_tokens,
        is_generated,
    }
}

impl Copy<'_> {
    /// Lays down the groups that are wanted.
    fn lay(&mut self, made: &mut Made, duration_us: u64, wanted: impl Fn(u32, u64) -> bool) {
        let length_us = self.source.duration_us.max(1);
        let turned = |at_us: u64| {
            let turned = at_us + self.turn_us;
            if turned < length_us || self.turn_us == 0 {
                (self.base_us + turned, false)
            } else {
                (self.base_us + turned - length_us, true)
            }
        };
        let is_wanted: Vec<bool> = self
            .groups
            .starts_us
            .iter()
            .zip(0..)
            .map(|(starts_us, group)| wanted(group, turned(*starts_us).0))
            .collect();
        let mut placed = Vec::new();
        for (index, arrival) in self.source.arrivals.iter().enumerate() {
            let group = self.groups.of_arrival[index];
            let (at_us, is_round) = turned(arrival.at_us);
            if is_wanted[group as usize] && at_us <= duration_us {
                placed.push((at_us, index, is_round));
            }
        }
        for (at_us, index, is_round) in placed {
            let arrival = &self.source.arrivals[index];
            let session = self.session(arrival.session, is_round, made);
            let prefix = self.prefix(arrival.prefix, made);
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            made.arrivals.push((at_us, index, session, prefix));
        }
    }

    fn session(&mut self, session: u32, is_round: bool, made: &mut Made) -> u32 {
        if session == NO_SESSION || self.is_original {
            return session;
        }
        *self.sessions.entry((session, is_round)).or_insert_with(|| {
            let number = made.next_session;
            made.next_session = made.next_session.saturating_add(1);
            number
        })
    }

    fn prefix(&mut self, prefix: PrefixRange, made: &mut Made) -> PrefixRange {
        if prefix.length == 0 || self.is_original {
            return prefix;
        }
        let start = made.blocks.len();
        for index in prefix.start..prefix.start + prefix.length {
            let id = self.source.prefix_blocks[index as usize];
            let id = if self.groups.is_common(id) {
                id
            } else {
                *self.blocks.entry(id).or_insert_with(|| {
                    let next = made.next_block;
                    made.next_block = made.next_block.wrapping_add(1);
                    next
                })
            };
            made.blocks.push(id);
        }
        PrefixRange {
            // Checked after each copy.
            start: u32::try_from(start).unwrap_or(u32::MAX),
            length: prefix.length,
        }
    }
}
