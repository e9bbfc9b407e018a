/* Self-modifying code: what runs is what was last written, on the same hart after fence.i, and on another after the
 * writer asked the kernel to flush. Cold and hot code, code that crosses pages, code beside its own data, code that is
 * written through another mapping or by the kernel. */
#include "check.h"
#include "encode.h"
#include <fcntl.h>
#include <pthread.h>

#define ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
typedef long (*function)(long, long);

static void call_and_check(uint32_t *code, int expected, int times)
{
    for (int i = 0; i < times; i++) {
        long found = ((function)code)((long)code, 0);
        CHECK(found == expected, "call %d gave %ld, not %d", i, found, expected);
    }
}

static void rewritten(uint32_t *code, int rounds, int calls, int own_fence)
{
    code[1] = RETURN;
    for (int n = 0; n < rounds; n++) {
        code[0] = encode_li(A0, n & 0x7ff);
        if (own_fence)
            asm volatile("fence.i" ::: "memory");
        else
            flush(code, code + 2);
        call_and_check(code, n & 0x7ff, calls);
    }
}

/* A four-byte instruction of which half lies on the next page; only that half changes. */
static void across_pages(char *area)
{
    char *code = area + PAGE - 2;
    uint32_t ret = RETURN;
    memcpy(code + 4, &ret, 4);
    for (int n = 0; n < 3000; n++) {
        uint32_t word = encode_li(A0, n & 0x7ff);
        if (n == 0)
            memcpy(code, &word, 4);
        else
            memcpy(code + 2, (char *)&word + 2, 2);
        asm volatile("fence.i" ::: "memory");
        for (int i = 0; i < 1 + n % 40; i++)
            CHECK(((function)code)(0, 0) == (n & 0x7ff), "round %d", n);
    }
}

/* The code stores the instruction that it then runs. */
static void patches_itself(uint32_t *code)
{
    code[0] = encode_sw(A1, A0, 8);
    code[1] = FENCE_I;
    code[2] = encode_li(A0, 1);
    code[3] = RETURN;
    asm volatile("fence.i" ::: "memory");
    for (int n = 0; n < 20000; n++) {
        int expected = n / 3 & 0x7ff;
        long found = ((function)code)((long)code, encode_li(A0, expected));
        CHECK(found == expected, "round %d gave %ld", n, found);
    }
}

/* A loop that counts in a word of its own page. */
static void beside_its_data(uint32_t *code)
{
    code[0] = encode_lw(A2, A0, 64);
    code[1] = encode_addi(A2, A2, 1);
    code[2] = encode_sw(A2, A0, 64);
    code[3] = encode_addi(A1, A1, -1);
    code[4] = encode_bnez(A1, -16);
    code[5] = encode_addi(A0, A2, 0);
    code[6] = RETURN;
    code[16] = 0;
    asm volatile("fence.i" ::: "memory");
    CHECK(((function)code)((long)code, 30000) == 30000, "the loop's count");
    CHECK(code[16] == 30000, "the word is %u", code[16]);
}

static void through_another_mapping(void)
{
    int file = memfd_create("code", 0);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0, "a memory file");
    uint32_t *written = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    uint32_t *run = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    CHECK(written != MAP_FAILED && run != MAP_FAILED, "two mappings");
    written[1] = RETURN;
    for (int n = 0; n < 3000; n++) {
        written[0] = encode_li(A0, n & 0x7ff);
        asm volatile("fence.i" ::: "memory");
        call_and_check(run, n & 0x7ff, 1 + n % 30);
    }
    munmap(written, PAGE);
    munmap(run, PAGE);
    close(file);
}

static void by_the_kernel(uint32_t *code)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "a pipe");
    for (int n = 0; n < 2000; n++) {
        uint32_t words[2] = { encode_li(A0, n & 0x7ff), RETURN };
        CHECK(write(ends[1], words, 8) == 8 && read(ends[0], code, 8) == 8, "through the pipe");
        flush(code, code + 2);
        call_and_check(code, n & 0x7ff, 1 + n % 20);
    }
    close(ends[0]);
    close(ends[1]);
}

/* Writer and runner on harts of their own. */
static uint32_t *shared_code;
static volatile int written_to, seen_to, runner_fences;
static volatile int racing, swapped, race_error;

static void *runner(void *unused)
{
    (void)unused;
    stay_on(0);
    for (int n = 1; n <= 1500; n++) {
        while (__atomic_load_n(&written_to, __ATOMIC_ACQUIRE) != n)
            sched_yield();
        if (runner_fences)
            asm volatile("fence.i" ::: "memory");
        call_and_check(shared_code, n & 0x7ff, 1 + n % 30);
        __atomic_store_n(&seen_to, n, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void from_another_hart(uint32_t *code, int fences)
{
    pthread_t thread;
    shared_code = code;
    runner_fences = fences;
    written_to = seen_to = 0;
    code[1] = RETURN;
    CHECK(pthread_create(&thread, NULL, runner, NULL) == 0, "a thread");
    stay_on(1);
    for (int n = 1; n <= 1500; n++) {
        __atomic_store_n(&code[0], encode_li(A0, n & 0x7ff), __ATOMIC_SEQ_CST);
        if (!fences)
            flush(code, code + 2);
        __atomic_store_n(&written_to, n, __ATOMIC_RELEASE);
        while (__atomic_load_n(&seen_to, __ATOMIC_ACQUIRE) != n)
            sched_yield();
    }
    pthread_join(thread, NULL);
    stay_on(0);
}

/* The runner never waits: each call must do what some jump said that was there during the call, never one that was
 * overwritten before the last finished flush. */
enum { TARGETS = 8 };

static void *racer(void *unused)
{
    (void)unused;
    stay_on(0);
    while (racing) {
        int first = __atomic_load_n(&swapped, __ATOMIC_ACQUIRE);
        long found = ((function)shared_code)(0, 0);
        int last = __atomic_load_n(&swapped, __ATOMIC_ACQUIRE) + 1;
        int explained = 0;
        for (int n = first; n <= last && n < first + TARGETS; n++)
            explained |= found == n % TARGETS;
        if (!explained)
            race_error = 1 + found;
    }
    return NULL;
}

static void raced(uint32_t *code)
{
    pthread_t thread;
    shared_code = code;
    for (int target = 0; target < TARGETS; target++) {
        code[4 + 2 * target] = encode_li(A0, target);
        code[5 + 2 * target] = RETURN;
    }
    code[0] = encode_j(16);
    flush(code, code + 4 + 2 * TARGETS);
    swapped = 0;
    racing = 1;
    CHECK(pthread_create(&thread, NULL, racer, NULL) == 0, "a thread");
    stay_on(1);
    for (int n = 1; n <= 1500; n++) {
        __atomic_store_n(&code[0], encode_j(16 + 8 * (n % TARGETS)), __ATOMIC_SEQ_CST);
        flush(code, code + 1);
        long found = ((function)code)(0, 0);
        CHECK(found == n % TARGETS, "swap %d: the writer itself runs %ld", n, found);
        __atomic_store_n(&swapped, n, __ATOMIC_RELEASE);
        if (n % 64 == 0)
            sched_yield();
    }
    racing = 0;
    pthread_join(thread, NULL);
    stay_on(0);
    CHECK(race_error == 0, "the racing thread ran a jump of the past, to %d", race_error - 1);
}

int main(int argc, char **argv)
{
    stay_on(0);
    uint32_t *code = pages(2, ALL);
    rewritten(code, 3000, 1, 0);
    rewritten(code + 40, 3000, 1, 1);
    rewritten(code + 80, 400, 60, 0);
    rewritten(code + 120, 1000, 60, 1);
    across_pages((char *)code);
    patches_itself(code + 200);
    beside_its_data(code + 300);
    /* User-mode emulation knows code by its address in the program, and misses such stores. */
    if (!under_user_emulation(argc, argv))
        through_another_mapping();
    by_the_kernel(code + 400);
    from_another_hart(code + 500, 0);
    from_another_hart(code + 520, 1);
    raced(code + 560);
    printf("ok\n");
    return 0;
}
