/* The few RISC-V instructions that programs write into memory. */
#ifndef ENCODE_H
#define ENCODE_H
#include <stdint.h>

enum { A0 = 10, A1 = 11, A2 = 12, RETURN = 0x8067, FENCE_I = 0x100f, EBREAK = 0x100073 };

static inline uint32_t encode_addi(int rd, int rs, int immediate)
{
    return (uint32_t)immediate << 20 | rs << 15 | rd << 7 | 0x13;
}
/* A small constant into a register. */
static inline uint32_t encode_li(int rd, int immediate)
{
    return encode_addi(rd, 0, immediate);
}
static inline uint32_t encode_lw(int rd, int rs, int offset)
{
    return (uint32_t)offset << 20 | rs << 15 | 2 << 12 | rd << 7 | 0x03;
}
static inline uint32_t encode_sw(int value, int base, int offset)
{
    return (uint32_t)(offset >> 5 & 0x7f) << 25 | value << 20 | base << 15 | 2 << 12 | (offset & 0x1f) << 7 | 0x23;
}
static inline uint32_t encode_bnez(int rs, int offset)
{
    return (uint32_t)(offset >> 12 & 1) << 31 | (offset >> 5 & 0x3f) << 25 | rs << 15 | 1 << 12 | (offset >> 1 & 0xf) << 8
        | (offset >> 11 & 1) << 7 | 0x63;
}
static inline uint32_t encode_j(int offset)
{
    return (uint32_t)(offset >> 20 & 1) << 31 | (offset >> 1 & 0x3ff) << 21 | (offset >> 11 & 1) << 20
        | (offset >> 12 & 0xff) << 12 | 0x6f;
}

/* Makes what was written visible to instruction fetches on all harts that run this process. */
static inline void flush(void *start, void *end)
{
    __builtin___clear_cache(start, end);
}
#endif
