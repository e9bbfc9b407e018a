//! The translated machine beside `qemu-system-riscv64`: the same kernel, the same guest programs, in one run.
//!
//! `cargo run --release -p zone-machine --example translate_bench -- KERNEL [HARTS]` compiles the guest with Debian's
//! cross-compiler, boots it under both, and prints a row for each piece of work. What counts is the processor time that the
//! emulator's process uses for one turn, so that a busy host does no harm. `--interpret` adds the interpreter; `--boot KERNEL
//! INITRAMFS HARTS translate|interpret COMMAND-LINE` just boots, with the SBI's console on this terminal.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use zone_machine::machine::{Builder, Observer};
use zone_machine::sbi::{Console, Ending};
use zone_translate::CodeCache;

const COMPILER: &str = "riscv64-linux-gnu-gcc";
const PEER: &str = "qemu-system-riscv64";
const MEMORY_MIB: u32 = 512;
/// Most bytes beyond guest RAM that a zone may take.
const MEMORY_BAR: f64 = 96.0;

/// Work and the most time it may take, as a part of the peer's.
const BARS: [(&str, f64); 13] = [
    ("boot to init", 0.8),
    ("integer", 0.45),
    ("sha256", 1.0),
    ("n-body", 0.25),
    ("matrix", 0.25),
    ("memcpy", 1.0),
    ("strlen", 1.0),
    ("system-calls", 0.7),
    ("segv-mprotect", 0.7),
    ("page-faults", 0.7),
    ("context-switches", 1.0),
    ("forks", 1.0),
    ("atomics", 1.0),
];

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--boot") {
        return boot(&arguments[1..]);
    }
    let interpret = arguments
        .iter()
        .position(|argument| argument == "--interpret");
    if let Some(at) = interpret {
        arguments.remove(at);
    }
    let kernel = arguments.first().ok_or("which kernel?")?;
    let harts = arguments.get(1).map_or("1", String::as_str);
    let folder = tempfile::tempdir()?;
    let initramfs = guest(folder.path())?;

    let mut ours = run(own_machine(kernel, &initramfs, harts, "translate")?)?;
    let interpreted = match interpret {
        Some(_) => Some(run(own_machine(kernel, &initramfs, harts, "interpret")?)?),
        None => None,
    };
    let peer = run(peer_machine(kernel, &initramfs, harts)?)?;
    println!(
        "{:18} {:>14} {:>14} {:>7} {:>6}",
        "work", "ours", "peer", "ratio", "bar"
    );
    let mut missed = 0;
    for (name, bar) in BARS {
        let (our, their) = (ours.time(name)?, peer.time(name)?);
        let ratio = our / their;
        missed += u32::from(ratio > bar);
        let verdict = if ratio > bar { "MISSES" } else { "holds" };
        let extra = match &interpreted {
            Some(rows) => format!("   interpreted {:12.3}", rows.time(name)? * 1e6),
            None => String::new(),
        };
        println!(
            "{name:18} {:11.3} us {:11.3} us {ratio:7.3} {bar:6.2} {verdict}{extra}",
            our * 1e6,
            their * 1e6
        );
    }
    let memory = ours.memory.take().unwrap_or_default();
    let verdict = if memory > MEMORY_BAR {
        "MISSES"
    } else {
        "holds"
    };
    println!(
        "{:18} {memory:10.1} MiB {:>14} {:>7} {MEMORY_BAR:6.0} {verdict}",
        "beyond guest RAM", "", ""
    );
    println!("{missed} rows miss their bar");
    Ok(())
}

/// Compiles the benchmark guest and packs it as an initramfs.
fn guest(folder: &Path) -> Result<PathBuf, Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../translate/guest/bench.c");
    let program = folder.join("init");
    let status = Command::new(COMPILER)
        .args(["-O2", "-static", "-s", "-o"])
        .arg(&program)
        .arg(source)
        .args(["-lm", "-lpthread"])
        .status()
        .map_err(|error| {
            format!(
                "{COMPILER} cannot be started ({error}); Debian's package is gcc-riscv64-linux-gnu"
            )
        })?;
    if !status.success() {
        return Err(format!("{COMPILER} failed").into());
    }
    let archive = folder.join("initramfs");
    let mut file = File::create(&archive)?;
    let program = std::fs::read(program)?;
    for (name, mode, device, content) in [
        ("dev", 0o040_755, (0, 0), &[][..]),
        ("dev/console", 0o020_600, (5, 1), &[]),
        ("dev/kmsg", 0o020_600, (1, 11), &[]),
        ("init", 0o100_755, (0, 0), &program),
        ("TRAILER!!!", 0, (0, 0), &[]),
    ] {
        file.write_all(&archived(name, mode, device, content))?;
    }
    Ok(archive)
}

/// One file of a cpio archive, "newc" format.
fn archived(name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    let fields = [
        0, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0,
    ];
    let mut entry = b"070701".to_vec();
    for field in fields {
        entry.extend(format!("{field:08x}").bytes());
    }
    entry.extend(name.bytes());
    entry.push(0);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry
}

const COMMAND_LINE: &str = "printk.devkmsg=on loglevel=8 panic=1";

fn own_machine(
    kernel: &str,
    initramfs: &Path,
    harts: &str,
    engine: &str,
) -> Result<Child, Failure> {
    let line = format!("earlycon=sbi keep_bootcon {COMMAND_LINE}");
    Ok(Command::new(std::env::current_exe()?)
        .arg("--boot")
        .arg(kernel)
        .arg(initramfs)
        .args([harts, engine, &line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?)
}

fn peer_machine(kernel: &str, initramfs: &Path, harts: &str) -> Result<Child, Failure> {
    let line = format!("console=ttyS0 {COMMAND_LINE}");
    Command::new(PEER)
        .args([
            "-M",
            "virt",
            "-m",
            &MEMORY_MIB.to_string(),
            "-smp",
            harts,
            "-nographic",
            "-no-reboot",
            "-kernel",
            kernel,
        ])
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", &line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("{PEER} cannot be started ({error}); Debian's package is qemu-system-misc")
                .into()
        })
}

/// What one machine did.
#[derive(Default)]
struct Rows {
    /// Name and processor seconds for one turn.
    rows: Vec<(String, f64)>,
    /// MiB in memory beside guest RAM, at the end.
    memory: Option<f64>,
}

impl Rows {
    fn time(&self, name: &str) -> Result<f64, Failure> {
        let row = self.rows.iter().find(|(row, _)| row == name);
        Ok(row
            .ok_or_else(|| format!("the guest did not finish {name}"))?
            .1)
    }
}

fn run(mut child: Child) -> Result<Rows, Failure> {
    let output = child.stdout.take().ok_or("no output")?;
    let mut rows = Rows::default();
    let (mut begun, started) = (0.0, Instant::now());
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        // The kernel's log puts the time before it.
        let line = line
            .rsplit_once("] ")
            .map_or(&*line, |(_, message)| message)
            .trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["init"] => rows.rows.push((
                "boot to init".into(),
                started.elapsed().as_secs_f64().min(processor_time(&child)?),
            )),
            ["begin", _] => begun = processor_time(&child)?,
            ["work", name, turns, _seconds] => {
                let spent = processor_time(&child)? - begun;
                rows.rows.push((name.into(), spent / turns.parse::<f64>()?));
            }
            ["done"] => rows.memory = memory(&child).ok(),
            _ => {}
        }
    }
    child.wait()?;
    Ok(rows)
}

/// Processor seconds that the process has used.
fn processor_time(child: &Child) -> Result<f64, Failure> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir(format!("/proc/{}/task", child.id()))? {
        // A thread may end meanwhile.
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            nanoseconds += text
                .split_whitespace()
                .next()
                .unwrap_or("0")
                .parse::<f64>()?;
        }
    }
    Ok(nanoseconds * 1e-9)
}

/// MiB of the process in memory, but for its largest mapping, which is guest RAM.
fn memory(child: &Child) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps", child.id()))?;
    let (mut sizes, mut resident) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let list = match words.next() {
            Some("Size:") => &mut sizes,
            Some("Rss:") => &mut resident,
            _ => continue,
        };
        list.push(words.next().unwrap_or("0").parse::<f64>()?);
    }
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    let rest = sizes
        .iter()
        .zip(&resident)
        .filter(|(size, _)| **size < largest)
        .map(|(_, resident)| resident);
    Ok(rest.sum::<f64>() / 1024.0)
}

struct Terminal;

impl Console for Terminal {
    fn write(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }
    fn read(&self, _into: &mut [u8]) -> usize {
        0
    }
}

impl Observer for Terminal {
    fn ended(&self, ending: Ending) {
        eprintln!("the guest ended: {ending:?}");
    }
}

fn boot(arguments: &[String]) -> Result<(), Failure> {
    let [kernel, initramfs, harts, engine, line] = arguments else {
        return Err("--boot KERNEL INITRAMFS HARTS translate|interpret COMMAND-LINE".into());
    };
    let mut builder = Builder::new(MEMORY_MIB, harts.parse()?)?;
    if engine == "translate" {
        let count = harts.parse::<usize>()?;
        builder.translate(
            (0..count)
                .map(|_| CodeCache::new())
                .collect::<Result<_, _>>()?,
        );
    }
    let (kernel, initramfs) = (File::open(kernel)?, File::open(initramfs)?);
    let machine = builder.start(
        &kernel,
        Some(&initramfs),
        line,
        [7; 32],
        Arc::new(Terminal),
        Arc::new(Terminal),
    )?;
    machine.join();
    Ok(())
}
