//! The flows that were discovered, not too many of them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use freehold_route::{DISCOVERED, discover_flow};
use freehold_types::{FlowName, Request};

/// So many flows are told apart; a program whose instructions differ each time would make one of
/// every request.
const FLOWS_MAX: usize = 1_000;

/// Names the flow of requests whose caller names none.
#[derive(Default)]
pub(crate) struct Flows(Mutex<HashSet<FlowName>>);

impl Flows {
    /// The flow that a request's instructions and tools tell; `auto-other` for those that are new
    /// when there are too many already.
    pub(crate) fn discover(&self, request: &Request) -> Option<FlowName> {
        let flow = discover_flow(request)?;
        // The set stays whole whatever happens while it is held.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&flow) {
            if known.len() >= FLOWS_MAX {
                return Some(FlowName::from(format!("{DISCOVERED}other")));
            }
            known.insert(flow.clone());
        }
        Some(flow)
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::{Dialect, Message, Role};

    use super::*;

    fn request(system: &str) -> Request {
        Request::new(
            Dialect::OpenaiChat,
            "m",
            vec![Message::text(Role::System, system)],
        )
    }

    #[test]
    fn there_are_not_too_many() {
        let flows = Flows::default();
        let letters = |number: usize| -> String {
            let digits = number.to_string();
            let digits = digits.bytes();
            digits
                .map(|digit| char::from(digit - b'0' + b'a'))
                .collect()
        };
        let first = flows.discover(&request("answer the first of all questions"));
        for number in 1..FLOWS_MAX {
            let text = format!("answer in the way of {} please", letters(number));
            let flow = flows.discover(&request(&text)).unwrap();
            assert_ne!(flow.as_str(), "auto-other", "{number}");
        }
        let further = flows.discover(&request("answer the last of all questions"));
        assert_eq!(further.unwrap().as_str(), "auto-other");
        let known = flows.discover(&request("answer the first of all questions"));
        assert_eq!(known, first);
    }
}
