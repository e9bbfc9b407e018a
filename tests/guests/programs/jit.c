/* Code as a just-in-time compiler makes it: thousands of functions, far more than a code cache holds, run until they are
 * hot, changed, thrown away with their pages, and others put in their place. */
#include "check.h"
#include "encode.h"

enum { LENGTH = 256, FUNCTIONS = 6000, CALLS = 16 };
typedef long (*function)(long);

/* A function of LENGTH instructions: a fixed mix that depends on the number; its result is known. */
static long emit(uint32_t *code, unsigned number, long argument)
{
    uint64_t a0 = argument, a1 = 0;
    code[0] = encode_li(A1, 0);
    for (int i = 1; i < LENGTH - 2; i++) {
        int immediate = (int)((number * 2654435761u + i * 40503u) >> 20 & 0x7ff) - 1024;
        switch ((number + i) % 4) {
        case 0:
            code[i] = encode_addi(A0, A0, immediate);
            a0 += immediate;
            break;
        case 1: /* xor a1, a1, a0 */
            code[i] = A0 << 20 | A1 << 15 | 4 << 12 | A1 << 7 | 0x33;
            a1 ^= a0;
            break;
        case 2: /* slli a1, a1, 1 */
            code[i] = 1 << 20 | A1 << 15 | 1 << 12 | A1 << 7 | 0x13;
            a1 <<= 1;
            break;
        default: /* add a0, a0, a1 */
            code[i] = A1 << 20 | A0 << 15 | A0 << 7 | 0x33;
            a0 += a1;
        }
    }
    code[LENGTH - 2] = encode_addi(A0, A0, 0);
    code[LENGTH - 1] = RETURN;
    return a0;
}

static long expected[FUNCTIONS];

static void call_all(uint32_t *area, int calls, const char *when)
{
    for (int n = 0; n < FUNCTIONS; n++)
        for (int i = 0; i < calls; i++) {
            long found = ((function)(area + n * LENGTH))(n);
            CHECK(found == expected[n], "%s, function %d, call %d: %#lx, not %#lx", when, n, i, found, expected[n]);
        }
}

int main(void)
{
    const size_t bytes = (size_t)FUNCTIONS * LENGTH * 4;
    uint32_t *area = NULL;
    for (int generation = 0; generation < 3; generation++) {
        void *place = mmap(area, bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
            MAP_PRIVATE | MAP_ANONYMOUS | (area ? MAP_FIXED : 0), -1, 0);
        CHECK(place != MAP_FAILED, "generation %d", generation);
        area = place;
        for (int n = 0; n < FUNCTIONS; n++)
            expected[n] = emit(area + n * LENGTH, n + generation * 7919, n);
        flush(area, area + FUNCTIONS * LENGTH);
        call_all(area, CALLS, "fresh");
        /* One function in ten changes, the others must not notice. */
        for (int n = generation; n < FUNCTIONS; n += 10)
            expected[n] = emit(area + n * LENGTH, n * 31 + generation, n);
        flush(area, area + FUNCTIONS * LENGTH);
        call_all(area, 3, "changed");
        /* As compilers do it: written while writable, run while not. */
        CHECK(mprotect(area, bytes, PROT_READ | PROT_EXEC) == 0, "protect");
        call_all(area, 2, "protected");
        munmap(area, bytes);
    }
    printf("ok\n");
    return 0;
}
