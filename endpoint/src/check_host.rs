//! `bulkhead check-host`: what this machine offers, found out by trying where that is harmless.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zone_jail::{Jail, Layer, Layers};

/// One line of the table.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub feature: String,
    /// Whether it can be used.
    pub usable: bool,
    /// What was found, or why it cannot be used.
    pub detail: String,
}

/// The whole table.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Its lines.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Looks at this machine. The process must have a single thread: the jail is tried in a child.
    #[must_use]
    pub fn collect() -> Self {
        let mut report = Self {
            findings: Vec::new(),
        };
        report.add("processors", processors());
        report.add("memory", memory());
        report.add("huge pages", huge_pages());
        report.add("KVM", kvm());
        report.add("userfaultfd", userfaultfd());
        report.jail();
        report.add("Wayland display", wayland());
        report.add("X11 display", x11());
        report.add("graphics device", graphics());
        report.add("input devices", input_devices());
        report.add("USB", usb());
        report
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn add(&mut self, feature: &str, found: Result<String, String>) {
        let usable = found.is_ok();
        let detail = found.unwrap_or_else(|reason| reason);
        self.findings.push(Finding {
            feature: feature.to_owned(),
            usable,
            detail,
        });
    }

    /// One line for each layer, as a zone process started by this user would get it.
    fn jail(&mut self) {
        let report = match Jail::new(Layers::default()).rehearse() {
            Ok(report) => report,
            Err(error) => return self.add("jail", Err(error.to_string())),
        };
        for layer in Layer::ALL {
            let missing = report
                .missing()
                .iter()
                .find(|(missing, _)| *missing == layer);
            let found = match missing {
                Some((_, reason)) => Err(reason.clone()),
                None if report.has(layer) => Ok("in force".to_owned()),
                None => Err("it was not tried".to_owned()),
            };
            self.add(&format!("jail: {layer}"), found);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .findings
            .iter()
            .map(|finding| finding.feature.len())
            .max()
            .unwrap_or(0);
        for Finding {
            feature,
            usable,
            detail,
        } in &self.findings
        {
            let mark = if *usable { "yes" } else { "no " };
            writeln!(formatter, "{feature:width$}  {mark}  {detail}")?;
        }
        Ok(())
    }
}

fn processors() -> Result<String, String> {
    let count = std::thread::available_parallelism().map_err(|error| error.to_string())?;
    Ok(format!("{count}, {}", std::env::consts::ARCH))
}

/// A line such as `MemAvailable:  16384 kB` of /proc/meminfo.
fn meminfo(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn memory() -> Result<String, String> {
    let total = meminfo("MemTotal").ok_or("/proc/meminfo does not say")?;
    let available = meminfo("MemAvailable").unwrap_or(0);
    let enough = format!(
        "{} MiB, {} MiB of it available",
        total / 1024,
        available / 1024
    );
    // Two zones of the usual size.
    if available >= 1_200_000 {
        Ok(enough)
    } else {
        Err(format!("{enough}: too little for two zones of 512 MiB"))
    }
}

fn huge_pages() -> Result<String, String> {
    let transparent = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .map_err(|_| "this kernel has no transparent huge pages".to_owned())?;
    let chosen = transparent
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
        .unwrap_or("unknown");
    let reserved = meminfo("HugePages_Total").unwrap_or(0);
    let found = format!("transparent: {chosen}; reserved: {reserved}");
    if chosen == "never" {
        Err(found)
    } else {
        Ok(found)
    }
}

fn opens(path: &str) -> Result<File, String> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no {path}"),
            _ => format!("{path}: {error}"),
        })
}

fn kvm() -> Result<String, String> {
    opens("/dev/kvm").map(|_| "/dev/kvm opens".to_owned())
}

fn userfaultfd() -> Result<String, String> {
    if opens("/dev/userfaultfd").is_ok() {
        return Ok("/dev/userfaultfd opens".to_owned());
    }
    let unprivileged = fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd")
        .map_err(|_| "this kernel has no userfaultfd".to_owned())?;
    match unprivileged.trim() {
        "1" => Ok("for every user".to_owned()),
        _ if rustix::process::geteuid().is_root() => Ok("for root alone".to_owned()),
        _ => Err("not for this user; grant access to /dev/userfaultfd or set vm.unprivileged_userfaultfd to 1".to_owned()),
    }
}

fn wayland() -> Result<String, String> {
    let name = std::env::var_os("WAYLAND_DISPLAY").ok_or("WAYLAND_DISPLAY is not set")?;
    let directory = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    connects(&directory.join(name))
}

fn x11() -> Result<String, String> {
    let display = std::env::var("DISPLAY").map_err(|_| "DISPLAY is not set".to_owned())?;
    let Some(number) = display.strip_prefix(':') else {
        return Ok(format!("{display}, not on this machine: not tried"));
    };
    let number = number.split('.').next().unwrap_or_default();
    connects(&Path::new("/tmp/.X11-unix").join(format!("X{number}")))
}

fn connects(path: &Path) -> Result<String, String> {
    match UnixStream::connect(path) {
        Ok(_) => Ok(format!("{} answers", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Entries of a directory whose names begin so, sorted.
fn entries(directory: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(listing) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let fits = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    let mut found: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(fits)
        .collect();
    found.sort();
    found
}

fn graphics() -> Result<String, String> {
    let cards = entries("/dev/dri", "card");
    let usable = cards
        .iter()
        .find(|card| OpenOptions::new().read(true).write(true).open(card).is_ok());
    match usable {
        Some(card) => Ok(format!("{} opens", card.display())),
        None if cards.is_empty() => Err("there is no /dev/dri/card*".to_owned()),
        None => Err("none of /dev/dri/card* opens for this user".to_owned()),
    }
}

fn input_devices() -> Result<String, String> {
    let devices = entries("/dev/input", "event");
    let usable = devices
        .iter()
        .filter(|device| File::open(device).is_ok())
        .count();
    match (devices.len(), usable) {
        (0, _) => Err("there is no /dev/input/event*".to_owned()),
        (all, 0) => Err(format!(
            "none of {all} opens for this user (only the kiosk needs them)"
        )),
        (all, usable) => Ok(format!("{usable} of {all} open")),
    }
}

fn usb() -> Result<String, String> {
    let buses = entries("/sys/bus/usb/devices", "usb").len();
    if buses == 0 {
        return Err("there is no USB bus".to_owned());
    }
    let devices = entries("/sys/bus/usb/devices", "")
        .len()
        .saturating_sub(buses);
    let nodes = entries("/dev/bus/usb", "");
    let found = format!("{buses} buses, {devices} devices and interfaces");
    if nodes.is_empty() {
        Err(format!("{found}, but no /dev/bus/usb"))
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_finding_in_columns() {
        let finding = |feature: &str, usable, detail: &str| Finding {
            feature: feature.into(),
            usable,
            detail: detail.into(),
        };
        let report = Report {
            findings: vec![
                finding("KVM", false, "there is no /dev/kvm"),
                finding("memory", true, "4096 MiB"),
            ],
        };
        assert_eq!(
            report.to_string(),
            "KVM     no   there is no /dev/kvm\nmemory  yes  4096 MiB\n"
        );
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["findings"][0]["usable"], false);
    }

    #[test]
    fn memory_and_processors_are_found_on_every_linux() {
        assert!(processors().unwrap().ends_with(std::env::consts::ARCH));
        assert!(meminfo("MemTotal").unwrap() > 0);
        assert_eq!(meminfo("NoSuchLine"), None);
    }
}
