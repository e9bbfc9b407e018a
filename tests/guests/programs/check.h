/* What every guest program shares: a check that ends the program with a sentence, and random numbers that are the same in
 * each run, so that the same program prints the same on every machine. */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(holds, ...)                                          \
    do {                                                           \
        if (!(holds)) {                                            \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #holds);     \
            printf(__VA_ARGS__);                                   \
            printf("\n");                                          \
            fflush(stdout);                                        \
            _exit(1);                                              \
        }                                                          \
    } while (0)

enum { PAGE = 4096 };

/* The test says so where it runs a program to test the program itself. */
__attribute__((unused)) static int under_user_emulation(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "user-emulation") == 0;
}

__attribute__((unused)) static uint64_t random_state = 0x9e3779b97f4a7c15;

/* SplitMix64. */
__attribute__((unused)) static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

__attribute__((unused)) static unsigned below(unsigned bound)
{
    return (next_random() >> 33) % bound;
}

__attribute__((unused)) static void *pages(size_t count, int protection)
{
    void *p = mmap(NULL, count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED, "%zu pages", count);
    return p;
}

/* The calling thread stays on the first hart or the last one, which are the same where there is one. */
__attribute__((unused)) static void stay_on(int last)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(last ? sysconf(_SC_NPROCESSORS_ONLN) - 1 : 0, &set);
    CHECK(sched_setaffinity(0, sizeof set, &set) == 0, "the thread cannot be placed");
}

__attribute__((unused)) static uint64_t hash(uint64_t hash, uint64_t value)
{
    for (int i = 0; i < 8; i++, value >>= 8)
        hash = (hash ^ (value & 0xff)) * 0x100000001b3;
    return hash;
}

#endif
