//! What is known about single words: whether they are given names, family names, parts of place
//! names, ordinary words, each with a grade.
//!
//! A hash table of fingerprints: 2^14 buckets of eight slots, each slot a 16-bit fingerprint (0: empty)
//! and four grades of two bits. A word lies in one of two buckets. An unknown word passes for a known
//! one in about one of five thousand cases.

use super::token::mix;

/// Buckets in the table, a power of two.
const BUCKETS: usize = 1 << 14;
/// Slots of one bucket.
const SLOTS: usize = 8;
/// Eight fingerprints of two bytes, little-endian, then eight bytes of grades.
const BUCKET_BYTES: usize = SLOTS * 3;
/// Bytes of the table.
pub const LEXICON_BYTES: usize = BUCKETS * BUCKET_BYTES;

/// Four grades of two bits, from the lowest: given name, family name, place, ordinary word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grades(pub u8);

impl Grades {
    /// How much of a given name it is, 0 to 3.
    pub const fn given(self) -> u8 {
        self.0 & 3
    }

    /// How much of a family name it is, 0 to 3.
    pub const fn family(self) -> u8 {
        (self.0 >> 2) & 3
    }

    /// How much of a place it is, 0 to 3.
    pub const fn place(self) -> u8 {
        (self.0 >> 4) & 3
    }

    /// How frequent an ordinary word it is, 0 to 3.
    pub const fn word(self) -> u8 {
        self.0 >> 6
    }

    /// Whether it is a name of any kind.
    pub const fn is_name(self) -> bool {
        self.0 & 0x3f != 0
    }
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Lexicon<'a> {
    table: &'a [u8],
}

impl<'a> Lexicon<'a> {
    /// Reads the table; `None` when it has not [`LEXICON_BYTES`].
    pub fn new(table: &'a [u8]) -> Option<Self> {
        (table.len() == LEXICON_BYTES).then_some(Self { table })
    }

    /// What is known about a word with this key.
    pub fn grades(&self, key: u32) -> Grades {
        let (bucket, fingerprint) = place(key);
        self.look(bucket, fingerprint)
            .or_else(|| self.look(other(bucket, fingerprint), fingerprint))
            .unwrap_or_default()
    }

    fn look(&self, bucket: usize, fingerprint: u16) -> Option<Grades> {
        let bucket: &[u8; BUCKET_BYTES] = self.table.get(bucket * BUCKET_BYTES..)?.first_chunk()?;
        let wanted = fingerprint.to_le_bytes();
        let (fingerprints, grades) = bucket.split_at(SLOTS * 2);
        let slot = fingerprints
            .chunks_exact(2)
            .position(|known| known == wanted)?;
        grades.get(slot).map(|grades| Grades(*grades))
    }

    /// Writes a table of words and their grades. A word for which both buckets are full is left out:
    /// the important ones come first.
    pub fn build(words: &[(u32, Grades)]) -> Vec<u8> {
        let mut buckets: Vec<Vec<(u16, u8)>> = vec![vec![]; BUCKETS];
        for &(key, Grades(grades)) in words {
            let (bucket, fingerprint) = place(key);
            let second = other(bucket, fingerprint);
            let known = |bucket: usize| {
                buckets[bucket]
                    .iter()
                    .position(|(known, _)| *known == fingerprint)
            };
            if let Some((bucket, slot)) = known(bucket)
                .map(|slot| (bucket, slot))
                .or_else(|| Some((second, known(second)?)))
            {
                buckets[bucket][slot].1 |= grades;
                continue;
            }
            let emptier = if buckets[second].len() < buckets[bucket].len() {
                second
            } else {
                bucket
            };
            if buckets[emptier].len() < SLOTS {
                buckets[emptier].push((fingerprint, grades));
            }
        }
        let mut table = Vec::with_capacity(LEXICON_BYTES);
        for mut bucket in buckets {
            bucket.resize(SLOTS, (0, 0));
            bucket
                .iter()
                .for_each(|(fingerprint, _)| table.extend_from_slice(&fingerprint.to_le_bytes()));
            table.extend(bucket.iter().map(|(_, grades)| grades));
        }
        table
    }
}

/// The first bucket and the fingerprint of a key.
fn place(key: u32) -> (usize, u16) {
    let hash = mix(key ^ 0x9e37_79b9);
    let fingerprint = u16::try_from(hash >> 16).unwrap_or(u16::MAX).max(1);
    (hash as usize % BUCKETS, fingerprint)
}

/// The other bucket of a fingerprint, seen from either one.
fn other(bucket: usize, fingerprint: u16) -> usize {
    bucket ^ (mix(u32::from(fingerprint)) as usize % BUCKETS)
}
