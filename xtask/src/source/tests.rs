use super::*;

fn item(code: &str) -> Item {
    syn::parse_str(code).unwrap()
}

#[test]
fn test_attributes_are_told_from_others() {
    for (code, expected) in [
        ("#[test] fn a() {}", true),
        ("#[tokio::test(start_paused = true)] async fn a() {}", true),
        ("#[cfg(test)] mod a {}", true),
        ("#[cfg(all(test, unix))] mod a {}", true),
        ("#[cfg(not(test))] mod a {}", false),
        ("#[cfg(feature = \"latest\")] mod a {}", false),
        ("#[inline] fn a() {}", false),
        ("fn a() {}", false),
    ] {
        assert_eq!(is_test(attributes_of(&item(code))), expected, "{code}");
    }
}

#[test]
fn test_paths_are_told_from_others() {
    for (path, expected) in [
        ("crates/a/tests/x.rs", true),
        ("crates/a/src/b/tests.rs", true),
        ("crates/a/src/b_tests.rs", true),
        ("crates/a/benches/x.rs", true),
        ("crates/a/src/attests.rs", false),
        ("crates/a/src/lib.rs", false),
    ] {
        assert_eq!(is_test_path(path), expected, "{path}");
    }
}

#[test]
fn a_module_declared_for_tests_only_is_left_out_with_its_children() {
    let folder = crate::tree::fixture(&[
        (
            "crates/a/src/lib.rs",
            "mod real;\n#[cfg(test)]\nmod fixtures;\n",
        ),
        ("crates/a/src/real.rs", "#[cfg(test)] mod cases;\n"),
        ("crates/a/src/real/cases.rs", "fn case() {}\n"),
        ("crates/a/src/fixtures/mod.rs", "mod deep;\n"),
        ("crates/a/src/fixtures/deep.rs", "fn deep() {}\n"),
        ("crates/b/src/lib.rs", "fn elsewhere() {}\n"),
    ]);
    let tree = Tree::at(folder.path()).unwrap();
    let paths: Vec<String> = sources(&tree, "crates/a/")
        .unwrap()
        .into_iter()
        .map(|s| s.path)
        .collect();
    assert_eq!(paths, ["crates/a/src/lib.rs", "crates/a/src/real.rs"]);
}
