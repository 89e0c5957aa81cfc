/* Client sockets for programs of WASI (wasi.h has the interface).
 *
 * The address that a rule is asked about is the one that connect gets: it is copied out of guest
 * memory once, and what it reaches is spelled out first. */
#include "libos/address.h"
#include "wasi/call.h"

#define NAME_BYTES_MAX 253u

static bool is_client(const struct libos_file *file)
{
    return file->ops->socket && file->ops->socket->connect;
}

/* Counted when needed: a socket costs nothing while nobody makes another. */
static bool has_room(struct wasi *wasi)
{
    uint32_t limit = wasi->net.limit ? wasi->net.limit : WASI_SOCKETS_LIMIT;
    uint32_t count = 0;
    for (uint32_t i = 0; i < wasi->fds.slot_count; i++) {
        const struct libos_fd *fd = libos_fds_at(&wasi->fds, i);
        count += fd && is_client(fd->file);
    }
    return count < limit;
}

static int check_kind(uint32_t family, uint32_t type, uint32_t protocol)
{
    if (family != WASI_AF_INET && family != WASI_AF_INET6) {
        return WASI_AFNOSUPPORT;
    }
    if (type != WASI_SOCK_STREAM && type != WASI_SOCK_DGRAM) {
        return WASI_PROTOTYPE;
    }
    uint32_t own = type == WASI_SOCK_STREAM ? WASI_IPPROTO_TCP : WASI_IPPROTO_UDP;
    return protocol == 0 || protocol == own ? WASI_SUCCESS : WASI_PROTONOSUPPORT;
}

int wasi_net_socket(struct wasi_call *call, const union wasm_value *args)
{
    struct wasi *wasi = call->wasi;
    uint32_t flags = args[1].i32 & (WASI_SOCK_NONBLOCK | WASI_SOCK_CLOEXEC);
    uint32_t type = args[1].i32 & ~flags;
    uint8_t *out;
    int rc = wasi_window(call, args[3].i32, 4, &out);
    if (rc == WASI_SUCCESS) {
        rc = check_kind(args[0].i32, type, args[2].i32);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    if (!wasi->net.socket || !wasi->net.allow) {
        return WASI_ACCES;
    }
    if (wasi->fds.open_count >= wasi->fds.limit || !has_room(wasi)) {
        return WASI_MFILE;
    }
    struct libos_fd fd = {0};
    rc = wasi->net.socket(wasi->os, args[0].i32 == WASI_AF_INET ? LIBOS_INET : LIBOS_INET6,
                          type == WASI_SOCK_DGRAM, &fd.file);
    if (rc == 0 && (flags & WASI_SOCK_NONBLOCK)) {
        rc = libos_file_set_flags(fd.file, LIBOS_NONBLOCK);
    }
    if (rc != 0) {
        libos_file_put(fd.file);
        return rc;
    }
    wasi_rights_of(fd.file, &fd.words[0], &fd.words[1]);
    int64_t number = libos_fds_insert(&wasi->fds, &fd);
    if (number < 0) {
        libos_file_put(fd.file);
        return (int)number;
    }
    wasi_put_u32(out, (uint32_t)number);
    return WASI_SUCCESS;
}

static int take_address(struct wasi_call *call, uint32_t at, struct libos_address *out)
{
    uint8_t bytes[WASI_ADDRESS_BYTES];
    if (!call->memory || !wasm_memory_read(call->memory, wasm_addr_of(at), bytes, sizeof bytes)) {
        return WASI_FAULT;
    }
    *out = (struct libos_address){.port = wasi_u16(bytes + 2)};
    uint32_t family = wasi_u16(bytes);
    if (family == WASI_AF_INET) {
        out->family = LIBOS_INET;
        __builtin_memcpy(out->ip, bytes + 8, 4);
        return WASI_SUCCESS;
    }
    out->family = LIBOS_INET6;
    out->scope = wasi_u32(bytes + 4);
    __builtin_memcpy(out->ip, bytes + 8, 16);
    return family == WASI_AF_INET6 ? WASI_SUCCESS : WASI_AFNOSUPPORT;
}

static void put_address(uint8_t *at, const struct libos_address *address)
{
    wasi_put_u16(at, address->family == LIBOS_INET ? WASI_AF_INET : WASI_AF_INET6);
    wasi_put_u16(at + 2, address->port);
    wasi_put_u32(at + 4, address->scope);
    __builtin_memcpy(at + 8, address->ip, 16);
}

int wasi_net_connect(struct wasi_call *call, const union wasm_value *args)
{
    const struct wasi_net *net = &call->wasi->net;
    struct libos_fd *fd;
    struct libos_address to;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_WRITE, &fd);
    if (rc == WASI_SUCCESS) {
        rc = take_address(call, args[1].i32, &to);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    if (!fd->file->ops->socket) {
        return WASI_NOTSOCK;
    }
    if (!is_client(fd->file)) {
        return WASI_ISCONN; /* accepted, or a standard stream */
    }
    struct libos_address plain = libos_address_plain(&to);
    if (!net->allow || !net->allow(net->self, &plain, fd->file->kind == LIBOS_KIND_SOCKET_DGRAM)) {
        return WASI_ACCES;
    }
    return libos_connect(fd->file, &to);
}

static int socket_name(struct wasi_call *call, const union wasm_value *args, bool peer)
{
    struct libos_fd *fd;
    struct libos_address address;
    uint8_t *out;
    int rc = wasi_fd(call, args[0].i32, 0, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[1].i32, WASI_ADDRESS_BYTES, &out);
    }
    if (rc == WASI_SUCCESS) {
        rc = libos_socket_name(fd->file, peer, &address);
    }
    if (rc == WASI_SUCCESS) {
        put_address(out, &address);
    }
    return rc;
}

int wasi_net_getsockname(struct wasi_call *call, const union wasm_value *args)
{
    return socket_name(call, args, false);
}

int wasi_net_getpeername(struct wasi_call *call, const union wasm_value *args)
{
    return socket_name(call, args, true);
}

int wasi_net_getsockopt(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *out;
    uint64_t value;
    int rc = wasi_fd(call, args[0].i32, 0, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[2].i32, 8, &out);
    }
    if (rc == WASI_SUCCESS) {
        rc = libos_get_option(fd->file, args[1].i32, &value);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    if (args[1].i32 == LIBOS_SO_ERROR) {
        /* In the program's own numbers. */
        value = value ? wasi_errno_of((int)value) : 0;
    }
    wasi_put_u64(out, value);
    return WASI_SUCCESS;
}

int wasi_net_setsockopt(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_WRITE, &fd);
    return rc != WASI_SUCCESS ? rc : libos_set_option(fd->file, args[1].i32, args[2].i64);
}

static int64_t resolve(const struct wasi_net *net, const char *name, struct libos_address *out,
                       size_t most)
{
    struct libos_address literal;
    if (libos_address_parse(wm_view_str(name), &literal)) {
        if (most > 0) {
            out[0] = literal;
        }
        return most > 0;
    }
    return net->resolve ? net->resolve(net->self, name, out, most) : -LIBOS_EACCES;
}

int wasi_net_resolve(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_address found[WASI_ADDRESSES_MAX];
    uint32_t most = args[3].i32;
    uint8_t *array, *count;
    most = most < WASI_ADDRESSES_MAX ? most : WASI_ADDRESSES_MAX;
    if (args[1].i32 == 0 || args[1].i32 > NAME_BYTES_MAX) {
        return args[1].i32 == 0 ? WASI_INVAL : WASI_NAMETOOLONG;
    }
    int rc = wasi_take_path(call, args[0].i32, args[1].i32, 0);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[2].i32, most * WASI_ADDRESS_BYTES, &array);
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[4].i32, 4, &count);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    int64_t got = resolve(&call->wasi->net, call->wasi->scratch->path[0], found, most);
    if (got < 0) {
        return (int)got;
    }
    for (uint32_t i = 0; i < got && i < most; i++) {
        put_address(array + i * WASI_ADDRESS_BYTES, &found[i]);
    }
    wasi_put_u32(count, (uint32_t)got < most ? (uint32_t)got : most);
    return WASI_SUCCESS;
}
