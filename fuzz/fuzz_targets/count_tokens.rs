//! Count requests and counts.
#![no_main]

use bytes::Bytes;
use freehold_wire::{
    Limits, decode_count_tokens, decode_count_tokens_response, encode_count_tokens_request,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = decode_count_tokens_response(bytes);
    let body = Bytes::copy_from_slice(bytes);
    let Ok(mut request) = decode_count_tokens(body, &Limits::default()) else {
        return;
    };
    for _ in 0..2 {
        let body = encode_count_tokens_request(&request, "other").expect("it can be sent on");
        decode_count_tokens(body, &Limits::default()).expect("what was written can be read");
        request.raw = None;
    }
});
