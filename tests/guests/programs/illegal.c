/* Instructions that user programs may not use or that do not exist: each traps, with the right signal at the right place,
 * and changes nothing. */
#include "check.h"
#include "encode.h"
#include <signal.h>
#include <ucontext.h>

static struct {
    int count, signal, code;
    uintptr_t address, pc;
    unsigned long registers[32];
} seen;

static void on_signal(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    seen.count++;
    seen.signal = number;
    seen.code = info->si_code;
    seen.address = (uintptr_t)info->si_addr;
    seen.pc = context->uc_mcontext.__gregs[REG_PC];
    memcpy(seen.registers, context->uc_mcontext.__gregs, sizeof seen.registers);
    context->uc_mcontext.__gregs[REG_PC] = context->uc_mcontext.__gregs[REG_RA];
}

static const struct {
    uint32_t word;
    int length, signal;
    const char *what;
} cases[] = {
    { 0x00000000, 2, SIGILL, "all zeros" },
    { 0xffffffff, 4, SIGILL, "all ones" },
    { 0x10200073, 4, SIGILL, "sret" },
    { 0x30200073, 4, SIGILL, "mret" },
    { 0x12000073, 4, SIGILL, "sfence.vma" },
    { 0x10500073, 4, SIGILL, "wfi" },
    { 0x18002573, 4, SIGILL, "csrr a0, satp" },
    { 0x10002573, 4, SIGILL, "csrr a0, sstatus" },
    { 0x14102573, 4, SIGILL, "csrr a0, sepc" },
    { 0x30002573, 4, SIGILL, "csrr a0, mstatus" },
    { 0xf1102573, 4, SIGILL, "csrr a0, mvendorid" },
    { 0xf1402573, 4, SIGILL, "csrr a0, mhartid" },
    { 0x7c002573, 4, SIGILL, "csrr a0, a custom register" },
    { 0xc0051073, 4, SIGILL, "csrw cycle, a0" },
    { 0xc0151073, 4, SIGILL, "csrw time, a0" },
    { 0x0005000b, 4, SIGILL, "custom-0" },
    { 0x02b5555b, 4, SIGILL, "custom-2" },
    { 0x0000003f, 4, SIGILL, "a longer instruction" },
    { 0x00005503 | 7 << 12, 4, SIGILL, "a load of no size" },
    { 0x00b57023, 4, SIGILL, "a store of no size" },
    { 0x02b5d073 | 4 << 12, 4, SIGILL, "system, function 4" },
    { 0x00b52067, 4, SIGILL, "jalr, function 2" },
    { 0x00a52063 | 2 << 12, 4, SIGILL, "a branch, function 2" },
    { 0x4000153b | 0x02b00000, 4, SIGILL, "a shift with bits that mean nothing" },
    { 0x4205151b, 4, SIGILL, "slliw by 32" },
    { 0x02b6d553, 4, SIGILL, "fadd.d with rounding mode 5" },
    { 0x02b6e553, 4, SIGILL, "fadd.d with rounding mode 6" },
    { 0x06b68553, 4, SIGILL, "fadd of a format that is not there" },
    { 0x1015a52f | 1 << 20, 4, SIGILL, "lr.w with a third operand" },
    { 0x60b5a52f | 1 << 28, 4, SIGILL, "an atomic that is not there" },
    { 0x0004, 2, SIGILL, "c.addi4spn of 0" },
    { 0x6101, 2, SIGILL, "c.addi16sp of 0" },
    { 0x6501, 2, SIGILL, "c.lui of 0" },
    { 0x2001, 2, SIGILL, "c.addiw to x0" },
    { 0x4002, 2, SIGILL, "c.lwsp to x0" },
    { 0x6002, 2, SIGILL, "c.ldsp to x0" },
    { 0x8002, 2, SIGILL, "c.jr x0" },
    { 0x8000, 2, SIGILL, "a reserved compressed instruction" },
    { 0x9c41, 2, SIGILL, "c, reserved arithmetic" },
    { 0x9002, 2, SIGTRAP, "c.ebreak" },
    { EBREAK, 4, SIGTRAP, "ebreak" },
};

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    unsigned char *code = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    typedef uint64_t (*function)(uint64_t, uint64_t, uint64_t);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int lead = 0; lead < 3; lead++) {
            /* Some good instructions before it, so that it is not always a block of its own. */
            uint32_t word = encode_addi(A2, A2, 1);
            unsigned char *at = code;
            for (int n = 0; n < lead; n++, at += 4)
                memcpy(at, &word, 4);
            memcpy(at, &cases[i].word, 4);
            word = RETURN;
            memcpy(at + cases[i].length, &word, 4);
            flush(code, at + 8);
            for (int call = 0; call < 30; call++) {
                seen.count = 0;
                ((function)code)(0x111, 0x222, 0x333);
                CHECK(seen.count == 1 && seen.signal == cases[i].signal, "%s (%#x): %d signals, signal %d", cases[i].what, cases[i].word, seen.count, seen.signal);
                CHECK(seen.pc == (uintptr_t)at && seen.address == (uintptr_t)at, "%s: pc %#lx, address %#lx, not %p", cases[i].what, seen.pc, seen.address, at);
                CHECK(seen.registers[10] == 0x111 && seen.registers[11] == 0x222 && seen.registers[12] == 0x333ul + lead,
                    "%s: a0 %#lx a1 %#lx a2 %#lx", cases[i].what, seen.registers[10], seen.registers[11], seen.registers[12]);
            }
        }
    printf("ok\n");
    return 0;
}
