//! Everything that could make a gateway call somebody, in a namespace whose way out is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::capture::{Capture, Packet};
use crate::gateway::{Gateway, Surface, VENDORS};
use crate::names::Names;
use crate::namespace;
use crate::upstream::{Upstream, chat, redirect};

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
const AWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Proxies and addresses in the environment, all of them away.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("HTTP_PROXY", "http://203.0.113.99:3128"),
    ("HTTPS_PROXY", "http://203.0.113.99:3128"),
    ("ALL_PROXY", "socks5://203.0.113.99:1080"),
    ("http_proxy", "http://203.0.113.99:3128"),
    ("https_proxy", "http://203.0.113.99:3128"),
    ("all_proxy", "socks5://203.0.113.99:1080"),
];

fn addresses(canary_port: u16) -> Vec<String> {
    [
        "http://203.0.113.10/canary.png",
        "https://203.0.113.10/canary.png",
        "http://canary.test/canary.png",
        "http://[2001:db8::10]/canary.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://0xcb00710a/canary.png",
        "http://[::ffff:203.0.113.10]/canary.png",
        "ftp://203.0.113.10/canary.png",
        "file:///etc/passwd",
        "gopher://203.0.113.10:70/_x",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("http://127.0.0.1:{canary_port}/canary.png")])
    .collect()
}

/// Every way to refer to something elsewhere, in the words of each surface.
fn references(surface: Surface, model: &str, url: &str) -> Vec<Value> {
    let with = |parts: Value| surface.body(model, parts);
    let mut bodies = match surface {
        Surface::Chat => vec![
            with(
                json!([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]),
            ),
            with(json!([{"type": "image_url", "image_url": url}])),
            with(json!([{"type": "input_audio", "input_audio": {"data": url, "format": "wav"}}])),
            with(json!([{"type": "file", "file": {"file_url": url}}])),
            with(json!([{"type": "file", "file": {"file_data": url, "filename": "a.pdf"}}])),
            with(json!([{"type": "video_url", "video_url": {"url": url}}])),
        ],
        Surface::Messages => vec![
            with(json!([{"type": "image", "source": {"type": "url", "url": url}}])),
            with(json!([{"type": "document", "source": {"type": "url", "url": url}}])),
            with(json!([{"type": "tool_result", "tool_use_id": "t",
                "content": [{"type": "image", "source": {"type": "url", "url": url}}]}])),
        ],
    };
    let text = |body: &mut Value, field: &str, value: Value| body[field] = value;
    for (field, value) in [
        ("base_url", json!(url)),
        ("api_base", json!(url)),
        ("webhook", json!({"url": url})),
        (
            "mcp_servers",
            json!([{"type": "url", "url": url, "name": "x"}]),
        ),
        (
            "tools",
            json!([{"type": "mcp", "server_label": "x", "server_url": url}]),
        ),
        ("metadata", json!({"base_url": url, "callback": url})),
        ("model", json!(url)),
        ("model", json!(format!("{model}@{url}"))),
    ] {
        let mut body = surface.body(model, format!("please fetch {url}"));
        text(&mut body, field, value);
        bodies.push(body);
    }
    bodies
}

const HEADERS: [(&str, &str); 12] = [
    ("X-Route", "http://203.0.113.10/v1"),
    ("X-Upstream", "203.0.113.10"),
    ("X-Base-Url", "http://203.0.113.10/v1"),
    ("X-Forwarded-Host", "203.0.113.10"),
    ("X-Original-Url", "http://203.0.113.10/"),
    ("Forwarded", "host=203.0.113.10"),
    ("Host", "203.0.113.10"),
    ("Referer", "http://203.0.113.10/"),
    ("X-Freehold-Flow", "http://203.0.113.10/"),
    ("Proxy", "http://203.0.113.10:3128"),
    ("Proxy-Authorization", "Basic YTpi"),
    ("Helicone-Target-Url", "http://203.0.113.10"),
];

#[test]
fn no_request_makes_the_gateway_call_anybody() {
    namespace::inside("attacks::no_request_makes_the_gateway_call_anybody", || {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::start(BTreeMap::new(), folder.path());
        let capture = Capture::start();
        let (house, canary) = (Upstream::start(chat()), Upstream::start(chat()));
        let all = "[chat, completions, tools, images, audio, files]";
        let config = format!(
            "perimeter: sealed\nserver: {{admin: null}}\nbackends:\n  \
             house:\n    type: vllm\n    base_url: 'http://127.0.0.1:{}/v1'\n    models:\n      \
             - {{name: sees, capabilities: {all}}}\n      - {{name: blind, capabilities: [chat]}}\n",
            house.port
        );
        let environment: Vec<_> = VENDORS.into_iter().chain(ENVIRONMENT).collect();
        let gateway = Gateway::start(&config, &environment);
        let mut asked = 0;
        for surface in Surface::BOTH {
            for url in addresses(canary.port) {
                for (index, body) in references(surface, "house/sees", &url).iter().enumerate() {
                    let reply = gateway.post(surface, &[], body);
                    assert!(
                        (200..500).contains(&reply.status),
                        "{index} {url}: {reply:?}"
                    );
                    asked += 1;
                }
            }
            for header in HEADERS {
                let body = surface.body("house/sees", "hello");
                let reply = gateway.post(surface, &[header], &body);
                assert_eq!(reply.status, 200, "{header:?}: {reply:?}");
            }
            // A client that takes the gateway for a proxy gets the gateway itself.
            let target = format!("http://203.0.113.10{}", surface.path());
            let body = surface.body("house/sees", "hello").to_string();
            gateway.post_at(&target, &[("Host", "203.0.113.10")], &body);
        }
        let tunnel = gateway
            .tell(b"CONNECT 203.0.113.10:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(tunnel.status >= 400, "{tunnel:?}");
        assert!(asked > 200, "{asked}");
        assert!(house.connections() > 0 && !house.bodies().is_empty());
        assert_eq!(
            canary.connections(),
            0,
            "what a request names is not fetched"
        );
        assert_eq!(
            names.asked(),
            Vec::<String>::new(),
            "nor is its name asked for"
        );
        assert_eq!(capture.so_far(), BTreeSet::new());
    });
}

/// A model that cannot see is not shown a picture, and not one word of the rest.
#[test]
fn what_a_model_cannot_see_is_a_bad_request() {
    let house = Upstream::start(chat());
    let config = format!(
        "perimeter: sealed\nserver: {{admin: null}}\nbackends:\n  house: {{type: vllm, base_url: \
         'http://127.0.0.1:{}/v1', models: [{{name: blind, capabilities: [chat]}}]}}\n",
        house.port
    );
    let gateway = Gateway::start(&config, &[]);
    for url in [
        "http://203.0.113.10/a.png",
        "data:image/png;base64,iVBORw0KGgo=",
    ] {
        let chat = json!([{"type": "image_url", "image_url": {"url": url}}]);
        let source = match url.strip_prefix("data:image/png;base64,") {
            Some(data) => json!({"type": "base64", "media_type": "image/png", "data": data}),
            None => json!({"type": "url", "url": url}),
        };
        let messages = json!([{"type": "image", "source": source}]);
        for (surface, parts) in [(Surface::Chat, chat), (Surface::Messages, messages)] {
            let reply = gateway.post(surface, &[], &surface.body("house/blind", parts));
            assert_eq!(reply.status, 400, "{reply:?}");
            assert!(reply.text.contains("image"), "{reply:?}");
        }
    }
    assert_eq!(house.connections(), 0);
}

#[test]
fn redirects_and_changing_names_lead_nowhere() {
    namespace::inside("attacks::redirects_and_changing_names_lead_nowhere", || {
        let folder = tempfile::tempdir().unwrap();
        let zone = BTreeMap::from([
            ("steady.test", vec![vec![HOME]]),
            // At home for one connection, then away.
            ("rebound.test", vec![vec![HOME], vec![AWAY]]),
            ("mixed.test", vec![vec![HOME, AWAY]]),
            ("away.test", vec![vec![AWAY]]),
            ("cloud.test", vec![vec![METADATA]]),
        ]);
        let names = Names::start(zone, folder.path());
        let capture = Capture::start();
        let house = Upstream::start(chat());
        let canary = Upstream::start(chat());
        let moved: Vec<Upstream> = [
            (301, "http://203.0.113.10/v1/chat/completions".to_owned()),
            (302, "https://203.0.113.10/".to_owned()),
            (303, "http://canary.test/".to_owned()),
            (307, "//203.0.113.10/v1/chat/completions".to_owned()),
            (
                308,
                format!("http://127.0.0.1:{}/v1/chat/completions", canary.port),
            ),
        ]
        .into_iter()
        .map(|(status, location)| Upstream::start(redirect(status, &location)))
        .collect();
        let mut config = "perimeter: sealed\nserver: {admin: null}\nbackends:\n".to_owned();
        let mut add = |name: &str, host: &str, port: u16| {
            config += &format!(
                "  {name}: {{type: vllm, base_url: 'http://{host}:{port}/v1', models: [{{name: m}}]}}\n"
            );
        };
        for name in ["steady", "rebound", "mixed", "away", "cloud"] {
            add(name, &format!("{name}.test"), house.port);
        }
        for (index, upstream) in moved.iter().enumerate() {
            add(&format!("moved{index}"), "127.0.0.1", upstream.port);
        }
        let gateway = Gateway::start(&config, &ENVIRONMENT);
        let ask = |name: &str| {
            let surface = Surface::Chat;
            gateway.post(surface, &[], &surface.body(&format!("{name}/m"), "hello"))
        };
        assert_eq!(ask("steady").status, 200);
        assert_eq!(ask("steady").status, 200, "asked for each connection");
        assert_eq!(ask("rebound").status, 200);
        assert_eq!(house.connections(), 3);
        for name in ["rebound", "mixed", "away", "cloud"] {
            for _ in 0..2 {
                let reply = ask(name);
                assert_eq!(reply.status, 503, "{name}: {reply:?}");
                assert!(!reply.text.contains("203.0.113"), "{reply:?}");
            }
            gateway.wait_for(&format!("{name}.test resolves to"));
        }
        for (index, upstream) in moved.iter().enumerate() {
            let reply = ask(&format!("moved{index}"));
            assert_eq!(reply.status, 502, "{reply:?}");
            assert!(upstream.connections() > 0);
        }
        assert_eq!(house.connections(), 3, "{}", gateway.log());
        assert_eq!(canary.connections(), 0);
        let asked: BTreeSet<String> = names.asked().into_iter().collect();
        let configured = [
            "away.test",
            "cloud.test",
            "mixed.test",
            "rebound.test",
            "steady.test",
        ];
        assert!(asked.iter().eq(configured.iter()), "{asked:?}");
        assert_eq!(capture.so_far(), BTreeSet::new());
    });
}

/// The proof that the recorder would have seen it: an open gateway does dial its outside backend.
#[test]
fn what_an_open_gateway_dials_is_recorded() {
    namespace::inside("attacks::what_an_open_gateway_dials_is_recorded", || {
        let capture = Capture::start();
        let config = "server: {admin: null}\nbackends:\n  far: {type: vllm, perimeter: outside, \
                      base_url: 'http://203.0.113.9:8000/v1', models: [{name: m}]}\n\
                      routes:\n  far: {targets: ['far/m'], connect_timeout_ms: 300, retries: 0}\n";
        let gateway = Gateway::start(config, &ENVIRONMENT);
        let reply = gateway.post(Surface::Chat, &[], &Surface::Chat.body("far", "hello"));
        assert_eq!(reply.status, 504, "{reply:?}");
        let dialled = Packet {
            to: AWAY.into(),
            protocol: 6,
            port: 8000,
        };
        assert_eq!(capture.so_far(), BTreeSet::from([dialled]), "and no proxy");
    });
}
