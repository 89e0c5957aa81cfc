/* Sockets of preview 1: connections to listeners that were opened for the program. */
#include "wasi/call.h"

int wasi_sock_accept(struct wasi_call *call, const union wasm_value *args)
{
    struct wasi *wasi = call->wasi;
    struct libos_fd *listener;
    uint8_t *out;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_SOCK_ACCEPT, &listener);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[2].i32, 4, &out);
    }
    if (rc == WASI_SUCCESS && (args[1].i32 & ~WASI_FDFLAG_NONBLOCK)) {
        rc = WASI_INVAL;
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    if (wasi->fds.open_count >= wasi->fds.limit) {
        return WASI_MFILE;
    }
    struct libos_fd fd = {0};
    uint64_t inheriting = listener->words[1];
    rc = libos_accept(listener->file, wasi_status_flags(args[1].i32), &fd.file);
    if (rc != 0) {
        return rc;
    }
    wasi_rights_of(fd.file, &fd.words[0], &fd.words[1]);
    fd.words[0] &= inheriting;
    fd.words[1] &= inheriting;
    int64_t number = libos_fds_insert(&wasi->fds, &fd);
    if (number < 0) {
        libos_file_put(fd.file);
        return (int)number;
    }
    wasi_put_u32(out, (uint32_t)number);
    return WASI_SUCCESS;
}

int wasi_sock_recv(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *done, *flags_out;
    bool truncated;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_READ, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_take_iov(call, args[1].i32, args[2].i32, WASI_INTO_GUEST);
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[4].i32, 4, &done);
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[5].i32, 2, &flags_out);
    }
    if (rc == WASI_SUCCESS && (args[3].i32 & ~(WASI_RI_RECV_PEEK | WASI_RI_RECV_WAITALL))) {
        rc = WASI_INVAL;
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    uint32_t flags = args[3].i32 & WASI_RI_RECV_PEEK ? LIBOS_RECV_PEEK : 0;
    flags |= args[3].i32 & WASI_RI_RECV_WAITALL ? LIBOS_RECV_ALL : 0;
    int64_t got = libos_recv(fd->file, call->wasi->scratch->iov, args[2].i32, flags, &truncated);
    if (got < 0) {
        return (int)got;
    }
    wasi_put_u32(done, (uint32_t)got);
    wasi_put_u16(flags_out, truncated ? WASI_RO_RECV_DATA_TRUNCATED : 0);
    return WASI_SUCCESS;
}

int wasi_sock_send(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *done;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_WRITE, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_take_iov(call, args[1].i32, args[2].i32, WASI_FROM_GUEST);
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[4].i32, 4, &done);
    }
    if (rc == WASI_SUCCESS && args[3].i32 != 0) {
        rc = WASI_INVAL; /* no flag is defined */
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    int64_t sent = libos_send(fd->file, call->wasi->scratch->iov, args[2].i32);
    if (sent < 0) {
        return (int)sent;
    }
    wasi_put_u32(done, (uint32_t)sent);
    return WASI_SUCCESS;
}

int wasi_sock_shutdown(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_SOCK_SHUTDOWN, &fd);
    if (rc == WASI_SUCCESS && (args[1].i32 & ~(WASI_SD_RD | WASI_SD_WR))) {
        rc = WASI_INVAL;
    }
    return rc != WASI_SUCCESS
               ? rc
               : libos_shutdown(fd->file, args[1].i32 & WASI_SD_RD, args[1].i32 & WASI_SD_WR);
}
