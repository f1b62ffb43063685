/*
 * backup.h -- snapshots of collections as they lie in the data directory.
 *
 *     DIR/snapshots/NAME/manifest.json    what it is, with the checksum of
 *     DIR/snapshots/NAME/collection.db    the collection's file
 *     DIR/snapshots/NAME/extractor.akx    the network that it uses, if it does
 *     DIR/snapshots/NAME/extractor-2.akx  and those of versions before it, as far
 *                                         as they are kept
 *
 * One that is being made is `.NAME.new`, one that is being removed `.NAME.gone`;
 * a rename makes it appear, or go, whole.  What a crash leaves under such names
 * is removed when the engine is opened.  In the code a snapshot on the disk is a
 * *backup*, since `struct ak_snapshot` is what a search holds.
 */
#ifndef AK_SERVER_BACKUP_H
#define AK_SERVER_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/clock.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "server/settings.h"

#define AK_BACKUP_PATH 4096
#define AK_BACKUP_FILE "collection.db"
#define AK_BACKUP_NETS 32

struct ak_backup_net {
    char name[AK_SETTINGS_NAME];
    uint32_t version; /* where the snapshot was made */
    uint64_t bytes;
    uint8_t sha256[AK_SHA256_LEN];
};

struct ak_backup {
    char name[AK_SETTINGS_NAME];
    char collection[AK_SETTINGS_NAME];
    uint64_t seq;           /* of its last record */
    uint64_t rows, items;   /* ever, and living */
    uint64_t model_version; /* published */
    uint64_t job;           /* that made it */
    char created[AK_TIME_TEXT];
    char akin[32]; /* the version that made it */
    uint64_t bytes;
    uint8_t sha256[AK_SHA256_LEN];
    struct ak_backup_net nets[AK_BACKUP_NETS];
    size_t n_nets;
    bool has_net; /* nets[0] is of its images, the others of versions before */
};

/* Makes the folder, and removes what a crash left.  AK_EIO. */
enum ak_status ak_backups_open(const char *data_dir,
                               struct ak_err *err) AK_MUST_CHECK;

/* Begin one: its folder, and in `path` where its file is to be.  AK_EEXISTS:
   there is one of this name, or it is being made. */
enum ak_status ak_backup_begin(const char *data_dir, const char *name,
                               char path[AK_BACKUP_PATH],
                               struct ak_err *err) AK_MUST_CHECK;
/* Its file is complete and synced: from here on there is a snapshot, also after
   a power loss.  AK_EEXISTS as above. */
enum ak_status ak_backup_finish(const char *data_dir,
                                const struct ak_backup *backup,
                                struct ak_err *err) AK_MUST_CHECK;
/* Remove one that was begun. */
void ak_backup_abandon(const char *data_dir, const char *name);

/* AK_ENOTFOUND; AK_ECORRUPT: the manifest cannot be read. */
enum ak_status ak_backup_read(const char *data_dir, const char *name,
                              struct ak_backup *out,
                              struct ak_err *err) AK_MUST_CHECK;
/* The file of nets[i] into one that was begun, synced. */
enum ak_status ak_backup_add_net(const char *data_dir, struct ak_backup *backup,
                                 size_t i, const void *bytes, size_t len,
                                 struct ak_err *err) AK_MUST_CHECK;
/* It, when it is what the manifest says, to be freed with free(); AK_ECORRUPT. */
enum ak_status ak_backup_read_net(const char *data_dir,
                                  const struct ak_backup *backup, size_t i,
                                  void **bytes, size_t *len,
                                  struct ak_err *err) AK_MUST_CHECK;

/* Where its file is; false when that is too long. */
bool ak_backup_path(const char *data_dir, const char *name,
                    char path[AK_BACKUP_PATH]);
/* As the API shows it; of one whose manifest cannot be read `damaged` says why.
   NULL when memory is short. */
json_t *ak_backup_json(const struct ak_backup *backup);
json_t *ak_backup_damaged_json(const char *name, const char *why);
/* An array of all, by name. */
enum ak_status ak_backups_json(const char *data_dir, json_t **out,
                               struct ak_err *err) AK_MUST_CHECK;
/* AK_ENOTFOUND. */
enum ak_status ak_backup_remove(const char *data_dir, const char *name,
                                struct ak_err *err) AK_MUST_CHECK;

/* fsync() of the folder that `path` lies in. */
enum ak_status ak_backup_sync_folder(const char *path,
                                     struct ak_err *err) AK_MUST_CHECK;

#endif
