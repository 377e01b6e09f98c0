//! Requests in OpenAI's chat dialect.
#![no_main]

mod common;

use freehold_types::Dialect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| common::request(Dialect::OpenaiChat, bytes));
