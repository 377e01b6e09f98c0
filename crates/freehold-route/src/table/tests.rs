use super::*;

fn deployment(id: &str) -> Arc<Deployment> {
    let (backend, model) = id.split_once('/').unwrap();
    Arc::new(Deployment {
        id: id.into(),
        backend: backend.into(),
        model: model.to_owned(),
        site: Site::outside(),
        dialects: vec![],
        capabilities: everything(),
        context_window_tokens: None,
        price: PriceBasis::Unknown,
        quality: 0.5,
        tokens_per_second: 50.0,
        first_token_ms: 300,
    })
}

fn template(backend: &str, model_patterns: &[&str]) -> BackendTemplate {
    BackendTemplate {
        backend: backend.into(),
        site: Site::outside(),
        dialects: vec![Dialect::OpenaiChat],
        capabilities: None,
        context_window_tokens: None,
        pricing: ModelPricing::Listed {
            provider: backend.to_owned(),
        },
        quality: 0.7,
        tokens_per_second: 80.0,
        first_token_ms: 400,
        model_patterns: model_patterns.iter().map(|p| (*p).to_owned()).collect(),
    }
}

fn route(name: &str, targets: &[&str]) -> RouteSpec {
    RouteSpec {
        name: name.to_owned(),
        targets: targets.iter().map(|t| (*t).to_owned()).collect(),
        settings: RouteSettings::default(),
    }
}

fn table(routes: Vec<RouteSpec>) -> Result<RouteTable, RouteTableError> {
    RouteTable::new(
        vec![
            deployment("local/smollm2"),
            deployment("openai/gpt-4o-mini"),
            deployment("openai/gpt-5"),
            deployment("azure/gpt-5"),
        ],
        vec![
            template("openai", &["gpt-*", "o1*"]),
            template("anthropic", &["claude-*"]),
        ],
        routes,
        RouteSettings::default(),
    )
}

/// Where a name leads, as `id id ...`, or the error's message.
fn check(table: &RouteTable, name: &str, expected: &str) {
    let actual = match table.resolve(name, &|_| true) {
        Ok(resolved) => {
            let ids: Vec<_> = resolved.deployments.iter().map(|d| d.id.as_str()).collect();
            ids.join(" ")
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::NotFound);
            assert_eq!(error.param.as_deref(), Some("model"));
            error.message
        }
    };
    assert_eq!(actual, expected, "{name}");
}

#[test]
fn every_kind_of_name_resolves() {
    let routes = vec![
        route("fast", &["local/smollm2", "mini"]),
        route("mini", &["gpt-4o-mini"]),
        route("vendors", &["openai/*", "azure/*"]),
        route("claude-*", &["anthropic/claude-*"]),
        route("claude-sonnet-*", &["anthropic/claude-sonnet-*", "fast"]),
        route("openai/gpt-9*", &["openai/gpt-5"]),
        route("gpt-5", &["azure/gpt-5", "openai/gpt-5"]),
    ];
    let table = table(routes).unwrap();
    check(&table, "fast", "local/smollm2 openai/gpt-4o-mini");
    check(&table, "mini", "openai/gpt-4o-mini");
    check(
        &table,
        "vendors",
        "openai/gpt-4o-mini openai/gpt-5 azure/gpt-5",
    );
    check(
        &table,
        "auto",
        "local/smollm2 openai/gpt-4o-mini openai/gpt-5 azure/gpt-5",
    );
    check(&table, "azure/gpt-5", "azure/gpt-5");
    check(&table, "gpt-4o-mini", "openai/gpt-4o-mini");
    // A route may have a model's name.
    check(&table, "gpt-5", "azure/gpt-5 openai/gpt-5");
    check(&table, "claude-opus-4-5", "anthropic/claude-opus-4-5");
    check(
        &table,
        "claude-sonnet-4-5",
        "anthropic/claude-sonnet-4-5 local/smollm2 openai/gpt-4o-mini",
    );
    check(&table, "openai/gpt-99", "openai/gpt-5");
    // Not listed, but the backend takes any model.
    check(&table, "openai/o7-new", "openai/o7-new");
    check(&table, "o1-new", "openai/o1-new");
    check(&table, "anthropic/claude-next", "anthropic/claude-next");
    // The client's own pattern.
    check(&table, "azure/*", "azure/gpt-5");
    check(
        &table,
        "*",
        "local/smollm2 openai/gpt-4o-mini openai/gpt-5 azure/gpt-5",
    );
}

#[test]
fn an_unlisted_model_takes_after_its_backend() {
    let table = table(vec![]).unwrap();
    let resolved = table.resolve("openai/org/new-model", &|_| true).unwrap();
    let made = &resolved.deployments[0];
    assert_eq!(made.model, "org/new-model");
    assert!(made.capabilities.contains(&Capability::Tools));
    assert_eq!(
        made.price,
        PriceBasis::Listed {
            provider: "openai".into(),
            model: "org/new-model".into()
        }
    );
    let again = table.deployment(&made.id).unwrap();
    assert_eq!(again, *made);
}

#[test]
fn a_backend_that_a_route_names_is_meant_whatever_patterns_there_are() {
    let table = table(vec![
        route("claude", &["anthropic/claude-new"]),
        route("*", &["openai/*"]),
    ]);
    let table = table.unwrap();
    check(&table, "claude", "anthropic/claude-new");
    check(&table, "anything", "openai/anything");
}

#[test]
fn unknown_names_are_told_near_ones() {
    let table = table(vec![]).unwrap();
    check(
        &table,
        "smollm",
        "the model `smollm` does not exist; did you mean `local/smollm2`?",
    );
    check(
        &table,
        "zzzzzzzz",
        "the model `zzzzzzzz` does not exist; `GET /v1/models` lists what there is",
    );
    // Names that the caller may not know are not told.
    let error = table
        .resolve("smollm", &|name| !name.starts_with("local/"))
        .unwrap_err();
    assert!(!error.message.contains("local/"), "{error}");
    // Long and odd names are cut and harmless.
    for odd in [
        "",
        "openai/",
        "openai/a\nb",
        "/",
        "azure/*x*",
        "local/none",
        &"x".repeat(10_000),
    ] {
        let error = table.resolve(odd, &|_| true).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(error.message.len() < 300);
    }
}

#[test]
fn a_table_of_nothing_has_no_auto() {
    let empty = RouteTable::new(vec![], vec![], vec![], RouteSettings::default()).unwrap();
    assert!(empty.resolve("auto", &|_| true).is_err());
    assert!(empty.names().is_empty());
}

#[test]
fn contradictions_are_found_when_the_table_is_made() {
    let circle = table(vec![route("a", &["b"]), route("b", &["a"])]);
    assert!(matches!(circle, Err(RouteTableError::Circle(_))));
    let own = table(vec![route("a", &["a"])]);
    assert_eq!(own.unwrap_err(), RouteTableError::Circle("a".into()));
    let twice = table(vec![route("a", &["gpt-5"]), route("a", &["gpt-5"])]);
    assert_eq!(twice.unwrap_err(), RouteTableError::RouteTwice("a".into()));
    let none = table(vec![route("a", &[])]);
    assert_eq!(none.unwrap_err(), RouteTableError::NoTargets("a".into()));
    let unknown = table(vec![route("a", &["local/smolm2"])])
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("did you mean `local/smollm2`?"),
        "{unknown}"
    );
    let same = RouteTable::new(
        vec![deployment("a/b"), deployment("a/b")],
        vec![],
        vec![],
        RouteSettings::default(),
    );
    assert_eq!(
        same.unwrap_err(),
        RouteTableError::DeploymentTwice("a/b".into())
    );
    for weights in [
        Weights {
            cost: f64::NAN,
            latency: 1.0,
            quality: 0.0,
        },
        Weights {
            cost: -1.0,
            latency: 1.0,
            quality: 2.0,
        },
        Weights {
            cost: 0.0,
            latency: 0.0,
            quality: 0.0,
        },
    ] {
        let mut odd = route("a", &["gpt-5"]);
        odd.settings.weights = Some(weights);
        assert_eq!(
            table(vec![odd]).unwrap_err(),
            RouteTableError::Weights("a".into())
        );
    }
}

#[test]
fn a_route_may_be_called_as_its_model_or_replace_auto() {
    let routes = vec![
        route("gpt-4o-mini", &["gpt-4o-mini"]),
        route("auto", &["smollm2"]),
    ];
    let table = table(routes).unwrap();
    check(&table, "gpt-4o-mini", "openai/gpt-4o-mini");
    check(&table, "auto", "local/smollm2");
}

#[test]
fn settings_are_kept_within_bounds() {
    let mut greedy = route("a", &["gpt-5"]);
    greedy.settings.max_attempts = 1_000;
    let table = table(vec![greedy]).unwrap();
    let resolved = table.resolve("a", &|_| true).unwrap();
    assert_eq!(resolved.settings.max_attempts, ATTEMPTS_MAX);
}

#[test]
fn a_route_leads_to_a_bounded_number_of_deployments() {
    let many = (0..500).map(|n| deployment(&format!("b/m{n}"))).collect();
    let table = RouteTable::new(many, vec![], vec![], RouteSettings::default()).unwrap();
    let auto = table.resolve("auto", &|_| true).unwrap();
    assert_eq!(auto.deployments.len(), DEPLOYMENTS_MAX);
}

#[test]
fn of_many_patterns_the_most_specific_that_fits_is_found() {
    let names = [
        "*", "a*", "ab*", "ab*c", "*bc", "abé*", "é*", "abc*d*", "b*",
    ];
    let routes = names.map(|name| route(name, &["local/smollm2"])).to_vec();
    let table = table(routes).unwrap();
    for name in [
        "",
        "a",
        "ab",
        "abc",
        "xbc",
        "abéx",
        "é",
        "ab\u{301}",
        "abcxdy",
        "b",
        "ü",
    ] {
        // What a search through all of them, in their order, finds.
        let all = table.patterns.iter();
        let expected = all
            .filter_map(|pattern| Some((&pattern.name, captured(&pattern.name, name)?)))
            .next();
        let found = table.pattern_of(name);
        assert_eq!(
            found.map(|(pattern, star)| (&pattern.name, star)),
            expected,
            "{name}"
        );
    }
    assert_eq!(table.pattern_of("abc").unwrap().0.name, "ab*c");
}
