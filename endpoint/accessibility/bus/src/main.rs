//! `bulkhead-accessibility`, as the endpoint starts it. See the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    accessibility_bus::run()
}
