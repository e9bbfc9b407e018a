/* Page tables that change under running code: what was unmapped, protected, moved or dropped is so for every thread as
 * soon as the system call is back. */
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

/* Another thread keeps storing; once a page is read-only, no store may come through. */
static uint64_t *page;
static volatile int storing;
static __thread sigjmp_buf retry;

static void on_fault(int number)
{
    (void)number;
    siglongjmp(retry, 1);
}

static void *keep_storing(void *unused)
{
    (void)unused;
    stay_on(1);
    volatile uint64_t count = 0;
    sigsetjmp(retry, 1);
    while (storing) {
        for (int i = 0; i < 512; i++)
            ((volatile uint64_t *)page)[i] = ++count;
    }
    return NULL;
}

static void protected_for_all(void)
{
    pthread_t thread;
    page = pages(1, PROT_READ | PROT_WRITE);
    storing = 1;
    CHECK(pthread_create(&thread, NULL, keep_storing, NULL) == 0, "a thread");
    stay_on(0);
    static uint64_t copy[512];
    int changed = 0;
    /* However busy the host is, the other thread gets its turns in the end. */
    for (int round = 0; round < 1500 || (changed <= 100 && round < 1000000); round++) {
        CHECK(mprotect(page, PAGE, PROT_READ) == 0, "mprotect");
        memcpy(copy, page, PAGE);
        for (int spin = 0; spin < 2000; spin++)
            asm volatile("");
        if (round % 50 == 0)
            sched_yield();
        CHECK(memcmp(copy, page, PAGE) == 0, "round %d: a store came through", round);
        CHECK(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
        uint64_t before = copy[0];
        for (int spin = 0; spin < 20 && ((volatile uint64_t *)page)[0] == before; spin++)
            sched_yield();
        changed += page[0] != before;
    }
    storing = 0;
    pthread_join(thread, NULL);
    CHECK(changed > 100, "the other thread stored in %d rounds only", changed);
    munmap(page, PAGE);
}

/* Another thread keeps reading a page that is replaced; the value may never go back. */
static volatile uint64_t *watched;
static volatile int watching;
static volatile int went_back;

static void *keep_reading(void *unused)
{
    (void)unused;
    stay_on(1);
    uint64_t last = 0;
    while (watching) {
        uint64_t now = *watched;
        if (now < last)
            went_back = 1;
        last = now;
    }
    return NULL;
}

static void replaced_for_all(void)
{
    pthread_t thread;
    watched = pages(1, PROT_READ | PROT_WRITE);
    watching = 1;
    CHECK(pthread_create(&thread, NULL, keep_reading, NULL) == 0, "a thread");
    stay_on(0);
    for (uint64_t round = 1; round <= 1500; round++) {
        uint64_t *fresh = pages(1, PROT_READ | PROT_WRITE);
        *fresh = round;
        /* Moves the fresh page over the old one at once. */
        void *moved = mremap(fresh, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)watched);
        CHECK(moved == (void *)watched, "mremap");
        CHECK(*watched == round, "round %lu: %lu", round, *watched);
        if (round % 50 == 0)
            sched_yield();
    }
    watching = 0;
    pthread_join(thread, NULL);
    CHECK(!went_back, "the reader saw an older page again");
}

/* One thread, all that can happen to a mapping, at random, against a model. */
static void against_a_model(void)
{
    enum { COUNT = 24 };
    char *area = pages(COUNT, PROT_READ | PROT_WRITE);
    uint64_t model[COUNT] = { 0 }, in_file[COUNT] = { 0 };
    int of_file[COUNT] = { 0 };
    int file = memfd_create("shared", 0);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0, "a memory file");
    for (int round = 0; round < 20000; round++) {
        int at = below(COUNT);
        volatile uint64_t *word = (volatile uint64_t *)(area + at * PAGE + 8 * (at + 3));
        CHECK(*word == model[at], "round %d: page %d holds %#lx, not %#lx", round, at, *word, model[at]);
        switch (below(6)) {
        case 0:
            CHECK(madvise(area + at * PAGE, PAGE, MADV_DONTNEED) == 0, "madvise");
            model[at] = of_file[at] ? in_file[at] : 0;
            break;
        case 1:
            CHECK(mmap(area + at * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area + at * PAGE, "mmap");
            model[at] = of_file[at] = 0;
            break;
        case 2: {
            /* A private view of a file: what the file holds until it is written to. */
            uint64_t value = next_random();
            CHECK(pwrite(file, &value, 8, 8 * (at + 3)) == 8, "pwrite");
            CHECK(mmap(area + at * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == area + at * PAGE, "mmap");
            CHECK(*word == value, "round %d: %#lx from the file, not %#lx", round, *word, value);
            model[at] = *word = value ^ 1;
            in_file[at] = value;
            of_file[at] = 1;
            uint64_t back;
            CHECK(pread(file, &back, 8, 8 * (at + 3)) == 8 && back == value, "the private store reached the file");
            break;
        }
        case 3: {
            int other = below(COUNT);
            if (other == at)
                break;
            /* Moves a page onto another; its old place becomes empty. */
            volatile uint64_t *there = (volatile uint64_t *)(area + other * PAGE + 8 * (at + 3));
            CHECK(mremap(area + at * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + other * PAGE) == area + other * PAGE, "mremap");
            CHECK(*there == model[at], "round %d: the moved page holds %#lx", round, *there);
            CHECK(mmap(area + at * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area + at * PAGE, "mmap");
            of_file[other] = of_file[at];
            model[at] = of_file[at] = 0;
            model[other] = *(volatile uint64_t *)(area + other * PAGE + 8 * (other + 3)) = next_random();
            break;
        }
        default:
            model[at] = *word = next_random();
        }
    }
    close(file);
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_fault };
    sigaction(SIGSEGV, &action, NULL);
    against_a_model();
    protected_for_all();
    replaced_for_all();
    printf("ok\n");
    return 0;
}
