//! The interpreter against `qemu-riscv64`: the same random program on both, registers and memory compared.

use std::io::Write;
use std::process::Command;

use crate::op::Kind;
use crate::testing::program::{BASE, Program, STATE, Size};
use crate::testing::stream::{Extras, is_beyond_peer};
use crate::testing::{assemble, fill, hart, place, ram, read};
use crate::{Exit, Hart};

const PEER: &str = "qemu-riscv64-static";

/// Runs a program on a hart as Linux would in the two system calls it makes; returns what it wrote.
pub(crate) fn output_of(program: &Program, prepare: impl FnOnce(&mut Hart)) -> (Vec<u8>, u64) {
    let setup = BASE - 4096;
    let ram = ram(setup, (program.memory + 4096) as usize);
    fill(&ram, BASE, &program.image);
    let mut hart = hart(&ram);
    prepare(&mut hart);
    // Floating point on, as Linux gives it to a program.
    let [upper, lower] = assemble::load_address(5, program.entry);
    place(
        &ram,
        setup,
        &[
            assemble::lui(5, 0x6000),
            assemble::csrrs(0, 0x100, 5),
            upper,
            lower,
            assemble::jalr(0, 5, 0),
        ],
    );
    hart.start(setup, 0, 0);
    let mut output = Vec::new();
    loop {
        assert_eq!(hart.run(), Exit::SupervisorCall);
        match hart.register(17) {
            64 => output.extend(read(&ram, hart.register(11), hart.register(12))),
            93 => return (output, hart.retired()),
            other => panic!("system call {other} at {:#x}", hart.pc()),
        }
    }
}

fn peer_output_of(program: &Program) -> Vec<u8> {
    let mut file = tempfile::Builder::new()
        .prefix("random-")
        .tempfile()
        .unwrap();
    file.write_all(program.elf()).unwrap();
    let path = file.into_temp_path();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o700);
    std::fs::set_permissions(&path, permissions).unwrap();
    let output = Command::new(PEER)
        .args(["-cpu", "rv64,zba=true,zbb=true,zbs=true"])
        .arg(&path)
        .output()
        .unwrap_or_else(|error| {
            panic!("{PEER} cannot be started ({error}); Debian's package is qemu-user-static")
        });
    assert!(
        output.status.success(),
        "{PEER}: {} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn agrees_with_qemu_on_random_programs() {
    let size = Size {
        cases: 1200,
        instructions: 300,
        rounds: 6,
    };
    let mut instructions = 0;
    let mut written = vec![0; Kind::ALL.len()];
    for seed in 0..8 {
        let program = Program::new(seed, size, Extras::default());
        let theirs = peer_output_of(&program);
        let (ours, retired) = output_of(&program, |_| {});
        compare(&ours, &theirs, size, &format!("seed {seed}"));
        instructions += retired;
        for (sum, count) in written.iter_mut().zip(&program.written) {
            *sum += count;
        }
    }
    for kind in Kind::ALL {
        use Kind::*;
        let elsewhere = is_beyond_peer(*kind)
            || matches!(
                kind,
                Illegal | Ecall | Ebreak | Csrrsi | Csrrci | Sret | Wfi | SfenceVma | CboZero
            );
        assert!(
            elsewhere || written[*kind as usize] > 0,
            "no {kind:?} was written"
        );
    }
    assert!(instructions > 10_000_000, "{instructions}");
}

/// Fails with the first case and register that differ.
pub(crate) fn compare(ours: &[u8], theirs: &[u8], size: Size, name: &str) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let outcomes = size.cases * size.rounds * STATE;
    for (index, (our, their)) in ours.chunks_exact(8).zip(theirs.chunks_exact(8)).enumerate() {
        let at = index as u64 * 8;
        let (our, their) = (
            u64::from_le_bytes(our.try_into().unwrap()),
            u64::from_le_bytes(their.try_into().unwrap()),
        );
        if at < outcomes {
            let (case, register) = (at / STATE, at % STATE / 8);
            assert!(
                our == their,
                "{name}: round {}, case {}, register {register} (floating point from 32): {our:#x}, the peer has {their:#x}",
                case / size.cases,
                case % size.cases,
            );
        } else {
            assert!(
                our == their,
                "{name}: data at {:#x}: {our:#x}, the peer has {their:#x}",
                at - outcomes
            );
        }
    }
}

/// What the deliberate mistakes are put to, for numbers that are more than not-a-numbers: quickly done when there is none.
pub(crate) fn a_small_program_agrees() {
    let size = Size {
        cases: 300,
        instructions: 100,
        rounds: 4,
    };
    let program = Program::new(300, size, Extras { beyond_peer: true });
    let (interpreted, _) = output_of(&program, |_| {});
    let (translated, _) = output_of(&program, Hart::translate_at_once);
    compare(&translated, &interpreted, size, "small");
}

/// The translator against the interpreter: the same programs, and what the peer lacks or gets wrong.
#[test]
fn translated_code_agrees_on_random_programs() {
    let size = Size {
        cases: 1200,
        instructions: 300,
        rounds: 6,
    };
    let mut instructions = 0;
    let mut written = vec![0; Kind::ALL.len()];
    for seed in 10..18 {
        let program = Program::new(seed, size, Extras { beyond_peer: true });
        for (sum, count) in written.iter_mut().zip(&program.written) {
            *sum += count;
        }
        let (interpreted, retired) = output_of(&program, |_| {});
        let (translated, translated_retired) = output_of(&program, Hart::translate_at_once);
        compare(&translated, &interpreted, size, &format!("seed {seed}"));
        assert_eq!(translated_retired, retired);
        instructions += retired;
    }
    for kind in Kind::ALL {
        assert!(
            !is_beyond_peer(*kind) || written[*kind as usize] > 0,
            "no {kind:?} was written"
        );
    }
    assert!(instructions > 10_000_000, "{instructions}");
}
