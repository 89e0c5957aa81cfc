#include "faaslet/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/test.h"

static struct control_message sent, got;
static uint8_t packet[CONTROL_BYTES_MAX], buffer[CONTROL_BYTES_MAX];

static void fill(void)
{
    sent = (struct control_message){
        .kind = CONTROL_LOAD,
        .version = 1,
        .handle = 0xfffffffe,
        .executors = 3,
        .ready = 4,
        .slots = 5,
        .flags = 7,
        .call_prefix = UINT64_C(1) << 62,
        .function_kind = FUNCTION_LIBRARY,
        .function_version = 9,
        .code = -12,
        .call_id = UINT64_MAX,
        .limits = {1, 2, 3, 4, 5, 6, 7},
        .tenant = wm_view_str("tenant"),
        .name = wm_view_str("name"),
        .text = wm_view_of("a\0b", 3),
    };
    sent.args = (struct control_strings){2, {wm_view_str("x"), wm_view_str("")}};
    sent.env = (struct control_strings){1, {wm_view_str("A=b")}};
    sent.secrets.count = CONTROL_STRINGS_MAX;
}

static bool same(struct wm_view a, struct wm_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

TEST(what_is_written_is_read)
{
    fill();
    int64_t len = control_encode(&sent, packet);
    CHECK_INT(len, >, 0);
    CHECK_INT(control_decode(wm_view_of(packet, (size_t)len), &got, NULL), ==, 0);
    CHECK(got.kind == sent.kind && got.version == 1 && got.handle == sent.handle);
    CHECK(got.executors == 3 && got.ready == 4 && got.slots == 5 && got.flags == 7);
    CHECK(got.call_prefix == sent.call_prefix && got.function_kind == FUNCTION_LIBRARY);
    CHECK(got.function_version == 9 && got.code == -12 && got.call_id == UINT64_MAX);
    CHECK(memcmp(&got.limits, &sent.limits, sizeof got.limits) == 0);
    CHECK(same(got.tenant, sent.tenant) && same(got.name, sent.name) && same(got.text, sent.text));
    CHECK(got.args.count == 2 && same(got.args.items[0], sent.args.items[0]));
    CHECK(got.env.count == 1 && same(got.env.items[0], sent.env.items[0]));
    CHECK_INT(got.secrets.count, ==, CONTROL_STRINGS_MAX);
}

TEST(every_shorter_packet_is_refused)
{
    fill();
    size_t len = (size_t)control_encode(&sent, packet), taken = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t *cut = malloc(i ? i : 1); /* so that a sanitizer sees what is read beyond */
        memcpy(cut, packet, i);
        taken += control_decode(wm_view_of(cut, i), &got, NULL) == 0;
        free(cut);
    }
    CHECK_INT(taken, ==, 0);
    packet[len] = 0;
    CHECK_INT(control_decode(wm_view_of(packet, len + 1), &got, NULL), ==, WM_E_MALFORMED);
}

TEST(unknown_kinds_and_long_lists_are_refused)
{
    fill();
    size_t len = (size_t)control_encode(&sent, packet);
    packet[0] = CONTROL_KINDS;
    CHECK_INT(control_decode(wm_view_of(packet, len), &got, NULL), ==, WM_E_MALFORMED);
    packet[0] = 0;
    CHECK_INT(control_decode(wm_view_of(packet, len), &got, NULL), ==, WM_E_MALFORMED);
    sent.kind = CONTROL_LOAD;
    sent.function_kind = FUNCTION_KINDS;
    len = (size_t)control_encode(&sent, packet);
    CHECK_INT(control_decode(wm_view_of(packet, len), &got, NULL), ==, WM_E_MALFORMED);
    fill();
    len = (size_t)control_encode(&sent, packet);
    /* The last list's count lies before its empty strings. */
    uint32_t count = CONTROL_STRINGS_MAX + 1;
    memcpy(packet + len - 4 * (CONTROL_STRINGS_MAX + 1), &count, 4);
    CHECK_INT(control_decode(wm_view_of(packet, len), &got, NULL), ==, WM_E_MALFORMED);
}

TEST(what_is_too_long_is_not_sent)
{
    static char text[CONTROL_BYTES_MAX];
    fill();
    sent.text = wm_view_of(text, sizeof text);
    CHECK_INT(control_encode(&sent, packet), ==, WM_E_LIMIT);
}

static unsigned open_count(void)
{
    unsigned count = 0;
    for (int i = 0; i < 512; i++) {
        count += fcntl(i, F_GETFD) >= 0;
    }
    return count;
}

TEST(descriptors_come_along)
{
    struct wm_diag diag = WM_DIAG_INIT;
    int pair[2], fds[CONTROL_FDS_MAX], many[CONTROL_FDS_MAX];
    uint32_t count;
    CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    unsigned before = open_count();
    for (uint32_t i = 0; i < CONTROL_FDS_MAX; i++) {
        many[i] = pair[0];
    }
    fill();
    CHECK_INT(control_send(pair[0], &sent, many, CONTROL_FDS_MAX, true), ==, 0);
    CHECK_INT(control_receive(pair[1], buffer, &got, fds, &count, &diag), ==, 1);
    CHECK_INT(count, ==, CONTROL_FDS_MAX);
    CHECK_INT(open_count(), ==, before + CONTROL_FDS_MAX);
    CHECK(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    while (count > 0) {
        close(fds[--count]);
    }
    /* One that is out of form leaves none behind. */
    CHECK_INT(control_send_packet(pair[0], wm_view_str("?"), many, 5, true), ==, 0);
    CHECK_INT(control_receive(pair[1], buffer, &got, fds, &count, &diag), ==, WM_E_MALFORMED);
    CHECK_INT(count, ==, 0);
    CHECK_INT(open_count(), ==, before);
    close(pair[0]);
    CHECK_INT(control_receive(pair[1], buffer, &got, fds, &count, &diag), ==, 0);
    close(pair[1]);
}

TEST(a_full_socket_is_not_waited_for)
{
    int pair[2], rc = 0;
    CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    fill();
    for (int i = 0; i < 100000 && rc == 0; i++) {
        rc = control_send(pair[0], &sent, NULL, 0, false);
    }
    CHECK_INT(rc, ==, -EAGAIN);
    close(pair[0]);
    close(pair[1]);
}

TEST_MAIN(TEST_CASE(what_is_written_is_read), TEST_CASE(every_shorter_packet_is_refused),
          TEST_CASE(unknown_kinds_and_long_lists_are_refused),
          TEST_CASE(what_is_too_long_is_not_sent), TEST_CASE(descriptors_come_along),
          TEST_CASE(a_full_socket_is_not_waited_for))
