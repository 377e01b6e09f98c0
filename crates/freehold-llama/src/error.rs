//! What can go wrong: while a model is loaded, and while a request is served.

use std::path::PathBuf;
use std::time::Duration;

/// Why a GGUF file's header was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file cannot be opened or read.
    #[error("the model file cannot be read")]
    Io(#[source] std::io::Error),
    /// The file does not begin as a GGUF file does.
    #[error("the file is not a GGUF file")]
    NotGguf,
    /// The file is of a version that this engine does not read.
    #[error("the file is of GGUF version {0}; versions 2 and 3 can be read")]
    Version(u32),
    /// The file ends before all that its header announces.
    #[error("the file is cut short: it has {actual_bytes} bytes and needs {needed_bytes}")]
    Truncated {
        /// Bytes that the header announces, as far as they could be added up.
        needed_bytes: u64,
        /// Bytes that are there.
        actual_bytes: u64,
    },
    /// The header contradicts itself or exceeds a limit.
    #[error("the file's header is malformed: {0}")]
    Malformed(&'static str),
}

/// Why a model was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The model file's header was not accepted.
    #[error("the model file was not accepted")]
    Gguf(#[from] GgufError),
    /// The engine's own libraries were found nowhere.
    #[error("the engine's CPU kernels were not found; searched {}", list(searched))]
    LibrariesMissing {
        /// The directories that were searched, in order.
        searched: Vec<PathBuf>,
    },
    /// llama.cpp could not be initialised.
    #[error("llama.cpp could not be initialised: {0}")]
    Initialise(String),
    /// The file is sound, but of an architecture that this build of llama.cpp does not know.
    #[error("the model's architecture, '{architecture}', is not supported")]
    UnsupportedArchitecture {
        /// `general.architecture` of the file.
        architecture: String,
    },
    /// The machine has too little memory.
    #[error(
        "the model needs about {needed_bytes} bytes of memory; {available_bytes} are available"
    )]
    NotEnoughMemory {
        /// Weights, cache and buffers together.
        needed_bytes: u64,
        /// What the machine, or the control group, has left.
        available_bytes: u64,
    },
    /// A setting is out of range.
    #[error("{setting}: {message}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The chat template in the file cannot be parsed.
    #[error("the model's chat template cannot be parsed: {0}")]
    Template(String),
    /// llama.cpp refused the file; its log says why.
    #[error("llama.cpp refused the model file (architecture '{architecture}'); its log says why")]
    Refused {
        /// `general.architecture` of the file.
        architecture: String,
    },
    /// The context (cache and buffers) could not be allocated.
    #[error("a context of {context_tokens} tokens could not be allocated")]
    Context {
        /// Size that was asked for.
        context_tokens: u32,
    },
    /// The tokenizer could not be prepared for constrained output.
    #[error("the model's vocabulary cannot be used for constrained output: {0}")]
    Vocabulary(String),
    /// The owner thread could not be started or died.
    #[error("the engine's thread could not be started: {0}")]
    Thread(String),
}

/// Why a request was refused or ended early.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// A field has a value that is out of range or makes no sense.
    #[error("{field}: {message}")]
    Invalid {
        /// The engine's name of the field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The prompt, or the prompt and the requested answer, exceed the context window.
    #[error(
        "the prompt has {prompt_tokens} tokens and the answer may have {answer_tokens}, \
         but the context window is {limit_tokens} tokens"
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// Tokens that the answer needs at least, or that were asked for.
        answer_tokens: u32,
        /// The context window.
        limit_tokens: u32,
    },
    /// As many requests are waiting as may wait.
    #[error("the engine's queue is full ({waiting} requests are waiting)")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
        /// When a place may be free, judged by the latest requests.
        retry_after: Duration,
    },
    /// The engine is shutting down or its thread has died.
    #[error("the engine is shutting down")]
    ShutDown,
    /// The chat template rejected the conversation.
    #[error("the model's chat template rejected the conversation: {0}")]
    Template(String),
    /// The schema or grammar that the output was to follow cannot be used.
    #[error("the output constraint cannot be used: {0}")]
    Constraint(String),
    /// The cache has no room even with nothing else in it.
    #[error("the engine's cache has no room for the request")]
    CacheExhausted,
    /// llama.cpp failed to evaluate a batch.
    #[error("the model could not be evaluated: {0}")]
    Evaluate(String),
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
