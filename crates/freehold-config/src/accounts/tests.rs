use super::*;
use crate::Source;
use crate::settings::{Environment, Settings};

const KEY: &str = "fh-0123456789abcdef";

fn read(text: &str) -> Result<Settings, Complaint> {
    let source = Source {
        path: None,
        text: text.to_owned(),
    };
    let environment = Environment::bare("/nonexistent");
    Settings::from_raw(source.parse().unwrap(), &environment)
}

#[test]
fn a_key_is_bound_by_itself_by_its_team_and_by_those_above() {
    let text = format!(
        "teams:
  acme: {{budgets: [{{per: month, usd: 500, alert_usd: 400.5}}]}}
  acme/search: {{}}
  acme/search/ads: {{limits: {{requests_per_minute: 7}}}}
flows:
  support: {{limits: {{concurrent: 2}}}}
keys:
  - name: ads
    key: {KEY}
    team: acme/search/ads
    expires: 2027-01-31
    previous: [{{key: {KEY}-old, until: 2027-01-02T03:04:05Z}}]
    limits: {{tokens_per_minute: 9}}
  - {{name: other, key: {KEY}-other, tenant: bell, team: acme}}
"
    );
    let settings = read(&text).unwrap();
    let key = &settings.keys[0];
    let scopes: Vec<_> = key
        .bounds
        .iter()
        .map(|bound| bound.scope.to_string())
        .collect();
    // A team without limits bounds nothing.
    assert_eq!(
        scopes,
        ["key `ads`", "team `acme/search/ads`", "team `acme`"]
    );
    assert_eq!(key.bounds[0].limits.tokens_per_minute, Some(9));
    assert_eq!(key.bounds[1].limits.requests_per_minute, Some(7));
    let budget = key.bounds[2].limits.budgets[0];
    assert_eq!(budget.period, Period::Month);
    assert_eq!(budget.hard, NanoUsd::from_usd(500.0));
    assert_eq!(budget.soft, NanoUsd::from_usd(400.5));
    assert_eq!(key.tenant.as_deref(), Some("acme"));
    assert_eq!(settings.keys[1].tenant.as_deref(), Some("bell"));
    assert_eq!(key.expires_unix_ms, Some(1_801_353_600_000));
    assert_eq!(key.previous[0].until_unix_ms, 1_798_859_045_000);
    assert_eq!(settings.flow_limits.len(), 1);
    assert_eq!(settings.bounds().len(), 5);
}

#[test]
fn what_cannot_be_meant_is_told_where_it_stands() {
    let key = |fields: &str| format!("keys: [{{name: app, key: {KEY}, {fields}}}]");
    for (text, path, message) in [
        (key("team: acme"), "keys.0.team", "no team `acme`"),
        (key("expires: soon"), "keys.0.expires", "no date"),
        (
            key("budgets: [{per: day}]"),
            "keys.0.budgets.0",
            "limits nothing",
        ),
        (
            key("budgets: [{per: day, usd: -1}]"),
            "keys.0.budgets.0.usd",
            "no amount",
        ),
        (
            key("previous: [{key: short, until: 2027-01-01}]"),
            "keys.0.previous.0.key",
            "can be guessed",
        ),
        (
            key(&format!("previous: [{{key: {KEY}, until: 2027-01-01}}]")),
            "keys",
            "the same key",
        ),
        (
            "teams: {acme/: {}}".to_owned(),
            "teams.acme/",
            "no name of a team",
        ),
        (
            "flows: {a: {budgets: [{per: total, alert_usd: .inf}]}}".to_owned(),
            "flows.a.budgets.0.alert_usd",
            "no amount",
        ),
    ] {
        let complaint = read(&text).err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(complaint.path.join("."), path, "{text}");
        assert!(complaint.message.contains(message), "{}", complaint.message);
    }
}

#[test]
fn shared_accounts_come_from_the_file_or_the_environment() {
    let environment = Environment {
        variable: Box::new(|name| (name == "REDIS_URL").then(|| "unix:///run/valkey".to_owned())),
        ..Environment::bare("/nonexistent")
    };
    use secrecy::ExposeSecret as _;
    let found = shared(&RawAccounts::default(), &environment)
        .unwrap()
        .unwrap();
    assert_eq!(found.url.expose_secret(), "unix:///run/valkey");
    assert_eq!(found.stance, Stance::Deny);
    let text = "accounts: {redis_url: 'redis://:pw@a', outage: {share: 0.5, usd: 2}}";
    let found = read(text).unwrap().accounts.unwrap();
    assert_eq!(found.url.expose_secret(), "redis://:pw@a");
    let spend = NanoUsd::from_usd(2.0).unwrap();
    assert_eq!(found.stance, Stance::Allow { share: 0.5, spend });
    assert!(read("{}").unwrap().accounts.is_none());
    for (text, path) in [
        (
            "accounts: {redis_url: 'http://hunter2@a'}",
            "accounts.redis_url",
        ),
        (
            "accounts: {redis_url: 'redis://a', outage: {share: 1.5, usd: 1}}",
            "accounts.outage.share",
        ),
    ] {
        let complaint = read(text).err().unwrap();
        assert_eq!(complaint.path.join("."), path);
        assert!(!format!("{complaint:?}").contains("hunter2"));
    }
}
