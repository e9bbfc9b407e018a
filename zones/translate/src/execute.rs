//! Runs decoded blocks: one `match` over what an instruction does.

use std::sync::atomic::{Ordering, fence};

use crate::float::boxed;
use crate::hart::{Core, Exit, Privilege, Reservation};
use crate::memory::PAGE_SIZE;
use crate::mmu::Access;
use crate::op::{Kind, Op};
use crate::port;
use crate::trap::{BREAKPOINT, Trap, USER_CALL};

/// How a block ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Flow {
    /// `pc` says where to go on.
    Continue,
    /// `wfi`.
    Wait,
    /// The machine is needed.
    Exit(Exit),
}

/// Runs one block that starts at `pc`.
#[allow(
    clippy::too_many_lines,
    reason = "one match over all instructions, which is what makes it fast"
)]
pub(crate) fn run(core: &mut Core, ops: &[Op], pc: u64) -> Flow {
    use Kind::*;
    macro_rules! x {
        ($register:expr) => {
            core.x[$register as usize & 63]
        };
    }
    let mut next = pc;
    for (index, op) in ops.iter().enumerate() {
        let imm = i64::from(op.imm) as u64;
        // Leaves the block by a trap: the instructions before this one have retired.
        macro_rules! trap {
            ($trap:expr) => {{
                core.retire(index);
                core.enter_trap($trap, pc.wrapping_add(u64::from(op.offset)));
                return Flow::Continue;
            }};
        }
        macro_rules! attempt {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(trap) => trap!(trap),
                }
            };
        }
        macro_rules! here {
            () => {
                pc.wrapping_add(u64::from(op.offset))
            };
        }
        macro_rules! following {
            () => {
                here!().wrapping_add(u64::from(op.length))
            };
        }
        macro_rules! leave {
            ($target:expr) => {{
                core.retire(index + 1);
                core.pc = $target;
                return Flow::Continue;
            }};
        }
        macro_rules! branch {
            ($taken:expr) => {{
                let target = if $taken {
                    here!().wrapping_add(imm)
                } else {
                    following!()
                };
                leave!(target)
            }};
        }
        macro_rules! load {
            ($word:ty, $extend:ty) => {{
                let value = attempt!(core.load::<$word>(x!(op.rs1).wrapping_add(imm)));
                x!(op.rd) = value as $extend as i64 as u64;
            }};
        }
        macro_rules! store {
            ($word:ty) => {
                attempt!(core.store::<$word>(x!(op.rs1).wrapping_add(imm), x!(op.rs2) as $word))
            };
        }
        macro_rules! word {
            ($value:expr) => {
                x!(op.rd) = ($value) as i32 as i64 as u64
            };
        }
        macro_rules! amo {
            (word, $method:ident) => {{
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 4, Access::Store));
                let operand = x!(op.rs2) as u32;
                let old = page.atomic32(address).$method(operand, Ordering::SeqCst);
                word!(old)
            }};
            (double, $method:ident) => {{
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 8, Access::Store));
                let operand = x!(op.rs2);
                x!(op.rd) = page.atomic64(address).$method(operand, Ordering::SeqCst);
            }};
            (signed word, $choose:ident) => {{
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 4, Access::Store));
                let operand = x!(op.rs2) as i32;
                let update = |old: u32| Some((old as i32).$choose(operand) as u32);
                let (Ok(old) | Err(old)) =
                    page.atomic32(address)
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, update);
                word!(old)
            }};
            (signed double, $choose:ident) => {{
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 8, Access::Store));
                let operand = x!(op.rs2) as i64;
                let update = |old: u64| Some((old as i64).$choose(operand) as u64);
                let (Ok(old) | Err(old)) =
                    page.atomic64(address)
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, update);
                x!(op.rd) = old;
            }};
        }
        match op.kind {
            Nop => {}
            Mv => x!(op.rd) = x!(op.rs1),
            Li | Lui => x!(op.rd) = imm,
            Auipc => x!(op.rd) = here!().wrapping_add(imm),
            Jal => {
                x!(op.rd) = following!();
                leave!(here!().wrapping_add(imm))
            }
            Jalr => {
                let target = x!(op.rs1).wrapping_add(imm) & !1;
                x!(op.rd) = following!();
                leave!(target)
            }
            Beq => branch!(x!(op.rs1) == x!(op.rs2)),
            Bne => branch!(x!(op.rs1) != x!(op.rs2)),
            Blt => branch!((x!(op.rs1) as i64) < x!(op.rs2) as i64),
            Bge => branch!(x!(op.rs1) as i64 >= x!(op.rs2) as i64),
            Bltu => branch!(x!(op.rs1) < x!(op.rs2)),
            Bgeu => branch!(x!(op.rs1) >= x!(op.rs2)),
            Lb => load!(u8, i8),
            Lh => load!(u16, i16),
            Lw => load!(u32, i32),
            Ld => load!(u64, i64),
            Lbu => load!(u8, u8),
            Lhu => load!(u16, u16),
            Lwu => load!(u32, u32),
            Sb => store!(u8),
            Sh => store!(u16),
            Sw => store!(u32),
            Sd => store!(u64),
            Addi => x!(op.rd) = x!(op.rs1).wrapping_add(imm),
            Slti => x!(op.rd) = u64::from((x!(op.rs1) as i64) < imm as i64),
            Sltiu => x!(op.rd) = u64::from(x!(op.rs1) < imm),
            Xori => x!(op.rd) = x!(op.rs1) ^ imm,
            Ori => x!(op.rd) = x!(op.rs1) | imm,
            Andi => x!(op.rd) = x!(op.rs1) & imm,
            Slli => x!(op.rd) = x!(op.rs1) << (imm & 63),
            Srli => x!(op.rd) = x!(op.rs1) >> (imm & 63),
            Srai => x!(op.rd) = (x!(op.rs1) as i64 >> (imm & 63)) as u64,
            Add => x!(op.rd) = x!(op.rs1).wrapping_add(x!(op.rs2)),
            Sub => x!(op.rd) = x!(op.rs1).wrapping_sub(x!(op.rs2)),
            Sll => x!(op.rd) = x!(op.rs1) << (x!(op.rs2) & 63),
            Slt => x!(op.rd) = u64::from((x!(op.rs1) as i64) < x!(op.rs2) as i64),
            Sltu => x!(op.rd) = u64::from(x!(op.rs1) < x!(op.rs2)),
            Xor => x!(op.rd) = x!(op.rs1) ^ x!(op.rs2),
            Srl => x!(op.rd) = x!(op.rs1) >> (x!(op.rs2) & 63),
            Sra => x!(op.rd) = (x!(op.rs1) as i64 >> (x!(op.rs2) & 63)) as u64,
            Or => x!(op.rd) = x!(op.rs1) | x!(op.rs2),
            And => x!(op.rd) = x!(op.rs1) & x!(op.rs2),
            Addiw => word!((x!(op.rs1) as i32).wrapping_add(op.imm)),
            Slliw => word!((x!(op.rs1) as u32) << (imm & 31)),
            Srliw => word!(x!(op.rs1) as u32 >> (imm & 31)),
            Sraiw => word!(x!(op.rs1) as i32 >> (imm & 31)),
            Addw => word!((x!(op.rs1) as i32).wrapping_add(x!(op.rs2) as i32)),
            Subw => word!((x!(op.rs1) as i32).wrapping_sub(x!(op.rs2) as i32)),
            Sllw => word!((x!(op.rs1) as u32) << (x!(op.rs2) & 31)),
            Srlw => word!(x!(op.rs1) as u32 >> (x!(op.rs2) & 31)),
            Sraw => word!(x!(op.rs1) as i32 >> (x!(op.rs2) & 31)),
            // Loads and stores are relaxed on the host; a fence that orders writes before reads needs the host's. On an
            // x86-64 host the other orders come for free, elsewhere any fence is a fence.
            Fence => {
                let (predecessor, successor) = (op.raw >> 24 & 0xf, op.raw >> 20 & 0xf);
                if !cfg!(target_arch = "x86_64") || predecessor & 1 != 0 && successor & 2 != 0 {
                    fence(Ordering::SeqCst);
                }
            }
            Pause => {
                core.retire(index + 1);
                core.pc = following!();
                core.pause();
                return Flow::Continue;
            }
            FenceI => {
                core.code_may_have_changed = true;
                fence(Ordering::SeqCst);
                leave!(following!())
            }
            Ecall => {
                if core.privilege == Privilege::User {
                    trap!(Trap {
                        cause: USER_CALL,
                        value: 0
                    })
                }
                core.retire(index + 1);
                core.pc = following!();
                return Flow::Exit(Exit::SupervisorCall);
            }
            Ebreak => trap!(Trap {
                cause: BREAKPOINT,
                value: here!()
            }),
            Mul => x!(op.rd) = x!(op.rs1).wrapping_mul(x!(op.rs2)),
            Mulh => {
                x!(op.rd) =
                    ((i128::from(x!(op.rs1) as i64) * i128::from(x!(op.rs2) as i64)) >> 64) as u64;
            }
            Mulhsu => {
                x!(op.rd) =
                    ((i128::from(x!(op.rs1) as i64).wrapping_mul(x!(op.rs2) as i128)) >> 64) as u64;
            }
            Mulhu => x!(op.rd) = ((u128::from(x!(op.rs1)) * u128::from(x!(op.rs2))) >> 64) as u64,
            Div => {
                let (a, b) = (x!(op.rs1) as i64, x!(op.rs2) as i64);
                x!(op.rd) = if b == 0 {
                    u64::MAX
                } else {
                    a.wrapping_div(b) as u64
                };
            }
            Divu => x!(op.rd) = x!(op.rs1).checked_div(x!(op.rs2)).unwrap_or(u64::MAX),
            Rem => {
                let (a, b) = (x!(op.rs1) as i64, x!(op.rs2) as i64);
                x!(op.rd) = if b == 0 {
                    a as u64
                } else {
                    a.wrapping_rem(b) as u64
                };
            }
            Remu => x!(op.rd) = x!(op.rs1).checked_rem(x!(op.rs2)).unwrap_or(x!(op.rs1)),
            Mulw => word!((x!(op.rs1) as i32).wrapping_mul(x!(op.rs2) as i32)),
            Divw => {
                let (a, b) = (x!(op.rs1) as i32, x!(op.rs2) as i32);
                word!(if b == 0 { -1 } else { a.wrapping_div(b) });
            }
            Divuw => word!(
                (x!(op.rs1) as u32)
                    .checked_div(x!(op.rs2) as u32)
                    .unwrap_or(u32::MAX)
            ),
            Remw => {
                let (a, b) = (x!(op.rs1) as i32, x!(op.rs2) as i32);
                word!(if b == 0 { a } else { a.wrapping_rem(b) });
            }
            Remuw => word!(
                (x!(op.rs1) as u32)
                    .checked_rem(x!(op.rs2) as u32)
                    .unwrap_or(x!(op.rs1) as u32)
            ),
            LrW => {
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 4, Access::Load));
                let value = page.atomic32(address).load(Ordering::SeqCst);
                core.reservation = Reservation {
                    place: page.place(address),
                    value: value.into(),
                };
                word!(value);
            }
            LrD => {
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 8, Access::Load));
                let value = page.atomic64(address).load(Ordering::SeqCst);
                core.reservation = Reservation {
                    place: page.place(address) | 1,
                    value,
                };
                x!(op.rd) = value;
            }
            // A store-conditional succeeds if memory still holds what the load-reserved saw: other harts' stores of the
            // same value in between go unseen, as in the field's other emulators.
            ScW => {
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 4, Access::Store));
                let new = x!(op.rs2) as u32;
                let reserved = std::mem::replace(&mut core.reservation, Reservation::NONE);
                let (old, order) = (reserved.value as u32, Ordering::SeqCst);
                let done = reserved.place == page.place(address)
                    && page
                        .atomic32(address)
                        .compare_exchange(old, new, order, order)
                        .is_ok();
                x!(op.rd) = u64::from(!done);
            }
            ScD => {
                let address = x!(op.rs1);
                let page = attempt!(core.atomic_page(address, 8, Access::Store));
                let new = x!(op.rs2);
                let reserved = std::mem::replace(&mut core.reservation, Reservation::NONE);
                let (old, order) = (reserved.value, Ordering::SeqCst);
                let done = reserved.place == page.place(address) | 1
                    && page
                        .atomic64(address)
                        .compare_exchange(old, new, order, order)
                        .is_ok();
                x!(op.rd) = u64::from(!done);
            }
            AmoswapW => amo!(word, swap),
            AmoaddW => amo!(word, fetch_add),
            AmoxorW => amo!(word, fetch_xor),
            AmoandW => amo!(word, fetch_and),
            AmoorW => amo!(word, fetch_or),
            AmominW => amo!(signed word, min),
            AmomaxW => amo!(signed word, max),
            AmominuW => amo!(word, fetch_min),
            AmomaxuW => amo!(word, fetch_max),
            AmoswapD => amo!(double, swap),
            AmoaddD => amo!(double, fetch_add),
            AmoxorD => amo!(double, fetch_xor),
            AmoandD => amo!(double, fetch_and),
            AmoorD => amo!(double, fetch_or),
            AmominD => amo!(signed double, min),
            AmomaxD => amo!(signed double, max),
            AmominuD => amo!(double, fetch_min),
            AmomaxuD => amo!(double, fetch_max),
            AddUw => x!(op.rd) = (x!(op.rs1) & 0xffff_ffff).wrapping_add(x!(op.rs2)),
            Sh1add => x!(op.rd) = (x!(op.rs1) << 1).wrapping_add(x!(op.rs2)),
            Sh2add => x!(op.rd) = (x!(op.rs1) << 2).wrapping_add(x!(op.rs2)),
            Sh3add => x!(op.rd) = (x!(op.rs1) << 3).wrapping_add(x!(op.rs2)),
            Sh1addUw => x!(op.rd) = ((x!(op.rs1) & 0xffff_ffff) << 1).wrapping_add(x!(op.rs2)),
            Sh2addUw => x!(op.rd) = ((x!(op.rs1) & 0xffff_ffff) << 2).wrapping_add(x!(op.rs2)),
            Sh3addUw => x!(op.rd) = ((x!(op.rs1) & 0xffff_ffff) << 3).wrapping_add(x!(op.rs2)),
            SlliUw => x!(op.rd) = (x!(op.rs1) & 0xffff_ffff) << (imm & 63),
            Andn => x!(op.rd) = x!(op.rs1) & !x!(op.rs2),
            Orn => x!(op.rd) = x!(op.rs1) | !x!(op.rs2),
            Xnor => x!(op.rd) = !(x!(op.rs1) ^ x!(op.rs2)),
            Clz => x!(op.rd) = x!(op.rs1).leading_zeros().into(),
            Ctz => x!(op.rd) = x!(op.rs1).trailing_zeros().into(),
            Cpop => x!(op.rd) = x!(op.rs1).count_ones().into(),
            Clzw => x!(op.rd) = (x!(op.rs1) as u32).leading_zeros().into(),
            Ctzw => x!(op.rd) = (x!(op.rs1) as u32).trailing_zeros().into(),
            Cpopw => x!(op.rd) = (x!(op.rs1) as u32).count_ones().into(),
            Max => x!(op.rd) = (x!(op.rs1) as i64).max(x!(op.rs2) as i64) as u64,
            Maxu => x!(op.rd) = x!(op.rs1).max(x!(op.rs2)),
            Min => x!(op.rd) = (x!(op.rs1) as i64).min(x!(op.rs2) as i64) as u64,
            Minu => x!(op.rd) = x!(op.rs1).min(x!(op.rs2)),
            SextB => x!(op.rd) = x!(op.rs1) as i8 as u64,
            SextH => x!(op.rd) = x!(op.rs1) as i16 as u64,
            ZextH => x!(op.rd) = x!(op.rs1) & 0xffff,
            Rol => x!(op.rd) = x!(op.rs1).rotate_left((x!(op.rs2) & 63) as u32),
            Ror => x!(op.rd) = x!(op.rs1).rotate_right((x!(op.rs2) & 63) as u32),
            Rori => x!(op.rd) = x!(op.rs1).rotate_right((imm & 63) as u32),
            Rolw => word!((x!(op.rs1) as u32).rotate_left((x!(op.rs2) & 31) as u32)),
            Rorw => word!((x!(op.rs1) as u32).rotate_right((x!(op.rs2) & 31) as u32)),
            Roriw => word!((x!(op.rs1) as u32).rotate_right((imm & 31) as u32)),
            OrcB => x!(op.rd) = or_combine(x!(op.rs1)),
            Rev8 => x!(op.rd) = x!(op.rs1).swap_bytes(),
            Bclr => x!(op.rd) = x!(op.rs1) & !(1 << (x!(op.rs2) & 63)),
            Bext => x!(op.rd) = x!(op.rs1) >> (x!(op.rs2) & 63) & 1,
            Binv => x!(op.rd) = x!(op.rs1) ^ 1 << (x!(op.rs2) & 63),
            Bset => x!(op.rd) = x!(op.rs1) | 1 << (x!(op.rs2) & 63),
            Bclri => x!(op.rd) = x!(op.rs1) & !(1 << (imm & 63)),
            Bexti => x!(op.rd) = x!(op.rs1) >> (imm & 63) & 1,
            Binvi => x!(op.rd) = x!(op.rs1) ^ 1 << (imm & 63),
            Bseti => x!(op.rd) = x!(op.rs1) | 1 << (imm & 63),
            CzeroEqz => x!(op.rd) = if x!(op.rs2) == 0 { 0 } else { x!(op.rs1) },
            CzeroNez => x!(op.rd) = if x!(op.rs2) != 0 { 0 } else { x!(op.rs1) },
            Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci => {
                // The instruction itself counts as not yet retired for the counters it may read.
                core.retire(index);
                match csr(core, op) {
                    Ok(old) => x!(op.rd) = old,
                    Err(trap) => {
                        core.enter_trap(trap, here!());
                        return Flow::Continue;
                    }
                }
                core.retire(1);
                core.pc = following!();
                return Flow::Continue;
            }
            Sret => {
                if core.privilege == Privilege::User {
                    trap!(Trap::illegal(op.raw))
                }
                core.retire(index + 1);
                core.return_from_trap();
                return Flow::Continue;
            }
            Wfi => {
                if core.privilege == Privilege::User {
                    trap!(Trap::illegal(op.raw))
                }
                core.retire(index + 1);
                core.pc = following!();
                return Flow::Wait;
            }
            SfenceVma => {
                if core.privilege == Privilege::User {
                    trap!(Trap::illegal(op.raw))
                }
                core.fence(port::Fence::Translations {
                    range: (op.rs1 != 0).then_some((x!(op.rs1), 1)),
                    asid: (op.rs2 != 0).then_some(x!(op.rs2) as u16),
                });
                leave!(following!())
            }
            CboZero => {
                if core.privilege == Privilege::User && core.senvcfg & CBZE == 0 {
                    trap!(Trap::illegal(op.raw))
                }
                // The block is a page: clearing one is what it is used for.
                let address = x!(op.rs1) & !(PAGE_SIZE - 1);
                let page =
                    attempt!(
                        core.atomic_page(address, 8, Access::Store)
                            .map_err(|trap| Trap {
                                value: x!(op.rs1),
                                ..trap
                            })
                    );
                page.zero();
            }
            Flw => {
                if !core.float_enabled() {
                    trap!(Trap::illegal(op.raw))
                }
                let bits = attempt!(core.load::<u32>(x!(op.rs1).wrapping_add(imm)));
                core.write_float(op.rd, boxed(bits));
            }
            Fld => {
                if !core.float_enabled() {
                    trap!(Trap::illegal(op.raw))
                }
                let bits = attempt!(core.load::<u64>(x!(op.rs1).wrapping_add(imm)));
                core.write_float(op.rd, bits);
            }
            Fsw => {
                if !core.float_enabled() {
                    trap!(Trap::illegal(op.raw))
                }
                attempt!(core.store::<u32>(
                    x!(op.rs1).wrapping_add(imm),
                    core.f[op.rs2 as usize & 31] as u32
                ));
            }
            Fsd => {
                if !core.float_enabled() {
                    trap!(Trap::illegal(op.raw))
                }
                attempt!(
                    core.store::<u64>(x!(op.rs1).wrapping_add(imm), core.f[op.rs2 as usize & 31])
                );
            }
            Illegal => trap!(Trap::illegal(op.raw)),
            _ => attempt!(core.float(op)),
        }
        next = following!();
    }
    core.retire(ops.len());
    core.pc = next;
    Flow::Continue
}

/// `senvcfg.CBZE`: U-mode may zero blocks.
const CBZE: u64 = 1 << 7;

/// `orc.b`: each byte becomes all ones unless it is zero.
fn or_combine(value: u64) -> u64 {
    let mut folded = value | value >> 1;
    folded |= folded >> 2;
    folded |= folded >> 4;
    (folded & 0x0101_0101_0101_0101).wrapping_mul(0xff)
}

#[inline(never)]
fn csr(core: &mut Core, op: &Op) -> Result<u64, Trap> {
    use Kind::*;
    let immediate = matches!(op.kind, Csrrwi | Csrrsi | Csrrci);
    let source = if immediate {
        u64::from(op.rs1)
    } else {
        core.x[op.rs1 as usize & 63]
    };
    // With x0 or a zero immediate, setting and clearing do not write at all, so they may read read-only registers.
    let write = matches!(op.kind, Csrrw | Csrrwi) || op.rs1 != 0;
    core.access_csr(op.imm.cast_unsigned(), write, |old| match op.kind {
        Csrrw | Csrrwi => source,
        Csrrs | Csrrsi => old | source,
        _ => old & !source,
    })
    .map_err(|_| Trap::illegal(op.raw))
}

impl Core {
    #[inline(always)]
    fn retire(&mut self, count: usize) {
        self.budget -= count as i64;
    }
}
