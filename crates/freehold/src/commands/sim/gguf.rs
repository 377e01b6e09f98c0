//! The shape of a model in a GGUF file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use freehold_sim::{GgufValue, ModelShape};
use gguf_rs_lib::format::MetadataValue;
use gguf_rs_lib::reader::open_gguf_file;

/// Whether a file begins as GGUF files do, whatever it is called: the model store names files by their hash.
pub(super) fn is_one(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"GGUF"
}

/// Reads the metadata; the tensors' data stays where it is.
pub(super) fn shape(path: &Path) -> anyhow::Result<ModelShape> {
    let unread = || format!("{} is no GGUF file that can be read", path.display());
    let file = open_gguf_file(path).with_context(unread)?;
    let metadata: BTreeMap<String, GgufValue> = file
        .metadata()
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), told(value)?)))
        .collect();
    let name = match metadata.get("general.name") {
        Some(GgufValue::Text(name)) if !name.is_empty() => name.clone(),
        _ => path
            .file_stem()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned(),
    };
    Ok(ModelShape::from_gguf(&name, &metadata)?)
}

fn told(value: &MetadataValue) -> Option<GgufValue> {
    Some(match value {
        MetadataValue::String(text) => GgufValue::Text(text.clone()),
        MetadataValue::Array(array) => {
            let numbers: Option<Vec<f64>> = array.values.iter().map(number).collect();
            // A vocabulary has hundreds of thousands of texts, of which only the count matters.
            numbers.map_or(GgufValue::Length(array.length), GgufValue::Numbers)
        }
        single => GgufValue::Number(number(single)?),
    })
}

fn number(value: &MetadataValue) -> Option<f64> {
    Some(match value {
        MetadataValue::U8(value) => f64::from(*value),
        MetadataValue::I8(value) => f64::from(*value),
        MetadataValue::U16(value) => f64::from(*value),
        MetadataValue::I16(value) => f64::from(*value),
        MetadataValue::U32(value) => f64::from(*value),
        MetadataValue::I32(value) => f64::from(*value),
        MetadataValue::F32(value) => f64::from(*value),
        MetadataValue::U64(value) => *value as f64,
        MetadataValue::I64(value) => *value as f64,
        MetadataValue::F64(value) => *value,
        MetadataValue::Bool(value) => f64::from(u8::from(*value)),
        MetadataValue::String(_) | MetadataValue::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A GGUF file of metadata alone: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
    fn file(entries: &[(&str, MetadataValue)]) -> tempfile::NamedTempFile {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend((entries.len() as u64).to_le_bytes());
        for (key, value) in entries {
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend((value.value_type() as u32).to_le_bytes());
            value.write_to(&mut bytes).unwrap();
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn a_files_metadata_is_its_shape() {
        let number = MetadataValue::U32;
        let text = |text: &str| MetadataValue::String(text.to_owned());
        let written = file(&[
            ("general.architecture", text("llama")),
            ("general.name", text("Small")),
            ("general.file_type", number(1)),
            ("llama.block_count", number(30)),
            ("llama.embedding_length", number(576)),
            ("llama.feed_forward_length", number(1_536)),
            ("llama.attention.head_count", number(9)),
            ("llama.attention.head_count_kv", number(3)),
            ("llama.context_length", number(2_048)),
            ("llama.vocab_size", number(49_152)),
        ]);
        assert!(is_one(written.path()));
        let shape = shape(written.path()).unwrap();
        assert_eq!((shape.name.as_str(), shape.layers), ("Small", 30));
        assert_eq!((shape.hidden, shape.kv_heads, shape.head_dim), (576, 3, 64));
        assert_eq!(shape.context_tokens, 2_048);
    }

    #[test]
    fn what_is_cut_or_lacks_something_is_told() {
        let mut cut = tempfile::NamedTempFile::new().unwrap();
        cut.write_all(b"GGUF\x03\0\0\0\xff\xff\xff\xff").unwrap();
        let error = format!("{:#}", shape(cut.path()).unwrap_err());
        assert!(
            error.contains("is no GGUF file that can be read"),
            "{error}"
        );
        let bare = file(&[(
            "general.architecture",
            MetadataValue::String("llama".into()),
        )]);
        let error = format!("{:#}", shape(bare.path()).unwrap_err());
        assert!(error.contains("embedding_length"), "{error}");
    }
}
