//! A persistent zone's home: what was written is there after the guest was shut down, after its process was killed, and after the
//! endpoint itself was started anew.

use e2e::Desktop;

#[test]
fn what_is_written_at_home_is_kept() {
    let desktop = Desktop::new((800, 600), &["work"]).persistent();
    let tell = |text: &str| format!("type ({text}) | tee /dev/hvc0\nkey Return\n");
    let begin = "wait-ready work\nfocus work\nwait-still work 3\n";
    let script = [
        begin,
        &tell("echo first-$((6*7)) >~/first; sync; cat ~/first"),
        "wait-console work first-42 timeout 60\npower work\nwait-state work off timeout 60\nstart work\n",
        begin,
        &tell("cat ~/first; echo second-$((6*7)) >~/second; sync; echo synced-$((6*7))"),
        "wait-console work first-42 timeout 60\nwait-console work synced-42 timeout 60\nkill work\nquit\n",
    ]
    .concat();
    desktop.play(&script).succeeded();
    let script = [
        begin,
        &tell("cat ~/first ~/second"),
        "wait-console work first-42 timeout 60\nwait-console work second-42 timeout 60\nquit\n",
    ]
    .concat();
    desktop.play(&script).succeeded();
}
