//! Postal codes.

use crate::detect::Hit;
use crate::detect::identifiers::context::{Context, Topic};
use crate::detect::identifiers::number::stands_alone;

/// States and territories of the US (USPS, Publication 28, appendix B).
const STATES: &[u8] = b"ALAKAZARCACOCTDEFLGAHIIDILINIAKSKYLAMEMDMAMIMNMSMOMTNENVNHNJNMNYNCNDOHOKORPARISCSDTNTXUTVTVAWAWVWIWYDCPRGUVIAAAEAP";

/// How far before a postal code its name may stand.
const NAME_WITHIN_BYTES: usize = 16;

/// A postal code that begins at a place: British and Canadian ones by their shape, American ones
/// behind a state, all others next to their name.
pub(crate) fn postcode(text: &str, start: usize, context: &Context) -> Option<Hit> {
    let bytes = text.as_bytes();
    let named = context.announces(text, Topic::Postcode, start, NAME_WITHIN_BYTES);
    let hit = |end: usize, confidence| {
        stands_alone(bytes, start, end).then(|| Hit::new("postal_code", start..end, confidence))
    };
    if let Some(end) = american(bytes, start)
        && let Some(from) = forces(text, start)
    {
        return stands_alone(bytes, start, end).then(|| Hit::new("street_address", from..end, 0.8));
    }
    // Brazilian codes begin like American ones: `01310-100`.
    let is_brazilian = || {
        let joined = bytes.get(start + 5) == Some(&b'-') && digits(bytes, start + 6, 3);
        joined && !bytes.get(start + 9).is_some_and(u8::is_ascii_alphanumeric)
    };
    if let Some(end) = american(bytes, start).filter(|_| named || behind_state(bytes, start))
        && !is_brazilian()
    {
        return hit(end, if named { 0.9 } else { 0.7 });
    }
    if let Some(end) = british(bytes, start).or_else(|| canadian(bytes, start)) {
        return hit(end, if named { 0.95 } else { 0.65 });
    }
    named
        .then(|| other(bytes, start))
        .flatten()
        .and_then(|end| hit(end, 0.8))
}

fn digits(bytes: &[u8], from: usize, count: usize) -> bool {
    bytes
        .get(from..from + count)
        .is_some_and(|run| run.iter().all(u8::is_ascii_digit))
}

fn american(bytes: &[u8], start: usize) -> Option<usize> {
    if !digits(bytes, start, 5) {
        return None;
    }
    let long = bytes.get(start + 5) == Some(&b'-') && digits(bytes, start + 6, 4);
    Some(if long { start + 10 } else { start + 5 })
}

fn behind_state(bytes: &[u8], start: usize) -> bool {
    let gap = bytes[..start].iter().rev().take(4);
    let gap = gap.take_while(|byte| matches!(byte, b' ' | b',')).count();
    let Some(from) = start.checked_sub(gap + 3).filter(|_| gap > 0) else {
        return false;
    };
    let state = &bytes[from + 1..from + 3];
    matches!(bytes[from], b' ' | b',' | b'\n') && STATES.chunks_exact(2).any(|known| known == state)
}

/// The beginning of an address of the US forces whose code begins at a place: `PSC 4457, Box 7534`, a
/// ship or a unit, then `APO AP` (USPS, Publication 28, section 225).
fn forces(text: &str, start: usize) -> Option<usize> {
    const OFFICES: [&str; 3] = ["APO", "FPO", "DPO"];
    const REGIONS: [&str; 3] = ["AA", "AE", "AP"];
    const UNITS: [&str; 8] = ["PSC", "Unit", "CMR", "USS", "USNS", "USNV", "USCGC", "Box"];
    let is_one =
        |word: &str, known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
    let (before, region) = text[..start].trim_end().rsplit_once([' ', ','])?;
    let before = before.trim_end_matches([' ', ',']);
    let from = before.len().checked_sub(3)?;
    let office = before.get(from..)?;
    if !is_one(region, &REGIONS) || !is_one(office, &OFFICES) {
        return None;
    }
    let line = before[..from].trim_end_matches([' ', ',', '\n', '>', '?']);
    let within = line.floor_char_boundary(line.len().saturating_sub(48));
    let units = line[within..].match_indices(|char: char| char.is_ascii_alphabetic());
    let unit = units.map(|(at, _)| within + at).find(|at| {
        let word = line[*at..].split(' ').next().unwrap_or_default();
        let begins = !line[..*at].ends_with(|char: char| char.is_alphanumeric());
        begins && is_one(word, &UNITS)
    });
    Some(unit.unwrap_or(from))
}

/// `SW1A 1AA`: one or two letters, one or two digits (or a digit and a letter), a gap, a digit and
/// two letters (Royal Mail, PAF).
fn british(bytes: &[u8], start: usize) -> Option<usize> {
    let word = &bytes[start..bytes.len().min(start + 8)];
    let letters = word
        .iter()
        .take(2)
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    let digits = word[letters..]
        .iter()
        .take(2)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let mut outward = letters + digits;
    if digits == 1 && word.get(outward).is_some_and(u8::is_ascii_uppercase) {
        outward += 1;
    }
    let inward = match word.get(outward) {
        Some(b' ') => outward + 1,
        _ => return None,
    };
    let rest = word.get(inward..inward + 3)?;
    let shaped = letters > 0
        && digits > 0
        && rest[0].is_ascii_digit()
        && rest[1..]
            .iter()
            .all(|byte| byte.is_ascii_uppercase() && !b"CIKMOV".contains(byte));
    shaped.then_some(start + inward + 3)
}

/// `K1A 0B1` (Canada Post).
fn canadian(bytes: &[u8], start: usize) -> Option<usize> {
    let code = bytes.get(start..start + 7)?;
    let shaped = code.iter().enumerate().all(|(place, byte)| match place {
        0 | 2 | 5 => byte.is_ascii_uppercase() && !b"DFIOQU".contains(byte),
        3 => matches!(byte, b' ' | b'-'),
        _ => byte.is_ascii_digit(),
    });
    shaped.then_some(start + 7)
}

/// Three to ten letters, digits and single joints.
fn other(bytes: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    let mut count = 0;
    let mut seen = 0;
    for (at, byte) in bytes.iter().enumerate().skip(start).take(10) {
        if byte.is_ascii_digit() {
            seen += 1;
            count += 1;
        } else if byte.is_ascii_uppercase() {
            count += 1;
        } else {
            let joins = matches!(byte, b' ' | b'-')
                && bytes.get(at + 1).is_some_and(|next| {
                    next.is_ascii_digit()
                        || next.is_ascii_uppercase()
                            && bytes.get(at + 2).is_some_and(u8::is_ascii_uppercase)
                            && !bytes.get(at + 3).is_some_and(u8::is_ascii_alphabetic)
                });
            if !joins {
                break;
            }
            continue;
        }
        end = at + 1;
    }
    let letters = bytes[start..]
        .iter()
        .take(3)
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    (letters < 3 && seen >= 3 && (3..=8).contains(&count)).then_some(end)
}
