//! Only what is configured and allowed is dialled.

use freehold_hosted::{HostedBackend, Networks};
use freehold_ports::Backend as _;
use freehold_types::{ErrorKind, Site};

use crate::canned::{Canned, json};
use crate::support::settings;

const MODELS: &str = r#"{"data":[{"id":"m"}]}"#;

async fn server() -> Canned {
    Canned::start([("/v1/models", json(MODELS))], None).await
}

/// A backend at a name of this machine, with the operator's idea of inside.
fn named(server: &Canned, site: Site, inside: Networks) -> HostedBackend {
    let port = server.authority.rsplit(':').next().unwrap();
    let mut settings = settings("vllm", &format!("http://localhost:{port}/v1"));
    settings.site = site;
    settings.inside = inside;
    HostedBackend::new(settings).unwrap()
}

#[tokio::test]
async fn a_name_that_resolves_inside_is_dialled() {
    let server = server().await;
    for inside in [
        Networks::private(),
        Networks::declared(&["127.0.0.0/8", "::1"]).unwrap(),
    ] {
        let backend = named(&server, Site::inside(), inside);
        assert_eq!(backend.probe().await.unwrap().models, ["m"]);
    }
}

#[tokio::test]
async fn a_name_that_resolves_elsewhere_is_not() {
    let server = server().await;
    let inside = Networks::declared(&["10.0.0.0/8"]).unwrap();
    let error = named(&server, Site::inside(), inside)
        .probe()
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.code.as_deref(), Some("address_refused"), "{error:?}");
    assert!(!error.message.contains("127.0.0.1"), "{error:?}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_outside_backend_on_this_machine_is_one_by_its_own_name_only() {
    let server = server().await;
    let backend = named(&server, Site::outside(), Networks::private());
    assert_eq!(backend.probe().await.unwrap().models, ["m"]);
}
