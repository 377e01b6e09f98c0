use super::*;

/// Builds GGUF bytes piece by piece.
#[derive(Default)]
struct Builder(Vec<u8>);

impl Builder {
    fn preamble(tensors: u64, entries: u64) -> Self {
        let mut builder = Self(b"GGUF".to_vec());
        builder.u32(3).u64(tensors).u64(entries);
        builder
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    fn read(&self) -> Result<Header, GgufError> {
        Header::read(self.0.as_slice(), self.0.len() as u64)
    }
}

fn sound() -> Builder {
    let mut builder = Builder::preamble(1, 4);
    builder.text("general.architecture").u32(8).text("llama");
    builder.text("llama.context_length").u32(4).u32(2048);
    builder
        .text("llama.attention.head_count_kv")
        .u32(9)
        .u32(4)
        .u64(2)
        .u32(3)
        .u32(5);
    builder
        .text("tokenizer.ggml.tokens")
        .u32(9)
        .u32(8)
        .u64(2)
        .text("a")
        .text("b");
    builder.text("weight").u32(2).u64(4).u64(8).u32(0).u64(0);
    let padded = builder.0.len().next_multiple_of(32) + 4 * 8 * 4;
    builder.0.resize(padded, 0);
    builder
}

#[test]
fn a_sound_header_is_read() {
    let header = sound().read().expect("sound");
    assert_eq!(header.text("general.architecture"), Some("llama"));
    assert_eq!(header.unsigned("llama.context_length"), Some(2048));
    assert_eq!(
        header.unsigned_max("llama.attention.head_count_kv"),
        Some(5)
    );
    assert_eq!(
        header.entries["tokenizer.ggml.tokens"],
        Value::Array { length: 2 }
    );
    assert_eq!(header.parameters, 32);
}

#[test]
fn every_cut_is_noticed() {
    let whole = sound().0;
    for length in 0..whole.len() {
        let error = Header::read(&whole[..length], length as u64).expect_err("cut");
        assert!(
            matches!(error, GgufError::Truncated { .. } | GgufError::NotGguf),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn every_flipped_byte_is_survived() {
    let whole = sound().0;
    for index in 0..whole.len() {
        for value in [0x00, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[index] = value;
            // Either answer is right; it must not panic, hang or eat the machine's memory.
            let _ = Header::read(bytes.as_slice(), bytes.len() as u64);
        }
    }
}

#[test]
fn hostile_counts_are_refused_without_allocating() {
    let mut long_text = Builder::preamble(0, 1);
    long_text.u64(u64::MAX);
    let mut long_array = Builder::preamble(0, 1);
    long_array.text("x").u32(9).u32(8).u64(u64::MAX);
    let mut wide_array = Builder::preamble(0, 1);
    wide_array.text("x").u32(9).u32(10).u64(u64::MAX / 4);
    let mut nested = Builder::preamble(0, 1);
    nested.text("x").u32(9).u32(9).u64(1).u32(9).u64(1);
    let mut huge_tensor = Builder::preamble(1, 0);
    huge_tensor
        .text("w")
        .u32(4)
        .u64(u64::MAX)
        .u64(2)
        .u64(2)
        .u64(2)
        .u32(0)
        .u64(0);
    let mut flat_tensor = Builder::preamble(1, 0);
    flat_tensor.text("w").u32(9).u64(1);
    let mut odd_alignment = Builder::preamble(0, 1);
    odd_alignment.text("general.alignment").u32(4).u32(0);
    for (name, builder) in [
        ("entries", Builder::preamble(0, u64::MAX)),
        ("tensors", Builder::preamble(u64::MAX, 0)),
        ("text", long_text),
        ("array", long_array),
        ("wide array", wide_array),
        ("nested", nested),
        ("tensor", huge_tensor),
        ("dimensions", flat_tensor),
        ("alignment", odd_alignment),
    ] {
        assert!(builder.read().is_err(), "{name}");
    }
}

#[test]
fn other_files_and_versions_are_named() {
    let read = |bytes: &[u8]| Header::read(bytes, bytes.len() as u64);
    assert!(matches!(
        read(b"PK\x03\x04 a zip file"),
        Err(GgufError::NotGguf)
    ));
    assert!(matches!(read(b""), Err(GgufError::NotGguf)));
    let mut old = b"GGUF".to_vec();
    old.extend(1_u32.to_le_bytes());
    assert!(matches!(read(&old), Err(GgufError::Version(1))));
}

#[test]
fn missing_tensor_data_is_noticed() {
    let mut bytes = sound().0;
    bytes.truncate(bytes.len() - 1);
    let error = Header::read(bytes.as_slice(), bytes.len() as u64).expect_err("cut");
    assert!(matches!(error, GgufError::Truncated { .. }), "{error:?}");
}
