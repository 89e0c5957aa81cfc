#include "node/mailbox.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/test.h"

#define THREADS 4u
#define CALLS 5000u

static uv_loop_t loop;
static struct mailbox *mailbox;
static pthread_t loop_thread;
static uint32_t ran, foreign; /* the loop's */
static uv_idle_t alive;       /* a mailbox alone does not keep the loop going */

struct question {
    struct mailbox_call call;
    uint64_t in, out;
};

static void answer(void *self)
{
    struct question *question = self;
    ran++;
    foreign += !pthread_equal(pthread_self(), loop_thread);
    question->out = question->in * 2;
    mailbox_done(&question->call);
}

struct asker {
    pthread_t thread;
    uint64_t wrong, refused, asked;
};

static void *ask(void *arg)
{
    struct asker *asker = arg;
    for (uint64_t i = 0; i < CALLS && asker->refused == 0; i++) {
        struct question question = {.in = i};
        if (!mailbox_call(mailbox, &question.call, answer, &question)) {
            asker->refused++;
        } else {
            asker->wrong += question.out != 2 * i;
            asker->asked++;
        }
    }
    return NULL;
}

static void nothing(uv_idle_t *idle)
{
    (void)idle;
}

static void open_all(void)
{
    uv_loop_init(&loop);
    uv_idle_init(&loop, &alive);
    uv_idle_start(&alive, nothing);
    loop_thread = pthread_self();
    ran = foreign = 0;
    CHECK_INT(mailbox_open(&loop, &mailbox), ==, 0);
}

static void close_loop(void)
{
    uv_close((uv_handle_t *)&alive, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), ==, 0);
}

TEST(every_question_is_answered_on_the_loop)
{
    struct asker askers[THREADS] = {0};
    open_all();
    for (uint32_t i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), ==, 0);
    }
    while (ran < THREADS * CALLS) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        CHECK_INT(askers[i].wrong + askers[i].refused, ==, 0);
    }
    CHECK_INT(foreign, ==, 0);
    mailbox_close(mailbox);
    close_loop();
}

TEST(closing_answers_what_was_posted_and_refuses_the_rest)
{
    struct asker askers[THREADS] = {0};
    uint64_t asked = 0;
    open_all();
    for (uint32_t i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), ==, 0);
    }
    while (ran < 100) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    mailbox_close(mailbox); /* nobody is left waiting; its memory stays until the loop turns */
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        CHECK_INT(askers[i].wrong, ==, 0);
        asked += askers[i].asked;
    }
    CHECK_INT(asked, ==, ran);
    close_loop();
}

static struct mailbox_letter letters[3];
static int order[3], order_count;

static void note(void *self)
{
    order[order_count++] = (int)((struct mailbox_letter *)self - letters);
}

static void *post_three(void *arg)
{
    _Atomic bool *posted = arg;
    for (int i = 0; i < 3; i++) {
        letters[i] = (struct mailbox_letter){.run = note, .self = &letters[i]};
        (void)!mailbox_post(mailbox, &letters[i]);
    }
    atomic_store(posted, true);
    return NULL;
}

TEST(letters_are_run_in_their_order_the_last_ones_by_closing)
{
    _Atomic bool posted = false;
    pthread_t thread;
    open_all();
    CHECK_INT(pthread_create(&thread, NULL, post_three, &posted), ==, 0);
    pthread_join(thread, NULL);
    CHECK_INT(order_count, ==, 0);
    mailbox_close(mailbox);
    CHECK_INT(order_count, ==, 3);
    CHECK(order[0] == 0 && order[1] == 1 && order[2] == 2);
    close_loop();
}

TEST_MAIN(TEST_CASE(every_question_is_answered_on_the_loop),
          TEST_CASE(closing_answers_what_was_posted_and_refuses_the_rest),
          TEST_CASE(letters_are_run_in_their_order_the_last_ones_by_closing))
