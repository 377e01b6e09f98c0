//! One request to the server: sent, timed and counted; refusals in words.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use freehold_sim::ServedRequest;
use freehold_types::{Delta, Dialect, Event, Usage};
use freehold_wire::StreamDecoder;
use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::commands::model_server;
use crate::commands::usage::printable;

/// What requests are sent with.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: reqwest::Client,
    endpoint: Url,
    model: String,
    key: Option<String>,
    timeout: Duration,
    /// Whether the server takes a wish to go on after the model wants to stop.
    pub(super) ignores_end: bool,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) prompt: String,
    pub(super) output_tokens: u32,
}

/// A refusal that another request would not meet: the field is not known there.
#[derive(Debug, thiserror::Error)]
#[error("the server refuses a field of the request: {0}")]
pub(super) struct BadField(String);

impl Sender {
    pub(super) fn new(
        endpoint: Url,
        model: &str,
        key: Option<String>,
        timeout: Duration,
    ) -> Result<Self> {
        Ok(Self {
            client: model_server::client()?,
            endpoint,
            model: model.to_owned(),
            key,
            timeout,
            ignores_end: true,
        })
    }

    /// Sends one request and reads its answer to the end. Times count from `began`.
    pub(super) async fn serve(&self, ask: &Ask, began: Instant) -> Result<ServedRequest> {
        let seconds = self.timeout.as_secs();
        tokio::time::timeout(self.timeout, self.exchange(ask, began))
            .await
            .map_err(|_| {
                anyhow!(
                    "a request took longer than {seconds} s; ask for less (--input-max, --output-max, fewer \
                     --clients) or wait longer (--timeout)"
                )
            })?
    }

    async fn exchange(&self, ask: &Ask, began: Instant) -> Result<ServedRequest> {
        let mut body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": ask.prompt}],
            "max_tokens": ask.output_tokens,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if self.ignores_end {
            body["ignore_eos"] = true.into();
        }
        let mut request = self.client.post(self.endpoint.clone()).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let sent = Instant::now();
        let mut response = request.send().await.with_context(|| {
            format!(
                "no server answers at {}; start it, or correct the address",
                self.endpoint
            )
        })?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, false);
        let mut frames = Vec::new();
        let mut times: Option<(Instant, Instant)> = None;
        let mut usage: Option<Usage> = None;
        let broken = "the server broke an answer off; look at its log";
        while let Some(bytes) = response.chunk().await.context(broken)? {
            let now = Instant::now();
            decoder
                .push(&bytes, &mut frames)
                .map_err(|error| anyhow!("{}", printable(&error.to_string())).context(broken))?;
            for event in frames.drain(..).flat_map(|frame| frame.events) {
                match event {
                    Event::PartDelta { delta, .. } if is_token(&delta) => {
                        times = Some((times.map_or(now, |(first, _)| first), now));
                    }
                    Event::Usage(counted) => usage = Some(counted),
                    _ => {}
                }
            }
        }
        served(began, sent, times, usage)
    }

    /// What a refusal means and what to do.
    async fn refusal(&self, response: reqwest::Response) -> anyhow::Error {
        let status = response.status();
        let wait = response.headers().get("retry-after");
        let wait = wait.and_then(|value| value.to_str().ok()).map(printable);
        let body: Value = response.json().await.unwrap_or_default();
        let message = model_server::message(&body);
        let model = &self.model;
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = wait.map_or_else(String::new, |wait| format!(" (wait {wait} s)"));
                anyhow!(
                    "the server refuses requests as too many{wait}: {message}; a limited server cannot be \
                     measured: lift its limit, or take fewer --clients and --requests"
                )
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => anyhow!(
                "the server refuses the key ({status}): {message}; put it into a variable and name that with \
                 --key-env"
            ),
            StatusCode::NOT_FOUND => anyhow!(
                "{} knows no such address or no model `{model}` ({status}): {message}",
                self.endpoint
            ),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if self.ignores_end => {
                anyhow::Error::new(BadField(message))
            }
            _ => anyhow!("the server answered {status}: {message}"),
        }
    }
}

/// Whether a delta carries something that the model wrote; servers open answers with empty ones.
fn is_token(delta: &Delta) -> bool {
    match delta {
        Delta::Text { text, .. }
        | Delta::Refusal(text)
        | Delta::Thinking(text)
        | Delta::Arguments(text) => !text.is_empty(),
        Delta::Signature(_) => false,
        Delta::Unknown { .. } => true,
    }
}

fn served(
    began: Instant,
    sent: Instant,
    times: Option<(Instant, Instant)>,
    usage: Option<Usage>,
) -> Result<ServedRequest> {
    let Some(usage) = usage else {
        bail!(
            "the server's stream does not say how many tokens were used; it must honour \
             stream_options.include_usage (vLLM, llama.cpp's server, Ollama and Freehold do)"
        );
    };
    let count = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
    let Some((first, last)) = times.filter(|_| usage.output_tokens > 0) else {
        bail!(
            "the server gave an empty answer; take another model or longer answers (--output-max)"
        );
    };
    if usage.input_tokens == 0 {
        bail!("the server counts no tokens in prompts, so that nothing can be told from its times");
    }
    let us = |at: Instant| at.duration_since(began).as_secs_f64() * 1e6;
    Ok(ServedRequest {
        sent_us: us(sent),
        first_us: us(first),
        last_us: us(last),
        input_tokens: count(usage.input_tokens),
        cached_tokens: count(usage.cached_input_tokens),
        output_tokens: count(usage.output_tokens),
    })
}
