//! Results and flags against another implementation of RISC-V: the real instructions under qemu's user emulation.
//!
//! A C program, generated from the table of operations, reads operands, executes the instruction in the given mode with the
//! flags cleared, and writes the result and the flags. qemu's floating point descends from Berkeley SoftFloat.

mod shared;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use shared::{
    Operands, Operation, integer_turning_points, near_integers, operations, triples, turning_points,
};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use zone_softfloat::{Double, Flags, Format, Rounding, Single};

const COMPILER: &str = "riscv64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-riscv64-static";

/// Random operands for each operation and mode.
const RANDOM: usize = 1500;

struct Case {
    operation: usize,
    mode: Rounding,
    registers: [u64; 3],
}

#[test]
fn agrees_with_real_instructions() {
    let operations = operations();
    let program = compile(&operations);
    let cases = cases(&operations);
    let answers = execute(&program, &cases);
    assert_eq!(answers.len(), cases.len() * 16, "the program stopped early");

    let mut wrong = 0;
    for (case, answer) in cases.iter().zip(answers.chunks_exact(16)) {
        let word = |at: usize| u64::from_le_bytes(answer[at..at + 8].try_into().unwrap());
        let theirs = (word(0), word(8));
        let operation = &operations[case.operation];
        let mut flags = Flags::default();
        let result = (operation.run)(case.mode, case.registers, &mut flags);
        if (result, u64::from(flags.0)) != theirs {
            wrong += 1;
            if wrong <= 10 {
                eprintln!(
                    "{} {:?} {:x?}: ours {result:#x} flags {:#x}, theirs {:#x} flags {:#x}",
                    operation.instruction, case.mode, case.registers, flags.0, theirs.0, theirs.1
                );
            }
        }
    }
    assert_eq!(wrong, 0, "of {} cases", cases.len());
    println!(
        "{} cases of {} instructions agree",
        cases.len(),
        operations.len()
    );
}

/// Everything that is run.
fn cases(operations: &[Operation]) -> Vec<Case> {
    let mut runner = TestRunner::deterministic();
    let mut cases = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        let mut operands = match operation.operands {
            Operands::Singles(count) => floats::<Single>(count, &mut runner),
            Operands::Doubles(count) => floats::<Double>(count, &mut runner),
            Operands::Integer => integers(&mut runner),
        };
        operands.sort_unstable();
        operands.dedup();
        for &mode in operation.modes() {
            cases.extend(operands.iter().map(|&registers| Case {
                operation: index,
                mode,
                registers,
            }));
        }
    }
    cases
}

fn floats<F: Format>(count: u8, runner: &mut TestRunner) -> Vec<[u64; 3]> {
    let points = turning_points::<F>();
    let mut operands = Vec::new();
    match count {
        1 => {
            operands.extend(points.iter().map(|&a| [a, 0, 0]));
            operands.extend(sample(&near_integers::<F>(), runner).map(|a| [a, 0, 0]));
        }
        2 => {
            for &a in &points {
                operands.extend(points.iter().map(|&b| [a, b, 0]));
            }
        }
        _ => {
            // All triples would be half a million; the third operand takes every seventh value, another seventh each time.
            for (row, &a) in points.iter().enumerate() {
                for (column, &b) in points.iter().enumerate() {
                    operands.extend(
                        points
                            .iter()
                            .skip((row + column) % 7)
                            .step_by(7)
                            .map(|&c| [a, b, c]),
                    );
                }
            }
        }
    }
    let used = |position: u8, value: u64| if position < count { value } else { 0 };
    operands.extend(sample(&triples::<F>(), runner).map(|[a, b, c]| [a, used(1, b), used(2, c)]));
    operands
}

fn integers(runner: &mut TestRunner) -> Vec<[u64; 3]> {
    let any = (proptest::num::u64::ANY, 0u32..64).prop_map(|(value, shift)| value >> shift);
    integer_turning_points()
        .into_iter()
        .chain(sample(&any, runner))
        .map(|a| [a, 0, 0])
        .collect()
}

fn sample<'a, S: Strategy>(
    strategy: &'a S,
    runner: &'a mut TestRunner,
) -> impl Iterator<Item = S::Value> + 'a {
    (0..RANDOM).map(|_| strategy.new_tree(runner).unwrap().current())
}

/// Compiles the program that executes the instructions.
fn compile(operations: &[Operation]) -> PathBuf {
    let mut source = String::from(
        r#"#include <stdint.h>
#include <stdio.h>
int main(void) {
    uint64_t record[5];
    while (fread(record, sizeof record, 1, stdin) == 1) {
        uint64_t mode = record[1], a = record[2], b = record[3], c = record[4], answer[2];
        switch (record[0]) {
#define EXECUTE(instruction, result) asm volatile( \
    "fmv.d.x fa0, %[a]\n fmv.d.x fa1, %[b]\n fmv.d.x fa2, %[c]\n mv t1, %[a]\n fsrm %[mode]\n fsflags zero\n" \
    instruction "\n frflags %[flags]\n fsrm zero\n" result \
    : [value] "=&r"(answer[0]), [flags] "=&r"(answer[1]) \
    : [a] "r"(a), [b] "r"(b), [c] "r"(c), [mode] "r"(mode) : "fa0", "fa1", "fa2", "ft0", "t0", "t1")
"#,
    );
    for (index, Operation { instruction, .. }) in operations.iter().enumerate() {
        let result = if instruction.contains(" ft0,") {
            "fmv.x.d %[value], ft0"
        } else {
            "mv %[value], t0"
        };
        writeln!(
            source,
            "        case {index}: EXECUTE(\"{instruction}\", \"{result}\"); break;"
        )
        .unwrap();
    }
    source.push_str(
        "        default: return 1;\n        }\n        fwrite(answer, sizeof answer, 1, stdout);\n    }\n    return 0;\n}\n",
    );

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source_path, program) = (folder.join("instructions.c"), folder.join("instructions"));
    std::fs::write(&source_path, source).unwrap();
    let output = Command::new(COMPILER)
        .args(["-O1", "-static", "-o"])
        .args([&program, &source_path])
        .output()
        .unwrap_or_else(|error| {
            panic!("this test needs {COMPILER} on the PATH (Debian: gcc-riscv64-linux-gnu, libc6-dev-riscv64-cross): {error}")
        });
    assert!(
        output.status.success(),
        "{COMPILER}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

/// Runs it on the cases; 16 bytes for each come back.
fn execute(program: &Path, cases: &[Case]) -> Vec<u8> {
    let mut child = Command::new(EMULATOR)
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("this test needs {EMULATOR} on the PATH (Debian: qemu-user-static): {error}")
        });
    let mut input = child.stdin.take().unwrap();
    let records: Vec<u8> = cases
        .iter()
        .flat_map(|case| {
            let [a, b, c] = case.registers;
            [case.operation as u64, case.mode as u64, a, b, c]
        })
        .flat_map(u64::to_le_bytes)
        .collect();
    let writer = thread::spawn(move || input.write_all(&records));
    let mut answers = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut answers)
        .unwrap();
    writer
        .join()
        .unwrap()
        .expect("the program reads all its input");
    assert!(child.wait().unwrap().success(), "{EMULATOR} failed");
    answers
}
