//! The translated machine beside `qemu-system-riscv64`: the same kernel, the same guest programs, in one run.
//!
//! `cargo xtask bench translate` compiles the guests with Debian's cross-compiler, boots them under both, and prints a row for
//! each piece of work: first what the machine itself does, then Debian's own programs, then the whole desktop; on one hart and on
//! two. What counts is the processor time that the emulator's process uses for one turn, so that a busy host does no harm. A
//! further row sets each beside the same work on this host itself, see [`native`], or says why there is no such figure.
//!
//! By hand: `--harts N` for one number of harts, `--only machine|programs|desktop` for a part, `--interpret` for rows of the
//! interpreter, `--alone` for rows without the compiler's thread; `--only snapshots` for what the machine does under one
//! snapshot of its memory after another, beside itself without; `--boot ...` just boots, see [`ours::boot`].

mod native;
mod ours;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bench_table::{Bar, Row, Table};
use guest_image::{FileName, Image};
use zone_machine::memory;

const COMPILER: &str = "riscv64-linux-gnu-gcc";
const PEER: &str = "qemu-system-riscv64";
const MEMORY_MIB: u32 = 1024;
/// The desktop's display.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;
/// Most MiB beyond guest RAM that a zone may take.
const MEMORY_BAR: f64 = 96.0;
/// Boots for the rows of the machine itself: where memory lies differs from one to the next, and with it what work takes.
/// What this host itself takes for Debian's programs is measured as often.
const BOOTS: usize = 5;
/// How long a machine may take for all it has to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the machine itself does, and the most time it may take, as a part of the peer's.
const MACHINE: [(&str, f64); 17] = [
    (BOOT, 0.8),
    ("integer", 0.45),
    ("records", 1.0),
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
    ("code-runs", 1.0),
    ("code-flushes", 1.0),
    ("code-changes", 1.0),
];
/// Debian's programs, and the package with which this host runs them itself.
const PROGRAMS: [(&str, f64, &str); 3] = [
    ("gcc-O2", 1.0, "gcc"),
    ("perl", 1.0, "perl"),
    ("sqlite", 1.0, "sqlite3"),
];
const DESKTOP_BAR: f64 = 0.7;

/// Why a boot has no native figure.
const NO_HARDWARE: &str = "not RISC-V";

const BOOT: &str = "boot to init";
/// Boots under one snapshot after another.
const BOOT_SAVED: &str = "--boot-saved";
const DESKTOP: &str = "boot to desktop";

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("--boot") => ours::boot(&arguments[1..], false).map(|()| ExitCode::SUCCESS),
        Some(BOOT_SAVED) => ours::boot(&arguments[1..], true).map(|()| ExitCode::SUCCESS),
        _ => measure(&arguments),
    };
    done.unwrap_or_else(|problem| bench_table::failed(&problem))
}

/// What was asked for.
struct Wanted {
    harts: Vec<u32>,
    only: Option<String>,
    /// Further engines for the machine's rows, and what these are called.
    engines: Vec<(&'static str, &'static str)>,
}

impl Wanted {
    fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut wanted = Self {
            harts: vec![1, 2],
            only: None,
            engines: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--harts" => wanted.harts = vec![words.next().ok_or("how many harts?")?.parse()?],
                "--only" => wanted.only = Some(words.next().ok_or("which part?")?.clone()),
                "--interpret" => wanted.engines.push(("interpret", "interpreted")),
                "--alone" => wanted.engines.push(("alone", "without the compiler")),
                "--json" => {}
                _ => return Err(format!("there is no argument `{word}`").into()),
            }
        }
        Ok(wanted)
    }

    fn part(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == name)
    }
}

fn measure(arguments: &[String]) -> Result<ExitCode, Failure> {
    let wanted = Wanted::read(arguments)?;
    let image = guests::image();
    let folder = tempfile::tempdir()?;
    let mut table = Table::new("qemu");
    if wanted.part("machine") {
        let initramfs = own_guest(folder.path())?;
        let native = native::own(folder.path())?;
        for harts in &wanted.harts {
            machine(
                &mut table,
                &image,
                &initramfs,
                *harts,
                &native,
                &wanted.engines,
            )?;
        }
    }
    if wanted.part("programs") {
        let initramfs = programs_guest(&image, folder.path());
        let root = guests::root_of(&guests::DEBIAN_PACKAGES, &guests::DEBIAN_LEFT_OUT);
        let native = native::programs(folder.path())?;
        for harts in &wanted.harts {
            let guest = Guest::new(&image, initramfs.clone(), *harts);
            let guest = guest.arguments("volume=vda").volume(root.clone());
            let (ours, peer) = (run(guest.ours("translate")?)?, run(guest.peer()?)?);
            for (name, bar, package) in PROGRAMS {
                table.add(row(name, *harts, "s", 1.0, &ours, &peer, Bar::Ratio(bar))?);
                let native = native.time(name).map_err(|_| format!("install {package}"));
                table.add(native_row(name, *harts, "s", 1.0, &ours, native)?);
            }
            table.add(memory_row("Debian's programs", *harts, &ours));
        }
    }
    if wanted.part("desktop") {
        for harts in &wanted.harts {
            let initramfs = image.path(FileName::Initramfs);
            let mut guest =
                Guest::new(&image, initramfs, *harts).volume(image.path(FileName::Root));
            guest.desktop = true;
            guest.arguments = image.manifest().arguments().to_owned();
            let (ours, peer) = (run(guest.ours("translate")?)?, run(guest.peer()?)?);
            table.add(row(
                DESKTOP,
                *harts,
                "s",
                1.0,
                &ours,
                &peer,
                Bar::Ratio(DESKTOP_BAR),
            )?);
            let native = Err(NO_HARDWARE.to_owned());
            table.add(native_row(DESKTOP, *harts, "s", 1.0, &ours, native)?);
            table.add(memory_row("the desktop", *harts, &ours));
        }
    }
    if wanted.only.as_deref() == Some("snapshots") {
        let initramfs = own_guest(folder.path())?;
        for harts in &wanted.harts {
            snapshots(&mut table, &image, &initramfs, *harts)?;
        }
    }
    Ok(table.finish())
}

/// What a snapshot costs the guest, in processor time of the harts: the saver has a thread of its own.
fn snapshots(
    table: &mut Table,
    image: &Image,
    initramfs: &Path,
    harts: u32,
) -> Result<(), Failure> {
    let mut guest = Guest::new(image, initramfs.to_path_buf(), harts);
    let without = run(guest.ours("translate")?)?;
    guest.saved = true;
    let saved = run(guest.ours("translate")?)?;
    for (name, _) in MACHINE.iter().filter(|(name, _)| *name != BOOT) {
        table.add(Row {
            work: titled(&format!("{name}, under snapshots beside without"), harts),
            unit: "us",
            ours: saved.harts_time(name)? * 1e6,
            peer: Some(without.harts_time(name)? * 1e6),
            bar: Bar::Free,
        });
    }
    let (_, ram) = memory::allocate(MEMORY_MIB)?;
    let mut marks = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        let saver = ram.snapshot(1, || ())?;
        marks.push(begun.elapsed().as_secs_f64());
        drop(saver);
    }
    let mut instants = saved.instants.clone();
    for (what, seconds) in [
        ("all memory is marked", middle(&mut marks)),
        ("harts stand still for a snapshot", middle(&mut instants)),
        ("and at most", instants.last().copied()),
    ] {
        table.add(Row {
            work: titled(what, harts),
            unit: "us",
            ours: seconds.ok_or("no snapshot was taken")? * 1e6,
            peer: None,
            bar: Bar::Free,
        });
    }
    table.add(memory_row("snapshots", harts, &saved));
    Ok(())
}

fn machine(
    table: &mut Table,
    image: &Image,
    initramfs: &Path,
    harts: u32,
    native: &Rows,
    engines: &[(&str, &str)],
) -> Result<(), Failure> {
    let guest = Guest::new(image, initramfs.to_path_buf(), harts);
    let (mut ours, mut peer) = (Rows::default(), Rows::default());
    for _ in 0..BOOTS {
        ours.add(run(guest.ours("translate")?)?);
        peer.add(run(guest.peer()?)?);
    }
    let micro = 1e6;
    for (name, bar) in MACHINE {
        table.add(row(
            name,
            harts,
            "us",
            micro,
            &ours,
            &peer,
            Bar::Ratio(bar),
        )?);
        let native = match name {
            BOOT => Err(NO_HARDWARE.to_owned()),
            _ => Ok(native.time(name)?),
        };
        table.add(native_row(name, harts, "us", micro, &ours, native)?);
    }
    for (engine, title) in engines {
        let other = run(guest.ours(engine)?)?;
        for (name, _) in MACHINE {
            let work = format!("{name}, {title}");
            table.add(Row {
                work: titled(&work, harts),
                ..row(name, harts, "us", micro, &other, &peer, Bar::Free)?
            });
        }
    }
    table.add(memory_row("the benchmarks", harts, &ours));
    Ok(())
}

/// Sorts the times; the one in the middle.
fn middle(times: &mut [f64]) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn row(
    name: &str,
    harts: u32,
    unit: &'static str,
    per_second: f64,
    ours: &Rows,
    peer: &Rows,
    bar: Bar,
) -> Result<Row, Failure> {
    Ok(Row {
        work: titled(name, harts),
        unit,
        ours: ours.time(name)? * per_second,
        peer: Some(peer.time(name)? * per_second),
        bar,
    })
}

/// The same work on this host itself: its time, or why there is none.
fn native_row(
    name: &str,
    harts: u32,
    unit: &'static str,
    per_second: f64,
    ours: &Rows,
    native: Result<f64, String>,
) -> Result<Row, Failure> {
    let mut work = titled(&format!("{name} beside this host's own"), harts);
    if let Err(why) = &native {
        work = format!("{work}: {why}");
    }
    Ok(Row {
        work,
        unit,
        ours: ours.time(name)? * per_second,
        peer: native.ok().map(|time| time * per_second),
        bar: Bar::Free,
    })
}

fn memory_row(what: &str, harts: u32, ours: &Rows) -> Row {
    Row {
        work: titled(&format!("beyond guest RAM after {what}"), harts),
        unit: "MiB",
        ours: ours.memory,
        peer: None,
        bar: Bar::AtMost(MEMORY_BAR),
    }
}

fn titled(work: &str, harts: u32) -> String {
    match harts {
        1 => work.to_owned(),
        _ => format!("{work} ({harts} harts)"),
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../translate/guest")
}

fn compile(compiler: &str, package: &str, program: &Path) -> Result<(), Failure> {
    let status = Command::new(compiler)
        .args(["-O2", "-static", "-s", "-o"])
        .arg(program)
        .arg(source().join("bench.c"))
        .args(["-lm", "-lpthread"])
        .status()
        .map_err(|error| {
            format!("{compiler} cannot be started ({error}); Debian's package is {package}")
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{compiler} failed").into())
    }
}

/// Compiles the benchmark guest, which is its own init, and packs it.
fn own_guest(folder: &Path) -> Result<PathBuf, Failure> {
    let program = folder.join("init");
    compile(COMPILER, "gcc-riscv64-linux-gnu", &program)?;
    let mut archive = guest_image::cpio::Writer::new(Vec::new());
    archive.directory("dev")?;
    archive.file("init", 0o755, &fs::read(program)?)?;
    let path = folder.join("own-initramfs");
    fs::write(&path, archive.finish()?)?;
    Ok(path)
}

/// What Debian's programs are to do, and the init that lets them.
fn programs_guest(image: &Image, folder: &Path) -> PathBuf {
    let drivers = image.path(FileName::Initramfs);
    guests::initramfs(&program_files(), Some(&drivers), folder)
}

/// A script for each of [`PROGRAMS`], and what they read from their folder.
fn program_files() -> Vec<PathBuf> {
    let scripts = PROGRAMS.map(|(name, ..)| source().join("programs").join(name));
    let debian = guests::debian_scripts();
    let read = ["gcc.c", "perl.pl", "sqlite.sql"].map(|name| debian.join(name));
    scripts.into_iter().chain(read).collect()
}

/// A guest for either machine.
struct Guest {
    kernel: PathBuf,
    initramfs: PathBuf,
    harts: String,
    arguments: String,
    volume: Option<PathBuf>,
    desktop: bool,
    /// Snapshots are taken, one after another.
    saved: bool,
}

impl Guest {
    fn new(image: &Image, initramfs: PathBuf, harts: u32) -> Self {
        Self {
            kernel: image.path(FileName::Kernel),
            initramfs,
            harts: harts.to_string(),
            arguments: String::new(),
            volume: None,
            desktop: false,
            saved: false,
        }
    }

    fn arguments(mut self, arguments: &str) -> Self {
        self.arguments = arguments.to_owned();
        self
    }

    fn volume(mut self, volume: PathBuf) -> Self {
        self.volume = Some(volume);
        self
    }

    /// The kernel's arguments behind those for the console, which each machine has of its own.
    fn line(&self, console: &str) -> String {
        let Self { arguments, .. } = self;
        match self.desktop {
            // As zones are started: only errors.
            true => {
                format!("{console} console=hvc0 {arguments} loglevel=4 panic=1 bulkhead.zone=bench")
            }
            false => format!("{console} printk.devkmsg=on loglevel=8 panic=1 {arguments}"),
        }
    }

    fn ours(&self, engine: &str) -> Result<Child, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(if self.saved { BOOT_SAVED } else { "--boot" })
            .args([&self.kernel, &self.initramfs])
            .args([&self.harts, engine])
            .arg(self.line("earlycon=sbi keep_bootcon"))
            .args(&self.volume)
            .args(self.desktop.then_some("desktop"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Ok(command.spawn()?)
    }

    fn peer(&self) -> Result<Child, Failure> {
        let mut command = Command::new(PEER);
        command
            .args(["-M", "virt", "-m", &MEMORY_MIB.to_string()])
            .args(["-smp", &self.harts, "-no-reboot", "-display", "none"])
            .args(["-monitor", "none", "-kernel"])
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs);
        if let Some(volume) = &self.volume {
            let drive = format!(
                "if=none,id=root,format=raw,snapshot=on,file={}",
                volume.display()
            );
            command.args(["-drive", &drive, "-device", "virtio-blk-device,drive=root"]);
        }
        if self.desktop {
            let display = format!("virtio-gpu-device,xres={WIDTH},yres={HEIGHT}");
            command
                // Display and input have no old form of the transport.
                .args(["-global", "virtio-mmio.force-legacy=false"])
                // Not `stdio`, which counts as closed where there is no input.
                .args([
                    "-serial",
                    "none",
                    "-chardev",
                    "file,path=/dev/stdout,id=state",
                ])
                .args(["-append", &self.line("")])
                .args(["-device", &display])
                .args(["-device", "virtio-keyboard-device"])
                .args(["-device", "virtio-tablet-device"])
                .args(["-device", "virtio-rng-device"])
                .args(["-device", "virtio-serial-device"])
                .args(["-chardev", "null,id=console"])
                .args(["-device", "virtconsole,chardev=console"])
                .args([
                    "-device",
                    "virtserialport,chardev=state,name=org.bulkhead.state",
                ]);
        } else {
            command
                .args(["-serial", "stdio"])
                .args(["-append", &self.line("console=ttyS0")]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                format!("{PEER} cannot be started ({error}); Debian's package is qemu-system-misc")
                    .into()
            })
    }
}

/// What one machine did.
#[derive(Default)]
struct Rows {
    /// Name and processor seconds for one turn; of several boots, the one in the middle counts.
    rows: Vec<(String, f64)>,
    /// The same for our harts' threads alone.
    harts: Vec<(String, f64)>,
    /// Seconds that harts stood still, for each snapshot.
    instants: Vec<f64>,
    /// Most MiB in memory beside guest RAM, looked at after each piece of work.
    memory: f64,
    /// What was said last, for who wonders why there is nothing more.
    last: Vec<String>,
}

impl Rows {
    /// Takes in what another boot did.
    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.harts.extend(other.harts);
        self.instants.extend(other.instants);
        self.memory = self.memory.max(other.memory);
        self.last = other.last;
    }

    fn time(&self, name: &str) -> Result<f64, Failure> {
        self.find(&self.rows, name)
    }

    fn harts_time(&self, name: &str) -> Result<f64, Failure> {
        self.find(&self.harts, name)
    }

    fn find(&self, rows: &[(String, f64)], name: &str) -> Result<f64, Failure> {
        let named = rows.iter().filter(|(row, _)| row == name);
        let mut times: Vec<f64> = named.map(|(_, time)| *time).collect();
        let missing = || format!("the guest did not finish {name}:\n{}", self.last.join("\n"));
        Ok(middle(&mut times).ok_or_else(missing)?)
    }
}

/// Reads what a machine's guest says until it has nothing more to do.
fn run(mut child: Child) -> Result<Rows, Failure> {
    let output = child.stdout.take().ok_or("no output")?;
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut rows = Rows::default();
    let (mut begun, mut begun_by_harts, started) = (0.0, 0.0, Instant::now());
    while let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
        // The kernel's log puts the time before it.
        let line = line
            .rsplit_once("] ")
            .map_or(&*line, |(_, message)| message)
            .trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = rows.rows.len();
        match words[..] {
            ["init"] => rows.rows.push((BOOT.into(), processor_time(&child)?)),
            ["begin", _] => {
                (begun, begun_by_harts) = (processor_time(&child)?, harts_time(&child)?);
            }
            ["work", name, turns, _seconds] => {
                let spent = processor_time(&child)? - begun;
                let spent_by_harts = harts_time(&child)? - begun_by_harts;
                let turns: f64 = turns.parse()?;
                rows.rows.push((name.into(), spent / turns));
                rows.harts.push((name.into(), spent_by_harts / turns));
            }
            ["instant", seconds] => rows.instants.push(seconds.parse()?),
            ["ended", name, "exit", "0"] => {
                rows.rows
                    .push((name.into(), processor_time(&child)? - begun));
            }
            ["ready"] => rows.rows.push((DESKTOP.into(), processor_time(&child)?)),
            _ => {}
        }
        if rows.rows.len() > done {
            rows.memory = rows.memory.max(resident(&child)?);
        }
        rows.last.push(line.to_owned());
        if rows.last.len() > 40 {
            rows.last.remove(0);
        }
        if matches!(words[..], ["done"] | ["ready"] | ["all", "programs", "ran"]) {
            break;
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(rows)
}

/// Processor seconds that the process has used, with threads and processes of its own, be they at work or ended.
fn processor_time(child: &Child) -> Result<f64, Failure> {
    time_of_family(child.id())
}

fn time_of_family(process: u32) -> Result<f64, Failure> {
    // Those that end meanwhile are in their parent's time, which is read later.
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let mut sum = 0.0;
    for child in list.unwrap_or_default().split_whitespace() {
        sum += time_of_family(child.parse()?).unwrap_or(0.0);
    }
    Ok(sum + seconds(&fs::read_to_string(format!("/proc/{process}/stat"))?)?)
}

/// Processor seconds of the threads that are harts.
fn harts_time(child: &Child) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{}/task", child.id()))? {
        let text = fs::read_to_string(thread?.path().join("stat"))?;
        if text.contains("(hart ") {
            sum += seconds(&text)?;
        }
    }
    Ok(sum)
}

/// User and system time in a process's or a thread's state, and that of processes it has waited for.
fn seconds(text: &str) -> Result<f64, Failure> {
    // The name, in brackets, may hold anything; these times are the 14th to 17th fields.
    let (_, fields) = text.rsplit_once(')').ok_or("no process state")?;
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64)
}

/// MiB of the process in memory, but for its largest mapping, which is guest RAM.
fn resident(child: &Child) -> Result<f64, Failure> {
    let text = fs::read_to_string(format!("/proc/{}/smaps", child.id()))?;
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
