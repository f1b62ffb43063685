/*
 * panel.h -- the labelled rows that arriving rows are ranked against.
 *
 * A uniform sample of the labelled rows that were offered and are still there,
 * at most AK_PANEL_ROWS of them.  Which rows are in it follows from their
 * ordinals and the seed alone, so it is the same however the stream was cut and
 * replayed.  Rows stand in *slots*, 0..n - 1 without a gap; what belongs to a
 * slot beside the row (codes, mapped vectors) is kept by the caller, who is
 * told what moves.
 */
#ifndef AK_SERVER_PANEL_H
#define AK_SERVER_PANEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "server/quality_report.h"

#define AK_PANEL_ROWS 4096

struct ak_panel_row {
    uint64_t ordinal;
    uint64_t draw;    /* of the ordinal: the least of all rows are kept */
    uint32_t *labels; /* owned */
    uint32_t n_labels;
    uint32_t print; /* checksum of the vector, to know a duplicate */
};

struct ak_panel {
    uint64_t seed;
    uint64_t bound; /* rows with a draw from here on are not taken */
    uint32_t n;
    struct ak_panel_row rows[AK_PANEL_ROWS];
    uint16_t order[AK_PANEL_ROWS]; /* slots by draw upwards */
};

void ak_panel_init(struct ak_panel *p, uint64_t seed);
void ak_panel_clear(struct ak_panel *p);

/*
 * Offer a row.  *slot is where it stands now, or AK_PANEL_ROWS when it was
 * not taken.  AK_ENOMEM: nothing changed.
 */
enum ak_status ak_panel_offer(struct ak_panel *p, uint64_t ordinal,
                              uint32_t print, const uint32_t *labels,
                              size_t n_labels, uint32_t *slot,
                              struct ak_err *err) AK_MUST_CHECK;

/* Slot of a row, or AK_PANEL_ROWS. */
uint32_t ak_panel_find(const struct ak_panel *p, uint64_t ordinal);

/* Take the row of a slot out.  The last slot's row stands in it now: the caller
   moves what belongs to slot p->n (after the call) to `slot`. */
void ak_panel_remove(struct ak_panel *p, uint32_t slot);

/* Other labels of a row, at least one. */
enum ak_status ak_panel_relabel(struct ak_panel *p, uint32_t slot,
                                const uint32_t *labels, size_t n_labels,
                                struct ak_err *err) AK_MUST_CHECK;

bool ak_panel_has(const struct ak_panel *p, uint32_t print);

/* Draws that are too great are not taken: a cheap look before an offer. */
bool ak_panel_takes(const struct ak_panel *p, uint64_t ordinal);

/* ----------------------------------------------------------------- ranking */

/*
 * Codes of the slots, laid out in the order of the draws as core/code/hamming.h
 * wants them.
 */
struct ak_panel_codes {
    uint64_t *words; /* of AK_PANEL_ROWS codes; owned */
    uint32_t bits;
    uint32_t bound; /* a guess of how far the ranks that count reach */
};
enum ak_status ak_panel_codes_init(struct ak_panel_codes *codes, uint32_t bits,
                                   struct ak_err *err) AK_MUST_CHECK;
void ak_panel_codes_clear(struct ak_panel_codes *codes);
/* From (n, bits / 8) bytes in the order of the slots. */
void ak_panel_codes_put(struct ak_panel_codes *codes, const struct ak_panel *p,
                        const uint8_t *bytes);

/*
 * AP@depth and the precisions of a query; false when no row shares a label with
 * it.  `except` is a slot that is passed over (AK_PANEL_ROWS: none).
 *
 * AP@R is the mean of the precisions at those of the first R ranks that have a
 * relevant row, 0 when none has.  Rows at one distance stand in the order of
 * their draws, which is a random one: codes that are all alike get what chance
 * gets, whatever the order of arrival.
 */
bool ak_panel_rank(const struct ak_panel *p, struct ak_panel_codes *codes,
                   const uint8_t *query, const uint32_t *labels,
                   size_t n_labels, uint32_t depth, uint32_t except,
                   struct ak_score *out);

/* ------------------------------------------------------------------- state */

void ak_panel_save(const struct ak_panel *p, struct ak_writer *w);
/* Into one that is empty; what is wrong is in in->status. */
void ak_panel_load(struct ak_panel *p, struct ak_reader *in);

#endif
