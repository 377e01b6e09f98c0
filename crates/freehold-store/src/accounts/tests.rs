use super::*;

fn key(name: &str, secret: &str) -> KeySettings {
    KeySettings {
        tenant: None,
        region: None,
        name: name.into(),
        secret: secret.to_owned().into(),
        sensitivity: None,
        routes: Vec::new(),
        constraint: Constraint::default(),
        flow: None,
    }
}

#[test]
fn a_key_is_known_in_the_clear_and_by_its_hash() {
    let hashed = format!("sha256:{}", hex::encode(Sha256::digest("fh-second")));
    let accounts = StaticAccounts::new([
        KeySettings {
            tenant: None,
            region: None,
            sensitivity: Some(Sensitivity::Confidential),
            flow: Some("support".into()),
            routes: vec!["auto".to_owned()],
            ..key("first", "fh-first")
        },
        key("second", &hashed),
    ])
    .unwrap();
    assert!(!accounts.is_open());
    let first = accounts.authenticate(Some("fh-first")).unwrap();
    assert_eq!(first.key.as_str(), "first");
    assert_eq!(first.sensitivity, Some(Sensitivity::Confidential));
    assert_eq!(first.flow, Some("support".into()));
    assert_eq!(first.routes, ["auto"]);
    let second = accounts.authenticate(Some(" fh-second ")).unwrap();
    assert_eq!(second.key.as_str(), "second");
    // The hash itself opens nothing.
    assert!(accounts.authenticate(Some(&hashed)).is_err());
}

#[test]
fn an_unknown_key_is_refused_and_never_repeated() {
    let accounts = StaticAccounts::new([key("first", "fh-first")]).unwrap();
    for presented in [
        None,
        Some(""),
        Some("  "),
        Some("fh-Secret-guess"),
        Some("fh-firs"),
    ] {
        let error = accounts.authenticate(presented).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("guess") && !shown.contains("fh-"),
            "{shown}"
        );
    }
    assert!(!format!("{accounts:?}").contains("fh-first"));
    assert!(!format!("{:?}", key("first", "fh-first")).contains("fh-first"));
}

#[test]
fn without_keys_everybody_is_anonymous() {
    let accounts = StaticAccounts::new([]).unwrap();
    assert!(accounts.is_open());
    for presented in [None, Some("sk-anything")] {
        let account = accounts.authenticate(presented).unwrap();
        assert_eq!(account.key.as_str(), "anonymous");
        assert_eq!(account.constraint, Constraint::default());
    }
}

#[test]
fn unusable_keys_are_named() {
    let cases = [
        (vec![key("a", " ")], AccountsError::Empty("a".into())),
        (
            vec![key("a", "sha256:abc")],
            AccountsError::NotAHash("a".into()),
        ),
        (
            vec![key("a", "1"), key("a", "2")],
            AccountsError::SameName("a".into()),
        ),
        (
            vec![key("a", "1"), key("b", "1")],
            AccountsError::SameKey("a".into(), "b".into()),
        ),
        (vec![key("anonymous", "1")], AccountsError::Reserved),
    ];
    for (keys, expected) in cases {
        assert_eq!(StaticAccounts::new(keys).unwrap_err(), expected);
    }
}
