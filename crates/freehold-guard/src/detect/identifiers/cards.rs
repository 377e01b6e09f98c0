//! Payment cards.

use super::checksum::{is_monotone, luhn};
use super::number::stands_alone;
use crate::detect::Hit;

/// Most digits of a card number.
const CARD_DIGITS_MAX: usize = 19;

/// A number as it is written on cards.
struct Written {
    digits: [u8; CARD_DIGITS_MAX],
    count: usize,
    end: usize,
    is_separated: bool,
}

impl Written {
    /// Reads a number in one piece or in the groups that are printed on cards.
    fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let mut digits = [0_u8; CARD_DIGITS_MAX];
        let mut groups = Groups::default();
        let mut count = 0;
        let mut separator = None;
        let mut end = start;
        let mut at = start;
        while let Some(&byte) = bytes.get(at) {
            if byte.is_ascii_digit() {
                if count == CARD_DIGITS_MAX {
                    return None;
                }
                digits[count] = byte - b'0';
                count += 1;
                groups.grow();
                at += 1;
                end = at;
            } else if matches!(byte, b' ' | b'-')
                && separator.is_none_or(|known| known == byte)
                && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
                && groups.next()
            {
                separator = Some(byte);
                at += 1;
            } else {
                break;
            }
        }
        groups.are_card_groups(count).then_some(Self {
            digits,
            count,
            end,
            is_separated: separator.is_some(),
        })
    }
}

/// A card's number (ISO/IEC 7812) that begins at a place.
pub(super) fn card(bytes: &[u8], start: usize) -> Option<Hit> {
    // No network's numbers begin otherwise.
    if !(b'1'..=b'6').contains(&bytes[start]) {
        return None;
    }
    let written = Written::read(bytes, start)?;
    let digits = &written.digits[..written.count];
    let plausible = is_network(digits) && !is_monotone(digits) && luhn(digits);
    if !plausible || !stands_alone(bytes, start, written.end) {
        return None;
    }
    let confidence = if written.is_separated { 0.99 } else { 0.95 };
    Some(Hit::new("payment_card", start..written.end, confidence))
}

/// The end of what is written like a card's number, whatever its check digit and its network.
pub(super) fn shaped(bytes: &[u8], start: usize) -> Option<usize> {
    let written = Written::read(bytes, start)?;
    let is_some = written.count >= 13 && !is_monotone(&written.digits[..written.count]);
    is_some.then_some(written.end)
}

/// A number that is called a card's: any network's, also those that few know.
pub(super) fn named_card(bytes: &[u8], start: usize) -> Option<Hit> {
    let run = bytes[start..].iter().take(CARD_DIGITS_MAX + 1);
    let length = run.take_while(|byte| byte.is_ascii_digit()).count();
    let mut digits = [0; CARD_DIGITS_MAX + 1];
    for (digit, byte) in digits.iter_mut().zip(&bytes[start..start + length]) {
        *digit = byte - b'0';
    }
    let digits = &digits[..length];
    let plausible =
        (12..=CARD_DIGITS_MAX).contains(&length) && !is_monotone(digits) && luhn(digits);
    (plausible && stands_alone(bytes, start, start + length))
        .then(|| Hit::new("payment_card", start..start + length, 0.85))
}

/// Lengths of the groups in which a number is written.
#[derive(Default)]
struct Groups {
    lengths: [usize; 5],
    last: usize,
}

impl Groups {
    fn grow(&mut self) {
        self.lengths[self.last] += 1;
    }

    fn next(&mut self) -> bool {
        let more = self.last + 1 < self.lengths.len();
        if more {
            self.last += 1;
        }
        more
    }

    /// In one piece, or in the groups that are printed on cards.
    fn are_card_groups(&self, count: usize) -> bool {
        let groups = &self.lengths[..=self.last];
        match groups {
            [whole] => *whole == count,
            [4, 4, 4, last] => (1..=4).contains(last),
            [4, 4, 4, 4, last] => (1..=3).contains(last),
            [4, 6, last] => matches!(last, 4 | 5),
            _ => false,
        }
    }
}

/// The networks' number ranges and lengths.
fn is_network(digits: &[u8]) -> bool {
    let length = digits.len();
    if length < 13 {
        return false;
    }
    let prefix = |count: usize| {
        digits[..count]
            .iter()
            .fold(0_u32, |n, d| n * 10 + u32::from(*d))
    };
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    match digits[0] {
        // Visa.
        4 => matches!(length, 13 | 16 | 19),
        // Mastercard, old range and new; some Maestro.
        5 => length == 16 && (51..=55).contains(&two) || maestro(four, length),
        2 => {
            let old_jcb = four == 2_131 && length == 15;
            length == 16 && (2_221..=2_720).contains(&four) || old_jcb
        }
        // JCB's first numbers.
        1 => four == 1_800 && length == 15,
        3 => match two {
            // American Express.
            34 | 37 => length == 15,
            // JCB.
            35 => (3_528..=3_589).contains(&four) && (16..=19).contains(&length),
            // Diners Club.
            _ => ((300..=305).contains(&three) || matches!(two, 36 | 38 | 39)) && length == 14,
        },
        // Discover, UnionPay, some Maestro.
        6 => {
            let discover = four == 6_011 || (644..=649).contains(&three) || two == 65;
            (discover || two == 62) && (16..=19).contains(&length) || maestro(four, length)
        }
        _ => false,
    }
}

fn maestro(four: u32, length: usize) -> bool {
    matches!(
        four,
        5_018 | 5_020 | 5_038 | 5_893 | 6_304 | 6_759 | 6_761..=6_763
    ) && (13..=19).contains(&length)
}
