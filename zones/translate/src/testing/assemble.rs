//! Encodes the instructions that tests write by hand. Source: unprivileged manual, "Instruction Set Listings".

pub(crate) fn r_type(opcode: u32, funct3: u32, funct7: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

pub(crate) fn i_type(opcode: u32, funct3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    assert!((-2048..2048).contains(&imm));
    (imm as u32) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

pub(crate) fn s_type(opcode: u32, funct3: u32, rs1: u32, rs2: u32, imm: i32) -> u32 {
    assert!((-2048..2048).contains(&imm));
    let imm = imm as u32;
    (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 0x1f) << 7 | opcode
}

pub(crate) fn branch(funct3: u32, rs1: u32, rs2: u32, offset: i32) -> u32 {
    assert!((-4096..4096).contains(&offset));
    let imm = offset as u32;
    (imm >> 12 & 1) << 31
        | (imm >> 5 & 0x3f) << 25
        | rs2 << 20
        | rs1 << 15
        | funct3 << 12
        | (imm >> 1 & 0xf) << 8
        | (imm >> 11 & 1) << 7
        | 0x63
}

pub(crate) fn jal(rd: u32, offset: i32) -> u32 {
    assert!((-1_048_576..1_048_576).contains(&offset));
    let imm = offset as u32;
    (imm >> 20 & 1) << 31
        | (imm >> 1 & 0x3ff) << 21
        | (imm >> 11 & 1) << 20
        | (imm >> 12 & 0xff) << 12
        | rd << 7
        | 0x6f
}

pub(crate) fn jalr(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x67, 0, rd, rs1, imm)
}

pub(crate) fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x13, 0, rd, rs1, imm)
}

pub(crate) fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r_type(0x33, 0, 0, rd, rs1, rs2)
}

pub(crate) fn lui(rd: u32, upper: u32) -> u32 {
    upper & 0xffff_f000 | rd << 7 | 0x37
}

pub(crate) fn auipc(rd: u32, upper: u32) -> u32 {
    upper & 0xffff_f000 | rd << 7 | 0x17
}

/// `lui` and `addiw` for a value below 2^31.
pub(crate) fn load_address(rd: u32, value: u64) -> [u32; 2] {
    assert!(value < 0x7fff_f800);
    let low = (value as i32) << 20 >> 20;
    [
        lui(rd, (value as i32 - low) as u32),
        i_type(0x1b, 0, rd, rd, low),
    ]
}

pub(crate) fn ld(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x03, 3, rd, rs1, imm)
}

pub(crate) fn lw(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x03, 2, rd, rs1, imm)
}

pub(crate) fn lb(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x03, 0, rd, rs1, imm)
}

pub(crate) fn sd(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s_type(0x23, 3, rs1, rs2, imm)
}

pub(crate) fn sw(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s_type(0x23, 2, rs1, rs2, imm)
}

pub(crate) fn sb(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s_type(0x23, 0, rs1, rs2, imm)
}

pub(crate) fn fld(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x07, 3, rd, rs1, imm)
}

pub(crate) fn fsd(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s_type(0x27, 3, rs1, rs2, imm)
}

pub(crate) fn csrrw(rd: u32, csr: u32, rs1: u32) -> u32 {
    csr << 20 | rs1 << 15 | 1 << 12 | rd << 7 | 0x73
}

pub(crate) fn csrrs(rd: u32, csr: u32, rs1: u32) -> u32 {
    csr << 20 | rs1 << 15 | 2 << 12 | rd << 7 | 0x73
}

pub(crate) fn csrrc(rd: u32, csr: u32, rs1: u32) -> u32 {
    csr << 20 | rs1 << 15 | 3 << 12 | rd << 7 | 0x73
}

pub(crate) fn csrrwi(rd: u32, csr: u32, imm: u32) -> u32 {
    csr << 20 | imm << 15 | 5 << 12 | rd << 7 | 0x73
}

/// `lr.w` (funct5 2), `sc.w` (3), `amoswap.w` (1), ...
pub(crate) fn atomic(double: bool, funct5: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    r_type(0x2f, if double { 3 } else { 2 }, funct5 << 2, rd, rs1, rs2)
}

pub(crate) fn sfence_vma(rs1: u32, rs2: u32) -> u32 {
    r_type(0x73, 0, 0x09, 0, rs1, rs2)
}

pub(crate) const ECALL: u32 = 0x0000_0073;
pub(crate) const EBREAK: u32 = 0x0010_0073;
pub(crate) const SRET: u32 = 0x1020_0073;
pub(crate) const WFI: u32 = 0x1050_0073;
pub(crate) const FENCE: u32 = 0x0ff0_000f;
pub(crate) const PAUSE: u32 = 0x0100_000f;
pub(crate) const FENCE_I: u32 = 0x0000_100f;
pub(crate) const NOP: u32 = 0x0000_0013;
