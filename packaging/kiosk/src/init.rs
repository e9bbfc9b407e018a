//! The kiosk's first program: loads drivers, mounts what programs expect, and keeps `bulkhead run` going. There is no other.
//!
//! It starts the desktop again when it fails, so that a crash leaves a locked door and not an open one, and turns the machine off when
//! the desktop was closed. Words on the kernel's command line: `bulkhead.state=DEVICE` keeps state on an ext4 file system there;
//! without it nothing survives.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount, mount_bind_recursive, mount_move};
use rustix::process::{WaitOptions, chdir, chroot, wait};
use rustix::system::{RebootCommand, reboot};

/// The desktop is given so long to come up; one that ends sooner has failed.
const QUICK: Duration = Duration::from_secs(20);
/// After so many quick failures the machine is started anew.
const PATIENCE: u32 = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

fn main() {
    if std::process::id() != 1 {
        eprintln!("kiosk-init is the first program of a kiosk and does nothing anywhere else");
        std::process::exit(2);
    }
    let end = match prepare().and_then(|()| keep_running()) {
        Ok(()) => RebootCommand::PowerOff,
        Err(error) => {
            say(&format!("{error:#}"));
            // Long enough to be read.
            std::thread::sleep(Duration::from_secs(30));
            RebootCommand::Restart
        }
    };
    rustix::fs::sync();
    // Nothing follows: if this fails the kernel ends with us.
    let _ = reboot(end);
}

fn say(what: &str) {
    println!("kiosk: {what}");
}

fn prepare() -> Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (kind, place, flags, options) in [
        ("proc", "/proc", quiet, None),
        ("sysfs", "/sys", quiet, None),
        ("devtmpfs", "/dev", MountFlags::NOSUID, None),
        ("tmpfs", "/run", quiet, Some(c"mode=0755")),
        ("tmpfs", "/tmp", quiet, Some(c"mode=1777")),
    ] {
        mount(kind, place, kind, flags, options).with_context(|| format!("mount {place}"))?;
    }
    load_drivers()?;
    if let Some(device) = command_line_word("bulkhead.state")? {
        let place = "/var/lib";
        mount(device.as_str(), place, "ext4", quiet, None)
            .with_context(|| format!("mount {device}, which is to keep the state"))?;
    }
    become_ordinary_root()
}

/// Loads `/modules/*` in the order of `/modules/order`. A driver whose device is not there refuses, which is no failure.
fn load_drivers() -> Result<()> {
    let order = fs::read_to_string("/modules/order").context("read the order of drivers")?;
    let line = fs::read_to_string("/proc/cmdline").context("read the kernel's command line")?;
    for name in order.lines() {
        let file = File::open(format!("/modules/{name}")).with_context(|| name.to_owned())?;
        let parameters = parameters(&line, name)?;
        if let Err(error) = rustix::system::finit_module(&file, &parameters, 0)
            && error != rustix::io::Errno::EXIST
        {
            say(&format!("the driver {name} was not loaded: {error}"));
        }
    }
    Ok(())
}

/// What the kernel's command line has for a driver: its words `DRIVER.PARAMETER=VALUE`, in which `-` and `_` are the same.
fn parameters(line: &str, driver: &str) -> Result<CString> {
    let own = line.split_whitespace().filter_map(|word| {
        let (name, parameter) = word.split_once('.')?;
        (name.replace('-', "_") == driver).then_some(parameter)
    });
    Ok(CString::new(own.collect::<Vec<_>>().join(" "))?)
}

fn command_line_word(key: &str) -> Result<Option<String>> {
    let line = fs::read_to_string("/proc/cmdline").context("read the kernel's command line")?;
    let value = |word: &str| Some(word.strip_prefix(key)?.strip_prefix('=')?.to_owned());
    Ok(line.split_whitespace().find_map(value))
}

/// Puts the initramfs, mounted a second time, in front of itself: processes cannot leave the very first root behind, as a zone's jail
/// has to.
fn become_ordinary_root() -> Result<()> {
    mount_bind_recursive("/", "/root").context("mount the root again")?;
    chdir("/root")?;
    mount_move("/root", "/").context("move the root")?;
    chroot(".").context("take the root")?;
    chdir("/").context("enter the root")
}

/// Runs the desktop until it ends well.
fn keep_running() -> Result<()> {
    let arguments = fs::read_to_string("/etc/bulkhead/arguments").context("read the arguments")?;
    fs::create_dir_all("/var/lib/bulkhead").context("make the place for state")?;
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let mut desktop = Command::new("/usr/bin/bulkhead");
        desktop
            .args(arguments.lines())
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin")
            .env("HOME", "/var/lib/bulkhead")
            .env("XDG_STATE_HOME", "/var/lib")
            .env("XDG_DATA_HOME", "/usr/share")
            .process_group(0);
        let child = desktop.spawn().context("start bulkhead")?;
        let code = wait_for(child.id())?;
        if code == Some(0) {
            return Ok(());
        }
        let how = code.map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
        say(&format!("the desktop ended {how}"));
        failures = if began.elapsed() < QUICK {
            failures + 1
        } else {
            0
        };
        anyhow::ensure!(failures < PATIENCE, "the desktop does not come up");
        std::thread::sleep(PAUSE);
    }
}

/// Waits for one process and takes in all others that end meanwhile: the first program inherits every orphan. Its exit code; none
/// where a signal ended it.
fn wait_for(process: u32) -> Result<Option<i32>> {
    loop {
        let (ended, status) = wait(WaitOptions::empty())?.context("wait for the desktop")?;
        if u32::try_from(ended.as_raw_nonzero().get()) == Ok(process) {
            return Ok(status.exit_status());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_get_their_own_words_of_the_command_line() {
        let line =
            "quiet drm.edid_firmware=edid/panel.bin virtio-gpu.modeset=1 drm.debug=0x4 a.b\n";
        let of = |driver| parameters(line, driver).unwrap();
        assert_eq!(
            of("drm"),
            CString::from(c"edid_firmware=edid/panel.bin debug=0x4")
        );
        assert_eq!(of("virtio_gpu"), CString::from(c"modeset=1"));
        assert_eq!(of("quiet"), CString::default());
    }
}
