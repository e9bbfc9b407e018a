//! A decoded instruction.
//!
//! Compressed instructions decode to the operation they expand to. Source: The RISC-V Instruction Set Manual, volume I
//! (unprivileged) and volume II (privileged).

/// Where the result of an instruction that writes `x0` goes: a register that nothing reads.
pub const SINK: u8 = 32;

/// One decoded instruction, 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// What it does.
    pub kind: Kind,
    /// Bytes of the instruction: 2 or 4.
    pub length: u8,
    /// Offset of the instruction from its block's first.
    pub offset: u16,
    /// Destination; integer `x0` is [`SINK`].
    pub rd: u8,
    /// First source.
    pub rs1: u8,
    /// Second source.
    pub rs2: u8,
    /// Rounding mode field of floating-point operations, `aq`/`rl` are not kept (all atomics are ordered).
    pub rm: u8,
    /// Immediate, sign-extended; the CSR number; the third source of fused operations.
    pub imm: i32,
    /// The instruction's bits; a compressed one in the low half.
    pub raw: u32,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// What an instruction does; the names are the manual's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names are the standard's mnemonics")]
        pub enum Kind { $($(#[$doc])* $name),* }
        impl Kind {
            /// Every kind, in declaration order.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    // Reserved or unknown bits.
    Illegal
    // RV64I. `Mv` and `Li` are `addi` with no immediate and with `x0`: common enough for a faster way.
    Nop Mv Li
    Lui Auipc Jal Jalr Beq Bne Blt Bge Bltu Bgeu
    Lb Lh Lw Ld Lbu Lhu Lwu Sb Sh Sw Sd
    Addi Slti Sltiu Xori Ori Andi Slli Srli Srai
    Add Sub Sll Slt Sltu Xor Srl Sra Or And
    Addiw Slliw Srliw Sraiw Addw Subw Sllw Srlw Sraw
    Fence Pause FenceI Ecall Ebreak
    // M
    Mul Mulh Mulhsu Mulhu Div Divu Rem Remu Mulw Divw Divuw Remw Remuw
    // A
    LrW ScW AmoswapW AmoaddW AmoxorW AmoandW AmoorW AmominW AmomaxW AmominuW AmomaxuW
    LrD ScD AmoswapD AmoaddD AmoxorD AmoandD AmoorD AmominD AmomaxD AmominuD AmomaxuD
    // Zba, Zbb, Zbs, Zicond
    AddUw Sh1add Sh2add Sh3add Sh1addUw Sh2addUw Sh3addUw SlliUw
    Andn Orn Xnor Clz Ctz Cpop Clzw Ctzw Cpopw Max Maxu Min Minu SextB SextH ZextH
    Rol Ror Rori Rolw Rorw Roriw OrcB Rev8
    Bclr Bext Binv Bset Bclri Bexti Binvi Bseti
    CzeroEqz CzeroNez
    // Zicsr; `imm` is the CSR number, `rs1` the register or the immediate
    Csrrw Csrrs Csrrc Csrrwi Csrrsi Csrrci
    // Privileged, Zicboz
    Sret Wfi SfenceVma CboZero
    // F
    Flw Fsw FmaddS FmsubS FnmsubS FnmaddS FaddS FsubS FmulS FdivS FsqrtS FsgnjS FsgnjnS FsgnjxS FminS FmaxS
    FcvtWS FcvtWuS FcvtLS FcvtLuS FmvXW FeqS FltS FleS FclassS FcvtSW FcvtSWu FcvtSL FcvtSLu FmvWX
    // D
    Fld Fsd FmaddD FmsubD FnmsubD FnmaddD FaddD FsubD FmulD FdivD FsqrtD FsgnjD FsgnjnD FsgnjxD FminD FmaxD
    FcvtSD FcvtDS FcvtWD FcvtWuD FcvtLD FcvtLuD FmvXD FeqD FltD FleD FclassD FcvtDW FcvtDWu FcvtDL FcvtDLu FmvDX
    // Zfa; the number of the constant of `fli` is in `rs1`
    FliS FminmS FmaxmS FroundS FroundnxS FleqS FltqS
    FliD FminmD FmaxmD FroundD FroundnxD FleqD FltqD FcvtmodWD
}

impl Kind {
    /// Whether a floating-point operation writes an integer register.
    pub fn leaves_floats(self) -> bool {
        use Kind::*;
        matches!(
            self,
            FcvtWS
                | FcvtWuS
                | FcvtLS
                | FcvtLuS
                | FmvXW
                | FeqS
                | FltS
                | FleS
                | FclassS
                | FleqS
                | FltqS
                | FcvtWD
                | FcvtWuD
                | FcvtLD
                | FcvtLuD
                | FmvXD
                | FeqD
                | FltD
                | FleD
                | FclassD
                | FleqD
                | FltqD
                | FcvtmodWD
        )
    }

    /// Whether a block ends with this instruction: control may not go on to the next one, or what follows may have to be
    /// fetched or interrupted anew.
    pub fn ends_block(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Illegal
                | Jal
                | Jalr
                | Beq
                | Bne
                | Blt
                | Bge
                | Bltu
                | Bgeu
                | Pause
                | FenceI
                | Ecall
                | Ebreak
                | Sret
                | Wfi
                | SfenceVma
                | Csrrw
                | Csrrs
                | Csrrc
                | Csrrwi
                | Csrrsi
                | Csrrci
        )
    }
}
