//! What an answer shows: its score beside the other side's, and what guards look at. Pure.

use std::sync::LazyLock;
use std::time::Duration;

use freehold_pipeline::{Ended, Mirrored, Watched};
use freehold_proof::Score;
use freehold_proof::dataset::Case;
use freehold_proof::rollout::{Guard, Order, Seen, Strata};
use freehold_proof::scorers::{Outcome, Scorer, ScorerSpec};
use freehold_types::request::ResponseFormat;
use freehold_types::{
    Error, ErrorKind, FinishReason, NanoUsd, Part, Request, Response, Role, RolloutSide,
};
use regex::Regex;
use serde_json::{Value, json};

use crate::strata;

/// How refusals begin, in lower case. A guess: what is common in English.
static REFUSAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^(i['’]?m (very |so |really )?sorry,? (but )?|unfortunately,? |i apologi[sz]e,? (but )?)?(i (can['’]?t|cannot|can not|am unable to|am not able to|won['’]?t|will not)|i['’]?m (unable|not able) to|as an ai\b).{0,40}\b(help|assist|provide|comply|answer|fulfil|do that|create|generate|continue|discuss|support)",
    )
    .ok()
});

/// What an agent's request shows of the side that serves its conversation.
pub(crate) fn work(order: &Order, seen: &Watched) -> Seen {
    let rule = order.guards.rule(Guard::Agents);
    let good = rule.and_then(|_| seen.agent.is_good());
    good.into_iter()
        .map(|is_good| (Guard::Agents, Score::of(is_good)))
        .collect()
}

/// A request that both sides answered, scored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) stratum: String,
    pub(crate) incumbent: Score,
    pub(crate) candidate: Score,
}

/// Why a sampled request has no score.
pub(crate) type Skipped = &'static str;

/// One side of a request.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    /// Its answer; `None` when it failed.
    answer: Option<&'a Response>,
    total: Duration,
    cost: Option<NanoUsd>,
}

/// What clients' side showed. `None` when nothing follows from it: the client left.
pub(crate) fn served(seen: &Watched) -> Option<Side<'_>> {
    let side = |answer| Side {
        answer,
        total: seen.total,
        cost: seen.cost,
    };
    match seen.ended {
        _ if seen.failed => Some(side(None)),
        Ended::Complete => Some(side(seen.answer.as_ref())),
        Ended::Failed => Some(side(None)),
        Ended::Left => None,
    }
}

/// What the other side showed. `None` when it was not to be asked: policy, or a need that it lacks.
fn mirrored(mirrored: &Mirrored) -> Option<Side<'_>> {
    match &mirrored.answer {
        Ok(answer) => Some(Side {
            answer: Some(answer),
            total: mirrored.total,
            cost: mirrored.cost,
        }),
        Err(error) if is_not_to_blame(error) => None,
        Err(_) => Some(Side {
            answer: None,
            total: mirrored.total,
            cost: mirrored.cost,
        }),
    }
}

/// Whether an error says that the request was not for this side, or that the gateway ends.
fn is_not_to_blame(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::PolicyRefused
            | ErrorKind::Unsupported
            | ErrorKind::ContextOverflow
            | ErrorKind::PermissionDenied
            | ErrorKind::Cancelled
            | ErrorKind::Internal
    )
}

/// What guards look at.
pub(crate) fn signals(order: &Order, request: &Request, side: Side<'_>) -> Seen {
    let mut seen = Seen::new();
    let guards = &order.guards;
    let mut put = |guard: Guard, is_good: bool| {
        if guards.rule(guard).is_some() {
            seen.insert(guard, Score::of(is_good));
        }
    };
    put(Guard::Errors, side.answer.is_some());
    let limit = |guard: Guard| guards.rule(guard).and_then(|rule| rule.limit);
    if let Some(limit_ms) = limit(Guard::Latency) {
        let is_fast = side.total.as_secs_f64() * 1_000.0 <= limit_ms;
        put(Guard::Latency, side.answer.is_some() && is_fast);
    }
    if let (Some(limit_usd), Some(cost)) = (limit(Guard::Cost), side.cost) {
        put(Guard::Cost, cost.usd() <= limit_usd);
    }
    if let Some(answer) = side.answer {
        put(Guard::Refusals, !is_refusal(answer));
        if let Some(is_valid) = fits_schema(request, answer) {
            put(Guard::Schema, is_valid);
        }
    }
    seen
}

/// What guards see of both sides, and the scores.
pub(crate) struct Compared {
    /// Of the incumbent and of the candidate, where both were asked.
    pub(crate) signals: Option<(Seen, Seen)>,
    pub(crate) pair: Result<Pair, Skipped>,
}

/// What both sides of a request said, and what guards see of them.
pub(crate) struct Both {
    /// Of the incumbent and of the candidate.
    pub(crate) signals: (Seen, Seen),
    /// The part that the pair is judged in.
    pub(crate) stratum: String,
    incumbent_failed: bool,
    /// `None` when it failed or said nothing.
    pub(crate) incumbent: Option<String>,
    pub(crate) candidate: Option<String>,
}

impl Both {
    /// What both said, or why there is nothing to compare.
    pub(crate) fn of(order: &Order, seen: &Watched, other: &Mirrored) -> Result<Self, Skipped> {
        let clients = served(seen).ok_or("the client left")?;
        let others = mirrored(other).ok_or("the other side may not or cannot answer it")?;
        let (incumbent, candidate) = match seen.side {
            RolloutSide::Incumbent => (clients, others),
            RolloutSide::Candidate => (others, clients),
        };
        let request = &seen.request;
        Ok(Self {
            signals: (
                signals(order, request, incumbent),
                signals(order, request, candidate),
            ),
            stratum: stratum(&order.strata, seen),
            incumbent_failed: incumbent.answer.is_none(),
            incumbent: incumbent.answer.and_then(said),
            candidate: candidate.answer.and_then(said),
        })
    }
}

/// Compares both sides of a request by a scorer that asks nobody.
pub(crate) fn compare(
    order: &Order,
    scorer: &Scorer,
    seen: &Watched,
    other: &Mirrored,
) -> Compared {
    match Both::of(order, seen, other) {
        Ok(both) => Compared {
            pair: pair(order, scorer, &both),
            signals: Some(both.signals),
        },
        Err(reason) => Compared {
            signals: None,
            pair: Err(reason),
        },
    }
}

fn pair(order: &Order, scorer: &Scorer, both: &Both) -> Result<Pair, Skipped> {
    let agreement = order.scorer.measures_agreement();
    let incumbent = match &both.incumbent {
        None if agreement && both.incumbent_failed => return Err("the incumbent failed"),
        None if agreement => return Err("the incumbent said nothing that can be scored"),
        text => text,
    };
    let case = case_of(incumbent.as_deref().unwrap_or_default());
    let score = |text: Option<&str>| match text.map(|text| scorer.score(&case, text)) {
        Some(Outcome::Scored { score, .. }) => Ok(score),
        Some(Outcome::Skipped { .. }) => Err("the scorer does not apply"),
        Some(Outcome::Failed { .. }) => Err("the scorer failed"),
        // Who fails, or says nothing, is as wrong as can be: leaving those out would flatter it.
        None => Ok(Score::of(false)),
    };
    let mut incumbent_score = score(incumbent.as_deref())?;
    if agreement {
        // It agrees with itself; that the scorer applies at all was asked.
        incumbent_score = Score::of(true);
    }
    let candidate_score = score(both.candidate.as_deref())?;
    Ok(Pair {
        stratum: both.stratum.clone(),
        incumbent: incumbent_score,
        candidate: candidate_score,
    })
}

fn stratum(strata: &Strata, seen: &Watched) -> String {
    let difficulty = strata::difficulty(seen.difficulty);
    match strata {
        Strata::None => "all".to_owned(),
        Strata::Difficulty => difficulty.to_owned(),
        Strata::Languages(languages) => language(languages, &seen.request),
        Strata::DifficultyAndLanguages(languages) => {
            format!("{}/{difficulty}", language(languages, &seen.request))
        }
    }
}

/// The language of what the user said last, if it is one of these and can be told.
fn language(languages: &[String], request: &Request) -> String {
    let mut users = request.messages.iter().rev();
    let last = users.find(|message| message.role == Role::User);
    let texts = last
        .map(|message| message.parts.iter())
        .into_iter()
        .flatten();
    let texts = texts.filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    let code = strata::language(&texts.collect::<String>());
    let known = languages.iter().find(|one| Some(one.as_str()) == code);
    known.map_or_else(|| "other".to_owned(), Clone::clone)
}

/// The incumbent's answer as what is expected: as a text, and where it is JSON or a number, as that.
fn case_of(incumbent: &str) -> Case {
    let mut expected = vec![Value::String(incumbent.to_owned())];
    expected.extend(serde_json::from_str::<Value>(incumbent.trim()));
    Case {
        id: String::new(),
        messages: Vec::new(),
        expected,
        assertions: Vec::new(),
        stratum: String::new(),
        tags: Vec::new(),
        expected_score: None,
    }
}

/// What the first choice says: its text, or the tools it calls as JSON. `None` when neither.
pub(crate) fn said(answer: &Response) -> Option<String> {
    let parts = &answer.choices.first()?.parts;
    let calls: Vec<Value> = parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall {
                name, arguments, ..
            } => {
                let arguments = serde_json::from_str(arguments)
                    .unwrap_or_else(|_| Value::String(arguments.clone()));
                Some(json!({"name": name, "arguments": arguments}))
            }
            _ => None,
        })
        .collect();
    if !calls.is_empty() {
        // In one order of fields, whoever wrote them.
        return serde_json_canonicalizer::to_string(&calls).ok();
    }
    let text = text(answer);
    (!text.trim().is_empty()).then_some(text)
}

fn text(answer: &Response) -> String {
    let parts = answer.choices.first().map(|choice| choice.parts.iter());
    let texts = parts.into_iter().flatten().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn is_refusal(answer: &Response) -> bool {
    let Some(choice) = answer.choices.first() else {
        return false;
    };
    let is_cut = matches!(
        choice.finish,
        Some(FinishReason::ContentFilter | FinishReason::Refusal)
    );
    let says_so = || {
        choice
            .parts
            .iter()
            .any(|part| matches!(part, Part::Refusal { .. }))
    };
    let begins = || {
        let start: String = text(answer).trim_start().chars().take(200).collect();
        let pattern = REFUSAL.as_ref();
        pattern.is_some_and(|pattern| pattern.is_match(&start.to_lowercase()))
    };
    is_cut || says_so() || begins()
}

/// Whether the answer fits the form that the request asks for; `None` when it asks for none, or calls tools instead.
fn fits_schema(request: &Request, answer: &Response) -> Option<bool> {
    let spec = match &request.response_format {
        ResponseFormat::Text => return None,
        ResponseFormat::JsonObject => ScorerSpec::Json,
        ResponseFormat::JsonSchema { schema, .. } => ScorerSpec::JsonSchema {
            schema: schema.clone(),
        },
    };
    let text = text(answer);
    if text.is_empty() {
        return None;
    }
    // A schema that is none is the request's affair.
    let scorer = Scorer::new(spec).ok()?;
    let case = case_of("");
    Some(scorer.score(&case, &text).score()?.get() > 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_types::answer::Choice;

    fn answer(text: &str) -> Response {
        Response {
            choices: vec![Choice {
                parts: vec![Part::text(text)],
                finish: Some(FinishReason::Stop),
                ..Choice::default()
            }],
            ..Response::default()
        }
    }

    #[test]
    fn refusals_are_known_by_how_they_begin() {
        for text in [
            "I'm sorry, but I can't help with that.",
            "I cannot assist with this request.",
            "As an AI language model, I am not able to provide legal help.",
            "I’m unable to comply.",
            "Unfortunately, I can't answer that.",
        ] {
            assert!(is_refusal(&answer(text)), "{text}");
        }
        for text in [
            "I'm sorry to hear that your parcel is late. Here is what to do.",
            "You can't return it after 30 days.",
            "I can help with that.",
            "positive",
            "",
        ] {
            assert!(!is_refusal(&answer(text)), "{text}");
        }
        let mut cut = answer("posi");
        cut.choices[0].finish = Some(FinishReason::ContentFilter);
        assert!(is_refusal(&cut));
    }

    #[test]
    fn a_schema_is_asked_for_or_not() {
        let mut request = Request::new(freehold_types::Dialect::OpenaiChat, "m", vec![]);
        assert_eq!(fits_schema(&request, &answer("no")), None);
        request.response_format = ResponseFormat::JsonSchema {
            name: "n".to_owned(),
            description: None,
            schema: json!({"type": "object", "required": ["label"]}),
            strict: None,
        };
        assert_eq!(fits_schema(&request, &answer("no")), Some(false));
        assert_eq!(fits_schema(&request, &answer("{}")), Some(false));
        assert_eq!(fits_schema(&request, &answer("{\"label\": 1}")), Some(true));
        request.response_format = ResponseFormat::JsonObject;
        assert_eq!(fits_schema(&request, &answer("{}")), Some(true));
    }

    #[test]
    fn languages_are_told_apart_and_others_are_together() {
        let languages = ["eng", "deu"].map(str::to_owned);
        let of = |text: &str| {
            let said = freehold_types::Message::text(Role::User, text);
            let request = Request::new(freehold_types::Dialect::OpenaiChat, "m", vec![said]);
            language(&languages, &request)
        };
        assert_eq!(
            of("Where is the parcel that I ordered from you three weeks ago?"),
            "eng"
        );
        assert_eq!(
            of("Wann kommt meine Sendung? Niemand antwortet mir auf meine Fragen dazu."),
            "deu"
        );
        assert_eq!(
            of("Où est le colis que j'ai commandé chez vous il y a trois semaines ?"),
            "other"
        );
        assert_eq!(of("42"), "other");
    }

    #[test]
    fn tool_calls_are_what_was_said() {
        let mut called = answer("");
        called.choices[0].parts = vec![Part::ToolCall {
            id: "1".to_owned(),
            name: "look".to_owned(),
            arguments: "{\"a\":1}".to_owned(),
            extra: freehold_types::Extra::new(),
        }];
        assert_eq!(
            said(&called).unwrap(),
            "[{\"arguments\":{\"a\":1},\"name\":\"look\"}]"
        );
        assert_eq!(said(&answer("  ")), None);
    }
}
