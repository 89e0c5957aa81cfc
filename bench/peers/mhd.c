/* mhd.c: the least that answers a POST by libmicrohttpd: the peer of faaslet.http_vs_mhd.
 *
 *     mhd PORT      one thread, epoll; reads the body and sends it back
 *
 * What a server on that library costs that does nothing: no tokens, no functions, no records. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
    size_t len;
    char body[1024];
};

static enum MHD_Result answer(void *self, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_len, void **context)
{
    struct request *request = *context;
    (void)self, (void)url, (void)method, (void)version;
    if (!request) {
        *context = calloc(1, sizeof *request);
        return *context ? MHD_YES : MHD_NO;
    }
    if (*data_len != 0) {
        size_t room = sizeof request->body - request->len;
        size_t len = *data_len < room ? *data_len : room;
        memcpy(request->body + request->len, data, len);
        request->len += len;
        *data_len = 0;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(request->len, request->body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static void completed(void *self, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode code)
{
    (void)self, (void)connection, (void)code;
    free(*context);
    *context = NULL;
}

int main(int argc, char **argv)
{
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, (uint16_t)(argc > 1 ? atoi(argv[1]) : 8080),
                         NULL, NULL, answer, NULL, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                         MHD_OPTION_CONNECTION_LIMIT, 1000u, MHD_OPTION_END);
    if (!daemon) {
        fputs("mhd: cannot listen\n", stderr);
        return 1;
    }
    pause();
    return 0;
}
