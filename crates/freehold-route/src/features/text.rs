//! The shape of a text: how much of it is code, maths, another script, questions, instructions.

/// Longest word that is looked up.
const WORD_BYTES_MAX: usize = 12;

#[derive(Debug, Default)]
pub(super) struct Shape {
    bytes: usize,
    code_bytes: usize,
    maths_signs: usize,
    latin: usize,
    other_letters: usize,
    fenced: bool,
    pub(super) questions: u64,
    pub(super) reasoning_words: u64,
    pub(super) simple_words: u64,
}

impl Shape {
    /// Reads a text, as long as no more than `budget_bytes` were read in all.
    pub(super) fn read(&mut self, text: &str, budget_bytes: usize) {
        let left = budget_bytes.saturating_sub(self.bytes);
        let text = &text[..text.floor_char_boundary(left)];
        for line in text.split_inclusive('\n') {
            self.line(line);
        }
    }

    pub(super) fn code_permille(&self) -> u64 {
        permille(self.code_bytes, self.bytes)
    }

    pub(super) fn maths_permille(&self) -> u64 {
        permille(self.maths_signs, self.bytes).min(1_000)
    }

    pub(super) fn non_latin_permille(&self) -> u64 {
        permille(self.other_letters, self.latin + self.other_letters)
    }

    fn line(&mut self, line: &str) {
        self.bytes += line.len();
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            self.fenced = !self.fenced;
            self.code_bytes += line.len();
            return;
        }
        let code = self.fenced || looks_like_code(line);
        if code {
            self.code_bytes += line.len();
        }
        self.letters(line, code);
    }

    fn letters(&mut self, line: &str, code: bool) {
        let bytes = line.as_bytes();
        let mut word_start = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if byte.is_ascii_alphabetic() {
                self.latin += 1;
                continue;
            }
            if !code {
                self.word(&bytes[word_start..at]);
            }
            word_start = at + 1;
            match byte {
                b'?' => self.questions += 1,
                b'=' | b'+' | b'*' | b'^' | b'<' | b'>' if !code => self.maths_signs += 1,
                // A command of LaTeX.
                b'\\' if bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic) => {
                    self.maths_signs += 3;
                }
                _ => {}
            }
        }
        if !code {
            self.word(&bytes[word_start..]);
        }
        if !line.is_ascii() {
            self.other_scripts(line);
        }
    }

    fn other_scripts(&mut self, line: &str) {
        for char in line.chars().filter(|char| !char.is_ascii()) {
            match char {
                '？' | '؟' => self.questions += 1,
                '∑' | '∫' | '√' | '≤' | '≥' | '≠' | '∞' | '∂' | '∀' | '∃' | '∈' | '×' | '÷' =>
                {
                    self.maths_signs += 1;
                }
                '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => self.latin += 1,
                _ if char.is_alphabetic() => self.other_letters += 1,
                _ => {}
            }
        }
    }

    fn word(&mut self, word: &[u8]) {
        if !(3..=WORD_BYTES_MAX).contains(&word.len()) {
            return;
        }
        let mut small = [0; WORD_BYTES_MAX];
        let small = &mut small[..word.len()];
        small.copy_from_slice(word);
        small.make_ascii_lowercase();
        match &*small {
            b"why" | b"how" | b"prove" | b"proof" | b"derive" | b"explain" | b"compare"
            | b"contrast" | b"analyze" | b"analyse" | b"evaluate" | b"design" | b"architect"
            | b"implement" | b"debug" | b"refactor" | b"optimize" | b"optimise" | b"solve"
            | b"calculate" | b"compute" | b"plan" | b"strategy" | b"reason" | b"reasoning"
            | b"critique" | b"justify" | b"theorem" | b"algorithm" | b"complexity"
            | b"tradeoff" | b"tradeoffs" | b"integral" | b"equation" | b"integrate"
            | b"simulate" | b"diagnose" | b"estimate" => self.reasoning_words += 1,
            b"list" | b"translate" | b"rephrase" | b"rewrite" | b"summarize" | b"summarise"
            | b"classify" | b"extract" | b"spell" | b"correct" | b"hello" | b"thanks"
            | b"thank" | b"greet" | b"hey" | b"label" | b"title" | b"name" => {
                self.simple_words += 1
            }
            _ => {}
        }
    }
}

/// Beginnings of statements and comments.
const STARTS: [&str; 14] = [
    "#include", "def ", "fn ", "pub ", "class ", "import ", "from ", "return ", "let ", "const ",
    "var ", "SELECT ", "//", "@",
];
/// Beginnings of lines that open a block with a colon.
const BLOCKS: [&str; 9] = [
    "for ", "if ", "while ", "def ", "class ", "with ", "else", "try", "except",
];
/// Signs that prose does not have.
const SIGNS: [&str; 9] = ["==", "->", "=>", "::", "();", "!=", "&&", "||", "</"];
/// A line with more blanks is a sentence that mentions code.
const CODE_BLANKS_MAX: usize = 10;

/// Whether a line is code by itself. Sentences begin with `from` and `class` too, and mention `a::b`:
/// something else must back such signs up.
fn looks_like_code(line: &str) -> bool {
    let indented = line.starts_with("  ") || line.starts_with('\t');
    let line = line.trim();
    let Some(&last) = line.as_bytes().last() else {
        return false;
    };
    if matches!(last, b';' | b'{' | b'}') {
        return true;
    }
    let begins = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
    if last == b':' && begins(&BLOCKS) {
        return true;
    }
    let closed = matches!(last, b':' | b')' | b',' | b'(');
    if begins(&STARTS) && (indented || closed || line.contains('.') && last != b'.') {
        return true;
    }
    let blanks = line.bytes().filter(|byte| *byte == b' ').count();
    if blanks > CODE_BLANKS_MAX || matches!(last, b'.' | b'?') {
        return false;
    }
    is_assignment(line) || SIGNS.iter().any(|sign| line.contains(sign))
}

/// `name = ...`, `self.name[0] = ...`, `let name: Type = ...`.
fn is_assignment(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(target, _)| {
        let is_target = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:[]<> ".contains(&byte);
        target.bytes().all(is_target) && target.split(' ').count() <= 3
    })
}

fn permille(part: usize, whole: usize) -> u64 {
    if whole == 0 {
        return 0;
    }
    (part as u64 * 1_000) / whole as u64
}
