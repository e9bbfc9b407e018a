/* Atomic instructions under contention: sums must be exact, stores between LR and SC must be noticed, and fences must
 * order what they say. */
#include "check.h"
#include <pthread.h>

enum { THREADS = 4, TURNS = 20000 };

static struct {
    uint64_t added, counted, largest, smallest, bits, together, swapped_out;
    int64_t signed_largest;
    uint32_t word, neighbours[4], half_counted;
    volatile uint32_t lock;
    uint64_t guarded;
} shared __attribute__((aligned(64)));
static pthread_barrier_t barrier;

static void count_by_reservation(uint64_t *at)
{
    uint64_t value;
    int failed;
    do
        asm volatile("lr.d.aq %0, (%2)\naddi %0, %0, 1\nsc.d.rl %1, %0, (%2)" : "=&r"(value), "=&r"(failed) : "r"(at) : "memory");
    while (failed);
}

static void count_word_by_reservation(uint32_t *at)
{
    uint64_t value;
    int failed;
    do
        asm volatile("lr.w %0, (%2)\naddiw %0, %0, 1\nsc.w %1, %0, (%2)" : "=&r"(value), "=&r"(failed) : "r"(at) : "memory");
    while (failed);
}

#define AMO(name, at, value)                                                                                 \
    ({                                                                                                       \
        uint64_t old;                                                                                        \
        asm volatile(name " %0, %2, (%1)" : "=r"(old) : "r"(at), "r"((uint64_t)(value)) : "memory");         \
        old;                                                                                                 \
    })

static void *contend(void *argument)
{
    const uint64_t self = (uintptr_t)argument;
    pthread_barrier_wait(&barrier);
    for (uint64_t i = 0; i < TURNS; i++) {
        AMO("amoadd.d", &shared.added, self * 3 + i);
        AMO("amoadd.w", &shared.word, 1);
        AMO("amoadd.w.aqrl", &shared.neighbours[self], 1);
        count_by_reservation(&shared.counted);
        count_word_by_reservation(&shared.half_counted);
        AMO("amomaxu.d", &shared.largest, self * TURNS + i);
        AMO("amominu.d", &shared.smallest, self * TURNS + i);
        AMO("amomax.d", &shared.signed_largest, (int64_t)(i * 2) - TURNS);
        AMO("amoxor.d", &shared.bits, 1ull << (self * 8 + i % 8));
        /* What is swapped in comes out once. */
        uint64_t out = AMO("amoswap.d", &shared.together, self * TURNS + i + 1);
        AMO("amoadd.d", &shared.swapped_out, out);
        if (i % 8 == 0) {
            while (AMO("amoswap.w.aq", &shared.lock, 1))
                sched_yield();
            shared.guarded++;
            AMO("amoswap.w.rl", &shared.lock, 0);
        }
    }
    return NULL;
}

static void exact_sums(void)
{
    pthread_t threads[THREADS];
    shared.smallest = -1ull;
    shared.signed_largest = INT64_MIN;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, contend, (void *)i) == 0, "a thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    const uint64_t turns = (uint64_t)THREADS * TURNS, series = (uint64_t)TURNS * (TURNS - 1) / 2;
    CHECK(shared.added == THREADS * series + TURNS * 3 * 6, "%lu", shared.added);
    CHECK(shared.word == turns && shared.half_counted == turns, "%u %u", shared.word, shared.half_counted);
    for (int i = 0; i < THREADS; i++)
        CHECK(shared.neighbours[i] == TURNS, "%d: %u", i, shared.neighbours[i]);
    CHECK(shared.counted == turns, "%lu", shared.counted);
    CHECK(shared.largest == turns - 1 && shared.smallest == 0, "%lu %lu", shared.largest, shared.smallest);
    CHECK(shared.signed_largest == TURNS - 2, "%ld", shared.signed_largest);
    CHECK(shared.bits == 0, "%#lx", shared.bits);
    uint64_t all = turns * (turns + 1) / 2;
    CHECK(shared.swapped_out + shared.together == all, "%lu %lu", shared.swapped_out, shared.together);
    CHECK(shared.guarded == turns / 8, "%lu", shared.guarded);
}

/* One hart alone: when a store-conditional must fail, and when it must not. */
static void reservations(void)
{
    uint64_t words[32] __attribute__((aligned(256))) = { 0 };
    for (int i = 0; i < 2000; i++) {
        uint64_t value;
        int failed, tries = 0;
        asm volatile("sc.d %0, %1, (%2)" : "=&r"(failed) : "r"(7ul), "r"(words) : "memory");
        CHECK(failed && words[0] == (uint64_t)i, "SC without LR");
        asm volatile("lr.d %1, (%2)\nsc.d %0, %3, (%4)" : "=&r"(failed), "=&r"(value) : "r"(words), "r"(9ul), "r"(words + 24) : "memory");
        CHECK(failed && words[24] == 0, "SC to another place than LR");
        do
            asm volatile("lr.d %1, (%2)\nsc.d %0, %3, (%2)" : "=&r"(failed), "=&r"(value) : "r"(words), "r"(i + 1ul) : "memory");
        while (failed && ++tries < 100);
        CHECK(!failed && words[0] == i + 1ul && value == (uint64_t)i, "SC after LR");
        asm volatile("sc.d %0, %1, (%2)" : "=&r"(failed) : "r"(7ul), "r"(words) : "memory");
        CHECK(failed && words[0] == i + 1ul, "a second SC");
    }
}

/* Sign extension and the low half only. */
static void words(void)
{
    uint64_t cell = 0x1111111180000000;
    uint64_t old = AMO("amoadd.w", &cell, 0x80000001ul);
    CHECK(old == 0xffffffff80000000 && cell == 0x1111111100000001, "%#lx %#lx", old, cell);
    old = AMO("amomin.w", &cell, -5l);
    CHECK(old == 1 && cell == 0x11111111fffffffb, "%#lx %#lx", old, cell);
    old = AMO("amomaxu.w", &cell, 3);
    CHECK(old == -5ul && cell == 0x11111111fffffffb, "%#lx %#lx", old, cell);
    old = AMO("amoand.w", &cell, 0xfffffffff0f0f0f0ul);
    CHECK(old == -5ul && cell == 0x11111111f0f0f0f0, "%#lx %#lx", old, cell);
    uint32_t *low = (uint32_t *)&cell;
    uint64_t loaded;
    int failed;
    do
        asm volatile("lr.w %0, (%2)\nsc.w %1, %3, (%2)" : "=&r"(loaded), "=&r"(failed) : "r"(low), "r"(0x1234567890ul) : "memory");
    while (failed);
    CHECK(loaded == 0xfffffffff0f0f0f0 && cell == 0x1111111134567890, "%#lx %#lx", loaded, cell);
}

/* Two threads, each stores its flag and then reads the other's: with full fences at least one sees the other. */
static volatile int flag[2], read_flag[2];
static volatile int rounds_done[2];
static int both_missed;
enum { LITMUS = 20000 };

static void *litmus(void *argument)
{
    const int self = (uintptr_t)argument;
    stay_on(self);
    for (int i = 1; i <= LITMUS; i++) {
        flag[self] = i;
        asm volatile("fence rw, rw" ::: "memory");
        read_flag[self] = flag[!self];
        __atomic_store_n(&rounds_done[self], i, __ATOMIC_SEQ_CST);
        for (int spins = 0; __atomic_load_n(&rounds_done[!self], __ATOMIC_SEQ_CST) < i; spins++)
            if (spins > 200)
                sched_yield();
        if (self == 0) {
            both_missed += read_flag[0] < i && read_flag[1] < i;
            __atomic_store_n(&rounds_done[0], i + (1 << 24), __ATOMIC_SEQ_CST);
        } else {
            for (int spins = 0; __atomic_load_n(&rounds_done[0], __ATOMIC_SEQ_CST) < i + (1 << 24); spins++)
                if (spins > 200)
                    sched_yield();
            __atomic_store_n(&rounds_done[1], i + (1 << 24), __ATOMIC_SEQ_CST);
        }
        if (self == 0) {
            for (int spins = 0; __atomic_load_n(&rounds_done[1], __ATOMIC_SEQ_CST) < i + (1 << 24); spins++)
                if (spins > 200)
                    sched_yield();
            rounds_done[1] = 0;
            __atomic_store_n(&rounds_done[0], 0, __ATOMIC_SEQ_CST);
        } else {
            for (int spins = 0; __atomic_load_n(&rounds_done[0], __ATOMIC_SEQ_CST) > LITMUS; spins++)
                if (spins > 200)
                    sched_yield();
        }
    }
    return NULL;
}

/* A message: the data are there when the flag is. */
static uint64_t message[64];
static volatile uint64_t sent, received;
enum { MESSAGES = 20000 };

static void *receive(void *unused)
{
    (void)unused;
    stay_on(1);
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        uint64_t seen;
        for (int spins = 0;; spins++) {
            seen = sent;
            asm volatile("fence r, rw" ::: "memory");
            if (seen == i)
                break;
            if (spins > 200)
                sched_yield();
        }
        for (int word = 0; word < 64; word += 9)
            CHECK(message[word] == i * 64 + word, "message %lu, word %d is %lu", i, word, message[word]);
        asm volatile("fence r, w" ::: "memory");
        received = i;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    exact_sums();
    reservations();
    words();
    for (uintptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, litmus, (void *)i) == 0, "a thread");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK(both_missed == 0, "in %d of %d rounds neither thread saw the other's store", both_missed, LITMUS);
    CHECK(pthread_create(&threads[0], NULL, receive, NULL) == 0, "a thread");
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        for (int word = 0; word < 64; word++)
            message[word] = i * 64 + word;
        asm volatile("fence w, w" ::: "memory");
        sent = i;
        for (int spins = 0; received != i; spins++)
            if (spins > 200)
                sched_yield();
        asm volatile("fence r, rw" ::: "memory");
    }
    pthread_join(threads[0], NULL);
    printf("ok\n");
    return 0;
}
