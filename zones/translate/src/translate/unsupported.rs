//! Hosts that there is no generator for: harts interpret.

use super::trace::Trace;
use super::{CodeGenerator, Helper, Output, Patch, Stubs};

/// Never used: it says that it is not supported.
#[derive(Default)]
pub(super) struct Unsupported;

impl CodeGenerator for Unsupported {
    fn is_supported() -> bool {
        false
    }

    fn stubs(&mut self, _offset: usize, _helper: Helper) -> (Vec<u8>, Stubs) {
        (Vec::new(), Stubs::default())
    }

    fn trace(&mut self, _trace: &Trace, _grouped: bool, _output: &mut Output<'_>) -> &[u8] {
        &[]
    }

    fn patch(&self, _patch: &Patch, _target: usize) -> Option<(usize, [u8; 4])> {
        None
    }

    fn replacement(&self, _old: usize, _new: usize) -> Vec<u8> {
        Vec::new()
    }

    fn way_out(&mut self, _old: usize, _stubs: Stubs, _leave: u32) -> Vec<u8> {
        Vec::new()
    }
}
