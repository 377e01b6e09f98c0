//! The members of an object of an upstream's answer, each as it stands in the text: what nobody asks for is checked
//! and not read, and no tree is built of what is passed on as it came.

use std::borrow::Cow;
use std::fmt;

use freehold_types::Error;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use crate::error_body::garbled;

type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members, in their order. Of two with one name, the last one counts.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(SmallVec<[Member<'a>; 12]>);

impl<'a> Members<'a> {
    /// Takes a text apart.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn of(text: &'a str) -> Result<Option<Self>, Error> {
        if !text.trim_start().starts_with('{') {
            // Whether it is JSON at all is still to be told.
            return serde_json::from_str::<&RawValue>(text)
                .map(|_| None)
                .map_err(not_json);
        }
        serde_json::from_str(text).map(Some).map_err(not_json)
    }

    /// Takes one out; `None` when it is not there.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a str> {
        let mut found = None;
        self.0.retain(|(key, value)| {
            let is_it = key == name;
            if is_it {
                found = Some(value.get());
            }
            !is_it
        });
        found
    }

    /// Takes a text out; `None` when it is not there, or no text.
    ///
    /// # Errors
    /// When it is a text that cannot be read.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            Some(text) if text.starts_with('"') => {
                serde_json::from_str(text).map(Some).map_err(not_json)
            }
            _ => Ok(None),
        }
    }

    /// A text that stays where it is; `None` when it is not there, or no text.
    ///
    /// # Errors
    /// As for [`Members::text`].
    pub(crate) fn peek_text(&self, name: &str) -> Result<Option<String>, Error> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        match found.map(|(_, value)| value.get()) {
            Some(text) if text.starts_with('"') => {
                serde_json::from_str(text).map(Some).map_err(not_json)
            }
            _ => Ok(None),
        }
    }

    /// Takes a number that is not below zero; `None` when it is not there, or no such number.
    pub(crate) fn count(&mut self, name: &str) -> Option<u64> {
        serde_json::from_str(self.take(name)?).ok()
    }

    /// Takes any value; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read: it nests too deep, or a number is too large.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<Value>, Error> {
        self.take(name).map(value).transpose()
    }

    /// What is left, without what is null.
    ///
    /// # Errors
    /// As for [`Members::value`].
    pub(crate) fn rest(self) -> Result<Map<String, Value>, Error> {
        let mut map = Map::new();
        for (key, text) in self.0 {
            map.insert(key.into_owned(), value(text.get())?);
        }
        map.retain(|_, value| !value.is_null());
        Ok(map)
    }
}

/// The elements of a list, as they stand in the text; `None` when it is no list.
///
/// # Errors
/// When it is no JSON.
pub(crate) fn elements(text: &str) -> Result<Option<Vec<&RawValue>>, Error> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(not_json)
}

fn value(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> Error {
    garbled(format_args!("it is not JSON ({:?})", error.classify()))
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(key) = access.next_key_seed(Key)? {
                    members.0.push((key, access.next_value()?));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A name, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_taken_and_the_rest_stays_in_order() {
        let text = r#" {"z": 1, "a\u0062": "t\n", "n": null, "c": 2, "c": -3, "y": [1, {"x": 0}], "z": 4} "#;
        let mut members = Members::of(text).unwrap().unwrap();
        assert_eq!(members.text("ab").unwrap().as_deref(), Some("t\n"));
        assert_eq!(members.text("ab").unwrap(), None);
        assert_eq!(members.count("c"), None, "the last one counts");
        assert_eq!(members.count("missing"), None);
        let rest = Value::Object(members.rest().unwrap());
        assert_eq!(
            rest.to_string(),
            json!({"z": 4, "y": [1, {"x": 0}]}).to_string()
        );
    }

    #[test]
    fn what_is_no_json_is_refused_wherever_it_stands() {
        for broken in [
            "",
            "{",
            r#"{"a": nul}"#,
            r#"{"a": {"b": [1,]}}"#,
            "{} x",
            "[1",
            r#"{"a": 01}"#,
        ] {
            assert!(Members::of(broken).is_err(), "{broken}");
        }
        assert!(Members::of("[1]").unwrap().is_none());
        let mut members = Members::of(r#"{"a": "\ud800", "b": 1e999, "c": "\ud800"}"#)
            .unwrap()
            .unwrap();
        assert!(members.text("a").is_err());
        assert!(members.value("b").is_err());
        assert!(members.rest().is_err());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(
            Members::of(&format!("{{\"a\": {deep}}}"))
                .unwrap()
                .unwrap()
                .rest()
                .is_err()
        );
    }
}
