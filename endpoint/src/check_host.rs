//! What this machine offers, for `bulkhead check-host`: one row for each thing that a session uses or could use.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::Serialize;
use zone_jail::{Jail, Layers};

/// How much of a thing is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Usable.
    Yes,
    /// Usable with the limits that the detail names.
    Partly,
    /// Not usable.
    No,
}

/// One thing a session uses.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Row {
    /// What.
    pub what: &'static str,
    /// How much of it is there.
    pub verdict: Verdict,
    /// What was found, and what follows from it.
    pub detail: String,
}

/// Looks at everything. To be called before the process has threads, since the jail is tried out in a child.
#[must_use]
pub fn survey() -> Vec<Row> {
    vec![
        cores(),
        memory(),
        huge_pages(),
        kvm(),
        userfaultfd(),
        jail(),
        displays(),
        kernel_display(),
        usb(),
    ]
}

/// The rows as a table for people.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let verdict = match row.verdict {
            Verdict::Yes => "yes",
            Verdict::Partly => "partly",
            Verdict::No => "no",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {verdict:6}  {}", row.what, row.detail);
    }
    text
}

fn row(what: &'static str, verdict: Verdict, detail: impl Into<String>) -> Row {
    Row {
        what,
        verdict,
        detail: detail.into(),
    }
}

fn cores() -> Row {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let verdict = if count >= 2 {
        Verdict::Yes
    } else {
        Verdict::Partly
    };
    row(
        "processor cores",
        verdict,
        format!("{count}; each zone runs its harts on threads of its own"),
    )
}

fn memory() -> Row {
    let available = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| field_kib(&text, "MemAvailable:"));
    match available {
        Some(kib) => {
            let mib = kib / 1024;
            let verdict = if mib >= 1536 {
                Verdict::Yes
            } else {
                Verdict::Partly
            };
            row(
                "memory",
                verdict,
                format!(
                    "{mib} MiB available; a zone takes 512 MiB unless its policy says otherwise"
                ),
            )
        }
        None => row("memory", Verdict::Partly, "/proc/meminfo cannot be read"),
    }
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
}

fn huge_pages() -> Row {
    match fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled") {
        Ok(modes) if modes.contains("[never]") => row(
            "huge pages",
            Verdict::No,
            "transparent huge pages are off; zones run a little slower",
        ),
        Ok(modes) => row(
            "huge pages",
            Verdict::Yes,
            format!("transparent, mode {}", chosen(&modes)),
        ),
        Err(_) => row(
            "huge pages",
            Verdict::No,
            "this kernel has no transparent huge pages; zones run a little slower",
        ),
    }
}

/// The word in brackets.
fn chosen(modes: &str) -> &str {
    modes
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(modes.trim(), |(mode, _)| mode)
}

fn kvm() -> Row {
    const MEANING: &str =
        "zones run translated in any case; hardware virtualisation is not used yet";
    match File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => row("KVM", Verdict::Yes, format!("/dev/kvm opens; {MEANING}")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => row(
            "KVM",
            Verdict::No,
            format!("/dev/kvm is there, but not for this user (group kvm); {MEANING}"),
        ),
        Err(_) => row(
            "KVM",
            Verdict::No,
            format!("there is no /dev/kvm; {MEANING}"),
        ),
    }
}

fn userfaultfd() -> Row {
    if File::options()
        .read(true)
        .write(true)
        .open("/dev/userfaultfd")
        .is_ok()
    {
        return row("userfaultfd", Verdict::Yes, "/dev/userfaultfd opens");
    }
    match fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd") {
        Ok(text) if text.trim() == "1" => {
            row("userfaultfd", Verdict::Yes, "allowed for every user")
        }
        Ok(_) => row(
            "userfaultfd",
            Verdict::Partly,
            "only for faults of user mode; live snapshots will need more",
        ),
        Err(_) => row(
            "userfaultfd",
            Verdict::No,
            "this kernel has none; live snapshots will need it",
        ),
    }
}

fn jail() -> Row {
    match Jail::new(Layers::default()).rehearse() {
        Ok(report) if report.missing().is_empty() => row(
            "jail",
            Verdict::Yes,
            format!("all {} layers can be closed", report.in_force().len()),
        ),
        Ok(report) => {
            let missing: Vec<String> = report
                .missing()
                .iter()
                .map(|(layer, reason)| format!("{layer} ({reason})"))
                .collect();
            row(
                "jail",
                Verdict::Partly,
                format!("missing: {}", missing.join(", ")),
            )
        }
        Err(error) => row("jail", Verdict::No, error.to_string()),
    }
}

fn displays() -> Row {
    let found: Vec<String> = ["WAYLAND_DISPLAY", "DISPLAY"]
        .into_iter()
        .filter_map(|name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .map(|value| format!("{name}={value}"))
        })
        .collect();
    if found.is_empty() {
        row(
            "window system",
            Verdict::No,
            "neither WAYLAND_DISPLAY nor DISPLAY is set; use `run --headless`",
        )
    } else {
        row("window system", Verdict::Yes, found.join(", "))
    }
}

fn kernel_display() -> Row {
    let cards = entries("/dev/dri", "card");
    if cards.is_empty() {
        row(
            "display without a window system",
            Verdict::No,
            "there is no /dev/dri/card*",
        )
    } else {
        row(
            "display without a window system",
            Verdict::Partly,
            format!("{} (not used yet)", cards.join(", ")),
        )
    }
}

fn usb() -> Row {
    let buses = entries("/dev/bus/usb", "");
    if buses.is_empty() {
        row("USB", Verdict::No, "no bus under /dev/bus/usb")
    } else {
        row(
            "USB",
            Verdict::Yes,
            format!(
                "{} under /dev/bus/usb",
                counted(buses.len(), "bus", "buses")
            ),
        )
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn entries(directory: &str, prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(Path::new(directory)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let rows = [
            row("KVM", Verdict::No, "none"),
            row("memory", Verdict::Partly, "little"),
        ];
        assert_eq!(
            table(&rows),
            "KVM     no      none\nmemory  partly  little\n"
        );
    }

    #[test]
    fn kernel_files_are_read_as_they_are_written() {
        assert_eq!(
            field_kib("MemTotal: 5 kB\nMemAvailable:   2048 kB\n", "MemAvailable:"),
            Some(2048)
        );
        assert_eq!(field_kib("MemAvailable: many", "MemAvailable:"), None);
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
    }
}
