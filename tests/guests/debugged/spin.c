/* A program for a debugger: it calls a function with known arguments until the debugger changes a variable. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

volatile uint64_t stop_now, calls = 0;
volatile char message[] = "what the debugger reads";

/* A few instructions of four bytes each. */
extern uint64_t visited(uint64_t number, uint64_t twice, double half);
asm(".text\n.align 2\n.option push\n.option norvc\n.globl visited\n.type visited, @function\n"
    "visited: add a0, a0, a1\nxori a0, a0, 0x55\nfadd.d fa0, fa0, fa0\nret\n"
    ".option pop\n");

int main(void)
{
    uint64_t sum = 0;
    int changed = 0;
    /* What a debugger does must not be seen by who reads code. */
    char code[16];
    memcpy(code, (const char *)visited, sizeof code);
    for (uint64_t n = 0; !stop_now; n++) {
        sum += visited(n, 2 * n, n / 2.0);
        calls = n + 1;
        changed |= memcmp(code, (const char *)visited, sizeof code);
    }
    printf("%s\n", changed ? "the code was changed" : sum ? "ok" : "nothing was done");
    return 0;
}
