//! The translated machine beside `qemu-system-riscv64`: the same kernel, the same guest programs, in one run.
//!
//! `cargo run --release -p zone-machine --example translate_bench -- KERNEL [HARTS]` compiles the guest with Debian's
//! cross-compiler, boots it under both, and prints a row for each piece of work. What counts is the processor time that the
//! emulator's process uses for one turn, so that a busy host does no harm. `--interpret` adds the interpreter; `--boot KERNEL
//! INITRAMFS HARTS translate|interpret COMMAND-LINE` just boots, with the SBI's console on this terminal; `--lockstep KERNEL`
//! boots it on a hart that translates and one that interprets, in step, until the kernel finds no root file system;
//! `--repeat KERNEL` does that twice on a hart that translates, by a clock that counts instructions, and compares.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use zone_machine::board::{Board, PLIC_BASE, PLIC_SIZE};
use zone_machine::device_tree::{self, Description};
use zone_machine::machine::{Builder, Observer};
use zone_machine::plic::Plic;
use zone_machine::sbi::{After, Console, Ending, Sbi};
use zone_machine::{boot, memory};
use zone_translate::lockstep::Step;
use zone_translate::{Clock, CodeCache, Exit, Hart, HartPort, Ram};

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
    if arguments.first().is_some_and(|first| first == "--lockstep") {
        return lockstep(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == "--boot") {
        return boot_here(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == "--repeat") {
        return repeat(&arguments[1..]);
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

    let ours = run(own_machine(kernel, &initramfs, harts, "translate")?)?;
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
    let memory = ours.memory;
    missed += u32::from(memory > MEMORY_BAR);
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
    /// Most MiB in memory beside guest RAM, looked at after each piece of work.
    memory: f64,
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
                rows.memory = rows.memory.max(resident(&child)?);
            }
            _ => {}
        }
    }
    child.wait()?;
    Ok(rows)
}

/// Processor seconds that the process has used, its threads that have ended included.
fn processor_time(child: &Child) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // The name, in brackets, may hold anything; user and system time are the 14th and 15th fields.
    let (_, fields) = text.rsplit_once(')').ok_or("no process state")?;
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64)
}

/// MiB of the process in memory, but for its largest mapping, which is guest RAM.
fn resident(child: &Child) -> Result<f64, Failure> {
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

fn boot_here(arguments: &[String]) -> Result<(), Failure> {
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

/// A machine of one hart, run by hand.
struct Single {
    hart: Hart,
    sbi: Sbi,
}

impl Single {
    fn new(kernel: &File) -> Result<Self, Failure> {
        let (memory, length) = memory::allocate(256)?;
        let loaded = boot::load(&memory, length, kernel, None)?;
        let description = Description {
            harts: 1,
            memory: length,
            command_line: "earlycon=sbi keep_bootcon panic=-1",
            initramfs: loaded.initramfs,
            transports: 0,
            seed: [7; 32],
        };
        boot::place_tree(&memory, loaded.tree, &device_tree::write(&description)?)?;
        let port = Arc::<HartPort>::default();
        let mut board = Board::default();
        board.add(
            PLIC_BASE,
            PLIC_SIZE,
            Arc::new(Plic::new(vec![Arc::clone(&port)])),
        );
        let clock = Clock::Instructions { per_tick: 20 };
        let mut hart = Hart::new(Ram::new(memory)?, Arc::new(board), Arc::clone(&port), clock);
        let sbi = Sbi::new(vec![port], Arc::new(Nowhere));
        sbi.start_hart(0, loaded.entry, loaded.tree);
        let (pc, opaque) = sbi.wait_for_start(0).ok_or("the machine ended")?;
        hart.start(pc, 0, opaque);
        Ok(Self { hart, sbi })
    }
}

struct Nowhere;

impl Console for Nowhere {
    fn write(&self, _bytes: &[u8]) {}
    fn read(&self, _into: &mut [u8]) -> usize {
        0
    }
}

/// Runs a kernel to its end twice: the same instructions, the same memory.
fn repeat(arguments: &[String]) -> Result<(), Failure> {
    let kernel = File::open(arguments.first().ok_or("which kernel?")?)?;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut single = Single::new(&kernel)?;
        if !single.hart.translate_into(CodeCache::new()?) {
            return Err("this host is too old for translated code".into());
        }
        loop {
            match single.hart.run() {
                Exit::Stopped => return Err("stopped".into()),
                Exit::SupervisorCall => {
                    if let After::End(_) = single.sbi.call(&mut single.hart, 0) {
                        break;
                    }
                }
            }
        }
        let ram = single.hart.ram();
        let sum = (ram.base()..ram.base() + ram.length())
            .step_by(8)
            .fold(0u64, |sum, address| {
                let word = ram.load::<u64>(address).unwrap_or_default();
                (sum ^ word)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29)
            });
        println!("{} instructions, memory {sum:#018x}", single.hart.retired());
        runs.push((single.hart.retired(), sum));
    }
    if runs[0] != runs[1] {
        return Err("the runs differ".into());
    }
    println!("both runs are the same");
    Ok(())
}

fn lockstep(arguments: &[String]) -> Result<(), Failure> {
    let kernel = File::open(arguments.first().ok_or("which kernel?")?)?;
    let (mut leader, mut follower) = (Single::new(&kernel)?, Single::new(&kernel)?);
    if !leader.hart.translate_into(CodeCache::new()?) {
        return Err("this host is too old for translated code".into());
    }
    let mut steps = 0u64;
    loop {
        // All lengths of slices, so that the harts meet everywhere.
        steps += 1;
        let length = u32::try_from(1 + steps * 7919 % 3000)?;
        match zone_translate::lockstep::step(&mut leader.hart, &mut follower.hart, length)? {
            Step::Slice => {}
            Step::Waiting => zone_translate::lockstep::wait(&mut leader.hart, &mut follower.hart),
            Step::Exit(Exit::Stopped) => return Err("stopped".into()),
            Step::Exit(Exit::SupervisorCall) => {
                let after = leader.sbi.call(&mut leader.hart, 0);
                if after != follower.sbi.call(&mut follower.hart, 0) {
                    return Err("the harts called differently".into());
                }
                if let After::End(ending) = after {
                    println!(
                        "{ending:?} after {} instructions in {steps} steps",
                        leader.hart.retired()
                    );
                    break;
                }
            }
        }
    }
    let (ram, other) = (leader.hart.ram(), follower.hart.ram());
    for address in (ram.base()..ram.base() + ram.length()).step_by(8) {
        if ram.load::<u64>(address) != other.load::<u64>(address) {
            return Err(format!("memory differs at {address:#x}").into());
        }
    }
    println!("registers after each step and all memory at the end are the same");
    Ok(())
}
