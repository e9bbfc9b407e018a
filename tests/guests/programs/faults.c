/* Page faults: pages change their protection at random, every kind of access is tried, and each fault must come exactly
 * where it belongs, with its address, its code, its program counter and all registers as they were before the
 * instruction. The handler repairs the page, and the instruction runs again, or it is skipped. */
#include "check.h"
#include "encode.h"
#include <signal.h>
#include <ucontext.h>

enum { COUNT = 32, ROUNDS = 12000, NOT_MAPPED = -1 };

/* Each stub fills the registers that the handler looks at, then does one access: address in a0, value in a1. */
#define STUB(name, instruction)                                                                             \
    asm(".text\n.option push\n.option norvc\n.align 2\n.globl " name "\n" name ":\n"                        \
        "li a2, 0x212\nli a3, 0x313\nli a4, 0x414\nli a5, 0x515\nli a6, 0x616\nli a7, 0x717\n"              \
        "li t0, 0x50\nli t1, 0x51\nli t2, 0x52\nli t3, 0x53\nli t4, 0x54\nli t5, 0x55\nli t6, 0x56\n"       \
        ".option pop\n.globl " name "_at\n" name "_at: " instruction "\nret\n")
#define WIDE(text) ".option push\n.option norvc\n" text "\n.option pop"
STUB("stub_lb", WIDE("lb a0, 0(a0)"));
STUB("stub_lhu", WIDE("lhu a0, 0(a0)"));
STUB("stub_lw", WIDE("lw a0, 0(a0)"));
STUB("stub_ld", WIDE("ld a0, 0(a0)"));
STUB("stub_c_lw", "c.lw a0, 0(a0)");
STUB("stub_c_ld", "c.ld a0, 0(a0)");
STUB("stub_flw", WIDE("flw fa0, 0(a0)\nfmv.x.w a0, fa0"));
STUB("stub_fld", WIDE("fld fa0, 0(a0)\nfmv.x.d a0, fa0"));
STUB("stub_lr", WIDE("lr.d a0, (a0)"));
STUB("stub_sb", WIDE("sb a1, 0(a0)\nmv a0, a1"));
STUB("stub_sh", WIDE("sh a1, 0(a0)\nmv a0, a1"));
STUB("stub_sw", WIDE("sw a1, 0(a0)\nmv a0, a1"));
STUB("stub_sd", WIDE("sd a1, 0(a0)\nmv a0, a1"));
STUB("stub_c_sd", "c.sd a1, 0(a0)\nmv a0, a1");
STUB("stub_amoadd", WIDE("amoadd.d a0, a1, (a0)"));
STUB("stub_amoswap", WIDE("amoswap.w a0, a1, (a0)"));
STUB("stub_jump", WIDE("jr a0"));

#define DECLARE(name) extern long name(void *, uint64_t); extern const char name##_at[];
DECLARE(stub_lb) DECLARE(stub_lhu) DECLARE(stub_lw) DECLARE(stub_ld) DECLARE(stub_c_lw) DECLARE(stub_c_ld)
DECLARE(stub_flw) DECLARE(stub_fld) DECLARE(stub_lr) DECLARE(stub_sb) DECLARE(stub_sh) DECLARE(stub_sw)
DECLARE(stub_sd) DECLARE(stub_c_sd) DECLARE(stub_amoadd) DECLARE(stub_amoswap) DECLARE(stub_jump)

/* What an access needs of its page. */
enum need { READ, WRITE, RUN };
static const struct {
    const char *name;
    long (*access)(void *, uint64_t);
    const char *at;
    enum need need;
    int size, atomic, signed_;
} kinds[] = {
#define KIND(name, need, size, atomic, signed_) { #name, stub_##name, stub_##name##_at, need, size, atomic, signed_ }
    KIND(lb, READ, 1, 0, 1), KIND(lhu, READ, 2, 0, 0), KIND(lw, READ, 4, 0, 1), KIND(ld, READ, 8, 0, 0),
    KIND(c_lw, READ, 4, 0, 1), KIND(c_ld, READ, 8, 0, 0), KIND(flw, READ, 4, 0, 1), KIND(fld, READ, 8, 0, 0),
    KIND(lr, READ, 8, 0, 0), KIND(sb, WRITE, 1, 0, 0), KIND(sh, WRITE, 2, 0, 0), KIND(sw, WRITE, 4, 0, 0),
    KIND(sd, WRITE, 8, 0, 0), KIND(c_sd, WRITE, 8, 0, 0), KIND(amoadd, WRITE, 8, 1, 0), KIND(amoswap, WRITE, 4, 1, 1),
    KIND(jump, RUN, 4, 0, 0),
};

static char *area;
static int protection[COUNT];
/* Where each page has code; the rest is data. */
enum { CODE_AT = 2048 };

static struct {
    int count, signal, code;
    uintptr_t address, pc;
    unsigned long registers[32];
} seen;
static int repair, repaired_to;

static void fill(char *page)
{
    for (int i = 0; i < CODE_AT / 8; i++)
        ((uint64_t *)page)[i] = (uintptr_t)page * 0x9e3779b97f4a7c15 + i;
    uint32_t *code = (uint32_t *)(page + CODE_AT);
    for (int i = 0; i < (PAGE - CODE_AT) / 8; i++)
        code[2 * i] = encode_li(A0, 0x77), code[2 * i + 1] = RETURN;
}

static void on_fault(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    seen.count++;
    seen.signal = number;
    seen.code = info->si_code;
    seen.address = (uintptr_t)info->si_addr;
    seen.pc = context->uc_mcontext.__gregs[REG_PC];
    memcpy(seen.registers, context->uc_mcontext.__gregs, sizeof seen.registers);
    if (seen.count > 1)
        return;
    if (repair) {
        char *page = (char *)(seen.address & -PAGE);
        mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        fill(page);
        flush(page, page + PAGE);
        mprotect(page, PAGE, repaired_to);
    } else if (seen.pc == seen.address) {
        context->uc_mcontext.__gregs[REG_PC] = context->uc_mcontext.__gregs[REG_RA];
    } else {
        unsigned short low = *(unsigned short *)seen.pc;
        context->uc_mcontext.__gregs[REG_PC] += (low & 3) == 3 ? 4 : 2;
    }
}

static void protect(int page, int to)
{
    char *p = area + page * PAGE;
    if (to == NOT_MAPPED) {
        munmap(p, PAGE);
    } else {
        if (protection[page] == NOT_MAPPED) {
            CHECK(mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p, "page %d", page);
            fill(p);
            flush(p, p + PAGE);
        }
        CHECK(mprotect(p, PAGE, to) == 0, "protection %d", to);
    }
    protection[page] = to;
}

static int allowed(int protection, enum need need)
{
    static const int bits[] = { [READ] = PROT_READ, [WRITE] = PROT_WRITE, [RUN] = PROT_EXEC };
    return protection != NOT_MAPPED && (protection & bits[need]);
}

static void one_access(int round)
{
    static const int protections[] = { NOT_MAPPED, PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC };
    int page = below(COUNT), which = below(sizeof kinds / sizeof *kinds);
    if (below(3) == 0)
        protect(page, protections[below(5)]);
    enum need need = kinds[which].need;
    int size = kinds[which].size;
    char *base = area + page * PAGE;
    char *at = need == RUN ? base + CODE_AT + below((PAGE - CODE_AT) / 8) * 8 : base + below(CODE_AT / size) * size;
    uint64_t value = next_random(), old = 0, mask = size == 8 ? -1ull : (1ull << 8 * size) - 1;
    int was = protection[page], expect = !allowed(was, need);
    if (!expect && need != RUN)
        memcpy(&old, at, size);
    repair = below(2);
    repaired_to = need == READ ? PROT_READ : need == WRITE ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC;
    seen.count = 0;
    long result = kinds[which].access(at, value);

    CHECK(seen.count == expect, "round %d: %s with protection %d faulted %d times", round, kinds[which].name, was, seen.count);
    if (expect) {
        const uintptr_t pc = need == RUN ? (uintptr_t)at : (uintptr_t)kinds[which].at;
        const int code = was == NOT_MAPPED ? SEGV_MAPERR : SEGV_ACCERR;
        CHECK(seen.signal == SIGSEGV && seen.code == code, "round %d: %s: signal %d, code %d", round, kinds[which].name, seen.signal, seen.code);
        CHECK(seen.address == (uintptr_t)at, "round %d: %s at %p: address %#lx", round, kinds[which].name, at, seen.address);
        CHECK(seen.pc == pc, "round %d: %s: pc %#lx instead of %#lx", round, kinds[which].name, seen.pc, pc);
        static const int numbers[] = { 12, 13, 14, 15, 16, 17, 5, 6, 7, 28, 29, 30, 31 };
        static const unsigned values[] = { 0x212, 0x313, 0x414, 0x515, 0x616, 0x717, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56 };
        for (int i = 0; i < 13; i++)
            CHECK(seen.registers[numbers[i]] == values[i], "round %d: %s: x%d is %#lx", round, kinds[which].name, numbers[i], seen.registers[numbers[i]]);
        CHECK(seen.registers[10] == (uintptr_t)at && seen.registers[11] == value, "round %d: %s: a0 %#lx, a1 %#lx", round, kinds[which].name, seen.registers[10], seen.registers[11]);
        if (!repair)
            return;
        protection[page] = repaired_to;
        /* The page is a fresh one. */
        if (need != RUN) {
            uint64_t whole = (uintptr_t)base * 0x9e3779b97f4a7c15 + (at - base) / 8;
            memcpy(&old, (char *)&whole + (at - base) % 8, size);
        }
    }
    if (need == RUN) {
        CHECK(result == 0x77, "round %d: the code gave %ld", round, result);
        return;
    }
    uint64_t now = 0, found = result;
    memcpy(&now, at, size);
    if (need == READ) {
        if (kinds[which].signed_ && size < 8 && old >> (8 * size - 1))
            old |= ~mask;
        CHECK(found == old, "round %d: %s gave %#lx, not %#lx", round, kinds[which].name, found, old);
    } else {
        uint64_t stored = kinds[which].atomic && size == 8 ? old + value : value;
        CHECK(now == (stored & mask), "round %d: %s left %#lx, not %#lx", round, kinds[which].name, now, stored & mask);
    }
}

/* Loops that are hot when the fault comes: the registers must be those of just this turn. */
extern void copy_loop(uint64_t *from, uint64_t *to, long words);
extern void scale_loop(double factor, double *from, double *to, long words);
extern const char copy_load[], copy_store[], scale_load[], scale_store[];
asm(".text\n.align 2\ncopy_loop: .globl copy_loop\n"
    "copy_load: ld t0, 0(a0)\naddi t0, t0, 1\ncopy_store: sd t0, 0(a1)\n"
    "addi a0, a0, 8\naddi a1, a1, 8\naddi a2, a2, -1\nbnez a2, copy_load\nret\n"
    ".align 2\nscale_loop: .globl scale_loop\nfadd.d fa1, fa0, fa0\n"
    "1: addi a2, a2, -1\nscale_load: fld fa2, 0(a0)\naddi a0, a0, 8\nfmul.d fa2, fa2, fa0\n"
    "scale_store: fsd fa2, 0(a1)\naddi a1, a1, 8\nbnez a2, 1b\nret\n");

enum { WORDS = 8 * PAGE / 8 };
static char *from, *to;
static long loop_words;
static int loop_faults, loop_wrong;

static void on_loop_fault(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    unsigned long *r = (unsigned long *)context->uc_mcontext.__gregs;
    uintptr_t address = (uintptr_t)info->si_addr, pc = r[REG_PC];
    int scaling = pc == (uintptr_t)scale_load || pc == (uintptr_t)scale_store;
    int loading = pc == (uintptr_t)copy_load || pc == (uintptr_t)scale_load;
    unsigned long done = (r[11] - (uintptr_t)to) / 8;
    loop_faults++;
    int good = number == SIGSEGV && info->si_code == SEGV_ACCERR;
    good &= loading || pc == (uintptr_t)copy_store || pc == (uintptr_t)scale_store;
    good &= address == (loading ? r[10] : r[11]);
    good &= r[10] - (uintptr_t)from == done * 8 + (scaling && !loading ? 8 : 0);
    good &= r[12] == loop_words - done - (scaling ? 1 : 0);
    if (!good && !loop_wrong++)
        printf("pc %#lx address %#lx a0 %#lx a1 %#lx a2 %#lx\n", pc, address, r[10], r[11], r[12]);
    if (loop_wrong > 3)
        _exit(1);
    mprotect((void *)(address & -PAGE), PAGE, PROT_READ | PROT_WRITE);
}

static void loops(void)
{
    from = pages(8, PROT_READ | PROT_WRITE);
    to = pages(8, PROT_READ | PROT_WRITE);
    int expected = 0;
    for (int round = 0; round < 400; round++) {
        int real = round % 2;
        loop_words = WORDS - below(64);
        for (int i = 0; i < WORDS; i++)
            if (real)
                ((double *)from)[i] = i + round;
            else
                ((uint64_t *)from)[i] = i * 31 + round;
        for (int page = 0; page < 8; page++) {
            if (below(3) == 0) {
                mprotect(from + page * PAGE, PAGE, PROT_NONE);
                expected++;
            }
            if (below(3) == 0) {
                mprotect(to + page * PAGE, PAGE, PROT_READ);
                expected++;
            }
        }
        if (real) {
            scale_loop(3.0, (double *)from, (double *)to, loop_words);
        } else {
            copy_loop((uint64_t *)from, (uint64_t *)to, loop_words);
        }
        mprotect(from, 8 * PAGE, PROT_READ | PROT_WRITE);
        mprotect(to, 8 * PAGE, PROT_READ | PROT_WRITE);
        for (int i = 0; i < loop_words; i++)
            if (real)
                CHECK(((double *)to)[i] == 3.0 * (i + round), "round %d, word %d", round, i);
            else
                CHECK(((uint64_t *)to)[i] == (uint64_t)i * 31 + round + 1, "round %d, word %d", round, i);
    }
    CHECK(loop_wrong == 0, "%d faults of %d were wrong", loop_wrong, loop_faults);
    CHECK(loop_faults == expected, "%d faults, not %d", loop_faults, expected);
    printf("%d faults in loops\n", loop_faults);
}

/* Addresses that no page table can hold. */
static void far_addresses(void)
{
    static const uint64_t addresses[] = { 0x8, 0x7ffffffff000, 0x800000000000, 0x8000000000000000, 0xffff800000000000,
        0xffffffff80000000, 0xfffffffffffffff8 };
    repair = 0;
    for (int round = 0; round < 100; round++)
        for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++)
            for (int which = 0; which < 2; which++) {
                seen.count = 0;
                (which ? stub_sd : stub_ld)((void *)addresses[i], 1);
                CHECK(seen.count == 1 && seen.signal == SIGSEGV, "%#lx: signal %d", addresses[i], seen.signal);
                CHECK(seen.address == addresses[i], "%#lx: address %#lx", addresses[i], seen.address);
                CHECK(seen.pc == (uintptr_t)(which ? stub_sd_at : stub_ld_at), "%#lx: pc %#lx", addresses[i], seen.pc);
            }
}

int main(int argc, char **argv)
{
    area = pages(COUNT, PROT_READ | PROT_WRITE);
    for (int page = 0; page < COUNT; page++) {
        fill(area + page * PAGE);
        protection[page] = PROT_READ | PROT_WRITE;
    }
    flush(area, area + COUNT * PAGE);
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    int faults = 0;
    for (int round = 0; round < ROUNDS; round++) {
        one_access(round);
        faults += seen.count;
    }
    printf("%d faults\n", faults);
    CHECK(faults > 3000, "too few to show anything");
    /* User-mode emulation cannot see them: the host's processor does not tell. */
    if (!under_user_emulation(argc, argv))
        far_addresses();
    action.sa_sigaction = on_loop_fault;
    sigaction(SIGSEGV, &action, NULL);
    loops();
    printf("ok\n");
    return 0;
}
