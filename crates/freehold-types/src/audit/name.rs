//! The only kind of string in an audit record.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An [`AuditName`] has at most so many characters.
pub const AUDIT_NAME_CHARS_MAX: usize = 128;

/// A bounded name in an audit record: printable ASCII without spaces, quotes and backslashes.
///
/// Anything else is percent-encoded as UTF-8, like `%` itself, so that different names stay
/// different. What is too long is cut and ends with `~`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditName(Arc<str>);

impl AuditName {
    /// The name, encoded and cut as above.
    pub fn new(name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let plain = name.len() <= AUDIT_NAME_CHARS_MAX
            && name.bytes().all(|byte| is_plain(byte) && byte != b'%');
        if plain {
            return Self(Arc::from(name));
        }
        Self(Arc::from(encode(name)))
    }

    /// The name as it stands in the record.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
}

fn encode(name: &str) -> String {
    use fmt::Write;
    let mut encoded = String::with_capacity(AUDIT_NAME_CHARS_MAX);
    for byte in name.bytes() {
        let width = if is_plain(byte) && byte != b'%' { 1 } else { 3 };
        if encoded.len() + width >= AUDIT_NAME_CHARS_MAX {
            encoded.push('~');
            break;
        }
        if width == 1 {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

impl fmt::Display for AuditName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AuditName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl From<&str> for AuditName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl Serialize for AuditName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AuditName {
    /// A name as it stands in a record; anything else is refused.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if text.len() > AUDIT_NAME_CHARS_MAX || !text.bytes().all(is_plain) {
            return Err(serde::de::Error::custom("not a name of an audit record"));
        }
        Ok(Self(Arc::from(text.as_ref())))
    }
}
