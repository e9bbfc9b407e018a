/* Threads that wait for each other: futexes, mutexes, conditions, barriers, time-outs. */
#include "check.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <time.h>

static uint32_t turn;
enum { ROUNDS = 5000, THREADS = 4 };

static long futex(uint32_t *at, int operation, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, at, operation, value, timeout, NULL, 0);
}

static void play(uint32_t self)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t now;
        while ((now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != 2 * round + self)
            futex(&turn, FUTEX_WAIT_PRIVATE, now, NULL);
        __atomic_store_n(&turn, now + 1, __ATOMIC_RELEASE);
        futex(&turn, FUTEX_WAKE_PRIVATE, 1, NULL);
    }
}
static void *second_player(void *unused)
{
    (void)unused;
    play(1);
    return NULL;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int queue[8], queued, taken_sum, arrived[THREADS];

static void *consumer(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (queued == 0)
            pthread_cond_wait(&changed, &mutex);
        int item = queue[--queued];
        if (item > 0)
            taken_sum += item;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
        if (item < 0)
            return NULL;
    }
}

static void produce(int item)
{
    pthread_mutex_lock(&mutex);
    while (queued == 8)
        pthread_cond_wait(&changed, &mutex);
    /* What ends the consumers goes to the bottom, so that it is taken last. */
    if (item < 0) {
        memmove(queue + 1, queue, queued * sizeof *queue);
        queue[0] = item;
    } else {
        queue[queued] = item;
    }
    queued++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void *in_step(void *argument)
{
    const int self = (intptr_t)argument;
    for (int round = 1; round <= 500; round++) {
        __atomic_store_n(&arrived[self], round, __ATOMIC_RELAXED);
        pthread_barrier_wait(&barrier);
        for (int other = 0; other < THREADS; other++)
            CHECK(__atomic_load_n(&arrived[other], __ATOMIC_RELAXED) == round, "round %d: thread %d is at %d", round, other, arrived[other]);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    CHECK(pthread_create(&threads[0], NULL, second_player, NULL) == 0, "a thread");
    play(0);
    pthread_join(threads[0], NULL);
    CHECK(turn == 2 * ROUNDS, "%u turns", turn);

    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, consumer, NULL) == 0, "a thread");
    int sum = 0;
    for (int i = 1; i <= 5000; i++) {
        produce(i);
        sum += i;
    }
    for (int i = 0; i < THREADS; i++)
        produce(-1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(taken_sum == sum && queued == 0, "%d of %d were taken", taken_sum, sum);

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, in_step, (void *)i) == 0, "a thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    /* A wait without a wake ends when its time is up, and not before. */
    uint32_t never = 0;
    for (int i = 1; i <= 40; i++) {
        struct timespec before, after, limit = { 0, i * 250000 };
        clock_gettime(CLOCK_MONOTONIC, &before);
        long result = futex(&never, FUTEX_WAIT_PRIVATE, 0, &limit);
        CHECK(result == -1 && errno == ETIMEDOUT, "the wait ended with %ld, %s", result, strerror(errno));
        clock_gettime(CLOCK_MONOTONIC, &after);
        long passed = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
        CHECK(passed >= limit.tv_nsec, "a wait of %ld ns ended after %ld", limit.tv_nsec, passed);
    }
    printf("ok\n");
    return 0;
}
