//! Error answers of upstreams, of any status.
#![no_main]

mod common;

use bytes::Bytes;
use freehold_wire::{decode_error, encode_error};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (status, body) = input;
    for dialect in common::DIALECTS {
        let error = decode_error(dialect, status, None, Bytes::copy_from_slice(body));
        for target in common::DIALECTS {
            let body = encode_error(target, 500, &error, "req_1");
            serde_json::from_slice::<serde_json::Value>(&body).expect("an error is JSON");
        }
    }
});
