//! IEEE 754 arithmetic in integers, exact to the last flag, as RISC-V F and D define it.
//!
//! Values are raw bits: `u32` in [`single`], `u64` in [`double`]. Each operation rounds once in the mode it is given and
//! adds the exceptions it raised to the caller's [`Flags`]. What RISC-V fixes and IEEE 754 leaves open:
//!
//! - a NaN result is always the canonical quiet NaN, `0x7fc0_0000` or `0x7ff8_0000_0000_0000`;
//! - tininess is detected after rounding, as if the exponent had no lower bound;
//! - a conversion to an integer saturates, NaN becomes the greatest value, and raises NV alone (never NX) then;
//! - infinity times zero plus a quiet NaN raises NV.
//!
//! [`integer`] computes everything in integers. [`single`] and [`double`] hold the same operations for callers: they ask
//! the host's floating point unit first where its answer is provably the same bits and the same flags, and turn to
//! [`integer`] otherwise. That needs the host's default floating-point environment (round to nearest, subnormals on), which
//! Rust requires anyway.
//!
//! All operands come from a guest and any bits are valid. No operand can cause a panic: exponents stay within a few thousand,
//! shifts are bounded where they are made, and there is no indexing.
//!
//! Section numbers in this crate are those of the RISC-V Instruction Set Manual, volume I, chapters F and D.

#![forbid(unsafe_code)]

mod compare;
pub mod double;
mod format;
mod host;
pub mod integer;
mod round;
pub mod single;

pub use format::{Double, Format, Single};

/// Accrued exceptions, laid out as the `fflags` register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// Inexact.
    pub const NX: u8 = 1;
    /// Underflow.
    pub const UF: u8 = 2;
    /// Overflow.
    pub const OF: u8 = 4;
    /// Division of a finite number by zero.
    pub const DZ: u8 = 8;
    /// Invalid operation.
    pub const NV: u8 = 16;

    /// Adds the exceptions in `mask`.
    #[inline]
    pub const fn raise(&mut self, mask: u8) {
        self.0 |= mask;
    }

    /// Whether all exceptions in `mask` have been raised.
    #[inline]
    #[must_use]
    pub const fn contains(self, mask: u8) -> bool {
        self.0 & mask == mask
    }
}

/// How a result that does not fit is rounded; the discriminants are the values of `frm` and of an instruction's `rm` field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rounding {
    /// RNE: to the nearest, a tie to the even one.
    #[default]
    NearestEven = 0,
    /// RTZ: towards zero.
    TowardZero = 1,
    /// RDN: towards negative infinity.
    Down = 2,
    /// RUP: towards positive infinity.
    Up = 3,
    /// RMM: to the nearest, a tie away from zero.
    NearestMaxMagnitude = 4,
}

impl Rounding {
    /// Every mode, in the order of `frm`.
    pub const ALL: [Self; 5] = [
        Self::NearestEven,
        Self::TowardZero,
        Self::Down,
        Self::Up,
        Self::NearestMaxMagnitude,
    ];

    /// The mode that `frm` or an instruction's `rm` field encodes; `None` for 5 and 6 (reserved) and 7 (dynamic).
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::NearestEven),
            1 => Some(Self::TowardZero),
            2 => Some(Self::Down),
            3 => Some(Self::Up),
            4 => Some(Self::NearestMaxMagnitude),
            _ => None,
        }
    }
}
