//! The RISC-V CPU of a translated zone: RV64GC with Zba, Zbb, Zbs, Zfa, Zicond, Zicboz and Zihintpause, S and U mode, Sv39 and Sv48, Sstc.
//!
//! There is no machine mode: the machine itself gives the SBI, so an `ecall` from S-mode leaves [`Hart::run`] with
//! [`Exit::SupervisorCall`]. Each hart runs on a host thread of its own; what other threads may do to it goes through
//! [`HartPort`]. A [`Compiler`], a thread that harts share, makes better code of what is hot.
//!
//! Rooms: [`decode`] turns instruction bits into [`op::Op`]s, [`blocks`] keeps them by physical address, `code_pages` and `watch` know whether code is still what it was, [`mmu`] translates
//! addresses and caches translations, `debug` is for those who look at a hart from outside, `execute` interprets a block, `translate` makes code of the host from what runs often,
//! [`csr`] and [`trap`] hold the privileged state, [`lockstep`] runs both engines side by side. Unsafe code is in three
//! modules only: [`memory`] (guest RAM is shared with other harts and devices, so it is only ever touched through volatile or
//! atomic accesses whose address came from [`memory::Ram`]), `translate::code` (memory for generated code, mapped twice) and
//! `translate::call` (the border to it).
//!
//! Everything the guest writes is hostile: no guest state can make this crate panic or touch host memory outside guest RAM.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "fixed-width arithmetic is what a CPU does; hosts are 64 bits wide"
)]
#[cfg(not(target_pointer_width = "64"))]
compile_error!("a translated machine needs a 64-bit host");

pub mod blocks;
pub mod bus;
mod code_pages;
pub mod csr;
mod debug;
pub mod decode;
#[cfg(test)]
mod differential;
mod execute;
mod float;
pub mod fuzzing;
pub mod hart;
pub mod lockstep;
pub mod memory;
pub mod mmu;
pub mod op;
pub mod port;
#[cfg(test)]
mod testing;
pub mod time;
mod translate;
pub mod trap;
mod watch;

pub use bus::{Bus, BusFault};
pub use debug::Breakpoint;
pub use hart::{Exit, Hart};
pub use memory::Ram;
pub use port::{Fence, HartPort};
pub use time::Clock;
pub use translate::{CodeCache, CodeError, Compiler};
