//! Hosts that there is no generator for: harts interpret.

use super::trace::Trace;
use super::{CodeGenerator, Compiled, Helper, Patch, Stubs};

/// Never used: it says that it is not supported.
pub(super) struct Unsupported;

impl CodeGenerator for Unsupported {
    fn is_supported() -> bool {
        false
    }

    fn new(_offset: usize, _helper: Helper) -> (Self, Vec<u8>) {
        (Self, Vec::new())
    }

    fn stubs(&self) -> Stubs {
        Stubs::default()
    }

    fn trace(&mut self, _trace: &Trace, _grouped: bool, _output: &mut Compiled) {}

    fn patch(&self, _patch: &Patch, _target: usize) -> Option<(usize, [u8; 4])> {
        None
    }

    fn replacement(&self, _old: usize, _new: usize) -> Vec<u8> {
        Vec::new()
    }

    fn way_out(&self, _old: usize, _leave: u32) -> Vec<u8> {
        Vec::new()
    }
}
