//! The members of an object of an upstream's answer, each as it stands in the text: what nobody asks for is checked
//! and not read, and no tree is built of what is passed on as it came.

use std::borrow::Cow;

use freehold_types::Error;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use crate::error_body::garbled;
use crate::json;

type Member<'a> = (Cow<'a, str>, &'a str);

/// The members, in their order. Of two with one name, the last one counts.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(SmallVec<[Member<'a>; 12]>);

impl<'a> Members<'a> {
    /// Takes a text apart; `None` when it is no object.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn of(text: &'a str) -> Result<Option<Self>, Error> {
        // The one look at every byte: what follows goes from quote to quote.
        let checked: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        Self::within(checked.get())
    }

    /// Takes apart what stands in a text that was taken apart; `None` when it is no object.
    ///
    /// # Errors
    /// When a name in it cannot be read.
    pub(crate) fn within(text: &'a str) -> Result<Option<Self>, Error> {
        if !text.starts_with('{') {
            return Ok(None);
        }
        let found = json::members(text.as_bytes(), 0).ok_or_else(unreadable)?;
        let member = |member: json::Member<'a>| Some((member.key, text.get(member.value_span)?));
        let members: Option<_> = found.into_iter().map(member).collect();
        members.map(|all| Some(Self(all))).ok_or_else(unreadable)
    }

    /// Takes one out; `None` when it is not there.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a str> {
        let (_, value) = *self.find(name)?;
        self.0.retain(|(key, _)| key != name);
        Some(value)
    }

    fn find(&self, name: &str) -> Option<&Member<'a>> {
        self.0.iter().rev().find(|(key, _)| key == name)
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
        match self.find(name) {
            Some((_, text)) if text.starts_with('"') => {
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
            map.insert(key.into_owned(), value(text)?);
        }
        map.retain(|_, value| !value.is_null());
        Ok(map)
    }
}

/// The elements of a list in a text that was taken apart, as they stand there; `None` when it is no list.
pub(crate) fn elements(text: &str) -> Option<Vec<&str>> {
    let found = json::elements(text.as_bytes(), 0)?;
    found.into_iter().map(|span| text.get(span)).collect()
}

fn value(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(not_json)
}

fn unreadable() -> Error {
    garbled("it is not JSON (a name in it cannot be read)")
}

fn not_json(error: serde_json::Error) -> Error {
    garbled(format_args!("it is not JSON ({:?})", error.classify()))
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
    fn what_stands_within_is_taken_apart_without_another_look() {
        let text = r#"{"list": [ {"a": "]},{", "b": [1, 2]}, "x\"]", -1.5e3 , null, [] ], "empty": [ ], "none": 7}"#;
        let members = Members::of(text).unwrap().unwrap();
        let mut members = members;
        let list = elements(members.take("list").unwrap()).unwrap();
        assert_eq!(
            list,
            [
                r#"{"a": "]},{", "b": [1, 2]}"#,
                r#""x\"]""#,
                "-1.5e3",
                "null",
                "[]"
            ]
        );
        let mut inner = Members::within(list[0]).unwrap().unwrap();
        assert_eq!(inner.text("a").unwrap().as_deref(), Some("]},{"));
        assert_eq!(elements(inner.take("b").unwrap()).unwrap(), ["1", "2"]);
        assert!(Members::within(list[1]).unwrap().is_none());
        assert_eq!(elements(members.take("empty").unwrap()), Some(vec![]));
        assert_eq!(elements(members.take("none").unwrap()), None);
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
        assert!(Members::of(r#"{"a": 1, "\ud800": 2}"#).is_err());
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
