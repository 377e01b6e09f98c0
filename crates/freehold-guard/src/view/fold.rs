//! What each character becomes, from Unicode's data: compatibility forms (UAX 15, crate
//! `unicode-normalization`), confusables (UTS 39, crate `unicode-security`), decimal digits (General
//! Category Nd) and a few disguises that neither names.

use std::sync::OnceLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

/// What a character outside ASCII becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// Itself: a letter or digit that looks like nothing in ASCII.
    Letter,
    /// Itself: punctuation, a symbol, a mark that its script needs.
    Other,
    /// Nothing: it cannot be seen.
    Nothing,
    /// Always this.
    Always(char),
    /// Always this, a ligature or the like.
    Many(Box<str>),
    /// This ASCII letter or digit, which it looks like, where it pretends to be one.
    Lookalike(char),
    /// A letter with a mark that belongs to it; this without.
    Marked(char),
    /// A mark on the character before.
    Mark,
    /// An invisible copy of this ASCII character (Unicode tags).
    Tag(char),
}

const PAGE: usize = 256;

/// Characters up to here have pages: the basic and the supplementary multilingual plane.
const PAGED: usize = 0x20000;

static PAGES: [OnceLock<Box<[Fold]>>; PAGED / PAGE] = [const { OnceLock::new() }; PAGED / PAGE];

/// What `char`, which is not ASCII, becomes. The first look at one of 256 neighbours works all of
/// them out.
pub(super) fn fold(char: char) -> &'static Fold {
    let code = u32::from(char) as usize;
    if code < PAGED {
        let page = PAGES[code / PAGE].get_or_init(|| make_page(code / PAGE));
        return &page[code % PAGE];
    }
    match code {
        0xe0020..=0xe007e => {
            static TAGS: OnceLock<Box<[Fold]>> = OnceLock::new();
            let tags = TAGS.get_or_init(|| (0x20..0x7f_u8).map(|b| Fold::Tag(b.into())).collect());
            &tags[code - 0xe0020]
        }
        0xe0000..=0xe0fff => &Fold::Nothing,
        // Private use is no letter; the rest up there are ideographs.
        0xf0000.. => &Fold::Other,
        _ => &Fold::Letter,
    }
}

fn make_page(page: usize) -> Box<[Fold]> {
    let first = u32::try_from(page * PAGE).unwrap_or(0);
    (first..first + 256)
        .map(|code| char::from_u32(code).map_or(Fold::Other, make))
        .collect()
}

fn make(char: char) -> Fold {
    if is_invisible(char) {
        return Fold::Nothing;
    }
    if let Some(digit) = decimal(char) {
        return Fold::Always(digit);
    }
    if let Some(plain) = punctuation(char) {
        return Fold::Always(plain);
    }
    if let Some(letter) = disguised_letter(char) {
        return Fold::Lookalike(letter);
    }
    if is_combining_mark(char) {
        return if is_general_mark(char) {
            Fold::Mark
        } else {
            Fold::Other
        };
    }
    let compatible: String = char.nfkc().collect();
    let mut chars = compatible.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) if only == char => alike(char),
        (Some(only), None) if only.is_ascii() => Fold::Always(only),
        (Some(only), None) => match alike(only) {
            Fold::Letter | Fold::Other => Fold::Always(only),
            other => other,
        },
        // A space that carries a mark stands for the mark alone.
        (Some(' '), Some(_)) => Fold::Other,
        _ => Fold::Many(compatible.into_boxed_str()),
    }
}

/// What it looks like, for a character that is its own compatibility form.
fn alike(char: char) -> Fold {
    if !char.is_alphanumeric() {
        return Fold::Other;
    }
    // Ideographs and syllables resemble letters only by accident. The dotless i is a letter of its
    // own in Turkish.
    match u32::from(char) {
        0x131 => return Fold::Marked('i'),
        0x2e80..=0xa4cf | 0xac00..=0xd7ff | 0xf900..=0xfaff => return Fold::Letter,
        _ => {}
    }
    let text: String = skeleton(char.encode_utf8(&mut [0; 4])).collect();
    if text == "rn" {
        return Fold::Lookalike('m');
    }
    let mut rest = text.chars();
    match rest.next() {
        Some(first) if first.is_ascii_alphanumeric() => {
            // The skeleton makes l of all that is one upright stroke.
            let first = if first == 'l' && char.is_uppercase() {
                'I'
            } else {
                first
            };
            if rest.as_str().is_empty() {
                Fold::Lookalike(first)
            } else if rest.all(is_combining_mark) {
                Fold::Marked(first)
            } else {
                Fold::Letter
            }
        }
        _ => Fold::Letter,
    }
}

/// Control characters, and what Unicode says may be ignored in display (Default_Ignorable_Code_Point).
fn is_invisible(char: char) -> bool {
    matches!(
        u32::from(char),
        0x80..=0x84 | 0x86..=0x9f | 0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5
            | 0x180b..=0x180f | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
    )
}

/// The zeros of all decimal digits (General Category Nd) whose compatibility form is not ASCII.
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0,
    0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0,
    0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16a60, 0x16ac0, 0x16b50,
    0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950,
];

/// First and last of the circled digits from 1 to 9 that have no compatibility form.
const CIRCLED_ONES: &[u32] = &[0x24f5, 0x2776, 0x2780, 0x278a];

/// The digit that a character is, in whatever script.
fn decimal(char: char) -> Option<char> {
    let code = u32::from(char);
    let zero = ZEROS.iter().map(|zero| (*zero, 0, 9));
    let circled = CIRCLED_ONES.iter().map(|one| (*one, 1, 9));
    let zeros_alone = [(0x24ff, 0, 0), (0x1f10b, 0, 0), (0x1f10c, 0, 0)].into_iter();
    zero.chain(circled)
        .chain(zeros_alone)
        .find_map(|(start, first, last)| {
            let value = code.checked_sub(start)? + first;
            (value <= last)
                .then(|| char::from_digit(value, 10))
                .flatten()
        })
}

/// Spaces, dashes, quotation marks, strokes.
fn punctuation(char: char) -> Option<char> {
    Some(match u32::from(char) {
        0x85 | 0x2028 | 0x2029 => '\n',
        0xa0 | 0x1680 | 0x2000..=0x200a | 0x202f | 0x205f | 0x2800 | 0x3000 => ' ',
        0x2d7
        | 0x58a
        | 0x5be
        | 0x2010..=0x2015
        | 0x2043
        | 0x2212
        | 0x2e3a
        | 0x2e3b
        | 0x2796
        | 0xfe58
        | 0xfe63
        | 0xff0d => '-',
        0x2b9..=0x2bc | 0x2c8 | 0xb4 | 0x2018..=0x201b | 0x2032 => '\'',
        0x201c..=0x201f | 0x2033 => '"',
        0x2044 | 0x2215 | 0x29f8 => '/',
        0x2024 => '.',
        0x5c3 | 0x2236 | 0xa789 => ':',
        _ => return None,
    })
}

/// Small capitals, regional indicators and letters in black boxes or circles.
fn disguised_letter(char: char) -> Option<char> {
    const SMALL_CAPITALS: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡ\u{0}ʏᴢ";
    let capital = |first: u32| {
        let place = u32::from(char).checked_sub(first)?;
        char::from_u32(u32::from('A') + place)
    };
    match u32::from(char) {
        0x1f1e6..=0x1f1ff => capital(0x1f1e6),
        0x1f150..=0x1f169 => capital(0x1f150),
        0x1f170..=0x1f189 => capital(0x1f170),
        _ => {
            let place = SMALL_CAPITALS.chars().position(|small| small == char)?;
            char::from_u32(u32::from('a') + u32::try_from(place).ok()?)
        }
    }
}

/// Marks that go on any letter: the blocks named Combining Diacritical Marks, and what encloses.
fn is_general_mark(char: char) -> bool {
    matches!(
        u32::from(char),
        0x300..=0x36f | 0x483..=0x489 | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff
            | 0xfe20..=0xfe2f
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_characters_become() {
        for (char, expected) in [
            ('１', Fold::Always('1')),
            ('𝟒', Fold::Always('4')),
            ('٤', Fold::Always('4')),
            ('४', Fold::Always('4')),
            ('④', Fold::Always('4')),
            ('➍', Fold::Always('4')),
            ('⁴', Fold::Always('4')),
            ('ａ', Fold::Always('a')),
            ('𝒂', Fold::Always('a')),
            ('а', Fold::Lookalike('a')),
            ('Е', Fold::Lookalike('E')),
            ('І', Fold::Lookalike('I')),
            ('ο', Fold::Lookalike('o')),
            ('ᴀ', Fold::Lookalike('a')),
            ('🇩', Fold::Lookalike('D')),
            ('🅳', Fold::Lookalike('D')),
            ('é', Fold::Marked('e')),
            ('ø', Fold::Marked('o')),
            ('ı', Fold::Marked('i')),
            ('ж', Fold::Letter),
            ('中', Fold::Letter),
            ('工', Fold::Letter),
            ('한', Fold::Letter),
            ('\u{301}', Fold::Mark),
            ('\u{20e3}', Fold::Mark),
            ('ि', Fold::Other),
            ('😀', Fold::Other),
            ('\u{200b}', Fold::Nothing),
            ('\u{ad}', Fold::Nothing),
            ('\u{202e}', Fold::Nothing),
            ('\u{fe0f}', Fold::Nothing),
            ('\u{e0100}', Fold::Nothing),
            ('\u{e0041}', Fold::Tag('A')),
            ('\u{a0}', Fold::Always(' ')),
            ('\u{3000}', Fold::Always(' ')),
            ('–', Fold::Always('-')),
            ('’', Fold::Always('\'')),
            ('＠', Fold::Always('@')),
            ('ﬀ', Fold::Many("ff".into())),
            ('\u{20000}', Fold::Letter),
            ('\u{10ffff}', Fold::Other),
        ] {
            assert_eq!(*fold(char), expected, "{char:?}");
        }
    }

    #[test]
    fn every_character_has_a_fold() {
        for char in ('\u{80}'..=char::MAX).step_by(7) {
            if let Fold::Always(plain) | Fold::Lookalike(plain) | Fold::Marked(plain) = fold(char) {
                assert_ne!(*plain, char);
            }
        }
    }
}
