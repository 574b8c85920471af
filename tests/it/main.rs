#[test]
fn t() {}
mod queue_conformance;
