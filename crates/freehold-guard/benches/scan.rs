//! How long a scan takes: `cargo bench -p freehold-guard`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use freehold_guard::{Limits, scan};
use freehold_types::request::{ResponseFormat, Sampling};
use freehold_types::{Dialect, Extra, Message, Request, Role};

fn request(text: String) -> Request {
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

fn bench(criterion: &mut Criterion) {
    const PROSE: &str = "Please explain why the following function is slow, and how you would change \
        it. The users list has 250,000 entries and memory is limited to 512 MB on most machines. ";
    for (what, piece) in [
        ("prose", PROSE),
        ("digits", "4000123400001234 5100000000000000 "),
        ("groups", "4111 1111 1111 1112 "),
        ("ibans", "DE89370400440532013001 "),
        ("prefixes", "eyJa.eyJb.sk-ant-x ghp_1 "),
        ("words", "a1 b2 c3 d4 "),
        ("urls", "://a:bcdef"),
    ] {
        let asked = request(piece.repeat(4_096 / piece.len()));
        let limits = Limits::default();
        criterion.bench_function(&format!("scan 4 KB of {what}"), |b| {
            b.iter(|| scan(black_box(&asked), &limits));
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
