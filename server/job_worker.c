#include <config.h>

#include "server/job_worker.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/blob.h"
#include "server/backup.h"
#include "server/engine_internal.h"
#include "server/json_memory.h"
#include "server/log.h"
#include "server/program.h"
#include "server/text.h"
#include "server/worker_process.h"

#define FOLDER       "jobs"
#define FOLDER_ROOM  (AK_JOB_WORKER_PATH - NAME_ROOM)
#define NAME_ROOM    64 /* of a file in it, with the slash */
#define OPTION       "--job"
#define STOP_MS      10000 /* at the end of the daemon: for a checkpoint */
#define RESULT_BYTES 65536
#define SAID_BYTES   400 /* of a line, in the log */
#define LAST_READS   64  /* of what an ended process has left in its pipes */

struct ak_job_worker {
    struct ak_run *run; /* whose it is */
    char folder[FOLDER_ROOM];
    struct ak_worker_process *process; /* NULL: none runs */
    bool asked;                        /* to leave */
    bool told_dropped;
    uint64_t strange;        /* lines that are not what was agreed */
    char error[AK_ERR_TEXT]; /* that it told */
    uint64_t deaths, mark;   /* deaths since that mark; kept */
    uint64_t begun;          /* the mark from which this process goes on */
};

/* ---------------------------------------------------------------- the folder */

static bool folder_of(struct ak_run *run, char path[FOLDER_ROOM])
{
    int n = snprintf(path, FOLDER_ROOM, "%s/" FOLDER "/%llu",
                     ak_run_engine(run)->params.data_dir,
                     (unsigned long long)ak_run_id(run));

    return n > 0 && n < FOLDER_ROOM;
}

static enum ak_status make_folder(struct ak_run *run, const char *folder,
                                  struct ak_err *err)
{
    char above[AK_JOB_WORKER_PATH];

    snprintf(above, sizeof(above), "%s/" FOLDER,
             ak_run_engine(run)->params.data_dir);
    if ((mkdir(above, 0700) != 0 && errno != EEXIST) ||
        (mkdir(folder, 0700) != 0 && errno != EEXIST))
        return ak_fail(err, AK_EIO, "the folder of the job: %s",
                       strerror(errno));
    return AK_OK;
}

/* It has files only. */
static void remove_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(fd, entry->d_name, 0);
    closedir(dir);
    if (rmdir(folder) != 0 && errno != ENOENT)
        ak_log_warn("jobs", "the folder of a job is left",
                    AK_TEXT("path", folder), AK_TEXT("error", strerror(errno)));
}

void ak_job_worker_path(const struct ak_job_worker *w, const char *name,
                        char path[AK_JOB_WORKER_PATH])
{
    snprintf(path, AK_JOB_WORKER_PATH, "%s/%.60s", w->folder, name);
}

bool ak_job_worker_has(const struct ak_job_worker *w, const char *name)
{
    char path[AK_JOB_WORKER_PATH];

    ak_job_worker_path(w, name, path);
    return access(path, F_OK) == 0;
}

enum ak_status ak_job_worker_put(const struct ak_job_worker *w,
                                 const char *name, const void *data, size_t len,
                                 struct ak_err *err)
{
    char path[AK_JOB_WORKER_PATH], temporary[AK_JOB_WORKER_PATH];
    const uint8_t *at = data;
    int fd, failed = 0;

    ak_job_worker_path(w, name, path);
    ak_job_worker_path(w, ".new", temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        failed = errno;
    while (failed == 0 && len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno != EINTR)
            failed = errno;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    if (failed == 0 && fsync(fd) != 0)
        failed = errno;
    if (fd >= 0)
        close(fd);
    if (failed == 0 && rename(temporary, path) != 0)
        failed = errno;
    /* And whatever was put there before it. */
    if (failed == 0)
        return ak_backup_sync_folder(path, err);
    return ak_fail(err, failed == ENOSPC ? AK_EFULL : AK_EIO,
                   "the folder of the job: %s", strerror(failed));
}

/* ------------------------------------------------------------ what is kept */

static void keep(const struct ak_job_worker *w)
{
    struct ak_writer writer = {0};

    ak_write_u64(&writer, w->deaths);
    ak_write_u64(&writer, w->mark);
    if (writer.status == AK_OK)
        ak_run_checkpoint(w->run, writer.data, writer.len);
    ak_writer_clear(&writer);
}

enum ak_status ak_job_worker_begin(struct ak_run *run,
                                   struct ak_job_worker **out,
                                   struct ak_err *err)
{
    struct ak_bytes kept = ak_run_last_checkpoint(run);
    struct ak_job_worker *w = calloc(1, sizeof(*w));
    struct ak_reader r;
    enum ak_status status = AK_OK;

    if (w == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a worker");
    w->run = run;
    if (!folder_of(run, w->folder))
        status = ak_fail(err, AK_EIO, "the path of the data directory is long");
    else
        status = make_folder(run, w->folder, err);
    if (status != AK_OK) {
        free(w);
        return status;
    }
    ak_reader_init(&r, kept.data, kept.len);
    w->deaths = ak_read_u64(&r);
    w->mark = ak_read_u64(&r);
    if (ak_reader_finish(&r) != AK_OK)
        w->deaths = w->mark = 0;
    *out = w;
    return AK_OK;
}

/* ---------------------------------------------------------------- what it says */

/* Text from outside for a log: one line of UTF-8, of less than `cap` bytes. */
static const char *tidy(const char *text, size_t len, char *out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        size_t size = ak_utf8_length(text + i, len - i);

        if (n + (size > 0 ? size : 1) >= cap)
            break;
        if (size == 1 && (unsigned char)text[i] < 0x20)
            out[n++] = ' ';
        else if (size == 0 || text[i] == 0x7f)
            out[n++] = '?';
        else
            for (size_t k = 0; k < size; k++)
                out[n++] = text[i + k];
        i += size > 0 ? size : 1;
    }
    out[n] = '\0';
    return out;
}

/* Phases and figures have names like those of this tree. */
static bool is_name(const char *name)
{
    size_t len = name != NULL ? strlen(name) : 0;

    if (len == 0 || len > 31)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!islower((unsigned char)name[i]) &&
            !isdigit((unsigned char)name[i]) && name[i] != '_')
            return false;
    return true;
}

static bool get_count(const json_t *line, const char *name, uint64_t *out)
{
    const json_t *value = json_object_get(line, name);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool take_progress(struct ak_job_worker *w, json_t *line)
{
    const char *phase = json_string_value(json_object_get(line, "phase"));
    uint64_t done, total;
    const char *name;
    json_t *value;

    if (!is_name(phase) || !get_count(line, "done", &done) ||
        !get_count(line, "total", &total))
        return false;
    json_object_foreach(json_object_get(line, "metrics"), name, value)
    {
        if (is_name(name) && json_is_number(value) &&
            isfinite(json_number_value(value)))
            ak_run_metric(w->run, name, json_number_value(value));
    }
    ak_run_progress(w->run, phase, done, total);
    return true;
}

static bool take_log(struct ak_job_worker *w, const json_t *line)
{
    const json_t *text = json_object_get(line, "log");
    const char *level = json_string_value(json_object_get(line, "level"));
    char said[SAID_BYTES];

    if (!json_is_string(text))
        return false;
    ak_run_log(w->run,
               level != NULL && strcmp(level, "warn") == 0 ? AK_LOG_WARN
                                                           : AK_LOG_INFO,
               "%s",
               tidy(json_string_value(text), json_string_length(text), said,
                    sizeof(said)));
    return true;
}

static bool take_mark(struct ak_job_worker *w, const json_t *line)
{
    uint64_t mark;

    if (!get_count(line, "mark", &mark))
        return false;
    if (mark > w->mark) {
        w->mark = mark;
        w->deaths = 0;
        keep(w);
    }
    return true;
}

static bool take_error(struct ak_job_worker *w, const json_t *line)
{
    const json_t *text = json_object_get(line, "error");

    if (!json_is_string(text))
        return false;
    tidy(json_string_value(text), json_string_length(text), w->error,
         sizeof(w->error));
    return true;
}

static void on_line(void *arg, const char *text, size_t len)
{
    struct ak_job_worker *w = arg;
    json_t *line = ak_json_value(text, len, 0, NULL);
    char said[SAID_BYTES];
    bool good = json_is_object(line) &&
                (json_object_get(line, "phase") != NULL ? take_progress(w, line)
                 : json_object_get(line, "log") != NULL ? take_log(w, line)
                 : json_object_get(line, "mark") != NULL ? take_mark(w, line)
                                                         : take_error(w, line));

    json_decref(line);
    if (!good && w->strange++ == 0)
        ak_run_log(w->run, AK_LOG_WARN,
                   "the worker says what is not understood: %s",
                   tidy(text, len, said, sizeof(said)));
}

/* What libraries print, and sanitizers. */
static void on_said(void *arg, const char *text, size_t len)
{
    struct ak_job_worker *w = arg;
    char said[SAID_BYTES];

    if (len > 0)
        ak_run_log(w->run, AK_LOG_WARN, "worker: %s",
                   tidy(text, len, said, sizeof(said)));
}

static void look_at_dropped(struct ak_job_worker *w)
{
    if (w->told_dropped || ak_worker_process_dropped(w->process) == 0)
        return;
    w->told_dropped = true;
    ak_run_log(w->run, AK_LOG_WARN,
               "lines of the worker are dropped: more than %d a second, or "
               "longer than %d bytes",
               AK_LINES_RATE, AK_LINES_MAX);
}

/* ------------------------------------------------------------------- its life */

static enum ak_status start(struct ak_job_worker *w, struct ak_err *err)
{
    const char *set = ak_run_engine(w->run)->params.worker_program;
    char *program = NULL;
    enum ak_status status = AK_OK;

    if (set == NULL || set[0] == '\0')
        status = ak_program_worker(&program, err);
    if (status == AK_OK)
        status = ak_worker_process_start(program != NULL ? program : set,
                                         OPTION, w->folder, &w->process, err);
    free(program);
    w->asked = false;
    w->begun = w->mark;
    w->error[0] = '\0';
    return status;
}

/* What killed it, for a person. */
static void tell_end(const struct ak_worker_end *end, char text[96])
{
    if (end->oom)
        snprintf(text, 96, "was killed for want of memory on the machine");
    else if (end->signal != 0)
        snprintf(text, 96, "was killed by signal %d (%s)", end->signal,
                 strsignal(end->signal));
    else
        snprintf(text, 96, "ended with %d", end->code);
}

/* It ended, and not because it was done or was asked to. */
static enum ak_run_step died(struct ak_job_worker *w,
                             const struct ak_worker_end *end,
                             struct ak_err *err)
{
    char text[96];

    tell_end(end, text);
    /* What did not get to a checkpoint would take as much again.  Behind one it is
       others that the machine had no memory for besides. */
    if (end->oom && w->mark == w->begun) {
        ak_fail(err, AK_ENOMEM,
                "the worker %s before it had a checkpoint; "
                "budget.memory_bytes bounds it",
                text);
        return AK_STEP_FAILED;
    }
    w->deaths++;
    keep(w);
    if (w->deaths >= AK_JOB_WORKER_DEATHS) {
        ak_fail(err, AK_EIO,
                "the worker %s, the %llu. time without a checkpoint between",
                text, (unsigned long long)w->deaths);
        return AK_STEP_FAILED;
    }
    ak_run_log(w->run, AK_LOG_WARN,
               "the worker %s; it goes on from its last checkpoint", text);
    return AK_STEP_INTERRUPTED;
}

static enum ak_run_step ended(struct ak_job_worker *w,
                              const struct ak_worker_end *end,
                              struct ak_err *err)
{
    bool asked = w->asked;

    for (int i = 0; i < LAST_READS &&
                    ak_worker_process_read(w->process, on_line, on_said, w);
         i++)
        ;
    look_at_dropped(w);
    ak_worker_process_destroy(w->process);
    w->process = NULL;
    if (end->signal == 0 && end->code == EX_OK &&
        ak_job_worker_has(w, "result.json"))
        return AK_STEP_DONE;
    if (end->signal == 0 && end->code == EX_TEMPFAIL && asked)
        return AK_STEP_WAIT;
    if (end->signal == 0 && w->error[0] != '\0') {
        ak_fail(err, AK_EIO, "%s", w->error);
        return AK_STEP_FAILED;
    }
    return died(w, end, err);
}

enum ak_run_step ak_job_worker_step(struct ak_job_worker *w, struct ak_err *err)
{
    struct ak_worker_end end = {0};

    if (w->process == NULL)
        return start(w, err) == AK_OK ? AK_STEP_WAIT : AK_STEP_FAILED;
    (void)ak_worker_process_read(w->process, on_line, on_said, w);
    look_at_dropped(w);
    return ak_worker_process_ended(w->process, &end) ? ended(w, &end, err)
                                                     : AK_STEP_WAIT;
}

bool ak_job_worker_rest(struct ak_job_worker *w)
{
    if (w->process == NULL)
        return true;
    (void)ak_worker_process_read(w->process, on_line, on_said, w);
    if (ak_worker_process_ended(w->process, NULL)) {
        ak_worker_process_destroy(w->process);
        w->process = NULL;
        return true;
    }
    if (!w->asked)
        ak_worker_process_stop(w->process);
    w->asked = true;
    return false;
}

json_t *ak_job_worker_result(const struct ak_job_worker *w, struct ak_err *err)
{
    char path[AK_JOB_WORKER_PATH], text[RESULT_BYTES];
    json_t *result = NULL;
    size_t len = 0;
    FILE *f;

    ak_job_worker_path(w, "result.json", path);
    f = fopen(path, "re");
    if (f != NULL) {
        len = fread(text, 1, sizeof(text), f);
        fclose(f);
    }
    if (len > 0 && len < sizeof(text))
        result = ak_json_value(text, len, 0, NULL);
    if (!json_is_object(result)) {
        json_decref(result);
        ak_fail(err, AK_ECORRUPT, "the worker left no result");
        return NULL;
    }
    return result;
}

void ak_job_worker_end(struct ak_job_worker *w, struct ak_run *run,
                       enum ak_run_state why)
{
    char folder[FOLDER_ROOM];

    if (w != NULL && w->process != NULL) {
        if (why == AK_RUN_INTERRUPTED) {
            ak_worker_process_stop(w->process);
            if (!ak_worker_process_wait(w->process, STOP_MS))
                ak_log_warn("jobs", "a worker did not leave in time",
                            AK_NUMBER("job", ak_run_id(run)));
        }
        ak_worker_process_destroy(w->process);
    }
    free(w);
    if (why != AK_RUN_INTERRUPTED && folder_of(run, folder))
        remove_folder(folder);
}
