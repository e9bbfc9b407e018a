//! Tests of the queue: order, age, merging, and that no transition is lost.

use proptest::prelude::*;

use super::*;
use crate::report::ReportDescriptor;

fn mouse() -> Arc<Layout> {
    let bytes = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x05, 0x09, 0x19, 0x01, 0x29, 0x08, 0x15, 0x00, 0x25,
        0x01, 0x95, 0x08, 0x75, 0x01, 0x81, 0x02, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01,
        0x80, 0x26, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x06, 0xc0,
    ];
    Arc::new(Layout::new(&ReportDescriptor::parse(&bytes).unwrap()))
}

fn report(buttons: u8, x: i16, y: i16) -> [u8; 5] {
    let ([x0, x1], [y0, y1]) = (x.to_le_bytes(), y.to_le_bytes());
    [buttons, x0, x1, y0, y1]
}

fn read(bytes: &[u8]) -> (u8, i32, i32) {
    let axis = |at: usize| i32::from(i16::from_le_bytes([bytes[at], bytes[at + 1]]));
    (bytes[0], axis(1), axis(3))
}

#[test]
fn while_the_reader_keeps_up_reports_leave_as_they_came() {
    let mut queue = ReportQueue::new(Some(mouse()), 8);
    let mut out = [0; 8];
    for step in 0..1000u16 {
        let now = Duration::from_millis(step.into());
        let sent = report(0, step.cast_signed(), 1);
        queue.push(&sent, now);
        let popped = queue.pop(&mut out, now).unwrap();
        assert_eq!(&out[..popped.length], sent);
    }
    assert_eq!(queue.counts().merged, 0);
}

#[test]
fn a_reader_at_a_tenth_of_the_speed_sees_fresh_motion_and_every_click() {
    let mut queue = ReportQueue::new(Some(mouse()), 8);
    let mut out = [0; 8];
    let (mut sent, mut got) = ((0i32, Vec::new()), (0i32, Vec::new()));
    let mut oldest = Duration::ZERO;
    // 1000 Hz for ten seconds, a click every 40 ms; the reader takes 100 a second.
    for millisecond in 0..10_000u64 {
        let now = Duration::from_millis(millisecond);
        let buttons = u8::from(millisecond / 20 % 2 == 1);
        queue.push(&report(buttons, 3, 0), now);
        sent.0 += 3;
        if sent.1.last() != Some(&buttons) {
            sent.1.push(buttons);
        }
        if millisecond % 10 == 9 {
            let popped = queue.pop(&mut out, now).unwrap();
            let (buttons, x, _) = read(&out[..popped.length]);
            oldest = oldest.max(popped.age);
            got.0 += x;
            if got.1.last() != Some(&buttons) {
                got.1.push(buttons);
            }
        }
    }
    while let Some(popped) = queue.pop(&mut out, Duration::from_secs(10)) {
        let (buttons, x, _) = read(&out[..popped.length]);
        got.0 += x;
        if got.1.last() != Some(&buttons) {
            got.1.push(buttons);
        }
    }
    assert_eq!(sent, got, "all motion and every click");
    assert!(oldest <= MAX_AGE, "{oldest:?}");
    assert!(queue.counts().merged > 1000);
}

#[test]
fn without_a_layout_nothing_is_merged_and_the_newest_survive() {
    let mut queue = ReportQueue::new(None, 2);
    for number in 0..2000u16 {
        queue.push(&number.to_be_bytes(), Duration::from_secs(number.into()));
    }
    assert_eq!(queue.len(), CAPACITY);
    assert_eq!(queue.counts().overrun, 2000 - 1024);
    assert_eq!(queue.counts().merged, 0);
    let mut out = [0; 2];
    let mut last = 0;
    while queue.pop(&mut out, Duration::ZERO).is_some() {
        last = u16::from_be_bytes(out);
    }
    assert_eq!(last, 1999);
}

#[test]
fn a_flush_forgets_and_gives_all_room_back() {
    let mut queue = ReportQueue::with_capacity(None, 1, 4);
    for round in 0..10u8 {
        for _ in 0..3 {
            queue.push(&[round], Duration::ZERO);
        }
        queue.clear();
        assert!(queue.is_empty());
    }
    assert_eq!(queue.counts().overrun, 0);
}

#[derive(Clone, Debug)]
enum Op {
    Push { buttons: u8, x: i16 },
    Pop,
    Wait(u16),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..4, -200i16..200).prop_map(|(buttons, x)| Op::Push { buttons, x }),
        4 => Just(Op::Pop),
        2 => (0u16..60).prop_map(Op::Wait),
        1 => Just(Op::Flush),
    ]
}

proptest! {
    /// Whatever happens, between flushes: every change of buttons comes out once and in order, all motion adds up, slots are
    /// neither lost nor doubled, and once the front is old nothing waits behind it that could merge: a slow reader is behind by what a person
    /// pressed, never by motion.
    #[test]
    fn no_transition_and_no_motion_is_lost(ops in prop::collection::vec(op(), 1..400)) {
        let mut queue = ReportQueue::with_capacity(Some(mouse()), 8, 512);
        let mut now = Duration::ZERO;
        let mut out = [0; 8];
        let (mut sent, mut got) = ((0i32, Vec::new()), (0i32, Vec::new()));
        for op in ops.into_iter().chain(std::iter::repeat_n(Op::Pop, 512)) {
            let front = queue.waiting.front();
            let is_old = front.is_some_and(|slot| now.saturating_sub(slot.stamp) >= COMPRESS_AGE);
            let relieves = matches!(op, Op::Push { .. } | Op::Pop);
            match op {
                Op::Push { buttons, x } => {
                    queue.push(&report(buttons, x, 0), now);
                    sent.0 += i32::from(x);
                    if sent.1.last() != Some(&buttons) { sent.1.push(buttons); }
                }
                Op::Pop => if let Some(popped) = queue.pop(&mut out, now) {
                    let (buttons, x, _) = read(&out[..popped.length]);
                    got.0 += x;
                    if got.1.last() != Some(&buttons) { got.1.push(buttons); }
                },
                Op::Wait(milliseconds) => now += Duration::from_millis(milliseconds.into()),
                Op::Flush => { queue.clear(); sent = got.clone(); }
            }
            prop_assert_eq!(queue.waiting.len() + queue.free.len(), 512);
            prop_assert!(queue.kept.is_empty());
            if is_old && relieves {
                let waiting: Vec<_> = queue.waiting.iter().map(|slot| read(slot.report())).collect();
                // What was just pushed is looked at with the next.
                let settled = waiting.len().saturating_sub(1);
                for pair in waiting[..settled].windows(2) {
                    let fits = i16::try_from(pair[0].1 + pair[1].1).is_ok();
                    prop_assert!(pair[0].0 != pair[1].0 || !fits, "{waiting:?}");
                }
            }
        }
        prop_assert_eq!(sent, got);
    }
}
