//! GDB on a zone of a running desktop, through `bulkhead zone debug` and the zone's jail: it stops the stock guest's kernel at a place,
//! looks, steps, and goes away; the guest goes on.

use e2e::Desktop;

#[test]
fn gdb_stops_a_zone_steps_and_leaves_it() {
    let desktop = Desktop::new((800, 600), &["work"]).debugged();
    let script = "wait-ready work\nfocus work\nwait-still work 3\nscreenshot ready.png\nwait-policy 2 timeout 180\n\
                  type echo $((6*7))-goes-on | tee /dev/hvc0\nkey Return\nwait-console work 42-goes-on timeout 60\nquit\n";
    let running = desktop.wait_for("ready.png", desktop.start(script));
    // Every trap of the guest's kernel begins where `stvec` says.
    let said = desktop.gdb(
        "work",
        &[
            "set $entry = $stvec",
            "printf \"mode %lu\\n\", $satp >> 60 & 15",
            "printf \"before %x %x\\n\", *(unsigned *)$entry, *(unsigned *)($entry + 4)",
            "break *$entry",
            "continue",
            "printf \"stopped %d\\n\", $pc == $entry",
            "printf \"there %x %x\\n\", *(unsigned *)$entry, *(unsigned *)($entry + 4)",
            "stepi",
            "printf \"stepped %d\\n\", $pc - $entry",
            "continue",
            "printf \"again %d\\n\", $pc == $entry",
            "info registers sp scause sepc",
            "delete",
            "detach",
        ],
    );
    let line = |start: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(start));
        found.unwrap_or_else(|| panic!("no `{start}` in what GDB said:\n{said}"))
    };
    assert!(["8", "9"].contains(&line("mode ")), "{said}");
    assert_eq!(line("stopped "), "1", "{said}");
    assert_eq!(line("before "), line("there "), "{said}");
    assert_eq!(line("stepped "), "4", "{said}");
    assert_eq!(line("again "), "1", "{said}");
    line("scause ");
    line("[Inferior 1 (");
    // The guest does what it is told as if nothing had happened.
    desktop.replace_policy(2, "");
    desktop.finish(running).succeeded();
}
