//! Finds stop texts, also when they are spread over tokens.

/// Watches a text for stop texts and holds back what may turn out to be the beginning of one.
#[derive(Clone, Debug)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    pending: String,
}

/// What a [`StopMatcher`] lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Text that is certainly not part of a stop text.
    pub(crate) text: String,
    /// The stop text that was found after it. Nothing follows.
    pub(crate) stop: Option<String>,
}

impl StopMatcher {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self {
            stops,
            pending: String::new(),
        }
    }

    /// Adds text and returns what may pass.
    pub(crate) fn push(&mut self, text: &str) -> Passed {
        self.pending.push_str(text);
        // The earliest stop counts; of those at one place the longest, which says most.
        let found = self
            .stops
            .iter()
            .filter_map(|stop| Some((self.pending.find(stop.as_str())?, stop)))
            .min_by_key(|(place, stop)| (*place, usize::MAX - stop.len()));
        if let Some((place, stop)) = found {
            let stop = Some(stop.clone());
            self.pending.truncate(place);
            return Passed {
                text: std::mem::take(&mut self.pending),
                stop,
            };
        }
        let held = self.held_back();
        let passing = self.pending.len() - held;
        let rest = self.pending.split_off(passing);
        Passed {
            text: std::mem::replace(&mut self.pending, rest),
            stop: None,
        }
    }

    /// What was held back, now that nothing follows.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.pending)
    }

    /// Length of the longest end of `pending` that is the beginning of a stop text.
    fn held_back(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = self.pending.len().saturating_sub(longest.saturating_sub(1));
        (from..self.pending.len())
            .filter(|start| self.pending.is_char_boundary(*start))
            .find(|start| {
                self.stops
                    .iter()
                    .any(|stop| stop.starts_with(&self.pending[*start..]))
            })
            .map_or(0, |start| self.pending.len() - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in every possible way of two cuts and checks what comes out.
    fn check(stops: &[&str], text: &str, passed: &str, stop: Option<&str>) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let cuts: Vec<usize> = (0..=text.len())
            .filter(|cut| text.is_char_boundary(*cut))
            .collect();
        for &first in &cuts {
            for &second in cuts.iter().filter(|cut| **cut >= first) {
                let mut matcher = StopMatcher::new(stops.clone());
                let mut out = String::new();
                let mut found = None;
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    let step = matcher.push(piece);
                    out.push_str(&step.text);
                    found = step.stop;
                    if found.is_some() {
                        break;
                    }
                }
                if found.is_none() {
                    out.push_str(&matcher.finish());
                }
                assert_eq!(
                    (out.as_str(), found.as_deref()),
                    (passed, stop),
                    "{first} {second}"
                );
            }
        }
    }

    #[test]
    fn stops_are_found_over_boundaries() {
        check(&["END"], "some text END more", "some text ", Some("END"));
        check(&["END"], "some text EN", "some text EN", None);
        check(&["\n\n"], "a\nb\n\nc", "a\nb", Some("\n\n"));
        check(&["ände"], "am bände", "am b", Some("ände"));
        check(&["aab"], "aaab", "a", Some("aab"));
        check(&[], "anything", "anything", None);
    }

    #[test]
    fn text_without_a_beginning_of_a_stop_passes_at_once() {
        let mut matcher = StopMatcher::new(vec!["STOP".into()]);
        assert_eq!(matcher.push("hello").text, "hello");
        assert_eq!(matcher.push(" ST").text, " ");
        assert_eq!(matcher.push("AR").text, "STAR");
    }

    #[test]
    fn the_earliest_stop_wins() {
        let mut matcher = StopMatcher::new(vec!["b".into(), "ab".into(), "c".into()]);
        let passed = matcher.push("xabc");
        assert_eq!(
            passed,
            Passed {
                text: "x".into(),
                stop: Some("ab".into())
            }
        );
    }
}
