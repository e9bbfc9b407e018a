//! The kernel's own collection of report descriptors: `drivers/hid/*.c` of Debian's package linux-source-6.1, fetched by apt into the cache, read as
//! data and never built.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Each report descriptor with the name it has there; equal ones once.
pub fn report_descriptors() -> Vec<(String, Vec<u8>)> {
    // Tests run side by side, and there is one cache.
    static CACHE: Mutex<()> = Mutex::new(());
    let _alone = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-kernel-source");
    let folder = cache.join("linux-source-6.1/drivers/hid");
    if !cache.join("complete").exists() {
        fetch(&cache);
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&folder)
        .expect("the drivers' folder")
        .flatten()
    {
        if entry
            .path()
            .extension()
            .is_none_or(|extension| extension != "c")
        {
            continue;
        }
        let source =
            String::from_utf8_lossy(&fs::read(entry.path()).expect("a source")).into_owned();
        let file = entry.file_name().to_string_lossy().into_owned();
        for (name, bytes) in arrays(&without_comments(&source)) {
            // A whole descriptor opens a collection and ends with its end.
            if bytes.len() > 20 && bytes.last() == Some(&0xc0) && bytes.contains(&0xa1) {
                found
                    .entry(bytes)
                    .or_insert_with(|| format!("{file} {name}"));
            }
        }
    }
    found
        .into_iter()
        .map(|(bytes, name)| (name, bytes))
        .collect()
}

fn fetch(cache: &Path) {
    fs::create_dir_all(cache).expect("make the cache");
    let run = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).status();
        let good = status.is_ok_and(|status| status.success());
        assert!(
            good,
            "{command:?} failed; it needs apt, dpkg, tar and xz-utils, and apt-get update before"
        );
    };
    run(Command::new("apt-get")
        .args([
            "-q",
            "-o",
            "APT::Sandbox::User=root",
            "download",
            "linux-source-6.1",
        ])
        .current_dir(cache));
    // The package holds one compressed archive, of which a single folder is wanted.
    run(Command::new("sh")
        .args(["-ec", "dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -x --wildcards -O './usr/src/linux-source-6.1.tar.xz' | tar -x -J --wildcards 'linux-source-6.1/drivers/hid/*.c'; rm linux-source-6.1_*.deb"])
        .current_dir(cache));
    fs::write(cache.join("complete"), "").expect("mark the cache");
}

fn without_comments(source: &str) -> String {
    let mut text = String::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every `name[] = { numbers }` that holds nothing but bytes in hexadecimal.
fn arrays(source: &str) -> Vec<(String, Vec<u8>)> {
    let mut arrays = Vec::new();
    for (at, _) in source.match_indices('{') {
        let before = source[..at].trim_end().strip_suffix('=').map(str::trim_end);
        let Some(declared) = before.and_then(|before| before.strip_suffix(']')) else {
            continue;
        };
        let name = declared
            .rsplit_once('[')
            .and_then(|(left, _)| left.split_whitespace().last())
            .unwrap_or_default();
        let Some((body, _)) = source[at + 1..].split_once('}') else {
            continue;
        };
        let bytes: Option<Vec<u8>> = body
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| u8::from_str_radix(word.strip_prefix("0x")?, 16).ok())
            .collect();
        arrays.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
    }
    arrays
}
