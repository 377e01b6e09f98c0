use super::*;

fn measured(text: &str) -> Measured {
    measure(&Source {
        path: "a.rs".to_owned(),
        text: text.to_owned(),
        file: syn::parse_file(text).unwrap(),
    })
}

fn judged(exception: Option<usize>, real: Option<usize>) -> Vec<String> {
    let table = |lines: Option<usize>| {
        lines
            .map(|lines| ("a".to_owned(), lines))
            .into_iter()
            .collect()
    };
    judge("files", 10, &table(exception), &table(real))
}

#[test]
fn functions_are_named_by_their_place_and_measured_from_fn_to_brace() {
    let code = "/// Doc.\n#[inline]\nfn free() {\n    1;\n}\n\nmod inner {\n    impl Thing<u8> {\n        fn method(&self) {}\n    }\n    \
                trait Way {\n        fn required();\n        fn given() {\n        }\n    }\n}\n";
    let expected = [
        ("free", 3),
        ("inner::Thing::method", 1),
        ("inner::Way::given", 2),
    ];
    assert_eq!(
        measured(code).functions,
        expected.map(|(name, lines)| (name.to_owned(), lines))
    );
}

#[test]
fn tests_do_not_count() {
    let code = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn b() {\n    }\n}\n";
    let measured = measured(code);
    assert_eq!(measured.lines, 2);
    assert_eq!(measured.functions, [("a".to_owned(), 1)]);
}

#[test]
fn the_limit_holds_without_an_exception() {
    assert!(judged(None, Some(10)).is_empty());
    assert!(judged(None, Some(11))[0].contains("the limit is 10"));
}

#[test]
fn an_exception_only_shrinks() {
    assert!(judged(Some(15), Some(15)).is_empty());
    assert!(judged(Some(15), Some(16))[0].contains("grew from 15 to 16"));
    assert!(judged(Some(15), Some(12))[0].contains("lower 15 to 12"));
    assert!(judged(Some(15), Some(10))[0].contains("remove it from [files]"));
    assert!(judged(Some(15), None)[0].contains("is gone"));
}

#[test]
fn a_tree_is_measured_end_to_end() {
    let long: String = format!("fn long() {{\n{}}}\n", "    1;\n".repeat(5));
    let folder = crate::tree::fixture(&[
        (
            "ratchet.toml",
            "file_lines_max = 5\nfunction_lines_max = 4\n[functions]\n\"b/src/x.rs#T::f\" = 6\n",
        ),
        ("a/src/lib.rs", &long),
        ("a/tests/all.rs", &long),
        ("b/src/x.rs", "impl T {\nfn f() {\n1;\n}\n}\n"),
    ]);
    let findings = check(&Tree::at(folder.path()).unwrap()).unwrap();
    let starts = [
        "a/src/lib.rs has 7",
        "a/src/lib.rs#long has 7",
        "b/src/x.rs#T::f has 3 lines, within",
    ];
    assert_eq!(findings.len(), starts.len(), "{findings:?}");
    for (finding, start) in findings.iter().zip(starts) {
        assert!(finding.starts_with(start), "{finding}");
    }
}
