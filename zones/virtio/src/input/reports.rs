//! What waits to be told to the guest.
//!
//! Invariants: the queue is bounded; reports are told whole and in order, each ended by SYN; `told` is what the guest
//! believes of each key, `held` what is true, and once the queue is empty they are equal.

use std::collections::{BTreeSet, VecDeque};

use super::{
    ABS_X, ABS_Y, EV_ABS, EV_KEY, EV_REL, Event, InputEvent, Model, NOTCH, POINTER_MAX, REL_HWHEEL,
    REL_HWHEEL_HI_RES, REL_WHEEL, REL_WHEEL_HI_RES,
};

/// Events that may wait for buffers: seconds of fast typing.
pub(super) const WAITING_MAX: usize = 1024;

/// What became of a report.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Delivery {
    /// On its way, or merged with one that is.
    Queued,
    /// The guest takes no events and too many wait: those were dropped, the guest will be brought up to date when it
    /// takes events again.
    Overflow,
    /// The guest has no driver for the device; if it gets one it learns what is held then.
    #[default]
    NotListening,
}

/// A report that only moves things can be merged with the next; one with keys cannot.
#[derive(Clone, Copy, Debug, Default)]
struct Motion {
    position: Option<(u32, u32)>,
    /// 1/120 notches.
    vertical: i32,
    horizontal: i32,
}

impl Motion {
    fn is_empty(&self) -> bool {
        self.position.is_none() && self.vertical == 0 && self.horizontal == 0
    }
}

pub(super) struct Reports {
    model: Model,
    /// Events of reports that can no longer change.
    waiting: VecDeque<Event>,
    /// Motion after them that still can.
    motion: Motion,
    /// Parts of a notch that were not yet told as a whole one.
    vertical_rest: i32,
    horizontal_rest: i32,
    held: BTreeSet<u16>,
    /// Keys that the guest was told are down.
    told: BTreeSet<u16>,
    /// The latest position, for catching up.
    position: Option<(u32, u32)>,
    /// Whether the guest's view has to be brought up to date.
    behind: bool,
    /// Whether the guest was told events that no SYN has closed yet.
    open: bool,
}

impl Reports {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            waiting: VecDeque::new(),
            motion: Motion::default(),
            vertical_rest: 0,
            horizontal_rest: 0,
            held: BTreeSet::new(),
            told: BTreeSet::new(),
            position: None,
            behind: false,
            open: false,
        }
    }

    /// The guest's driver is gone: its successor believes that nothing is held.
    pub(super) fn reset(&mut self) {
        self.drop_waiting();
        self.told.clear();
        self.open = false;
        self.behind = true;
    }

    fn drop_waiting(&mut self) {
        self.waiting.clear();
        self.motion = Motion::default();
        self.vertical_rest = 0;
        self.horizontal_rest = 0;
    }

    pub(super) fn push(&mut self, events: &[InputEvent], listening: bool) -> Delivery {
        let mut report = Vec::new();
        let mut motion = Motion::default();
        for event in events {
            match *event {
                InputEvent::Key { code, pressed } if self.model.has_key(code) => {
                    let changed = if pressed {
                        self.held.insert(code)
                    } else {
                        self.held.remove(&code)
                    };
                    if changed {
                        report.push(key(code, pressed));
                    }
                }
                InputEvent::Position { x, y } if self.model == Model::Pointer => {
                    let position = (x.min(POINTER_MAX), y.min(POINTER_MAX));
                    self.position = Some(position);
                    motion.position = Some(position);
                }
                InputEvent::Wheel {
                    vertical,
                    horizontal,
                } if self.model == Model::Pointer => {
                    motion.vertical = motion.vertical.saturating_add(vertical);
                    motion.horizontal = motion.horizontal.saturating_add(horizontal);
                }
                _ => {}
            }
        }
        if !listening {
            self.behind = true;
            return Delivery::NotListening;
        }
        if self.behind {
            // What is held and where the pointer is will be told when the guest takes events; the rest is lost.
            return Delivery::Overflow;
        }
        self.merge(motion);
        if !report.is_empty() {
            // Keys come after the motion that led to them.
            self.settle_motion();
            report.push(Event::SYN);
            self.waiting.extend(report);
        }
        if self.waiting.len() > WAITING_MAX {
            self.drop_waiting();
            self.behind = true;
            return Delivery::Overflow;
        }
        Delivery::Queued
    }

    fn merge(&mut self, motion: Motion) {
        if motion.position.is_some() {
            self.motion.position = motion.position;
        }
        self.motion.vertical = self.motion.vertical.saturating_add(motion.vertical);
        self.motion.horizontal = self.motion.horizontal.saturating_add(motion.horizontal);
    }

    /// Turns the motion that waits into a report.
    fn settle_motion(&mut self) {
        if self.motion.is_empty() {
            return;
        }
        let motion = std::mem::take(&mut self.motion);
        if let Some((x, y)) = motion.position {
            self.waiting.extend(position(x, y));
        }
        let wheels = [
            (
                motion.vertical,
                &mut self.vertical_rest,
                REL_WHEEL_HI_RES,
                REL_WHEEL,
            ),
            (
                motion.horizontal,
                &mut self.horizontal_rest,
                REL_HWHEEL_HI_RES,
                REL_HWHEEL,
            ),
        ];
        for (turned, rest, fine, coarse) in wheels {
            if turned == 0 {
                continue;
            }
            self.waiting.push_back(relative(fine, turned));
            // A turn the other way starts its notch anew.
            let before = if rest.signum() == turned.signum() {
                *rest
            } else {
                0
            };
            let sum = before.saturating_add(turned);
            *rest = sum % NOTCH;
            if sum / NOTCH != 0 {
                self.waiting.push_back(relative(coarse, sum / NOTCH));
            }
        }
        self.waiting.push_back(Event::SYN);
    }

    /// The next event to tell, if any.
    pub(super) fn front(&mut self) -> Option<Event> {
        if self.waiting.is_empty() {
            if self.behind {
                self.catch_up();
            } else {
                self.settle_motion();
            }
        }
        self.waiting.front().copied()
    }

    /// The event at the front was told.
    pub(super) fn pop(&mut self) {
        let Some(event) = self.waiting.pop_front() else {
            return;
        };
        self.open = event != Event::SYN;
        if event.kind == EV_KEY {
            if event.value == 0 {
                self.told.remove(&event.code);
            } else {
                self.told.insert(event.code);
            }
        }
    }

    /// Makes the report that leads from what the guest believes to what is true.
    fn catch_up(&mut self) {
        self.behind = false;
        let released = self
            .told
            .difference(&self.held)
            .map(|code| key(*code, false));
        let pressed = self
            .held
            .difference(&self.told)
            .map(|code| key(*code, true));
        let mut report: Vec<Event> = released.chain(pressed).collect();
        if let Some((x, y)) = self.position {
            report.extend(position(x, y));
        }
        if !report.is_empty() || self.open {
            report.push(Event::SYN);
        }
        self.waiting.extend(report);
    }
}

fn key(code: u16, pressed: bool) -> Event {
    Event {
        kind: EV_KEY,
        code,
        value: i32::from(pressed),
    }
}

fn relative(code: u16, value: i32) -> Event {
    Event {
        kind: EV_REL,
        code,
        value,
    }
}

fn position(x: u32, y: u32) -> [Event; 2] {
    [(ABS_X, x), (ABS_Y, y)].map(|(code, value)| Event {
        kind: EV_ABS,
        code,
        value: i32::try_from(value).unwrap_or(i32::MAX),
    })
}
