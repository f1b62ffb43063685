#!/usr/bin/python3 -B
"""A failed fsync: writes end, reads go on for a moment, the daemon ends with 74
and does not try again; a start reads what is there.  And a quota that is used up,
which is a full disk."""

from akin_test import *

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

/* Fails for files of an ending while another file is there, and counts. */
static int refused(int fd, const char *ending, int error)
{
    const char *when = getenv("FAIL_WHEN");
    char link[64], path[4096];
    ssize_t n;

    if (ending == NULL || when == NULL || access(when, F_OK) != 0)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n < (ssize_t)strlen(ending))
        return 0;
    path[n] = 0;
    if (strcmp(path + n - strlen(ending), ending) != 0)
        return 0;
    fd = open(when, O_WRONLY | O_APPEND);
    if (fd >= 0) {
        if (write(fd, "x", 1) != 1)
            abort();
        close(fd);
    }
    errno = error;
    return 1;
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");

    return refused(fd, getenv("FAIL_ENDING"), EIO) ? -1 : real(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))
            dlsym(RTLD_NEXT, "pwrite64");

    return refused(fd, getenv("QUOTA_ENDING"), EDQUOT)
               ? -1 : real(fd, data, len, at);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

    return refused(fd, getenv("FAIL_ENDING"), EIO) ? -1 : real(fd);
}
"""

X, Y = clusters(400, 16, seed=3)


def shim(directory):
    """The shim as a library, or Skip."""
    if SANITIZER:
        raise Skip("a sanitizer wants to be the first library")
    source = Path(directory) / "shim.c"
    source.write_text(SHIM)
    library = Path(directory) / "shim.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library),
                        str(source), "-ldl"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Skip("no shim can be built: %s" % error)
    return str(library)


def fail_sync(ending, harm):
    """Run `harm` on a daemon whose syncs of such files fail; what it said."""
    daemon = Daemon(args=["--drain-delay", "0"])
    when = Path(daemon.temporary) / "now"
    daemon.env.update(LD_PRELOAD=shim(daemon.temporary), FAIL_ENDING=ending,
                      FAIL_WHEN=str(when))
    daemon.start()
    c = daemon.collection("shoes", model={"kind": "lsh"})
    c.upsert(X[:200], ids=list(range(200)), ack="visible")
    when.write_bytes(b"")
    daemon.expected = False  # it ends by itself
    harm(daemon, c)
    equal(daemon.process.wait(DEADLINE), 74, "exit status")
    check(when.stat().st_size >= 1, "a sync failed")
    check("an fsync failed" in daemon.log(), "it says why")
    tries = when.stat().st_size
    when.unlink()
    daemon.start()
    check("did not end cleanly" in daemon.log(), "all files are looked at")
    ids = [i["id"] for i in c.items()]
    equal(ids[:200], list(range(200)), "what was acknowledged")
    c.upsert(X[200:], ids=list(range(1000, 1200)), ack="visible")
    daemon.stop()
    return tries, ids


@test("a commit whose fsync fails is refused, and the daemon ends with 74")
def _():
    def harm(daemon, c):
        reply = daemon.put(c.path + "/items", npy_batch(X[:1], ids=[900]),
                           type=MULTIPART)
        reply.problem(503, "read-only")
        # Until the end, reads are answered; writes never again.
        while daemon.process.poll() is None:
            try:
                status = daemon.get(c.path + "/items/7").status
                check(status in (200, 503), "a read is %d" % status)
                daemon.put(c.path + "/items", npy_batch(X[:1], ids=[901]),
                           type=MULTIPART).expect(503)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
    tries, ids = fail_sync("/1.db-wal", harm)
    equal(tries, 1, "syncs that were tried")
    check(901 not in ids, "what was refused later is not there")
    # The one that failed may be there or not: its answer was no.


@test("a log that cannot be copied for its fsync ends it, too")
def _():
    def harm(daemon, c):
        # The log is copied when it rests.
        c.upsert(X[:1], ids=[900])
    fail_sync("/1.db", harm)


@test("and one of the catalog")
def _():
    def harm(daemon, c):
        reply = daemon.put("/v1/collections/boots",
                           {"bits": 32, "features": {"dim": 16},
                            "model": {"kind": "lsh"}})
        check(reply.status >= 500, "it is refused")
    fail_sync("/catalog.db-wal", harm)


@test("a quota that is used up is a full disk, and may be raised")
def _():
    daemon = Daemon()
    when = Path(daemon.temporary) / "now"
    daemon.env.update(LD_PRELOAD=shim(daemon.temporary), QUOTA_ENDING="-wal",
                      FAIL_WHEN=str(when))
    daemon.start()
    c = daemon.collection("shoes", model={"kind": "lsh"})
    c.upsert(X[:200], ids=list(range(200)), ack="visible")
    when.write_bytes(b"")
    for i in range(3):
        daemon.put(c.path + "/items", npy_batch(X[:1], ids=[900 + i]),
                   type=MULTIPART).problem(507, "disk-full")
    check(when.stat().st_size >= 1, "no write failed")
    equal(len(c.search({"id": 5})["items"]), 10, "hits")
    check(daemon.get("/readyz").json["checks"]["storage"] != "read-only",
          "it is read-only")
    when.unlink()
    wait_until(lambda: daemon.get("/readyz").json["checks"]["storage"] == "ok",
               "it tries again")
    c.upsert(X[200:], ids=list(range(1000, 1200)), ack="visible")
    daemon.kill()
    daemon.start()
    equal(sorted(i["id"] for i in c.items()),
          list(range(200)) + list(range(1000, 1200)), "ids")
    daemon.stop()


main()
