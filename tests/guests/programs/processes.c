/* Storms of processes: fork, exec, threads, copy on write. */
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static void reap(pid_t child, int expected)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child, "waiting: %s", strerror(errno));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status %#x, not exit %d", status, expected);
}

/* Each child writes over memory that the parent and its siblings go on reading. */
static void copies(void)
{
    enum { SIZE = 64 };
    uint64_t *memory = (uint64_t *)pages(SIZE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < SIZE * PAGE / 8; i++)
        memory[i] = i;
    for (int round = 0; round < 60; round++) {
        pid_t children[4];
        for (int c = 0; c < 4; c++) {
            children[c] = fork();
            CHECK(children[c] >= 0, "fork: %s", strerror(errno));
            if (children[c] == 0) {
                for (int i = c; i < SIZE * PAGE / 8; i += 97)
                    memory[i] = ~(uint64_t)c;
                uint64_t wrong = 0;
                for (int i = 0; i < SIZE * PAGE / 8; i++)
                    wrong |= memory[i] ^ ((i - c) % 97 == 0 && i >= c ? ~(uint64_t)c : (uint64_t)i);
                _exit(wrong ? 99 : 10 + c);
            }
        }
        memory[round] += 1;
        for (int c = 0; c < 4; c++)
            reap(children[c], 10 + c);
        memory[round] -= 1;
        for (int i = 0; i < SIZE * PAGE / 8; i++)
            CHECK(memory[i] == (uint64_t)i, "round %d: a child's store came through at %d", round, i);
    }
    munmap(memory, SIZE * PAGE);
}

static void spawns(const char *self, int count)
{
    for (int i = 0; i < count; i += 4) {
        pid_t children[4];
        for (int c = 0; c < 4; c++) {
            char number[16];
            snprintf(number, sizeof number, "%d", i + c);
            char *arguments[] = { (char *)self, "child", number, NULL };
            int failed = posix_spawn(&children[c], self, NULL, NULL, arguments, environ);
            CHECK(failed == 0, "spawn: %s", strerror(failed));
        }
        for (int c = 0; c < 4; c++)
            reap(children[c], (i + c) * 7 % 100);
    }
}

static void *nothing(void *argument)
{
    return argument;
}

static void threads(void)
{
    for (uintptr_t i = 0; i < 400; i++) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, nothing, (void *)i) == 0, "thread %lu", i);
        CHECK(pthread_join(thread, &result) == 0 && result == (void *)i, "thread %lu", i);
    }
}

/* A chain: each child forks the next. */
static void chain(void)
{
    pid_t child = fork();
    if (child == 0) {
        int depth = 40;
        while (depth > 0) {
            pid_t next = fork();
            if (next) {
                int status;
                waitpid(next, &status, 0);
                _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
            }
            depth--;
        }
        _exit(42);
    }
    reap(child, 42);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "child") == 0)
        return atoi(argv[2]) * 7 % 100;
    copies();
    chain();
    threads();
    /* User-mode emulation leaves its programs to the host, which cannot run them. */
    if (!under_user_emulation(argc, argv))
        spawns("/proc/self/exe", 200);
    printf("ok\n");
    return 0;
}
