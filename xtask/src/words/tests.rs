use super::*;

/// Written in parts so that this file passes its own check.
fn machine_path() -> String {
    ["", "srv", "data"].join("/")
}

fn table() -> Table {
    toml::from_str(
        "machine_folders = [\"srv\"]\n[forbidden.\"host.example\"]\nwhy = \"it moves\"\nallowed_in = [\"crates/store/\"]\n",
    )
    .unwrap()
}

#[test]
fn absolute_machine_paths_are_found_and_longer_paths_are_not() {
    let path = machine_path();
    for line in [
        format!("cd {path}/x"),
        format!("\"{path}/x\""),
        format!("{path}/x"),
        format!("file:{path}/x"),
    ] {
        assert_eq!(in_line(&table(), "a.md", &line).len(), 1, "{line}");
    }
    for line in [
        format!("https://a.example{path}/x"),
        format!("crates{path}/x"),
        format!("$HOME{path}/x"),
        format!("${{X}}{path}/x"),
    ] {
        assert!(in_line(&table(), "a.md", &line).is_empty(), "{line}");
    }
}

#[test]
fn forbidden_words_are_found_where_they_are_not_allowed() {
    let line = "url = https://host.example/x";
    assert_eq!(
        in_line(&table(), "README.md", line),
        ["has \"host.example\": it moves"]
    );
    assert!(in_line(&table(), "crates/store/src/lib.rs", line).is_empty());
}

#[test]
fn unfinished_code_is_found_as_code_only() {
    let code = "fn a() {\n    todo!()\n}\n#[test]\n#[ignore = \"slow\"]\nfn b() { if x { dbg!(y); } }\n\
                /// todo!() in words\nfn c() { let ignore = \"todo!()\"; not_todo!(); }\n";
    let found = unfinished(code.parse().unwrap());
    let expected = [(2, "todo!"), (5, "#[ignore]"), (6, "dbg!")];
    assert_eq!(found, expected.map(|(line, what)| (line, what.to_owned())));
}

#[test]
fn a_tree_is_checked_end_to_end() {
    let note = format!("ok\nsee {}/x\n", machine_path());
    let folder = crate::tree::fixture(&[
        ("words.toml", "machine_folders = [\"srv\"]\n[forbidden]\n"),
        ("notes.md", &note),
        ("src/lib.rs", "fn a() { unimplemented!() }\n"),
    ]);
    std::fs::write(folder.path().join("blob.bin"), [0xff, 0xfe]).unwrap();
    let findings = check(&Tree::at(folder.path()).unwrap()).unwrap();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].starts_with("notes.md:2: names a path below"));
    assert!(findings[1].starts_with("src/lib.rs:1: unimplemented!"));
}
