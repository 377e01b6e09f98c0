use super::*;

fn key(name: &str, secret: &str) -> KeySettings {
    KeySettings::new(name, secret)
}

#[test]
fn a_key_is_known_in_the_clear_and_by_its_hash() {
    let hashed = format!("sha256:{}", hex::encode(Sha256::digest("fh-second")));
    let accounts = StaticAccounts::new([
        KeySettings {
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
        assert_eq!(StaticAccounts::new(keys).err(), Some(expected));
    }
}

#[derive(Default)]
struct ClockAt(std::sync::atomic::AtomicU64);

impl Clock for ClockAt {
    fn unix_ms(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

#[test]
fn a_replaced_key_is_taken_until_its_time_is_over() {
    let clock = Arc::new(ClockAt::default());
    let settings = KeySettings {
        expires_unix_ms: Some(2_000),
        previous: vec![PreviousKey {
            secret: "fh-old".into(),
            until_unix_ms: 1_000,
        }],
        ..key("app", "fh-new")
    };
    let accounts = StaticAccounts::new([settings]).unwrap();
    let accounts = accounts.with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let code = |secret| {
        let refused = accounts.authenticate(Some(secret)).err()?;
        refused.code
    };
    for (unix_ms, old_is_taken, new_is_taken) in [
        (0, true, true),
        (999, true, true),
        (1_000, false, true),
        (2_000, false, false),
    ] {
        clock.0.store(unix_ms, std::sync::atomic::Ordering::Relaxed);
        let over = |taken: bool| (!taken).then(|| "expired_api_key".to_owned());
        assert_eq!(code("fh-old"), over(old_is_taken), "{unix_ms}");
        assert_eq!(code("fh-new"), over(new_is_taken), "{unix_ms}");
    }
    let account = accounts.authenticate(Some("fh-new"));
    assert!(account.is_err());
}

#[test]
fn a_replaced_key_cannot_be_somebody_elses() {
    let settings = KeySettings {
        previous: vec![PreviousKey {
            secret: "fh-other".into(),
            until_unix_ms: 1,
        }],
        ..key("app", "fh-new")
    };
    let error = StaticAccounts::new([key("other", "fh-other"), settings]).err();
    assert_eq!(
        error,
        Some(AccountsError::SameKey("other".into(), "app".into()))
    );
}
