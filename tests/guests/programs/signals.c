/* Storms of signals: whatever runs goes on with all its registers, flags and the rounding mode, however the handlers
 * treat theirs. */
#include "check.h"
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static volatile int ticks, user_signals;
static volatile double sink;

/* Does what it can to disturb. */
static void disturb(int number)
{
    fesetround(number % 2 ? FE_UPWARD : FE_TOWARDZERO);
    double x = 1.0 / 3.0 + number;
    for (int i = 0; i < 20; i++)
        x = sqrt(x * 1.7 + i);
    sink = x;
    asm volatile("fmv.d.x ft0, zero\nfmv.d.x fs0, zero\nfmv.d.x fa7, zero\nfmv.d.x ft11, zero" ::: "ft0", "fs0", "fa7", "ft11");
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept(FE_OVERFLOW);
}
static void on_tick(int number)
{
    disturb(number);
    ticks++;
}
static void on_user(int number)
{
    disturb(number);
    user_signals++;
}

/* All registers are loaded from a table, some time passes, all are compared. Gives the number of a register that changed,
 * or 0. */
extern long hold(uint64_t *table, long turns);
asm(".text\n.align 2\n.globl hold\nhold:\n"
    "addi sp, sp, -208\nsd ra, 0(sp)\nsd s0, 8(sp)\nsd s1, 16(sp)\nsd s2, 24(sp)\nsd s3, 32(sp)\nsd s4, 40(sp)\nsd s5, 48(sp)\n"
    "sd s6, 56(sp)\nsd s7, 64(sp)\nsd s8, 72(sp)\nsd s9, 80(sp)\nsd s10, 88(sp)\nsd s11, 96(sp)\n"
    "fsd fs0, 104(sp)\nfsd fs1, 112(sp)\nfsd fs2, 120(sp)\nfsd fs3, 128(sp)\nfsd fs4, 136(sp)\nfsd fs5, 144(sp)\nfsd fs6, 152(sp)\n"
    "fsd fs7, 160(sp)\nfsd fs8, 168(sp)\nfsd fs9, 176(sp)\nfsd fs10, 184(sp)\nfsd fs11, 192(sp)\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "fld f\\n, 8*\\n(a0)\n.endr\n"
    ".irp n, 5,6,7,8,9,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "ld x\\n, 8*\\n(a0)\n.endr\n"
    "1: addi a1, a1, -1\nbnez a1, 1b\n"
    ".irp n, 5,6,7,8,9,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "ld a1, 8*\\n(a0)\nxor a1, a1, x\\n\nli ra, \\n\nbnez a1, 2f\n.endr\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
    "ld a1, 8*\\n(a0)\nfmv.x.d t0, f\\n\nxor a1, a1, t0\nli ra, 100+\\n\nbnez a1, 2f\n.endr\n"
    "li ra, 0\n2: mv a0, ra\n"
    "ld ra, 0(sp)\nld s0, 8(sp)\nld s1, 16(sp)\nld s2, 24(sp)\nld s3, 32(sp)\nld s4, 40(sp)\nld s5, 48(sp)\n"
    "ld s6, 56(sp)\nld s7, 64(sp)\nld s8, 72(sp)\nld s9, 80(sp)\nld s10, 88(sp)\nld s11, 96(sp)\n"
    "fld fs0, 104(sp)\nfld fs1, 112(sp)\nfld fs2, 120(sp)\nfld fs3, 128(sp)\nfld fs4, 136(sp)\nfld fs5, 144(sp)\nfld fs6, 152(sp)\n"
    "fld fs7, 160(sp)\nfld fs8, 168(sp)\nfld fs9, 176(sp)\nfld fs10, 184(sp)\nfld fs11, 192(sp)\naddi sp, sp, 208\nret\n");

/* A sum whose bits and flags depend on every step and on the rounding mode. */
static uint64_t compute(int mode)
{
    fesetround(mode);
    feclearexcept(FE_ALL_EXCEPT);
    volatile double start = 0.1;
    double x = start, y = 1.0;
    for (int i = 1; i < 4000; i++) {
        x = x * 1.0000001 + y / i;
        y = sqrt(y + x / (i + 1));
    }
    uint64_t bits;
    memcpy(&bits, &x, 8);
    bits ^= (uint64_t)fetestexcept(FE_ALL_EXCEPT) << 56;
    CHECK(fegetround() == mode, "the rounding mode changed");
    fesetround(FE_TONEAREST);
    return bits;
}

static volatile int storming;
static pthread_t target;
static void *storm(void *unused)
{
    (void)unused;
    while (storming) {
        pthread_kill(target, SIGUSR1);
        for (volatile int i = 0; i < 3000; i++)
            ;
        sched_yield();
    }
    return NULL;
}

static void intact(int rounds)
{
    static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    static uint64_t expected[4];
    static int known;
    if (!known) {
        for (int mode = 0; mode < 4; mode++)
            expected[mode] = compute(modes[mode]);
        known = 1;
    }
    uint64_t table[32];
    for (int round = 0; round < rounds; round++) {
        uint64_t found = compute(modes[round % 4]);
        CHECK(found == expected[round % 4], "round %d: %#lx, not %#lx", round, found, expected[round % 4]);
        for (int i = 0; i < 32; i++)
            table[i] = next_random();
        long changed = hold(table, 20000);
        CHECK(changed == 0, "round %d: register %ld changed (floating point from 100 on)", round, changed);
    }
}

/* Out of a handler by a jump, on a stack of its own, thousands of times. */
static sigjmp_buf back;
static volatile uintptr_t handler_stack;
static void jump_out(int number)
{
    int local = number;
    handler_stack = (uintptr_t)&local;
    siglongjmp(back, 1);
}

static void jumps(void)
{
    char *area = pages(16, PROT_READ | PROT_WRITE);
    stack_t stack = { .ss_sp = area, .ss_size = 16 * PAGE };
    CHECK(sigaltstack(&stack, NULL) == 0, "a stack for signals");
    struct sigaction action = { .sa_handler = jump_out, .sa_flags = SA_ONSTACK };
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    volatile int jumped = 0;
    for (volatile int i = 0; i < 3000; i++) {
        if (sigsetjmp(back, 1) == 0) {
            if (i % 2)
                raise(SIGUSR2);
            else
                asm volatile("sw zero, 16(zero)" ::: "memory");
            CHECK(0, "the handler came back");
        }
        jumped++;
        CHECK(handler_stack - (uintptr_t)area < 16 * PAGE, "the handler ran on stack %#lx", handler_stack);
    }
    CHECK(jumped == 3000, "%d jumps", jumped);
}

/* Signals within signals, as deep as there are signals. */
static volatile int depth, deepest;
static void nest(int number)
{
    depth++;
    if (depth > deepest)
        deepest = depth;
    if (number < SIGRTMIN + 20)
        raise(number + 1);
    depth--;
}

static void nested(void)
{
    struct sigaction action = { .sa_handler = nest };
    for (int number = SIGRTMIN; number <= SIGRTMIN + 20; number++)
        sigaction(number, &action, NULL);
    for (int i = 0; i < 200; i++)
        raise(SIGRTMIN);
    CHECK(depth == 0 && deepest == 21, "%d deep, at most %d", depth, deepest);
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = on_user;
    sigaction(SIGUSR1, &action, NULL);
    intact(4);

    struct itimerval fast = { { 0, 500 }, { 0, 500 } }, off = { { 0, 0 }, { 0, 0 } };
    setitimer(ITIMER_REAL, &fast, NULL);
    intact(300);
    for (int rounds = 0; ticks < 100 && rounds < 1000; rounds++)
        intact(10);
    CHECK(ticks >= 100, "only %d ticks came", ticks);

    pthread_t thread;
    target = pthread_self();
    storming = 1;
    CHECK(pthread_create(&thread, NULL, storm, NULL) == 0, "a thread");
    intact(300);
    for (int rounds = 0; user_signals < 100 && rounds < 1000; rounds++)
        intact(10);
    storming = 0;
    pthread_join(thread, NULL);
    setitimer(ITIMER_REAL, &off, NULL);
    CHECK(user_signals >= 100, "only %d signals came", user_signals);
    jumps();
    nested();
    printf("ok\n");
    return 0;
}
