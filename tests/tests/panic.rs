//! A guest whose kernel panics: the endpoint says so, whether that was before its drivers were loaded or after, and the kernel's last
//! words are in the zone's console log, once.

use e2e::{Desktop, image_with_init};

/// Mounts what the rest needs.
const BEGIN: &str = "#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\n/bin/busybox mount -t devtmpfs dev /dev\n";
/// Loads the drivers of transport and disk; the console device comes with them.
const DRIVERS: &str = "while read -r module options; do /bin/busybox insmod \"/modules/$module\" $options; done </modules/root\n\
                       /bin/busybox sleep 1\n";
const PANIC: &str =
    "echo \"<1>panics-$((6*7))\" >/dev/kmsg\n/bin/busybox sleep 1\necho c >/proc/sysrq-trigger\n";

#[test]
fn a_panic_is_told_and_its_words_are_kept_once() {
    let store = tempfile::tempdir().unwrap();
    image_with_init("early", &[BEGIN, PANIC].concat(), store.path());
    image_with_init("late", &[BEGIN, DRIVERS, PANIC].concat(), store.path());
    let desktop = Desktop::new((1024, 768), &["before", "after"])
        .logged()
        .with_images(store.path(), &["early", "late"]);
    let script = "wait-state before panicked timeout 120\nkill before\nwait-state after panicked timeout 120\nkill after\nquit\n";
    desktop.play(script).succeeded();
    for zone in ["before", "after"] {
        let console = desktop.console_of(zone);
        for words in [
            "panics-42",
            "Kernel panic - not syncing: sysrq triggered crash",
        ] {
            assert_eq!(
                console.matches(words).count(),
                1,
                "{zone}: {words}\n{console}"
            );
        }
    }
    let log = std::fs::read_to_string(desktop.file("state/audit/audit-00000001.log")).unwrap();
    assert_eq!(log.matches("panicked").count(), 2, "{log}");
}
