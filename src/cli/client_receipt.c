/* client_receipt.c: the receipt of a call: its record, and the path from there to the root that the
 * node signed (doc/format/record.md). A node signs once a second, so a receipt is there a moment
 * after the call. */
#include <stdio.h>
#include <time.h>

#include "cli/client_call.h"
#include "cli/client_http.h"

#define TRIES 50
#define PAUSE_MS 200

static int write_answer(const struct client_answer *answer, const char *path)
{
    struct client_file file;
    int status = client_file_open(&file, path, 0666);
    if (status) {
        return status;
    }
    int error = client_write_all(file.fd, answer->body, answer->len);
    if (error) {
        client_file_drop(&file);
        return cli_error(CLI_FAILED, "%s: cannot be written: error %d", path, -error);
    }
    return client_file_keep(&file);
}

int client_fetch_receipt(struct client *client, const char *call, const char *path)
{
    if (!*call) {
        return cli_error(CLI_FAILED,
                         "%s: the node did not tell the call's number, so there is no "
                         "receipt: is it of an older version?",
                         path);
    }
    struct client_url url = client_url_begin("/v1/calls");
    client_url_segment(&url, call);
    client_url_raw(&url, "/receipt");
    struct client_request request = {
        .method = "GET", .url = &url, .body = CLIENT_BODY_NONE, .what = call, .quiet = true};
    int status = 0;
    for (int i = 0; i < TRIES; i++) {
        struct client_answer answer;
        struct timespec pause = {0, PAUSE_MS * 1000 * 1000};
        status = client_send(client, &request, &answer);
        bool later = !status && (answer.status == 202 || answer.status == 404 ||
                                 answer.status == 409 || answer.status == 503);
        if (!status && answer.status == 200) {
            status = write_answer(&answer, path);
            client_answer_free(&answer);
            break;
        }
        if (!later || i == TRIES - 1) {
            status = status ? status : client_say_error(client, &request, &answer);
            client_answer_free(&answer);
            break;
        }
        client_answer_free(&answer);
        cli_progress_of(call, "waiting for its receipt", 0, 0);
        nanosleep(&pause, NULL);
    }
    cli_progress_end();
    client_url_free(&url);
    return status;
}
