//! The Debian packages that commands need, and their installation.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::project::{run, step};

/// A package, a file that shows that it is installed, and why it is needed.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    name: &'static str,
    shows: &'static str,
    why: &'static str,
}

const fn package(name: &'static str, shows: &'static str, why: &'static str) -> Package {
    Package { name, shows, why }
}

/// Needed to build anything and to make the guest image.
pub const BUILD: &[Package] = &[
    package(
        "gcc",
        "/usr/bin/gcc",
        "compiles the C and assembly parts of the crypto library",
    ),
    package(
        "libc6-dev",
        "/usr/include/stdlib.h",
        "the C library's headers",
    ),
    package(
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "checks the guest's packages",
    ),
    package("xz-utils", "/usr/bin/xz", "unpacks the guest's packages"),
];

/// Needed by tests beyond that.
pub const TEST: &[Package] = &[
    package(
        "gcc-riscv64-linux-gnu",
        "/usr/bin/riscv64-linux-gnu-gcc",
        "compiles guest programs that test the CPU",
    ),
    package(
        "libc6-dev-riscv64-cross",
        "/usr/riscv64-linux-gnu/include/stdlib.h",
        "their C library",
    ),
    package(
        "csmith",
        "/usr/bin/csmith",
        "writes random programs that both compilers compile",
    ),
    package(
        "libcsmith-dev",
        "/usr/include/csmith/csmith.h",
        "what those programs include",
    ),
    package(
        "qemu-user-static",
        "/usr/bin/qemu-riscv64-static",
        "the independent CPU that ours is compared with",
    ),
    package(
        "qemu-system-x86",
        "/usr/bin/qemu-system-x86_64",
        "runs stock kernels with USB devices",
    ),
    package(
        "qemu-system-misc",
        "/usr/bin/qemu-system-riscv64",
        "the peer of the translated machine",
    ),
    package("cpio", "/usr/bin/cpio", "packs test kernels' file systems"),
    package(
        "gdb-multiarch",
        "/usr/bin/gdb-multiarch",
        "the debugger that looks into a zone",
    ),
    package(
        "kmod",
        "/sbin/modprobe",
        "finds the order of kernel modules",
    ),
    package(
        "libvulkan1",
        "/usr/lib/x86_64-linux-gnu/libvulkan.so.1",
        "finds graphics cards' drivers",
    ),
    package(
        "mesa-vulkan-drivers",
        "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
        "a graphics card in software, for the painter that uses one",
    ),
    package(
        "usbip",
        "/usr/sbin/usbipd",
        "USB/IP's own programs, peers of ours",
    ),
    package(
        "usbredirect",
        "/usr/bin/usbredirect",
        "usbredir's own program, a peer of ours",
    ),
    package(
        "iproute2",
        "/usr/sbin/ip",
        "brings up the network of machines with USB devices",
    ),
    package("xvfb", "/usr/bin/Xvfb", "a display for the window"),
    package(
        "xdotool",
        "/usr/bin/xdotool",
        "drives the window as a person does",
    ),
    package(
        "dbus-daemon",
        "/usr/bin/dbus-daemon",
        "the bus of a desktop session",
    ),
    package(
        "at-spi2-core",
        "/usr/libexec/at-spi-bus-launcher",
        "its bus for screen readers",
    ),
    package(
        "gir1.2-atspi-2.0",
        "/usr/lib/x86_64-linux-gnu/girepository-1.0/Atspi-2.0.typelib",
        "listens there as a screen reader does",
    ),
    package(
        "python3-gi",
        "/usr/lib/python3/dist-packages/gi/__init__.py",
        "its language",
    ),
];

/// Needed by the window, which loads them when it opens.
pub const WINDOW: &[Package] = &[
    package(
        "libxcursor1",
        "/usr/lib/x86_64-linux-gnu/libXcursor.so.1",
        "the window's pointer",
    ),
    package(
        "libxi6",
        "/usr/lib/x86_64-linux-gnu/libXi.so.6",
        "the window's input",
    ),
    package(
        "libxkbcommon-x11-0",
        "/usr/lib/x86_64-linux-gnu/libxkbcommon-x11.so.0",
        "the window's keyboard",
    ),
];

/// Needed by benchmarks beyond that.
pub const BENCH: &[Package] = &[
    package(
        "libpixman-1-0",
        "/usr/lib/x86_64-linux-gnu/libpixman-1.so.0",
        "the compositor's peer",
    ),
    package(
        "perl",
        "/usr/bin/shasum",
        "does on this host what the guest's perl does",
    ),
    package(
        "sqlite3",
        "/usr/bin/sqlite3",
        "does on this host what the guest's sqlite does",
    ),
];

/// Installs what is missing, saying what and why.
pub fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|package| !Path::new(package.shows).exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    step("installing Debian packages");
    for package in &missing {
        println!("    {}: {}", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    let Some(prefix) = privilege() else {
        bail!(
            "these packages are missing and this user may not install them; as root, run:\n    {by_hand}"
        );
    };
    let apt = |arguments: &[&str]| {
        let mut words = prefix.iter().chain(&["apt-get"]).chain(arguments);
        let mut command = Command::new(words.next().unwrap_or(&"apt-get"));
        command
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        command
    };
    // Lists may be missing or old on a fresh machine; if they cannot be had, what is there may still do.
    let updated = run(&mut apt(&["update"]));
    let arguments: Vec<&str> = ["install", "--yes", "--no-install-recommends"]
        .into_iter()
        .chain(names)
        .collect();
    if let Err(error) = run(&mut apt(&arguments)) {
        bail!(
            "{error}{}; by hand:\n    {by_hand}",
            updated.err().map_or_else(String::new, |error| format!(
                ", and the package lists could not be had ({error})"
            ))
        );
    }
    Ok(())
}

/// What stands before `apt-get`: nothing for root, `sudo` for a user who may use it without a question.
fn privilege() -> Option<&'static [&'static str]> {
    let quiet = |command: &mut Command| {
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if root {
        Some(&[])
    } else if quiet(Command::new("sudo").args(["-n", "true"])) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}
