//! No backend call is possible without a permit: the compiler says so.

#[test]
fn no_backend_call_is_possible_without_a_permit() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
