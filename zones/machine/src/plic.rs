//! The platform-level interrupt controller: level-triggered sources, one S-mode context per hart.
//!
//! Source: RISC-V Platform-Level Interrupt Controller Specification 1.0.0, memory map.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zone_translate::HartPort;

use crate::board::Registers;

/// Sources 1 to 31; source 0 does not exist.
pub const SOURCES: u32 = 31;
/// The real-time clock's; virtio devices have those before it.
pub const RTC_SOURCE: u32 = SOURCES;
/// Priorities are 0 (never) to 7.
const PRIORITY_MASK: u32 = 7;

const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;

#[derive(Debug, Default)]
struct Context {
    enabled: u32,
    threshold: u32,
}

#[derive(Debug)]
struct State {
    priority: [u32; 32],
    /// The lines as devices drive them.
    level: u32,
    /// Forwarded and not yet claimed.
    pending: u32,
    /// Claimed and not yet completed: the gateway forwards nothing more.
    in_service: u32,
    contexts: Vec<Context>,
}

/// The controller. Context `n` is hart `n`'s S-mode.
#[derive(Debug)]
pub struct Plic {
    state: Mutex<State>,
    harts: Vec<Arc<HartPort>>,
}

impl Plic {
    /// A controller that drives these harts' external interrupts.
    pub fn new(harts: Vec<Arc<HartPort>>) -> Self {
        let contexts = harts.iter().map(|_| Context::default()).collect();
        let state = State {
            priority: [0; 32],
            level: 0,
            pending: 0,
            in_service: 0,
            contexts,
        };
        Self {
            state: Mutex::new(state),
            harts,
        }
    }

    /// Drives a source's line. Sources that do not exist are ignored.
    pub fn set(&self, source: u32, high: bool) {
        if source == 0 || source > SOURCES {
            return;
        }
        let mut state = self.state();
        let bit = 1 << source;
        if high {
            state.level |= bit;
            state.pending |= bit & !state.in_service;
        } else {
            state.level &= !bit;
            // A level-triggered request that goes away before it is claimed is gone.
            state.pending &= !bit;
        }
        self.drive(&state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drive(&self, state: &State) {
        for (context, hart) in state.contexts.iter().zip(&self.harts) {
            hart.set_external_interrupt(state.best(context).is_some());
        }
    }

    fn load(&self, offset: u64) -> u32 {
        let mut state = self.state();
        match offset {
            0..PENDING => state.priority.get(index(offset)).copied().unwrap_or(0),
            PENDING => state.pending,
            ENABLE..CONTEXT => match place(offset - ENABLE, ENABLE_STRIDE) {
                (context, 0) => state
                    .contexts
                    .get(context)
                    .map_or(0, |context| context.enabled),
                _ => 0,
            },
            _ => match place(offset.saturating_sub(CONTEXT), CONTEXT_STRIDE) {
                (context, 0) => state
                    .contexts
                    .get(context)
                    .map_or(0, |context| context.threshold),
                (context, 4) => {
                    let claimed = state
                        .contexts
                        .get(context)
                        .and_then(|context| state.best(context))
                        .unwrap_or(0);
                    if claimed != 0 {
                        state.pending &= !(1 << claimed);
                        state.in_service |= 1 << claimed;
                        self.drive(&state);
                    }
                    claimed
                }
                _ => 0,
            },
        }
    }

    fn store(&self, offset: u64, value: u32) {
        let mut state = self.state();
        match offset {
            0..PENDING => {
                if let Some(priority) = state.priority.get_mut(index(offset)) {
                    *priority = value & PRIORITY_MASK;
                }
            }
            ENABLE..CONTEXT => {
                if let (context, 0) = place(offset - ENABLE, ENABLE_STRIDE)
                    && let Some(context) = state.contexts.get_mut(context)
                {
                    context.enabled = value & !1;
                }
            }
            CONTEXT.. => match place(offset - CONTEXT, CONTEXT_STRIDE) {
                (context, 0) => {
                    if let Some(context) = state.contexts.get_mut(context) {
                        context.threshold = value & PRIORITY_MASK;
                    }
                }
                (context, 4) => {
                    let enabled = state
                        .contexts
                        .get(context)
                        .map_or(0, |context| context.enabled);
                    // A completion for a source that this context does not enable is ignored.
                    if value <= SOURCES && enabled & 1 << value != 0 {
                        let bit = 1 << value;
                        state.in_service &= !bit;
                        state.pending |= state.level & bit;
                    }
                }
                _ => {}
            },
            _ => {}
        }
        self.drive(&state);
    }
}

impl State {
    /// The pending source with the highest priority above the context's threshold; the lowest number among equals.
    fn best(&self, context: &Context) -> Option<u32> {
        let mut candidates = self.pending & context.enabled;
        let mut best = None;
        let mut best_priority = context.threshold;
        while candidates != 0 {
            let source = candidates.trailing_zeros();
            candidates &= candidates - 1;
            let priority = self.priority.get(source as usize).copied().unwrap_or(0);
            if priority > best_priority {
                (best, best_priority) = (Some(source), priority);
            }
        }
        best
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset / 4).unwrap_or(usize::MAX)
}

/// Which context an offset belongs to, and the offset within it.
fn place(offset: u64, stride: u64) -> (usize, u64) {
    (
        usize::try_from(offset / stride).unwrap_or(usize::MAX),
        offset % stride,
    )
}

impl Registers for Plic {
    fn read(&self, offset: u64, data: &mut [u8]) {
        // Registers are 32 bits wide and take only whole accesses.
        if let (Ok(word), 0) = (<&mut [u8; 4]>::try_from(data), offset % 4) {
            *word = self.load(offset).to_le_bytes();
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let (Ok(word), 0) = (<[u8; 4]>::try_from(data), offset % 4) {
            self.store(offset, u32::from_le_bytes(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(plic: &Plic, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        Registers::read(plic, offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn store(plic: &Plic, offset: u64, value: u32) {
        Registers::write(plic, offset, &value.to_le_bytes());
    }

    fn two_harts() -> Plic {
        let plic = Plic::new(vec![Arc::default(), Arc::default()]);
        for source in 1..4 {
            store(&plic, 4 * source, 1);
        }
        store(&plic, ENABLE + ENABLE_STRIDE, 0b1110);
        plic
    }

    #[test]
    fn a_level_is_forwarded_again_after_completion_only_while_it_is_high() {
        let plic = two_harts();
        let claim = CONTEXT + CONTEXT_STRIDE + 4;
        plic.set(2, true);
        assert_eq!(load(&plic, claim), 2);
        assert_eq!(load(&plic, claim), 0, "claimed once");
        store(&plic, claim, 2);
        assert_eq!(load(&plic, claim), 2, "still high");
        plic.set(2, false);
        store(&plic, claim, 2);
        assert_eq!(load(&plic, claim), 0);
    }

    #[test]
    fn the_highest_priority_wins_then_the_lowest_number() {
        let plic = two_harts();
        let claim = CONTEXT + CONTEXT_STRIDE + 4;
        store(&plic, 4 * 3, 5);
        for source in 1..4 {
            plic.set(source, true);
        }
        assert_eq!(
            [load(&plic, claim), load(&plic, claim), load(&plic, claim)],
            [3, 1, 2]
        );
    }

    #[test]
    fn a_context_that_enables_nothing_claims_nothing() {
        let plic = two_harts();
        plic.set(1, true);
        assert_eq!(load(&plic, CONTEXT + 4), 0);
        assert_eq!(
            load(&plic, CONTEXT + 9 * CONTEXT_STRIDE + 4),
            0,
            "no such context"
        );
        store(&plic, CONTEXT + CONTEXT_STRIDE, 1);
        assert_eq!(
            load(&plic, CONTEXT + CONTEXT_STRIDE + 4),
            0,
            "not above the threshold"
        );
    }
}
