//! Any JSON that parses keeps its meaning when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let text = serde_json::to_string(&value).expect("a value that was read can be written");
        let again: Value = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(value, again);
    }
});
