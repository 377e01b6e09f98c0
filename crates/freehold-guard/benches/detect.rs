//! What identifiers, contacts and secrets cost where there are many of them:
//! `cargo bench -p freehold-guard --bench detect`. Every text has 4 KB; the whole guard looks at it.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freehold_guard::{Guard, Settings};
use freehold_types::{Dialect, Message, Request, Role};

const BYTES: usize = 4_096;

/// What a text consists of, over and over.
const TEXTS: &[(&str, &str)] = &[
    (
        "a form",
        "Name: Jane Roe\nDOB: 1985-05-20\nSSN: 536-90-4399\nPhone: (212) 555-0100\nE-mail: jane@example.org\n\
         Address: 123 Main Street, Springfield, IL 62704\nPassport number: X1234567\n\n",
    ),
    (
        "national numbers",
        "PESEL 44051401359, NHS number 943 476 5919, CPF 529.982.247-25, DNI 54362315K, BSN 111222333, \
         Steuer-ID 36 574 261 809, Aadhaar 2341 2341 2346. ",
    ),
    (
        "a log",
        "2024-11-21T05:24:59.123Z INFO pid=12345 tid=140735 GET /api/v2/items/1234567890?page=12 200 5123 0.012\n",
    ),
    (
        "settings with secrets",
        "db_password = \"Tr0ub4dor&3\"\napi_key: q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6Tt\nurl=postgres://app:hunter42x@db/x\n",
    ),
    (
        "settings without values",
        "password=\nsecret: ${SECRET}\ntoken = get_token()\n",
    ),
    ("numbers without meaning", "12 34 56 78 90 "),
    ("decimals", "1.25 3.5 "),
    ("times", "1:2:3 "),
    ("months", "1 may "),
    ("streets", "st 1 rd 2 ave 3 "),
    ("names of secrets", "password="),
];

fn request(text: &str) -> Request {
    Request::new(
        Dialect::OpenaiChat,
        "auto",
        vec![Message::text(Role::User, text)],
    )
}

fn bench(criterion: &mut Criterion) {
    let guard = Guard::new(&Settings::default()).expect("the default settings are valid");
    let mut group = criterion.benchmark_group("detect in 4 KB");
    group
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .throughput(Throughput::Bytes(BYTES as u64));
    for (what, piece) in TEXTS {
        let mut text = piece.repeat(BYTES / piece.len() + 1);
        text.truncate(BYTES);
        let asked = request(&text);
        group.bench_function(*what, |b| b.iter(|| guard.scan(black_box(&asked))));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
