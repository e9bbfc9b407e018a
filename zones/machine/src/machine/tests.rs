//! Whole machines that run small guests made here: a kernel `Image` is a header and a few instructions.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::board::RAM_BASE;

const A0: u32 = 10;
const A1: u32 = 11;
const A2: u32 = 12;
const A6: u32 = 16;
const A7: u32 = 17;
const S0: u32 = 8;
const ECALL: u32 = 0x73;
const WFI: u32 = 0x1050_0073;

fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    (imm.cast_unsigned() & 0xfff) << 20 | rs1 << 15 | rd << 7 | 0x13
}

fn lui(rd: u32, imm: u32) -> u32 {
    imm << 12 | rd << 7 | 0x37
}

fn auipc(rd: u32, imm: u32) -> u32 {
    imm << 12 | rd << 7 | 0x17
}

fn lw(rd: u32, rs1: u32, imm: u32) -> u32 {
    imm << 20 | rs1 << 15 | 2 << 12 | rd << 7 | 0x03
}

fn beq(rs1: u32, rs2: u32, back: i32) -> u32 {
    let offset = back.cast_unsigned();
    (offset >> 12 & 1) << 31
        | (offset >> 5 & 0x3f) << 25
        | rs2 << 20
        | rs1 << 15
        | (offset >> 1 & 0xf) << 8
        | (offset >> 11 & 1) << 7
        | 0x63
}

fn jal(rd: u32, offset: i32) -> u32 {
    let offset = offset.cast_unsigned();
    (offset >> 20 & 1) << 31
        | (offset >> 1 & 0x3ff) << 21
        | (offset >> 11 & 1) << 20
        | (offset >> 12 & 0xff) << 12
        | rd << 7
        | 0x6f
}

/// Loads a 31-bit constant.
fn li(rd: u32, value: u32) -> Vec<u32> {
    let low = ((value << 20).cast_signed()) >> 20;
    let high = value.wrapping_sub(low.cast_unsigned()) >> 12;
    vec![lui(rd, high & 0xf_ffff), addi(rd, rd, low)]
}

fn call(extension: u32, function: i32) -> Vec<u32> {
    let mut code = li(A7, extension);
    code.extend([addi(A6, 0, function), ECALL]);
    code
}

fn kernel(code: &[u32]) -> File {
    let mut image = vec![0; 64];
    // Jumps over the header; the text offset is one 2 MiB page, as the kernel's own.
    image[..4].copy_from_slice(&0x0400_006f_u32.to_le_bytes());
    image[8..16].copy_from_slice(&0x20_0000_u64.to_le_bytes());
    image[16..24].copy_from_slice(&0x10_0000_u64.to_le_bytes());
    image[56..60].copy_from_slice(b"RSC\x05");
    image.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&image).unwrap();
    file
}

struct Listener(mpsc::SyncSender<Heard>);

#[derive(Debug, PartialEq)]
enum Heard {
    Console(Vec<u8>),
    Ended(Ending),
}

impl Console for Listener {
    fn write(&self, bytes: &[u8]) {
        self.0.send(Heard::Console(bytes.to_vec())).unwrap();
    }
    fn read(&self, into: &mut [u8]) -> usize {
        into[0] = b'x';
        1
    }
}

impl Observer for Listener {
    fn ended(&self, ending: Ending) {
        self.0.send(Heard::Ended(ending)).unwrap();
    }
}

/// Runs a guest to its end and returns what was heard from it.
fn run(code: &[u32], harts: u32) -> Vec<Heard> {
    let (sender, receiver) = mpsc::sync_channel(64);
    let machine = Builder::new(64, harts)
        .unwrap()
        .start(
            &kernel(code),
            None,
            "",
            [0; 32],
            Arc::new(Listener(sender.clone())),
            Arc::new(Listener(sender)),
        )
        .unwrap();
    let mut heard = Vec::new();
    loop {
        heard.push(
            receiver
                .recv_timeout(Duration::from_secs(60))
                .expect("the guest ends"),
        );
        if let Some(Heard::Ended(_)) = heard.last() {
            break;
        }
    }
    machine.join();
    heard
}

const DEBUG_CONSOLE: u32 = 0x4442_434e;
const SYSTEM_RESET: u32 = 0x5352_5354;
const HSM: u32 = 0x0048_534d;
const TIME: u32 = 0x5449_4d45;

fn shut_down() -> Vec<u32> {
    [vec![addi(A0, 0, 0), addi(A1, 0, 0)], call(SYSTEM_RESET, 0)].concat()
}

fn print_byte(byte: u8) -> Vec<u32> {
    [vec![addi(A0, 0, byte.into())], call(DEBUG_CONSOLE, 2)].concat()
}

#[test]
fn a_guest_prints_and_shuts_down() {
    let heard = run(
        &[print_byte(b'h'), print_byte(b'i'), shut_down()].concat(),
        1,
    );
    assert_eq!(
        heard,
        [
            Heard::Console(b"h".into()),
            Heard::Console(b"i".into()),
            Heard::Ended(Ending::Off)
        ]
    );
}

#[test]
fn a_guest_reads_its_console() {
    // Reads one byte into RAM at 0x8000_0000 + 4 MiB, then writes it back from there.
    let buffer = [
        vec![auipc(S0, 0x200)],
        vec![addi(A1, S0, 0), addi(A2, 0, 0), addi(A0, 0, 1)],
    ]
    .concat();
    let back = [
        vec![addi(A1, S0, 0), addi(A2, 0, 0), addi(A0, 0, 1)],
        call(DEBUG_CONSOLE, 0),
    ]
    .concat();
    let heard = run(
        &[buffer, call(DEBUG_CONSOLE, 1), back, shut_down()].concat(),
        1,
    );
    assert_eq!(
        heard,
        [Heard::Console(b"x".into()), Heard::Ended(Ending::Off)]
    );
}

#[test]
fn a_console_buffer_outside_memory_is_refused() {
    // Address 0x1000 is no RAM; the error in a0 is -5, so a0 + 'F' prints 'A'.
    let write = [
        vec![lui(A1, 1), addi(A2, 0, 0), addi(A0, 0, 4)],
        call(DEBUG_CONSOLE, 0),
    ]
    .concat();
    let print = [vec![addi(A0, A0, i32::from(b'F'))], call(DEBUG_CONSOLE, 2)].concat();
    assert_eq!(
        run(&[write, print, shut_down()].concat(), 1)[0],
        Heard::Console(b"A".into())
    );
}

#[test]
fn an_unknown_call_is_not_supported() {
    // The error in a0 is -2, so a0 + 'C' prints 'A'.
    let print = [vec![addi(A0, A0, i32::from(b'C'))], call(DEBUG_CONSOLE, 2)].concat();
    assert_eq!(
        run(&[call(0x1234_5678, 3), print, shut_down()].concat(), 1)[0],
        Heard::Console(b"A".into())
    );
}

#[test]
fn a_reset_is_told_apart_from_a_shutdown() {
    let reset = [vec![addi(A0, 0, 1), addi(A1, 0, 1)], call(SYSTEM_RESET, 0)].concat();
    assert_eq!(run(&reset, 2), [Heard::Ended(Ending::Reset)]);
}

#[test]
fn a_second_hart_starts_and_ends_the_machine() {
    // Hart 0 starts hart 1 at the code after its own and waits for ever.
    let prefix = [vec![addi(A0, 0, 1)], vec![auipc(A1, 0)]].concat();
    let rest = [vec![addi(A2, 0, 7)], call(HSM, 0), vec![WFI, beq(0, 0, -4)]].concat();
    // From the auipc, hart 1's code lies behind the addi that follows it and the rest.
    let distance = i32::try_from((1 + 1 + rest.len()) * 4).unwrap();
    let hart0 = [prefix, vec![addi(A1, A1, distance)], rest].concat();
    // Hart 1 prints its number + 'a' and its argument + '0'.
    let hart1 = [
        vec![addi(S0, A1, 0), addi(A0, A0, i32::from(b'a'))],
        call(DEBUG_CONSOLE, 2),
        vec![addi(A0, S0, i32::from(b'0'))],
        call(DEBUG_CONSOLE, 2),
        shut_down(),
    ]
    .concat();
    let heard = run(&[hart0, hart1].concat(), 2);
    assert_eq!(
        heard,
        [
            Heard::Console(b"b".into()),
            Heard::Console(b"7".into()),
            Heard::Ended(Ending::Off)
        ]
    );
}

#[test]
fn a_timer_wakes_a_waiting_hart() {
    // set_timer(0): pending at once; sie.STIE makes wfi go on though interrupts are off in sstatus.
    let code = [
        vec![addi(A0, 0, 0)],
        call(TIME, 0),
        // csrs sie, (1 << 5)
        vec![addi(S0, 0, 1 << 5), 0x1044_2073, WFI],
        shut_down(),
    ]
    .concat();
    assert_eq!(run(&code, 1), [Heard::Ended(Ending::Off)]);
}

#[test]
fn an_access_to_nothing_traps() {
    // stvec = the code behind the load; the trap handler shuts down.
    let code = [
        // auipc s0, 0; addi s0, s0, 20; csrw stvec, s0; lui a0, 0x1000; lw a0, 0(a0)
        vec![
            auipc(S0, 0),
            addi(S0, S0, 20),
            0x1054_1073,
            lui(A0, 1),
            lw(A0, A0, 0),
        ],
        shut_down(),
    ]
    .concat();
    assert_eq!(run(&code, 1), [Heard::Ended(Ending::Off)]);
}

/// A device that answers what is said to it with new code.
struct Coder {
    memory: GuestMemory,
    listener: Listener,
}

impl Console for Coder {
    fn write(&self, bytes: &[u8]) {
        let next = addi(A0, 0, i32::from(bytes[0]) + 1).to_le_bytes();
        self.memory
            .write_slice(&next, GuestAddress(RAM_BASE + FUNCTION))
            .unwrap();
        self.listener.write(bytes);
    }
    fn read(&self, _into: &mut [u8]) -> usize {
        0
    }
}

/// Where the code is that the device writes, from the start of RAM, and how often it is called.
const FUNCTION: u64 = 0x20_1000;
const CALLS: u8 = 40;

#[test]
fn code_that_a_device_wrote_runs_after_the_fence() {
    const FENCE_I: u32 = 0x0000_100f;
    const RETURN: u32 = 0x0000_8067;
    for translate in [false, true] {
        let mut code = vec![addi(S0, 0, CALLS.into()), FENCE_I];
        let at = |code: &[u32]| 64 + 4 * i32::try_from(code.len()).unwrap();
        let turn = at(&code) - 4;
        code.push(jal(1, 0x1000 - at(&code)));
        code.extend(call(DEBUG_CONSOLE, 2));
        code.extend([addi(S0, S0, -1), beq(S0, 0, 8)]);
        code.push(jal(0, turn - at(&code)));
        code.extend(shut_down());
        code.resize((0x1000 - 64) / 4, 0);
        code.extend([addi(A0, 0, i32::from(b'0')), RETURN]);

        let (sender, receiver) = mpsc::sync_channel(64);
        let mut builder = Builder::new(64, 1).unwrap();
        if translate {
            builder.translate(vec![CodeCache::new().unwrap()]);
        }
        let console = Coder {
            memory: builder.slot().unwrap().memory,
            listener: Listener(sender.clone()),
        };
        let observer = Arc::new(Listener(sender));
        let machine = builder
            .start(
                &kernel(&code),
                None,
                "",
                [0; 32],
                Arc::new(console),
                observer,
            )
            .unwrap();
        for byte in b'0'..b'0' + CALLS {
            let heard = receiver.recv_timeout(Duration::from_secs(60));
            assert_eq!(heard, Ok(Heard::Console(vec![byte])));
        }
        machine.join();
    }
}

#[test]
fn a_machine_stops_wherever_its_harts_are() {
    let (sender, _receiver) = mpsc::sync_channel(64);
    let forever = [vec![beq(0, 0, 0)]].concat();
    let machine = Builder::new(64, 3)
        .unwrap()
        .start(
            &kernel(&forever),
            None,
            "",
            [0; 32],
            Arc::new(Listener(sender.clone())),
            Arc::new(Listener(sender)),
        )
        .unwrap();
    machine.stop();
    machine.join();
}

#[test]
fn bad_kernels_and_too_little_memory_are_refused() {
    let start = |kernel: &File, initramfs: Option<&File>| {
        let (sender, _receiver) = mpsc::sync_channel(1);
        Builder::new(64, 1)
            .unwrap()
            .start(
                kernel,
                initramfs,
                "",
                [0; 32],
                Arc::new(Listener(sender.clone())),
                Arc::new(Listener(sender)),
            )
            .unwrap_err()
    };
    let boot_error = |error| match error {
        MachineError::Boot(error) => error,
        other => panic!("{other}"),
    };
    let mut not_a_kernel = tempfile::tempfile().unwrap();
    assert!(matches!(
        boot_error(start(&not_a_kernel, None)),
        BootError::NotAKernel
    ));
    not_a_kernel.write_all(&[0x7f; 4096]).unwrap();
    assert!(matches!(
        boot_error(start(&not_a_kernel, None)),
        BootError::NotAKernel
    ));

    let big = tempfile::tempfile().unwrap();
    big.set_len(63 << 20).unwrap();
    assert!(matches!(
        boot_error(start(&kernel(&[WFI]), Some(&big))),
        BootError::TooLarge { megabytes: 64 }
    ));
    big.set_len(1 << 40).unwrap();
    assert!(matches!(
        boot_error(start(&kernel(&[WFI]), Some(&big))),
        BootError::TooLarge { .. }
    ));

    // A header whose sizes wrap.
    let wrapping = kernel(&[WFI]);
    for (at, value) in [(8, u64::MAX), (8, u64::MAX - 0x8000_0000), (16, u64::MAX)] {
        std::os::unix::fs::FileExt::write_all_at(&wrapping, &value.to_le_bytes(), at).unwrap();
        assert!(matches!(
            boot_error(start(&wrapping, None)),
            BootError::NotAKernel | BootError::TooLarge { .. }
        ));
    }
    assert!(matches!(Builder::new(64, 0), Err(MachineError::Harts(0))));
    assert!(matches!(
        Builder::new(1, 1),
        Err(MachineError::Memory(MemoryError::Size { mib: 1 }))
    ));
}
