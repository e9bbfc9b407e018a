//! The border between generated code and the rest: how a hart enters it, and how it calls the interpreter. One of the
//! crate's modules with unsafe code.

use super::CodeCache;
use crate::execute::{self, Flow};
use crate::hart::Core;

/// Runs generated code on this hart until it leaves; returns the number it leaves.
pub(super) fn enter(cache: &CodeCache, stub: usize, core: &mut Core, code: u64) -> u32 {
    // SAFETY: the caller's code address comes from this cache's translator, which wrote complete code there, and the core
    // is ours alone while that code runs; it touches the core's fields, guest RAM through cached translations, and its own
    // stack frame only.
    let left = unsafe { cache.enter(stub, std::ptr::from_mut(core).cast(), code) };
    left as u32
}

/// Called by generated code: the interpreter does one instruction. Returns 0 if that code goes on after it.
pub(super) extern "C" fn interpret_site(core: *mut Core, site: u32) -> u32 {
    // SAFETY: generated code passes on the core that `enter` was given, and uses it only after this returns.
    let core = unsafe { &mut *core };
    core.absorb_host_flags();
    let Some(site) = core.sites.get(site as usize).copied() else {
        return 1;
    };
    let before = i64::from(site.before);
    core.budget -= before;
    let traps = core.traps;
    let flow = execute::run(core, std::slice::from_ref(&site.op), site.pc);
    let on = matches!(flow, Flow::Continue) && traps == core.traps && core.budget > 0;
    if !on {
        core.flow = flow;
        return 1;
    }
    // The trace counts its instructions when it ends.
    core.budget += before + 1;
    0
}
