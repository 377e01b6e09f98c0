//! `freehold chat`: a conversation with a running gateway, as any client would have it.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use freehold_types::{Delta, Dialect, Event, FinishReason};
use freehold_wire::StreamDecoder;
use serde_json::{Value, json};

use crate::cli::ChatArgs;

pub(crate) async fn run(args: ChatArgs) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .connect_timeout(std::time::Duration::from_secs(5))
        .build()
        .context("cannot set up an HTTP client")?;
    let mut messages: Vec<Value> = Vec::new();
    if let Some(system) = &args.system {
        messages.push(json!({"role": "system", "content": system}));
    }
    if let Some(question) = &args.question {
        messages.push(json!({"role": "user", "content": question}));
        return if args.json {
            whole(&client, &args, &messages).await
        } else {
            streamed(&client, &args, &messages).await.map(|_| ())
        };
    }
    converse(&client, &args, messages).await
}

/// Question after question until an empty line or the end of input.
async fn converse(
    client: &reqwest::Client,
    args: &ChatArgs,
    mut messages: Vec<Value>,
) -> anyhow::Result<()> {
    let interactive = std::io::stdin().is_terminal();
    loop {
        if interactive {
            let mut out = std::io::stdout().lock();
            write!(out, "> ")?;
            out.flush()?;
        }
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        })
        .await??;
        let question = line.trim();
        if question.is_empty() {
            return Ok(());
        }
        messages.push(json!({"role": "user", "content": question}));
        match streamed(client, args, &messages).await {
            Ok(answer) => messages.push(json!({"role": "assistant", "content": answer})),
            Err(error) if interactive => {
                // The question stays out of the conversation, so that the next one can succeed.
                messages.pop();
                writeln!(std::io::stderr(), "{error:#}")?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn ask(
    client: &reqwest::Client,
    args: &ChatArgs,
    messages: &[Value],
    stream: bool,
) -> anyhow::Result<reqwest::Response> {
    let mut body = json!({"model": args.model, "messages": messages, "stream": stream});
    if let Some(tokens) = args.max_tokens {
        body["max_tokens"] = tokens.into();
    }
    let url = format!("{}/v1/chat/completions", args.url.trim_end_matches('/'));
    let mut request = client.post(&url).json(&body);
    if let Some(key) = &args.key {
        request = request.bearer_auth(key);
    }
    let response = request.send().await.with_context(|| {
        format!(
            "no gateway answers at {}; start one with `freehold serve`",
            args.url
        )
    })?;
    if !response.status().is_success() {
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        let message = body["error"]["message"]
            .as_str()
            .unwrap_or("no message")
            .to_owned();
        bail!("{status}: {message}");
    }
    Ok(response)
}

async fn whole(
    client: &reqwest::Client,
    args: &ChatArgs,
    messages: &[Value],
) -> anyhow::Result<()> {
    let answer: Value = ask(client, args, messages, false).await?.json().await?;
    writeln!(std::io::stdout(), "{answer:#}")?;
    Ok(())
}

/// Prints the answer as it comes, then who gave it; returns its text.
async fn streamed(
    client: &reqwest::Client,
    args: &ChatArgs,
    messages: &[Value],
) -> anyhow::Result<String> {
    let mut response = ask(client, args, messages, true).await?;
    let served_by = response
        .headers()
        .get("x-freehold-deployment")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("unknown")
        .to_owned();
    let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, false);
    let mut frames = Vec::new();
    let mut answer = String::new();
    let mut cut = false;
    let mut out = std::io::stdout();
    while let Some(bytes) = response.chunk().await.context("the answer was cut")? {
        decoder.push(&bytes, &mut frames)?;
        for event in frames.drain(..).flat_map(|frame| frame.events) {
            match event {
                Event::PartDelta {
                    delta: Delta::Text { text, .. },
                    ..
                } => {
                    write!(out, "{text}")?;
                    out.flush()?;
                    answer.push_str(&text);
                }
                Event::Finish {
                    reason: FinishReason::Length,
                    ..
                } => cut = true,
                _ => {}
            }
        }
    }
    writeln!(out)?;
    if std::io::stderr().is_terminal() {
        let note = if cut { ", cut at the token limit" } else { "" };
        writeln!(std::io::stderr(), "[{served_by}{note}]")?;
    }
    Ok(answer)
}
