//! How long the router takes: `cargo bench -p freehold-route`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use freehold_cost::{PriceBook, tokens};
use freehold_guard::Scan;
use freehold_policy::{Claim, Labels, Rules, decide};
use freehold_route::{Health, Query, Resolved, RouteSettings, features, plan, replay};
use freehold_types::{
    Capability, Deployment, Dialect, Message, PriceBasis, Request, Role, Sensitivity, Site,
};

fn request(text: &str) -> Request {
    Request::new(
        Dialect::OpenaiChat,
        "auto",
        vec![
            Message::text(Role::System, "You are a helpful assistant."),
            Message::text(Role::User, text),
        ],
    )
}

fn deployments(count: usize) -> Vec<Arc<Deployment>> {
    let models = ["gpt-4o-mini", "gpt-5", "gpt-4.1", "o3", "gpt-4o"];
    (0..count)
        .map(|index| {
            let model = models[index % models.len()];
            Arc::new(Deployment {
                id: format!("vendor-{index}/{model}").into(),
                backend: format!("vendor-{index}").into(),
                model: model.to_owned(),
                site: Site::outside(),
                dialects: vec![Dialect::OpenaiChat],
                capabilities: [Capability::Chat, Capability::Tools].into(),
                context_window_tokens: Some(128_000),
                price: PriceBasis::Listed {
                    provider: "openai".to_owned(),
                    model: model.to_owned(),
                },
                quality: 0.7,
                tokens_per_second: 80.0,
                first_token_ms: 400,
            })
        })
        .collect()
}

/// About 4 KB of mixed prose and code.
fn text() -> String {
    let paragraph = "Please explain why the following function is slow, and how you would change it. \
        The users list has 250,000 entries; memory is limited to 512 MB.\n```python\ndef find(users, \
        name):\n    for user in users:\n        if user.name == name:\n            return user\n```\n";
    paragraph.repeat(4_096 / paragraph.len() + 1)[..4_096].to_owned()
}

fn bench(criterion: &mut Criterion) {
    let small = request("Hello, what is the capital of France?");
    let large = request(&text());
    let prices = PriceBook::bundled();
    let scan = Scan::default();
    let labels = Labels {
        default: Sensitivity::Internal,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &scan,
    };
    let Ok(permit) = decide(&Rules::open(), &labels, []) else {
        return;
    };
    criterion.bench_function("estimate_request 4 KB", |b| {
        b.iter(|| tokens::estimate_request(black_box(&large)));
    });
    criterion.bench_function("features 4 KB", |b| b.iter(|| features(black_box(&large))));
    for (what, asked, count) in [
        ("plan, 40 bytes, 3 deployments", &small, 3),
        ("plan, 4 KB, 3 deployments", &large, 3),
        ("plan, 4 KB, 12 deployments", &large, 12),
        ("plan, 4 KB, 64 deployments", &large, 64),
    ] {
        let route = Resolved {
            name: "auto".to_owned(),
            deployments: deployments(count),
            settings: RouteSettings::default(),
        };
        let query = Query {
            request: asked,
            route: &route,
            permit: &permit,
            prices: &prices,
            health: &|_| Health::default(),
            at_unix_ms: 1_792_497_600_000,
        };
        criterion.bench_function(what, |b| b.iter(|| plan(black_box(&query)).is_ok()));
        if count == 12
            && let Ok(made) = plan(&query)
        {
            criterion.bench_function("store a decision of 12", |b| {
                b.iter(|| serde_json::to_string(black_box(&made.decision)).is_ok());
            });
            criterion.bench_function("replay a decision of 12", |b| {
                b.iter(|| replay(black_box(&made.decision)).is_ok());
            });
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
