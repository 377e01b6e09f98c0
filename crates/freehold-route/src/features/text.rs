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
        let code = self.fenced || looks_like_code(trimmed);
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

fn looks_like_code(line: &str) -> bool {
    const STARTS: [&str; 14] = [
        "#include", "def ", "fn ", "pub ", "class ", "import ", "from ", "return ", "let ",
        "const ", "var ", "SELECT ", "//", "@",
    ];
    let Some(&last) = line.as_bytes().last() else {
        return false;
    };
    if matches!(last, b';' | b'{' | b'}') {
        return true;
    }
    let signs = || {
        ["==", "->", "=>", "::", "();", "!=", "&&", "||", "</", " = "]
            .iter()
            .filter(|sign| line.contains(**sign))
            .count()
    };
    let begins = STARTS.iter().any(|start| line.starts_with(start));
    // `from` and `class` begin sentences too: a sign of code must back them up.
    (begins && (matches!(last, b':' | b')' | b',' | b'(') || line.contains('.') && last != b'.'))
        || (line.len() < 200 && signs() >= 1 && last != b'.' && last != b'?')
}

fn permille(part: usize, whole: usize) -> u64 {
    if whole == 0 {
        return 0;
    }
    (part as u64 * 1_000) / whole as u64
}
