/* The first process of a test guest: runs every program in /programs, one after another, and sends what they print to the
 * kernel's log, the one console that is there from the start. The test on the host reads
 *     begin NAME
 *     said NAME LINE
 *     ended NAME exit|signal|time NUMBER
 *     all programs ran
 * With "volume" on the kernel's command line, all of it happens in the file system of the first volume, whose drivers are
 * in /modules.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Seconds that a program may take. */
enum { LIMIT = 240 };

static int kernel_log;

static void say(const char *what, const char *name, const char *rest)
{
    char line[900];
    int length = snprintf(line, sizeof line, "%s %s %s\n", what, name, rest);
    if (length > (int)sizeof line - 1)
        length = sizeof line - 1;
    if (write(kernel_log, line, length) < 0)
        _exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void run(const char *name)
{
    char path[300], text[900];
    int output[2], status = 0, timed_out = 0;
    snprintf(path, sizeof path, "/programs/%s", name);
    say("begin", name, "");
    if (pipe2(output, O_CLOEXEC))
        _exit(1);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        dup2(output[1], 1);
        dup2(output[1], 2);
        execl(path, name, (char *)NULL);
        printf("%s cannot be run: %s\n", path, strerror(errno));
        exit(127);
    }
    close(output[1]);
    size_t have = 0;
    double end = now() + LIMIT;
    for (;;) {
        struct pollfd poll_for = { .fd = output[0], .events = POLLIN };
        int left = (int)((end - now()) * 1000);
        if (left <= 0 || poll(&poll_for, 1, left) == 0) {
            timed_out = 1;
            kill(-child, SIGKILL);
            break;
        }
        ssize_t count = read(output[0], text + have, sizeof text - 1 - have);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        have += count;
        char *line = text, *newline;
        while ((newline = memchr(line, '\n', text + have - line))) {
            *newline = 0;
            say("said", name, line);
            line = newline + 1;
        }
        have -= line - text;
        memmove(text, line, have);
        if (have == sizeof text - 1) {
            text[have] = 0;
            say("said", name, text);
            have = 0;
        }
    }
    close(output[0]);
    waitpid(child, &status, 0);
    if (timed_out)
        snprintf(text, sizeof text, "time %d", LIMIT);
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    say("ended", name, text);
}

/* Files with a dot in their names are not programs but what programs read. */
static int chosen(const struct dirent *entry)
{
    return strchr(entry->d_name, '.') == NULL;
}

static void file_systems(void)
{
    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mkdir("/tmp", 0755);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("tmp", "/tmp", "tmpfs", 0, NULL);
}

static void must(int result, const char *what)
{
    if (result == 0)
        return;
    say("init:", what, strerror(errno));
    sync();
    reboot(RB_POWER_OFF);
}

/* Goes on in the first volume's file system, with a layer over it that can be written to. */
static void into_the_volume(void)
{
    char line[200];
    FILE *order = fopen("/modules/root", "re");
    must(order == NULL, "no list of drivers");
    while (fgets(line, sizeof line, order)) {
        char path[250], *options = line + strcspn(line, " \n");
        if (*options)
            *options++ = 0;
        options[strcspn(options, "\n")] = 0;
        snprintf(path, sizeof path, "/modules/%s", line);
        int module = open(path, O_RDONLY | O_CLOEXEC);
        must(syscall(SYS_finit_module, module, options, 0), path);
        close(module);
    }
    fclose(order);
    mkdir("/base", 0755);
    mkdir("/scratch", 0755);
    mkdir("/root", 0755);
    must(mount("/dev/vda", "/base", "squashfs", MS_RDONLY, NULL), "the volume");
    must(mount("scratch", "/scratch", "tmpfs", 0, NULL), "a layer");
    mkdir("/scratch/upper", 0755);
    mkdir("/scratch/work", 0755);
    must(mount("root", "/root", "overlay", 0, "lowerdir=/base,upperdir=/scratch/upper,workdir=/scratch/work"), "the layers");
    mkdir("/root/programs", 0755);
    must(mount("/programs", "/root/programs", NULL, MS_BIND, NULL), "the programs");
    must(chdir("/root"), "the root");
    must(chroot("."), "the root");
    file_systems();
    /* No package's scripts ran, so that nobody chose a shell. */
    if (symlink("busybox", "/usr/bin/sh") && errno != EEXIST)
        must(1, "a shell");
    setenv("PATH", "/usr/bin:/usr/sbin", 1);
    setenv("HOME", "/tmp", 1);
    must(chdir("/tmp"), "/tmp");
}

int main(void)
{
    file_systems();
    kernel_log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    /* The kernel hands on what it does not know. */
    if (getenv("volume"))
        into_the_volume();
    int nothing = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(nothing, i);
    struct dirent **list;
    int count = scandir("/programs", &list, chosen, alphasort);
    for (int i = 0; i < count; i++)
        run(list[i]->d_name);
    say("all", "programs", "ran");
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
