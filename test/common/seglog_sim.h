/* seglog_sim.h: a disk (store/seglog_disk.h) in memory, as bad as a disk may be.
 *
 * What was written and not synced is in a cache. A crash keeps of each dirty sector of 512 bytes
 * the old content or a cached one, by chance; a file that was made and not renamed yet may be gone,
 * and a size that was changed may be either. Before a crash, too, sectors go to the disk by
 * themselves now and then. A sync that fails writes some sectors and then takes all of them for
 * clean, as Linux does: they can be read, and are lost with the crash.
 *
 * Each operation counts. The n-th one can be made to fail, with any code, or to be the one at which
 * the power goes: it is done in part, by chance, and all that follow fail until sim_crash. The disk
 * can be full. Everything follows from the seed. */
#ifndef WM_TEST_COMMON_SEGLOG_SIM_H
#define WM_TEST_COMMON_SEGLOG_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "store/seglog_disk.h"

struct sim;

/* Allocation failures end the program. */
struct sim *sim_new(uint64_t seed, struct seglog_disk *disk);
void sim_free(struct sim *sim);

/* The n-th operation from now on (1: the next) returns `code`; 0: none. */
void sim_fail(struct sim *sim, uint64_t n, int code);
/* At the n-th operation from now on the power goes. */
void sim_power_off_at(struct sim *sim, uint64_t n);
bool sim_is_off(const struct sim *sim);
bool sim_failed(const struct sim *sim); /* the power went, or the failure has been */
/* How many operations there were. */
uint64_t sim_operations(const struct sim *sim);
/* All files together may take so many bytes; 0: any number. */
void sim_room(struct sim *sim, uint64_t bytes);

/* What was not synced is lost, or not; files are closed; power is on again. */
void sim_crash(struct sim *sim);

/* A file's present bytes, until it changes; NULL ptr: there is none. */
struct wm_view sim_file(const struct sim *sim, const char *name);
/* The n-th file in the order of names; NULL: there are not as many. */
const char *sim_name(const struct sim *sim, unsigned n);
/* Changes bytes on the disk and in the cache, behind everybody's back. */
void sim_put(struct sim *sim, const char *name, uint64_t offset, struct wm_view bytes);
void sim_flip(struct sim *sim, const char *name, uint64_t offset, uint8_t bits);
void sim_remove(struct sim *sim, const char *name);

/* The generator, for the tests' own chances (splitmix64). */
uint64_t sim_random(uint64_t *state);

#endif
