//! Machines of one hart that count instructions for time, run by hand: nothing but the guest says what they do, so that each run
//! can be compared with another.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use guest_image::FileName;
use zone_machine::board::{Board, PLIC_BASE, PLIC_SIZE};
use zone_machine::device_tree::{self, Description};
use zone_machine::plic::Plic;
use zone_machine::sbi::{After, Console, Ending, Sbi};
use zone_machine::{boot, memory};
use zone_translate::lockstep::{self, Divergence, Step};
use zone_translate::{Clock, CodeCache, Exit, Hart, HartPort, PageBytes};

use crate::machine::{COMMAND_LINE, messages, open};

const MEMORY_MIB: u32 = 128;
/// 200 million instructions to the second.
const CLOCK: Clock = Clock::Instructions { per_tick: 20 };

/// So many instructions are compared after each block. Loops and regions go on undisturbed only after that.
const BLOCK_BY_BLOCK: u64 = 15_000_000;

/// A machine without devices but the console of its firmware.
#[derive(Debug)]
pub struct Single {
    /// Stands still between calls.
    pub hart: Hart,
    sbi: Sbi,
    said: Arc<Said>,
}

#[derive(Debug, Default)]
struct Said(Mutex<Vec<u8>>);

impl Console for Said {
    fn write(&self, bytes: &[u8]) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(bytes);
    }
    fn read(&self, _into: &mut [u8]) -> usize {
        0
    }
}

impl Single {
    /// Loads the image's kernel, and interprets it.
    ///
    /// # Panics
    /// When the host cannot.
    pub fn new(initramfs: &Path) -> Self {
        let kernel = open(&crate::image().path(FileName::Kernel));
        let (memory, ram) = memory::allocate(MEMORY_MIB).expect("memory for the guest");
        let loaded = boot::load(&memory, ram.length(), &kernel, Some(&open(initramfs)))
            .unwrap_or_else(|error| panic!("{error}"));
        let description = Description {
            harts: 1,
            memory: ram.length(),
            command_line: COMMAND_LINE,
            initramfs: loaded.initramfs,
            transports: 0,
            has_rtc: false,
            seed: [7; 32],
        };
        let tree = device_tree::write(&description).expect("a device tree");
        boot::place_tree(&memory, loaded.tree, &tree).expect("room for it");
        let port = Arc::<HartPort>::default();
        let plic = Plic::new(vec![Arc::clone(&port)]);
        let mut board = Board::default();
        board.add(PLIC_BASE, PLIC_SIZE, Arc::new(plic));
        let mut hart = Hart::new(ram, Arc::new(board), Arc::clone(&port), CLOCK);
        let said = Arc::<Said>::default();
        let sbi = Sbi::new(vec![port], said.clone());
        sbi.start_hart(0, loaded.entry, loaded.tree);
        let (pc, opaque) = sbi.wait_for_start(0).expect("the machine has not ended");
        hart.start(pc, 0, opaque);
        Self { hart, sbi, said }
    }

    /// Translates what runs often from now on.
    ///
    /// # Panics
    /// When the host's processor is too old for that, or gives no memory.
    #[must_use]
    pub fn translated(mut self) -> Self {
        let cache = CodeCache::new().expect("memory for generated code");
        assert!(
            self.hart.translate_into(cache),
            "this host is too old for translated code"
        );
        self
    }

    /// Runs to the guest's end.
    ///
    /// # Panics
    /// When something else stops the hart.
    pub fn run(&mut self) -> Ending {
        loop {
            let exit = self.hart.run();
            assert_eq!(exit, Exit::SupervisorCall);
            if let After::End(ending) = self.serve() {
                return ending;
            }
        }
    }

    fn serve(&mut self) -> After {
        self.sbi.call(&mut self.hart, 0)
    }

    /// The kernel's log so far without times, a message each.
    pub fn lines(&self) -> Vec<String> {
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages(&String::from_utf8_lossy(&said))
    }

    /// The address of the first page of RAM that is not the same in both.
    pub fn differs_at(&self, other: &Self) -> Option<u64> {
        let (ram, others) = (self.hart.ram(), other.hart.ram());
        (ram.base()..ram.base() + ram.length())
            .step_by(size_of::<PageBytes>())
            .find(|at| ram.load_page(*at) != others.load_page(*at))
    }
}

/// A machine that translates, and one that interprets the same in step with it.
#[derive(Debug)]
pub struct Pair {
    /// Translates.
    pub leader: Single,
    /// Interprets.
    pub follower: Single,
    steps: u32,
}

impl Pair {
    /// Loads both.
    ///
    /// # Panics
    /// As for [`Single`].
    pub fn new(initramfs: &Path) -> Self {
        Self {
            leader: Single::new(initramfs).translated(),
            follower: Single::new(initramfs),
            steps: 0,
        }
    }

    /// Runs both to the end of a block, or later on for 1 to 3000 instructions, and compares all registers; how the guest ended,
    /// if it did.
    ///
    /// # Errors
    /// What is not the same.
    ///
    /// # Panics
    /// When the firmware was called for different things, or something else stops the harts.
    pub fn step(&mut self) -> Result<Option<Ending>, Divergence> {
        let (leader, follower) = (&mut self.leader, &mut self.follower);
        let length = if leader.hart.retired() < BLOCK_BY_BLOCK {
            1
        } else {
            // All lengths, so that they meet everywhere.
            self.steps = self.steps.wrapping_add(7919);
            1 + self.steps % 3000
        };
        match lockstep::step(&mut leader.hart, &mut follower.hart, length)? {
            Step::Slice => {}
            Step::Waiting => lockstep::wait(&mut leader.hart, &mut follower.hart),
            Step::Exit(exit) => {
                assert_eq!(exit, Exit::SupervisorCall);
                let after = leader.serve();
                assert_eq!(after, follower.serve(), "the calls differ");
                if let After::End(ending) = after {
                    return Ok(Some(ending));
                }
            }
        }
        Ok(None)
    }
}
