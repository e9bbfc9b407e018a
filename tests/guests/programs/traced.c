/* A debugger at work: a process sets breakpoints in another one's hot code, reads and changes its registers, steps it, and
 * lets it go on. */
#include "check.h"
#include "encode.h"
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <asm/ptrace.h>

__attribute__((noinline)) static long counted(long value)
{
    asm volatile(".option push\n.option norvc\naddi %0, %0, 1\n.option pop" : "+r"(value));
    return value;
}

static struct user_regs_struct registers_of(pid_t child)
{
    struct user_regs_struct registers;
    struct iovec whole = { &registers, sizeof registers };
    CHECK(ptrace(PTRACE_GETREGSET, child, NT_PRSTATUS, &whole) == 0, "registers: %s", strerror(errno));
    return registers;
}

static void wait_for_trap(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "status %#x", status);
}

int main(void)
{
    volatile struct { long turns, sum, stop; } *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGTRAP);
        long sum = 0, turns = 0;
        for (; !shared->stop; turns++)
            sum += counted(turns) - turns;
        shared->turns = turns;
        shared->sum = sum;
        _exit(7);
    }
    wait_for_trap(child);
    errno = 0;
    long good = ptrace(PTRACE_PEEKTEXT, child, counted, NULL);
    CHECK(errno == 0 && memcmp(&good, (void *)counted, 8) == 0, "the code cannot be read");
    long broken = (good & ~0xffffffffl) | EBREAK;
    long added = 0;
    unsigned long last = 0;
    for (int round = 0; round < 300; round++) {
        CHECK(ptrace(PTRACE_POKETEXT, child, counted, broken) == 0, "poke: %s", strerror(errno));
        CHECK(ptrace(PTRACE_CONT, child, NULL, NULL) == 0, "continue");
        wait_for_trap(child);
        struct user_regs_struct registers = registers_of(child);
        CHECK(registers.pc == (uintptr_t)counted, "round %d: stopped at %#lx", round, registers.pc);
        CHECK(registers.a0 >= last, "a0 is %lu after %lu", registers.a0, last);
        last = registers.a0;
        CHECK(ptrace(PTRACE_POKETEXT, child, counted, good) == 0, "poke: %s", strerror(errno));
        if (round % 3 == 0) {
            /* The function returns at once, with 5 more than it was given. */
            registers.a0 += 5;
            registers.pc = registers.ra;
            added += 4;
            struct iovec whole = { &registers, sizeof registers };
            CHECK(ptrace(PTRACE_SETREGSET, child, NT_PRSTATUS, &whole) == 0, "set registers: %s", strerror(errno));
        }
        if (round % 10 == 9) {
            /* Let it get hot again: the breakpoint comes back only later. */
            CHECK(ptrace(PTRACE_CONT, child, NULL, NULL) == 0, "continue");
            usleep(300);
            kill(child, SIGTRAP);
            wait_for_trap(child);
        }
    }
    shared->stop = 1;
    CHECK(ptrace(PTRACE_CONT, child, NULL, NULL) == 0, "continue");
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %#x", status);
    CHECK(shared->sum == shared->turns + added, "the child counted %ld, not %ld + %ld", shared->sum, shared->turns, added);
    printf("ok\n");
    return 0;
}
