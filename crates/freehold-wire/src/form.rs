//! Events of a stream that differ from an earlier one in one text only. Most of them do, and then the earlier one says
//! what the rest means.

use std::borrow::Cow;

use freehold_types::{Delta, Event};

/// So many forms are made of one stream: one whose events never repeat gains nothing from them.
const FORMS_MAX: u8 = 4;

/// The form of the last event that added text to a part, if it was plain.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    form: Option<Form>,
    made: u8,
}

#[derive(Debug)]
struct Form {
    /// The event up to the text's opening quote, and from its closing quote on.
    before: Vec<u8>,
    after: Vec<u8>,
    /// The part of the answer that it adds to.
    choice: u32,
    part: u32,
}

impl Forms {
    /// What an event says that is the known one but for its text: the text, and the choice and the part that the known
    /// one added to. `None` when it has to be read.
    pub(crate) fn read<'d>(&self, data: &'d [u8]) -> Option<(&'d str, u32, u32)> {
        let form = self.form.as_ref()?;
        let rest = data.strip_prefix(form.before.as_slice())?;
        let text = rest.strip_suffix(form.after.as_slice())?;
        // Anything else might end the text, or mean something else than it says.
        let is_plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
        if text.is_empty() || !text.iter().all(is_plain) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some((text, form.choice, form.part))
    }

    /// Remembers an event that was read: `text` is its text, and `events` all that it said.
    pub(crate) fn learn(&mut self, data: &[u8], text: Option<&Cow<'_, str>>, events: &[Event]) {
        let Some(Cow::Borrowed(text)) = text else {
            return;
        };
        let [
            Event::PartDelta {
                choice,
                part,
                delta:
                    Delta::Text {
                        text: said,
                        logprobs,
                    },
            },
        ] = events
        else {
            return;
        };
        if said != text || !logprobs.is_empty() || self.made >= FORMS_MAX {
            return;
        }
        let Some(start) = (text.as_ptr() as usize).checked_sub(data.as_ptr() as usize) else {
            return;
        };
        let (Some(before), Some(after)) = (data.get(..start), data.get(start + text.len()..))
        else {
            return;
        };
        // A text that is not between quotes is not the one in the event.
        if before.last() != Some(&b'"') || after.first() != Some(&b'"') {
            return;
        }
        self.made += 1;
        self.form = Some(Form {
            before: before.to_owned(),
            after: after.to_owned(),
            choice: *choice,
            part: *part,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str) -> [Event; 1] {
        [Event::PartDelta {
            choice: 1,
            part: 2,
            delta: Delta::Text {
                text: text.to_owned(),
                logprobs: vec![],
            },
        }]
    }

    #[test]
    fn only_the_text_may_differ() {
        let mut forms = Forms::default();
        let known = r#"{"a": "x", "text": "one", "b": 1}"#;
        assert_eq!(forms.read(known.as_bytes()), None);
        let text = Cow::Borrowed(&known[20..23]);
        forms.learn(known.as_bytes(), Some(&text), &delta("one"));
        let read = |data: &'static str| forms.read(data.as_bytes());
        let same = r#"{"a": "x", "text": "two \u{e9}", "b": 1}"#.replace("\\u{e9}", "é");
        assert_eq!(forms.read(same.as_bytes()), Some(("two é", 1, 2)));
        for other in [
            r#"{"a": "y", "text": "two", "b": 1}"#,
            r#"{"a": "x", "text": "two", "b": 2}"#,
            r#"{"a": "x", "text": "", "b": 1}"#,
            r#"{"a": "x", "text": "t\no", "b": 1}"#,
            r#"{"a": "x", "text": "two", "c": "3", "b": 1}"#,
            "{\"a\": \"x\", \"text\": \"t\nwo\", \"b\": 1}",
            r#"{"a": "x", "text": "one"#,
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        let broken = [&b"{\"a\": \"x\", \"text\": \""[..], b"\xff\", \"b\": 1}"].concat();
        assert_eq!(forms.read(&broken), None);
    }

    #[test]
    fn what_is_not_plain_is_not_learnt() {
        let known = r#"{"text": "one"}"#;
        let text = Cow::Borrowed(&known[10..13]);
        let with_logprob = [Event::PartDelta {
            choice: 0,
            part: 0,
            delta: Delta::Refusal("one".to_owned()),
        }];
        let both = [delta("one"), delta("one")].concat();
        let elsewhere = "one".to_owned();
        let cases: [(Option<Cow<'_, str>>, &[Event]); 4] = [
            (None, &delta("one")),
            (Some(Cow::Owned("one".to_owned())), &delta("one")),
            (Some(text.clone()), &with_logprob),
            (Some(text), &both),
        ];
        for (text, events) in cases {
            let mut forms = Forms::default();
            forms.learn(known.as_bytes(), text.as_ref(), events);
            assert_eq!(forms.read(known.as_bytes()), None);
        }
        let mut forms = Forms::default();
        let text = Cow::Borrowed(elsewhere.as_str());
        forms.learn(known.as_bytes(), Some(&text), &delta("one"));
        assert_eq!(forms.read(known.as_bytes()), None);
    }
}
