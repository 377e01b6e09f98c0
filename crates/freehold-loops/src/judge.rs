//! A model that says how good live answers are. Both sides' answers go to it by the way of every request: guard, policy,
//! the same key's demands, its own entry in ledger and audit trail.

use std::sync::Arc;

use freehold_pipeline::{Inquiry, Mirrored, Pipeline, StatusOf, Watched};
use freehold_proof::Score;
use freehold_proof::dataset::{Case, Message, Role};
use freehold_proof::scorers::ScorerSpec;
use freehold_proof::scorers::judge::{
    Question, Verdicts, grade_question, pair_question, read_grade, read_verdict,
};
use freehold_types::request::ResponseFormat;
use freehold_types::{ErrorKind, Message as Said, Part, Request, Role as Speaker};
use serde_json::Value;

use crate::answers::{Both, Pair, Skipped, said};
use crate::local::nanos;

/// A judge's longest answer.
const TOKENS_MAX: u64 = 1_024;

/// A judge, and what it goes by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judge {
    model: String,
    by: By,
}

#[derive(Clone, Debug, PartialEq)]
enum By {
    /// Each answer has a grade.
    Rubric(String),
    /// Which of both is better, asked in both orders.
    Criteria(String),
}

/// What a judge made of a request.
pub(crate) struct Judged {
    pub(crate) pair: Result<Pair, Skipped>,
    pub(crate) verdicts: Option<Verdicts>,
    /// What asking it cost, in nano-dollars; `None` when part of it is unknown.
    pub(crate) cost_nano_usd: Option<u64>,
}

/// The way to a judge.
pub(crate) struct Asking<'a> {
    pub(crate) pipeline: &'a Arc<Pipeline>,
    pub(crate) status_of: StatusOf,
    pub(crate) seen: &'a Watched,
    pub(crate) cost_nano_usd: Option<u64>,
}

impl Judge {
    /// The judge of a scorer that asks one.
    pub(crate) fn of(spec: &ScorerSpec) -> Option<Self> {
        let (model, by) = match spec {
            ScorerSpec::Judge { model, rubric } => (model, By::Rubric(rubric.clone())),
            ScorerSpec::Pairwise {
                model, criteria, ..
            } => (model, By::Criteria(criteria.clone())),
            _ => return None,
        };
        Some(Self {
            model: model.clone(),
            by,
        })
    }

    /// Scores both sides. Who failed or said nothing is as bad as can be, without anybody being asked.
    pub(crate) async fn judge(&self, both: &Both, mut asking: Asking<'_>) -> Judged {
        let found = self.scores(both, &mut asking).await;
        let (pair, verdicts) = match found {
            Ok((incumbent, candidate, verdicts)) => {
                let stratum = both.stratum.clone();
                let pair = Pair {
                    stratum,
                    incumbent,
                    candidate,
                };
                (Ok(pair), verdicts)
            }
            Err(reason) => (Err(reason), None),
        };
        Judged {
            pair,
            verdicts,
            cost_nano_usd: asking.cost_nano_usd,
        }
    }

    async fn scores(
        &self,
        both: &Both,
        asking: &mut Asking<'_>,
    ) -> Result<(Score, Score, Option<Verdicts>), Skipped> {
        let case = case(&asking.seen.request).ok_or("the judge reads text only")?;
        let (incumbent, candidate) = (both.incumbent.as_deref(), both.candidate.as_deref());
        match (&self.by, incumbent, candidate) {
            (By::Rubric(rubric), incumbent, candidate) => {
                let of_incumbent = self.grade(rubric, &case, incumbent, asking).await?;
                let of_candidate = if incumbent == candidate {
                    of_incumbent
                } else {
                    self.grade(rubric, &case, candidate, asking).await?
                };
                Ok((of_incumbent, of_candidate, None))
            }
            (By::Criteria(_), None, None) => Ok((Score::of(false), Score::of(false), None)),
            (By::Criteria(_), incumbent, None) => {
                Ok((Score::of(incumbent.is_some()), Score::of(false), None))
            }
            (By::Criteria(_), None, Some(_)) => Ok((Score::of(false), Score::of(true), None)),
            (By::Criteria(_), Some(one), Some(other)) if one == other => {
                Ok((Score::half(), Score::half(), None))
            }
            (By::Criteria(criteria), Some(incumbent), Some(candidate)) => {
                let first = pair_question(criteria, &case, incumbent, candidate);
                let second = pair_question(criteria, &case, candidate, incumbent);
                let verdicts = Verdicts {
                    incumbent_first: self.ask(&first, asking, read_verdict).await?.0,
                    candidate_first: self.ask(&second, asking, read_verdict).await?.0,
                };
                let candidate = verdicts.score();
                let incumbent = Score::new(1.0 - candidate.get()).unwrap_or(Score::half());
                Ok((incumbent, candidate, Some(verdicts)))
            }
        }
    }

    async fn grade(
        &self,
        rubric: &str,
        case: &Case,
        answer: Option<&str>,
        asking: &mut Asking<'_>,
    ) -> Result<Score, Skipped> {
        let Some(answer) = answer else {
            return Ok(Score::of(false));
        };
        let question = grade_question(rubric, case, answer);
        Ok(self.ask(&question, asking, read_grade).await?.score)
    }

    /// Asks once, and once more without a form where the judge knows none.
    async fn ask<T>(
        &self,
        question: &Question,
        asking: &mut Asking<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Skipped> {
        let mut form = form(&question.response_format);
        loop {
            let inquiry = Inquiry {
                model: self.model.clone(),
                messages: question.messages.iter().map(told).collect(),
                response_format: form.clone(),
                tokens_max: TOKENS_MAX,
            };
            let Mirrored { answer, cost, .. } = asking
                .pipeline
                .inquire(asking.seen, inquiry, asking.status_of)
                .await;
            let more = cost.map(nanos);
            asking.cost_nano_usd = asking.cost_nano_usd.zip(more).map(|(sum, more)| sum + more);
            match answer {
                Ok(answer) => {
                    let text = said(&answer).ok_or("the judge said nothing")?;
                    return read(&text).map_err(|reason| {
                        tracing::debug!(%reason, "a judge's answer cannot be read");
                        "the judge gave no verdict"
                    });
                }
                Err(error) if form != ResponseFormat::Text && knows_no_form(error.kind) => {
                    form = ResponseFormat::Text;
                }
                Err(error) if error.kind == ErrorKind::PolicyRefused => {
                    return Err("the judge may not see it");
                }
                Err(error) => {
                    tracing::debug!(%error, "a judge failed");
                    return Err("the judge failed");
                }
            }
        }
    }
}

fn knows_no_form(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::InvalidRequest)
}

fn told(message: &Message) -> Said {
    let role = match message.role {
        Role::System => Speaker::System,
        Role::Developer => Speaker::Developer,
        Role::User => Speaker::User,
        Role::Assistant => Speaker::Assistant,
    };
    Said::text(role, message.content.clone())
}

/// `response_format` of OpenAI's chat completions in the canonical form.
fn form(format: &Value) -> ResponseFormat {
    let spec = &format["json_schema"];
    ResponseFormat::JsonSchema {
        name: spec["name"].as_str().unwrap_or("answer").to_owned(),
        description: None,
        schema: spec["schema"].clone(),
        strict: Some(true),
    }
}

/// What was asked, as a judge reads it. `None` when it is more than text.
fn case(request: &Request) -> Option<Case> {
    let messages = request.messages.iter().map(|message| {
        let role = match message.role {
            Speaker::System => Role::System,
            Speaker::Developer => Role::Developer,
            Speaker::Assistant => Role::Assistant,
            Speaker::User | Speaker::Tool => Role::User,
        };
        let mut content = String::new();
        for part in &message.parts {
            write(part, &mut content)?;
        }
        Some(Message { role, content })
    });
    let messages: Vec<Message> = messages.collect::<Option<_>>()?;
    (!messages.is_empty()).then(|| Case {
        id: String::new(),
        messages,
        expected: Vec::new(),
        assertions: Vec::new(),
        stratum: String::new(),
        tags: Vec::new(),
        expected_score: None,
    })
}

fn write(part: &Part, to: &mut String) -> Option<()> {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => to.push_str(text),
        Part::Thinking { .. } | Part::RedactedThinking { .. } => {}
        Part::ToolCall {
            name, arguments, ..
        } => {
            to.push_str("\n(calls the tool ");
            to.push_str(name);
            to.push_str(" with ");
            to.push_str(arguments);
            to.push(')');
        }
        Part::ToolResult { parts, .. } => {
            to.push_str("\n(a tool's result:) ");
            for part in parts {
                write(part, to)?;
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use freehold_types::{Dialect, Extra};

    use super::*;

    #[test]
    fn only_judges_are_asked() {
        let spec = ScorerSpec::Judge {
            model: "m".to_owned(),
            rubric: "r".to_owned(),
        };
        assert_eq!(Judge::of(&spec).unwrap().by, By::Rubric("r".to_owned()));
        assert_eq!(Judge::of(&ScorerSpec::Exact), None);
    }

    #[test]
    fn a_conversation_with_tools_is_text_and_a_picture_is_not() {
        let mut request = Request::new(
            Dialect::OpenaiChat,
            "m",
            vec![
                Said::text(Speaker::User, "weather?"),
                Said {
                    role: Speaker::Assistant,
                    parts: vec![Part::ToolCall {
                        id: "1".to_owned(),
                        name: "get".to_owned(),
                        arguments: "{}".to_owned(),
                        extra: Extra::new(),
                    }],
                    name: None,
                    extra: Extra::new(),
                },
            ],
        );
        let told = case(&request).unwrap();
        assert_eq!(told.messages[1].content, "\n(calls the tool get with {})");
        request.messages[0].parts.push(Part::Image {
            source: freehold_types::request::MediaSource::Url(
                "https://example.org/a.png".to_owned(),
            ),
            detail: None,
            extra: Extra::new(),
        });
        assert_eq!(case(&request), None);
    }
}
