//! A USB device of the endpoint in a stock guest: what it sends arrives at the guest's own input layer, every X server takes it, and the emergency chord
//! takes it back.

use std::fmt::Write;
use std::time::{Duration, Instant};

use e2e::Desktop;

/// A mouse of 1000 reports a second, with 16-bit axes: what merges under pressure still adds up.
const MOUSE: &str = "speed high\nproduct Whole system mouse\nreport 0 05 01 09 02 a1 01 05 09 19 01 29 08 15 00 25 01 95 08 75 01 81 02 \
                     05 01 09 30 09 31 16 01 80 26 ff 7f 75 10 95 02 81 06 c0\n";
const RULES: &str = "[[flow]]\nname = \"mice\"\nkind = \"usb\"\nto = \"work\"\nverdict = \"allow\"\nwhen = { usb = \"usage=mouse changed=no\" }\n";
const REPORTS: u32 = 2000;
/// The guest loads its drivers, and the device is found, before the first report.
const BEGIN: u32 = 30_000;

/// One count of motion a report; the left button changes every 50 reports, and the right one ends it.
fn script() -> String {
    let mut script = String::new();
    for step in 0..REPORTS {
        let left = step / 50 % 2;
        writeln!(script, "{} 81 0{left} 01 00 00 00", BEGIN + step).unwrap();
    }
    writeln!(script, "{} 81 02 00 00 00 00", BEGIN + REPORTS).unwrap();
    script
}

/// Reads the mouse's events in the guest; prints what came, whether the X server has taken the mouse, and then that it is gone. It outlives the X server.
/// The text that is waited for is not in what is typed.
const READER: &str = concat!(
    r#"perl -e '$|=1;$SIG{HUP}="IGNORE";while(!$e){sleep 1;for(glob"/sys/class/input/event*"){open N,"$_/device/name";$e="/dev/input/$1""#,
    r#" if<N>=~/Whole/&&/(event.*)/}}sleep 1 until open F,$e;while(sysread F,$b,24){($s,$u,$t,$c,$v)=unpack"qqSSl",$b;"#,
    r#"$x+=$v,$n++ if$t==2&&$c==0;$k++ if$c==272;"#,
    r#"if($c==273){open L,"/run/user/1000/xorg.log";$d=grep/driver .evdev. for .*Whole/,<L>;print"moved=$x clicks=$k server=$d reports=$n\n"}}print"pulled-"."out\n"' >/dev/hvc0 &"#
);
/// Ends the X server, and tells when the next one has taken the mouse.
const RESTART: &str = concat!(
    r#"perl -e '$|=1;$SIG{HUP}="IGNORE";$l="/run/user/1000/xorg.log";open P,"/tmp/.X0-lock";$p=<P>+0;unlink$l;kill 15,$p;for(1..60){sleep 1;"#,
    r#"open L,$l or next;print("taken-"."again\n"),last if grep/driver .evdev. for .*Whole/,<L>}' >/dev/hvc0 &"#
);

#[test]
fn a_usb_mouse_of_the_endpoint_moves_in_a_stock_guest() {
    let desktop = Desktop::new((1024, 768), &["work"]).with_rules(RULES);
    std::fs::write(desktop.file("mouse.txt"), MOUSE).unwrap();
    std::fs::write(desktop.file("moves.txt"), script()).unwrap();
    let played = std::thread::scope(|scope| {
        let desk = &desktop;
        let playing = scope.spawn(move || {
            desk.play(&format!(
                "wait-ready work\nfocus work\ntype {READER}\nkey Return\n\
                 wait-console work moved={REPORTS} clicks={clicks} server=1 timeout 120\n\
                 type {RESTART}\nkey Return\nwait-console work taken-again timeout 60\n\
                 key super+shift+BackSpace\nwait-console work pulled-out timeout 30\nquit\n",
                clicks = REPORTS / 50,
            ))
        });
        // The desktop opens its door early; the device then waits for the zone.
        let begin = Instant::now();
        let plugged = loop {
            let said = desk.usb(&["simulate", "mouse.txt", "--script", "moves.txt"]);
            if said.status.success() || begin.elapsed() > Duration::from_secs(60) {
                break said;
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        assert!(plugged.status.success(), "{plugged:?}");
        playing.join().unwrap()
    });
    played.succeeded();
}
