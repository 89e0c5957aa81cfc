/* native.c: the same network in a process of its own, to compare results with, and as a peer to
 * measure: a container for each user.
 *
 *     native                 an image from standard input; the answer to standard output
 *     native serve SOCKET    answers images that come over a unix socket: u32 length and image,
 * answered by u32 length and text; until it is killed
 *
 * Build: cc -O3 -ffp-contract=off -static native.c -o native */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cnn.h"

static struct cnn cnn;
static struct cnn_scratch scratch;
static uint8_t pixels[CNN_IMAGE_BYTES_MAX];

static int answer(uint32_t bytes, char text[32])
{
    float scores[CNN_CLASSES];
    int best = cnn_classify(&cnn, pixels, bytes, &scratch, scores);
    return best < 0 ? snprintf(text, 32, "not an image\n")
                    : snprintf(text, 32, "%d %.6f\n", best, (double)scores[best]);
}

static int read_all(int fd, void *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = read(fd, (char *)out + at, len - at);
        if (got <= 0) {
            return -1;
        }
        at += (size_t)got;
    }
    return 0;
}

static int serve(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 16) != 0) {
        perror("native: serve");
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        uint32_t bytes;
        char reply[36];
        while (fd >= 0 && read_all(fd, &bytes, 4) == 0 && bytes <= sizeof pixels &&
               read_all(fd, pixels, bytes) == 0) {
            uint32_t len = (uint32_t)answer(bytes, reply + 4);
            memcpy(reply, &len, 4);
            if (write(fd, reply, 4 + len) != (ssize_t)(4 + len)) {
                break;
            }
        }
        close(fd);
    }
}

int main(int argc, char **argv)
{
    cnn_init(&cnn);
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        return serve(argv[2]);
    }
    char text[32];
    uint32_t bytes = (uint32_t)fread(pixels, 1, sizeof pixels, stdin);
    int len = answer(bytes, text);
    return fwrite(text, 1, (size_t)len, stdout) == (size_t)len ? 0 : 1;
}
