//! The F and D extensions but for loads and stores, on `zone-softfloat`.
//!
//! A binary32 value in a register is boxed: its upper half is all ones, anything else reads as the canonical NaN.

use zone_softfloat::{Rounding, double, single};

use crate::hart::Core;
use crate::op::{Kind, Op};
use crate::trap::Trap;

#[cfg(test)]
mod tests;

const BOX: u64 = 0xffff_ffff_0000_0000;
const SIGN_S: u32 = 1 << 31;
const SIGN_D: u64 = 1 << 63;

#[inline]
fn unboxed(bits: u64) -> u32 {
    if bits & BOX == BOX {
        bits as u32
    } else {
        0x7fc0_0000
    }
}

fn sign_extended(value: u32) -> u64 {
    i64::from(value.cast_signed()).cast_unsigned()
}

/// The constants of `fli`: chapter "Zfa". Number 1 is binary32's smallest normal number; binary64 has its own.
fn constant(index: u8) -> f64 {
    match index & 31 {
        0 => -1.0,
        1 => f32::MIN_POSITIVE.into(),
        2 => 1.0 / 65536.0,
        3 => 1.0 / 32768.0,
        4 => 1.0 / 256.0,
        5 => 1.0 / 128.0,
        6 => 0.0625,
        7 => 0.125,
        // A quarter to three, four steps to each power of two: the number is the low exponent and the top of the fraction.
        index @ 8..=22 => f64::from_bits(((0x3fd << 2) + u64::from(index - 8)) << 50),
        23 => 4.0,
        24 => 8.0,
        25 => 16.0,
        26 => 128.0,
        27 => 256.0,
        28 => 32768.0,
        29 => 65536.0,
        30 => f64::INFINITY,
        _ => f64::from_bits(0x7ff8_0000_0000_0000),
    }
}

impl Core {
    fn rounding(&self, op: &Op) -> Result<Rounding, Trap> {
        let mode = if op.rm == 7 { self.frm } else { op.rm };
        Ok(match mode {
            0 => Rounding::NearestEven,
            1 => Rounding::TowardZero,
            2 => Rounding::Down,
            3 => Rounding::Up,
            4 => Rounding::NearestMaxMagnitude,
            _ => return Err(Trap::illegal(op.raw)),
        })
    }

    fn s(&self, register: u8) -> u32 {
        unboxed(self.f[register as usize & 31])
    }

    fn d(&self, register: u8) -> u64 {
        self.f[register as usize & 31]
    }

    /// Runs one floating-point operation.
    #[allow(clippy::too_many_lines, reason = "one table")]
    pub(crate) fn float(&mut self, op: &Op) -> Result<(), Trap> {
        use Kind::*;
        if !self.float_enabled() {
            return Err(Trap::illegal(op.raw));
        }
        let x1 = self.x[op.rs1 as usize & 63];
        let (s1, s2) = (self.s(op.rs1), self.s(op.rs2));
        let (d1, d2) = (self.d(op.rs1), self.d(op.rs2));
        let third = (op.imm & 31) as u8;
        let mut flags = self.flags;
        let to = &mut flags;
        enum Result_ {
            Single(u32),
            Double(u64),
            Integer(u64),
        }
        use Result_::{Double, Integer, Single};
        let result = match op.kind {
            FaddS => Single(single::add(s1, s2, self.rounding(op)?, to)),
            FsubS => Single(single::sub(s1, s2, self.rounding(op)?, to)),
            FmulS => Single(single::mul(s1, s2, self.rounding(op)?, to)),
            FdivS => Single(single::div(s1, s2, self.rounding(op)?, to)),
            FsqrtS => Single(single::sqrt(s1, self.rounding(op)?, to)),
            FmaddS => Single(single::mul_add(
                s1,
                s2,
                self.s(third),
                self.rounding(op)?,
                to,
            )),
            FmsubS => Single(single::mul_add(
                s1,
                s2,
                self.s(third) ^ SIGN_S,
                self.rounding(op)?,
                to,
            )),
            FnmsubS => Single(single::mul_add(
                s1 ^ SIGN_S,
                s2,
                self.s(third),
                self.rounding(op)?,
                to,
            )),
            FnmaddS => Single(single::mul_add(
                s1 ^ SIGN_S,
                s2,
                self.s(third) ^ SIGN_S,
                self.rounding(op)?,
                to,
            )),
            FsgnjS => Single(s1 & !SIGN_S | s2 & SIGN_S),
            FsgnjnS => Single(s1 & !SIGN_S | !s2 & SIGN_S),
            FsgnjxS => Single(s1 ^ s2 & SIGN_S),
            FminS => Single(single::min(s1, s2, to)),
            FmaxS => Single(single::max(s1, s2, to)),
            FcvtWS => Integer(sign_extended(
                single::to_i32(s1, self.rounding(op)?, to).cast_unsigned(),
            )),
            FcvtWuS => Integer(sign_extended(single::to_u32(s1, self.rounding(op)?, to))),
            FcvtLS => Integer(single::to_i64(s1, self.rounding(op)?, to).cast_unsigned()),
            FcvtLuS => Integer(single::to_u64(s1, self.rounding(op)?, to)),
            FmvXW => Integer(sign_extended(d1 as u32)),
            FeqS => Integer(single::eq(s1, s2, to).into()),
            FltS => Integer(single::lt(s1, s2, to).into()),
            FleS => Integer(single::le(s1, s2, to).into()),
            FclassS => Integer(single::classify(s1).into()),
            FcvtSW => Single(single::from_i32(
                (x1 as u32).cast_signed(),
                self.rounding(op)?,
                to,
            )),
            FcvtSWu => Single(single::from_u32(x1 as u32, self.rounding(op)?, to)),
            FcvtSL => Single(single::from_i64(x1.cast_signed(), self.rounding(op)?, to)),
            FcvtSLu => Single(single::from_u64(x1, self.rounding(op)?, to)),
            FmvWX => Single(x1 as u32),
            FaddD => Double(double::add(d1, d2, self.rounding(op)?, to)),
            FsubD => Double(double::sub(d1, d2, self.rounding(op)?, to)),
            FmulD => Double(double::mul(d1, d2, self.rounding(op)?, to)),
            FdivD => Double(double::div(d1, d2, self.rounding(op)?, to)),
            FsqrtD => Double(double::sqrt(d1, self.rounding(op)?, to)),
            FmaddD => Double(double::mul_add(
                d1,
                d2,
                self.d(third),
                self.rounding(op)?,
                to,
            )),
            FmsubD => Double(double::mul_add(
                d1,
                d2,
                self.d(third) ^ SIGN_D,
                self.rounding(op)?,
                to,
            )),
            FnmsubD => Double(double::mul_add(
                d1 ^ SIGN_D,
                d2,
                self.d(third),
                self.rounding(op)?,
                to,
            )),
            FnmaddD => Double(double::mul_add(
                d1 ^ SIGN_D,
                d2,
                self.d(third) ^ SIGN_D,
                self.rounding(op)?,
                to,
            )),
            FsgnjD => Double(d1 & !SIGN_D | d2 & SIGN_D),
            FsgnjnD => Double(d1 & !SIGN_D | !d2 & SIGN_D),
            FsgnjxD => Double(d1 ^ d2 & SIGN_D),
            FminD => Double(double::min(d1, d2, to)),
            FmaxD => Double(double::max(d1, d2, to)),
            FcvtSD => Single(single::from_double(d1, self.rounding(op)?, to)),
            FcvtDS => {
                // Exact, but a reserved rounding mode is still illegal.
                self.rounding(op)?;
                Double(double::from_single(s1, to))
            }
            FcvtWD => Integer(sign_extended(
                double::to_i32(d1, self.rounding(op)?, to).cast_unsigned(),
            )),
            FcvtWuD => Integer(sign_extended(double::to_u32(d1, self.rounding(op)?, to))),
            FcvtLD => Integer(double::to_i64(d1, self.rounding(op)?, to).cast_unsigned()),
            FcvtLuD => Integer(double::to_u64(d1, self.rounding(op)?, to)),
            FmvXD => Integer(d1),
            FeqD => Integer(double::eq(d1, d2, to).into()),
            FltD => Integer(double::lt(d1, d2, to).into()),
            FleD => Integer(double::le(d1, d2, to).into()),
            FclassD => Integer(double::classify(d1).into()),
            FcvtDW => Double(double::from_i32(
                (x1 as u32).cast_signed(),
                self.rounding(op)?,
                to,
            )),
            FcvtDWu => Double(double::from_u32(x1 as u32, self.rounding(op)?, to)),
            FcvtDL => Double(double::from_i64(x1.cast_signed(), self.rounding(op)?, to)),
            FcvtDLu => Double(double::from_u64(x1, self.rounding(op)?, to)),
            FmvDX => Double(x1),
            FliS => Single(single::from_double(
                constant(op.rs1).to_bits(),
                Rounding::NearestEven,
                to,
            )),
            FminmS => Single(single::min_or_nan(s1, s2, to)),
            FmaxmS => Single(single::max_or_nan(s1, s2, to)),
            FroundS => Single(single::round_to_integral(s1, false, self.rounding(op)?, to)),
            FroundnxS => Single(single::round_to_integral(s1, true, self.rounding(op)?, to)),
            FleqS => Integer(single::le_quiet(s1, s2, to).into()),
            FltqS => Integer(single::lt_quiet(s1, s2, to).into()),
            FliD if op.rs1 == 1 => Double(f64::MIN_POSITIVE.to_bits()),
            FliD => Double(constant(op.rs1).to_bits()),
            FminmD => Double(double::min_or_nan(d1, d2, to)),
            FmaxmD => Double(double::max_or_nan(d1, d2, to)),
            FroundD => Double(double::round_to_integral(d1, false, self.rounding(op)?, to)),
            FroundnxD => Double(double::round_to_integral(d1, true, self.rounding(op)?, to)),
            FleqD => Integer(double::le_quiet(d1, d2, to).into()),
            FltqD => Integer(double::lt_quiet(d1, d2, to).into()),
            FcvtmodWD => Integer(sign_extended(
                double::to_i32_modular(d1, to).cast_unsigned(),
            )),
            _ => return Err(Trap::illegal(op.raw)),
        };
        if flags != self.flags {
            self.flags = flags;
            self.float_written();
        }
        match result {
            Single(bits) => self.write_float(op.rd, BOX | u64::from(bits)),
            Double(bits) => self.write_float(op.rd, bits),
            Integer(value) => self.x[op.rd as usize & 63] = value,
        }
        Ok(())
    }

    /// Writes a floating-point register; a binary32 value comes boxed.
    #[inline(always)]
    pub(crate) fn write_float(&mut self, register: u8, bits: u64) {
        self.f[register as usize & 31] = bits;
        self.float_written();
    }
}

/// A binary32 value as a register holds it.
#[inline(always)]
pub(crate) fn boxed(bits: u32) -> u64 {
    BOX | u64::from(bits)
}
