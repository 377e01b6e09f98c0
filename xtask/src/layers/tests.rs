use super::*;

const TABLE: &str = r#"
[crates.types]
pure = true
may_use = []
[crates.ports]
may_use = ["types"]
tests_may_use = ["adapter"]
[crates.adapter]
may_use = ["types", "ports"]
[crates.testkit]
dev_only = true
may_use = ["types"]
[crates.later]
planned = true
may_use = ["types"]
[restricted]
reqwest = ["adapter"]
"#;

/// Checks a workspace with the four rows' crates, where `package` also has the given dependency.
fn check_edge(package: &str, dependency: &str, kind: Option<&str>, expected: &[&str]) {
    let mut packages: Vec<Package> = ["types", "ports", "adapter", "testkit"]
        .map(|name| Package {
            name: name.to_owned(),
            dependencies: Vec::new(),
        })
        .into();
    let wanted = Dependency {
        name: dependency.to_owned(),
        kind: kind.map(str::to_owned),
    };
    match packages
        .iter_mut()
        .find(|candidate| candidate.name == package)
    {
        Some(found) => found.dependencies.push(wanted),
        None => packages.push(Package {
            name: package.to_owned(),
            dependencies: vec![wanted],
        }),
    }
    let findings = compare(&toml::from_str(TABLE).unwrap(), &Metadata { packages });
    assert_eq!(findings.len(), expected.len(), "{findings:?}");
    for (finding, part) in findings.iter().zip(expected) {
        assert!(finding.contains(part), "{finding:?} lacks {part:?}");
    }
}

#[test]
fn an_edge_in_the_table_passes() {
    check_edge("ports", "types", None, &[]);
    check_edge("ports", "types", Some("dev"), &[]);
}

#[test]
fn an_edge_outside_the_table_is_named() {
    check_edge(
        "types",
        "ports",
        None,
        &["types -> ports: this edge is not in the table; types may use nothing"],
    );
    check_edge("ports", "adapter", None, &["ports -> adapter"]);
    check_edge("ports", "types", Some("build"), &[]);
    check_edge("types", "ports", Some("build"), &["types -> ports"]);
}

#[test]
fn tests_may_use_more() {
    check_edge("ports", "adapter", Some("dev"), &[]);
    check_edge("types", "testkit", Some("dev"), &[]);
    check_edge("types", "ports", Some("dev"), &["tests_may_use"]);
}

#[test]
fn a_dev_only_crate_stays_out_of_the_product() {
    check_edge("adapter", "testkit", None, &["[dev-dependencies]"]);
    check_edge("testkit", "types", None, &[]);
}

#[test]
fn outside_crates_are_restricted_but_not_in_tests() {
    check_edge("adapter", "reqwest", None, &[]);
    check_edge(
        "types",
        "reqwest",
        None,
        &["types -> reqwest: only adapter may"],
    );
    check_edge("types", "reqwest", Some("dev"), &[]);
    check_edge("types", "serde", None, &[]);
}

#[test]
fn crates_and_rows_must_match() {
    check_edge("stranger", "types", None, &["add [crates.stranger]"]);
    check_edge("later", "types", None, &["drop `planned`"]);
    let metadata = Metadata {
        packages: Vec::new(),
    };
    let findings = compare(
        &toml::from_str("[crates.gone]\nmay_use = [\"x\"]\n[restricted]\ny = [\"z\"]").unwrap(),
        &metadata,
    );
    assert_eq!(findings.len(), 3, "{findings:?}");
}
