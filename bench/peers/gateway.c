/* gateway.c: a container for each user, behind HTTP: what Wardmote is measured against when it
 * serves images (bench/workloads.py).
 *
 *     gateway PORT FOLDER
 *
 * Serves POST /v1/call/USER on 127.0.0.1:PORT. A user's first request starts a container by `crun
 * run`, in which examples/images/native.c serves on a unix socket, and waits until it answers: that
 * is a cold start. From then on the user's requests go there. FOLDER holds rootfs/ with the
 * program, template.json (crun's config.json with @USER@ for the user's name), and gets bundles/,
 * run/ (sockets) and crun/ (its state). Containers stay until whoever started the gateway deletes
 * them: what that costs is not counted, as in the paper's measurement.
 *
 * For that measurement alone: it trusts its clients, and ends on the first thing that does not
 * work. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define USERS_MAX 65536u
#define BODY_MAX 65536u

struct user {
    char name[64];
    pthread_mutex_t lock; /* one request at a time, as a container has one thread */
    int fd;               /* -1: no container yet */
};

static struct user *users[USERS_MAX];
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static char *template;

static _Noreturn void die(const char *what)
{
    perror(what);
    _exit(1);
}

static struct user *user_of(const char *name)
{
    uint32_t at = 2166136261u;
    for (const char *c = name; *c; c++) {
        at = (at ^ (uint8_t)*c) * 16777619u;
    }
    pthread_mutex_lock(&users_lock);
    for (at %= USERS_MAX; users[at] && strcmp(users[at]->name, name) != 0;
         at = (at + 1) % USERS_MAX) {
    }
    if (!users[at]) {
        users[at] = calloc(1, sizeof *users[at]);
        if (!users[at]) {
            die("gateway");
        }
        snprintf(users[at]->name, sizeof users[at]->name, "%s", name);
        pthread_mutex_init(&users[at]->lock, NULL);
        users[at]->fd = -1;
    }
    struct user *user = users[at];
    pthread_mutex_unlock(&users_lock);
    return user;
}

static void write_config(const char *path, const char *name)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        die(path);
    }
    for (const char *at = template, *hole;; at = hole + strlen("@USER@")) {
        hole = strstr(at, "@USER@");
        if (!hole) {
            fputs(at, file);
            break;
        }
        fwrite(at, 1, (size_t)(hole - at), file);
        fputs(name, file);
    }
    if (fclose(file) != 0) {
        die(path);
    }
}

static void start_container(struct user *user)
{
    char bundle[512], config[600], root[512];
    snprintf(bundle, sizeof bundle, "%s/bundles/%s", folder, user->name);
    snprintf(config, sizeof config, "%s/config.json", bundle);
    snprintf(root, sizeof root, "%s/crun", folder);
    if (mkdir(bundle, 0700) != 0) {
        die(bundle);
    }
    write_config(config, user->name);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("crun", "crun", "--root", root, "run", "--detach", "--bundle", bundle, user->name,
               (char *)NULL);
        _exit(127);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        die("crun run");
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/run/%s", folder, user->name);
    for (int tries = 0; tries < 10000; tries++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            die("socket");
        }
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
            user->fd = fd;
            return;
        }
        close(fd);
        usleep(500);
    }
    die("the container does not serve");
}

static bool read_all(int fd, void *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = read(fd, (char *)out + at, len - at);
        if (got <= 0) {
            return false;
        }
        at += (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t put = write(fd, (const char *)from + at, len - at);
        if (put <= 0) {
            return false;
        }
        at += (size_t)put;
    }
    return true;
}

/* request: u32 of room before the body. */
static uint32_t ask(const char *name, uint8_t *request, uint32_t bytes, char *reply, uint32_t room,
                    bool *cold)
{
    struct user *user = user_of(name);
    uint32_t len;
    pthread_mutex_lock(&user->lock);
    *cold = user->fd < 0;
    if (*cold) {
        start_container(user);
    }
    memcpy(request, &bytes, 4);
    if (!write_all(user->fd, request, 4 + bytes) || !read_all(user->fd, &len, 4) || len > room ||
        !read_all(user->fd, reply, len)) {
        die("a container failed");
    }
    pthread_mutex_unlock(&user->lock);
    return len;
}

struct connection {
    int fd;
    size_t len;
    uint8_t bytes[BODY_MAX + 8192];
};

/* The head's end, or 0; reads until it is there. */
static size_t read_head(struct connection *connection)
{
    for (;;) {
        uint8_t *end = memmem(connection->bytes, connection->len, "\r\n\r\n", 4);
        if (end) {
            return (size_t)(end - connection->bytes) + 4;
        }
        if (connection->len == sizeof connection->bytes - 1) {
            return 0;
        }
        ssize_t got = read(connection->fd, connection->bytes + connection->len,
                           sizeof connection->bytes - 1 - connection->len);
        if (got <= 0) {
            return 0;
        }
        connection->len += (size_t)got;
        connection->bytes[connection->len] = 0;
    }
}

static void *serve(void *arg)
{
    struct connection *connection = arg;
    static __thread uint8_t body[BODY_MAX + 4];
    size_t head;
    while ((head = read_head(connection)) != 0) {
        char name[64] = "", out[256], reply[64];
        connection->bytes[head - 1] = 0;
        char *length = strcasestr((char *)connection->bytes, "\r\ncontent-length:");
        size_t bytes = length ? strtoul(length + 17, NULL, 10) : 0;
        bool cold;
        if (sscanf((char *)connection->bytes, "POST /v1/call/%63[a-zA-Z0-9_-]", name) != 1 ||
            bytes > BODY_MAX) {
            break;
        }
        size_t have = connection->len - head < bytes ? connection->len - head : bytes;
        memcpy(body + 4, connection->bytes + head, have);
        if (!read_all(connection->fd, body + 4 + have, bytes - have)) {
            break;
        }
        connection->len -= head + have;
        memmove(connection->bytes, connection->bytes + head + have, connection->len);
        uint32_t len = ask(name, body, (uint32_t)bytes, reply, sizeof reply, &cold);
        int out_len = snprintf(out, sizeof out,
                               "HTTP/1.1 200 OK\r\nWardmote-Call: 1; cold=%d\r\nContent-Length: "
                               "%u\r\n\r\n%.*s",
                               cold, len, (int)len, reply);
        if (!write_all(connection->fd, out, (size_t)out_len)) {
            break;
        }
    }
    close(connection->fd);
    free(connection);
    return NULL;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 65536);
    if (!file || !text || fread(text, 1, 65535, file) == 0) {
        die(path);
    }
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: gateway PORT FOLDER\n", stderr);
        return 2;
    }
    char path[512];
    folder = argv[2];
    snprintf(path, sizeof path, "%s/template.json", folder);
    template = read_file(path);
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 128) != 0) {
        die("listen");
    }
    for (;;) {
        pthread_t thread;
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection || (connection->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0 ||
            pthread_create(&thread, NULL, serve, connection) != 0) {
            die("accept");
        }
        pthread_detach(thread);
    }
}
