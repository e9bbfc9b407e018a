//! `cargo xtask test`: every test there is, and their sum in the last line.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::packages;
use crate::project::{Project, cargo, step};

/// Fuzz runs: the zone link's decoder, which faces a hostile process directly, has a minute of its own; all targets share another.
const FUZZ_RUNS: [&[&str]; 2] = [&["link", "--seconds", "60"], &["--seconds", "60"]];

/// Tests of what is only built on request: both painters side by side, and a window that the card paints.
/// The same packages each time, so that nothing is built twice.
const CARD_RUNS: [&[&str]; 2] = [
    &["--test=gpu", "--test=golden"],
    &["--test=session", "--", "window::"],
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
}

/// Runs everything.
pub fn run(project: &Project) -> Result<ExitCode> {
    for list in [packages::BUILD, packages::WINDOW, packages::TEST] {
        packages::install(list)?;
    }
    project.build()?;
    project.image()?;

    step("running the tests");
    let mut sum = Sum::default();
    let mut good = watch(
        cargo(project)
            .args(["test", "--workspace", "--no-fail-fast"])
            .envs(project.environment()),
        &mut sum,
    )?;
    step("running the tests of the painter on the graphics card");
    for run in CARD_RUNS {
        let mut card = cargo(project);
        card.args(["test", "--no-fail-fast"])
            .args(["--package=compositor", "--package=bulkhead"])
            .args(["--features=compositor/gpu,bulkhead/gpu"])
            .args(run);
        good &= watch(&mut card, &mut sum)?;
    }
    step("running the fuzz targets");
    for run in FUZZ_RUNS {
        let mut fuzz = cargo(project);
        fuzz.args(["run", "--quiet", "--release", "--package", "fuzz", "--"])
            .args(run);
        good &= watch(&mut fuzz, &mut sum)?;
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    // A run that found no test has shown nothing.
    Ok(if good && sum.failed == 0 && sum.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs a program, shows what it says, and adds up the results that it prints.
fn watch(command: &mut Command, sum: &mut Sum) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo could not be started")?;
    let output = child.stdout.take().context("cargo's output is not there")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cargo's output broke off")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        sum.add(&line);
    }
    Ok(child.wait().context("cargo did not end")?.success())
}

impl Sum {
    /// Adds a closing line such as `test result: ok. 3 passed; 1 failed; 0 ignored; ...`, or one that begins with the counts.
    fn add(&mut self, line: &str) {
        let rest = line.strip_prefix("test result: ").unwrap_or(line);
        if rest == line && !line.starts_with(|first: char| first.is_ascii_digit()) {
            return;
        }
        for part in rest.split(['.', ';']) {
            match part.split_whitespace().collect::<Vec<_>>().as_slice() {
                [count, "passed"] => self.passed += count.parse::<u64>().unwrap_or(0),
                [count, "failed"] => self.failed += count.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 1.20s");
        sum.add("test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        sum.add("12 passed, or so");
        assert_eq!(
            sum,
            Sum {
                passed: 17,
                failed: 2
            }
        );
    }
}
