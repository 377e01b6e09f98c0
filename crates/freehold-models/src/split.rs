//! Names of GGUF files split into parts: `model-00001-of-00003.gguf`.

/// More parts than the largest published models have; keeps one pull bounded.
pub(crate) const PARTS_MAX: u32 = 512;

const DIGITS: usize = 5;

/// The names of all parts, first to last, when `file_name` is a part of a split GGUF.
pub(crate) fn all_parts(file_name: &str) -> Option<Vec<String>> {
    let stem = file_name.strip_suffix(".gguf")?;
    let (front, total) = stem.rsplit_once("-of-")?;
    let (prefix, index) = front.rsplit_once('-')?;
    let (index, total) = (number(index)?, number(total)?);
    if prefix.is_empty() || index == 0 || index > total || total > PARTS_MAX {
        return None;
    }
    Some(
        (1..=total)
            .map(|part| format!("{prefix}-{part:05}-of-{total:05}.gguf"))
            .collect(),
    )
}

fn number(text: &str) -> Option<u32> {
    (text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}
