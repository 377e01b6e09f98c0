//! Streams in OpenAI's chat dialect, cut in several ways.
#![no_main]

mod common;

use freehold_types::Dialect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| common::stream(Dialect::OpenaiChat, bytes));
