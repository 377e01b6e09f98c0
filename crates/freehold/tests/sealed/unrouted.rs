//! Without any way out, a sealed gateway starts and serves.

use crate::gateway::{Gateway, Surface, VENDORS};
use crate::namespace;
use crate::upstream::{TEXT, Upstream, chat};

#[test]
fn it_starts_and_serves_where_there_is_no_way_out() {
    namespace::inside(
        "unrouted::it_starts_and_serves_where_there_is_no_way_out",
        || {
            let routes = namespace::try_ip(&["route"]);
            assert!(routes.stdout.is_empty(), "{routes:?}");
            let house = Upstream::start(chat());
            let config = format!(
                "perimeter: sealed\nserver: {{admin: null}}\nbackends:\n  house: {{type: vllm, \
             base_url: 'http://127.0.0.1:{}/v1', models: [{{name: m}}]}}\n",
                house.port
            );
            let gateway = Gateway::start(&config, &VENDORS);
            let notice = gateway.notice();
            assert!(
                notice.contains("sealed: nothing leaves this perimeter"),
                "{notice}"
            );
            for variable in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"] {
                let ignored = format!("{variable} is set and ignored");
                assert!(notice.contains(&ignored), "{notice}");
            }
            for surface in Surface::BOTH {
                for model in ["auto", "house/m"] {
                    let reply = gateway.post(surface, &[], &surface.body(model, "a colour?"));
                    assert_eq!(reply.status, 200, "{reply:?}");
                    assert!(reply.text.contains(TEXT), "{reply:?}");
                }
                let reply = gateway.post(surface, &[], &surface.body("openai/gpt-4o", "hi"));
                assert_eq!(reply.status, 404, "{reply:?}");
            }
            assert_eq!(house.connections(), 4);
        },
    );
}
