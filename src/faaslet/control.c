/* control.c: packing and unpacking messages, and moving them with descriptors. */
#include "faaslet/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"

struct writer {
    uint8_t *at;
    size_t left;
    bool over;
};

static void put(struct writer *writer, const void *bytes, size_t len)
{
    if (len > writer->left) {
        writer->over = true;
        return;
    }
    if (len != 0) {
        memcpy(writer->at, bytes, len);
    }
    writer->at += len;
    writer->left -= len;
}

static void put_u32(struct writer *writer, uint32_t value)
{
    put(writer, &value, sizeof value);
}

static void put_u64(struct writer *writer, uint64_t value)
{
    put(writer, &value, sizeof value);
}

static void put_view(struct writer *writer, struct wm_view view)
{
    put_u32(writer, (uint32_t)view.len);
    put(writer, view.ptr, view.len);
}

static void put_strings(struct writer *writer, const struct control_strings *strings)
{
    put_u32(writer, strings->count);
    for (uint32_t i = 0; i < strings->count; i++) {
        put_view(writer, strings->items[i]);
    }
}

static void put_limits(struct writer *writer, const struct call_limits *limits)
{
    put_u64(writer, limits->memory_bytes);
    put_u64(writer, limits->output_bytes);
    put_u64(writer, limits->files_bytes);
    put_u32(writer, limits->timeout_ms);
    put_u32(writer, limits->cpu_ms);
    put_u32(writer, limits->depth);
    put_u32(writer, limits->chained);
}

int64_t control_encode(const struct control_message *message, uint8_t *out)
{
    struct writer writer = {out, CONTROL_BYTES_MAX, false};
    WM_ASSERT(message->kind > 0 && message->kind < CONTROL_KINDS &&
              message->args.count <= CONTROL_STRINGS_MAX &&
              message->env.count <= CONTROL_STRINGS_MAX &&
              message->secrets.count <= CONTROL_STRINGS_MAX);
    put(&writer, &message->kind, sizeof message->kind);
    put_u32(&writer, message->version);
    put_u32(&writer, message->handle);
    put_u32(&writer, message->executors);
    put_u32(&writer, message->ready);
    put_u32(&writer, message->slots);
    put_u32(&writer, message->flags);
    put_u64(&writer, message->call_prefix);
    put_u32(&writer, message->function_kind);
    put_u32(&writer, message->function_version);
    put_u32(&writer, (uint32_t)message->code);
    put_u64(&writer, message->call_id);
    put_limits(&writer, &message->limits);
    put_view(&writer, message->tenant);
    put_view(&writer, message->name);
    put_view(&writer, message->text);
    put_strings(&writer, &message->args);
    put_strings(&writer, &message->env);
    put_strings(&writer, &message->secrets);
    return writer.over ? WM_E_LIMIT : writer.at - out;
}

static bool get_view(struct wm_cursor *cursor, struct wm_view *out)
{
    uint32_t len;
    return wm_cursor_u32(cursor, &len) && wm_cursor_bytes(cursor, len, out);
}

static bool get_strings(struct wm_cursor *cursor, struct control_strings *out)
{
    if (!wm_cursor_u32(cursor, &out->count) || out->count > CONTROL_STRINGS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        if (!get_view(cursor, &out->items[i])) {
            return false;
        }
    }
    return true;
}

static bool get_limits(struct wm_cursor *cursor, struct call_limits *out)
{
    return wm_cursor_u64(cursor, &out->memory_bytes) && wm_cursor_u64(cursor, &out->output_bytes) &&
           wm_cursor_u64(cursor, &out->files_bytes) && wm_cursor_u32(cursor, &out->timeout_ms) &&
           wm_cursor_u32(cursor, &out->cpu_ms) && wm_cursor_u32(cursor, &out->depth) &&
           wm_cursor_u32(cursor, &out->chained);
}

int control_decode(struct wm_view packet, struct control_message *out, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(packet);
    uint8_t low, high;
    uint32_t code;
    memset(out, 0, sizeof *out);
    if (!wm_cursor_u8(&cursor, &low) || !wm_cursor_u8(&cursor, &high) ||
        !wm_cursor_u32(&cursor, &out->version) || !wm_cursor_u32(&cursor, &out->handle) ||
        !wm_cursor_u32(&cursor, &out->executors) || !wm_cursor_u32(&cursor, &out->ready) ||
        !wm_cursor_u32(&cursor, &out->slots) || !wm_cursor_u32(&cursor, &out->flags) ||
        !wm_cursor_u64(&cursor, &out->call_prefix) ||
        !wm_cursor_u32(&cursor, &out->function_kind) ||
        !wm_cursor_u32(&cursor, &out->function_version) || !wm_cursor_u32(&cursor, &code) ||
        !wm_cursor_u64(&cursor, &out->call_id) || !get_limits(&cursor, &out->limits) ||
        !get_view(&cursor, &out->tenant) || !get_view(&cursor, &out->name) ||
        !get_view(&cursor, &out->text) || !get_strings(&cursor, &out->args) ||
        !get_strings(&cursor, &out->env) || !get_strings(&cursor, &out->secrets)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "control message: cut at byte %zu",
                           wm_cursor_offset(&cursor));
    }
    out->kind = (uint16_t)(low | high << 8);
    out->code = (int32_t)code;
    if (!wm_cursor_done(&cursor) || out->kind == 0 || out->kind >= CONTROL_KINDS ||
        out->function_kind >= FUNCTION_KINDS) {
        return wm_diag_set(diag, WM_E_MALFORMED, "control message: of unknown kind %u", out->kind);
    }
    return 0;
}

union fd_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * CONTROL_FDS_MAX)];
};

int control_send(int socket, const struct control_message *message, const int *fds,
                 uint32_t fd_count, bool wait)
{
    uint8_t packet[CONTROL_BYTES_MAX];
    int64_t len = control_encode(message, packet);
    return len < 0
               ? (int)len
               : control_send_packet(socket, wm_view_of(packet, (size_t)len), fds, fd_count, wait);
}

int control_send_packet(int socket, struct wm_view packet, const int *fds, uint32_t fd_count,
                        bool wait)
{
    WM_ASSERT(fd_count <= CONTROL_FDS_MAX);
    struct iovec part = {(void *)(uintptr_t)packet.ptr, packet.len};
    union fd_room room;
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count != 0) {
        header.msg_control = room.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(control), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        if (sendmsg(socket, &header, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) >= 0) {
            return 0;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

int control_receive(int socket, uint8_t *buffer, struct control_message *out,
                    int fds[CONTROL_FDS_MAX], uint32_t *fd_count, struct wm_diag *diag)
{
    struct iovec part = {buffer, CONTROL_BYTES_MAX};
    union fd_room room;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = room.bytes,
                            .msg_controllen = sizeof room.bytes};
    ssize_t len;
    *fd_count = 0;
    do {
        len = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    } while (len < 0 && errno == EINTR);
    if (len <= 0) {
        return len < 0 ? -errno : 0;
    }
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&header); control;
         control = CMSG_NXTHDR(&header, control)) {
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS) {
            uint32_t count = (uint32_t)((control->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            count = count < CONTROL_FDS_MAX - *fd_count ? count : CONTROL_FDS_MAX - *fd_count;
            memcpy(fds + *fd_count, CMSG_DATA(control), count * sizeof(int));
            *fd_count += count;
        }
    }
    int rc = header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)
                 ? wm_diag_set(diag, WM_E_MALFORMED, "control message: longer than any of ours")
                 : control_decode(wm_view_of(buffer, (size_t)len), out, diag);
    if (rc != 0) {
        while (*fd_count > 0) {
            close(fds[--*fd_count]);
        }
        return rc;
    }
    return 1;
}
