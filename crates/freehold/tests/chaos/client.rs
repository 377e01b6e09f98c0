//! What clients ask, and the one end that each must get.

use std::time::Duration;

use freehold_testkit::{Fault, Pace, Script};
use serde_json::{Value, json};

use crate::world::KEY;

/// The surfaces that answer with text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Chat,
    Completions,
    Messages,
}

impl Surface {
    pub(crate) const ALL: [Self; 3] = [Self::Chat, Self::Completions, Self::Messages];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Messages => "/v1/messages",
        }
    }

    fn body(self, model: &str, stream: bool, text: &str) -> Value {
        match self {
            Self::Completions => {
                json!({"model": model, "stream": stream, "max_tokens": 1000, "prompt": text})
            }
            Self::Chat | Self::Messages => json!({
                "model": model,
                "stream": stream,
                "max_tokens": 1000,
                "messages": [{"role": "user", "content": text}],
            }),
        }
    }

    fn is_last(self, frame: &str) -> bool {
        match self {
            Self::Chat | Self::Completions => {
                frame == "data: [DONE]" || frame.contains("\"error\":")
            }
            Self::Messages => {
                frame.starts_with("event: message_stop") || frame.starts_with("event: error")
            }
        }
    }

    /// The words in one frame of a stream.
    fn words(self, frame: &str) -> usize {
        let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
        let data: Value = data
            .and_then(|data| serde_json::from_str(data).ok())
            .unwrap_or_default();
        let text = match self {
            Self::Chat => &data["choices"][0]["delta"]["content"],
            Self::Messages => &data["delta"]["text"],
            Self::Completions => &data["choices"][0]["text"],
        };
        text.as_str().unwrap_or_default().split_whitespace().count()
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Patient,
    /// Goes after so many pieces of an answer.
    LeavesAt(usize),
    /// Goes after so many milliseconds.
    LeavesAfter(u64),
    /// Waits so many milliseconds before each piece.
    Slow(u64),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Its workload, by which the ledger and the upstreams are asked for it.
    pub(crate) name: String,
    pub(crate) surface: Surface,
    pub(crate) stream: bool,
    pub(crate) route: &'static str,
    /// Which of the models behind the route.
    pub(crate) model: usize,
    pub(crate) script: Script,
    pub(crate) manner: Manner,
}

/// How it ended for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A whole answer.
    Whole,
    /// An error in the client's dialect.
    Error(u16, String),
    /// An error that ended a stream.
    BrokenOff,
    /// The client went.
    Left,
    /// The connection broke, or was not taken.
    Lost(String),
    /// Anything else: never right.
    Odd(String),
}

/// A request and its end.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    pub(crate) end: End,
    /// Words that the client has read.
    pub(crate) words: usize,
}

/// Every fault at the first, second and later chunks.
pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = vec![
        Script::rate_limited(1).fault.unwrap(),
        Script::rate_limited(90).fault.unwrap(),
        Script::status(400).fault.unwrap(),
        Script::status(401).fault.unwrap(),
        Script::status(500).fault.unwrap(),
        Script::status(503).fault.unwrap(),
        Script::status(529).fault.unwrap(),
        Fault::ResetBeforeHeaders,
        Fault::CloseBeforeHeaders,
        Fault::StallHeaders,
        Fault::MissingDone,
        Fault::TruncatedBody,
        Fault::WrongContentType,
    ];
    for at in [0, 1, 20] {
        faults.extend([
            Fault::Reset { at },
            Fault::Close { at },
            Fault::End { at },
            Fault::HalfChunk { at, clean: false },
            Fault::HalfChunk { at, clean: true },
            Fault::Stall { at },
            Fault::MalformedSse { at },
            Fault::MalformedJson { at },
            Fault::ErrorEvent {
                at,
                error_type: None,
            },
            Fault::HugeChunk {
                at,
                bytes: 2 * 1024 * 1024,
            },
        ]);
    }
    faults
}

impl Ask {
    /// A plain request of a patient client.
    pub(crate) fn plain(name: String, surface: Surface, stream: bool) -> Self {
        Self {
            name,
            surface,
            stream,
            route: if surface == Surface::Messages {
                "claude"
            } else {
                "any"
            },
            model: 0,
            script: Script::tokens(25),
            manner: Manner::Patient,
        }
    }

    pub(crate) fn draw(name: String, dice: &mut fastrand::Rng) -> Self {
        let surface = Surface::ALL[dice.usize(0..3)];
        let mut ask = Self::plain(name, surface, dice.bool());
        if surface == Surface::Chat && dice.u8(0..3) == 0 {
            ask.route = "claude";
        }
        ask.script.pace = Pace {
            headers_ms: dice.u64(0..20),
            first_token_ms: 0,
            inter_token_ms: dice.u64(0..4),
        };
        ask
    }

    pub(crate) fn text(&self) -> String {
        let script = serde_json::to_string(&self.script).unwrap();
        // Mostly words that are one token to a guess, as they are to the fake.
        let words = "one two three four five six seven eight nine ten eleven twelve";
        format!("[[fake:{script}]] {} {words}", self.name)
    }

    pub(crate) fn body(&self) -> Value {
        let model = format!("{}-m{}", self.route, self.model);
        self.surface.body(&model, self.stream, &self.text())
    }

    /// Asks, and reads to the end.
    pub(crate) async fn go(self, client: &reqwest::Client, url: &str) -> Asked {
        let mut words = 0;
        let going = self.answered(client, url, &mut words);
        let end = match self.manner {
            Manner::LeavesAfter(after_ms) => {
                let after = Duration::from_millis(after_ms);
                tokio::time::timeout(after, going).await
            }
            _ => tokio::time::timeout(Duration::from_secs(60), going)
                .await
                .or_else(|_| Ok(End::Odd("no end within a minute".to_owned()))),
        };
        Asked {
            end: end.unwrap_or(End::Left),
            words,
            ask: self,
        }
    }

    async fn answered(&self, client: &reqwest::Client, url: &str, words: &mut usize) -> End {
        let request = client.post(format!("{url}{}", self.surface.path()));
        let request = request
            .bearer_auth(KEY)
            .header("x-freehold-flow", &self.name);
        let mut response = match request.json(&self.body()).send().await {
            Ok(response) => response,
            Err(error) => return End::Lost(format!("{error:?}")),
        };
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let mut pieces = 0;
        loop {
            match self.manner {
                Manner::LeavesAt(at) if at <= pieces => return End::Left,
                Manner::Slow(pause_ms) => {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                _ => {}
            }
            match response.chunk().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => return End::Lost(format!("{error:?}")),
            }
            pieces += 1;
            if self.stream && status == 200 {
                let text = String::from_utf8_lossy(&body);
                *words = text.split("\n\n").map(|one| self.surface.words(one)).sum();
            }
        }
        let Ok(text) = String::from_utf8(body) else {
            return End::Odd("no UTF-8".to_owned());
        };
        self.end(status, &text)
    }

    /// Which end a whole body is.
    fn end(&self, status: u16, text: &str) -> End {
        if status != 200 || !self.stream {
            let Ok(body) = serde_json::from_str::<Value>(text) else {
                return End::Odd(format!("{status} {text:.300}"));
            };
            return match (status, body["error"]["message"].is_string()) {
                (200, false) => End::Whole,
                (400.., true) => End::Error(status, format!("{:.300}", body["error"]["message"])),
                _ => End::Odd(format!("{status} {text:.300}")),
            };
        }
        let frames: Vec<&str> = text.split_terminator("\n\n").collect();
        let ends = frames
            .iter()
            .filter(|one| self.surface.is_last(one))
            .count();
        let last = frames.last().copied().unwrap_or_default();
        if ends != 1 || !self.surface.is_last(last) || !text.ends_with("\n\n") {
            let tail = text.len().saturating_sub(600);
            let tail = text.ceil_char_boundary(tail);
            return End::Odd(format!("{ends} ends: ...{}", &text[tail..]));
        }
        if last.contains("\"error\"") || last.contains("event: error") {
            End::BrokenOff
        } else {
            End::Whole
        }
    }
}
