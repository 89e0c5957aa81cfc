/* The normal case, a lost primary, restarts, a lost disk, catching up: with four replicas whose
 * messages are carried by hand. */
#include "bft/bft.h"

#include "base/test.h"
#include "bft/test_agreement.h"

static uint64_t index_of(struct agreement *all, uint32_t r)
{
    struct bft_status status;
    bft_status(agreement_bft(all, r), &status);
    return status.next_index;
}

static uint64_t committed_of(struct agreement *all, uint32_t r)
{
    struct bft_status status;
    bft_status(agreement_bft(all, r), &status);
    return status.committed_seqno;
}

static uint64_t view_of(struct agreement *all, uint32_t r)
{
    struct bft_status status;
    bft_status(agreement_bft(all, r), &status);
    return status.view;
}

TEST(batches_commit)
{
    for (uint32_t pipeline = 1; pipeline <= 8; pipeline *= 2) {
        struct agreement *all = agreement_new(pipeline);
        agreement_submit(all, 100);
        agreement_run(all, 200);
        for (uint32_t r = 0; r < AGREEMENT_REPLICAS; r++) {
            CHECK_INT(index_of(all, r), ==, 101);
            CHECK_INT(view_of(all, r), ==, 0);
            CHECK(committed_of(all, r) >= 10 + pipeline);
            CHECK(agreement_replies(all, r) > 0);
        }
        uint64_t before = committed_of(all, 0);
        agreement_run(all, 1000); /* an idle ledger rests */
        CHECK_INT(committed_of(all, 0), ==, before);
        CHECK(agreement_holds(all, AGREEMENT_REPLICAS));
        agreement_free(all);
    }
}

TEST(a_dead_primary_is_left)
{
    struct agreement *all = agreement_new(2);
    agreement_submit(all, 20);
    agreement_run(all, 3);
    agreement_close(all, 0, false);
    agreement_submit(all, 20);
    agreement_run(all, 2000);
    for (uint32_t r = 1; r < AGREEMENT_REPLICAS; r++) {
        CHECK_INT(index_of(all, r), ==, 41);
        CHECK(view_of(all, r) >= 1);
    }
    CHECK(agreement_holds(all, AGREEMENT_REPLICAS));
    agreement_open(all, 0);
    agreement_run(all, 2000);
    CHECK_INT(index_of(all, 0), ==, 41);
    CHECK_INT(committed_of(all, 0), ==, committed_of(all, 1));
    CHECK(agreement_holds(all, AGREEMENT_REPLICAS));
    agreement_submit(all, 5);
    agreement_run(all, 500);
    CHECK_INT(index_of(all, 0), ==, 46);
    agreement_free(all);
}

TEST(all_restart)
{
    struct agreement *all = agreement_new(4);
    agreement_submit(all, 50);
    agreement_run(all, 4);
    for (uint32_t r = 0; r < AGREEMENT_REPLICAS; r++) {
        agreement_close(all, r, false);
    }
    for (uint32_t r = 0; r < AGREEMENT_REPLICAS; r++) {
        agreement_open(all, r);
    }
    agreement_run(all, 1000);
    agreement_submit(all, 50);
    agreement_run(all, 2000);
    for (uint32_t r = 0; r < AGREEMENT_REPLICAS; r++) {
        CHECK(index_of(all, r) >= 51);
        CHECK_INT(index_of(all, r), ==, index_of(all, 0));
    }
    CHECK(agreement_holds(all, AGREEMENT_REPLICAS));
    agreement_free(all);
}

TEST(a_lost_disk_is_silent)
{
    struct agreement *all = agreement_new(2);
    agreement_submit(all, 20);
    agreement_run(all, 100);
    agreement_close(all, 2, true);
    agreement_open(all, 2);
    agreement_run(all, 500);
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(bft_halted(agreement_bft(all, 2), &diag), ==, WM_E_STALE);
    agreement_free(all);
}

TEST_MAIN(TEST_CASE(batches_commit), TEST_CASE(a_dead_primary_is_left), TEST_CASE(all_restart),
          TEST_CASE(a_lost_disk_is_silent))
