//! How a person is reached and found: e-mail, telephone, network and street addresses, dates, ages.
//!
//! [`detect`] looks for what a character announces (`@`, `://`); the rest depends on numbers and the
//! words around them and is called from the pass over those.

use std::ops::Range;

use super::Hit;
use super::identifiers::context::{Context, Topic, Topics};

mod age;
mod block;
pub(super) mod date;
mod email;
pub(super) mod network;
pub(super) mod phone;
mod postcode;
pub(super) mod street;
mod web;

pub(super) use postcode::postcode;

/// What these report.
pub(super) const ENTITIES: &[&str] = &[
    "age",
    "date",
    "date_of_birth",
    "email_address",
    "ip_address",
    "mac_address",
    "phone_number",
    "postal_code",
    "street_address",
    "url",
];

/// Looks for e-mail addresses and web addresses.
pub(super) fn detect(text: &str, found: &mut dyn FnMut(Hit)) {
    email::detect(text, found);
    web::detect(text, found);
}

/// Looks for e-mail addresses only.
pub(super) fn firm(text: &str, found: &mut dyn FnMut(Hit)) {
    email::detect(text, found);
}

/// Looks where words announce dates, ages and street addresses.
pub(super) fn marked(text: &str, context: &Context, found: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut done = Done::default();
    for (index, mark) in context.marks.iter().enumerate() {
        let topics = mark.topics;
        if topics.has(Topic::Month)
            && mark.start >= done.date
            && let Some(hit) = date::around_month(bytes, mark, context)
        {
            done.date = hit.range.end;
            found(hit);
        }
        if topics.meets(AGES)
            && mark.start >= done.age
            && let Some(hit) = age::age(text, mark)
        {
            done.age = hit.range.end;
            found(hit);
        }
        if topics.meets(STREETS)
            && mark.start >= done.street
            && let Some(hit) = street::street(text, index, context)
        {
            done.street = hit.range.end;
            found(hit);
        }
    }
}

/// How far each kind has been read.
#[derive(Default)]
struct Done {
    date: usize,
    age: usize,
    street: usize,
}

const AGES: Topics = Topics::of(&[Topic::AgeBefore, Topic::AgeAfter]);
const STREETS: Topics = Topics::of(&[
    Topic::Address,
    Topic::StreetAfterName,
    Topic::StreetEnd,
    Topic::StreetBeforeName,
    Topic::Unit,
]);

/// The end of a run of digits.
fn digits_end(bytes: &[u8], from: usize, max: usize) -> usize {
    let run = bytes.iter().skip(from).take(max);
    from + run.take_while(|byte| byte.is_ascii_digit()).count()
}

/// The digits that end right before a place.
fn digits_before(bytes: &[u8], end: usize, max: usize) -> Range<usize> {
    let run = bytes[..end].iter().rev().take(max);
    end - run.take_while(|byte| byte.is_ascii_digit()).count()..end
}

#[cfg(test)]
mod tests;
