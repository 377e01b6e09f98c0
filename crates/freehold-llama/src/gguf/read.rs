//! The bounded reader behind [`super::Header`].

use std::io::{self, Read};

use super::{TEXT_BYTES_MAX, Value};
use crate::error::GgufError;

/// Arrays of numbers up to this length are kept: enough for one number per layer.
const KEPT_NUMBERS_MAX: u64 = 1_024;
/// Arrays inside arrays: none are known.
const NESTING_MAX: u32 = 1;
/// Dimensions of a tensor, as ggml defines them.
const DIMENSIONS_MAX: u32 = 4;

pub(super) struct HeaderReader<R> {
    source: R,
    position: u64,
    file_bytes: u64,
    version: u32,
}

impl<R: Read> HeaderReader<R> {
    pub(super) fn new(source: R, file_bytes: u64) -> Self {
        Self {
            source,
            position: 0,
            file_bytes,
            version: 0,
        }
    }

    /// Magic, version and the two counts: tensors and entries.
    pub(super) fn preamble(&mut self) -> Result<(u64, u64), GgufError> {
        let magic: [u8; 4] = self.bytes().map_err(|_| GgufError::NotGguf)?;
        if &magic != b"GGUF" {
            return Err(GgufError::NotGguf);
        }
        self.version = self.u32()?;
        if !(2..=3).contains(&self.version) {
            return Err(GgufError::Version(self.version));
        }
        Ok((self.u64()?, self.u64()?))
    }

    pub(super) fn entry(&mut self) -> Result<(String, Value), GgufError> {
        let key = self.text()?;
        let kind = self.u32()?;
        let value = self.value(kind, 0)?;
        Ok((key, value))
    }

    /// Reads the tensors' descriptions, checks that the file holds their data, and adds up their
    /// elements.
    pub(super) fn tensors(&mut self, count: u64, alignment: u64) -> Result<u64, GgufError> {
        let mut elements_total: u64 = 0;
        let mut data_end: u64 = 0;
        for _ in 0..count {
            self.text()?;
            let dimensions = self.u32()?;
            if dimensions > DIMENSIONS_MAX {
                return Err(GgufError::Malformed("a tensor has too many dimensions"));
            }
            let mut elements: u64 = 1;
            for _ in 0..dimensions {
                elements = elements
                    .checked_mul(self.u64()?)
                    .ok_or(GgufError::Malformed("a tensor's size overflows"))?;
            }
            let kind = self.u32()?;
            let offset = self.u64()?;
            if !offset.is_multiple_of(alignment) {
                return Err(GgufError::Malformed("a tensor is not aligned"));
            }
            let end = tensor_bytes(kind, elements)
                .and_then(|bytes| offset.checked_add(bytes))
                .ok_or(GgufError::Malformed("a tensor's size overflows"))?;
            data_end = data_end.max(end);
            elements_total = elements_total
                .checked_add(elements)
                .ok_or(GgufError::Malformed("the tensors' sizes overflow"))?;
        }
        let data_start = self.position.next_multiple_of(alignment);
        let needed_bytes = data_start
            .checked_add(data_end)
            .ok_or(GgufError::Malformed("the tensors' sizes overflow"))?;
        if needed_bytes > self.file_bytes {
            return Err(GgufError::Truncated {
                needed_bytes,
                actual_bytes: self.file_bytes,
            });
        }
        Ok(elements_total)
    }

    fn value(&mut self, kind: u32, nesting: u32) -> Result<Value, GgufError> {
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.bytes::<1>()?[0])),
            1 => Value::Signed(i64::from(i8::from_le_bytes(self.bytes()?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.bytes()?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.bytes()?))),
            4 => Value::Unsigned(u64::from(self.u32()?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(self.bytes()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.bytes()?))),
            7 => Value::Bool(self.bytes::<1>()?[0] != 0),
            8 => Value::Text(self.text()?),
            9 => self.array(nesting)?,
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.bytes()?)),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            _ => {
                return Err(GgufError::Malformed(
                    "a metadata value is of an unknown type",
                ));
            }
        })
    }

    fn array(&mut self, nesting: u32) -> Result<Value, GgufError> {
        if nesting >= NESTING_MAX {
            return Err(GgufError::Malformed("arrays are nested"));
        }
        let kind = self.u32()?;
        let length = self.u64()?;
        let element_bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => return self.text_array(length),
            _ => return Err(GgufError::Malformed("an array is of an unknown type")),
        };
        if kind != 6 && kind != 12 && length <= KEPT_NUMBERS_MAX {
            let mut numbers = Vec::new();
            for _ in 0..length {
                numbers.push(match self.value(kind, nesting + 1)? {
                    Value::Unsigned(value) => value,
                    Value::Signed(value) => u64::try_from(value).unwrap_or(0),
                    Value::Bool(value) => u64::from(value),
                    _ => 0,
                });
            }
            return Ok(Value::Numbers(numbers));
        }
        let bytes = length
            .checked_mul(element_bytes)
            .ok_or(GgufError::Malformed("an array's size overflows"))?;
        self.skip(bytes)?;
        Ok(Value::Array { length })
    }

    fn text_array(&mut self, length: u64) -> Result<Value, GgufError> {
        // Each text takes eight bytes at least, so that the count is bounded by the file's size.
        if length > self.file_bytes / 8 {
            return Err(self.truncated(length.saturating_mul(8)));
        }
        for _ in 0..length {
            let bytes = self.u64()?;
            self.skip(bytes)?;
        }
        Ok(Value::Array { length })
    }

    fn text(&mut self) -> Result<String, GgufError> {
        let length = self.u64()?;
        if length > TEXT_BYTES_MAX {
            return Err(GgufError::Malformed("a text is too long"));
        }
        if length > self.file_bytes.saturating_sub(self.position) {
            return Err(self.truncated(length));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), GgufError> {
        let length = bytes.len() as u64;
        self.source
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.truncated(length),
                _ => GgufError::Io(error),
            })?;
        self.position += length;
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), GgufError> {
        if bytes > self.file_bytes.saturating_sub(self.position) {
            return Err(self.truncated(bytes));
        }
        let skipped = io::copy(&mut self.source.by_ref().take(bytes), &mut io::sink())
            .map_err(GgufError::Io)?;
        if skipped < bytes {
            return Err(self.truncated(bytes));
        }
        self.position += bytes;
        Ok(())
    }

    fn truncated(&self, wanted_bytes: u64) -> GgufError {
        GgufError::Truncated {
            needed_bytes: self.position.saturating_add(wanted_bytes),
            actual_bytes: self.file_bytes,
        }
    }
}

/// Bytes of `elements` elements of ggml type `kind`; `None` on overflow. Types that are not listed
/// count as nothing: llama.cpp checks them itself, this is only to recognise a cut file.
fn tensor_bytes(kind: u32, elements: u64) -> Option<u64> {
    let (block_elements, block_bytes) = match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        2 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        24 => (1, 1),
        27 | 28 => (1, 8),
        39 => (32, 17),
        _ => (1, 0),
    };
    elements.div_ceil(block_elements).checked_mul(block_bytes)
}
