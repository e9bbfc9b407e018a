/* The init of a benchmark guest: runs each piece of work for a while and prints, for each, how much of it was done in
 * which time. The benchmark program on the host reads "init", "begin NAME", "work NAME TURNS SECONDS" and "done". */
#define _GNU_SOURCE
#ifndef SECONDS
#define SECONDS 0.3
#endif
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static volatile uint64_t sink;

/* Lists, matrices of small integers and a state machine over text, as CoreMark does. */
struct node { struct node *next; int16_t key, value; };
static uint16_t crc16(uint16_t crc, uint16_t data)
{
    for (int i = 0; i < 16; i++, data >>= 1)
        crc = (crc ^ data) & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
    return crc;
}
static struct node *sort(struct node *list)
{
    for (int run = 1;; run *= 2) {
        struct node *p = list, *tail = NULL;
        list = NULL;
        int merges = 0;
        while (p) {
            merges++;
            struct node *q = p;
            int ps = 0, qs = run;
            for (; ps < run && q; ps++)
                q = q->next;
            while (ps > 0 || (qs > 0 && q)) {
                struct node *e;
                if (ps == 0) { e = q; q = q->next; qs--; }
                else if (qs == 0 || !q || p->key <= q->key) { e = p; p = p->next; ps--; }
                else { e = q; q = q->next; qs--; }
                if (tail) tail->next = e; else list = e;
                tail = e;
            }
            p = q;
        }
        tail->next = NULL;
        if (merges <= 1)
            return list;
    }
}
static int state_machine(const char *text, unsigned *counts)
{
    int state = 0;
    for (; *text; text++) {
        char c = *text;
        switch (state) {
        case 0: state = c >= '0' && c <= '9' ? 1 : c == '+' || c == '-' ? 2 : c == '.' ? 3 : c == ',' ? 0 : 7; break;
        case 1: state = c == '.' ? 3 : c == ',' ? 0 : c >= '0' && c <= '9' ? 1 : 7; break;
        case 2: state = c >= '0' && c <= '9' ? 1 : c == '.' ? 3 : 7; break;
        case 3: state = c == 'e' || c == 'E' ? 4 : c == ',' ? 0 : c >= '0' && c <= '9' ? 3 : 7; break;
        case 4: state = c == '+' || c == '-' ? 5 : 7; break;
        case 5: state = c >= '0' && c <= '9' ? 6 : 7; break;
        case 6: state = c == ',' ? 0 : c >= '0' && c <= '9' ? 6 : 7; break;
        default: if (c == ',') state = 0;
        }
        counts[state]++;
    }
    return state;
}
static void integer(void)
{
    static struct node nodes[256];
    static int16_t a[24][24], b[24][24];
    static int32_t c[24][24];
    uint16_t crc = 0;
    for (int i = 0; i < 256; i++)
        nodes[i] = (struct node){ i < 255 ? &nodes[i + 1] : NULL, (int16_t)(i * 7919 & 0x7ff), (int16_t)i };
    struct node *list = sort(nodes);
    for (struct node *n = list; n; n = n->next)
        crc = crc16(crc, n->value);
    for (int i = 0; i < 24; i++)
        for (int j = 0; j < 24; j++)
            a[i][j] = i + j, b[i][j] = i - j + crc;
    for (int i = 0; i < 24; i++)
        for (int j = 0; j < 24; j++) {
            int32_t s = 0;
            for (int k = 0; k < 24; k++)
                s += a[i][k] * b[k][j];
            c[i][j] = s;
        }
    for (int i = 0; i < 24; i++)
        crc = crc16(crc, c[i][i]);
    unsigned counts[8] = { 0 };
    state_machine("5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,+0.6e-12,T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^", counts);
    for (int i = 0; i < 8; i++)
        crc = crc16(crc, counts[i]);
    sink += crc;
}

/* Records, strings, calls and branches, as Dhrystone does. */
struct record { struct record *next; int kind, choice, number; char name[32]; };
static char global_name[2][32] = { "DHRYSTONE PROGRAM, SOME STRING", "DHRYSTONE PROGRAM, 1'ST STRING" };
static int global_number;
__attribute__((noinline)) static int chosen(int choice, int other)
{
    return choice == other || (choice & 3) == 2 ? other : choice > other ? 1 : 3;
}
__attribute__((noinline)) static void sum_up(int one, int two, int *sum)
{
    *sum = one + 2 + two;
}
__attribute__((noinline)) static int names_differ(char *one, char *two)
{
    int at = 2;
    while (one[at] == two[at + 1])
        at++;
    if (strcmp(one, two) > 0) {
        global_number = at + 7;
        return 1;
    }
    return 0;
}
__attribute__((noinline)) static void follow(struct record *record)
{
    struct record *next = record->next;
    *next = *record;
    record->number = 5;
    next->number = record->number;
    next->next = record->next;
    if (next->kind == 0) {
        next->number = 6;
        next->choice = chosen(record->choice, next->choice);
        sum_up(next->number, 10, &next->number);
    } else {
        *record = *record->next;
    }
}
static void records(void)
{
    static struct record one, other;
    static int numbers[50], table[50][50];
    for (int run = 0; run < 100; run++) {
        int a = 2, b = 3, c;
        one = (struct record){ &other, run & 1, 2, 40, "DHRYSTONE PROGRAM, SOME STRING" };
        snprintf(global_name[run & 1], sizeof global_name[0], "DHRYSTONE PROGRAM, %d'ND STRING", run % 10);
        c = !names_differ(global_name[0], global_name[1]);
        while (a < b) {
            c = 5 * a - b;
            sum_up(a, b, &c);
            a++;
        }
        numbers[c] = a;
        for (int i = c; i <= c + 1; i++)
            table[c][i] = numbers[c];
        table[c + 20][c] += numbers[c + run % 20];
        follow(&one);
        for (char letter = 'A'; letter <= 'C'; letter++)
            if (chosen(letter, 'C') == 1)
                global_number = run;
        b = b * a;
        a = b / (c | 1);
        sink += 7 * (b - c) - a + other.number;
    }
}

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }
static uint32_t k256[64];
static void sha256_block(uint32_t *h, const uint8_t *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3)
            + (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, h, 32);
    for (int i = 0; i < 64; i++) {
        uint32_t t = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k256[i] + w[i];
        uint32_t u = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 28);
        v[4] += t;
        v[0] = t + u;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}
static void sha256(void)
{
    static uint8_t data[4096];
    uint32_t h[8] = { 0x6a09e667 };
    for (int i = 0; i < 4096; i += 64)
        sha256_block(h, data + i);
    data[0] = h[0];
    sink += h[0];
}

static double body[5][7] = {
    { 0, 0, 0, 0, 0, 0, 39.47 },
    { 4.84, -1.16, -0.10, 0.6, 2.8, -0.02, 0.037 },
    { 8.34, 4.12, -0.4, -1.01, 1.8, 0.008, 0.011 },
    { 12.89, -15.11, -0.22, 1.08, 0.86, -0.01, 0.0017 },
    { 15.37, -25.9, 0.179, 0.97, 0.59, -0.03, 0.002 },
};
static void nbody(void)
{
    for (int step = 0; step < 100; step++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                double dx = body[i][0] - body[j][0], dy = body[i][1] - body[j][1], dz = body[i][2] - body[j][2];
                double d = dx * dx + dy * dy + dz * dz;
                double m = 0.01 / (d * sqrt(d));
                body[i][3] -= dx * body[j][6] * m, body[i][4] -= dy * body[j][6] * m, body[i][5] -= dz * body[j][6] * m;
                body[j][3] += dx * body[i][6] * m, body[j][4] += dy * body[i][6] * m, body[j][5] += dz * body[i][6] * m;
            }
        for (int i = 0; i < 5; i++)
            body[i][0] += 0.01 * body[i][3], body[i][1] += 0.01 * body[i][4], body[i][2] += 0.01 * body[i][5];
    }
}

static void matrix(void)
{
    static double a[64][64], b[64][64], c[64][64];
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++)
            a[i][j] = i + j, b[i][j] = i - j;
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < 64; k++)
            for (int j = 0; j < 64; j++)
                c[i][j] += a[i][k] * b[k][j];
    sink += c[5][5];
}

static char big[1 << 20], other[1 << 20];
static void copy(void)
{
    memcpy(other, big, sizeof big);
    sink += other[77];
}
static void length(void)
{
    memset(big, 'a', sizeof big - 1);
    sink += strlen(big);
}

static void system_calls(void)
{
    for (int i = 0; i < 1000; i++)
        syscall(SYS_getppid);
}

static char *guarded;
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    mprotect(info->si_addr, 4096, PROT_READ | PROT_WRITE);
}
static void faults(void)
{
    for (int i = 0; i < 100; i++) {
        mprotect(guarded, 4096, PROT_READ);
        *(volatile char *)guarded = 1;
    }
}
static void fresh_pages(void)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1 << 20; i += 4096)
        p[i] = 1;
    munmap(p, 1 << 20);
}

static int ping[2], pong[2];
static void switches(void)
{
    char c = 0;
    for (int i = 0; i < 100; i++)
        if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
            exit(1);
}
static void forks(void)
{
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
}

static void *contend(void *counter)
{
    for (int i = 0; i < 20000; i++)
        __atomic_fetch_add((uint64_t *)counter, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
static void atomics(void)
{
    uint64_t counter = 0;
    pthread_t other_thread;
    pthread_create(&other_thread, NULL, contend, &counter);
    contend(&counter);
    pthread_join(other_thread, NULL);
    sink += counter;
}

/* Code as a just-in-time compiler keeps it: functions in many pages, all of them in use. */
enum { CODE_PAGES = 64, CODE_PAGE = 4096 };
static unsigned char *code;
static unsigned char *function_in(int page)
{
    /* Somewhere in the page, as functions are. */
    return code + page * CODE_PAGE + page * 44;
}
static void put_function(int page, int number)
{
    unsigned char *at = function_in(page);
#if defined __riscv
    uint32_t *words = (uint32_t *)at;
    for (int i = 0; i < 256; i++)
        *words++ = 0x00150513; /* addi a0, a0, 1 */
    *words++ = (uint32_t)number << 20 | 0x00050513; /* addi a0, a0, number */
    *words = 0x00008067; /* ret */
#elif defined __x86_64__
    memcpy(at, "\x48\x89\xf8", 3); /* mov rax, rdi */
    at += 3;
    for (int i = 0; i < 256; i++, at += 4)
        memcpy(at, "\x48\x83\xc0\x01", 4); /* add rax, 1 */
    memcpy(at, "\x48\x05", 2); /* add rax, number */
    memcpy(at + 2, &number, 4);
    at[6] = 0xc3; /* ret */
#endif
}
static void run_functions(void)
{
    for (int page = 0; page < CODE_PAGES; page++)
        sink += ((long (*)(long))(void *)function_in(page))(page);
}
static void code_runs(void)
{
    for (int i = 0; i < 10; i++)
        run_functions();
}
static void code_flushes(void)
{
    for (int i = 0; i < 10; i++) {
        __builtin___clear_cache((char *)code, (char *)code + CODE_PAGE);
        run_functions();
    }
}
static void code_changes(void)
{
    static int number;
    for (int i = 0; i < 10; i++, number++) {
        put_function(number % CODE_PAGES, number & 0x3ff);
        __builtin___clear_cache((char *)code, (char *)code + CODE_PAGES * CODE_PAGE);
        run_functions();
    }
}

static void work(const char *name, void (*run)(void))
{
    /* The kernel passes what it does not know, "only=NAME", on to init's environment. */
    const char *only = getenv("only");
    if (only && strcmp(only, name))
        return;
    run();
    printf("begin %s\n", name);
    long turns = 0;
    double start = now(), end;
    do {
        run();
        turns++;
        end = now();
    } while (end - start < SECONDS);
    printf("work %s %ld %.6f\n", name, turns, end - start);
}

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    setvbuf(stdout, NULL, _IOLBF, 512);
    if (getpid() == 1) {
        /* The kernel's log is the one console that every machine has from the start. */
        mount("dev", "/dev", "devtmpfs", 0, NULL);
        int log = open("/dev/kmsg", O_WRONLY);
        dup2(log, 1);
    }
    printf("init\n");
    /* The kernel ends its own start in the background; it is not to be counted as a program's work. */
    if (getpid() == 1)
        sleep(1);
    for (int i = 0; i < 64; i++)
        k256[i] = (uint32_t)(i * 0x9e3779b9u);
    work("integer", integer);
    work("records", records);
    work("sha256", sha256);
    work("n-body", nbody);
    work("matrix", matrix);
    work("memcpy", copy);
    work("strlen", length);
    work("system-calls", system_calls);
    guarded = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    work("segv-mprotect", faults);
    work("page-faults", fresh_pages);
    if (pipe(ping) || pipe(pong))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        char c;
        close(ping[1]);
        while (read(ping[0], &c, 1) == 1 && write(pong[1], &c, 1) == 1)
            ;
        _exit(0);
    }
    work("context-switches", switches);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    work("forks", forks);
    work("atomics", atomics);
    code = mmap(NULL, CODE_PAGES * CODE_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int page = 0; page < CODE_PAGES; page++)
        put_function(page, page);
    __builtin___clear_cache((char *)code, (char *)code + CODE_PAGES * CODE_PAGE);
    work("code-runs", code_runs);
    work("code-flushes", code_flushes);
    work("code-changes", code_changes);
    printf("done\n");
    if (getpid() == 1) {
        sync();
        reboot(RB_POWER_OFF);
    }
    return 0;
}
