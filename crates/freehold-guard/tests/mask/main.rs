//! What is masked does not leave, and comes back.

mod answers;
mod forgery;
mod places;
mod properties;
mod redaction;
mod surrogates;
mod vaults;

use freehold_guard::{
    Entity, Hit, MaskError, MaskRules, MaskStyle, Masked, Scan, TextScan, Vault, mask,
};
use freehold_types::request::Prompt;
use freehold_types::{Dialect, Message, Request, Role};

pub(crate) const SECRET: &[u8] = b"the gateway's own secret";

pub(crate) fn vault() -> Vault {
    Vault::new("acme", "conversation 1", SECRET)
}

pub(crate) fn request() -> Request {
    Request::new(Dialect::OpenaiChat, "auto", vec![])
}

pub(crate) fn ask(text: &str) -> Request {
    Request {
        messages: vec![Message::text(Role::User, text)],
        ..request()
    }
}

/// A detector that knows these values.
pub(crate) fn knows<'k>(values: &'k [(&'static str, &str)]) -> impl Fn(&str) -> TextScan + 'k {
    move |text| TextScan {
        hits: values
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .flat_map(|(entity, value)| {
                text.match_indices(value).map(|(at, found)| Hit {
                    entity: Entity::from(*entity),
                    range: at..at + found.len(),
                    confidence: 1.0,
                })
            })
            .collect(),
        incomplete: None,
    }
}

pub(crate) fn all(style: MaskStyle) -> MaskRules {
    MaskRules::new().with_all_others(style)
}

/// Masks with a detector that knows these values.
pub(crate) fn masked(
    request: &Request,
    values: &[(&'static str, &str)],
    style: MaskStyle,
    vault: &mut Vault,
) -> Result<Masked, MaskError> {
    mask(
        request,
        &Scan::default(),
        &knows(values),
        &all(style),
        vault,
    )
}

/// Masks one user's text and gives back what is sent.
pub(crate) fn sent(
    text: &str,
    values: &[(&'static str, &str)],
    style: MaskStyle,
    vault: &mut Vault,
) -> String {
    let asked = Request {
        prompt: Some(Prompt::Text(text.to_owned())),
        ..request()
    };
    let masked = masked(&asked, values, style, vault).expect("it can be masked");
    let Some(Prompt::Text(text)) = masked.request.prompt else {
        panic!("no prompt");
    };
    text
}

/// The tag in a placeholder.
pub(crate) fn tag(placeholder: &str) -> &str {
    placeholder
        .trim_end_matches('>')
        .rsplit('_')
        .next()
        .unwrap_or_default()
}
