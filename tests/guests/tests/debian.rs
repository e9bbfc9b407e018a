//! Debian's own programs, as they come from the archive: their answers are those that other machines and the standards give.
//!
//! `debian/` holds a script for each, what it reads, and in `.expected` what it must print: the answers of the same programs
//! on an x86-64 host, of other implementations, or of the standard that is named in the script.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use guest_image::FileName;
use guests::{DEBIAN_LEFT_OUT, DEBIAN_PACKAGES, Guest, debian_scripts, image, initramfs, root_of};
use zone_machine::sbi::Ending;

#[test]
fn programs_of_debian_give_known_answers() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (expected, programs): (Vec<PathBuf>, Vec<PathBuf>) = fs::read_dir(debian_scripts())
        .expect("the scripts")
        .map(|entry| entry.expect("a script").path())
        .partition(|path| path.extension().is_some_and(|end| end == "expected"));
    let drivers = image().path(FileName::Initramfs);
    let outcome = Guest {
        harts: 2,
        memory_mib: 1024,
        arguments: "volume=vda",
        initramfs: &initramfs(&programs, Some(&drivers), folder.path()),
        volume: Some(&root_of(&DEBIAN_PACKAGES, &DEBIAN_LEFT_OUT)),
        debugger: None,
        meanwhile: None,
        limit: Duration::from_secs(400),
    }
    .run();
    assert!(expected.len() >= 6, "{expected:?}");
    let mut wrong = Vec::new();
    for path in &expected {
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("a name");
        let text = fs::read_to_string(path).expect("what is expected");
        let (end, said) = (outcome.end_of(name), outcome.said(name).join("\n"));
        if end != Some("exit 0") || said != text.trim_end() {
            wrong.push(format!("{name}: {end:?}\n{said}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n\n{}",
        wrong.join("\n\n"),
        outcome.tail()
    );
    assert_eq!(outcome.ending, Some(Ending::Off), "{}", outcome.tail());
}
