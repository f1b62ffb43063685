/*
 * backup.c -- the folder of snapshots.
 *
 * Order of what a power loss may not tear: the file is synced by who wrote it,
 * then the manifest, then their folder, then the rename, then the folder of
 * folders.  Nothing is followed out of the folder: names are checked, folders
 * are opened without following links, and what is removed is unlinked by name.
 */
#include <config.h>

#include "server/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hex.h"
#include "core/base/moment.h"
#include "server/extractor_files.h"
#include "server/json_memory.h"

#define FOLDER       "snapshots"
#define MANIFEST     "manifest.json"
#define FORMAT       1
#define MAX_MANIFEST 65536
#define OPEN_FOLDER  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define HIDDEN       (AK_SETTINGS_NAME + 8)
#define NET_FILE     32

static enum ak_status refused(const char *what, const char *name,
                              struct ak_err *err)
{
    enum ak_status status = errno == ENOENT ? AK_ENOTFOUND
                            : errno == EEXIST || errno == ENOTEMPTY ? AK_EEXISTS
                                                                    : AK_EIO;

    if (status == AK_ENOTFOUND)
        return ak_fail(err, status, "there is no snapshot \"%s\"", name);
    if (status == AK_EEXISTS)
        return ak_fail(err, status, "there is a snapshot \"%s\"", name);
    return ak_fail(err, status, "snapshot %s: cannot %s: %s", name, what,
                   strerror(errno));
}

/* DIR/snapshots, open; -1 with an error. */
static int open_folder(const char *data_dir, struct ak_err *err)
{
    char path[AK_BACKUP_PATH];
    int n = snprintf(path, sizeof(path), "%s/" FOLDER, data_dir), fd;

    if (n < 0 || (size_t)n >= sizeof(path)) {
        ak_fail(err, AK_EIO, "the data directory's name is too long");
        return -1;
    }
    fd = open(path, OPEN_FOLDER);
    if (fd < 0)
        ak_fail(err, AK_EIO, "cannot open the folder of snapshots: %s",
                strerror(errno));
    return fd;
}

/* Removes a folder that holds files only; absent is fine. */
static bool remove_folder(int at, const char *name)
{
    int fd = openat(at, name, OPEN_FOLDER);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (fd < 0)
        return errno == ENOENT;
    if (dir == NULL) {
        close(fd);
        return false;
    }
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(fd, entry->d_name, 0);
    closedir(dir);
    return unlinkat(at, name, AT_REMOVEDIR) == 0;
}

enum ak_status ak_backup_sync_folder(const char *path, struct ak_err *err)
{
    char folder[AK_BACKUP_PATH];
    const char *slash = strrchr(path, '/');
    enum ak_status status = AK_OK;
    int fd;

    snprintf(folder, sizeof(folder), "%.*s",
             slash != NULL ? (int)(slash - path) : 1, slash ? path : ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        status =
            ak_fail(err, AK_EIO, "cannot sync a folder: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

enum ak_status ak_backups_open(const char *data_dir, struct ak_err *err)
{
    char path[AK_BACKUP_PATH];
    int n = snprintf(path, sizeof(path), "%s/" FOLDER, data_dir);
    struct dirent *entry;
    enum ak_status status = AK_OK;
    DIR *dir;

    if (n < 0 || (size_t)n >= sizeof(path))
        return ak_fail(err, AK_EIO, "the data directory's name is too long");
    if (mkdir(path, 0700) == 0)
        status = ak_backup_sync_folder(path, err);
    else if (errno != EEXIST)
        status = ak_fail(err, AK_EIO, "cannot make the folder of snapshots: %s",
                         strerror(errno));
    if (status != AK_OK)
        return status;
    n = open_folder(data_dir, err);
    if (n < 0)
        return AK_EIO;
    dir = fdopendir(n);
    if (dir == NULL) {
        close(n);
        return ak_fail(err, AK_ENOMEM, "no memory for a folder");
    }
    /* What cannot be removed stays, and harms nobody. */
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] == '.' && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0)
            (void)remove_folder(n, entry->d_name);
    closedir(dir);
    return AK_OK;
}

bool ak_backup_path(const char *data_dir, const char *name,
                    char path[AK_BACKUP_PATH])
{
    int n = snprintf(path, AK_BACKUP_PATH, "%s/" FOLDER "/%s/" AK_BACKUP_FILE,
                     data_dir, name);

    return n >= 0 && n < AK_BACKUP_PATH;
}

/* ------------------------------------------------------------------ manifest */

static json_t *file_json(const char *name, uint64_t bytes,
                         const uint8_t sha256[AK_SHA256_LEN])
{
    char hex[2 * AK_SHA256_LEN + 1];

    ak_hex_encode(sha256, AK_SHA256_LEN, hex);
    return json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                     (json_int_t)bytes, "sha256", hex);
}

/* "extractor.akx", "extractor-2.akx" ... */
static const char *net_file(size_t i, char out[NET_FILE])
{
    if (i == 0)
        snprintf(out, NET_FILE, "extractor.akx");
    else
        snprintf(out, NET_FILE, "extractor-%zu.akx", i + 1);
    return out;
}

static json_t *net_json(const struct ak_backup_net *net)
{
    return json_pack("{s:s, s:I}", "name", net->name, "version",
                     (json_int_t)net->version);
}

json_t *ak_backup_json(const struct ak_backup *b)
{
    json_t *files =
        json_pack("[o]", file_json(AK_BACKUP_FILE, b->bytes, b->sha256));
    json_t *nets = json_array();
    uint64_t bytes = b->bytes;
    char name[NET_FILE];

    for (size_t i = 0; i < b->n_nets; i++) {
        const struct ak_backup_net *net = &b->nets[i];

        bytes += net->bytes;
        if (json_array_append_new(
                files, file_json(net_file(i, name), net->bytes, net->sha256)) !=
                0 ||
            json_array_append_new(nets, net_json(net)) != 0) {
            json_decref(files);
            json_decref(nets);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:o,"
                     " s:o*, s:o, s:n}",
                     "name", b->name, "collection", b->collection, "seq",
                     (json_int_t)b->seq, "rows", (json_int_t)b->rows, "items",
                     (json_int_t)b->items, "model_version",
                     (json_int_t)b->model_version, "job", (json_int_t)b->job,
                     "created", b->created, "akin", b->akin, "bytes",
                     (json_int_t)bytes, "files", files, "extractor",
                     b->has_net ? net_json(&b->nets[0]) : NULL, "extractors",
                     nets, "damaged");
}

json_t *ak_backup_damaged_json(const char *name, const char *why)
{
    return json_pack("{s:s, s:s}", "name", name, "damaged", why);
}

static bool read_number(const json_t *o, const char *name, uint64_t *out)
{
    const json_t *value = json_object_get(o, name);

    *out = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool read_text(const json_t *o, const char *name, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(o, name));

    if (text == NULL || strlen(text) >= cap)
        return false;
    strcpy(out, text);
    return true;
}

/* A file of the manifest, which must have that name. */
static bool read_file(const json_t *file, const char *wanted, uint64_t *bytes,
                      uint8_t sha256[AK_SHA256_LEN])
{
    const char *hex = json_string_value(json_object_get(file, "sha256"));
    const char *name = json_string_value(json_object_get(file, "name"));

    return name != NULL && strcmp(name, wanted) == 0 &&
           read_number(file, "bytes", bytes) && hex != NULL &&
           ak_hex_decode(hex, strlen(hex), sha256, AK_SHA256_LEN);
}

static bool read_net(const json_t *o, const json_t *file, size_t i,
                     struct ak_backup_net *out)
{
    uint64_t version;
    char name[NET_FILE];

    if (!read_text(o, "name", out->name, sizeof(out->name)) ||
        !ak_settings_good_name(out->name) ||
        !read_number(o, "version", &version) || version < 1 ||
        version > UINT32_MAX)
        return false;
    out->version = (uint32_t)version;
    return read_file(file, net_file(i, name), &out->bytes, out->sha256);
}

/* A manifest of before has the one that is used, and no list. */
static bool read_nets(const json_t *o, struct ak_backup *out)
{
    const json_t *extractor = json_object_get(o, "extractor");
    const json_t *list = json_object_get(o, "extractors");
    const json_t *files = json_object_get(o, "files");
    bool good = true;

    out->has_net = extractor != NULL;
    out->n_nets = list != NULL ? json_array_size(list) : out->has_net;
    if (out->n_nets > AK_BACKUP_NETS || out->n_nets < out->has_net ||
        json_array_size(files) != out->n_nets + 1)
        return false;
    for (size_t i = 0; i < out->n_nets && good; i++)
        good = read_net(list != NULL ? json_array_get(list, i) : extractor,
                        json_array_get(files, i + 1), i, &out->nets[i]);
    return good;
}

static bool read_manifest(const json_t *o, const char *name,
                          struct ak_backup *out)
{
    const json_t *files = json_object_get(o, "files");

    return json_integer_value(json_object_get(o, "format")) == FORMAT &&
           read_text(o, "name", out->name, sizeof(out->name)) &&
           strcmp(out->name, name) == 0 &&
           read_text(o, "collection", out->collection,
                     sizeof(out->collection)) &&
           read_number(o, "seq", &out->seq) &&
           read_number(o, "rows", &out->rows) &&
           read_number(o, "items", &out->items) &&
           read_number(o, "model_version", &out->model_version) &&
           read_number(o, "job", &out->job) &&
           read_text(o, "created", out->created, sizeof(out->created)) &&
           read_text(o, "akin", out->akin, sizeof(out->akin)) &&
           read_file(json_array_get(files, 0), AK_BACKUP_FILE, &out->bytes,
                     out->sha256) &&
           read_nets(o, out);
}

/* The text of a manifest, freed by free(); NULL with an error. */
static char *load_text(int folder, const char *name, size_t *len,
                       struct ak_err *err)
{
    int at = openat(folder, name, OPEN_FOLDER);
    int fd =
        at >= 0 ? openat(at, MANIFEST, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    char *text = NULL;
    ssize_t n = 0;

    *len = 0;
    if (at < 0) {
        refused("open it", name, err);
        return NULL;
    }
    close(at);
    if (fd < 0) {
        ak_fail(err, AK_ECORRUPT, "snapshot %s: no manifest: %s", name,
                strerror(errno));
        return NULL;
    }
    text = malloc(MAX_MANIFEST);
    if (text == NULL)
        ak_fail(err, AK_ENOMEM, "no memory for a manifest");
    while (text != NULL && *len < MAX_MANIFEST &&
           (n = read(fd, text + *len, MAX_MANIFEST - *len)) > 0)
        *len += (size_t)n;
    close(fd);
    if (n < 0) {
        ak_fail(err, AK_EIO, "snapshot %s: manifest: %s", name,
                strerror(errno));
        free(text);
        return NULL;
    }
    return text;
}

enum ak_status ak_backup_read(const char *data_dir, const char *name,
                              struct ak_backup *out, struct ak_err *err)
{
    struct ak_err local = {0};
    json_error_t where = {.text = "it is not of this format"};
    json_t *o;
    size_t len;
    char *text;
    int folder;
    bool good;

    if (err == NULL)
        err = &local;
    if (!ak_settings_good_name(name))
        return ak_fail(err, AK_ENOTFOUND, "there is no such snapshot");
    folder = open_folder(data_dir, err);
    if (folder < 0)
        return err->status;
    memset(out, 0, sizeof(*out));
    text = load_text(folder, name, &len, err);
    close(folder);
    if (text == NULL)
        return err->status;
    o = ak_json_value(text, len, JSON_REJECT_DUPLICATES, &where);
    free(text);
    good = o != NULL && read_manifest(o, name, out);
    json_decref(o);
    if (!good)
        return ak_fail(err, AK_ECORRUPT,
                       "snapshot %s: the manifest cannot be read: %.80s", name,
                       where.text);
    return AK_OK;
}

static enum ak_status write_manifest(int at, const struct ak_backup *b,
                                     struct ak_err *err)
{
    json_t *o = ak_backup_json(b);
    enum ak_status status = AK_OK;
    char *text = NULL;
    size_t len;
    int fd;

    json_object_del(o, "damaged");
    if (o != NULL &&
        json_object_set_new(o, "format", json_integer(FORMAT)) == 0)
        text = ak_json_text(o, JSON_INDENT(2));
    json_decref(o);
    if (text == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a manifest");
    len = strlen(text);
    text[len] = '\n'; /* in the place of the zero */
    fd = openat(at, MANIFEST, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, len + 1) != (ssize_t)len + 1 ||
        fsync(fd) != 0 || fsync(at) != 0)
        status = ak_fail(err, AK_EIO,
                         "snapshot %s: the manifest cannot be written: %s",
                         b->name, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(text);
    return status;
}

/* ----------------------------------------------------------- making, removing */

enum ak_status ak_backup_begin(const char *data_dir, const char *name,
                               char path[AK_BACKUP_PATH], struct ak_err *err)
{
    int folder = open_folder(data_dir, err), n;
    enum ak_status status = AK_OK;
    char hidden[HIDDEN];
    struct stat info;

    if (folder < 0)
        return AK_EIO;
    snprintf(hidden, sizeof(hidden), ".%s.new", name);
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        status = ak_fail(err, AK_EEXISTS, "there is a snapshot \"%s\"", name);
    else if (mkdirat(folder, hidden, 0700) != 0)
        status = refused("make its folder", name, err);
    close(folder);
    n = snprintf(path, AK_BACKUP_PATH, "%s/" FOLDER "/%s/" AK_BACKUP_FILE,
                 data_dir, hidden);
    if (status == AK_OK && (n < 0 || n >= AK_BACKUP_PATH))
        status = ak_fail(err, AK_EIO, "the data directory's name is too long");
    return status;
}

enum ak_status ak_backup_add_net(const char *data_dir, struct ak_backup *b,
                                 size_t i, const void *bytes, size_t len,
                                 struct ak_err *err)
{
    char path[AK_BACKUP_PATH], name[NET_FILE];
    int n = snprintf(path, sizeof(path), "%s/" FOLDER "/.%s.new/%s", data_dir,
                     b->name, net_file(i, name));

    if (n < 0 || (size_t)n >= sizeof(path))
        return ak_fail(err, AK_EIO, "the data directory's name is too long");
    b->nets[i].bytes = len;
    return ak_extractor_file_write(path, bytes, len, err);
}

enum ak_status ak_backup_read_net(const char *data_dir,
                                  const struct ak_backup *b, size_t i,
                                  void **bytes, size_t *len, struct ak_err *err)
{
    const struct ak_backup_net *net = &b->nets[i];
    char path[AK_BACKUP_PATH], name[NET_FILE];
    uint8_t sha256[AK_SHA256_LEN];
    int n = snprintf(path, sizeof(path), "%s/" FOLDER "/%s/%s", data_dir,
                     b->name, net_file(i, name));
    enum ak_status status;
    void *data = NULL;
    size_t got = 0;

    if (n < 0 || (size_t)n >= sizeof(path))
        return ak_fail(err, AK_EIO, "the data directory's name is too long");
    status = ak_extractor_file_read(path, net->bytes, &data, &got, sha256, err);
    if (status == AK_ENOTFOUND || status == AK_ELIMIT)
        return ak_fail(err, AK_ECORRUPT, "snapshot %s: %s %s", b->name, name,
                       status == AK_ELIMIT ? "is too long" : "is missing");
    if (status != AK_OK)
        return status;
    if (got != net->bytes || memcmp(sha256, net->sha256, sizeof(sha256)) != 0) {
        free(data);
        return ak_fail(err, AK_ECORRUPT,
                       "snapshot %s: %s does not have its checksum", b->name,
                       name);
    }
    *bytes = data;
    *len = got;
    return AK_OK;
}

enum ak_status ak_backup_finish(const char *data_dir, const struct ak_backup *b,
                                struct ak_err *err)
{
    int folder = open_folder(data_dir, err), at;
    enum ak_status status;
    char hidden[HIDDEN];

    if (folder < 0)
        return AK_EIO;
    snprintf(hidden, sizeof(hidden), ".%s.new", b->name);
    at = openat(folder, hidden, OPEN_FOLDER);
    status = at >= 0 ? write_manifest(at, b, err)
                     : refused("open its folder", b->name, err);
    ak_moment(AK_AT_SNAPSHOT_WRITTEN);
    /* A folder that is not empty is not replaced: then there is one already. */
    if (status == AK_OK && renameat(folder, hidden, folder, b->name) != 0)
        status = refused("rename it", b->name, err);
    ak_moment(AK_AT_SNAPSHOT_RENAMED);
    if (status == AK_OK && fsync(folder) != 0)
        status = refused("sync the folder", b->name, err);
    if (at >= 0)
        close(at);
    close(folder);
    return status;
}

void ak_backup_abandon(const char *data_dir, const char *name)
{
    int folder = open_folder(data_dir, NULL);
    char hidden[HIDDEN];

    if (folder < 0)
        return;
    snprintf(hidden, sizeof(hidden), ".%s.new", name);
    (void)remove_folder(folder, hidden); /* else at the next start */
    close(folder);
}

enum ak_status ak_backup_remove(const char *data_dir, const char *name,
                                struct ak_err *err)
{
    int folder = open_folder(data_dir, err);
    enum ak_status status = AK_OK;
    char hidden[HIDDEN];

    if (folder < 0)
        return AK_EIO;
    snprintf(hidden, sizeof(hidden), ".%s.gone", name);
    if (renameat(folder, name, folder, hidden) != 0 || fsync(folder) != 0)
        status = refused("remove it", name, err);
    ak_moment(AK_AT_SNAPSHOT_HIDDEN);
    if (status == AK_OK)
        (void)remove_folder(folder, hidden); /* else at the next start */
    ak_moment(AK_AT_SNAPSHOT_REMOVED);
    close(folder);
    return status;
}

/* -------------------------------------------------------------------- listing */

static int by_name(const void *a, const void *b)
{
    return strcmp(
        json_string_value(json_object_get(*(json_t *const *)a, "name")),
        json_string_value(json_object_get(*(json_t *const *)b, "name")));
}

static json_t *sorted(json_t *list)
{
    size_t n = json_array_size(list);
    json_t **items = calloc(n + 1, sizeof(json_t *));
    json_t *out = json_array();

    for (size_t i = 0; i < n && items != NULL; i++)
        items[i] = json_array_get(list, i);
    if (items != NULL)
        qsort(items, n, sizeof(json_t *), by_name);
    for (size_t i = 0; i < n && out != NULL; i++) {
        if (items == NULL || json_array_append(out, items[i]) != 0) {
            json_decref(out);
            out = NULL;
        }
    }
    free(items);
    json_decref(list);
    return out;
}

enum ak_status ak_backups_json(const char *data_dir, json_t **out,
                               struct ak_err *err)
{
    int folder = open_folder(data_dir, err);
    DIR *dir = folder >= 0 ? fdopendir(folder) : NULL;
    json_t *list = json_array();
    struct dirent *entry;
    bool good = list != NULL;

    if (folder < 0) {
        json_decref(list);
        return AK_EIO;
    }
    while (dir != NULL && good && (entry = readdir(dir)) != NULL) {
        struct ak_backup b;
        struct ak_err why = {0};
        enum ak_status status =
            ak_backup_read(data_dir, entry->d_name, &b, &why);

        if (status == AK_ENOTFOUND)
            continue; /* it went meanwhile, or is none */
        good = json_array_append_new(
                   list, status == AK_OK ? ak_backup_json(&b)
                                         : ak_backup_damaged_json(
                                               entry->d_name, why.text)) == 0;
    }
    if (dir != NULL)
        closedir(dir);
    else
        close(folder);
    if (good && dir != NULL)
        *out = sorted(list);
    else
        json_decref(list);
    return dir != NULL && good && *out != NULL
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for a list of snapshots");
}
