//! The programs in `programs/`: compiled with Debian's cross-compiler, packed, or run under user-mode emulation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use guest_image::cpio;

const COMPILER: &str = "riscv64-linux-gnu-gcc";
const SYMBOLS: &str = "riscv64-linux-gnu-nm";
const PEER: &str = "qemu-riscv64-static";
/// The guest's first process, which runs the others.
const INIT: &str = "init";

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// The names of all programs but init, sorted.
///
/// # Panics
/// When the sources are gone.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(sources())
        .expect("the programs' sources")
        .map(|entry| entry.expect("a source").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .filter(|name| name != INIT)
        .collect();
    names.sort();
    names
}

/// Compiles a program of `programs/` into `folder`, which gets a file of its name.
///
/// # Panics
/// When it does not compile.
pub fn compile(name: &str, folder: &Path) -> PathBuf {
    compile_from(&sources(), name, folder)
}

/// The same for a program whose source is in another folder.
///
/// # Panics
/// When it does not compile.
pub fn compile_from(sources: &Path, name: &str, folder: &Path) -> PathBuf {
    let program = folder.join(name);
    let status = Command::new(COMPILER)
        .args(["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(format!("{name}.c"))
        .args(["-lm", "-lpthread"])
        .current_dir(sources)
        .status()
        .unwrap_or_else(|error| {
            panic!(
                "{COMPILER} cannot be started ({error}); Debian's package is gcc-riscv64-linux-gnu"
            )
        });
    assert!(status.success(), "{name}.c does not compile");
    program
}

/// The address of a symbol in a compiled program.
///
/// # Panics
/// When there is none.
pub fn symbol(program: &Path, name: &str) -> u64 {
    let output = Command::new(SYMBOLS).arg(program).output();
    let output = output.unwrap_or_else(|error| panic!("{SYMBOLS} cannot be started ({error})"));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| {
            let (rest, found) = line.rsplit_once(' ')?;
            let address = rest.split_whitespace().next()?;
            (found == name).then(|| u64::from_str_radix(address, 16).ok())?
        })
        .unwrap_or_else(|| panic!("{} has no symbol {name}", program.display()))
}

/// Packs programs, which keep their names, and the init that runs them into an initramfs in `folder`. It is put onto
/// `drivers`, the initramfs of an image, for a guest that works in its first volume.
///
/// # Panics
/// When the host cannot read or write.
pub fn initramfs(programs: &[PathBuf], drivers: Option<&Path>, folder: &Path) -> PathBuf {
    let read =
        |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The kernel takes archives that follow each other, and what comes later replaces what was there.
    let mut writer = cpio::Writer::new(drivers.map(read).unwrap_or_default());
    let init = read(&compile(INIT, folder));
    writer.file("init", 0o755, &init).expect("written");
    writer.directory("programs").expect("written");
    for program in programs {
        let name = program.file_name().and_then(|name| name.to_str());
        let name = format!("programs/{}", name.expect("a name"));
        writer.file(&name, 0o755, &read(program)).expect("written");
    }
    let archive = folder.join("initramfs");
    fs::write(&archive, writer.finish().expect("written")).expect("an archive");
    archive
}

/// Runs a program under user-mode emulation, and tells it so; its output when it ends.
///
/// # Panics
/// When the emulator is missing, or the program takes longer than `limit`.
pub fn user_mode(program: &Path, limit: Duration) -> Output {
    let mut child = Command::new(PEER)
        .arg(program)
        .arg("user-emulation")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{PEER} cannot be started ({error}); Debian's package is qemu-user-static")
        });
    let end = Instant::now() + limit;
    // Programs print less than a pipe holds.
    while child.try_wait().expect("the emulator's state").is_none() {
        if Instant::now() > end {
            child.kill().expect("the emulator ends");
            panic!(
                "{} takes longer than {limit:?} under {PEER}",
                program.display()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("the emulator's output")
}
