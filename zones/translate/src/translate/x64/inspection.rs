//! A second look at generated code, in all tests that make some: read by a decoder of other authors, it must be what the
//! generator may write at all. Most of it is rules that keep a guest from the host's memory, whatever it computes:
//!
//! - Every byte is of an instruction, all of them in a list; jumps go to the start of one, or to the stubs that a trace may
//!   use, with a number that this trace was given.
//! - The registers for the hart's state, the translations and the stack stay what they are, and through each of them only
//!   what belongs to generated code is written.
//! - Whatever else an address is made of, one part of it came from the cached translations, after the check for that kind of
//!   access and at least that size.
//! - No host address goes to where the guest could read it.
//!
//! Two things are taken on trust: that the address which was checked is the one that is used (the lock-step tests look at
//! that), and how far a loop without checks goes in a page, which is for its budget.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::*;
use crate::hart::Reservation;
use crate::translate::SLOTS;

/// What generated code is made of, beside what depends on a condition.
fn is_listed(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Add | Addsd
            | Addss
            | And
            | Andn
            | Bswap
            | Bt
            | Btc
            | Btr
            | Bts
            | Call
            | Cdq
            | Cmp
            | Cmpxchg
            | Comisd
            | Comiss
            | Cqo
            | Cvtsd2si
            | Cvtsd2ss
            | Cvtsi2sd
            | Cvtsi2ss
            | Cvtss2sd
            | Cvtss2si
            | Cvttsd2si
            | Cvttss2si
            | Div
            | Divsd
            | Divss
            | Idiv
            | Imul
            | Jmp
            | Ldmxcsr
            | Lea
            | Lzcnt
            | Mov
            | Movaps
            | Movd
            | Movq
            | Movsd
            | Movss
            | Movsx
            | Movsxd
            | Movzx
            | Mul
            | Mulsd
            | Mulss
            | Neg
            | Nop
            | Not
            | Or
            | Pcmpeqb
            | Popcnt
            | Pxor
            | Rol
            | Ror
            | Rorx
            | Sar
            | Sarx
            | Shl
            | Shlx
            | Shr
            | Shrx
            | Sqrtsd
            | Sqrtss
            | Stmxcsr
            | Sub
            | Subsd
            | Subss
            | Test
            | Tzcnt
            | Ucomisd
            | Ucomiss
            | Vfmadd231sd
            | Vfmadd231ss
            | Vfmsub231sd
            | Vfmsub231ss
            | Vfnmadd231sd
            | Vfnmadd231ss
            | Vfnmsub231sd
            | Vfnmsub231ss
            | Xadd
            | Xchg
            | Xor
    )
}

thread_local! {
    /// Instructions that this thread's generators wrote.
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

/// What is looked at.
pub(in crate::translate) struct Code<'a> {
    pub(in crate::translate) bytes: &'a [u8],
    /// Where it will lie.
    pub(in crate::translate) offset: usize,
    pub(in crate::translate) stubs: Stubs,
    /// The numbers of its ways out and of its sites.
    pub(in crate::translate) leaves: Range<usize>,
    pub(in crate::translate) sites: Range<usize>,
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing was written there on this way. Whoever reads it has made sure that something was, on another.
    Unset,
    /// Anything that the guest could have made.
    Any,
    /// This.
    Constant(u64),
    /// No bits but these.
    Masked(u64),
    /// An address's page and the bits that must be clear for an access of this size.
    Tag(usize),
    /// The offset of a cached translation that matches such a tag.
    Checked(Rights),
    /// From guest addresses in a page to the host's.
    Bias(Rights),
    /// A host address in guest memory.
    Host(Rights),
    /// The same as a reservation remembers it.
    Marked,
    /// An entry of the table of indirect jumps.
    Jump,
    /// The table of floating point's flags.
    Flags,
}

/// What an access by a cached translation may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rights {
    store: bool,
    size: usize,
}

impl Kind {
    /// What is known where two ways meet.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unset, kind) | (kind, Self::Unset) => kind,
            (Self::Bias(one), Self::Bias(two)) if one.store == two.store => {
                Self::Bias(one.least(two))
            }
            (Self::Host(one), Self::Host(two)) if one.store == two.store => {
                Self::Host(one.least(two))
            }
            (one, two) if one == two => one,
            (one, two) if one.is_secret() || two.is_secret() => Self::Marked,
            _ => Self::Any,
        }
    }

    /// Tells where the host's memory is.
    fn is_secret(self) -> bool {
        matches!(
            self,
            Self::Bias(_) | Self::Host(_) | Self::Marked | Self::Jump | Self::Flags
        )
    }
}

impl Rights {
    fn least(self, other: Self) -> Self {
        Self {
            store: self.store,
            size: self.size.min(other.size),
        }
    }
}

/// 64-bit places of the stack frame.
const FRAME_SLOTS: usize = FRAME as usize / 8;
const ENTRY_MASK: u64 = (mmu::WAYS as u64 - 1) << mmu::ENTRY_SHIFT;
const JUMP_MASK: u64 = (blocks::JUMPS as u64 - 1) * 32;
/// The stubs begin with two tables.
const CLEAN: u64 = (SLOTS * SLOT_BYTES) as u64;
const FLAGS: u64 = CLEAN + 16;

/// What is known at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    registers: [Kind; 16],
    slots: [Kind; FRAME_SLOTS],
    /// What the host's flags say if they say "equal".
    compared: Option<Compared>,
    /// The slot with the bias of the page that the access at hand goes to.
    proven: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// The translation whose offset this register has is the right one.
    Translation(usize, Rights),
    /// This slot holds the tag of the access's page.
    Slot(usize),
}

impl Facts {
    fn at_entry() -> Self {
        Self {
            registers: [Kind::Any; 16],
            slots: [Kind::Unset; FRAME_SLOTS],
            compared: None,
            proven: None,
        }
    }

    /// Takes in what is known on another way to the same place; returns whether that changes anything.
    fn meet(&mut self, other: &Self) -> bool {
        let before = self.clone();
        let pairs = self.registers.iter_mut().zip(&other.registers);
        for (kind, also) in pairs.chain(self.slots.iter_mut().zip(&other.slots)) {
            *kind = kind.or(*also);
        }
        self.compared = None;
        self.proven = self.proven.filter(|_| self.proven == other.proven);
        *self != before
    }

    fn after_equal(&mut self) {
        match self.compared {
            Some(Compared::Translation(register, rights)) => {
                self.registers[register] = Kind::Checked(rights);
            }
            Some(Compared::Slot(slot)) => self.proven = Some(slot + 1),
            None => {}
        }
    }
}

/// Where an access goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The hart's state, from its start.
    State(usize),
    Slot(usize),
    /// Below the stack.
    Below,
    Tag {
        store: bool,
        index: usize,
    },
    HostPage(Rights),
    /// Links across pages and constants.
    Code,
    Jump,
    Flags,
    Guest(Rights),
}

/// Panics if a trace's code is not what it may be.
pub(in crate::translate) fn inspect(code: &Code<'_>) {
    let decoder = Decoder::with_ip(64, code.bytes, code.offset as u64, DecoderOptions::NONE);
    let instructions: Vec<Instruction> = decoder.into_iter().collect();
    LOOKED_AT.set(LOOKED_AT.get() + instructions.len());
    let mut starts = vec![u32::MAX; code.bytes.len() + 1];
    for (index, instruction) in instructions.iter().enumerate() {
        starts[instruction.ip() as usize - code.offset] = index as u32;
    }
    let mut inspector = Inspector {
        code,
        instructions: &instructions,
        starts,
        is_target: vec![false; instructions.len()],
        known: vec![None; instructions.len()],
        waiting: Vec::new(),
        unresolved: BTreeMap::new(),
        info: InstructionInfoFactory::new(),
    };
    for instruction in &instructions {
        inspector.is_allowed(instruction);
        if let Some(target) = inspector.target(instruction) {
            inspector.is_target[target] = true;
        }
    }
    inspector.reach(0, &Facts::at_entry());
    while let Some(index) = inspector.waiting.pop() {
        inspector.unresolved.remove(&index);
        if let Err(Unresolved(at)) = inspector.follow(index) {
            inspector.unresolved.insert(index, at);
        }
    }
    if let Some(at) = inspector.unresolved.values().next() {
        refuse(&instructions[*at], "an address of what was never written");
    }
}

/// The number of an instruction that goes to an address of what no way that was followed so far has written.
struct Unresolved(usize);

struct Inspector<'a> {
    code: &'a Code<'a>,
    instructions: &'a [Instruction],
    /// The number of the instruction at each byte, if one starts there.
    starts: Vec<u32>,
    is_target: Vec<bool>,
    /// What is known where jumps go.
    known: Vec<Option<Box<Facts>>>,
    waiting: Vec<usize>,
    /// By where such a way begins.
    unresolved: BTreeMap<usize, usize>,
    info: InstructionInfoFactory,
}

/// The number of a general register, whatever part of it.
fn number(register: Register) -> Option<usize> {
    register.is_gpr().then(|| register.full_register().number())
}

/// Fails because of one instruction.
#[track_caller]
fn refuse(instruction: &Instruction, why: &str) -> ! {
    let operands: Vec<String> = (0..instruction.op_count())
        .map(|index| match instruction.op_kind(index) {
            OpKind::Register => format!("{:?}", instruction.op_register(index)),
            OpKind::Memory => format!(
                "[{:?}+{:?}*{}+{:#x}]",
                instruction.memory_base(),
                instruction.memory_index(),
                instruction.memory_index_scale(),
                instruction.memory_displacement64()
            ),
            OpKind::NearBranch64 => format!("{:#x}", instruction.near_branch64()),
            _ => format!("{:#x}", instruction.immediate(index)),
        })
        .collect();
    panic!(
        "{why}: {:?} {} at {:#x}",
        instruction.mnemonic(),
        operands.join(", "),
        instruction.ip()
    );
}

impl Inspector<'_> {
    fn is_allowed(&self, instruction: &Instruction) {
        let conditional = instruction.condition_code() != iced_x86::ConditionCode::None;
        if instruction.is_invalid()
            || !(is_listed(instruction.mnemonic()) || conditional)
            || instruction.is_privileged()
            || instruction.segment_prefix() != Register::None
            || instruction.is_jcc_short_or_near() && self.target(instruction).is_none()
        {
            refuse(instruction, "no instruction of generated code");
        }
    }

    /// The number of the instruction that a jump within the code goes to.
    fn target(&self, jump: &Instruction) -> Option<usize> {
        if !jump.is_jcc_short_or_near() && !jump.is_jmp_short_or_near() {
            return None;
        }
        let target = jump.near_branch_target() as usize;
        let start = *self.starts.get(target.checked_sub(self.code.offset)?)?;
        (start != u32::MAX).then_some(start as usize)
    }

    /// A way leads to this instruction.
    fn reach(&mut self, index: usize, facts: &Facts) {
        let is_new = match self.known.get_mut(index) {
            Some(Some(known)) => known.meet(facts),
            Some(none) => {
                let mut facts = facts.clone();
                facts.compared = None;
                *none = Some(Box::new(facts));
                true
            }
            None => panic!(
                "code runs out at {:#x}",
                self.code.offset + self.code.bytes.len()
            ),
        };
        if is_new {
            self.waiting.push(index);
        }
    }

    /// Follows the way from an instruction that is jumped to, up to where it ends or meets another.
    fn follow(&mut self, mut index: usize) -> Result<(), Unresolved> {
        let Some(mut facts) = self.known[index].as_deref().cloned() else {
            return Ok(());
        };
        loop {
            let instruction = self.instructions[index];
            if self.is_unresolved(&instruction, &facts) {
                return Err(Unresolved(index));
            }
            self.step(&instruction, &mut facts);
            match instruction.flow_control() {
                FlowControl::Next => {}
                FlowControl::Call => self.call(&instruction, &mut facts),
                FlowControl::ConditionalBranch => {
                    let target = self.target(&instruction).expect("looked at before");
                    self.reach(target, &facts);
                    if instruction.mnemonic() == Mnemonic::Jne {
                        facts.after_equal();
                    }
                }
                FlowControl::UnconditionalBranch => {
                    match self.target(&instruction) {
                        Some(target) => self.reach(target, &facts),
                        None => self.leave(&instruction, &facts),
                    }
                    return Ok(());
                }
                FlowControl::IndirectBranch => {
                    self.indirect(&instruction, &facts);
                    self.hold_no_secret(&instruction, &facts);
                    return Ok(());
                }
                _ => refuse(&instruction, "no way to go on"),
            }
            index += 1;
            if self.is_target.get(index).is_none_or(|is_target| *is_target) {
                self.reach(index, &facts);
                return Ok(());
            }
        }
    }

    fn is_unresolved(&self, instruction: &Instruction, facts: &Facts) -> bool {
        [instruction.memory_base(), instruction.memory_index()]
            .into_iter()
            .filter_map(number)
            .any(|at| facts.registers[at] == Kind::Unset)
    }

    /// The guest's registers are saved, or go on to other code.
    fn hold_no_secret(&self, instruction: &Instruction, facts: &Facts) {
        for (_, Reg(host)) in PINNED {
            if facts.registers[usize::from(host)].is_secret() {
                refuse(instruction, "a host address in a register of the guest");
            }
        }
    }

    fn number_in(&self, instruction: &Instruction, facts: &Facts, of: &Range<usize>) {
        match facts.registers[0] {
            Kind::Constant(number) if of.contains(&(number as usize)) => {}
            other => refuse(instruction, &format!("{other:?} is not in {of:?}")),
        }
    }

    fn leave(&self, jump: &Instruction, facts: &Facts) {
        self.hold_no_secret(jump, facts);
        let (target, stubs) = (jump.near_branch_target() as usize, self.code.stubs);
        if target == stubs.leave {
            self.number_in(jump, facts, &self.code.leaves);
        } else if target != stubs.untranslated {
            refuse(jump, "a jump to nowhere");
        }
    }

    /// The interpreter does one instruction.
    fn call(&self, call: &Instruction, facts: &mut Facts) {
        if call.near_branch_target() as usize != self.code.stubs.site {
            refuse(call, "a call to nowhere");
        }
        self.hold_no_secret(call, facts);
        self.number_in(call, facts, &self.code.sites);
        facts.registers = [Kind::Any; 16];
        (facts.compared, facts.proven) = (None, None);
    }

    fn indirect(&self, jump: &Instruction, facts: &Facts) {
        let by_table = || {
            matches!(self.place(jump, facts), Place::Jump)
                && jump.memory_displacement64() == blocks::JUMP_CODE as u64
        };
        let by_link = || {
            let at = jump.memory_displacement64() as usize;
            jump.memory_base() == Register::RIP
                && at < SLOTS * SLOT_BYTES
                && at % SLOT_BYTES == SLOT_BYTES / 2
        };
        if jump.op0_kind() != OpKind::Memory || !(by_table() || by_link()) {
            refuse(jump, "an indirect jump to nowhere");
        }
    }

    /// Where an instruction's operand in memory is.
    fn place(&self, instruction: &Instruction, facts: &Facts) -> Place {
        let displacement = instruction.memory_displacement64() as i64;
        let bytes = instruction.memory_size().size();
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        let alone = index == Register::None;
        // No register is zero.
        let kind = |register| number(register).map_or(Kind::Constant(0), |at| facts.registers[at]);
        match base {
            Register::RIP if displacement as u64 == CLEAN && bytes == 4 => Place::Code,
            Register::RIP if bytes == 8 && (displacement as u64) < CLEAN => Place::Code,
            Register::RBP if alone => {
                let at = displacement + BIAS as i64;
                match usize::try_from(at) {
                    Ok(at) if at + bytes <= size_of::<Core>() => Place::State(at),
                    _ => refuse(instruction, "not of the hart's state"),
                }
            }
            Register::RSP if alone => match displacement {
                -16 | -8 if bytes == 4 => Place::Below,
                0.. if displacement as usize + bytes <= FRAME_SLOTS * 8 => {
                    Place::Slot(displacement as usize / 8)
                }
                _ => refuse(instruction, "not of the stack frame"),
            },
            Register::R14 => {
                let (store, host) = match displacement as usize {
                    at if at == mmu::LOAD_ENTRIES => (false, false),
                    at if at == mmu::STORE_ENTRIES => (true, false),
                    at if at == mmu::LOAD_ENTRIES + mmu::ENTRY_HOST as usize => (false, true),
                    at if at == mmu::STORE_ENTRIES + mmu::ENTRY_HOST as usize => (true, true),
                    _ => refuse(instruction, "not of a cached translation"),
                };
                match kind(index) {
                    _ if instruction.memory_index_scale() != 1 || bytes != 8 => {
                        refuse(instruction, "no way to read a cached translation")
                    }
                    Kind::Masked(ENTRY_MASK) if !host => Place::Tag {
                        store,
                        index: number(index).unwrap_or(0),
                    },
                    Kind::Checked(rights) if host && rights.store == store => {
                        Place::HostPage(rights)
                    }
                    other => refuse(
                        instruction,
                        &format!("a cached translation that was not checked ({other:?})"),
                    ),
                }
            }
            _ => match (kind(base), kind(index)) {
                (Kind::Jump, _) if alone && (0..32 - 7).contains(&displacement) && bytes == 8 => {
                    Place::Jump
                }
                (Kind::Flags, Kind::Masked(0x3f)) if displacement == 0 && bytes == 1 => {
                    Place::Flags
                }
                (Kind::Host(rights), _) if alone => Place::Guest(rights),
                (Kind::Bias(rights), other) | (other, Kind::Bias(rights))
                    if !other.is_secret() && instruction.memory_index_scale() == 1 =>
                {
                    Place::Guest(rights)
                }
                (base, index) => refuse(
                    instruction,
                    &format!("an address of {base:?} and {index:?}"),
                ),
            },
        }
    }

    /// Looks at an access, and takes in what a written place then holds.
    fn access(&mut self, instruction: &Instruction, facts: &mut Facts) -> Option<Place> {
        let has_memory =
            (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::Memory);
        if !has_memory || matches!(instruction.mnemonic(), Mnemonic::Lea | Mnemonic::Nop) {
            return None;
        }
        let place = self.place(instruction, facts);
        let bytes = instruction.memory_size().size();
        let used = self.info.info(instruction).used_memory();
        let writes = used
            .iter()
            .any(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead));
        match place {
            Place::Guest(rights) => {
                if bytes > rights.size || writes && !rights.store {
                    refuse(instruction, &format!("more than {rights:?}"));
                }
                if !(-4096..4096).contains(&(instruction.memory_displacement64() as i64)) {
                    refuse(instruction, "too far");
                }
            }
            _ if !writes => {}
            Place::State(at) => {
                let x = offset_of!(Core, x);
                let registers = x + 8..x + 33 * 8;
                let f = offset_of!(Core, f);
                let reservation = offset_of!(Core, reservation);
                let fields = [
                    registers,
                    f..f + 32 * 8,
                    reservation..reservation + size_of::<Reservation>(),
                ];
                let inside = |field: &Range<usize>| field.start <= at && at + bytes <= field.end;
                if !fields.iter().any(inside) {
                    refuse(instruction, "a field that generated code leaves alone");
                }
            }
            Place::Slot(slot) => {
                if facts.proven == Some(slot) || facts.proven == Some(slot + 1) {
                    facts.proven = None;
                }
                facts.slots[slot] = Kind::Any;
            }
            Place::Below => {}
            _ => refuse(instruction, "a place that nobody writes"),
        }
        Some(place)
    }

    /// What one instruction does to what is known.
    fn step(&mut self, instruction: &Instruction, facts: &mut Facts) {
        use Mnemonic::*;
        let mnemonic = instruction.mnemonic();
        // What a read finds, before anything is written.
        let source = self.source(instruction, facts);
        let first = (instruction.op0_kind() == OpKind::Register)
            .then(|| number(instruction.op0_register()))
            .flatten();
        let before = first.map_or(Kind::Any, |at| facts.registers[at]);
        let wide = first.is_some() && instruction.op0_register().size() == 8;
        self.keep_secrets(instruction, facts, source);
        let place = self.access(instruction, facts);
        let immediate = || instruction.immediate(1) as i64;
        let by_immediate = instruction.op_count() == 2
            && !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory);
        let after = match mnemonic {
            Mov if by_immediate && wide => Kind::Constant(immediate() as u64),
            Mov if by_immediate => Kind::Constant(instruction.immediate(1) & 0xffff_ffff),
            Mov if wide => source,
            Xor if instruction.op0_register() == instruction.op1_register() => Kind::Constant(0),
            And if by_immediate && wide && immediate() & -4096 == -4096 => {
                Kind::Tag((immediate() & 4095) as usize + 1)
            }
            And if by_immediate && immediate() >= 0 => Kind::Masked(immediate() as u64),
            And if before.is_secret() || source.is_secret() => Kind::Marked,
            Add | Sub if by_immediate && wide && matches!(before, Kind::Host(_)) => before,
            Add if wide => match (before, source, place) {
                (Kind::Masked(JUMP_MASK), _, Some(Place::State(at)))
                    if at == offset_of!(Core, jumps) =>
                {
                    Kind::Jump
                }
                (Kind::Bias(rights), other, _) | (other, Kind::Bias(rights), _)
                    if !other.is_secret() =>
                {
                    Kind::Host(rights)
                }
                _ => Kind::Any,
            },
            Lea if instruction.memory_base() == Register::RIP => {
                if instruction.memory_displacement64() != FLAGS {
                    refuse(instruction, "not the table of flags");
                }
                Kind::Flags
            }
            Lea if self.names_secret(instruction, facts) => Kind::Marked,
            _ => Kind::Any,
        };
        if mnemonic == Mov
            && let Some(Place::Slot(slot)) = place
            && first.is_none()
        {
            facts.slots[slot] = source;
            // A page that no access is in: whatever its bias was, it is not read before it is another page's.
            if source == Kind::Constant(u64::MAX) {
                facts.slots[slot] = Kind::Unset;
                if let Some(bias) = facts.slots.get_mut(slot + 1) {
                    *bias = Kind::Unset;
                }
            }
            if matches!(source, Kind::Bias(_))
                && slot > 0
                && matches!(facts.slots[slot - 1], Kind::Tag(_))
            {
                facts.proven = Some(slot);
            }
        }
        let compared = match (mnemonic, place) {
            (Cmp, Some(Place::Tag { store, index })) => match before {
                Kind::Tag(size) => Some(Compared::Translation(index, Rights { store, size })),
                _ => None,
            },
            (Cmp, Some(Place::Slot(slot))) if matches!(before, Kind::Tag(_)) => {
                Some(Compared::Slot(slot))
            }
            _ => None,
        };
        if instruction.rflags_modified() != 0 {
            facts.compared = compared;
        }
        for used in self.info.info(instruction).used_registers() {
            let written = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
            let Some(at) = number(used.register()).filter(|_| written) else {
                continue;
            };
            let part = used.register().size() < 4 && facts.registers[at].is_secret();
            facts.registers[at] = match first {
                _ if part => Kind::Marked,
                Some(first) if first == at => after,
                _ => Kind::Any,
            };
            if facts.compared.is_some_and(
                |compared| matches!(compared, Compared::Translation(index, _) if index == at),
            ) {
                facts.compared = None;
            }
        }
    }

    /// What the second operand is.
    fn source(&self, instruction: &Instruction, facts: &Facts) -> Kind {
        if instruction.op_count() != 2 {
            return Kind::Any;
        }
        match instruction.op1_kind() {
            OpKind::Register => {
                number(instruction.op1_register()).map_or(Kind::Any, |at| facts.registers[at])
            }
            OpKind::Memory if instruction.mnemonic() == Mnemonic::Lea => Kind::Any,
            OpKind::Memory => match self.place(instruction, facts) {
                Place::HostPage(rights) => Kind::Bias(rights),
                // A pair of slots remembers a page: only for an access that was compared with it.
                Place::Slot(slot)
                    if slot < GROUP_SLOTS
                        && matches!(facts.slots[slot], Kind::Bias(_))
                        && facts.proven != Some(slot) =>
                {
                    Kind::Marked
                }
                Place::Slot(slot) => facts.slots[slot],
                _ => Kind::Any,
            },
            _ => Kind::Constant(instruction.immediate(1)),
        }
    }

    /// Whether an address is made of the host's.
    fn names_secret(&self, instruction: &Instruction, facts: &Facts) -> bool {
        [instruction.memory_base(), instruction.memory_index()]
            .into_iter()
            .filter_map(number)
            .any(|at| facts.registers[at].is_secret())
    }

    /// Host addresses are moved, added to, compared and kept in the stack frame, and a reservation remembers one.
    fn keep_secrets(&mut self, instruction: &Instruction, facts: &Facts, source: Kind) {
        use Mnemonic::*;
        let mnemonic = instruction.mnemonic();
        for index in 0..instruction.op_count() {
            if instruction.op_kind(index) != OpKind::Register {
                continue;
            }
            let register = instruction.op_register(index);
            let Some(at) = number(register) else { continue };
            if matches!(Reg(at as u8), RBP | RSP | TABLES) {
                refuse(instruction, "a register that stays what it is");
            }
            if !facts.registers[at].is_secret()
                || self.info.info(instruction).op_access(index) == OpAccess::Write
            {
                continue;
            }
            let whole = matches!(mnemonic, Mov | Add | Sub | Cmp) && register.size() == 8;
            // Its place within a page is the guest's own.
            let low = mnemonic == Movzx && register.size() == 1;
            let cleared =
                mnemonic == Xor && instruction.op0_register() == instruction.op1_register();
            // Bytes of two registers, of which the rest stays a secret.
            let both = mnemonic == And && instruction.op1_kind() == OpKind::Register;
            if !(whole || low || cleared || both) {
                refuse(instruction, "a calculation with a host address");
            }
        }
        if mnemonic == Mov && instruction.op0_kind() == OpKind::Memory && source.is_secret() {
            let reserved = offset_of!(Core, reservation) + offset_of!(Reservation, place);
            match self.place(instruction, facts) {
                Place::Slot(_) => {}
                Place::State(at) if at == reserved => {}
                _ => refuse(instruction, "a host address where the guest reads"),
            }
        }
    }
}

mod tests;
