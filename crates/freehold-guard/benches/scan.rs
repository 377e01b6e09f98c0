//! How long the guard takes: `cargo bench -p freehold-guard --bench scan`.
//!
//! Every text has 4 KB. At the end stands a table of nanoseconds per byte with the ratio of the worst
//! to the median; `-- --table [NAME...]` prints only that.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group};
use freehold_guard::{Guard, Settings};
use freehold_types::request::{ResponseFormat, Sampling};
use freehold_types::{Dialect, Extra, Message, Request, Role};

const BYTES: usize = 4_096;

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
const TEXTS: &[(&str, &str)] = &[
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
const ORDINARY: &[&str] = &["prose", "code", "mail", "Chinese", "Russian", "French"];

fn text_of(piece: &str) -> String {
    let mut text = piece.repeat(BYTES / piece.len() + 1);
    text.truncate(text.floor_char_boundary(BYTES));
    text
}

fn request(text: &str) -> Request {
    Request {
        dialect: Dialect::OpenaiChat,
        model: "auto".into(),
        messages: vec![Message::text(Role::User, text)],
        prompt: None,
        tools: vec![],
        tool_choice: None,
        parallel_tool_calls: None,
        response_format: ResponseFormat::Text,
        sampling: Sampling::default(),
        reasoning: None,
        stream: false,
        include_usage: false,
        user: None,
        metadata: Extra::new(),
        extra: Extra::new(),
        raw: None,
    }
}

fn guard() -> Guard {
    Guard::new(&Settings::default()).expect("the default settings are valid")
}

fn bench(criterion: &mut Criterion) {
    let guard = guard();
    let mut group = criterion.benchmark_group("scan 4 KB");
    group
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    for (what, piece) in TEXTS {
        let asked = request(&text_of(piece));
        group.throughput(Throughput::Bytes(BYTES as u64));
        group.bench_function(*what, |b| b.iter(|| guard.scan(black_box(&asked))));
    }
    group.finish();
}

/// Scans of each text.
const SCANS: usize = 600;

/// How long each of many scans took, in nanoseconds, the shortest first.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn measure(guard: &Guard, asked: &Request) -> Vec<f64> {
    let mut times: Vec<f64> = (0..SCANS)
        .map(|_| {
            let begun = Instant::now();
            black_box(guard.scan(black_box(asked)));
            begun.elapsed().as_nanos() as f64
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times
}

/// The time that so many of a hundred scans do not exceed.
fn percentile(times: &[f64], percent: usize) -> f64 {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn table(names: &[String]) {
    let guard = guard();
    let is_named = |what: &str| names.is_empty() || names.iter().any(|name| name == what);
    let mut rows: Vec<(&str, Vec<f64>)> = TEXTS
        .iter()
        .filter(|(what, _)| is_named(what))
        .map(|(what, piece)| {
            let asked = request(&text_of(piece));
            measure(&guard, &asked);
            (*what, measure(&guard, &asked))
        })
        .collect();
    rows.sort_by(|a, b| percentile(&a.1, 50).total_cmp(&percentile(&b.1, 50)));
    println!(
        "{:20} {:>8} {:>8} {:>8} {:>8}",
        "4 KB of", "p50 us", "p99 us", "worst us", "ns/byte"
    );
    let print = |what: &str, times: &[f64]| {
        let (median, high) = (percentile(times, 50), percentile(times, 99));
        let worst = percentile(times, 100);
        println!(
            "{what:20} {:8.1} {:8.1} {:8.1} {:8.2}",
            median / 1e3,
            high / 1e3,
            worst / 1e3,
            median / BYTES as f64
        );
    };
    for (what, times) in &rows {
        print(what, times);
    }
    let ordinary = |what: &str| ORDINARY.contains(&what);
    for (what, wanted) in [("ordinary texts", true), ("all texts", false)] {
        let chosen = rows.iter().filter(|row| !wanted || ordinary(row.0));
        let mut times: Vec<f64> = chosen.flat_map(|row| &row.1).copied().collect();
        times.sort_unstable_by(f64::total_cmp);
        if !times.is_empty() {
            print(what, &times);
        }
    }
    let middle = percentile(&rows[rows.len() / 2].1, 50);
    let worst = percentile(&rows[rows.len() - 1].1, 50);
    println!("worst : median of the medians = {:.2}", worst / middle);
}

criterion_group!(benches, bench);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--table");
    if arguments.next().is_some() {
        let names: Vec<_> = arguments.filter(|name| !name.starts_with("--")).collect();
        table(&names);
        return;
    }
    benches();
    table(&[]);
}
