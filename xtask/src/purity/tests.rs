use super::*;

fn check(code: &str, expected: &[&str]) {
    let found = impure_paths(&syn::parse_file(code).unwrap());
    let paths: Vec<&str> = found.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(paths, expected, "{code}");
}

#[test]
fn uses_are_flattened() {
    check("use std::fs;", &["std::fs"]);
    check(
        "use std::{io, fs::{self, File}};",
        &["std::fs::self", "std::fs::File"],
    );
    check("use std::net as n;", &["std::net"]);
    check("use std::process::*;", &["std::process"]);
    check("pub use tokio::sync::mpsc;", &["tokio::sync::mpsc"]);
}

#[test]
fn paths_in_types_calls_and_macros_count() {
    check("fn f(p: std::net::IpAddr) {}", &["std::net::IpAddr"]);
    check(
        "fn f() { let x = std::env::var(\"A\"); }",
        &["std::env::var"],
    );
    check(
        "fn f() { println!(\"{:?}\", std::env::args()); }",
        &["std::env::args"],
    );
    check(
        "fn f() { tokio::select! { x = a() => {} } }",
        &["tokio::select"],
    );
    check(
        "fn f() { std::time::Instant::now(); }",
        &["std::time::Instant::now"],
    );
}

#[test]
fn look_alikes_and_tests_do_not_count() {
    check(
        "use crate::env; use tokio_like::x; use std::time::Instant;",
        &[],
    );
    check(
        "/// std::fs::read\nfn f() { let s = \"std::fs\"; vec![a::fs::b]; }",
        &[],
    );
    check("#[cfg(test)] mod tests { use std::fs; }", &[]);
    check("#[tokio::test] async fn f() { std::fs::read(\"a\"); }", &[]);
    check(
        "fn f() { let tokio = 1; g(tokio); vec![tokio, a.hyper, b: std]; }",
        &[],
    );
    check("struct S { hyper: u8 } fn f(s: S) -> u8 { s.hyper }", &[]);
}

#[test]
fn the_line_is_given() {
    let found = impure_paths(&syn::parse_file("fn a() {}\n\nuse std::fs;\n").unwrap());
    assert_eq!(found, [(3, "std::fs".to_owned())]);
}

#[test]
fn only_pure_crates_are_read() {
    let folder = crate::tree::fixture(&[
        (
            "layers.toml",
            "[crates.p]\npure = true\nmay_use = []\n[crates.q]\nmay_use = []\n[restricted]\n",
        ),
        ("crates/p/src/lib.rs", "use std::fs;\n"),
        ("crates/q/src/lib.rs", "use std::fs;\n"),
    ]);
    let findings = super::check(&Tree::at(folder.path()).unwrap()).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("crates/p/src/lib.rs:1: std::fs in p"));
}
