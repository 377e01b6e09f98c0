//! What the tests with a real model share.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use freehold_llama::{
    EndReason, Engine, EngineSettings, GenerateRequest, Generation, Output, Prompt, RequestError,
    TokenCounts, TokenLogprob,
};

/// The model file that `FREEHOLD_TEST_MODEL` names.
pub(crate) fn model_path() -> PathBuf {
    let path = std::env::var_os("FREEHOLD_TEST_MODEL")
        .map(PathBuf::from)
        .expect(
            "FREEHOLD_TEST_MODEL must name a GGUF file of an instruct model, such as the one that \
         `freehold models pull` fetches",
        );
    assert!(
        path.is_file(),
        "FREEHOLD_TEST_MODEL names {}, which is no file",
        path.display()
    );
    path
}

/// Small, and on one thread: tests run side by side, and threads that wait for each other suffer
/// most on a busy machine.
pub(crate) fn settings() -> EngineSettings {
    EngineSettings {
        context_tokens: Some(2048),
        threads: NonZeroUsize::new(1),
        ..EngineSettings::new(model_path())
    }
}

pub(crate) fn engine() -> Engine {
    Engine::load(&settings()).expect("the model loads")
}

/// A ChatML prompt, which SmolLM2 and many others understand.
pub(crate) fn chat(user: &str) -> Prompt {
    Prompt::Text(format!(
        "<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    ))
}

/// A request that draws greedily and ends after `max_tokens`.
pub(crate) fn greedy(prompt: Prompt, max_tokens: u64) -> GenerateRequest {
    let mut request = GenerateRequest::new(prompt);
    request.sampling.temperature = Some(0.0);
    request.max_tokens = Some(max_tokens);
    request
}

/// An answer, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) texts: Vec<String>,
    pub(crate) logprobs: Vec<Vec<TokenLogprob>>,
    pub(crate) ends: Vec<Option<EndReason>>,
    pub(crate) counts: Option<TokenCounts>,
    pub(crate) cached: Option<u32>,
    pub(crate) error: Option<RequestError>,
}

/// Reads an answer to its end and checks that its steps come in order.
pub(crate) fn collect(mut generation: Generation) -> Answer {
    let mut answer = Answer::default();
    let mut is_over = false;
    while let Some(output) = generation.blocking_next() {
        assert!(!is_over, "{output:?} came after the end");
        match output {
            Output::Started { cached_tokens, .. } => {
                assert_eq!(answer, Answer::default(), "it starts first and once");
                answer.cached = Some(cached_tokens);
            }
            Output::Text {
                choice,
                text,
                logprobs,
                ..
            } => {
                let choice = grow(&mut answer, choice);
                assert_eq!(
                    answer.ends[choice], None,
                    "text after the end of choice {choice}"
                );
                answer.texts[choice].push_str(&text);
                answer.logprobs[choice].extend(logprobs);
            }
            Output::Finished { choice, reason } => {
                let choice = grow(&mut answer, choice);
                assert_eq!(
                    answer.ends[choice].replace(reason),
                    None,
                    "one end per choice"
                );
            }
            Output::Done(counts) => {
                answer.counts = Some(counts);
                is_over = true;
            }
            Output::Failed(error) => {
                answer.error = Some(error);
                is_over = true;
            }
        }
    }
    answer
}

fn grow(answer: &mut Answer, choice: u32) -> usize {
    let choice = choice as usize;
    while answer.texts.len() <= choice {
        answer.texts.push(String::new());
        answer.logprobs.push(Vec::new());
        answer.ends.push(None);
    }
    choice
}
