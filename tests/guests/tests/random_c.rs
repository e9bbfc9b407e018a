//! Random C programs by Csmith: what the host's own processor computes with one compiler's code, ours computes with
//! another's, optimised as far as it goes. Such code is what hot traces are made of, and nobody wrote it for this machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use guests::{Guest, initramfs};
use zone_machine::sbi::Ending;

/// Seeds of the generator; the same programs each time.
const SEEDS: std::ops::Range<u32> = 1..13;
/// Some of its programs never end. That many do, at least.
const ENOUGH: usize = 8;
/// What one may take on the host's processor.
const PATIENCE: Duration = Duration::from_secs(2);
/// Arithmetic that wraps, and no operations fused by the compiler: the same in both.
const SAME: [&str; 5] = [
    "-fwrapv",
    "-ffp-contract=off",
    "-w",
    "-I/usr/include/csmith",
    "-lm",
];
/// How the same program is compiled for the guest.
const LEVELS: [(&str, &[&str]); 2] = [
    ("plain", &["-O2"]),
    (
        "extended",
        &["-O3", "-march=rv64gc_zba_zbb_zbs", "-mabi=lp64d"],
    ),
];

fn compile(compiler: &str, source: &Path, options: &[&str], program: &Path) {
    let status = Command::new(compiler)
        .arg(source)
        .args(options)
        .args(SAME)
        .arg("-o")
        .arg(program)
        .status()
        .unwrap_or_else(|error| panic!("{compiler} cannot be started ({error})"));
    assert!(status.success(), "{} does not compile", source.display());
}

/// A program's first line on the host's processor, unless it takes too long.
fn native(program: &Path) -> Option<String> {
    let mut child = Command::new(program)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a program of the host's own");
    let end = Instant::now() + PATIENCE;
    while child.try_wait().expect("the program's state").is_none() {
        if Instant::now() > end {
            child.kill().expect("the program ends");
            child.wait().expect("the program's end");
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("the program's output");
    assert!(output.status.success(), "{}", program.display());
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// The programs of one seed for the guest, and what they must say; nothing if it does not end in time.
fn programs_of(seed: u32, folder: &Path) -> Option<(Vec<PathBuf>, String)> {
    let source = folder.join(format!("random{seed}.c"));
    let status = Command::new("csmith")
        .args(["--seed", &seed.to_string(), "--float", "--max-funcs", "8"])
        .stdout(File::create(&source).expect("a file"))
        // It leaves a file beside it.
        .current_dir(folder)
        .status()
        .unwrap_or_else(|error| {
            panic!("csmith cannot be started ({error}); Debian's package is csmith")
        });
    assert!(status.success(), "csmith, seed {seed}");
    let own = folder.join(format!("native{seed}"));
    compile("gcc", &source, &["-O1"], &own);
    let expected = native(&own)?;
    let programs = LEVELS.map(|(level, options)| {
        let program = folder.join(format!("random{seed}-{level}"));
        let options = [options, &["-static"]].concat();
        compile("riscv64-linux-gnu-gcc", &source, &options, &program);
        program
    });
    Some((programs.to_vec(), expected))
}

#[test]
fn random_programs_compute_what_the_host_does() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let seeds: Vec<u32> = SEEDS.collect();
    let made: Vec<_> = std::thread::scope(|scope| {
        let halves: Vec<_> = seeds
            .chunks(seeds.len().div_ceil(2))
            .map(|seeds| {
                let programs = |seed: &u32| programs_of(*seed, folder.path());
                scope.spawn(move || seeds.iter().filter_map(programs).collect::<Vec<_>>())
            })
            .collect();
        halves
            .into_iter()
            .flat_map(|half| half.join().expect("programs"))
            .collect()
    });
    assert!(made.len() >= ENOUGH, "only {} programs end", made.len());
    let programs: Vec<PathBuf> = made.iter().flat_map(|(all, _)| all.clone()).collect();
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).expect("a folder");
    let outcome = Guest {
        meanwhile: None,
        harts: 2,
        memory_mib: 512,
        arguments: "",
        initramfs: &initramfs(&programs, None, &archive),
        volume: None,
        debugger: None,
        limit: Duration::from_secs(400),
    }
    .run();
    let mut wrong = Vec::new();
    for (programs, expected) in &made {
        for program in programs {
            let name = program.file_name().and_then(|name| name.to_str());
            let name = name.expect("a name");
            let (end, said) = (outcome.end_of(name), outcome.said(name));
            if end != Some("exit 0") || said != [expected] {
                wrong.push(format!("{name}: {end:?}: {said:?} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), outcome.tail());
    assert_eq!(outcome.ending, Some(Ending::Off), "{}", outcome.tail());
}
