//! One question to a server: sent, again when the server is busy, and its answer read.

use std::time::{Duration, Instant, SystemTime};

use anyhow::anyhow;
use freehold_hosted::retry_after;
use freehold_proof::dataset::Message;
use freehold_types::NanoUsd;
use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use super::record::Settings;
use crate::commands::model_server;
use crate::commands::usage::printable;

/// Whoever asks for more patience ends the run; it can go on later.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Before the first repetition; twice as long before each further one.
const WAIT_FIRST: Duration = Duration::from_millis(250);

/// What questions are sent with.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Asker {
    pub(in crate::commands) client: reqwest::Client,
    pub(in crate::commands) endpoint: Url,
    pub(in crate::commands) model: String,
    pub(in crate::commands) key: Option<String>,
    pub(in crate::commands) settings: Settings,
    pub(in crate::commands) timeout: Duration,
    pub(in crate::commands) retries: u32,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(in crate::commands) struct Answer {
    pub(in crate::commands) text: String,
    pub(in crate::commands) finish: Option<String>,
    pub(in crate::commands) input_tokens: Option<u64>,
    pub(in crate::commands) output_tokens: Option<u64>,
    /// What a gateway says it cost.
    pub(in crate::commands) cost: Option<NanoUsd>,
    pub(in crate::commands) latency: Duration,
    pub(in crate::commands) requests: u32,
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::commands) enum Failure {
    /// To this question; others may have one.
    Case {
        reason: String,
        requests: u32,
        /// The server did not like what was asked, rather than being unable to answer.
        is_refused: bool,
    },
    /// To any.
    Run(anyhow::Error),
}

enum Trouble {
    /// It may pass.
    Busy {
        wait: Option<Duration>,
        reason: String,
    },
    /// Nobody is there.
    Unreachable(reqwest::Error),
    Case(String),
    Run(anyhow::Error),
}

/// What a server sent back.
#[derive(Debug)]
pub(in crate::commands) struct Posted {
    pub(in crate::commands) body: Value,
    /// What a gateway says it cost.
    pub(in crate::commands) cost: Option<NanoUsd>,
    latency: Duration,
    requests: u32,
}

impl Asker {
    /// Asks until there is an answer, or no hope of one.
    pub(in crate::commands) async fn ask(
        &self,
        messages: &[Message],
        response_format: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut body = json!({
            "model": self.model,
            "messages": messages,
            "max_tokens": self.settings.max_tokens,
            "stream": false,
        });
        if let Some(temperature) = self.settings.temperature {
            body["temperature"] = temperature.into();
        }
        if let Some(seed) = self.settings.seed {
            body["seed"] = seed.into();
        }
        if let Some(format) = response_format {
            body["response_format"] = format.clone();
        }
        let posted = self.post(&body).await?;
        let answer = read(&posted.body).ok_or_else(|| Failure::Case {
            reason: "what came back is no chat completion".to_owned(),
            requests: posted.requests,
            is_refused: false,
        })?;
        Ok(Answer {
            cost: posted.cost,
            latency: posted.latency,
            requests: posted.requests,
            ..answer
        })
    }

    /// Sends a body until it is taken, or there is no hope of that.
    pub(in crate::commands) async fn post(&self, body: &Value) -> Result<Posted, Failure> {
        let mut requests = 0;
        loop {
            requests += 1;
            let trouble = match tokio::time::timeout(self.timeout, self.once(body)).await {
                Ok(Ok(posted)) => return Ok(Posted { requests, ..posted }),
                Ok(Err(trouble)) => trouble,
                Err(_) => Trouble::Busy {
                    wait: None,
                    reason: format!("no answer within {} s", self.timeout.as_secs()),
                },
            };
            let case = |reason: String, is_refused: bool| Failure::Case {
                reason,
                requests,
                is_refused,
            };
            let wait = match trouble {
                Trouble::Case(reason) => return Err(case(reason, true)),
                Trouble::Run(error) => return Err(Failure::Run(error)),
                Trouble::Busy {
                    wait: Some(wait), ..
                } if wait > WAIT_MAX => {
                    return Err(Failure::Run(anyhow!(
                        "the server asks to wait {} s: run the same again then, and it goes on where it ended",
                        wait.as_secs()
                    )));
                }
                Trouble::Busy { reason, .. } if requests > self.retries => {
                    return Err(case(reason, false));
                }
                Trouble::Unreachable(error) if requests > self.retries => {
                    return Err(Failure::Run(anyhow::Error::new(error).context(format!(
                        "no server answers at {}; start it, or correct --url",
                        self.endpoint
                    ))));
                }
                Trouble::Busy { wait, .. } => wait,
                Trouble::Unreachable(_) => None,
            };
            let doubled = WAIT_FIRST.saturating_mul(1 << (requests - 1).min(10));
            tokio::time::sleep(wait.unwrap_or(doubled).min(WAIT_MAX)).await;
        }
    }

    async fn once(&self, body: &Value) -> Result<Posted, Trouble> {
        let mut request = self.client.post(self.endpoint.clone()).json(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let began = Instant::now();
        let broken = |error: reqwest::Error| {
            if error.is_connect() {
                return Trouble::Unreachable(error);
            }
            Trouble::Busy {
                wait: None,
                reason: "the server broke the connection off".to_owned(),
            }
        };
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.trim().to_owned())
        };
        let wait = retry_after(response.headers(), SystemTime::now());
        let cost = header("x-freehold-cost").and_then(|cost| cost.parse().ok());
        let bytes = response.bytes().await.map_err(broken)?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if !status.is_success() {
            return Err(self.refusal(status, wait, &body));
        }
        Ok(Posted {
            body,
            cost: cost.and_then(NanoUsd::from_usd),
            latency: began.elapsed(),
            requests: 1,
        })
    }

    fn refusal(&self, status: StatusCode, wait: Option<Duration>, body: &Value) -> Trouble {
        let message = model_server::message(body);
        let reason = format!("the server answered {status}: {message}");
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
                Trouble::Run(anyhow!(
                    "the server refuses the key ({status}): {message}; put it into a variable and name that with \
                     --key-env"
                ))
            }
            StatusCode::NOT_FOUND => Trouble::Run(anyhow!(
                "{} knows no such address or no model `{}` ({status}): {message}",
                self.endpoint,
                self.model
            )),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Trouble::Busy { wait, reason }
            }
            status if status.is_server_error() => Trouble::Busy { wait, reason },
            _ => Trouble::Case(reason),
        }
    }
}

/// A refusal in the model's words is its answer; no text at all is an empty one.
fn read(body: &Value) -> Option<Answer> {
    let choice = body["choices"].get(0)?;
    let message = choice.get("message")?;
    let text = message["content"].as_str().or(message["refusal"].as_str());
    let count = |name: &str| body["usage"][name].as_u64();
    Some(Answer {
        text: text.unwrap_or_default().to_owned(),
        finish: choice["finish_reason"].as_str().map(printable),
        input_tokens: count("prompt_tokens"),
        output_tokens: count("completion_tokens"),
        ..Answer::default()
    })
}
