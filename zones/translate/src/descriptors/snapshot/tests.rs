//! Snapshots of RAM that harts and devices write to meanwhile, beside a copy that was made while everything stood still.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use super::*;
use crate::port::SSIP;
use crate::testing::assemble::*;
use crate::testing::random::Random;
use crate::testing::{Device, hart_with, place, ram, translated_too};
use crate::translate::mistakes;
use crate::{Exit, Hart};

const BASE: u64 = 0x8000_0000;
const PAGES: u64 = 256;
/// What harts count in. Before it, each of the harts has a page of code, and one with a function that it changes.
const COUNTED: Range<u64> = 8..150;
/// The word that makes them stop.
const STOP: u64 = BASE + 200 * PAGE_SIZE;
/// What the device fills with one number, each time another; it begins and ends within a page.
const FILLED: Range<u64> = BASE + 210 * PAGE_SIZE + 0x800..BASE + 215 * PAGE_SIZE + 0x40;

fn everything(ram: &Ram) -> Vec<PageBytes> {
    let pages = (0..PAGES).filter_map(|page| ram.page_by_number(page as u32));
    pages.map(HostPage::bytes).collect()
}

/// Takes a snapshot to its end.
fn saved(saver: Saver, mut between: impl FnMut()) -> Vec<PageBytes> {
    let mut pages = HashMap::new();
    let saved = saver.save(|offset, bytes| {
        assert!(offset.is_multiple_of(PAGE_SIZE));
        let first = pages.insert(offset / PAGE_SIZE, *bytes).is_none();
        between();
        if first {
            Ok(())
        } else {
            Err("a page came twice")
        }
    });
    assert_eq!(saved, Ok(()));
    let page = |number| pages.remove(&number).expect("each page");
    (0..PAGES).map(page).collect()
}

/// Compares page by page: the differences in all of RAM are too long to read.
#[track_caller]
fn assert_same(left: &[PageBytes], right: &[PageBytes]) {
    assert_eq!(left.len(), right.len());
    let pages = left.iter().zip(right).enumerate();
    let different: Vec<usize> = pages
        .filter(|(_, (a, b))| a != b)
        .map(|(page, _)| page)
        .collect();
    assert!(
        different.is_empty(),
        "pages {different:?} are not what they were"
    );
}

/// Adds to a word of each counted page that all harts share and to one of its own, changes its function and calls it; until it is
/// to stop. Then `x10` is how often that was, and `x17` what the calls added.
fn counter(ram: &Ram, hart: &mut Hart, number: u64) {
    let start = BASE + number * 2 * PAGE_SIZE;
    let function = start + PAGE_SIZE;
    place(ram, function, &[NOP, jalr(0, 1, 0)]);
    let own = 8 * (1 + number as i32);
    let turn = [
        addi(11, 5, 0),
        addi(12, 0, (COUNTED.end - COUNTED.start) as i32),
        // For each page.
        atomic(true, 0, 0, 11, 8),
        ld(13, 11, own),
        addi(13, 13, 1),
        sd(13, 11, own),
        add(11, 11, 16),
        addi(12, 12, -1),
        branch(1, 12, 0, -24),
        sw(19, 18, 0),
        FENCE_I,
        jalr(1, 18, 0),
        r_type(0x33, 4, 0, 19, 19, 20),
        addi(10, 10, 1),
        ld(13, 6, 0),
        branch(0, 13, 0, -60),
        ECALL,
    ];
    place(ram, start, &turn);
    hart.start(start, 0, 0);
    let registers = [
        (5, BASE + COUNTED.start * PAGE_SIZE),
        (6, STOP),
        (8, 1),
        (16, PAGE_SIZE),
        (18, function),
        (19, addi(17, 17, 1).into()),
        // Makes 2 of the 1, and the other way round.
        (20, 3 << 20),
    ];
    for (register, value) in registers {
        hart.set_register(register, value);
    }
}

/// Sleeps until it is woken, and counts that.
fn sleeper(ram: &Ram, hart: &mut Hart, number: u64) {
    let start = BASE + number * 2 * PAGE_SIZE;
    let own = 8 * (1 + number as i32);
    let (sie, sip) = (0x104, 0x144);
    let turn = [
        csrrs(0, sie, 8),
        WFI,
        csrrc(0, sip, 8),
        addi(10, 10, 1),
        sd(10, 5, own),
        ld(13, 6, 0),
        branch(0, 13, 0, -20),
        ECALL,
    ];
    place(ram, start, &turn);
    hart.start(start, 0, 0);
    let page = BASE + COUNTED.start * PAGE_SIZE;
    for (register, value) in [(5, page), (6, STOP), (8, SSIP)] {
        hart.set_register(register, value);
    }
}

/// Whoever drops it ends what the test's threads do.
struct Ending<'a>(&'a Ram, &'a AtomicBool, &'a HartPort);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.cancel_snapshot();
        self.0.store(STOP, 1u64);
        self.1.store(true, Ordering::SeqCst);
        self.2.raise_software_interrupt();
    }
}

/// Fills its range over and over.
fn fill(ram: &Ram, number: u64) {
    let length = FILLED.end - FILLED.start;
    let _writing = ram.about_to_write(FILLED.start, length);
    for address in FILLED.step_by(8) {
        ram.page(address).unwrap().store(address, number);
    }
}

/// Two harts count, a third one sleeps most of the time, and a device writes: under so many snapshots.
pub(crate) fn snapshots_are_what_was_there(snapshots: u64) {
    let ram = ram(BASE, (PAGES * PAGE_SIZE) as usize);
    let ports: Vec<Arc<HartPort>> = (0..3).map(|_| Arc::default()).collect();
    let mut harts: Vec<Hart> = ports
        .iter()
        .map(|port| hart_with(&ram, Arc::<Device>::default(), Arc::clone(port)))
        .collect();
    for (number, hart) in harts.iter_mut().enumerate() {
        match number {
            0 | 1 => counter(&ram, hart, number as u64),
            _ => sleeper(&ram, hart, number as u64),
        }
    }
    let ended = AtomicBool::new(false);
    let made = mistakes::made();
    let mut random = Random::new(snapshots);
    let harts: Vec<Hart> = std::thread::scope(|scope| {
        let threads: Vec<_> = harts
            .into_iter()
            .map(|mut hart| {
                scope.spawn(move || {
                    mistakes::make(made);
                    assert_eq!(hart.run(), Exit::SupervisorCall);
                    hart
                })
            })
            .collect();
        scope.spawn(|| {
            mistakes::make(made);
            for number in 1.. {
                fill(&ram, number);
                ports[2].raise_software_interrupt();
                if ended.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let ending = Ending(&ram, &ended, &ports[2]);
        let mut last = 0;
        for _ in 0..snapshots {
            let room = random.pick(&[1, 4, 64, 1000]);
            let instant = || {
                let then = everything(&ram);
                if made.is_some() {
                    // Whoever does not stand still gets a processor meanwhile.
                    std::thread::sleep(Duration::from_millis(5));
                }
                assert_same(&everything(&ram), &then);
                then
            };
            let (saver, then) = ram.snapshot(room, instant).unwrap();
            assert_eq!(ram.snapshot(1, || ()).unwrap_err(), SnapshotError::UnderWay);
            let slow = random.below(3) == 0;
            let mut left = random.below(2 * PAGES);
            match random.below(8) {
                0 => drop(saver),
                1 => {
                    let canceller = saver.canceller();
                    let saved = saver.save(|_, _| {
                        left = left.saturating_sub(1);
                        if left == 0 {
                            canceller.cancel();
                        }
                        Ok::<(), ()>(())
                    });
                    assert!(matches!(saved, Err(SaveError::Cancelled) | Ok(())));
                    // It is too late for the next one.
                    canceller.cancel();
                }
                2 => {
                    let result = saver.save(|_, _| {
                        left = left.saturating_sub(1);
                        if left == 0 { Err("full") } else { Ok(()) }
                    });
                    assert!(matches!(result, Err(SaveError::Sink("full")) | Ok(())));
                }
                _ => {
                    let pages = saved(saver, || {
                        if slow {
                            std::thread::sleep(Duration::from_micros(50));
                        }
                    });
                    assert_same(&pages, &then);
                }
            }
            // The instant is between two of the device's writes.
            let offset = (FILLED.start - BASE) as usize..(FILLED.end - BASE) as usize;
            let filled = &then.as_flattened()[offset];
            let (words, _) = filled.as_chunks::<8>();
            assert!(words.iter().all(|word| word == &words[0]));
            let now = u64::from_le_bytes(words[0]);
            assert!(now >= last);
            last = now;
        }
        drop(ending);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(
        ram.descriptors()
            .protected
            .iter()
            .all(|word| word.load(Ordering::SeqCst) == 0)
    );
    let turns = [harts[0].register(10), harts[1].register(10)];
    assert!(turns[0] > 0 && turns[1] > 0 && harts[2].register(10) > 0);
    for page in COUNTED {
        let at = BASE + page * PAGE_SIZE;
        let counts: [u64; 3] = std::array::from_fn(|word| ram.load(at + 8 * word as u64).unwrap());
        assert_eq!(
            counts,
            [turns[0] + turns[1], turns[0], turns[1]],
            "page {page}"
        );
    }
    for (hart, turns) in harts.iter().zip(turns) {
        assert_eq!(hart.register(17), turns + turns / 2);
    }
}

#[test]
fn of_a_guest_that_writes_everywhere() {
    snapshots_are_what_was_there(60);
}

/// What a hart had cached for stores before the instant is of no use to it afterwards, and a device asks each time.
pub(crate) fn all_ask_again_after_the_instant() {
    let ram = ram(BASE, (PAGES * PAGE_SIZE) as usize);
    let mut hart = hart_with(&ram, Arc::<Device>::default(), Arc::default());
    place(
        &ram,
        BASE,
        &[addi(6, 6, 1), sd(6, 5, 0), atomic(true, 0, 0, 5, 6), ECALL],
    );
    for turn in 0..5 {
        let mut run = || {
            hart.start(BASE, 0, 0);
            hart.set_register(5, BASE + 0x5000);
            hart.set_register(6, ram.load(BASE + 0x5000).unwrap());
            assert_eq!(hart.run(), Exit::SupervisorCall);
        };
        run();
        let (saver, then) = ram.snapshot(PAGES as usize, || everything(&ram)).unwrap();
        run();
        fill(&ram, turn);
        assert_same(&saved(saver, || ()), &then);
        run();
    }
    assert_eq!(ram.load::<u64>(BASE + 0x5000), Some((1 << 16) - 2));
}

#[test]
fn of_what_a_hart_had_cached() {
    all_ask_again_after_the_instant();
}

/// Nothing is written any more, and nobody waits.
#[test]
fn who_waits_for_room_goes_on_when_nobody_saves() {
    type End = fn(&Ram, Saver);
    let ends: [End; 5] = [
        |_, saver| drop(saver),
        |_, saver| saver.canceller().cancel(),
        |ram, _saver| ram.cancel_snapshot(),
        |_, saver| assert_eq!(saver.save(|_, _| Err(7)), Err(SaveError::Sink(7))),
        |_, saver| _ = saved(saver, || ()),
    ];
    for end in ends {
        let ram = &ram(BASE, (PAGES * PAGE_SIZE) as usize);
        let (saver, ()) = ram.snapshot(2, || ()).unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for page in 0..PAGES {
                    ram.store(BASE + page * PAGE_SIZE, 1u8);
                    sender.send(page).unwrap();
                }
            });
            // Two pages are kept, the third waits.
            assert_eq!((receiver.recv(), receiver.recv()), (Ok(0), Ok(1)));
            let waits = receiver.recv_timeout(Duration::from_millis(20));
            assert_eq!(waits, Err(mpsc::RecvTimeoutError::Timeout));
            end(ram, saver);
            assert_eq!(receiver.iter().count() as u64, PAGES - 2);
        });
        // The next one.
        let (saver, then) = ram.snapshot(2, || everything(ram)).unwrap();
        assert_same(&saved(saver, || ()), &then);
    }
}

#[test]
fn without_an_instant_there_is_no_snapshot() {
    let ram = ram(BASE, (PAGES * PAGE_SIZE) as usize);
    let port = Arc::default();
    let _hart = hart_with(&ram, Arc::default(), Arc::clone(&port));
    // As if it were in a device for long.
    port.begin_to_run();
    let begin = || ram.descriptors().begin(1, Duration::from_millis(5), || ());
    assert_eq!(begin(), Err(SnapshotError::Unsettled));
    port.end_of_run();
    // It is not held any more.
    port.begin_to_run();
    port.end_of_run();
    // What comes to grief at the instant leaves nothing behind.
    let grief = std::panic::AssertUnwindSafe(|| ram.snapshot(1, || panic!("at the instant")));
    assert!(std::panic::catch_unwind(grief).is_err());
    ram.store(BASE, 1u8);
    assert_eq!(begin(), Ok((1, ())));
    assert_eq!(begin(), Err(SnapshotError::UnderWay));
    ram.cancel_snapshot();
    assert_eq!(begin(), Ok((2, ())));
}

#[test]
fn each_page_is_protected_whatever_their_number() {
    for pages in [1, 63, 64, 65, 128, 130] {
        let ram = ram(BASE, pages * PAGE_SIZE as usize);
        let (saver, ()) = ram.snapshot(1, || ()).unwrap();
        let protected = ram.descriptors().protected.iter();
        let count: u32 = protected
            .map(|word| word.load(Ordering::SeqCst).count_ones())
            .sum();
        assert_eq!(count as usize, pages);
        let mut offsets = Vec::new();
        let saved = saver.save(|offset, _| {
            offsets.push(offset as usize);
            Ok::<(), ()>(())
        });
        assert_eq!(saved, Ok(()));
        assert_eq!(
            offsets,
            (0..pages)
                .map(|page| page * PAGE_SIZE as usize)
                .collect::<Vec<_>>()
        );
    }
}

translated_too! {
    of_a_guest_that_writes_everywhere
    of_what_a_hart_had_cached
}
