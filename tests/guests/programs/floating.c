/* Floating-point vectors: every operation on special and ordinary values in all rounding modes; of each operation a
 * digest of result bits and flags. The test compares the lines with those that another CPU printed. */
#include "check.h"

static const uint64_t doubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000,
    0x7ff8000000000000, 0x7ff0000000000001, 0xfff8000000001234, 0x0000000000000001, 0x800fffffffffffff, 0x0010000000000000,
    0x7fefffffffffffff, 0x3fefffffffffffff, 0x3ff0000000000001, 0x4330000000000001, 0x43e0000000000000, 0xc3e0000000000001,
    0x41dfffffffc00000, 0x41f0000000000000, 0x3fe0000000000000, 0x400921fb54442d18, 0xc00b333333333333, 0x1ff0000000000003,
};
static const uint64_t singles[] = {
    0xffffffff00000000, 0xffffffff80000000, 0xffffffff3f800000, 0xffffffffbf800000, 0xffffffff7f800000, 0xffffffffff800000,
    0xffffffff7fc00000, 0xffffffff7f800001, 0x00000000ffc12345, 0xffffffff00000001, 0xffffffff807fffff, 0xffffffff00800000,
    0xffffffff7f7fffff, 0xffffffff3f7fffff, 0xffffffff3f800001, 0xffffffff4b000001, 0xffffffff4f000000, 0xffffffffcf000001,
    0xffffffff5f000000, 0xffffffff3f000000, 0xffffffff40490fdb, 0xffffffffc0599999, 0x3ff0000000000000, 0xffffffff1f800003,
};
static const uint64_t integers[] = { 0, 1, -1ull, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
    0x123456789abcdef, 0x1000001, 0x20000000000001, 0xffffffff80000001 };
enum { VALUES = 24, INTEGERS = 12 };

static uint64_t digest;

#define WITH_FLAGS(run)                                             \
    ({                                                              \
        uint64_t flags_;                                            \
        asm volatile("fsflags zero");                               \
        run;                                                        \
        asm volatile("frflags %0" : "=r"(flags_));                  \
        digest = hash(digest, flags_);                              \
    })

static void modes(const char *name, void (*run)(void))
{
    for (long mode = 0; mode < 5; mode++) {
        asm volatile("fsrm %0" : : "r"(mode));
        digest = 0xcbf29ce484222325;
        run();
        asm volatile("fsrm zero");
        printf("%s %ld %016lx\n", name, mode, digest);
    }
}

#define LOAD(number, from) asm volatile("fmv.d.x f" #number ", %0" : : "r"(from) : "f" #number)
#define RESULT() ({ uint64_t r_; asm volatile("fmv.x.d %0, f13" : "=r"(r_)); digest = hash(digest, r_); })

#define UNARY(function, instruction, table)                         \
    static void function(void)                                      \
    {                                                               \
        for (int a = 0; a < VALUES; a++) {                          \
            LOAD(10, table[a]);                                     \
            WITH_FLAGS(asm volatile(instruction " f13, f10" ::: "f13")); \
            RESULT();                                               \
        }                                                           \
    }
#define BINARY(function, instruction, table)                        \
    static void function(void)                                      \
    {                                                               \
        for (int a = 0; a < VALUES; a++)                            \
            for (int b = 0; b < VALUES; b++) {                      \
                LOAD(10, table[a]);                                 \
                LOAD(11, table[b]);                                 \
                WITH_FLAGS(asm volatile(instruction " f13, f10, f11" ::: "f13")); \
                RESULT();                                           \
            }                                                       \
    }
#define TERNARY(function, instruction, table)                       \
    static void function(void)                                      \
    {                                                               \
        for (int a = 0; a < VALUES; a += 1)                         \
            for (int b = 0; b < VALUES; b += 2)                     \
                for (int c = 0; c < VALUES; c += 3) {               \
                    LOAD(10, table[a]);                             \
                    LOAD(11, table[b]);                             \
                    LOAD(12, table[c]);                             \
                    WITH_FLAGS(asm volatile(instruction " f13, f10, f11, f12" ::: "f13")); \
                    RESULT();                                       \
                }                                                   \
    }
#define COMPARE(function, instruction, table)                       \
    static void function(void)                                      \
    {                                                               \
        for (int a = 0; a < VALUES; a++)                            \
            for (int b = 0; b < VALUES; b++) {                      \
                uint64_t r;                                         \
                LOAD(10, table[a]);                                 \
                LOAD(11, table[b]);                                 \
                WITH_FLAGS(asm volatile(instruction " %0, f10, f11" : "=r"(r))); \
                digest = hash(digest, r);                           \
            }                                                       \
    }
#define TO_INTEGER(function, instruction, table)                    \
    static void function(void)                                      \
    {                                                               \
        for (int a = 0; a < VALUES; a++) {                          \
            uint64_t r;                                             \
            LOAD(10, table[a]);                                     \
            WITH_FLAGS(asm volatile(instruction " %0, f10" : "=r"(r))); \
            digest = hash(digest, r);                               \
        }                                                           \
    }
#define FROM_INTEGER(function, instruction)                         \
    static void function(void)                                      \
    {                                                               \
        for (int a = 0; a < INTEGERS; a++) {                        \
            WITH_FLAGS(asm volatile(instruction " f13, %0" : : "r"(integers[a]) : "f13")); \
            RESULT();                                               \
        }                                                           \
    }

#define BOTH(make, name) make(name##_d, #name ".d", doubles) make(name##_s, #name ".s", singles)
BOTH(BINARY, fadd) BOTH(BINARY, fsub) BOTH(BINARY, fmul) BOTH(BINARY, fdiv) BOTH(BINARY, fmin) BOTH(BINARY, fmax)
BOTH(BINARY, fsgnj) BOTH(BINARY, fsgnjn) BOTH(BINARY, fsgnjx)
BOTH(UNARY, fsqrt)
BOTH(TERNARY, fmadd) BOTH(TERNARY, fmsub) BOTH(TERNARY, fnmadd) BOTH(TERNARY, fnmsub)
BOTH(COMPARE, feq) BOTH(COMPARE, flt) BOTH(COMPARE, fle)
BOTH(TO_INTEGER, fclass)
UNARY(narrow, "fcvt.s.d", doubles) UNARY(widen, "fcvt.d.s", singles)
TO_INTEGER(w_d, "fcvt.w.d", doubles) TO_INTEGER(wu_d, "fcvt.wu.d", doubles)
TO_INTEGER(l_d, "fcvt.l.d", doubles) TO_INTEGER(lu_d, "fcvt.lu.d", doubles)
TO_INTEGER(w_s, "fcvt.w.s", singles) TO_INTEGER(wu_s, "fcvt.wu.s", singles)
TO_INTEGER(l_s, "fcvt.l.s", singles) TO_INTEGER(lu_s, "fcvt.lu.s", singles)
FROM_INTEGER(d_w, "fcvt.d.w") FROM_INTEGER(d_wu, "fcvt.d.wu") FROM_INTEGER(d_l, "fcvt.d.l") FROM_INTEGER(d_lu, "fcvt.d.lu")
FROM_INTEGER(s_w, "fcvt.s.w") FROM_INTEGER(s_wu, "fcvt.s.wu") FROM_INTEGER(s_l, "fcvt.s.l") FROM_INTEGER(s_lu, "fcvt.s.lu")

/* The rounding mode in the instruction, not in the register. */
#define FIXED(mode)                                                             \
    for (int a = 0; a < VALUES; a++) {                                          \
        uint64_t r;                                                             \
        LOAD(10, doubles[a]);                                                   \
        LOAD(11, doubles[(a * 7 + 3) % VALUES]);                                \
        WITH_FLAGS(asm volatile("fadd.d f13, f10, f11, " #mode ::: "f13"));     \
        RESULT();                                                               \
        WITH_FLAGS(asm volatile("fcvt.l.d %0, f10, " #mode : "=r"(r)));         \
        digest = hash(digest, r);                                               \
    }
static void fixed(void)
{
    FIXED(rne) FIXED(rtz) FIXED(rdn) FIXED(rup) FIXED(rmm)
}

int main(void)
{
    /* Twice: the second time all of it is hot. */
    for (int turn = 0; turn < 2; turn++) {
#define SHOW(name) modes(#name, name);
#define SHOW_BOTH(name) SHOW(name##_d) SHOW(name##_s)
        SHOW_BOTH(fadd) SHOW_BOTH(fsub) SHOW_BOTH(fmul) SHOW_BOTH(fdiv) SHOW_BOTH(fmin) SHOW_BOTH(fmax)
        SHOW_BOTH(fsgnj) SHOW_BOTH(fsgnjn) SHOW_BOTH(fsgnjx) SHOW_BOTH(fsqrt)
        SHOW_BOTH(fmadd) SHOW_BOTH(fmsub) SHOW_BOTH(fnmadd) SHOW_BOTH(fnmsub)
        SHOW_BOTH(feq) SHOW_BOTH(flt) SHOW_BOTH(fle) SHOW_BOTH(fclass)
        SHOW(narrow) SHOW(widen) SHOW(w_d) SHOW(wu_d) SHOW(l_d) SHOW(lu_d) SHOW(w_s) SHOW(wu_s) SHOW(l_s) SHOW(lu_s)
        SHOW(d_w) SHOW(d_wu) SHOW(d_l) SHOW(d_lu) SHOW(s_w) SHOW(s_wu) SHOW(s_l) SHOW(s_lu) SHOW(fixed)
    }
    printf("ok\n");
    return 0;
}
