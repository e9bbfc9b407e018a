//! The endpoint with zone processes that paint patterns instead of running machines: honest ones, and ones that attack.
//!
//! The zone process is this very program, started again with `--link-fd`, and so is the process that tells screen readers, by
//! its name; so the tests have a `main` of their own.

mod attacks;
mod clips;
mod command_line;
mod desk;
mod files;
mod frames;
mod honest;
mod kms;
mod live_policy;
mod locking;
mod measure;
mod pages;
mod players;
mod readers;
mod window;
mod zone;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--link-fd") {
        return zone::main(&arguments);
    }
    if std::env::current_exe().is_ok_and(|own| own.ends_with("bulkhead-accessibility")) {
        return accessibility_bus::run();
    }
    let tests = [
        honest::TESTS,
        frames::TESTS,
        attacks::TESTS,
        live_policy::TESTS,
        clips::TESTS,
        files::TESTS,
        locking::TESTS,
        pages::TESTS,
        players::TESTS,
        command_line::TESTS,
        kms::TESTS,
        window::TESTS,
        readers::TESTS,
    ];
    let tests = || tests.into_iter().flatten();
    if arguments.iter().any(|argument| argument == "--list") {
        tests().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--bench") {
        measure::main();
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in
        tests().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
    {
        let began = std::time::Instant::now();
        let result = std::panic::catch_unwind(test);
        let (word, count) = if result.is_ok() {
            ("ok", &mut passed)
        } else {
            ("FAILED", &mut failed)
        };
        *count += 1;
        println!(
            "test {name} ... {word} ({:.2} s)",
            began.elapsed().as_secs_f64()
        );
    }
    println!("\n{passed} passed; {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
