//! Snapshots of a guest's memory while it boots and works: each is what was there at its instant, and the guest notices nothing.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use guest_image::FileName;
use guests::{
    DEBIAN_LEFT_OUT, DEBIAN_PACKAGES, Guest, compile, debian_scripts, image, initramfs, root_of,
};
use zone_machine::machine::{Machine, SNAPSHOT_ROOM};
use zone_machine::sbi::Ending;
use zone_translate::{PageBytes, Ram, SaveError, SnapshotError};

/// Programs of ours that change code while they run it, and fault at each turn.
const OWN: [&str; 3] = ["faults", "jit", "self-modifying"];
/// Debian's, which read their files from the volume.
const DEBIANS: [&str; 2] = ["lua", "sqlite"];
const PAGE: usize = size_of::<PageBytes>();

/// Snapshots that were compared, and those that were taken as quickly as the machine gives them.
static COMPARED: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

fn everything(ram: &Ram) -> Vec<PageBytes> {
    let pages = (ram.base()..ram.base() + ram.length()).step_by(PAGE);
    pages.filter_map(|at| ram.load_page(at)).collect()
}

fn take_snapshots(machine: &Machine, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let begun = machine.snapshot(everything);
        let (saver, then) = match begun {
            Ok(begun) => begun,
            // The guest's disk is slow today.
            Err(SnapshotError::Unsettled) => continue,
            Err(error) => panic!("{error}"),
        };
        let (mut count, mut order) = (0, 0);
        let saved = saver.save(|offset, bytes| {
            let page = usize::try_from(offset).expect("an offset") / PAGE;
            assert!(bytes == &then[page], "page {page} is not what it was");
            (count, order) = (count + 1, order + page);
            Ok::<(), ()>(())
        });
        match saved {
            Ok(()) => {
                let pages = then.len();
                assert_eq!(
                    (count, order),
                    (pages, pages * (pages - 1) / 2),
                    "each page once"
                );
                COMPARED.fetch_add(1, Ordering::Relaxed);
            }
            // The guest has ended.
            Err(SaveError::Cancelled) => break,
            Err(error) => panic!("{error}"),
        }
        for _ in 0..5 {
            let Ok((saver, ())) = machine.snapshot(|_| ()) else {
                continue;
            };
            let mut left = SNAPSHOT_ROOM * 20;
            let saved = saver.save(|_, _| {
                left = left.saturating_sub(1);
                if left == 0 { Err(()) } else { Ok(()) }
            });
            assert_ne!(saved, Ok(()), "a part is enough");
            TAKEN.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn each_is_what_was_there_and_the_guest_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut programs: Vec<PathBuf> = fs::read_dir(debian_scripts())
        .expect("the scripts")
        .map(|entry| entry.expect("a script").path())
        .filter(|path| {
            let name = path.file_stem().and_then(|name| name.to_str());
            name.is_some_and(|name| DEBIANS.contains(&name))
                && path.extension().is_none_or(|end| end != "expected")
        })
        .collect();
    programs.extend(OWN.map(|name| compile(name, folder.path())));
    let drivers = image().path(FileName::Initramfs);
    let outcome = Guest {
        harts: 2,
        memory_mib: 256,
        arguments: "volume=vda",
        initramfs: &initramfs(&programs, Some(&drivers), folder.path()),
        volume: Some(&root_of(&DEBIAN_PACKAGES, &DEBIAN_LEFT_OUT)),
        debugger: None,
        meanwhile: Some(take_snapshots),
        limit: Duration::from_secs(400),
    }
    .run();
    for name in OWN {
        let (end, said) = (outcome.end_of(name), outcome.said(name));
        assert_eq!(end, Some("exit 0"), "{name}\n{}", outcome.tail());
        assert_eq!(said.last(), Some(&"ok"), "{name}\n{}", outcome.tail());
    }
    for name in DEBIANS {
        let expected = debian_scripts().join(format!("{name}.expected"));
        let text = fs::read_to_string(expected).expect("what is expected");
        assert_eq!(outcome.end_of(name), Some("exit 0"), "{}", outcome.tail());
        assert_eq!(outcome.said(name).join("\n"), text.trim_end(), "{name}");
    }
    assert_eq!(outcome.ending, Some(Ending::Off), "{}", outcome.tail());
    let (compared, taken) = (
        COMPARED.load(Ordering::Relaxed),
        TAKEN.load(Ordering::Relaxed),
    );
    eprintln!("{compared} snapshots were compared, {taken} taken in part");
    assert!(compared >= 5 && taken >= 25, "{compared}, {taken}");
}
