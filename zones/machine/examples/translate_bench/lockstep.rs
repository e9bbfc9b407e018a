//! The kernel on a hart that translates and one that interprets, in step; and twice by a clock that counts instructions.

use std::fs::File;
use std::sync::Arc;

use zone_machine::board::{Board, PLIC_BASE, PLIC_SIZE};
use zone_machine::device_tree::{self, Description};
use zone_machine::plic::Plic;
use zone_machine::sbi::{After, Console, Sbi};
use zone_machine::{boot, memory};
use zone_translate::lockstep::Step;
use zone_translate::{Clock, CodeCache, Exit, Hart, HartPort};

use crate::Failure;

/// A machine of one hart, run by hand.
struct Single {
    hart: Hart,
    sbi: Sbi,
}

impl Single {
    fn new(kernel: &File) -> Result<Self, Failure> {
        let (memory, ram) = memory::allocate(256)?;
        let loaded = boot::load(&memory, ram.length(), kernel, None)?;
        let description = Description {
            harts: 1,
            memory: ram.length(),
            command_line: "earlycon=sbi keep_bootcon panic=-1",
            initramfs: loaded.initramfs,
            transports: 0,
            has_rtc: false,
            seed: [7; 32],
        };
        boot::place_tree(&memory, loaded.tree, &device_tree::write(&description)?)?;
        let port = Arc::<HartPort>::default();
        let mut board = Board::default();
        board.add(
            PLIC_BASE,
            PLIC_SIZE,
            Arc::new(Plic::new(vec![Arc::clone(&port)])),
        );
        let clock = Clock::Instructions { per_tick: 20 };
        let mut hart = Hart::new(ram, Arc::new(board), Arc::clone(&port), clock);
        let sbi = Sbi::new(vec![port], Arc::new(Nowhere));
        sbi.start_hart(0, loaded.entry, loaded.tree);
        let (pc, opaque) = sbi.wait_for_start(0).ok_or("the machine ended")?;
        hart.start(pc, 0, opaque);
        Ok(Self { hart, sbi })
    }
}

struct Nowhere;

impl Console for Nowhere {
    fn write(&self, _bytes: &[u8]) {}
    fn read(&self, _into: &mut [u8]) -> usize {
        0
    }
}

/// Runs the kernel until it finds no root file system.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let kernel = File::open(arguments.first().ok_or("which kernel?")?)?;
    let (mut leader, mut follower) = (Single::new(&kernel)?, Single::new(&kernel)?);
    if !leader.hart.translate_into(CodeCache::new()?) {
        return Err("this host is too old for translated code".into());
    }
    let mut steps = 0u64;
    loop {
        // All lengths of slices, so that the harts meet everywhere.
        steps += 1;
        let length = u32::try_from(1 + steps * 7919 % 3000)?;
        match zone_translate::lockstep::step(&mut leader.hart, &mut follower.hart, length)? {
            Step::Slice => {}
            Step::Waiting => zone_translate::lockstep::wait(&mut leader.hart, &mut follower.hart),
            Step::Exit(Exit::Stopped | Exit::Breakpoint) => return Err("stopped".into()),
            Step::Exit(Exit::SupervisorCall) => {
                let after = leader.sbi.call(&mut leader.hart, 0);
                if after != follower.sbi.call(&mut follower.hart, 0) {
                    return Err("the harts called differently".into());
                }
                if let After::End(ending) = after {
                    println!(
                        "{ending:?} after {} instructions in {steps} steps",
                        leader.hart.retired()
                    );
                    break;
                }
            }
        }
    }
    let (ram, other) = (leader.hart.ram(), follower.hart.ram());
    for address in (ram.base()..ram.base() + ram.length()).step_by(8) {
        if ram.load::<u64>(address) != other.load::<u64>(address) {
            return Err(format!("memory differs at {address:#x}").into());
        }
    }
    println!("registers after each step and all memory at the end are the same");
    Ok(())
}

/// Runs the kernel to its end twice on a hart that translates: the same instructions, the same memory.
pub(crate) fn repeat(arguments: &[String]) -> Result<(), Failure> {
    let kernel = File::open(arguments.first().ok_or("which kernel?")?)?;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut single = Single::new(&kernel)?;
        if !single.hart.translate_into(CodeCache::new()?) {
            return Err("this host is too old for translated code".into());
        }
        loop {
            match single.hart.run() {
                Exit::Stopped | Exit::Breakpoint => return Err("stopped".into()),
                Exit::SupervisorCall => {
                    if let After::End(_) = single.sbi.call(&mut single.hart, 0) {
                        break;
                    }
                }
            }
        }
        let ram = single.hart.ram();
        let sum = (ram.base()..ram.base() + ram.length())
            .step_by(8)
            .fold(0u64, |sum, address| {
                let word = ram.load::<u64>(address).unwrap_or_default();
                (sum ^ word)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29)
            });
        println!("{} instructions, memory {sum:#018x}", single.hart.retired());
        runs.push((single.hart.retired(), sum));
    }
    if runs[0] != runs[1] {
        return Err("the runs differ".into());
    }
    println!("both runs are the same");
    Ok(())
}
