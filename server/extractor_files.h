/*
 * extractor_files.h -- DIR/extractors: model files by checksum.
 *
 *     DIR/extractors/3f9a...e1.akx    complete and synced
 *     DIR/extractors/.7.new           on its way; removed at the next start
 *
 * No state: the folder is all.  Texts never have a path in them.
 */
#ifndef AK_SERVER_EXTRACTOR_FILES_H
#define AK_SERVER_EXTRACTOR_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/digest.h"
#include "core/base/err.h"

/* Make the folder if need be, and remove what is on its way.  AK_EIO. */
enum ak_status ak_extractor_files_open(const char *data_dir,
                                       struct ak_err *err) AK_MUST_CHECK;
/* Remove the complete files that `known` does not know. */
typedef bool ak_extractor_known_fn(void *arg, const uint8_t sha256[32]);
void ak_extractor_files_sweep(const char *data_dir,
                              ak_extractor_known_fn *known, void *arg);

/* Paths, false when they do not fit. */
bool ak_extractor_file_path(const char *data_dir, const uint8_t sha256[32],
                            char *path, size_t cap);
bool ak_extractor_file_new(const char *data_dir, uint64_t number, char *path,
                           size_t cap);

/* All of a file, to be freed with free(), and its checksum.  AK_ENOTFOUND: it
   is not there; AK_ELIMIT: longer than `max`; AK_EIO, AK_ENOMEM. */
enum ak_status ak_extractor_file_read(const char *path, uint64_t max,
                                      void **bytes, size_t *len,
                                      uint8_t sha256[32],
                                      struct ak_err *err) AK_MUST_CHECK;
/* Its bytes are on the disk.  AK_EIO. */
enum ak_status ak_extractor_file_sync(const char *path,
                                      struct ak_err *err) AK_MUST_CHECK;
/* A new file of these bytes, synced.  AK_EIO, AK_EFULL; then there is none. */
enum ak_status ak_extractor_file_write(const char *path, const void *bytes,
                                       size_t len,
                                       struct ak_err *err) AK_MUST_CHECK;
/* Give a synced file its name, which is on the disk then. */
enum ak_status ak_extractor_file_keep(const char *data_dir, const char *path,
                                      const uint8_t sha256[32],
                                      struct ak_err *err) AK_MUST_CHECK;

#endif
