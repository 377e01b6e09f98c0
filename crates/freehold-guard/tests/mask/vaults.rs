//! What a vault holds, tells and gives away.

use freehold_guard::{MaskError, MaskStyle, SealError, SealKey, Vault, VaultLimits};

use crate::{ask, masked, sent, vault};

const VALUES: [(&str, &str); 2] = [("person", "Ann Lee"), ("email_address", "ann@corp.test")];

fn filled() -> (Vault, String) {
    let mut vault = vault();
    let sent = sent(
        "Ann Lee <ann@corp.test>",
        &VALUES,
        MaskStyle::Surrogate,
        &mut vault,
    );
    (vault, sent)
}

#[test]
fn nothing_of_it_is_told() {
    let (vault, _) = filled();
    let told = format!(
        "{vault:?} {:#?} {:?} {:?} {:?}",
        vault,
        vault.restorer(),
        vault.answer_restorer(&freehold_types::request::ResponseFormat::Text),
        SealKey::new([7; 32]),
    );
    for secret in ["Ann", "Lee", "corp", "acme", "conversation 1", "7, 7"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn it_is_bounded() {
    let limits = VaultLimits {
        max_entries: 2,
        max_bytes: 20,
    };
    let people = [("person", "Ann"), ("person", "Bob"), ("person", "Cyd")];
    let asked = ask("Ann Bob Cyd");
    let mut small = vault().with_limits(limits);
    let refused = masked(&asked, &people, MaskStyle::Pseudonym, &mut small);
    assert_eq!(refused, Err(MaskError::VaultFull));
    assert_eq!(small.len(), 2);
    masked(&asked, &people[..2], MaskStyle::Pseudonym, &mut small).unwrap();
    let long = [("person", "a name of twenty-one b")];
    let refused = masked(
        &ask(long[0].1),
        &long,
        MaskStyle::Pseudonym,
        &mut vault().with_limits(limits),
    );
    assert_eq!(refused, Err(MaskError::VaultFull));
}

#[test]
fn a_sealed_vault_opens_for_its_tenant_and_conversation_only() {
    let (vault, masked) = filled();
    let key = SealKey::new([7; 32]);
    let sealed = vault.seal(&key).unwrap();
    assert_eq!(sealed, vault.seal(&key).unwrap());
    for secret in [b"Ann Lee".as_slice(), b"corp.test", b"person"] {
        assert!(!sealed.windows(secret.len()).any(|window| window == secret));
    }
    let mut opened = Vault::open(&sealed, &key, "acme", "conversation 1").unwrap();
    assert_eq!(
        (opened.tenant(), opened.conversation()),
        ("acme", "conversation 1")
    );
    assert_eq!(
        opened.restorer().restore(&masked),
        "Ann Lee <ann@corp.test>"
    );
    // It goes on where it stopped.
    let again = sent(
        "Ann Lee <ann@corp.test>",
        &VALUES,
        MaskStyle::Surrogate,
        &mut opened,
    );
    assert_eq!(again, masked);
    assert_eq!(opened.len(), vault.len());

    let open = |tenant, conversation, key: [u8; 32]| {
        Vault::open(&sealed, &SealKey::new(key), tenant, conversation).err()
    };
    let refused = Some(SealError::Refused);
    assert_eq!(open("other", "conversation 1", [7; 32]), refused);
    assert_eq!(open("acme", "conversation 2", [7; 32]), refused);
    assert_eq!(open("acmeconversation", " 1", [7; 32]), refused);
    assert_eq!(open("acme", "conversation 1", [8; 32]), refused);
}

#[test]
fn a_changed_or_cut_vault_does_not_open() {
    let (vault, _) = filled();
    let key = SealKey::new([7; 32]);
    let sealed = vault.seal(&key).unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(
            Vault::open(&changed, &key, "acme", "conversation 1").is_err(),
            "{at}"
        );
        assert!(
            Vault::open(&sealed[..at], &key, "acme", "conversation 1").is_err(),
            "{at}"
        );
    }
}
