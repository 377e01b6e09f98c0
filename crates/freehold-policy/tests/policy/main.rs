//! What policy makes of settings and requests.

mod cases;
mod compile;
mod decide;
mod explain;
mod limit;
mod properties;
mod storing;
mod support;

#[test]
fn no_permit_passage_or_receipt_can_be_forged() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
