//! The endpoint: presenters, supervisor, broker and command line.
fn main() {}
