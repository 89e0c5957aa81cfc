/* A guest with one habit a verb: what the tests of `wardmote run` need a program to do. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int say_errno(void)
{
    printf("errno %s\n", strerror(errno));
    return 1;
}

static int cat(const char *path)
{
    char bytes[4096];
    ssize_t n;
    int fd = path ? open(path, O_RDONLY) : 0;
    if (fd < 0) {
        return say_errno();
    }
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        if (write(1, bytes, (size_t)n) != n) {
            return say_errno();
        }
    }
    return n < 0 ? say_errno() : 0;
}

static int save(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0) {
        return say_errno();
    }
    return 0;
}

static int list(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        return say_errno();
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        printf("%s\n", entry->d_name);
    }
    closedir(dir);
    return 0;
}

/* Files of all kinds of life in one folder; prints "fine" or the first thing that was not. */
#define WANT(condition)                                                         \
    do {                                                                        \
        if (!(condition)) {                                                     \
            printf("line %d: %s: %s\n", __LINE__, #condition, strerror(errno)); \
            return 1;                                                           \
        }                                                                       \
    } while (0)
static int files(const char *dir)
{
    char bytes[64] = {0};
    struct stat st;
    WANT(chdir(dir) == 0);
    WANT(mkdir("d", 0755) == 0);
    WANT(mkdir("d", 0755) == -1 && errno == EEXIST);
    int fd = open("d/f", O_RDWR | O_CREAT | O_EXCL, 0644);
    WANT(fd >= 0);
    WANT(write(fd, "0123456789", 10) == 10);
    WANT(lseek(fd, -3, SEEK_END) == 7);
    WANT(read(fd, bytes, 64) == 3 && memcmp(bytes, "789", 3) == 0);
    WANT(pwrite(fd, "ab", 2, 1) == 2);
    WANT(pread(fd, bytes, 4, 0) == 4 && memcmp(bytes, "0ab3", 4) == 0);
    WANT(ftruncate(fd, 5) == 0);
    WANT(fstat(fd, &st) == 0 && st.st_size == 5 && S_ISREG(st.st_mode));
    WANT(fsync(fd) == 0);
    WANT(close(fd) == 0);
    WANT(read(fd, bytes, 1) == -1 && errno == EBADF);
    WANT(open("d/f", O_RDWR | O_CREAT | O_EXCL, 0644) == -1 && errno == EEXIST);
    WANT((fd = open("d/f", O_WRONLY | O_APPEND)) >= 0);
    WANT(write(fd, "xyz", 3) == 3 && close(fd) == 0);
    WANT(rename("d/f", "d/g") == 0);
    WANT(stat("d/f", &st) == -1 && errno == ENOENT);
    WANT(stat("d/g", &st) == 0 && st.st_size == 8);
    WANT(link("d/g", "d/h") == 0);
    WANT(symlink("g", "d/s") == 0);
    WANT(readlink("d/s", bytes, sizeof bytes) == 1 && bytes[0] == 'g');
    WANT((fd = open("d/s", O_RDONLY)) >= 0);
    memset(bytes, 0, sizeof bytes);
    WANT(read(fd, bytes, 64) == 8 && strcmp(bytes, "0ab34xyz") == 0 && close(fd) == 0);
    WANT(rmdir("d") == -1 && errno == ENOTEMPTY);
    WANT(unlink("d") == -1);
    WANT(unlink("d/g") == 0 && unlink("d/h") == 0 && unlink("d/s") == 0);
    WANT(rmdir("d") == 0);
    WANT(stat("d", &st) == -1 && errno == ENOENT);
    puts("fine");
    return 0;
}

/* Answers one connection on each listening descriptor given, in the order given. */
static int echo_server(int count)
{
    for (int i = 0; i < count; i++) {
        char bytes[256];
        ssize_t n;
        int listener = 3 + i;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            return say_errno();
        }
        while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0) {
            if (send(fd, bytes, (size_t)n, 0) != n) {
                return say_errno();
            }
        }
        close(fd);
        printf("served %d\n", i + 1);
        fflush(stdout);
    }
    return 0;
}

static int use_memory(unsigned long mib)
{
    unsigned long have = 0;
    static char *volatile blocks[4096]; /* or the compiler drops them */
    for (char *at; have < mib && have < 4096 && (at = malloc(1 << 20)); have++) {
        memset(at, (int)have, 1 << 20);
        blocks[have] = at;
    }
    printf("%lu MiB\n", have);
    return have == mib ? 0 : 3;
}

static __attribute__((noinline)) int deref(volatile int *at)
{
    return *at;
}

static __attribute__((noinline)) unsigned long recurse(unsigned long n)
{
    volatile unsigned long here = n;
    return recurse(n + 1) + here;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    const char *arg = argc > 2 ? argv[2] : NULL;
    if (strcmp(verb, "args") == 0) {
        for (int i = 2; i < argc; i++) {
            printf("[%s]\n", argv[i]);
        }
        return 0;
    }
    if (strcmp(verb, "env") == 0) {
        for (char **at = environ; *at; at++) {
            puts(*at);
        }
        return 0;
    }
    if (strcmp(verb, "exit") == 0) {
        fputs("going\n", stderr);
        exit(atoi(arg));
    }
    if (strcmp(verb, "cat") == 0) {
        return cat(arg);
    }
    if (strcmp(verb, "save") == 0) {
        return save(arg, argv[3]);
    }
    if (strcmp(verb, "list") == 0) {
        return list(arg);
    }
    if (strcmp(verb, "files") == 0) {
        return files(arg);
    }
    if (strcmp(verb, "listen") == 0) {
        return echo_server(atoi(arg));
    }
    if (strcmp(verb, "memory") == 0) {
        return use_memory(strtoul(arg, NULL, 10));
    }
    if (strcmp(verb, "abort") == 0) {
        abort();
    }
    if (strcmp(verb, "null") == 0) {
        return deref((int *)(argc == 3 ? strtoul(arg, NULL, 0) : 0xfffffff0u));
    }
    if (strcmp(verb, "recurse") == 0) {
        return (int)recurse(0);
    }
    if (strcmp(verb, "spin") == 0) {
        for (volatile unsigned at = 0;; at++) {
        }
    }
    if (strcmp(verb, "yes") == 0) {
        for (;;) { /* like those that never look at what write returns */
            (void)!write(1, "y\n", 2);
        }
    }
    if (strcmp(verb, "sleep") == 0) {
        struct timespec wait = {.tv_sec = atoi(arg)};
        return nanosleep(&wait, NULL) == 0 ? 0 : say_errno();
    }
    if (strcmp(verb, "clock") == 0) {
        struct timespec a, b, wait = {.tv_nsec = 20000000};
        clock_gettime(CLOCK_MONOTONIC, &a);
        nanosleep(&wait, NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        long long ns = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
        printf("%s %lld\n", ns >= 20000000 && ns < 2000000000 ? "fine" : "wrong",
               (long long)time(NULL));
        return 0;
    }
    if (strcmp(verb, "random") == 0) {
        unsigned char bytes[16];
        if (getentropy(bytes, sizeof bytes) != 0) {
            return say_errno();
        }
        for (unsigned i = 0; i < sizeof bytes; i++) {
            printf("%02x", bytes[i]);
        }
        puts("");
        return 0;
    }
    fprintf(stderr, "no such verb\n");
    return 2;
}
