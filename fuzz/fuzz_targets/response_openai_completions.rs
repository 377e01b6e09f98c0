//! Answers in OpenAI's legacy dialect.
#![no_main]

mod common;

use freehold_types::Dialect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| common::response(Dialect::OpenaiCompletions, bytes));
