//! Two stock Debian guests on one desktop: each does what it is told, and nothing of it reaches the other.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::Desktop;

/// A command whose text on the screen differs from what it prints, so that an echo of the typing proves nothing.
const COMMAND: &str = "type echo $((6*7))-from-$(hostname) | tee /dev/hvc0\nkey Return";
/// The background of a zone's first terminal: `XTerm*background` in the image's `Xresources`.
const TERMINAL: [u8; 3] = [0x14, 0x18, 0x1d];

#[test]
fn what_happens_in_one_zone_stays_there() {
    let desktop = Desktop::new((1600, 900), &["open", "corp"]).logged();
    let script = format!(
        "wait-ready open\nwait-ready corp\nfocus open\nfocus corp\nwait-still open 5\nwait-still corp 5\nscreenshot before.png\n\
         move 1200 600\nwait-still corp 3\nscreenshot pointed.png\nmove 800 4\n\
         {COMMAND}\nwait-console corp 42-from-corp timeout 60\nwait-still corp 3\nscreenshot after.png\n\
         kill corp\nfocus open\nsleep 1\nscreenshot killed.png\n\
         {COMMAND}\nwait-console open 42-from-open timeout 60\nwait-still open 3\nscreenshot survivor.png\n\
         type date +time:%s: | tee /dev/hvc0\nkey Return\nwait-console open time: timeout 60\nquit\n"
    );
    let played = desktop.play(&script).succeeded();
    let [before, pointed, after, killed, survivor] =
        ["before", "pointed", "after", "killed", "survivor"]
            .map(|name| played.picture(&format!("{name}.png")));
    let (open, corp) = (before.client_area(0), before.client_area(1));

    // Each desktop holds a terminal of a useful size.
    for zone in [open, corp] {
        let terminal = zone
            .pixels()
            .filter(|(x, y)| before.pixel(*x, *y) == TERMINAL)
            .count();
        assert!(
            terminal > zone.pixels().count() / 3,
            "the terminal has {terminal} pixels"
        );
    }

    // The guest's pointer is an arrow or a bar, and what is around it shows through.
    let pointer = before.differences(&pointed, corp);
    assert!(
        (20..1000).contains(&pointer),
        "the pointer has {pointer} pixels"
    );

    // The command and its output are to be seen in corp: some thirty characters and a new prompt.
    let drawn = before.differences(&after, corp);
    assert!(drawn > 500, "only {drawn} pixels of corp changed");
    // Not one pixel of open changed, so not one key of it arrived there either: its terminal would have shown it.
    assert_eq!(before.differences(&after, open), 0);

    // The killed zone's window has gone dark behind a frame that is where it was.
    assert_eq!(killed.client_area(1), corp);
    let lit = corp
        .pixels()
        .filter(|(x, y)| killed.pixel(*x, *y) == after.pixel(*x, *y))
        .count();
    assert!(
        lit < corp.pixels().count() / 10,
        "{lit} pixels of the killed zone are still shown"
    );
    // The other zone goes on as if nothing had happened.
    assert_eq!(after.differences(&killed, open), 0);
    let drawn = killed.differences(&survivor, open);
    assert!(drawn > 500, "only {drawn} pixels of open changed");
    assert_eq!(killed.differences(&survivor, corp), 0);

    // It knows the time of day.
    let log = desktop.console_of("open");
    let told = log
        .split("time:")
        .nth(1)
        .and_then(|rest| rest.split(':').next());
    let told: u64 = told.and_then(|seconds| seconds.parse().ok()).expect(&log);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(now.as_secs().abs_diff(told) < 600, "{told}");
}
