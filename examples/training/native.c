/* native.c: the same training without Wardmote: to compare results with, and as a peer to measure.
 *
 *     native ROWS EPOCHS SEED THREADS                      one process; threads share the weights
 *     native ROWS EPOCHS SEED PROCESSES redis HOST PORT    processes, each with its part of the
 *                                                          examples from Redis and weights of its
 * own, which it pushes and pulls
 *
 * Prints one line: the mean hinge loss, seconds of training. With Redis the examples are put there
 * first, which is not counted; loading a part from there is, as it is for functions. Lines "loaded"
 * and "trained" then tell whoever measures memory where the training is.
 *
 * Build: cc -O3 -ffp-contract=off native.c -o native -lpthread -lm [-DWITH_REDIS -lhiredis] */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_REDIS
#include <hiredis/hiredis.h>
#endif

#include "rcv1.h"

#define PUSHES 13u /* in an epoch: as often as the paper's program, every 60,000 of 781,265 */

static uint32_t rows, epochs, workers;
static uint64_t seed;
static uint32_t *outer, *inner;
static double *values, *weights;
static int8_t *labels;

static void die(const char *text)
{
    fprintf(stderr, "native: %s\n", text);
    exit(1);
}

static void *room(size_t bytes)
{
    void *at = calloc(1, bytes);
    if (!at) {
        die("out of memory");
    }
    return at;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint32_t part_start(uint32_t part)
{
    return (uint32_t)((uint64_t)rows * part / workers);
}

static void generate(void)
{
    outer = room((rows + 1) * sizeof *outer);
    for (uint32_t row = 0; row < rows; row++) {
        outer[row + 1] = outer[row] + rcv1_row_length(seed, row);
    }
    inner = room(outer[rows] * sizeof *inner);
    values = room(outer[rows] * sizeof *values);
    labels = room(rows);
    for (uint32_t row = 0; row < rows; row++) {
        labels[row] = (int8_t)rcv1_row(seed, row, inner + outer[row], values + outer[row]);
    }
}

/* A pass over [from, to); `base`: the entry that inner and values start with. */
static void pass(uint32_t from, uint32_t to, uint32_t base, uint32_t epoch, uint8_t *changed,
                 void (*push)(void))
{
    double rate = rcv1_rate(epoch);
    uint32_t every = rows / PUSHES + 1, due = every;
    for (uint32_t row = from; row < to; row++) {
        const uint32_t *features = inner + (outer[row] - base);
        const double *row_values = values + (outer[row] - base);
        uint32_t count = outer[row + 1] - outer[row];
        double label = labels[row];
        if (label * rcv1_margin(weights, features, row_values, count) < 1) {
            for (uint32_t j = 0; j < count; j++) {
                weights[features[j]] += rate * label * row_values[j];
                if (changed) {
                    changed[features[j]] = 1;
                }
            }
        }
        if (push && --due == 0) {
            due = every;
            push();
        }
    }
}

static double loss(void)
{
    double sum = 0;
    for (uint32_t row = 0; row < rows; row++) {
        sum +=
            rcv1_hinge(labels[row] * rcv1_margin(weights, inner + outer[row], values + outer[row],
                                                 outer[row + 1] - outer[row]));
    }
    return sum / rows;
}

struct worker {
    pthread_t thread;
    uint32_t number, epoch;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    pass(part_start(worker->number), part_start(worker->number + 1), 0, worker->epoch, NULL, NULL);
    return NULL;
}

static void train_threads(void)
{
    struct worker *list = room(workers * sizeof *list);
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        for (uint32_t i = 0; i < workers; i++) {
            list[i].number = i;
            list[i].epoch = epoch;
            if (pthread_create(&list[i].thread, NULL, work, &list[i]) != 0) {
                die("no thread");
            }
        }
        for (uint32_t i = 0; i < workers; i++) {
            pthread_join(list[i].thread, NULL);
        }
    }
    free(list);
}

#ifdef WITH_REDIS
static redisContext *redis;
static uint8_t *changed;

static redisReply *reply_of(void *reply)
{
    redisReply *got = reply;
    if (!got || got->type == REDIS_REPLY_ERROR) {
        die(got ? got->str : redis->errstr);
    }
    return got;
}

static void put(const char *key, const void *bytes, size_t len)
{
    freeReplyObject(reply_of(redisCommand(redis, "SET %s %b", key, bytes, len)));
}

static void get_range(const char *key, size_t offset, void *out, size_t len)
{
    redisReply *reply =
        reply_of(redisCommand(redis, "GETRANGE %s %lu %lu", key, (unsigned long)offset,
                              (unsigned long)(offset + len - 1)));
    if (reply->type != REDIS_REPLY_STRING || reply->len != len) {
        die("a value in Redis is too short");
    }
    memcpy(out, reply->str, len);
    freeReplyObject(reply);
}

/* Ranges that changed, pipelined; then what others have pushed. */
static void push_redis(void)
{
    uint32_t sent = 0;
    for (uint32_t i = 0; i < RCV1_FEATURES; i++) {
        uint32_t from = i;
        while (i < RCV1_FEATURES && changed[i]) {
            changed[i++] = 0;
        }
        if (i > from) {
            redisAppendCommand(redis, "SETRANGE weights %u %b", from * 8, weights + from,
                               (size_t)(i - from) * 8);
            sent++;
        }
    }
    while (sent-- > 0) {
        void *reply = NULL;
        redisGetReply(redis, &reply);
        freeReplyObject(reply_of(reply));
    }
    get_range("weights", 0, weights, RCV1_FEATURES * 8);
}

static void redis_open(const char *host, int port)
{
    redis = redisConnect(host, port);
    if (!redis || redis->err) {
        die(redis ? redis->errstr : "no memory for Redis");
    }
}

/* A process loads its part once and keeps it; a function has nothing of its own from the call
 * before. */
static void redis_worker(uint32_t number, const char *host, int port)
{
    uint32_t from = part_start(number), to = part_start(number + 1);
    redis_open(host, port);
    changed = room(RCV1_FEATURES);
    weights = room(RCV1_FEATURES * sizeof *weights);
    outer = room((rows + 1) * sizeof *outer);
    labels = room(rows);
    get_range("outer", from * 4, outer + from, (to - from + 1) * 4);
    size_t first = outer[from], count = outer[to] - first;
    inner = room(count * 4);
    values = room(count * 8);
    get_range("inner", first * 4, inner, count * 4);
    get_range("values", first * 8, values, count * 8);
    get_range("labels", from, labels + from, to - from);
    get_range("weights", 0, weights, RCV1_FEATURES * 8);
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        pass(from, to, (uint32_t)first, epoch, changed, push_redis);
        push_redis();
    }
}

static double train_redis(const char *host, int port)
{
    redis_open(host, port);
    put("outer", outer, (rows + 1) * 4);
    put("inner", inner, outer[rows] * (size_t)4);
    put("values", values, outer[rows] * (size_t)8);
    put("labels", labels, rows);
    put("weights", weights, RCV1_FEATURES * 8);
    redisFree(redis);
    free(inner); /* copies of it in the processes would be counted as theirs */
    free(values);
    free(outer);
    free(labels);
    puts("loaded");
    fflush(stdout);
    double start = now_s();
    for (uint32_t i = 0; i < workers; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            die("no process");
        }
        if (pid == 0) {
            redis_worker(i, host, port);
            _exit(0);
        }
    }
    for (uint32_t i = 0; i < workers; i++) {
        int status;
        if (wait(&status) < 0 || status != 0) {
            die("a process failed");
        }
    }
    double seconds = now_s() - start;
    puts("trained");
    fflush(stdout);
    redis_open(host, port);
    get_range("weights", 0, weights, RCV1_FEATURES * 8);
    redisFree(redis);
    generate();
    return seconds;
}
#endif

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 8) {
        die("usage: native ROWS EPOCHS SEED WORKERS [redis HOST PORT]");
    }
    rows = (uint32_t)strtoul(argv[1], NULL, 10);
    epochs = (uint32_t)strtoul(argv[2], NULL, 10);
    seed = strtoull(argv[3], NULL, 10);
    workers = (uint32_t)strtoul(argv[4], NULL, 10);
    if (rows == 0 || workers == 0 || workers > rows) {
        die("no rows or no workers");
    }
    weights = room(RCV1_FEATURES * sizeof *weights);
    generate();
    double seconds;
    if (argc == 8) {
#ifdef WITH_REDIS
        seconds = train_redis(argv[6], (int)strtol(argv[7], NULL, 10));
#else
        die("built without Redis");
        seconds = 0;
#endif
    } else {
        double start = now_s();
        train_threads();
        seconds = now_s() - start;
    }
    printf("%.9f %.6f\n", loss(), seconds);
    return 0;
}
