/* Misaligned accesses, and accesses and instructions that straddle two pages of different protection: they work where
 * both pages allow it; otherwise the fault names the first byte that may not be touched, and nothing was written. */
#include "check.h"
#include "encode.h"
#include <signal.h>
#include <ucontext.h>

static struct {
    int count, signal, code;
    uintptr_t address, pc;
} seen;

static void on_fault(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    seen.count++;
    seen.signal = number;
    seen.code = info->si_code;
    seen.address = (uintptr_t)info->si_addr;
    seen.pc = context->uc_mcontext.__gregs[REG_PC];
    /* All stubs end by returning. */
    context->uc_mcontext.__gregs[REG_PC] = context->uc_mcontext.__gregs[REG_RA];
}

#define STUB(name, instruction) \
    asm(".text\n.align 2\n.globl " #name "\n" #name ": " instruction "\nret\n"); \
    extern uint64_t name(void *, uint64_t)
STUB(load2, ".option push\n.option norvc\nlhu a0, 0(a0)\n.option pop");
STUB(load4, ".option push\n.option norvc\nlwu a0, 0(a0)\n.option pop");
STUB(load8, ".option push\n.option norvc\nld a0, 0(a0)\n.option pop");
STUB(float4, ".option push\n.option norvc\nflw fa0, 0(a0)\n.option pop\nfmv.x.w a0, fa0\nslli a0, a0, 32\nsrli a0, a0, 32");
STUB(float8, ".option push\n.option norvc\nfld fa0, 0(a0)\n.option pop\nfmv.x.d a0, fa0");
STUB(store2, ".option push\n.option norvc\nsh a1, 0(a0)\n.option pop");
STUB(store4, ".option push\n.option norvc\nsw a1, 0(a0)\n.option pop");
STUB(store8, ".option push\n.option norvc\nsd a1, 0(a0)\n.option pop");
STUB(amo4, "amoadd.w a0, a1, (a0)");
STUB(amo8, "amoor.d a0, a1, (a0)");
STUB(lr8, "lr.d a0, (a0)");
STUB(sc8, "sc.d a0, a1, (a0)");

static const struct {
    const char *name;
    uint64_t (*access)(void *, uint64_t);
    int size, store;
} kinds[] = {
    { "lhu", load2, 2, 0 }, { "lwu", load4, 4, 0 }, { "ld", load8, 8, 0 }, { "flw", float4, 4, 0 }, { "fld", float8, 8, 0 },
    { "sh", store2, 2, 1 }, { "sw", store4, 4, 1 }, { "sd", store8, 8, 1 },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

int main(int argc, char **argv)
{
    static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    unsigned char *area = pages(2, PROT_READ | PROT_WRITE), *edge = area + PAGE;
    unsigned char bytes[32], now[32];
    int faults = 0;
    for (int turn = 0; turn < 20; turn++)
        for (int first = 0; first < 3; first++)
            for (int second = 0; second < 3; second++)
                for (int kind = 0; kind < KINDS; kind++)
                    for (int before = -1; before <= 9; before++) {
                        const int size = kinds[kind].size, store = kinds[kind].store;
                        unsigned char *at = edge - before;
                        for (int i = 0; i < 32; i++)
                            edge[i - 16] = bytes[i] = next_random();
                        mprotect(area, PAGE, protections[first]);
                        mprotect(edge, PAGE, protections[second]);
                        const int touches_first = before > 0, touches_second = before < size;
                        const int least = store ? 2 : 1;
                        const int first_bad = touches_first && first < least, second_bad = touches_second && second < least;
                        uint64_t value = next_random();
                        seen.count = 0;
                        uint64_t found = kinds[kind].access(at, value);
                        mprotect(area, 2 * PAGE, PROT_READ | PROT_WRITE);
                        memcpy(now, edge - 16, 32);
                        CHECK(seen.count == (first_bad || second_bad), "%s %d before the edge, protections %d and %d: %d faults",
                            kinds[kind].name, before, first, second, seen.count);
                        if (seen.count) {
                            faults++;
                            uintptr_t expected = (uintptr_t)(first_bad ? at : before > 0 ? edge : at);
                            CHECK(seen.signal == SIGSEGV && seen.code == SEGV_ACCERR, "signal %d, code %d", seen.signal, seen.code);
                            CHECK(seen.pc == (uintptr_t)kinds[kind].access, "%s: pc %#lx", kinds[kind].name, seen.pc);
                            CHECK(seen.address == expected, "%s %d before the edge, protections %d and %d: address %#lx, not %#lx",
                                kinds[kind].name, before, first, second, seen.address, expected);
                            CHECK(memcmp(now, bytes, 32) == 0, "%s %d before the edge, protections %d and %d: memory changed",
                                kinds[kind].name, before, first, second);
                        } else if (store) {
                            memcpy(bytes + 16 - before, &value, size);
                            CHECK(memcmp(now, bytes, 32) == 0, "%s %d before the edge: what was stored", kinds[kind].name, before);
                        } else {
                            uint64_t expected = 0;
                            memcpy(&expected, bytes + 16 - before, size);
                            CHECK(found == expected, "%s %d before the edge: %#lx, not %#lx", kinds[kind].name, before, found, expected);
                        }
                    }
    printf("%d faults\n", faults);

    /* Atomic instructions must be aligned. */
    for (int turn = 0; turn < 50; turn++)
        for (int offset = 1; offset < 8; offset++) {
            memset(edge, 0x5a, 32);
            static const struct { const char *name; uint64_t (*access)(void *, uint64_t); int size; } atomics[] = {
                { "amoadd.w", amo4, 4 }, { "amoor.d", amo8, 8 }, { "lr.d", lr8, 8 }, { "sc.d", sc8, 8 },
            };
            for (int kind = 0; kind < 4; kind++) {
                if (offset % atomics[kind].size == 0)
                    continue;
                /* A store-conditional that fails anyway need not look at its address in user-mode emulation. */
                if (kind == 3 && under_user_emulation(argc, argv))
                    continue;
                seen.count = 0;
                atomics[kind].access(edge + offset, 1);
                CHECK(seen.count == 1 && seen.signal == SIGBUS && seen.code == BUS_ADRALN, "%s at %d: %d signals, signal %d, code %d",
                    atomics[kind].name, offset, seen.count, seen.signal, seen.code);
                CHECK(seen.pc == (uintptr_t)atomics[kind].access, "%s: pc %#lx", atomics[kind].name, seen.pc);
                for (int i = 0; i < 32; i++)
                    CHECK(edge[i] == 0x5a, "%s at %d changed memory", atomics[kind].name, offset);
            }
        }

    /* A four-byte instruction across two pages. */
    unsigned char *code = edge - 2;
    uint32_t words[2] = { encode_li(A0, 0x123), RETURN };
    memcpy(code, words, 8);
    flush(code, code + 8);
    for (int turn = 0; turn < 300; turn++) {
        const int runs = turn % 3;
        mprotect(area, PAGE, runs == 1 ? PROT_READ : PROT_READ | PROT_EXEC);
        mprotect(edge, PAGE, runs == 2 ? PROT_READ : PROT_READ | PROT_EXEC);
        for (int call = 0; call < 20; call++) {
            seen.count = 0;
            uint64_t found = ((uint64_t(*)(void *, uint64_t))code)(NULL, 0);
            CHECK(seen.count == (runs != 0), "turn %d: %d faults", turn, seen.count);
            if (runs == 0) {
                CHECK(found == 0x123, "turn %d gave %#lx", turn, found);
            } else {
                CHECK(seen.pc == (uintptr_t)code, "turn %d: pc %#lx", turn, seen.pc);
                uintptr_t expected = (uintptr_t)(runs == 1 ? code : edge);
                /* User-mode emulation names the instruction, not the half that may not run. */
                CHECK(seen.address == expected || under_user_emulation(argc, argv), "turn %d: address %#lx, not %#lx", turn, seen.address, expected);
            }
        }
    }
    printf("ok\n");
    return 0;
}
