//! Files that others made: data sets of evaluations, the header of a GGUF file, a model's `config.json`, what a judge
//! says. The first byte says which.
#![no_main]

use std::collections::BTreeMap;
use std::io::Cursor;

use freehold_proof::dataset;
use freehold_proof::scorers::judge::{read_grade, read_verdict};
use freehold_sim::{GgufValue, ModelShape};
use gguf_rs_lib::format::MetadataValue;
use gguf_rs_lib::reader::GGUFFileReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((form, bytes)) = bytes.split_first() else {
        return;
    };
    if form % 4 == 0 {
        return gguf(bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match form % 4 {
        1 => data_set(text),
        2 => {
            let config = serde_json::from_str(text).unwrap_or_default();
            let _ = ModelShape::from_hugging_face("fuzzed", &config).map(|shape| sound(&shape));
        }
        _ => {
            let _ = read_grade(text);
            let _ = read_verdict(text);
        }
    }
});

/// Rows are cases or told as bad, and nothing is both or neither.
fn data_set(text: &str) {
    if let Ok(read) = dataset::read(text, None) {
        let cases = read.set.cases().len() as u64 + read.bad.len() as u64 + read.repeated;
        assert_eq!(cases, read.rows);
    }
}

fn gguf(bytes: &[u8]) {
    let Ok(file) = GGUFFileReader::new(Cursor::new(bytes)) else {
        return;
    };
    let entries = file.metadata().iter().filter_map(|(key, value)| {
        let told = match value {
            MetadataValue::String(text) => GgufValue::Text(text.clone()),
            MetadataValue::Array(array) => GgufValue::Length(array.length),
            MetadataValue::U32(number) => GgufValue::Number(f64::from(*number)),
            MetadataValue::F32(number) => GgufValue::Number(f64::from(*number)),
            #[expect(clippy::cast_precision_loss, reason = "as the command reads it")]
            MetadataValue::U64(number) => GgufValue::Number(*number as f64),
            _ => return None,
        };
        Some((key.clone(), told))
    });
    let metadata: BTreeMap<_, _> = entries.collect();
    let _ = ModelShape::from_gguf("fuzzed", &metadata).map(|shape| sound(&shape));
}

/// Whatever reads a shape divides by these.
fn sound(shape: &ModelShape) {
    assert!(shape.layers > 0 && shape.hidden > 0, "{shape:?}");
    assert!(
        shape.parameters().is_finite() && shape.parameters() > 0.0,
        "{shape:?}"
    );
}
