#include "server/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define FIELD_UTIME   12 /* of /proc/self/stat, counted after the name */
#define FIELD_STIME   13
#define FIELD_THREADS 18
#define FIELD_START   20
#define FIELD_VSIZE   21
#define FIELD_RSS     22

/* Seconds since 1970 at which the machine started. */
static double boot_time(void)
{
    char line[256];
    double seconds = 0;
    FILE *f = fopen("/proc/stat", "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "btime %lf", &seconds) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return seconds;
}

void ak_process_read(struct ak_process *out)
{
    double tick = (double)sysconf(_SC_CLK_TCK), value;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char text[1024] = "", *p;
    struct rlimit files;
    struct dirent *entry;
    FILE *f = fopen("/proc/self/stat", "re");
    DIR *dir;
    int n;

    *out = (struct ak_process){0};
    if (f != NULL) {
        if (fgets(text, sizeof(text), f) == NULL)
            text[0] = '\0';
        fclose(f);
    }
    /* The name may have spaces and brackets; the fields come after the last. */
    p = strrchr(text, ')');
    for (int i = 1; p != NULL && i <= FIELD_RSS + 1; i++) {
        p = strchr(p, ' ');
        if (p == NULL)
            break;
        p++;
        if (sscanf(p, "%lf%n", &value, &n) != 1)
            continue;
        if (i == FIELD_UTIME || i == FIELD_STIME)
            out->cpu_seconds += value / tick;
        if (i == FIELD_THREADS)
            out->threads = (uint64_t)value;
        if (i == FIELD_START)
            out->start_time = boot_time() + value / tick;
        if (i == FIELD_VSIZE)
            out->virtual_bytes = (uint64_t)value;
        if (i == FIELD_RSS)
            out->resident_bytes = (uint64_t)value * page;
    }
    dir = opendir("/proc/self/fd");
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        out->open_fds += entry->d_name[0] != '.';
    if (dir != NULL) {
        out->open_fds--; /* the one that reads the list */
        closedir(dir);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        out->max_fds = (uint64_t)files.rlim_cur;
}

uint64_t ak_process_disk_free(const char *path)
{
    struct statvfs s;

    if (statvfs(path, &s) != 0)
        return 0;
    return (uint64_t)s.f_bavail * (uint64_t)s.f_frsize;
}

uint64_t ak_process_oom_kills(const char *vmstat)
{
    unsigned long long kills = 0;
    char line[256];
    FILE *f = fopen(vmstat, "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "oom_kill %llu", &kills) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kills;
}

uint64_t ak_process_raise_files(uint64_t wanted)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 0;
    if (files.rlim_cur < wanted) {
        files.rlim_cur =
            files.rlim_max < wanted ? files.rlim_max : (rlim_t)wanted;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0 ||
            getrlimit(RLIMIT_NOFILE, &files) != 0)
            return 0;
    }
    return (uint64_t)files.rlim_cur;
}

void ak_process_set_malloc(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 2 << 20);
#endif
}

void ak_process_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
