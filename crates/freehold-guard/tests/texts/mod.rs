//! What people write, and texts made to be slow: for the benchmark and for the test of cliffs.

use freehold_types::{Dialect, Message, Request, Role};

const PROSE: &str = "Please explain why the following function is slow, and how you would change \
    it. The users list has 250,000 entries and memory is limited to 512 MB on most machines. ";

const CODE: &str = "fn total(prices: &[u64], tax_percent: u64) -> u64 {\n    prices.iter().map(|price| \
    price * (100 + tax_percent) / 100).sum()\n}\n";

const MAIL: &str = "Hello Ingrid,\n\nthe invoice no. 2024-1187 over 1,250.00 EUR went to \
    accounts@example.org on 12 March; the IBAN is unchanged. Call me on +47 22 12 34 56.\n\n";

const CHINESE: &str =
    "请解释一下为什么下面的函数很慢，以及你会如何修改它。用户列表有25万条记录，内存限制为512 MB。";

const RUSSIAN: &str = "Объясните, почему следующая функция работает медленно, и как бы вы её изменили. В \
    списке 250 000 записей. ";

const FRENCH: &str = "Expliquez pourquoi la fonction suivante est lente et comment vous la modifieriez : \
    la liste a été créée à Besançon, l'été dernier. ";

const EMOJI: &str = "👩‍👩‍👧‍👦🎉🇩🇪🏳️‍🌈 ok 👍🏽 ";

/// What a text consists of, over and over.
pub(crate) const TEXTS: &[(&str, &str)] = &[
    ("prose", PROSE),
    ("code", CODE),
    ("mail", MAIL),
    ("Chinese", CHINESE),
    ("Russian", RUSSIAN),
    ("French", FRENCH),
    ("emoji", EMOJI),
    ("card-like digits", "4000123400001234 5100000000000000 "),
    ("groups of digits", "4111 1111 1111 1112 "),
    ("short numbers", "41 11 1 111 "),
    ("spaced digits", "4 1 1 1 1 1 1 2 "),
    ("IBAN-like", "DE89370400440532013001 "),
    ("key prefixes", "eyJa.eyJb.sk-ant-x ghp_1 "),
    ("short words", "a1 b2 c3 d4 "),
    ("addresses", "://a:bcdef"),
    ("at signs", "a@b@c@d.e@"),
    ("base64-like", "QUJDREVGR0hJSktMTU5P/QUJD "),
    ("base64 of text", "VGhpcyBpcyBhIHRleHQgb2Ygbm8gaW50ZXJlc3Q "),
    ("hexadecimal", "9fc4736b0f0d3f7fbe1c3f5b7b1c4c6d "),
    ("zero-width", "4\u{200b}1\u{200b}"),
    ("marks", "e\u{301}4\u{336}"),
    ("lookalikes", "раураl 4О12 "),
    ("percent escapes", "%34%31%2b"),
    ("nested escapes", "%2525"),
    ("references", "&#52;&amp;"),
    ("backslashes", "\\u0034\\n\\\\"),
    ("lines of words", "alpha\nbeta42\ngamma@x\n"),
    ("names", "Anna Larsen and John Smith of Acme Inc. in Oslo, "),
];

/// What people write; the others were made to be slow.
pub(crate) const ORDINARY: &[&str] = &["prose", "code", "mail", "Chinese", "Russian", "French"];

/// So many bytes of a text that consists of one piece, over and over.
pub(crate) fn text_of(piece: &str, bytes: usize) -> String {
    let mut text = piece.repeat(bytes / piece.len() + 1);
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// A request that says this.
pub(crate) fn request(text: &str) -> Request {
    Request::new(
        Dialect::OpenaiChat,
        "auto",
        vec![Message::text(Role::User, text)],
    )
}
