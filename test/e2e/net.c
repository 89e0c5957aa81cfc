/* net.c: runs a guest that has client sockets, beside servers on loopback that it may reach.
 *
 *     net MODULE DEADLINE-MS ARG...     in the arguments, @tcp, @udp and @deaf become ports: of an
 * HTTP server, of one that sends datagrams back, and of one that accepts and says nothing
 *
 * The rule allows those ports of 127.0.0.1 and no others; "server.test" has that address. The exit
 * status is the guest's, or 124 at the deadline. Test code. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/engine.h"
#include "libos/libos.h"
#include "port/file.h"
#include "port/machine.h"
#include "wasi/wasi.h"

static struct wm_diag diag = WM_DIAG_INIT;
static const char *const labels[3] = {"@tcp", "@udp", "@deaf"};
static int servers[3];
static char ports[3][8];

static void must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "net: %s: %s\n", what, wm_diag_text(&diag));
        exit(1);
    }
}

static bool allow(void *self, const struct libos_address *address, bool datagram)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    (void)self;
    (void)datagram;
    for (int i = 0; i < 3; i++) {
        if (address->port == strtoul(ports[i], NULL, 10)) {
            return address->family == LIBOS_INET && memcmp(address->ip, loopback, 4) == 0;
        }
    }
    return false;
}

static int64_t resolve(void *self, const char *name, struct libos_address *out, size_t most)
{
    (void)self;
    if (strcmp(name, "server.test") != 0 || most == 0) {
        return -LIBOS_ENOENT;
    }
    *out = (struct libos_address){.family = LIBOS_INET, .ip = {127, 0, 0, 1}};
    return 1;
}

static void *serve_http(void *arg)
{
    static const char answer[] = "HTTP/1.0 200 OK\r\n\r\nhello from the server\n";
    (void)arg;
    for (;;) {
        char text[512];
        int fd = accept(servers[0], NULL, NULL);
        while (fd >= 0 && read(fd, text, sizeof text) > 0) {
        }
        if (fd >= 0 && write(fd, answer, sizeof answer - 1) < 0) {
            perror("net: write");
        }
        close(fd);
    }
    return NULL;
}

static void *serve_datagrams(void *arg)
{
    (void)arg;
    for (;;) {
        char text[64];
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t got = recvfrom(servers[1], text, sizeof text, 0, (struct sockaddr *)&from, &len);
        if (got >= 0 &&
            sendto(servers[1], text, (size_t)got, 0, (struct sockaddr *)&from, len) < 0) {
            perror("net: sendto");
        }
    }
    return NULL;
}

static void start_servers(void)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t len = sizeof at;
        servers[i] = socket(AF_INET, (i == 1 ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        must(bind(servers[i], (struct sockaddr *)&at, len) || (i != 1 && listen(servers[i], 8)) ||
                 getsockname(servers[i], (struct sockaddr *)&at, &len),
             "a server");
        snprintf(ports[i], sizeof ports[i], "%u", ntohs(at.sin_port));
    }
    must(pthread_create(&thread, NULL, serve_http, NULL), "a thread");
    must(pthread_create(&thread, NULL, serve_datagrams, NULL), "a thread");
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: net MODULE DEADLINE-MS ARG...\n");
        return 2;
    }
    start_servers();
    int64_t limit_ms = strtol(argv[2], NULL, 10);
    argv[2] = argv[1];
    for (int i = 3; i < argc; i++) {
        for (int k = 0; k < 3; k++) {
            argv[i] = strcmp(argv[i], labels[k]) == 0 ? ports[k] : argv[i];
        }
    }
    static const struct wasi_net net = {
        .socket = port_socket_new, .allow = allow, .resolve = resolve};
    struct libos os;
    struct libos_file *out;
    struct wasi *wasi;
    struct wasm_store *store;
    struct wasm_instance *instance;
    struct wasm_extern start;
    struct wasm_object *object;
    libos_init(&os, port_machine());
    must(port_file_share(&os, 1, LIBOS_WRITE, &out), "standard output");
    struct wasi_config config = {.os = &os,
                                 .args = (const char *const *)argv + 2,
                                 .arg_count = (size_t)argc - 2,
                                 .stdio = {NULL, out, out},
                                 .net = &net};
    must(wasi_new(&config, &wasi, &diag), "wasi");
    struct wm_view bytes = test_file_read(argv[1]);
    struct wasm_options options = {
        .mode = WASM_MODE_GUARD, .tier = WASM_TIER_O0, .cpu = wasm_cpu_of_this_machine()};
    must(test_object_compile(bytes, &options, &object, &diag), argv[1]);
    must(wasm_store_new(NULL, &store, &diag), "store");
    must(wasm_instance_new(store, object, wasi_resolve, wasi, &instance, &diag), "instance");
    must(wasm_instance_export(instance, wm_view_str("_start"), &start), "_start");
    wasm_store_set_deadline(store, test_now_ns() + limit_ms * 1000000);
    union wasm_value values[1];
    enum wasm_trap trap = wasm_call(store, start.func, values);
    int status = trap == WASM_TRAP_NONE       ? 0
                 : trap == WASM_TRAP_EXIT     ? (int)wasi_exit_status(wasi)
                 : trap == WASM_TRAP_DEADLINE ? 124
                                              : 134;
    wasm_store_free(store);
    wasi_free(wasi);
    libos_file_put(out);
    wasm_object_close(object);
    free((void *)bytes.ptr);
    return status;
}
