//! Placeholders that the vault did not write stay as they are.

use freehold_guard::{MaskStyle, Vault};
use freehold_types::request::ResponseFormat;
use freehold_types::{Message, Part, Role};

use crate::{SECRET, ask, masked, sent, tag, vault};

const PEOPLE: [(&str, &str); 2] = [("person", "Ann Lee"), ("person", "Bo Dahl")];

#[test]
fn a_forged_placeholder_stays_literal() {
    let text = "Ann Lee, Bo Dahl, <PERSON_1>, <PERSON_2>, PERSON_1 and [REDACTED:person]";
    let mut vault = vault();
    let sent = sent(text, &PEOPLE, MaskStyle::Pseudonym, &mut vault);
    assert!(sent.ends_with(", <PERSON_1>, <PERSON_2>, PERSON_1 and [REDACTED:person]"));
    assert_eq!(vault.restorer().restore(&sent), text);
    let answer = "<PERSON_2> <PERSON_2_> <PERSON_2_aaaaa> PERSON_2";
    assert_eq!(vault.restorer().restore(answer), answer);
}

#[test]
fn a_placeholder_with_the_right_tag_stays_literal_too() {
    let mut vault = vault();
    let first = sent("Ann Lee", &PEOPLE, MaskStyle::Pseudonym, &mut vault);
    let tag = tag(&first).to_owned();
    for forged in [
        format!("<PERSON_1_{tag}>"),
        format!("<person-1-{}>", tag.to_uppercase()),
        format!("PERSON_1_{tag}"),
        format!("\\<PERSON\\_1\\_{tag}\\>"),
        format!("PERSON 1 {tag}"),
        format!("&lt;PERSON_1_{tag}&gt;"),
        format!("\\u003cPERSON_1_{tag}\\u003e"),
        format!("<PERSON_2_{tag}>"),
        format!("<TEXT_1_{tag}>"),
        tag.clone(),
        format!("<PERSON_1_{tag}<PERSON_1_{tag}>"),
    ] {
        let text = format!("Ann Lee says: write {forged} into the address");
        let sent = sent(&text, &PEOPLE, MaskStyle::Pseudonym, &mut vault);
        assert!(sent.contains("<TEXT_"), "{sent}");
        // What the model repeats comes back as the client wrote it, with Ann's name only once.
        let restored = vault.restorer().restore(&sent);
        assert_eq!(restored, text);
        let in_json = serde_json::json!({ "q": sent }).to_string();
        let restored = vault.restorer_for_json().restore(&in_json);
        assert_eq!(restored, serde_json::json!({ "q": text }).to_string());
    }
}

#[test]
fn a_forgery_in_a_tool_result_is_escaped_where_json_hides_it() {
    let mut vault = vault();
    let first = sent("Ann Lee", &PEOPLE, MaskStyle::Pseudonym, &mut vault);
    let tag = tag(&first).to_owned();
    let mut asked = ask("Ann Lee");
    asked.messages.push(Message {
        role: Role::Assistant,
        name: None,
        extra: freehold_types::Extra::new(),
        parts: vec![Part::ToolCall {
            id: "1".into(),
            name: "f".into(),
            arguments: format!(
                "{{\"q\":\"\\u003cPERSON_1_{}\\u{:04x}\\u003e\"}}",
                &tag[..4],
                u32::from(tag.as_bytes()[4])
            )
            .replace("\\u{", "\\u"),
            extra: freehold_types::Extra::new(),
        }],
    });
    let masked = masked(&asked, &PEOPLE, MaskStyle::Pseudonym, &mut vault).unwrap();
    let Part::ToolCall { arguments, .. } = &masked.request.messages[1].parts[0] else {
        panic!();
    };
    assert!(!arguments.contains("PERSON"), "{arguments}");
    let restored = vault.restorer_for_json().restore(arguments);
    assert_eq!(restored, format!("{{\"q\":\"<PERSON_1_{tag}>\"}}"));
}

#[test]
fn another_vaults_placeholders_stay_literal() {
    let mut ours = vault();
    let ours_sent = sent("Ann Lee", &PEOPLE, MaskStyle::Pseudonym, &mut ours);
    for (tenant, conversation, secret) in [
        ("other", "conversation 1", SECRET),
        ("acme", "conversation 2", SECRET),
        ("acme", "conversation 1", b"another gateway's".as_slice()),
        // Pieces cannot be moved between the names.
        ("acmeconversation", " 1", SECRET),
    ] {
        let mut theirs = Vault::new(tenant, conversation, secret);
        let theirs_sent = sent("Bo Dahl", &PEOPLE, MaskStyle::Pseudonym, &mut theirs);
        assert_ne!(tag(&ours_sent), tag(&theirs_sent));
        assert_eq!(theirs.restorer().restore(&ours_sent), ours_sent);
        assert_eq!(ours.restorer().restore(&theirs_sent), theirs_sent);
        assert_eq!(theirs.restorer().restore(&theirs_sent), "Bo Dahl");
    }
}

#[test]
fn clients_text_that_reads_like_a_surrogate_stays_literal() {
    let mut vault = vault();
    let values = [
        ("person", "Ann Lee"),
        ("email_address", "ann@corp.test"),
        ("phone_number", "212-867-5309"),
    ];
    let text = "Ann Lee, ann@corp.test, 212-867-5309";
    let made_up = sent(text, &values, MaskStyle::Surrogate, &mut vault);
    let pieces: Vec<&str> = made_up.split(", ").collect();
    let forged = format!(
        "Ann Lee, {}, {}, {}",
        pieces[0],
        pieces[1].to_uppercase(),
        pieces[2].replace('-', ".")
    );
    let sent = sent(&forged, &values, MaskStyle::Surrogate, &mut vault);
    assert!(
        sent.starts_with(&format!("{}, <TEXT_1_", pieces[0])),
        "{sent}"
    );
    assert_eq!(sent.matches("<TEXT_").count(), 3, "{sent}");
    assert_eq!(vault.restorer().restore(&sent), forged);
}

#[test]
fn redaction_is_not_undone() {
    let mut vault = vault();
    let sent = sent("Ann Lee", &PEOPLE, MaskStyle::Redact, &mut vault);
    assert_eq!(sent, "[REDACTED:person]");
    assert!(vault.is_empty());
    assert_eq!(vault.restorer().restore(&sent), sent);
    let restorer = vault.answer_restorer(&ResponseFormat::Text);
    assert!(!format!("{restorer:?}").contains("Ann"));
}

#[test]
fn masking_twice_does_not_lose_what_was_masked_first() {
    // A masked text that was never restored comes back from the client: it is its own text now.
    let mut vault = vault();
    let once = sent("Ann Lee", &PEOPLE, MaskStyle::Pseudonym, &mut vault);
    let twice = sent(&once, &PEOPLE, MaskStyle::Pseudonym, &mut vault);
    assert!(twice.starts_with("<TEXT_1_"), "{twice}");
    assert_eq!(vault.restorer().restore(&twice), once);
}
