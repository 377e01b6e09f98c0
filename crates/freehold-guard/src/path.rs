//! Where in the request a string stands, written down only when something was found there.

use std::fmt::Write;

/// One step into the request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// A field of the canonical request.
    Field(&'static str),
    /// A place in a list.
    Index(usize),
    /// A key of the client's own JSON.
    Key(&'a str),
    /// A key that holds a piece of what must not be told.
    Hidden,
}

/// Keys longer than this are not written out.
const KEY_BYTES_MAX: usize = 64;

/// The path in words: `messages[1].content[0].text`.
///
/// Keys come from the client and can themselves be what must not be told: those in which something
/// is found (`is_clean` says), and long ones, become `*`.
pub(crate) fn render(steps: &[Step<'_>], is_clean: &dyn Fn(&str) -> bool) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Index(index) => {
                // Writing to a string cannot fail.
                let _ = write!(path, "[{index}]");
            }
            Step::Field(name) => push(&mut path, name),
            Step::Key(key) => {
                let may_be_told = key.len() <= KEY_BYTES_MAX && is_clean(key);
                push(&mut path, if may_be_told { key } else { "*" });
            }
            Step::Hidden => push(&mut path, "*"),
        }
    }
    path
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
