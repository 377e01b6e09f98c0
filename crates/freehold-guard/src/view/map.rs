//! A text made from another one, with the way back.

use std::ops::Range;

/// A piece of a view that was made in one step.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where it begins in the view.
    at: usize,
    /// What it was made from, in bytes of the source.
    from: usize,
    to: usize,
    /// Whether it was copied, so that each of its bytes has its own place in the source.
    is_copied: bool,
}

/// A text made from another one. Ranges of it can be taken back to the source.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) text: String,
    pieces: Vec<Piece>,
}

impl View {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            pieces: Vec::with_capacity(16),
        }
    }

    /// Appends a range of the source as it stands.
    pub(crate) fn copy(&mut self, source: &str, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let (from, to) = (range.start, range.end);
        match self.pieces.last_mut() {
            Some(last) if last.is_copied && last.to == from => last.to = to,
            _ => self.pieces.push(Piece {
                at: self.text.len(),
                from,
                to,
                is_copied: true,
            }),
        }
        self.text.push_str(&source[range]);
    }

    /// Appends what a range of the source stands for.
    pub(crate) fn put(&mut self, text: &str, range: Range<usize>) {
        if text.is_empty() {
            return;
        }
        self.pieces.push(Piece {
            at: self.text.len(),
            from: range.start,
            to: range.end,
            is_copied: false,
        });
        self.text.push_str(text);
    }

    /// Appends the character that a range of the source stands for.
    pub(crate) fn put_char(&mut self, char: char, range: Range<usize>) {
        self.put(char.encode_utf8(&mut [0; 4]), range);
    }

    /// Puts `char` in place of the last character; together they come from all up to `to`.
    pub(crate) fn replace_last(&mut self, char: char, to: usize) {
        let Some(last) = self.text.pop() else {
            return;
        };
        let at = self.text.len();
        let from = self.source(&(at..at + last.len_utf8())).start;
        while self.pieces.last().is_some_and(|piece| piece.at >= at) {
            self.pieces.pop();
        }
        if let Some(piece) = self.pieces.last_mut()
            && piece.is_copied
        {
            piece.to = piece.from + (at - piece.at);
        }
        self.put_char(char, from..to);
    }

    /// The range of the source that a range of the view was made from: from the first byte's origin
    /// to the last one's.
    pub(crate) fn source(&self, range: &Range<usize>) -> Range<usize> {
        let piece_of = |place: usize| {
            let after = self.pieces.partition_point(|piece| piece.at <= place);
            after.checked_sub(1).map(|index| self.pieces[index])
        };
        let Some(first) = piece_of(range.start) else {
            return 0..0;
        };
        let last = piece_of(range.end.saturating_sub(1)).unwrap_or(first);
        let start = if first.is_copied {
            (first.from + range.start - first.at).min(first.to)
        } else {
            first.from
        };
        let end = if last.is_copied {
            (last.from + range.end - last.at).min(last.to)
        } else {
            last.to
        };
        start..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back() {
        let source = "ab&amp;cd%41e";
        let mut view = View::default();
        view.copy(source, 0..1);
        view.copy(source, 1..2);
        view.put("&", 2..7);
        view.copy(source, 7..9);
        view.put_char('A', 9..12);
        view.copy(source, 12..13);
        assert_eq!(view.text, "ab&cdAe");
        for (what, expected) in [
            ("ab", "ab"),
            ("b&", "b&amp;"),
            ("&", "&amp;"),
            ("&c", "&amp;c"),
            ("cdA", "cd%41"),
            ("dAe", "d%41e"),
            ("e", "e"),
        ] {
            let at = view.text.find(what).unwrap();
            assert_eq!(&source[view.source(&(at..at + what.len()))], expected);
        }
        assert_eq!(View::default().source(&(0..0)), 0..0);
    }
}
