/*
 * moment.h -- places in the code at which a test may end the process.
 *
 * Each stands beside a step after which the disk holds something else, or is
 * about to.  Nothing happens there unless the hook is set, before there are
 * threads: by a test in its own process, or by akind when its environment names
 * a moment (server/moments.h).
 *
 * They are in every build: what is tested is what is shipped, and a moment costs
 * the look at one pointer beside a transaction or a rename; none is on the way
 * of a search.  tests/e2e/moments.t ends a daemon at each of this list, and
 * extractors.t, promote.t and finetune.t at those of extractors and fine-tunings,
 * so a name that is passed by nobody is found out.
 */
#ifndef AK_CORE_BASE_MOMENT_H
#define AK_CORE_BASE_MOMENT_H

#include <stddef.h>

/* The constant, and the name; "written" is in a transaction that is not
   committed yet. */
#define AK_MOMENTS(X)                                      \
    X(AK_AT_COMMIT, "commit begun")                        \
    X(AK_AT_COMMITTED, "commit done")                      \
    X(AK_AT_LOG_COPY, "log copy begun")                    \
    X(AK_AT_LOG_COPIED, "log copied")                      \
    X(AK_AT_CHECKPOINT, "checkpoint written")              \
    X(AK_AT_CHECKPOINTED, "checkpoint committed")          \
    X(AK_AT_VERSION, "version written")                    \
    X(AK_AT_VERSIONED, "version committed")                \
    X(AK_AT_CODES, "codes written")                        \
    X(AK_AT_FLIP, "flip written")                          \
    X(AK_AT_FLIPPED, "flip committed")                     \
    X(AK_AT_SERVED, "flip served")                         \
    X(AK_AT_ROLLBACK, "rollback written")                  \
    X(AK_AT_ROLLED_BACK, "rollback served")                \
    X(AK_AT_GENERATION, "generation begun")                \
    X(AK_AT_GENERATION_SAVE, "generation saved")           \
    X(AK_AT_INSTALL, "install written")                    \
    X(AK_AT_INSTALLED, "install committed")                \
    X(AK_AT_TAKEN_OVER, "install learnt")                  \
    X(AK_AT_ERASE, "erasure written")                      \
    X(AK_AT_ERASED, "erasure committed")                   \
    X(AK_AT_ERASED_LOG, "erasure out of the log")          \
    X(AK_AT_FILE_RESERVED, "collection reserved")          \
    X(AK_AT_FILE_MADE, "collection made")                  \
    X(AK_AT_FILE_NAMED, "collection named")                \
    X(AK_AT_FILE_UNNAMED, "collection unnamed")            \
    X(AK_AT_FILE_REMOVED, "collection removed")            \
    X(AK_AT_UPGRADE, "upgrade written")                    \
    X(AK_AT_UPGRADED, "upgrade committed")                 \
    X(AK_AT_CATALOG_OPEN, "catalog opened")                \
    X(AK_AT_LOADED, "collection loaded")                   \
    X(AK_AT_JOB_SAVE, "job written")                       \
    X(AK_AT_JOB_SAVED, "job saved")                        \
    X(AK_AT_JOB_END, "job end written")                    \
    X(AK_AT_JOB_ENDED, "job end saved")                    \
    X(AK_AT_SNAPSHOT_BEGUN, "snapshot begun")              \
    X(AK_AT_SNAPSHOT_COPIED, "snapshot pages copied")      \
    X(AK_AT_SNAPSHOT_WRITTEN, "snapshot manifest written") \
    X(AK_AT_SNAPSHOT_RENAMED, "snapshot renamed")          \
    X(AK_AT_SNAPSHOT_HIDDEN, "snapshot hidden")            \
    X(AK_AT_SNAPSHOT_REMOVED, "snapshot removed")          \
    X(AK_AT_RESTORE_RESERVED, "restore reserved")          \
    X(AK_AT_RESTORE_COPIED, "restore bytes copied")        \
    X(AK_AT_RESTORE_LOADED, "restore loaded")              \
    X(AK_AT_RESTORE_NAMED, "restore named")                \
    X(AK_AT_RESTORE_OVER, "restore over")                  \
    X(AK_AT_FINETUNE, "fine-tuning written")               \
    X(AK_AT_FINETUNED, "fine-tuning committed")            \
    X(AK_AT_FINETUNE_JOB, "fine-tuning accepted")          \
    X(AK_AT_EXTRACTOR_FILE, "extractor renamed")           \
    X(AK_AT_EXTRACTOR, "extractor added")                  \
    X(AK_AT_EXTRACTOR_GONE, "extractor removed")           \
    X(AK_AT_EXTRACTOR_RESTORED, "extractor restored")      \
    X(AK_AT_EXTRACTOR_VECTORS, "extractor vectors written")

#define AK_MOMENT_CONSTANT(constant, name) constant,
enum ak_moment_at { AK_MOMENTS(AK_MOMENT_CONSTANT) AK_N_MOMENTS };
#undef AK_MOMENT_CONSTANT

extern const char *const ak_moment_names[AK_N_MOMENTS];

extern void (*ak_moment_hook)(enum ak_moment_at at);

static inline void ak_moment(enum ak_moment_at at)
{
    if (ak_moment_hook != NULL)
        ak_moment_hook(at);
}

#endif
