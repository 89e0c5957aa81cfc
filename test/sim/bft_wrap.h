/* bft_wrap.h: what the simulator puts between the code under test and two things below it, at link
 * time (ld --wrap).
 *
 * Memory: base/alloc.h's blocks are counted, so that what a core holds is known after each step.
 *
 * Signatures are real, but each is made and checked once in the life of the program: what was
 * signed or found valid before is remembered by key, bytes and signature. A statement of a replica
 * is checked by all the others, and a seed may be run many times. */
#ifndef WM_TEST_SIM_BFT_WRAP_H
#define WM_TEST_SIM_BFT_WRAP_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of all blocks that wm_alloc and its like gave out and did not get back. */
int64_t wrap_held_bytes(void);
/* How often a signature was really made, really checked, and remembered. */
struct wrap_counts {
    uint64_t signed_, checked, remembered;
};
void wrap_counts(struct wrap_counts *out);

#endif
