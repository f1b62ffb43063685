/*
 * world.h -- an index beside a plain array of the same rows, which is changed in
 * the same way and searched by brute force.
 */
#ifndef AK_TESTS_CORE_CODE_WORLD_H
#define AK_TESTS_CORE_CODE_WORLD_H

#include "core/base/rng.h"
#include "core/code/index.h"
#include "core/code/partition.h"

#define WORLD_LABELS 5 /* at most, of a row */

struct world_row {
    uint64_t number;
    char text[24];
    uint32_t labels[WORLD_LABELS];
    size_t n_labels;
    bool dead;
    uint8_t code[AK_CODE_MAX_BITS / 8];
};

struct world {
    struct ak_rng rng;
    uint32_t bits;
    enum ak_id_kind ids;
    uint32_t n_centres; /* codes lie around as many; 0: anywhere */
    struct ak_index *ix;
    struct world_row *rows;
    size_t n, cap;
    uint64_t version;
};

void world_init(struct world *w, uint64_t seed, uint32_t bits,
                enum ak_id_kind ids, uint32_t n_centres);
void world_clear(struct world *w);

/* Each changes the index and the array alike; not visible before a commit. */
void world_append(struct world *w, size_t n);
void world_kill(struct world *w);         /* one row, if any is alive */
void world_kill_segment(struct world *w); /* all rows of a full one */
void world_relabel(struct world *w);      /* one row, if there is one */
void world_upsert(struct world *w);  /* one row is killed and appended anew */
void world_install(struct world *w); /* other codes for all rows; commits */
void world_commit(struct world *w);
/* A partition of the rows that are visible; and its build, as far as done. */
void world_partition(struct world *w);
struct ak_partition_build *world_build(struct world *w);

void world_code(struct world *w, uint8_t *code); /* like those of the rows */
uint32_t world_label(struct world *w);

/* A copy of the array, without the index, to compare with later. */
void world_copy(const struct world *w, struct world *copy);

/* Every row of the snapshot, through every function that shows one.  Of a full
   segment of dead rows only that they are dead. */
void world_check_rows(const struct world *w, const struct ak_snapshot *s);
/* A random search; every hit and number of it. */
void world_check_search(struct world *w, const struct ak_snapshot *s);
/* The rows that pass a random filter, one after another. */
void world_check_next(struct world *w, const struct ak_snapshot *s);

#endif
