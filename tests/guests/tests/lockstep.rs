//! Debian's kernel boots and runs programs on a hart that translates and on one that interprets, in step; and twice by a clock that
//! counts instructions.

use std::io::{self, Write as _};
use std::path::PathBuf;

use guests::{Pair, Single, compile, initramfs};
use tempfile::TempDir;
use zone_machine::sbi::Ending;

/// What has to be compared at least.
const ENOUGH: u64 = 10_000_000;
/// By then, the guest goes round and round.
const TOO_MUCH: u64 = 5_000_000_000;
/// In the kernel's early days.
const EARLY: u64 = 5_000_000;
/// The global pointer, which the kernel sets once.
const GP: usize = 3;

/// What the first process has to run: faults, signals, code that changes, rounding.
const PROGRAMS: [&str; 5] = ["faults", "floating", "jit", "self-modifying", "signals"];

/// An initramfs with these, in its folder.
fn guest() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let programs = PROGRAMS.map(|name| compile(name, folder.path()));
    let archive = initramfs(&programs, None, folder.path());
    (folder, archive)
}

/// Past the capture of tests' output: it is a figure of the specification.
fn say(text: &str) {
    writeln!(io::stderr(), "{text}").expect("somebody listens");
}

#[test]
fn the_kernel_boots_in_step() {
    let (_folder, initramfs) = guest();
    let mut pair = Pair::new(&initramfs);
    let ending = loop {
        match pair.step() {
            Ok(None) if pair.leader.hart.retired() < TOO_MUCH => {}
            Ok(None) => panic!("no end\n{}", pair.leader.lines().join("\n")),
            Ok(Some(ending)) => break ending,
            Err(difference) => panic!("{difference}\n{}", pair.follower.lines().join("\n")),
        }
    };
    let Pair {
        leader, follower, ..
    } = pair;
    assert_eq!(leader.differs_at(&follower), None, "memory");
    let lines = leader.lines();
    assert_eq!(lines, follower.lines());
    for name in PROGRAMS {
        let good = format!("ended {name} exit 0");
        assert!(lines.contains(&good), "{name}\n{}", lines.join("\n"));
    }
    assert_eq!(ending, Ending::Off);
    let compared = leader.hart.retired();
    say(&format!(
        "{compared} instructions of a kernel's boot, translated and interpreted: no difference"
    ));
    assert!(compared >= ENOUGH, "{compared}");
}

#[test]
fn differences_are_found() {
    let (_folder, initramfs) = guest();
    let mut pair = Pair::new(&initramfs);
    while pair.leader.hart.retired() < EARLY {
        pair.step().expect("no difference yet");
    }
    assert_eq!(pair.leader.differs_at(&pair.follower), None);

    let ram = pair.leader.hart.ram();
    let page = ram.base() + ram.length() - 4096;
    let last = page + 4088;
    let was: u64 = ram.load(last).expect("the last word of memory");
    ram.store(last, !was);
    assert_eq!(pair.leader.differs_at(&pair.follower), Some(page));
    ram.store(last, was);

    let hart = &mut pair.leader.hart;
    hart.set_register(GP, hart.register(GP) ^ 8);
    let found = pair.step().expect_err("a register differs");
    assert!(found.differences.contains("\n  x3: "), "{found}");
}

#[test]
fn a_boot_repeats_exactly() {
    let (_folder, initramfs) = guest();
    let mut runs = [(); 2].map(|()| Single::new(&initramfs).translated());
    for run in &mut runs {
        assert_eq!(run.run(), Ending::Off, "{}", run.lines().join("\n"));
    }
    let [one, other] = &runs;
    assert_eq!(one.hart.retired(), other.hart.retired());
    assert_eq!(one.lines(), other.lines());
    assert_eq!(one.differs_at(other), None, "memory");
    say(&format!(
        "{} instructions, the same in both runs",
        one.hart.retired()
    ));
}
