//! What data cannot tell: questions, answers, and what follows from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::assumptions::Assumptions;
use crate::candidate::Procurement;
use crate::error::PlanError;
use crate::input::Input;
use crate::range::Range;

/// One question with what may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Its name in answer files.
    pub key: &'static str,
    /// What is asked.
    pub text: &'static str,
    /// Why it is asked.
    pub why: &'static str,
    /// Name and meaning of each answer; the first is taken when nobody answers.
    pub choices: &'static [(&'static str, &'static str)],
}

/// All questions, the ones that can decide alone first.
pub const QUESTIONS: [Question; 10] = [
    Question {
        key: "sensitivity",
        text: "How sensitive is the most sensitive text that the models read?",
        why: "text that may not leave cannot be rented, whatever that costs",
        choices: &[
            (
                "internal",
                "internal; a processor under contract may see it",
            ),
            ("public", "public"),
            (
                "confidential",
                "confidential; a processor may see it with extra terms",
            ),
            ("restricted", "restricted; it must not leave our machines"),
        ],
    },
    Question {
        key: "residency",
        text: "Where must text be processed?",
        why: "a vendor without a region there is out",
        choices: &[
            ("anywhere", "anywhere"),
            ("vendor-region", "in a region that our vendors offer"),
            (
                "own-region",
                "in a region or country that our vendors do not offer",
            ),
            ("premises", "on our own premises"),
        ],
    },
    Question {
        key: "team",
        text: "Who would run it?",
        why: "people cost more than GPUs until the fleet is large",
        choices: &[
            ("some", "engineers who run other services, new to GPUs"),
            ("none", "nobody, and nobody will be hired"),
            (
                "experienced",
                "engineers who have run GPU inference in production",
            ),
        ],
    },
    Question {
        key: "budget",
        text: "What money is there?",
        why: "buying takes capital, committing takes certainty",
        choices: &[
            (
                "operating",
                "operating budget: rent by the hour or with a commitment",
            ),
            ("hourly", "only what can be stopped any month"),
            ("capital", "capital as well: machines can be bought"),
        ],
    },
    Question {
        key: "timeline",
        text: "When must it carry the traffic?",
        why: "building takes months",
        choices: &[
            ("months", "within some months"),
            ("weeks", "within weeks"),
            ("year", "within a year or later"),
        ],
    },
    Question {
        key: "core",
        text: "Is running models part of what sets you apart?",
        why: "what is core is worth a premium; what is not is a distraction",
        choices: &[
            ("no", "no: models are an ingredient"),
            ("yes", "yes: control over models is part of the product"),
        ],
    },
    Question {
        key: "quality",
        text: "What must the models be able to do?",
        why: "open models lag the best by months; on narrow tasks it rarely shows",
        choices: &[
            (
                "narrow",
                "narrow tasks that can be tested: extract, classify, summarise",
            ),
            ("general", "general chat and writing"),
            ("frontier", "the hardest reasoning or code there is"),
        ],
    },
    Question {
        key: "availability",
        text: "What if it is down for an hour?",
        why: "a spare replica and on-call cost money",
        choices: &[
            ("fallback", "traffic may fall back to an API"),
            ("wait", "work waits"),
            ("critical", "nothing may fall back, and it must not be down"),
        ],
    },
    Question {
        key: "pinning",
        text: "Must a model stay the same for long?",
        why: "vendors retire models; your own stay",
        choices: &[
            ("no", "no: newer is better"),
            ("yes", "yes: validated or fine-tuned models must not change"),
        ],
    },
    Question {
        key: "traffic",
        text: "How sure is the traffic?",
        why: "owned machines are paid for whether used or not",
        choices: &[
            ("steady", "it will be there next year, about as today"),
            ("trial", "a trial: it may stop"),
            ("launch", "a launch or fast growth is planned"),
        ],
    },
];

/// Answers by question; what is left out counts as the question's first choice and is reported so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Answers {
    given: BTreeMap<String, String>,
}

/// What follows from an answer, with the rule that says so and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conclusion {
    /// The rule's name; docs/advisor.md lists them.
    pub rule: &'static str,
    /// What follows.
    pub says: String,
    /// What it rests on: answers and measured figures.
    pub evidence: String,
    /// Whether it decides regardless of money.
    pub decides: bool,
}

/// What the answers say about the choice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) must_own: Option<&'static str>,
    pub(crate) must_rent: Option<&'static str>,
    pub(crate) no_other_host: bool,
}

impl Answers {
    /// Reads answers: `question: choice`, one a line.
    ///
    /// # Errors
    /// When the text does not read, or a question or choice is unknown.
    pub fn from_yaml(yaml: &str) -> Result<Self, PlanError> {
        let read: BTreeMap<String, String> =
            serde_saphyr::from_str(yaml).map_err(|error| PlanError::Malformed {
                what: "the answers".to_owned(),
                why: error.to_string(),
            })?;
        let mut answers = Self::default();
        for (key, choice) in read {
            answers.give(&key, &choice)?;
        }
        Ok(answers)
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When the question or the choice is unknown.
    pub fn give(&mut self, key: &str, choice: &str) -> Result<(), PlanError> {
        let malformed = |why: String| PlanError::Malformed {
            what: "the answers".to_owned(),
            why,
        };
        let Some(question) = QUESTIONS.iter().find(|question| question.key == key) else {
            let known: Vec<&str> = QUESTIONS.iter().map(|question| question.key).collect();
            let known = known.join(", ");
            return Err(malformed(format!(
                "no question is called {key}; there are {known}"
            )));
        };
        if !question.choices.iter().any(|(name, _)| *name == choice) {
            let choices: Vec<&str> = question.choices.iter().map(|(name, _)| *name).collect();
            let choices = choices.join(", ");
            return Err(malformed(format!(
                "{key}: `{choice}` is no answer; choose {choices}"
            )));
        }
        self.given.insert(key.to_owned(), choice.to_owned());
        Ok(())
    }

    /// The answer to a question; its first choice when nobody answered.
    #[must_use]
    pub fn of(&self, key: &str) -> &str {
        let question = QUESTIONS.iter().find(|question| question.key == key);
        let default = question.map_or("", |question| question.choices[0].0);
        self.given.get(key).map_or(default, String::as_str)
    }

    /// Whether somebody answered it.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// As an answer file, questions and choices as comments.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        for question in QUESTIONS {
            text.push_str(&format!("# {} ({})\n", question.text, question.why));
            for (name, meaning) in question.choices {
                text.push_str(&format!("#   {name}: {meaning}\n"));
            }
            // Quoted, because YAML readers disagree about what `no` is.
            text.push_str(&format!(
                "{}: \"{}\"\n",
                question.key,
                self.of(question.key)
            ));
        }
        text
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        if self.of("sensitivity") == "restricted" {
            bounds.must_own = Some("restricted-stays-inside");
        } else if matches!(self.of("residency"), "premises" | "own-region") {
            bounds.must_own = Some("residency");
        }
        if self.of("team") == "none" {
            bounds.must_rent = Some("nobody-to-run-it");
        } else if self.of("quality") == "frontier" {
            bounds.must_rent = Some("frontier-quality");
        } else if self.of("timeline") == "weeks" {
            bounds.must_rent = Some("no-time-to-build");
        } else if self.of("traffic") == "trial" {
            bounds.must_rent = Some("trial-traffic");
        }
        bounds.no_other_host = bounds.must_own.is_some();
        bounds
    }

    /// Ways to come by GPUs that the answers leave.
    pub(crate) fn procurements(&self) -> Vec<Procurement> {
        let premises = self.of("residency") == "premises";
        let all = Procurement::ALL.into_iter();
        all.filter(|way| match (way, self.of("budget")) {
            (Procurement::Buy, budget) => budget == "capital" || premises || !self.has("budget"),
            _ if premises => false,
            (Procurement::Reserved, "hourly") => false,
            (Procurement::Spot, _) => self.of("availability") != "critical",
            _ => true,
        })
        .collect()
    }

    /// Assumptions as the answers make them; the user's own stay as they are.
    pub(crate) fn adjusted(&self, assumptions: Assumptions) -> Result<Assumptions, PlanError> {
        let range = |low, base, high| Range { low, base, high };
        let mut changes = Vec::new();
        if self.of("team") == "experienced" {
            changes.push((Input::RunFte, range(0.1, 0.2, 0.5)));
            changes.push((Input::BuildMonths, range(0.5, 2.0, 4.0)));
        }
        if self.of("availability") == "critical" {
            changes.push((Input::OnCallUsdPerMonth, range(1_000.0, 2_500.0, 6_000.0)));
        }
        if self.of("quality") == "narrow" && self.has("quality") {
            changes.push((Input::FallbackPercent, range(0.0, 3.0, 10.0)));
        }
        if self.of("quality") == "frontier" {
            changes.push((Input::FallbackPercent, range(10.0, 30.0, 60.0)));
        }
        if self.of("traffic") == "launch" {
            changes.push((Input::GrowthPercentPerMonth, range(0.0, 4.0, 12.0)));
        }
        let mut adjusted = assumptions;
        for (input, range) in changes {
            if !adjusted.entries()[input as usize].is_own {
                adjusted = adjusted.with(input, range, "The interview's answers")?;
            }
        }
        Ok(adjusted)
    }
}

/// What was measured and goes with the answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) tokens_per_month: f64,
    pub(crate) api_usd_per_month: f64,
    pub(crate) peak_to_mean: f64,
    pub(crate) people_usd_per_month: f64,
    pub(crate) gpus: u32,
}

/// Conclusions of all rules that apply.
pub(crate) fn conclusions(answers: &Answers, measured: &Measured) -> Vec<Conclusion> {
    let mut told = deciding(answers);
    told.extend(weighing(answers, measured));
    told
}

fn answered(answers: &Answers, key: &str) -> String {
    let by_default = if answers.has(key) {
        ""
    } else {
        " (not answered, assumed)"
    };
    format!("{key}: {}{by_default}", answers.of(key))
}

/// Rules that decide regardless of money.
fn deciding(answers: &Answers) -> Vec<Conclusion> {
    let rules = [
        (
            "restricted-stays-inside",
            "sensitivity",
            "restricted",
            "Own it: restricted text must not leave.",
        ),
        (
            "residency",
            "residency",
            "premises",
            "Own it, on machines of your own: nothing may leave the premises.",
        ),
        (
            "residency",
            "residency",
            "own-region",
            "Own it, in that region: no vendor may process the text elsewhere.",
        ),
        (
            "nobody-to-run-it",
            "team",
            "none",
            "Rent: a service that nobody runs is not a saving.",
        ),
        (
            "frontier-quality",
            "quality",
            "frontier",
            "Rent the hardest part: open models lag there. Split off what is easier.",
        ),
        (
            "no-time-to-build",
            "timeline",
            "weeks",
            "Rent now and decide later: building takes longer than there is time.",
        ),
        (
            "trial-traffic",
            "traffic",
            "trial",
            "Rent until the traffic is there to stay.",
        ),
    ];
    let applies = rules
        .iter()
        .filter(|(_, key, choice, _)| answers.of(key) == *choice);
    let mut told: Vec<Conclusion> = applies
        .map(|(rule, key, _, says)| Conclusion {
            rule,
            says: (*says).to_owned(),
            evidence: answered(answers, key),
            decides: true,
        })
        .collect();
    let bounds = answers.bounds();
    if let (Some(own), Some(rent)) = (bounds.must_own, bounds.must_rent) {
        told.push(Conclusion {
            rule: "answers-conflict",
            says: "What must stay inside wins. Take away the other obstacle: hire, buy the running of it as a \
                   service on your own machines, or do without the model."
                .to_owned(),
            evidence: format!("{own} against {rent}"),
            decides: true,
        });
    }
    told
}

/// Rules that weigh answers against what was measured.
fn weighing(answers: &Answers, measured: &Measured) -> Vec<Conclusion> {
    let mut told = Vec::new();
    let mut say = |rule, says: String, evidence: String| {
        told.push(Conclusion {
            rule,
            says,
            evidence,
            decides: false,
        });
    };
    let api = measured.api_usd_per_month;
    if measured.people_usd_per_month > api {
        say(
            "people-cost-more-than-the-api",
            "The people alone who run it cost more than the whole API bill: money is no reason to own.".to_owned(),
            format!("people {:.0} USD a month, API {api:.0}", measured.people_usd_per_month),
        );
    }
    if measured.peak_to_mean > 3.0 {
        say(
            "bursty-traffic",
            "Bursts leave owned GPUs idle: rent the peaks, or own only the steady part.".to_owned(),
            format!("busiest span {:.1} times the mean", measured.peak_to_mean),
        );
    }
    if answers.of("core") == "yes" {
        say(
            "core-is-worth-a-premium",
            "Control is worth money to you: weigh the P50 loss, if any, as its price.".to_owned(),
            answered(answers, "core"),
        );
    }
    if answers.of("pinning") == "yes" {
        say(
            "pinned-models",
            "Vendors retire models on their own dates: own or rent open weights where a model must not change."
                .to_owned(),
            answered(answers, "pinning"),
        );
    }
    if answers.of("budget") == "capital" && measured.gpus < 4 {
        say(
            "too-small-to-buy",
            "So few GPUs are better rented: boards are sold in lots, and one failure takes a large part.".to_owned(),
            format!("{} GPUs at today's traffic; {}", measured.gpus, answered(answers, "budget")),
        );
    }
    if answers.of("availability") == "critical" {
        say(
            "no-fallback",
            "Plan a spare replica and on-call; spot GPUs are out.".to_owned(),
            answered(answers, "availability"),
        );
    }
    let million_a_day = measured.tokens_per_month / 30.44 / 1e6;
    if answers.of("team") == "some" && million_a_day < 10.0 {
        say(
            "learn-on-something-small",
            "At this volume owning teaches more than it saves: try it on one flow.".to_owned(),
            format!(
                "{million_a_day:.1} million tokens a day; {}",
                answered(answers, "team")
            ),
        );
    }
    told
}

#[cfg(test)]
#[path = "interview_tests.rs"]
mod tests;
