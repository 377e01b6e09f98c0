//! A number as it is written: digits in groups with single separators.

/// Most digits that are read.
pub(crate) const DIGITS_MAX: usize = 24;
/// Most groups that are read.
pub(crate) const GROUPS_MAX: usize = 8;

/// A number read from a place on, in as many groups as follow one another.
pub(crate) struct Number {
    /// Where the number begins.
    pub(crate) start: usize,
    digits: [u8; DIGITS_MAX],
    /// Digits up to and including each group.
    counts: [usize; GROUPS_MAX],
    /// Where each group ends.
    ends: [usize; GROUPS_MAX],
    /// What stands behind each group but the last.
    separators: [u8; GROUPS_MAX],
    groups: usize,
}

/// The first groups of a [`Number`].
#[derive(Clone, Copy)]
pub(crate) struct Prefix<'a> {
    pub(crate) digits: &'a [u8],
    pub(crate) end: usize,
    pub(crate) groups: usize,
    number: &'a Number,
}

impl Number {
    /// Reads a number; `None` when its first group is longer than any identifier.
    pub(crate) fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let mut number = Self {
            start,
            digits: [0; DIGITS_MAX],
            counts: [0; GROUPS_MAX],
            ends: [0; GROUPS_MAX],
            separators: [0; GROUPS_MAX],
            groups: 0,
        };
        let mut count = 0;
        let mut at = start;
        while number.groups < GROUPS_MAX {
            let from = at;
            while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
                if count == DIGITS_MAX {
                    return (number.groups > 0).then_some(number);
                }
                number.digits[count] = byte - b'0';
                count += 1;
                at += 1;
            }
            if at == from {
                break;
            }
            number.counts[number.groups] = count;
            number.ends[number.groups] = at;
            number.groups += 1;
            match bytes.get(at) {
                Some(byte @ (b' ' | b'-' | b'.' | b'/')) => {
                    number.separators[number.groups - 1] = *byte;
                    at += 1;
                }
                _ => break,
            }
        }
        (number.groups > 0).then_some(number)
    }

    /// The number's beginnings of one group, two groups, and so on; the longest first.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Prefix<'_>> {
        (1..=self.groups).rev().map(|groups| self.prefix(groups))
    }

    fn prefix(&self, groups: usize) -> Prefix<'_> {
        Prefix {
            digits: &self.digits[..self.counts[groups - 1]],
            end: self.ends[groups - 1],
            groups,
            number: self,
        }
    }

    /// True for a row of short numbers: no identifier has so many equal groups.
    pub(crate) fn is_row(&self) -> bool {
        let first = self.counts[0];
        let mut counts = self.counts.iter().enumerate();
        self.groups == GROUPS_MAX
            && first < 4
            && counts.all(|(group, count)| *count == first * (group + 1))
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups
    }
}

impl Prefix<'_> {
    /// Digits of one group.
    pub(crate) fn length(&self, group: usize) -> usize {
        let before = group
            .checked_sub(1)
            .map_or(0, |group| self.number.counts[group]);
        self.number.counts[group] - before
    }

    /// What stands between a group and the next.
    pub(crate) fn separator(&self, group: usize) -> u8 {
        self.number.separators[group]
    }

    /// The digits of one group.
    pub(crate) fn group(&self, group: usize) -> &[u8] {
        &self.digits[self.number.counts[group] - self.length(group)..self.number.counts[group]]
    }

    /// True when the groups are as in a layout such as `3.3.3-2`: lengths and what parts them.
    pub(crate) fn is_laid_out(&self, layout: &str) -> bool {
        let layout = layout.as_bytes();
        layout.len() == self.groups * 2 - 1
            && (0..self.groups).all(|group| {
                usize::from(layout[2 * group] - b'0') == self.length(group)
                    && (group + 1 == self.groups || layout[2 * group + 1] == self.separator(group))
            })
    }

    /// True when one kind of separator, or none, parts the groups.
    pub(crate) fn is_even(&self) -> bool {
        (1..self.groups.saturating_sub(1)).all(|group| self.separator(group) == self.separator(0))
    }
}

/// True when the number is not a piece of something longer: a word, a decimal, an id, a version.
/// `card-4111...` stands alone, `a716-4111...` and `0.4111...` do not.
pub(crate) fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = bytes[..start].iter().rev().copied();
    let after = bytes[end..].iter().copied();
    !is_glued(before) && !is_glued(after)
}

/// True when what stands before a place continues into it.
pub(crate) fn is_continued(bytes: &[u8], start: usize) -> bool {
    is_glued(bytes[..start].iter().rev().copied())
}

/// True when the bytes next to a number (nearest first) continue it: a letter or digit at once, or a
/// joint and then a word in which there are digits.
fn is_glued(mut neighbours: impl Iterator<Item = u8>) -> bool {
    match neighbours.next() {
        Some(byte) if byte.is_ascii_alphanumeric() => true,
        Some(b'-' | b'.' | b'+' | b'_') => neighbours
            .take(JOINED_WORD_BYTES)
            .take_while(u8::is_ascii_alphanumeric)
            .any(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// True when a number stands in a row of its like, as in tables, dumps and lists of code points: two
/// neighbours written as its groups are, or one as long as the whole.
pub(crate) fn is_in_series(bytes: &[u8], start: usize, end: usize) -> bool {
    let number = &bytes[start..end];
    let digits = number.iter().skip_while(|byte| !byte.is_ascii_digit());
    let group = digits.take_while(|byte| byte.is_ascii_digit()).count();
    let alike = |length: usize| match length {
        0 => false,
        LONG_DIGITS.. => length + 2 >= number.len(),
        _ => length == group && length < number.len(),
    };
    let before = neighbours(bytes[..start].iter().rev().copied());
    let after = neighbours(bytes[end..].iter().copied());
    let like = before
        .into_iter()
        .chain(after)
        .filter(|length| alike(*length))
        .count();
    like >= 2 || like == 1 && (group >= LONG_DIGITS || group == 2)
}

/// Digits of numbers that are no groups of others.
const LONG_DIGITS: usize = 15;

/// Lengths of the two hexadecimal words next to a number, nearest first; zero for other words.
fn neighbours(mut bytes: impl Iterator<Item = u8>) -> [usize; 2] {
    const GAP_BYTES: usize = 12;
    let mut lengths = [0; 2];
    let mut next = bytes.next();
    for length in &mut lengths {
        let mut gap = 0;
        while next.is_some_and(|byte| byte.is_ascii_whitespace() || byte == b',') && gap < GAP_BYTES
        {
            next = bytes.next();
            gap += 1;
        }
        while next.is_some_and(|byte| byte.is_ascii_hexdigit()) && *length <= DIGITS_MAX {
            next = bytes.next();
            *length += 1;
        }
        let ends = next.is_none_or(|byte| byte.is_ascii_whitespace() || byte == b',');
        if gap == 0 || !ends {
            *length = 0;
            break;
        }
    }
    lengths
}

/// How much of a word joined to a number is looked at.
const JOINED_WORD_BYTES: usize = 16;
