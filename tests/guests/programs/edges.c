/* Hot loops that walk over pages of different protection, aligned or not: by one base or two, upwards and downwards, with
 * several accesses of different sizes in a turn, atomic ones and ones that are skipped. A model says which access faults
 * in which turn at which address; the faults must be just these, in this order, with the registers of that turn, and what
 * is in memory afterwards must be as if there had been none. */
#include "check.h"
#include <signal.h>
#include <ucontext.h>

enum { PAGES = 4, BYTES = PAGES * PAGE, MOST = 64 };

#define LOOP(name, body, first, second)                                                                \
    asm(".text\n.option push\n.option norvc\n.align 2\n.globl " #name "\n" #name ":\n" body            \
        "addi a0, a0, " #first "\naddi a1, a1, " #second "\naddi a2, a2, -1\nbnez a2, " #name "\nret\n" \
        ".option pop\n");                                                                              \
    extern void name(unsigned char *, unsigned char *, long)
#define AT(label) ".globl " #label "\n" #label ": "

LOOP(two, AT(two_0) "ld t0, 0(a0)\n" AT(two_1) "lw t1, 12(a0)\nadd t0, t0, t1\n" AT(two_2) "sd t0, 0(a1)\n" AT(two_3) "sh t1, 9(a1)\n", 24, 24);
LOOP(one, AT(one_0) "lw t0, 0(a0)\n" AT(one_1) "ld t1, 4(a0)\n" AT(one_2) "lbu t2, 15(a0)\nadd t1, t1, t0\n" AT(one_3) "sd t1, 16(a0)\n"
    AT(one_4) "sw t0, 27(a0)\n" AT(one_5) "sb t2, 33(a0)\n", 40, 0);
LOOP(down, AT(down_0) "ld t0, -8(a0)\n" AT(down_1) "lhu t1, -16(a0)\nxor t0, t0, t1\n" AT(down_2) "sd t0, -8(a1)\n", -16, -8);
LOOP(reals, AT(reals_0) "fld fa0, 0(a0)\n" AT(reals_1) "flw fa1, 12(a0)\n" AT(reals_2) "fsd fa0, 0(a1)\n" AT(reals_3) "fsw fa1, 8(a1)\n", 16, 16);
LOOP(bytes, AT(bytes_0) "lb t0, 0(a0)\n" AT(bytes_1) "sb t0, 0(a1)\n", 1, 1);
LOOP(atomic, AT(atomic_0) "amoxor.w t0, a2, (a0)\n" AT(atomic_1) "amoadd.d t1, a2, (a1)\n", 4, 8);
LOOP(skipping, AT(skipping_0) "ld t0, 0(a0)\nandi t1, t0, 1\nbeqz t1, 1f\n" AT(skipping_1) "sd t0, 0(a1)\n1: " AT(skipping_2) "lbu t2, 3(a1)\n", 8, 8);

#define LABELS(name) extern const char name##_0[], name##_1[], name##_2[], name##_3[], name##_4[], name##_5[]
LABELS(two);
LABELS(one);
LABELS(down);
LABELS(reals);
LABELS(bytes);
LABELS(atomic);
LABELS(skipping);

struct access {
    const char *at;
    int base, offset, size, store;
    /* Only where the double word at the first base is odd. */
    int skipped;
};

static const struct loop {
    const char *name;
    void (*run)(unsigned char *, unsigned char *, long);
    int strides[2], aligned;
    struct access accesses[6];
} loops[] = {
    { "two", two, { 24, 24 }, 1, { { two_0, 0, 0, 8, 0, 0 }, { two_1, 0, 12, 4, 0, 0 }, { two_2, 1, 0, 8, 1, 0 }, { two_3, 1, 9, 2, 1, 0 } } },
    { "one", one, { 40, 0 }, 1, { { one_0, 0, 0, 4, 0, 0 }, { one_1, 0, 4, 8, 0, 0 }, { one_2, 0, 15, 1, 0, 0 }, { one_3, 0, 16, 8, 1, 0 },
        { one_4, 0, 27, 4, 1, 0 }, { one_5, 0, 33, 1, 1, 0 } } },
    { "down", down, { -16, -8 }, 1, { { down_0, 0, -8, 8, 0, 0 }, { down_1, 0, -16, 2, 0, 0 }, { down_2, 1, -8, 8, 1, 0 } } },
    { "reals", reals, { 16, 16 }, 1, { { reals_0, 0, 0, 8, 0, 0 }, { reals_1, 0, 12, 4, 0, 0 }, { reals_2, 1, 0, 8, 1, 0 }, { reals_3, 1, 8, 4, 1, 0 } } },
    { "bytes", bytes, { 1, 1 }, 1, { { bytes_0, 0, 0, 1, 0, 0 }, { bytes_1, 1, 0, 1, 1, 0 } } },
    { "atomic", atomic, { 4, 8 }, 8, { { atomic_0, 0, 0, 4, 1, 0 }, { atomic_1, 1, 0, 8, 1, 0 } } },
    { "skipping", skipping, { 8, 8 }, 1, { { skipping_0, 0, 0, 8, 0, 0 }, { skipping_1, 1, 0, 8, 1, 1 }, { skipping_2, 1, 3, 1, 0, 0 } } },
};
enum { LOOPS = sizeof loops / sizeof *loops };

/* What a turn does to memory. */
static void turn_of(const struct loop *loop, unsigned char *a, unsigned char *b, uint64_t left)
{
    uint64_t d = 0, e = 0;
    if (loop->run == two) {
        int32_t w;
        memcpy(&d, a, 8), memcpy(&w, a + 12, 4);
        d += (int64_t)w;
        memcpy(b, &d, 8), memcpy(b + 9, &w, 2);
    } else if (loop->run == one) {
        int32_t w;
        memcpy(&w, a, 4), memcpy(&d, a + 4, 8);
        unsigned char byte = a[15];
        d += (int64_t)w;
        memcpy(a + 16, &d, 8), memcpy(a + 27, &w, 4);
        a[33] = byte;
    } else if (loop->run == down) {
        memcpy(&d, a - 8, 8), memcpy(&e, a - 16, 2);
        d ^= e;
        memcpy(b - 8, &d, 8);
    } else if (loop->run == reals) {
        memcpy(&d, a, 8), memcpy(&e, a + 12, 4);
        memcpy(b, &d, 8), memcpy(b + 8, &e, 4);
    } else if (loop->run == bytes) {
        *b = *a;
    } else if (loop->run == atomic) {
        memcpy(&d, a, 4), memcpy(&e, b, 8);
        d ^= left, e += left;
        memcpy(a, &d, 4), memcpy(b, &e, 8);
    } else {
        memcpy(&d, a, 8);
        if (d & 1)
            memcpy(b, &d, 8);
    }
}

struct fault {
    uintptr_t pc, address;
    unsigned long a0, a1, a2;
};
static struct fault expected[MOST], seen[MOST];
static int expecting, saw, strange;

static void on_fault(int number, siginfo_t *info, void *raw)
{
    unsigned long *r = (unsigned long *)((ucontext_t *)raw)->uc_mcontext.__gregs;
    uintptr_t address = (uintptr_t)info->si_addr;
    if (saw < MOST)
        seen[saw] = (struct fault){ r[REG_PC], address, r[10], r[11], r[12] };
    strange += number != SIGSEGV || info->si_code != SEGV_ACCERR;
    /* More than there can be: the instruction would fault for ever. */
    if (++saw > 10 * MOST || mprotect((void *)(address & -PAGE), PAGE, PROT_READ | PROT_WRITE))
        _exit(2);
}

static unsigned char *areas[2], models[2][BYTES];

/* Runs a loop in the model, and notes its faults. */
static void foretell(const struct loop *loop, const long starts[2], long turns, int may[2][PAGES])
{
    expecting = 0;
    for (long turn = 0; turn < turns; turn++) {
        long at[2] = { starts[0] + turn * loop->strides[0], starts[1] + turn * loop->strides[1] };
        for (const struct access *access = loop->accesses; access < loop->accesses + 6 && access->at; access++) {
            long first = at[access->base] + access->offset, last = first + access->size - 1;
            if (access->skipped && !(models[0][at[0]] & 1))
                continue;
            for (long page = first / PAGE; page <= last / PAGE; page++) {
                int *right = &may[access->base][page];
                if (*right >= (access->store ? 2 : 1))
                    continue;
                uintptr_t address = (uintptr_t)areas[access->base] + (page * PAGE > first ? page * PAGE : first);
                CHECK(expecting < MOST, "more faults than there is room for");
                expected[expecting++] = (struct fault){ (uintptr_t)access->at, address, (uintptr_t)areas[0] + at[0], (uintptr_t)areas[1] + at[1], turns - turn };
                *right = 2;
            }
        }
        turn_of(loop, models[0] + at[0], models[1] + at[1], turns - turn);
    }
}

int main(void)
{
    static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    int faults[LOOPS] = { 0 };
    for (int area = 0; area < 2; area++)
        areas[area] = pages(PAGES, PROT_READ | PROT_WRITE);
    for (int round = 0; round < 2800; round++) {
        const struct loop *loop = &loops[round % LOOPS];
        int may[2][PAGES];
        long starts[2], turns = 200 + below(600);
        for (int area = 0; area < 2; area++) {
            /* Room for the accesses of the first turn and of the last. */
            long stride = loop->strides[area], reach = BYTES - 128, walk = stride < 0 ? -stride : stride;
            if (walk && turns > reach / walk - 2)
                turns = reach / walk - 2;
        }
        for (int area = 0; area < 2; area++) {
            long stride = loop->strides[area], walk = stride < 0 ? -stride : stride;
            long slack = BYTES - 128 - walk * turns;
            long from = 64 + (stride < 0 ? walk * turns : 0) + below(slack > 0 ? slack : 1);
            /* Half of the walks are aligned, and some begin close to an edge. */
            starts[area] = below(2) ? from & -8 : from / loop->aligned * loop->aligned;
            for (int i = 0; i < BYTES; i += 8) {
                uint64_t word = next_random();
                memcpy(areas[area] + i, &word, 8);
            }
            memcpy(models[area], areas[area], BYTES);
        }
        for (int area = 0; area < 2; area++)
            for (int page = 0; page < PAGES; page++) {
                may[area][page] = below(3);
                CHECK(mprotect(areas[area] + page * PAGE, PAGE, protections[may[area][page]]) == 0, "mprotect");
            }
        foretell(loop, starts, turns, may);
        saw = 0;
        loop->run(areas[0] + starts[0], areas[1] + starts[1], turns);
        for (int i = 0; i < expecting && i < saw; i++) {
            struct fault *e = &expected[i], *s = &seen[i];
            CHECK(e->pc == s->pc && e->address == s->address, "round %d, %s, fault %d: %#lx at pc %#lx, not %#lx at pc %#lx",
                round, loop->name, i, s->address, s->pc, e->address, e->pc);
            CHECK(e->a0 == s->a0 && e->a1 == s->a1 && e->a2 == s->a2, "round %d, %s, fault %d: a0 %#lx a1 %#lx a2 %ld, not %#lx %#lx %ld",
                round, loop->name, i, s->a0, s->a1, s->a2, e->a0, e->a1, e->a2);
        }
        CHECK(saw == expecting && strange == 0, "round %d, %s: %d faults, not %d; %d of another kind", round, loop->name, saw, expecting, strange);
        for (int area = 0; area < 2; area++) {
            CHECK(mprotect(areas[area], BYTES, PROT_READ | PROT_WRITE) == 0, "mprotect");
            for (int i = 0; i < BYTES; i++)
                CHECK(areas[area][i] == models[area][i], "round %d, %s: byte %d of area %d is %#x, not %#x",
                    round, loop->name, i, area, areas[area][i], models[area][i]);
        }
        faults[round % LOOPS] += saw;
    }
    for (int i = 0; i < LOOPS; i++) {
        printf("%s: %d faults\n", loops[i].name, faults[i]);
        CHECK(faults[i] > 300, "too few to show anything");
    }
    printf("ok\n");
    return 0;
}
