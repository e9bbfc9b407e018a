//! The project's own commands: `cargo xtask demo`, `kiosk`, `test`, `fuzz`, `bench`.
//!
//! Whatever a command needs beyond a Rust toolchain and apt it installs itself, and says so. Everything it makes lies under
//! `target/` and `out/`.
#![forbid(unsafe_code)]

mod demo;
mod kiosk;
mod packages;
mod project;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::project::{Project, cargo};

const USAGE: &str = "\
cargo xtask COMMAND

  demo                             build everything and show two zones: in a window where there is a display,
                                   else without one, leaving a screenshot whose path is printed
  kiosk [POLICY] [-- WORDS]        build a kernel and an initramfs that boot into POLICY's desktop [default: the demo's];
                                   WORDS go to `bulkhead run`
  test                             run every test; prints the runner's closing lines and a sum of them
  fuzz [NAME] [--seconds N]        run the fuzz targets on mutated inputs [default: 60 seconds over all of them]
  bench NAME [--json]              run ours and the peer in turn and print a row each; without a NAME, the names
                                   exit code: 0 all bars hold, 1 one misses, 2 it could not be measured
";

/// A benchmark by its name: the package that holds it, and its arguments to cargo.
const BENCHES: &[(&str, &[&str])] = &[
    (
        "compositor",
        &[
            "bench",
            "--package",
            "compositor",
            "--bench",
            "compositor",
            "--",
        ],
    ),
    (
        "policy",
        &[
            "run",
            "--release",
            "--package",
            "policy-oracle",
            "--bin",
            "policy-bench",
            "--",
        ],
    ),
    (
        "softfloat",
        &[
            "bench",
            "--package",
            "zone-softfloat",
            "--bench",
            "operations",
            "--",
        ],
    ),
    (
        "translate",
        &[
            "run",
            "--release",
            "--package",
            "zone-machine",
            "--example",
            "translate_bench",
            "--",
        ],
    ),
    (
        "usb",
        &[
            "run",
            "--release",
            "--package",
            "usb-lab",
            "--bin",
            "usb-bench",
            "--",
        ],
    ),
    (
        "virtio",
        &[
            "bench",
            "--package",
            "zone-virtio",
            "--bench",
            "devices",
            "--",
        ],
    ),
    (
        "zones",
        &[
            "run",
            "--release",
            "--package",
            "e2e",
            "--bin",
            "measure",
            "--",
        ],
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode> {
    let project = Project::find()?;
    match words {
        ["demo"] => demo::run(&project),
        ["kiosk", rest @ ..] => kiosk::run(&project, rest),
        ["test"] => test::run(&project),
        ["fuzz", rest @ ..] => fuzz(&project, rest),
        ["bench"] => {
            for (name, _) in BENCHES {
                println!("{name}");
            }
            Ok(ExitCode::SUCCESS)
        }
        ["bench", name, rest @ ..] => bench(&project, name, rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("that is no command of this project\n{USAGE}"),
    }
}

fn fuzz(project: &Project, rest: &[&str]) -> Result<ExitCode> {
    let status = cargo(project)
        .args(["run", "--quiet", "--release", "--package", "fuzz", "--"])
        .args(rest)
        .status()?;
    Ok(project::code(status))
}

fn bench(project: &Project, name: &str, rest: &[&str]) -> Result<ExitCode> {
    let Some((_, command)) = BENCHES.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = BENCHES.iter().map(|(known, _)| *known).collect();
        bail!(
            "there is no benchmark `{name}`; there are {}",
            known.join(", ")
        );
    };
    for list in [packages::BUILD, packages::TEST, packages::BENCH] {
        packages::install(list)?;
    }
    if matches!(name, "zones" | "translate") {
        project.build()?;
        project.image()?;
    }
    let status = cargo(project)
        .args(*command)
        .args(rest)
        .envs(project.environment())
        .status()?;
    Ok(project::code(status))
}
