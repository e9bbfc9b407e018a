//! A debugger on a running guest: it stops the harts, reads and changes them, and lets them go.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use guests::{Gdb, Guest, compile_from, initramfs, symbol};
use zone_machine::sbi::Ending;

const PATIENCE: Duration = Duration::from_secs(60);
/// GDB's numbers of registers.
const A0: usize = 10;
const PC: usize = 32;
const FA0: usize = 33 + 10;
const SATP: usize = 65 + 0x180;

/// "what", as GDB reads it.
const TEXT: &str = "77686174";

#[test]
fn a_debugger_stops_reads_steps_and_changes_a_guest() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("debugged");
    let program = compile_from(&sources, "spin", folder.path());
    let initramfs = initramfs(std::slice::from_ref(&program), None, folder.path());
    let (ours, machines) = UnixStream::pair().expect("two ends");
    let machines = File::from(OwnedFd::from(machines));
    let outcome = std::thread::scope(|scope| {
        let guest = scope.spawn(|| {
            Guest {
                harts: 2,
                memory_mib: 256,
                arguments: "",
                initramfs: &initramfs,
                volume: None,
                debugger: Some(&machines),
                meanwhile: None,
                limit: Duration::from_secs(60),
            }
            .run()
        });
        debug(Gdb::new(ours, PATIENCE), &program);
        guest.join().expect("the machine ends")
    });
    assert_eq!(outcome.end_of("spin"), Some("exit 0"), "{}", outcome.tail());
    assert_eq!(outcome.said("spin"), ["ok"]);
    assert_eq!(outcome.ending, Some(Ending::Off), "{}", outcome.tail());
}

fn debug(mut gdb: Gdb, program: &Path) {
    let [visited, calls, message, stop_now] =
        ["visited", "calls", "message", "stop_now"].map(|name| symbol(program, name));
    let features = gdb.ask("qSupported:multiprocess+;swbreak+;vContSupported+");
    assert!(features.contains("PacketSize"), "{features}");
    let description = gdb.ask("qXfer:features:read:target.xml:0,fff");
    assert!(
        description.contains("org.gnu.gdb.riscv.cpu"),
        "{description}"
    );

    // Stops the machine again and again while it boots, until a hart is in the program.
    let begun = Instant::now();
    let read_message = format!("m{message:x},4");
    let thread = loop {
        assert!(begun.elapsed() < PATIENCE, "the program never ran");
        gdb.say("vCont;c");
        std::thread::sleep(Duration::from_millis(50));
        let stop = gdb.interrupt();
        assert!(stop.starts_with("T02"), "{stop}");
        let found = threads(&mut gdb).into_iter().find_map(|thread| {
            select(&mut gdb, &thread);
            let user = gdb.register(PC) >> 38 == 0;
            (user && gdb.ask(&read_message) == TEXT).then_some(thread)
        });
        if let Some(found) = found {
            break found;
        }
    };
    assert_eq!(threads(&mut gdb).len(), 2);
    let text = gdb.memory(message, 23);
    assert_eq!(text, b"what the debugger reads");
    assert_eq!(gdb.register(SATP) >> 60, 9, "four levels of page tables");
    assert!(gdb.ask("m10,8").starts_with('E'), "there is nothing at 16");

    // Breakpoint, registers, steps.
    let code = gdb.memory(visited, 16);
    assert_eq!(gdb.ask(&format!("Z0,{visited:x},4")), "OK");
    assert_eq!(gdb.memory(visited, 16), code, "breakpoints are not shown");
    let mut last = 0;
    for round in 0..20 {
        gdb.say("vCont;c");
        let stop = gdb.answer();
        assert!(stop.starts_with("T05"), "round {round}: {stop}");
        assert!(stop.contains("swbreak"), "round {round}: {stop}");
        select(&mut gdb, &thread);
        assert_eq!(gdb.register(PC), visited, "round {round}");
        let (number, twice) = (gdb.register(A0), gdb.register(A0 + 1));
        assert_eq!(twice, 2 * number, "round {round}");
        assert!(
            round == 0 || number == last + 1,
            "round {round}: {number} after {last}"
        );
        last = number;
        assert_eq!(f64::from_bits(gdb.register(FA0)), number as f64 / 2.0);
        let counted = u64::from_le_bytes(gdb.memory(calls, 8).try_into().expect("8 bytes"));
        assert_eq!(counted, number);

        // GDB itself steps off a breakpoint that it has taken away.
        assert_eq!(gdb.ask(&format!("z0,{visited:x},4")), "OK");
        for (steps, expected) in [(1, 3 * number), (2, (3 * number) ^ 0x55)] {
            gdb.say(&format!("vCont;s:{thread};c"));
            let stop = gdb.answer();
            assert!(stop.starts_with("T05"), "round {round}: {stop}");
            select(&mut gdb, &thread);
            assert_eq!(gdb.register(PC), visited + 4 * steps, "round {round}");
            assert_eq!(gdb.register(A0), expected, "round {round}");
        }
        assert_eq!(gdb.ask(&format!("Z0,{visited:x},4")), "OK");
    }

    // A changed variable ends the program's loop, and with it the guest.
    assert_eq!(gdb.ask(&format!("z0,{visited:x},4")), "OK");
    assert_eq!(gdb.ask(&format!("M{stop_now:x},8:0100000000000000")), "OK");
    assert_eq!(gdb.ask("D"), "OK");
}

/// All threads of the machine that GDB sees.
fn threads(gdb: &mut Gdb) -> Vec<String> {
    let list = gdb.ask("qfThreadInfo");
    assert_eq!(gdb.ask("qsThreadInfo"), "l");
    let list = list.strip_prefix('m').expect("a list of threads");
    list.split(',').map(str::to_owned).collect()
}

fn select(gdb: &mut Gdb, thread: &str) {
    assert_eq!(gdb.ask(&format!("Hg{thread}")), "OK", "thread {thread}");
}
