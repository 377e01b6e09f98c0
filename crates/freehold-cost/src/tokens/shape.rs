//! Guesses a text's tokens from its shape: runs of letters, digits, signs and space, as the
//! tokenizer's own first step splits them.

/// Costs are in thousandths of a token.
const TOKEN: u64 = 1_000;

/// A lower-case or capitalised word by its length in letters; index 0 is unused.
const WORD: [u64; 17] = [
    0, 1_000, 1_005, 1_015, 1_035, 1_070, 1_090, 1_120, 1_190, 1_290, 1_350, 1_450, 1_600, 1_700,
    1_900, 2_200, 2_600,
];

/// A run of signs by its length; index 0 is unused.
const SIGNS: [u64; 9] = [0, 1_000, 1_010, 1_100, 1_250, 1_600, 1_900, 2_200, 2_600];

/// What a letter costs beyond the tables' end.
const LONG_WORD_LETTER: u64 = 450;
const LONG_SIGNS_SIGN: u64 = 250;
/// What each capital costs in a word of capitals.
const CAPITAL: u64 = 110;
/// What a single sign costs that is glued to the word behind it.
const GLUED_SIGN: u64 = 270;
/// What a letter with a diacritic adds to its word.
const ACCENTED: u64 = 320;

/// Guesses how many tokens a text has. Linear; needs no memory.
pub fn estimate_text(text: &str) -> u64 {
    let mut shape = Shape::default();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_lowercase() {
            shape.ascii(byte);
            // Small letters after a small letter only make the word longer.
            let more = bytes[at + 1..].iter();
            let more = more.take_while(|byte| byte.is_ascii_lowercase()).count();
            shape.length += more;
            at += 1 + more;
        } else if byte < 0x80 {
            shape.ascii(byte);
            at += 1;
        } else if let Some(char) = text[at..].chars().next() {
            shape.other(char);
            at += char.len_utf8();
        }
    }
    shape.close();
    shape.cost.div_ceil(TOKEN)
}

/// What the run at the end of the text read so far consists of.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Run {
    #[default]
    None,
    Word,
    Digits,
    Signs,
    Space,
    Newlines,
}

#[derive(Default)]
struct Shape {
    cost: u64,
    run: Run,
    length: usize,
    capitals: usize,
    accented: u64,
    /// True when the run of signs began right behind a space, which it then includes.
    after_space: bool,
    /// True when the last letter was a small one: a capital then begins a new word.
    small: bool,
}

impl Shape {
    fn ascii(&mut self, byte: u8) {
        match byte {
            b'a'..=b'z' => {
                self.extend(Run::Word);
                self.small = true;
            }
            b'A'..=b'Z' => {
                if self.run == Run::Word && self.small {
                    self.close();
                }
                self.extend(Run::Word);
                self.capitals += 1;
                self.small = false;
            }
            b'0'..=b'9' => self.extend(Run::Digits),
            b'\n' | b'\r' if self.run == Run::Signs => self.close(),
            b'\n' | b'\r' if self.run == Run::Space => self.run = Run::Newlines,
            b'\n' | b'\r' => self.extend(Run::Newlines),
            b' ' | b'\t' | 0x0b | 0x0c => self.extend(Run::Space),
            _ => self.extend(Run::Signs),
        }
    }

    fn other(&mut self, char: char) {
        if matches!(char, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}') {
            self.extend(Run::Word);
            self.accented += 1;
            self.small = true;
            return;
        }
        if self.run == Run::Space && self.length == 1 {
            // The blank belongs to the word behind it.
            self.run = Run::None;
        }
        self.close();
        self.cost += script_cost(char);
    }

    fn extend(&mut self, run: Run) {
        if self.run == run {
            self.length += 1;
            return;
        }
        let before = self.run;
        let before_length = self.length;
        let glued = before == Run::Signs && before_length == 1 && !self.after_space;
        if glued && run == Run::Word {
            // One sign and a word are one piece: `.name`, `_part`, `(x`.
            self.cost += GLUED_SIGN;
        } else if before == Run::Space && matches!(run, Run::Word | Run::Signs) {
            // The last blank belongs to the word behind it.
            if before_length > 1 {
                self.cost += TOKEN;
            }
        } else {
            self.close();
        }
        self.run = run;
        self.length = 1;
        self.capitals = 0;
        self.accented = 0;
        self.small = false;
        self.after_space = before == Run::Space;
    }

    fn close(&mut self) {
        let length = self.length;
        self.cost += match self.run {
            Run::None => 0,
            Run::Word => self.word(),
            Run::Digits => TOKEN * length.div_ceil(3) as u64,
            Run::Signs => beyond(&SIGNS, length, LONG_SIGNS_SIGN),
            Run::Space | Run::Newlines => TOKEN,
        };
        self.run = Run::None;
        self.length = 0;
        self.capitals = 0;
        self.accented = 0;
        self.small = false;
        self.after_space = false;
    }

    fn word(&self) -> u64 {
        let capitals = if self.capitals > 2 {
            CAPITAL * (self.capitals as u64 - 2)
        } else {
            0
        };
        beyond(&WORD, self.length, LONG_WORD_LETTER) + self.accented * ACCENTED + capitals
    }
}

fn beyond(table: &[u64], length: usize, each: u64) -> u64 {
    let last = table.len() - 1;
    if length <= last {
        table[length]
    } else {
        table[last] + each * (length - last) as u64
    }
}

/// What one character of another script costs.
fn script_cost(char: char) -> u64 {
    match char {
        '\u{370}'..='\u{3ff}' => 420,                             // Greek
        '\u{400}'..='\u{52f}' => 295,                             // Cyrillic
        '\u{590}'..='\u{6ff}' | '\u{750}'..='\u{77f}' => 450,     // Hebrew, Arabic
        '\u{900}'..='\u{dff}' => 330,                             // scripts of India
        '\u{e00}'..='\u{eff}' => 510,                             // Thai, Lao
        '\u{3040}'..='\u{30ff}' => 880,                           // kana
        '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => 710, // hangul
        '\u{3400}'..='\u{9fff}' => 740,                           // han
        '\u{1f000}'..='\u{1faff}' => 1_700,                       // emoji
        '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 600, // joiners, selectors
        _ => 1_000,
    }
}
