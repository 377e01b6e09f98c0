//! The operator's surface with the real program: what each role may ask, and how people sign in.

use std::net::TcpListener;

use freehold_testkit::FakeUpstream;
use freehold_testkit::identity::{CLIENT_ID, CLIENT_SECRET, IdentityProvider, Lie};
use reqwest::header::{COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::program::{Gateway, Machine};

/// Keys and their holders.
const ADMIN: &str = "fh-admin-0123456789abcdef";
const OPERATOR: &str = "fh-operator-0123456789abcdef";
const AUDITOR: &str = "fh-auditor-0123456789abcdef";
const DEVELOPER: &str = "fh-developer-0123456789abcdef";
const PART: &str = "fh-part-0123456789abcdef";
const APP: &str = "fh-app-0123456789abcdef";

struct Scene {
    machine: Machine,
    gateway: Option<Gateway>,
    upstream: FakeUpstream,
    service: IdentityProvider,
    admin: String,
    client: Client,
}

impl Scene {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// Serves after this change of the configuration.
    async fn with(change: impl FnOnce(&mut Value)) -> Self {
        // The first test of the process has done it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let upstream = FakeUpstream::start().await.unwrap();
        let service = IdentityProvider::start().await.unwrap();
        // Browsers must know it before the gateway has it.
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let admin = free.local_addr().unwrap().to_string();
        drop(free);
        let mut config = config(&upstream, &service, &admin);
        change(&mut config);
        let machine = Machine::new(&config.to_string());
        let gateway = machine.serve();
        Self {
            machine,
            gateway: Some(gateway),
            upstream,
            service,
            admin: format!("http://{admin}"),
            client: Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.admin))
    }

    async fn get(&self, path: &str, key: &str) -> (u16, Value) {
        told(self.ask(Method::GET, path).bearer_auth(key)).await
    }

    async fn reload(&self, key: &str) -> (u16, Value) {
        told(self.ask(Method::POST, "/admin/v1/reload").bearer_auth(key)).await
    }

    /// Asks a model; returns the status and the request's id.
    async fn chat(&self, key: &str) -> (u16, String) {
        let url = format!(
            "http://{}/v1/chat/completions",
            self.gateway.as_ref().unwrap().address()
        );
        let body = json!({"model": "far/m", "messages": [{"role": "user", "content": "hi"}]});
        let sent = self
            .client
            .post(url)
            .bearer_auth(key)
            .json(&body)
            .send()
            .await
            .unwrap();
        let id = sent.headers()["x-request-id"].to_str().unwrap().to_owned();
        (sent.status().as_u16(), id)
    }

    /// Goes to the login service and back; the answer to the callback.
    async fn sign_in(&self) -> Response {
        let sent = self.ask(Method::GET, "/login").send().await.unwrap();
        assert_eq!(
            sent.status(),
            StatusCode::SEE_OTHER,
            "{}",
            sent.text().await.unwrap()
        );
        let cookie = cookies(sent.headers());
        let back = self.client.get(location(&sent)).send().await.unwrap();
        assert_eq!(back.status(), StatusCode::FOUND);
        let callback = location(&back);
        assert!(callback.starts_with(&self.admin), "{callback}");
        self.client
            .get(callback)
            .header(COOKIE, cookie)
            .send()
            .await
            .unwrap()
    }

    /// Signs in; the session's cookie.
    async fn session(&self) -> String {
        let sent = self.sign_in().await;
        assert_eq!(
            sent.status(),
            StatusCode::SEE_OTHER,
            "{}",
            sent.text().await.unwrap()
        );
        cookies(sent.headers())
    }

    async fn get_with(&self, path: &str, cookie: &str) -> (u16, Value) {
        told(self.ask(Method::GET, path).header(COOKIE, cookie)).await
    }

    /// Everything that the audit trail says.
    fn trail(&self) -> String {
        self.machine.done(&["audit", "show", "--json"]).out
    }

    fn stop(mut self) -> String {
        self.gateway.take().unwrap().stop()
    }
}

fn config(upstream: &FakeUpstream, service: &IdentityProvider, admin: &str) -> Value {
    json!({
        "discover": false,
        "server": {"admin": admin},
        "backends": {"far": {
            "type": "vllm", "base_url": format!("{}/v1", upstream.url()), "models": [{"name": "m"}],
        }},
        "teams": {"acme": {}, "acme/search": {}, "beta": {}},
        "keys": [
            {"name": "admin", "key": ADMIN, "role": "admin"},
            {"name": "operator", "key": OPERATOR, "role": "operator"},
            {"name": "auditor", "key": AUDITOR, "role": "auditor"},
            {"name": "developer", "key": DEVELOPER, "role": "developer", "team": "acme/search"},
            {"name": "part", "key": PART, "role": "admin", "team": "acme"},
            {"name": "app", "key": APP, "team": "beta"},
        ],
        "login": {
            "issuer": service.issuer(), "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
            "url": format!("http://{admin}"),
            "roles": [
                {"claim": "realm.groups", "is": "llm", "role": "operator"},
                {"claim": "email", "is": "ann@example.com", "role": "auditor"},
                {"claim": "team", "is": "search", "role": "developer", "teams": ["acme/search"]},
            ],
        },
    })
}

async fn told(request: reqwest::RequestBuilder) -> (u16, Value) {
    let sent = request.send().await.unwrap();
    for (name, value) in [("cache-control", "no-store"), ("x-frame-options", "DENY")] {
        assert_eq!(sent.headers()[name], value);
    }
    let status = sent.status().as_u16();
    let body = sent.text().await.unwrap();
    (
        status,
        serde_json::from_str(&body).unwrap_or(Value::String(body)),
    )
}

fn location(response: &Response) -> String {
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

/// What a browser sends after it was told to keep these.
fn cookies(headers: &HeaderMap) -> String {
    let set = headers.get_all(SET_COOKIE).iter();
    let set = set.map(|value| value.to_str().unwrap());
    let kept = set.filter(|cookie| !cookie.contains("Max-Age=0"));
    let pairs = kept.map(|cookie| {
        for flag in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        cookie.split(';').next().unwrap()
    });
    pairs.collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_ask_what_is_its_own() {
    let scene = Scene::start().await;
    let (status, own) = scene.chat(DEVELOPER).await;
    assert_eq!(status, 200);
    let (_, others) = scene.chat(APP).await;
    let record = format!("/admin/v1/requests/{own}");
    let text = format!("{record}/text");
    let foreign = format!("/admin/v1/requests/{others}");
    let paths = [
        "/admin/v1/me",
        "/admin/v1/usage",
        "/admin/v1/flows",
        "/admin/v1/keys",
        "/admin/v1/audit",
        &record,
        &foreign,
        &text,
    ];
    let mut table = vec![];
    for key in [
        DEVELOPER,
        AUDITOR,
        OPERATOR,
        ADMIN,
        PART,
        APP,
        "fh-unknown-0123456789",
    ] {
        let mut row = vec![];
        for path in paths {
            row.push(scene.get(path, key).await.0);
        }
        row.push(scene.reload(key).await.0);
        table.push(row);
    }
    // Text is there for nobody: policy let none be stored.
    assert_eq!(
        table,
        [
            [200, 200, 200, 200, 403, 403, 403, 403, 403],
            [200, 200, 200, 200, 200, 200, 200, 403, 403],
            [200, 200, 200, 200, 403, 200, 200, 403, 200],
            [200, 200, 200, 200, 200, 200, 200, 404, 200],
            // What is of the whole gateway is not a team's, and others' requests are not even there.
            [200, 200, 200, 200, 403, 200, 404, 403, 403],
            [403; 9],
            [401; 9],
        ]
    );
    let (status, error) = told(scene.ask(Method::GET, "/admin/v1/usage")).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (401, &json!("unauthenticated"))
    );
    // Probes and scrapers on this machine need no key.
    for path in ["/metrics", "/health/liveliness", "/health/readiness"] {
        assert_eq!(told(scene.ask(Method::GET, path)).await.0, 200, "{path}");
    }
    assert_eq!(told(scene.ask(Method::GET, "/nowhere")).await.0, 404);
    let log = scene.stop();
    assert!(!log.contains("fh-developer-01"), "a key is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nobody_has_a_role() {
    let scene = Scene::with(|config| {
        config["keys"] = json!([]);
        config["login"] = Value::Null;
    })
    .await;
    let (status, error) = scene.get("/admin/v1/usage", ADMIN).await;
    assert_eq!(status, 401);
    assert!(
        error.to_string().contains("freehold keys create"),
        "{error}"
    );
    let (_, page) = told(scene.ask(Method::GET, "/")).await;
    assert!(!page.as_str().unwrap().contains("Sign in"), "{page}");
    assert_eq!(told(scene.ask(Method::GET, "/login")).await.0, 404);
    assert_eq!(told(scene.ask(Method::GET, "/metrics")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_for_a_team_sees_that_team() {
    let scene = Scene::start().await;
    for key in [DEVELOPER, DEVELOPER, APP] {
        assert_eq!(scene.chat(key).await.0, 200);
    }
    let requests = async |path: &str, key: &str| {
        let (status, told) = scene.get(path, key).await;
        assert_eq!(status, 200, "{told}");
        told["totals"]["requests"].as_u64().unwrap()
    };
    assert_eq!(requests("/admin/v1/usage", ADMIN).await, 3);
    assert_eq!(requests("/admin/v1/usage", DEVELOPER).await, 2);
    assert_eq!(requests("/admin/v1/usage", PART).await, 2);
    assert_eq!(
        requests("/admin/v1/usage?by=team&team=acme/search", PART).await,
        2
    );
    assert_eq!(requests("/admin/v1/usage?team=beta", ADMIN).await, 1);
    for team in ["beta", "acme"] {
        let path = format!("/admin/v1/usage?team={team}");
        assert_eq!(scene.get(&path, DEVELOPER).await.0, 403);
    }
    let (_, flows) = scene.get("/admin/v1/flows", DEVELOPER).await;
    let counted = flows
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| flow["requests"].as_u64().unwrap());
    assert_eq!(counted.sum::<u64>(), 2);
    let (_, keys) = scene.get("/admin/v1/keys", PART).await;
    let names: Vec<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["name"])
        .collect();
    assert_eq!(names, ["developer", "part"]);
    assert!(!keys.to_string().contains("fh-part-0123"), "{keys}");
    let (status, error) = scene.get("/admin/v1/usage?json=true", ADMIN).await;
    assert_eq!(status, 400, "{error}");
    let (status, error) = scene.get("/admin/v1/usage?by=colour", ADMIN).await;
    assert_eq!(status, 400);
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("colour"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_runs_the_gateway_asks_no_models() {
    let scene = Scene::start().await;
    for key in [ADMIN, OPERATOR, AUDITOR, PART] {
        assert_eq!(scene.chat(key).await.0, 403);
    }
    assert_eq!(scene.upstream.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reloads_is_in_the_audit_trail() {
    let scene = Scene::start().await;
    let (status, told) = scene.reload(OPERATOR).await;
    assert_eq!(
        (status, told),
        (200, json!({"reloaded": true, "deployments": 1}))
    );
    let text = scene.machine.text();
    scene
        .machine
        .configure("keys: [{name: a, key: short-secret}]");
    let (status, told) = scene.reload(ADMIN).await;
    assert_eq!(status, 400);
    assert!(
        told["error"]["message"].as_str().unwrap().contains("keys"),
        "{told}"
    );
    // The old configuration stays.
    assert_eq!(scene.get("/admin/v1/me", ADMIN).await.0, 200);
    scene.machine.configure(&text);
    let trail = scene.trail();
    let acts: Vec<Value> = trail
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let acts = acts.iter().map(|record| &record["event"]["administration"]);
    let acts: Vec<_> = acts
        .filter(|act| {
            act["act"]
                .as_str()
                .is_some_and(|act| act.starts_with("config"))
        })
        .map(|act| {
            format!(
                "{} {}",
                act["actor"].as_str().unwrap(),
                act["act"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(acts[0], "operator config_reloaded");
    // The gateway itself may have seen the file before.
    assert!(
        acts.contains(&"admin config_rejected".to_owned()),
        "{acts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_and_out() {
    let scene = Scene::start().await;
    scene.service.person(
        json!({"sub": "7", "preferred_username": "bob", "realm": {"groups": ["x", "llm"]}}),
    );
    let session = scene.session().await;
    let (status, me) = scene.get_with("/admin/v1/me", &session).await;
    assert_eq!(
        (status, me),
        (
            200,
            json!({"name": "bob", "grants": [{"role": "operator"}]})
        )
    );
    assert_eq!(scene.get_with("/admin/v1/usage", &session).await.0, 200);
    assert_eq!(scene.get_with("/admin/v1/audit", &session).await.0, 403);
    let (_, page) = scene.get_with("/", &session).await;
    assert!(page.as_str().unwrap().contains("You are bob."), "{page}");

    // What another page makes the browser send is not bob's wish.
    let reload = |origin: Option<&str>| {
        let request = scene
            .ask(Method::POST, "/admin/v1/reload")
            .header(COOKIE, &session);
        told(match origin {
            Some(origin) => request.header(ORIGIN, origin),
            None => request,
        })
    };
    assert_eq!(reload(None).await.0, 403);
    assert_eq!(reload(Some("http://evil.example")).await.0, 403);
    assert_eq!(reload(Some("null")).await.0, 403);
    assert_eq!(reload(Some(&scene.admin)).await.0, 200);

    let leave = scene
        .ask(Method::POST, "/logout")
        .header(ORIGIN, &scene.admin);
    let left = leave.header(COOKIE, &session).send().await.unwrap();
    assert_eq!(left.status(), StatusCode::SEE_OTHER);
    assert_eq!(cookies(left.headers()), "");
    let trail = scene.trail();
    assert!(
        trail.contains("signed_in") && trail.contains("bob"),
        "{trail}"
    );

    // A session is believed only whole.
    let (name, value) = session.split_once('=').unwrap();
    let mut changed = value.to_owned();
    let end = changed.pop().unwrap();
    changed.push(if end == 'A' { 'B' } else { 'A' });
    let forged = format!("{name}={}", &value[..value.len() / 2]);
    for cookie in [
        format!("{name}={changed}"),
        forged,
        format!("{name}=x"),
        String::new(),
    ] {
        assert_eq!(
            scene.get_with("/admin/v1/me", &cookie).await.0,
            401,
            "{cookie}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_is_follows_from_the_present_configuration() {
    let scene = Scene::start().await;
    scene.service.person(json!({"sub": "7", "team": "search"}));
    let session = scene.session().await;
    let (_, me) = scene.get_with("/admin/v1/me", &session).await;
    assert_eq!(
        me["grants"],
        json!([{"role": "developer", "teams": ["acme/search"]}])
    );
    let text = scene
        .machine
        .text()
        .replace("\"is\":\"search\"", "\"is\":\"nobody\"");
    scene.machine.configure(&text);
    assert_eq!(scene.reload(ADMIN).await.0, 200);
    // Still signed in, and nothing any more.
    let (status, me) = scene.get_with("/admin/v1/me", &session).await;
    assert_eq!((status, &me["grants"]), (200, &json!([])));
    assert_eq!(scene.get_with("/admin/v1/usage", &session).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_by_a_lie() {
    let scene = Scene::start().await;
    scene
        .service
        .person(json!({"sub": "7", "realm": {"groups": "llm"}}));
    for lie in [
        Lie::Nonce,
        Lie::Audience,
        Lie::Issuer,
        Lie::Expiry,
        Lie::Signature,
        Lie::Unsigned,
    ] {
        scene.service.lie(lie);
        let sent = scene.sign_in().await;
        assert_eq!(sent.status(), StatusCode::FORBIDDEN, "{lie:?}");
        assert_eq!(cookies(sent.headers()), "", "{lie:?}");
    }
    // The truth is believed again, also by a key that is new.
    scene.session().await;
    // An address that nobody has verified is whatever somebody has typed.
    for verified in [json!(false), Value::Null] {
        scene
            .service
            .person(json!({"sub": "7", "email": "ann@example.com", "email_verified": verified}));
        assert_eq!(scene.sign_in().await.status(), StatusCode::FORBIDDEN);
    }
    scene
        .service
        .person(json!({"sub": "7", "email": "ann@example.com", "email_verified": true}));
    let session = scene.session().await;
    assert_eq!(scene.get_with("/admin/v1/audit", &session).await.0, 200);
    let trail = scene.trail();
    assert!(trail.contains("sign_in_refused"), "{trail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_for_the_browser_that_began_it() {
    let scene = Scene::start().await;
    scene
        .service
        .person(json!({"sub": "7", "realm": {"groups": "llm"}}));
    let begun = async || {
        let sent = scene.ask(Method::GET, "/login").send().await.unwrap();
        let back = scene.client.get(location(&sent)).send().await.unwrap();
        (cookies(sent.headers()), location(&back))
    };
    let (own, _) = begun().await;
    let (_, callback) = begun().await;
    // A link that somebody else has made, opened by a browser that is at a login of its own.
    for cookie in [own.as_str(), ""] {
        let sent = scene
            .client
            .get(&callback)
            .header(COOKIE, cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), StatusCode::FORBIDDEN);
        assert_eq!(cookies(sent.headers()), "");
    }
    let path = "/login/callback?error=<script>";
    let (status, error) = told(scene.ask(Method::GET, path)).await;
    assert_eq!(status, 403);
    assert!(!error.to_string().contains("<script"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_service_that_is_away_keeps_nobodys_requests() {
    let scene = Scene::start().await;
    scene.service.set_broken(true);
    let sent = scene.ask(Method::GET, "/login").send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(scene.chat(APP).await.0, 200);
    scene.service.set_broken(false);
    scene
        .service
        .person(json!({"sub": "7", "realm": {"groups": "llm"}}));
    scene.session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_gateway_asks_no_login_service_outside() {
    let scene = Scene::with(|config| {
        config["perimeter"] = "sealed".into();
        config["outbound"] = json!({"allow": ["10.0.0.0/8"]});
        config["backends"] = json!({});
        let issuer = config["login"]["issuer"].as_str().unwrap();
        config["login"]["issuer"] = issuer.replace("127.0.0.1", "localhost").into();
    })
    .await;
    // The name leads to an address that is not inside: it is not dialled.
    let sent = scene.ask(Method::GET, "/login").send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::SERVICE_UNAVAILABLE);
    let log = scene.stop();
    assert!(log.contains("not inside"), "{log}");
}

#[test]
fn a_login_that_cannot_work_is_an_error_at_load() {
    let check = |login: &str, rest: &str| {
        let machine = Machine::new(&format!("discover: false\nlogin: {login}\n{rest}"));
        let told = machine.run(&["config", "check"]);
        assert_ne!(told.code, Some(0), "{login}");
        told.flat()
    };
    let login = |issuer: &str, url: &str, rest: &str| {
        format!("{{issuer: '{issuer}', client_id: x, url: '{url}', {rest}}}")
    };
    let roles = "roles: [{claim: sub, is: a, role: admin}]";
    let (issuer, url) = ("https://id.example.com", "https://gate.example.com");
    for (login, rest, told) in [
        (
            login("http://id.example.com", url, roles),
            "",
            "readable by all",
        ),
        (
            login(issuer, "http://gate.example.com", roles),
            "",
            "readable by all",
        ),
        (
            login(issuer, "https://gate.example.com/x", roles),
            "",
            "a path here leads nowhere",
        ),
        (login(issuer, url, "roles: []"), "", "nobody has a role"),
        (
            login(issuer, url, &format!("session_key: short, {roles}")),
            "",
            "can be guessed",
        ),
        (
            login(issuer, url, &format!("session_hours: 0, {roles}")),
            "",
            "no session",
        ),
        (
            login(
                issuer,
                url,
                "roles: [{claim: sub, is: a, role: admin, teams: [b]}]",
            ),
            "",
            "there is no team `b`",
        ),
        (
            login("https://9.9.9.9", url, roles),
            "perimeter: sealed",
            "is not inside",
        ),
    ] {
        let said = check(&login, rest);
        assert!(said.contains(told), "{login}: {said}");
    }
}

#[test]
fn beyond_loopback_somebody_must_have_a_role() {
    let server = "server: {admin: '0.0.0.0:4001'}\ndiscover: false\n";
    let told = Machine::new(server).run(&["config", "check"]);
    assert!(told.flat().contains("nobody has a role there"), "{told:?}");
    let key = format!("{server}keys: [{{name: a, key: {ADMIN}, role: operator}}]");
    Machine::new(&key).done(&["config", "check"]);
}
