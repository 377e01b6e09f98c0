use super::*;
use crate::{Error, ErrorKind};

fn decision() -> AuditDecision {
    AuditDecision {
        attempts: vec![AuditAttempt {
            backend: "openai".into(),
            deployment: "openai/gpt-5".into(),
            error: Some("timeout".into()),
            perimeter: Perimeter::Outside,
            region: Some("eu-west-1".into()),
        }],
        findings: [("iban".into(), 2), ("email_address".into(), 1)].into(),
        redacted: [("phone_number".into(), 1)].into(),
        flow: Some("support".into()),
        key: "Team A".into(),
        permit: Some(PermitSummary {
            mask: vec!["iban".into()],
            perimeters: vec![Perimeter::Inside, Perimeter::Outside],
            regions: vec!["eu-west-1".into()],
            stored: Some("masked".into()),
            tags: vec!["gdpr".into()],
        }),
        refusal: Some("policy_refused".into()),
        request: RequestId::at(1_763_697_600_000),
        route: Some("auto".into()),
        rules: vec!["no-health-outside".into()],
        sensitivity: Sensitivity::Confidential,
        started_unix_ms: 1_763_697_600_000,
        status: OutcomeStatus::Failed,
        tenant: Some("acme".into()),
    }
}

fn records() -> Vec<AuditRecord> {
    let administration = Administration {
        act: AdministrativeAct::PolicyChanged,
        actor: "cli".into(),
        after: Some(HexBytes([7; 32])),
        before: Some(HexBytes([0xAB; 32])),
        object: "policy.yaml".into(),
    };
    let checkpoint = Checkpoint {
        public_key: HexBytes([1; 32]),
        signature: HexBytes([2; 64]),
        statement: CheckpointStatement {
            chain_hash: HexBytes([3; 32]),
            count: 17,
            key_id: HexBytes([4; 16]),
            reason: CheckpointReason::StartedUnclean,
            sequence: 41,
            time_unix_ms: 1_763_697_600_001,
            torn_bytes: Some(99),
        },
    };
    [
        AuditEvent::Decision(decision()),
        AuditEvent::Administration(administration),
        AuditEvent::Checkpoint(checkpoint),
    ]
    .into_iter()
    .map(|event| AuditRecord {
        event,
        sequence: (1 << 53) - 1,
        time_unix_ms: 1_763_697_600_002,
    })
    .collect()
}

#[test]
fn plain_serialisation_is_the_canonical_form_of_rfc_8785() {
    for record in records() {
        let plain = serde_json::to_string(&record).unwrap();
        let canonical = serde_json_canonicalizer::to_string(&record).unwrap();
        assert_eq!(plain, canonical);
        assert_eq!(serde_json::from_str::<AuditRecord>(&plain).unwrap(), record);
    }
}

#[test]
fn names_are_bounded_and_hold_no_spaces_and_stay_different() {
    assert_eq!(AuditName::new("openai/gpt-5").as_str(), "openai/gpt-5");
    assert_eq!(AuditName::new("Team A").as_str(), "Team%20A");
    assert_eq!(AuditName::new("Team%20A").as_str(), "Team%2520A");
    assert_eq!(AuditName::new("é\"\\\n").as_str(), "%C3%A9%22%5C%0A");
    for text in ["a".repeat(500), "é ".repeat(500)] {
        let name = AuditName::new(&text);
        assert!(name.as_str().len() <= AUDIT_NAME_CHARS_MAX);
        assert!(name.as_str().ends_with('~'));
    }
    assert_eq!(AuditName::new("b".repeat(128)).as_str(), "b".repeat(128));
    for text in ["\"two words\"", "\"\\u00e9\"", "\"a\\\"b\""] {
        assert!(serde_json::from_str::<AuditName>(text).is_err(), "{text}");
    }
}

#[test]
fn hex_has_one_form_only() {
    let digest: Digest = "ab".repeat(32).parse().unwrap();
    assert_eq!(digest, HexBytes([0xAB; 32]));
    assert!("AB".repeat(32).parse::<Digest>().is_err());
    assert!("ab".repeat(31).parse::<Digest>().is_err());
    assert!("g0".repeat(32).parse::<Digest>().is_err());
    let mut digits = [0; 64];
    assert!(digest.write_to(&mut digits));
    assert_eq!(digits.as_slice(), digest.to_string().as_bytes());
    assert!(!digest.write_to(&mut [0; 63]));
}

/// The fields that can hold words of a client do not get into the record.
#[test]
fn what_a_client_wrote_stays_out() {
    let error = Error::invalid("metadata.CANARY", "CANARY in a message");
    let outcome = Outcome {
        id: RequestId::at(5),
        started_unix_ms: 5,
        dialect: crate::Dialect::OpenaiChat,
        route: "CANARY is not a model".into(),
        key: "team-a".into(),
        team: None,
        flow: None,
        sensitivity: Sensitivity::Restricted,
        findings: [("iban".to_owned(), 1)].into(),
        redacted: [("phone_number".to_owned(), 1)].into(),
        status: OutcomeStatus::Refused,
        http_status: 400,
        error: Some(ErrorSummary::from(&error)),
        streamed: false,
        attempts: Vec::new(),
        usage: crate::Usage::default(),
        cost: None,
        timing: crate::outcome::Timing::default(),
        decision: None,
        rollout: None,
        agent: crate::AgentSignals::default(),
    };
    let decision = AuditDecision::of(&outcome);
    assert_eq!(
        decision.refusal,
        Some(ErrorKind::InvalidRequest.as_str().into())
    );
    assert_eq!(decision.findings.get(&AuditName::new("iban")), Some(&1));
    let json = serde_json::to_string(&decision).unwrap();
    assert!(!json.contains("CANARY"), "{json}");
}
