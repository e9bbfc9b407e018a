//! `cargo xtask fuzz`: every parser of untrusted bytes on mutated inputs, on a stable toolchain.
//!
//! A target is a function that must not panic, whatever bytes it gets. Each starts from its seeds in `tests/fuzz/seeds/NAME` and from
//! inputs made up; an input is mutated as fuzzers do (flips, interesting numbers, cut, copied and spliced parts). The random numbers'
//! seed is printed, so that a run can be repeated; an input that broke a promise is saved under `out/fuzz`.
//!
//! Without the coverage feedback of libFuzzer this finds less in the same time. The targets are plain functions, so that a
//! coverage-guided runner can drive them as they are.
#![forbid(unsafe_code)]

mod mutate;
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use cap::Cap;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::mutate::Mutator;
use crate::targets::{TARGETS, Target};

/// An input that makes a parser ask for more than its target may have ends the run.
#[global_allocator]
static ALLOCATOR: Cap<std::alloc::System> = Cap::new(std::alloc::System, usize::MAX);
/// Address space of this process, for what is mapped instead.
const MEMORY: u64 = 6 << 30;
const USAGE: &str = "usage: cargo xtask fuzz [NAME] [--seconds N] [--seed N]";

struct Arguments {
    name: Option<String>,
    seconds: u64,
    seed: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<usize> {
    let arguments = arguments()?;
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| {
            arguments
                .name
                .as_deref()
                .is_none_or(|name| name == target.name)
        })
        .collect();
    if chosen.is_empty() {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        bail!(
            "there is no target `{}`; there are {}",
            arguments.name.unwrap_or_default(),
            known.join(", ")
        );
    }
    setrlimit(
        Resource::As,
        Rlimit {
            current: Some(MEMORY),
            maximum: Some(MEMORY),
        },
    )
    .context("the memory limit cannot be set")?;
    let share = Duration::from_secs(arguments.seconds) / u32::try_from(chosen.len()).unwrap_or(1);
    // Said first: what ends the run at once leaves nothing else to repeat it by.
    println!("seed {}", arguments.seed);
    let mut failed = 0;
    for target in &chosen {
        if !fuzz(target, share, arguments.seed)? {
            failed += 1;
        }
    }
    // As the test runner closes, so that both can be added up.
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {word}. {} passed; {failed} failed; fuzz targets with seed {}",
        chosen.len() - failed,
        arguments.seed
    );
    Ok(failed)
}

/// Runs one target for its share of the time; false if an input broke it.
fn fuzz(target: &Target, share: Duration, seed: u64) -> Result<bool> {
    let end = Instant::now() + share;
    let mut mutator = Mutator::new(seed, target.longest, seeds(target.name)?);
    let limit = ALLOCATOR.allocated().saturating_add(target.memory);
    let limited = ALLOCATOR.set_limit(limit);
    limited.map_err(|()| anyhow!("{}: more is allocated already", target.name))?;
    let mut count = 0_u64;
    // The seeds themselves come first.
    while let Some(input) = mutator.next_input() {
        count += 1;
        if catch_unwind(|| (target.run)(&input)).is_err() {
            let path = save(target.name, &input)?;
            println!(
                "{}: input {count} broke a promise; it is saved as {}",
                target.name,
                path.display()
            );
            return Ok(false);
        }
        if Instant::now() >= end {
            break;
        }
    }
    println!("{}: {count} inputs", target.name);
    Ok(true)
}

fn seeds(name: &str) -> Result<Vec<Vec<u8>>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> = fs::read_dir(&directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    // The same order everywhere, so that a seed repeats a run.
    files.sort();
    files
        .iter()
        .map(|path| fs::read(path).with_context(|| format!("{} cannot be read", path.display())))
        .collect()
}

fn save(name: &str, input: &[u8]) -> Result<PathBuf> {
    let directory = Path::new("out/fuzz");
    fs::create_dir_all(directory)?;
    let sum = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = directory.join(format!("{name}-{sum:016x}"));
    fs::write(&path, input).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

fn arguments() -> Result<Arguments> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |time| time.as_secs());
    let mut found = Arguments {
        name: None,
        seconds: 60,
        seed: now,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            words
                .next()
                .and_then(|value| value.parse().ok())
                .with_context(|| format!("{word} takes a number\n{USAGE}"))
        };
        match word.as_str() {
            "--seconds" => found.seconds = number()?,
            "--seed" => found.seed = number()?,
            name if !name.starts_with('-') && found.name.is_none() => {
                found.name = Some(name.to_owned());
            }
            _ => bail!("`{word}` is not understood\n{USAGE}"),
        }
    }
    Ok(found)
}
