//! USB devices of the endpoint in a stock guest: what they send arrives at the guest's own input layer and its X server, in the zone's layout, also after
//! that server was started again; and the emergency chord takes them back.

use std::fmt::Write;
use std::time::{Duration, Instant};

use e2e::Desktop;

/// A mouse of 1000 reports a second, with 16-bit axes: what merges under pressure still adds up.
const MOUSE: &str = "speed high\nproduct Whole system mouse\nreport 0 05 01 09 02 a1 01 05 09 19 01 29 08 15 00 25 01 95 08 75 01 81 02 \
                     05 01 09 30 09 31 16 01 80 26 ff 7f 75 10 95 02 81 06 c0\n";
/// A boot keyboard.
const KEYBOARD: &str = "speed full\nproduct Whole system keyboard\nreport 0 05 01 09 06 a1 01 05 07 19 e0 29 e7 15 00 25 01 75 01 95 08 81 02 95 01 75 08 81 01 \
                        95 05 75 01 05 08 19 01 29 05 91 02 95 01 75 03 91 01 95 06 75 08 15 00 25 65 05 07 19 00 29 65 81 00 c0\n";
const RULES: &str = "[[flow]]\nname = \"keyboards and mice\"\nkind = \"usb\"\nto = \"work\"\nverdict = \"allow\"\nwhen = { usb = \"usage=keyboard,mouse changed=no\" }\n";
/// The Polish layout is the American one, with more letters behind the right Alt key.
const LAYOUT: &str = "pl";
const LINE: &str = "echo ą | od -tx1 >/dev/hvc0\n";
/// What the shell makes of it: the letter in UTF-8.
const TYPED: &str = "c4 85";
const REPORTS: u32 = 2000;
/// The guest loads its drivers, and the keyboard types, before the mouse's first report.
const BEGIN: u32 = 20_000;

/// One count of motion a report; the left button changes every 50 reports, and the right one ends it.
fn moves() -> String {
    let mut script = String::new();
    for step in 0..REPORTS {
        let left = step / 50 % 2;
        writeln!(script, "{} 81 0{left} 01 00 00 00", BEGIN + step).unwrap();
    }
    writeln!(script, "{} 81 02 00 00 00 00", BEGIN + REPORTS).unwrap();
    script
}

/// The line, again and again; each time what was begun is rubbed out first.
fn types() -> String {
    const CONTROL: u8 = 1;
    const SHIFT: u8 = 2;
    const RIGHT_ALT: u8 = 0x40;
    let mut script = String::new();
    let mut time = 1000;
    for _ in 0..80 {
        let keys = LINE.chars().map(|letter| match letter {
            'a'..='z' => (0, 4 + u32::from(letter) - u32::from('a')),
            '1'..='9' => (0, 0x1e + u32::from(letter) - u32::from('1')),
            '0' => (0, 0x27),
            '\n' => (0, 0x28),
            ' ' => (0, 0x2c),
            '-' => (0, 0x2d),
            '/' => (0, 0x38),
            '>' => (SHIFT, 0x37),
            '|' => (SHIFT, 0x31),
            'ą' => (RIGHT_ALT, 4),
            other => panic!("no key for {other}"),
        });
        for (modifiers, usage) in [(CONTROL, 0x18)].into_iter().chain(keys) {
            writeln!(
                script,
                "{time} 81 {modifiers:02x} 00 {usage:02x} 00 00 00 00 00"
            )
            .unwrap();
            writeln!(script, "{} 81 00 00 00 00 00 00 00 00", time + 30).unwrap();
            time += 60;
        }
        time += 1000;
    }
    script
}

/// Reads the mouse's events in the guest; prints what came, and how many devices the X server has taken. Then it ends the X server, and tells when the
/// next one has taken them, too, and has its agent; and when the mouse is gone. The text that is waited for is not in what is typed.
const READER: &str = concat!(
    r#"perl -e '$|=1;$SIG{HUP}="IGNORE";$l="/run/user/1000/xorg.log";sub d{open L,$l;scalar grep/driver .evdev. for .*Whole/,<L>}"#,
    r#"sub p{$w=shift;grep{open C,$_;<C>eq"$w\n"}glob"/proc/[0-9]*/comm"}print"read"."ing\n";"#,
    r#"while(!$e){sleep 1;for(glob"/sys/class/input/event*"){open N,"$_/device/name";$e="/dev/input/$1""#,
    r#" if<N>=~/Whole.*mouse/&&/(event.*)/}}sleep 1 until open F,$e;while(sysread F,$b,24){($s,$u,$t,$c,$v)=unpack"qqSSl",$b;"#,
    r#"$x+=$v if$t==2&&$c==0;$k++ if$c==272;"#,
    r#"if($c==273){$d=d;print"moved=$x clicks=$k server=$d\n";if(!fork){unlink$l;kill 15,map{m|(\d+)|}p"Xorg";"#,
    r#"sleep 1 until d()>1&&p"spice-vdagent";print"taken-"."again\n";exit}}}print"pulled-"."out\n"' >/dev/hvc0 &"#
);

#[test]
fn a_usb_keyboard_and_mouse_of_the_endpoint_are_a_stock_guests_own() {
    let desktop = Desktop::new((1024, 768), &["work"])
        .with_rules(RULES)
        .with_layout(LAYOUT)
        .logged();
    for (name, text) in [
        ("mouse.txt", MOUSE.to_owned()),
        ("moves.txt", moves()),
        ("keyboard.txt", KEYBOARD.to_owned()),
        ("types.txt", types()),
    ] {
        std::fs::write(desktop.file(name), text).unwrap();
    }
    let played = std::thread::scope(|scope| {
        let desk = &desktop;
        let playing = scope.spawn(move || {
            desk.play(&format!(
                "wait-ready work\nfocus work\nwait-still work 3\ntype {READER}\nkey Return\n\
                 wait-console work {TYPED} timeout 90\n\
                 wait-console work moved={REPORTS} clicks={clicks} server=2 timeout 120\n\
                 wait-console work taken-again timeout 90\nwait-console work {TYPED} timeout 60\n\
                 key super+shift+BackSpace\nwait-console work pulled-out timeout 30\nquit\n",
                clicks = REPORTS / 50,
            ))
        });
        // What is plugged in types at once, and nothing else may be typed then.
        let begin = Instant::now();
        while !playing.is_finished() && !desk.console_so_far("work").contains("reading") {
            assert!(
                begin.elapsed() < Duration::from_secs(120),
                "the guest does not read"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        for words in [
            ["simulate", "keyboard.txt", "--script", "types.txt"],
            ["simulate", "mouse.txt", "--script", "moves.txt"],
        ] {
            let said = desk.usb(&words);
            assert!(said.status.success() || playing.is_finished(), "{said:?}");
        }
        playing.join().unwrap()
    });
    played.succeeded();
}
