//! Scorers that ask: a judge, a model that embeds, a program.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use freehold_cost::tokens::estimate_text;
use freehold_proof::dataset::Case;
use freehold_proof::scorers::judge::{Question, grade_question, read_grade};
use freehold_proof::scorers::{Outcome, ScorerSpec, cosine, texts};
use freehold_types::NanoUsd;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::ask::{Answer, Asker, Failure};
use super::plan::{Prices, input_tokens};
use super::program::Program;
use super::record::Settings;
use super::sandbox::Sandbox;
use crate::cli::{EvalRunArgs, ScoringArgs};
use crate::commands::model_server;

/// What a judge is told beside the rubric, the question and the answer.
const INSTRUCTION_TOKENS: u64 = 400;

/// Whom a run asks for scores.
#[derive(Clone, Debug, Default)]
pub(super) struct Panel {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Judge {
        asker: Asker,
        rubric: String,
        prices: Prices,
    },
    Embedding {
        asker: Asker,
        prices: Prices,
    },
    Program(Program),
}

/// What the panel says of one answer.
#[derive(Debug, Default)]
pub(super) struct Scored {
    pub(super) scores: BTreeMap<String, Outcome>,
    /// What is known of the cost; none when nobody was paid.
    pub(super) cost: Option<NanoUsd>,
    /// Why asking on makes no sense.
    pub(super) broken: Option<anyhow::Error>,
}

/// Where and how a run's scorers ask.
pub(super) struct Where<'a> {
    pub(super) args: &'a ScoringArgs,
    pub(super) url: &'a str,
    pub(super) key_env: Option<&'a str>,
    pub(super) temperature: Option<f64>,
    pub(super) seed: Option<u64>,
    pub(super) retries: u32,
    pub(super) timeout: Duration,
}

impl<'a> Where<'a> {
    pub(super) fn of(args: &'a EvalRunArgs) -> Self {
        Self {
            args: &args.scoring,
            url: &args.url,
            key_env: args.key_env.as_deref(),
            temperature: (!args.plain).then_some(args.temperature),
            seed: (!args.plain).then_some(args.seed),
            retries: args.retries,
            timeout: Duration::from_secs(args.timeout),
        }
    }

    fn asker(&self, model: &str, endpoint: impl Fn(&str) -> Result<url::Url>) -> Result<Asker> {
        let other = self.args.scorer_url.as_deref();
        // One server's key is not for another.
        let key_env = match (self.args.scorer_key_env.as_deref(), other) {
            (Some(name), _) => Some(name),
            (None, Some(_)) => None,
            (None, None) => self.key_env,
        };
        Ok(Asker {
            client: model_server::client()?,
            endpoint: endpoint(other.unwrap_or(self.url))?,
            model: model.to_owned(),
            key: model_server::key(key_env)?,
            settings: Settings {
                max_tokens: self.args.judge_max_tokens,
                temperature: self.temperature,
                seed: self.seed,
            },
            timeout: self.timeout,
            retries: self.retries,
        })
    }

    pub(super) fn judge(&self, model: &str) -> Result<Asker> {
        self.asker(model, model_server::endpoint)
    }

    /// By the model's own name, else by the one that is given for all.
    pub(super) fn prices(&self, model: &str, output_tokens: u32) -> Result<Prices> {
        let now = OffsetDateTime::now_utc();
        let own = Prices::new(model, None, output_tokens, now)?;
        match (&self.args.scorer_price_as, own.is_known()) {
            (Some(name), false) => {
                Prices::new(model, Some(name), output_tokens, now).context("--scorer-price-as")
            }
            _ => Ok(own),
        }
    }
}

impl Panel {
    /// Takes whom a scorer's name asks for; `None` when it names nobody.
    pub(super) fn take(
        &mut self,
        text: &str,
        from: &Where<'_>,
        keeps_answers: bool,
    ) -> Result<Option<ScorerSpec>> {
        let (kind, spec) = match text.split_once('=') {
            Some(("judge", path)) => {
                let rubric = rubric(path)?;
                let model = from.args.judge_model.as_deref();
                let model = model.context("say which model judges with --judge-model")?;
                let spec = ScorerSpec::Judge {
                    model: model.to_owned(),
                    rubric: rubric.clone(),
                };
                let kind = Kind::Judge {
                    asker: from.judge(model)?,
                    rubric,
                    prices: from.prices(model, from.args.judge_max_tokens)?,
                };
                (kind, spec)
            }
            Some(("embedding", model)) if !model.is_empty() => {
                let spec = ScorerSpec::Embedding {
                    model: model.to_owned(),
                };
                let kind = Kind::Embedding {
                    asker: from.asker(model, model_server::embeddings_endpoint)?,
                    prices: from.prices(model, 0)?,
                };
                (kind, spec)
            }
            Some(("command", path)) => {
                let timeout = Duration::from_secs(from.args.scorer_timeout);
                let sandbox = Sandbox::of(&from.args.sandbox)?;
                let (program, spec) = Program::new(path, timeout, sandbox, keeps_answers)?;
                (Kind::Program(program), spec)
            }
            _ => return Ok(None),
        };
        let name = spec.name();
        self.members.push(Member { name, kind });
        Ok(Some(spec))
    }

    /// Whom it asks whose price nobody knows.
    pub(super) fn unpriced(&self) -> Option<&str> {
        self.members.iter().find_map(|member| match &member.kind {
            Kind::Judge { asker, prices, .. } | Kind::Embedding { asker, prices } => {
                (!prices.is_known()).then_some(asker.model.as_str())
            }
            Kind::Program(_) => None,
        })
    }

    /// In words, what is asked for each answer.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |member: &Member| match &member.kind {
            Kind::Judge { asker, .. } => {
                format!("{} at {} grades every answer", asker.model, asker.endpoint)
            }
            Kind::Embedding { asker, .. } => {
                format!("{} at {} embeds every answer", asker.model, asker.endpoint)
            }
            Kind::Program(program) => {
                let how = if program.is_sandboxed() {
                    "in a sandbox"
                } else {
                    "with your rights, files and network"
                };
                format!("a program of yours is run on every answer, {how}")
            }
        };
        self.members.iter().map(note).collect()
    }

    /// The most that scoring an answer to a case will about cost.
    pub(super) fn at_most(&self, case: &Case, answer_tokens: u64) -> NanoUsd {
        let expected: u64 = texts(case).iter().map(|text| estimate_text(text)).sum();
        let costs = self.members.iter().filter_map(|member| match &member.kind {
            Kind::Judge { rubric, prices, .. } => prices.at_most(
                INSTRUCTION_TOKENS
                    + estimate_text(rubric)
                    + input_tokens(case)
                    + expected
                    + answer_tokens,
            ),
            Kind::Embedding { prices, .. } => prices.at_most(answer_tokens + expected),
            Kind::Program(_) => None,
        });
        costs.fold(NanoUsd::ZERO, |sum, cost| sum + cost)
    }

    /// Whether everybody can be asked at all, before anything is paid.
    pub(super) async fn probe(&self) -> Result<()> {
        for member in &self.members {
            if let Kind::Embedding { asker, .. } = &member.kind {
                let probe = embed(asker, &["probe"]).await.map(|_| ());
                let told = |why: anyhow::Error| {
                    why.context(format!(
                        "the scorer `embedding` cannot be used: {} does not embed with `{}`; name a model that embeds, \
                         or a server that has one with --scorer-url",
                        asker.endpoint, asker.model
                    ))
                };
                match probe {
                    Ok(()) => {}
                    Err(Failure::Run(error)) => return Err(told(error)),
                    Err(Failure::Case { reason, .. }) => return Err(told(anyhow::anyhow!(reason))),
                }
            }
        }
        Ok(())
    }

    /// Asks everybody about an answer. Whoever cannot say is counted as failed, never as a score.
    pub(super) async fn score(&self, case: &Case, answer: &str) -> Scored {
        let mut all = Scored::default();
        for member in &self.members {
            let outcome = match &member.kind {
                Kind::Judge {
                    asker,
                    rubric,
                    prices,
                } => {
                    let question = grade_question(rubric, case, answer);
                    let answer = judged(asker, &question).await;
                    all.settle(answer, prices, "the judge", |answer| {
                        match read_grade(&answer.text) {
                            Ok(grade) => Outcome::of(grade.score.get(), grade.reason),
                            Err(reason) => Outcome::failed(reason + cut(answer)),
                        }
                    })
                }
                Kind::Embedding { asker, prices } => {
                    let expected = texts(case);
                    if expected.is_empty() {
                        Outcome::skipped("no text is expected")
                    } else if answer.trim().is_empty() {
                        Outcome::of(0.0, "the answer is empty")
                    } else {
                        let asked: Vec<&str> = std::iter::once(answer)
                            .chain(expected.iter().map(String::as_str))
                            .collect();
                        let found = embed(asker, &asked).await;
                        all.settle(found, prices, "the model that embeds", nearest)
                    }
                }
                Kind::Program(program) => program.score(case, answer).await,
            };
            all.scores.insert(member.name.to_owned(), outcome);
        }
        all
    }
}

/// What was paid for.
pub(super) trait Paid {
    fn cost(&self) -> Option<NanoUsd>;
    fn tokens(&self) -> Option<(u64, u64)>;
}

impl Paid for Answer {
    fn cost(&self) -> Option<NanoUsd> {
        self.cost
    }

    fn tokens(&self) -> Option<(u64, u64)> {
        self.input_tokens.zip(self.output_tokens)
    }
}

impl Scored {
    fn settle<T: Paid>(
        &mut self,
        answer: Result<T, Failure>,
        prices: &Prices,
        who: &str,
        read: impl FnOnce(&T) -> Outcome,
    ) -> Outcome {
        match answer {
            Ok(answer) => {
                let by_tokens = answer
                    .tokens()
                    .and_then(|(input, output)| prices.cost(input, output));
                if let Some(cost) = answer.cost().or(by_tokens) {
                    self.cost = Some(self.cost.unwrap_or_default() + cost);
                }
                read(&answer)
            }
            Err(Failure::Case { reason, .. }) => {
                Outcome::failed(format!("{who} gave no answer: {reason}"))
            }
            Err(Failure::Run(error)) => {
                let reason = format!("{who} gave no answer: {error:#}");
                self.broken = Some(error.context(format!("{who} cannot be asked")));
                Outcome::failed(reason)
            }
        }
    }
}

/// Asks a judge; again in words alone when the server does not know of schemas.
pub(super) async fn judged(asker: &Asker, question: &Question) -> Result<Answer, Failure> {
    let format = Some(&question.response_format);
    match asker.ask(&question.messages, format).await {
        Err(Failure::Case {
            is_refused: true, ..
        }) => asker.ask(&question.messages, None).await,
        answered => answered,
    }
}

/// Why a judge's answer may have no form.
pub(super) fn cut(answer: &Answer) -> &'static str {
    if answer.finish.as_deref() == Some("length") {
        ": it was cut at --judge-max-tokens"
    } else {
        ""
    }
}

/// Embeddings, in the order of what was asked.
pub(in crate::commands) struct Embedded {
    pub(in crate::commands) vectors: Vec<Vec<f64>>,
    cost: Option<NanoUsd>,
    input_tokens: Option<u64>,
}

impl Paid for Embedded {
    fn cost(&self) -> Option<NanoUsd> {
        self.cost
    }

    fn tokens(&self) -> Option<(u64, u64)> {
        self.input_tokens.map(|tokens| (tokens, 0))
    }
}

pub(in crate::commands) async fn embed(asker: &Asker, asked: &[&str]) -> Result<Embedded, Failure> {
    let body = json!({"model": asker.model, "input": asked, "encoding_format": "float"});
    let posted = asker.post(&body).await?;
    let vectors = vectors(&posted.body, asked.len());
    Ok(Embedded {
        vectors: vectors.ok_or_else(|| Failure::Case {
            reason: "what came back is no list of embeddings".to_owned(),
            requests: 1,
            is_refused: false,
        })?,
        cost: posted.cost,
        input_tokens: posted.body["usage"]["prompt_tokens"].as_u64(),
    })
}

fn vectors(body: &Value, count: usize) -> Option<Vec<Vec<f64>>> {
    let data = body["data"].as_array().filter(|data| data.len() == count)?;
    let mut vectors = vec![Vec::new(); count];
    for (place, one) in data.iter().enumerate() {
        let index = one["index"]
            .as_u64()
            .map_or(Some(place), |index| usize::try_from(index).ok())?;
        let numbers = one["embedding"].as_array()?.iter().map(Value::as_f64);
        let vector: Vec<f64> = numbers.collect::<Option<_>>()?;
        *vectors.get_mut(index)? = vector;
    }
    vectors
        .iter()
        .all(|vector| !vector.is_empty())
        .then_some(vectors)
}

/// The first is the answer, the others are what is expected.
fn nearest(found: &Embedded) -> Outcome {
    let [answer, expected @ ..] = found.vectors.as_slice() else {
        return Outcome::failed("there are no embeddings");
    };
    let near: Option<Vec<f64>> = expected.iter().map(|one| cosine(answer, one)).collect();
    match near {
        Some(near) => {
            let nearest = near.into_iter().fold(-1.0, f64::max);
            Outcome::of(f64::midpoint(nearest, 1.0).clamp(0.0, 1.0), "")
        }
        None => Outcome::failed("the embeddings have no angle"),
    }
}

/// A rubric's text.
pub(crate) fn rubric(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    ensure!(
        !text.trim().is_empty(),
        "{path} is empty: write into it what a good answer is like"
    );
    if text.len() > 64 * 1024 {
        bail!("{path} is longer than 64 KiB: a judge goes by a page or two");
    }
    Ok(text)
}
