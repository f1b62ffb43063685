#!/usr/bin/python3 -B
"""The daemon ends at each moment that core/base/moment.h names, by kill -9 and by
SIGTERM, once and twice, while it is at work; after the next start all is there
that was acknowledged (crash_driver.py).

A moment that nobody passes is waited for in vain, and fails the test.
"""

import itertools
import sqlite3

from crash_driver import *

# By whom they are passed: writers at work all the time, or every start.
RECORDS = ["commit begun", "commit done", "version written",
           "version committed", "flip written", "flip committed",
           "flip served", "rollback written", "rollback served"]
CODES = ["codes written"]
LEARNING = ["checkpoint written", "checkpoint committed"]
REBUILD = ["generation begun", "generation saved", "install written",
           "install committed", "install learnt"]
ERASING = ["erasure written", "erasure committed", "erasure out of the log"]
FILES = ["collection reserved", "collection made", "collection named",
         "collection unnamed", "collection removed", "job written",
         "job saved", "job end written", "job end saved"]
SNAPSHOTS = [m for m in MOMENTS if m.startswith("snapshot")]
RESTORES = [m for m in MOMENTS if m.startswith("restore")]
START = ["log copy begun", "log copied", "upgrade written",
         "upgrade committed", "catalog opened", "collection loaded"]
# SIGTERM at all of them takes a minute.
ALL = os.environ.get("AKIN_TEST_MOMENTS") == "all"


def publishing(w):
    while True:
        yield w.publish(ack="visible")
        yield w.relabel(w.known(1)[0])
        yield w.upsert(w.ids(5))
        yield w.delete(w.known(2))
        yield from w.rollback(ack="visible")


def learning(w):
    while True:
        yield w.batch(None, 1, w.key())
        w.next_id += 1


def rebuilding(w):
    for paused in itertools.cycle((True, False)):
        reply = yield w.job("rebuild", w.name, gate=None)
        if reply.status != 202:
            # Another is there, which may rest since before a kill.
            for job in (yield w.get("/v1/jobs")).json["items"]:
                if not job["ended"]:
                    yield Request("POST", "/v1/jobs/%d/resume" % job["id"],
                                  accept=(202, 409))
            continue
        path = "/v1/jobs/%d" % reply.json["id"]
        # A pause saves it, when it has learnt something and not all.  That is over
        # before a look at it would be answered: pauses come blindly.
        while paused and not (yield w.get(path)).json["ended"]:
            yield Request("POST", path + "/pause", accept=(202, 409))
            yield Request("POST", path + "/resume", accept=(202, 409))
        yield from w.wait(reply.json["id"])


def erasing(w):
    while True:
        names = w.rng.sample([NAME % i for i in range(IDS)], 3)
        yield w.upsert(names)
        yield w.erase(names[0])
        wait = time.monotonic() + 0.02
        while time.monotonic() < wait:
            yield None


def keeping(run):
    return [Writer(run, "stream", stream, learner("hcoh")),
            Writer(run, "keeper", lambda w: keeper(w, patient=False))]


GROUPS = [
    (SNAPSHOTS, keeping), (RESTORES, keeping), (FILES, keeping),
    (RECORDS, lambda run: [Writer(run, "stream", publishing,
                                  learner("hmoh"))]),
    # Full segments, whose codes are stored.
    (CODES, lambda run: [Writer(run, "stream", publishing, learner("hmoh"),
                                4200)]),
    (LEARNING, lambda run: [Writer(run, "blocks", learning,
                                   learner("fcoh"))]),
    (REBUILD, lambda run: [Writer(run, "stream", rebuilding, learner("hmoh"),
                                  4800)]),
    (ERASING, lambda run: [Writer(run, "plain", erasing, PLAIN)]),
    (START, lambda run: [Writer(run, "plain", plain, PLAIN)]),
]


# The last step of storage/sqlite_schema.c undone, and the format that it led to:
# who adds one changes both.
FORMAT = 7
UNDO = """
    ALTER TABLE state DROP COLUMN labelled_images;
    DROP TABLE finetune;
    PRAGMA user_version = %d;""" % (FORMAT - 1)


def downgrade(run):
    """The file of a collection as it was before its last step."""
    path = run.file_of(run.directory, "plain")
    db = sqlite3.connect(path)
    equal(db.execute("PRAGMA user_version").fetchone()[0], FORMAT, "format")
    db.executescript(UNDO)
    db.close()
    Path(str(path) + "-open").unlink(missing_ok=True)


def end_at(run, moment, number, times):
    """A life that ends at a moment; returns whether that is a clean end."""
    if moment.startswith("upgrade"):
        downgrade(run)

    def until():
        wait_until(lambda: run.errors or not run.alive(), "it is passed")
    try:
        run.launch("%s:1:%d:%d" % (moment, number, times))
        run.load(until)
    except Cut:
        pass
    code = run.daemon.process.wait()
    run.daemon.check_reports()
    if number == signal.SIGKILL or (times > 1 and code == -number):
        # A second signal ends it at once, if it comes while all is closed.
        equal(code, -number, "exit status")
        return False
    equal(code, 0, "exit status")
    return True


def walk(moments, writers, number, times):
    """Each of these moments, and a look at all after each."""
    run = Run(5, writers=writers)
    run.setup()
    for moment in moments:
        try:
            clean = end_at(run, moment, number, times)
            before = run.daemon.log().count("did not end cleanly")
            run.launch()
            run.wait_ready()
            run.check_all()
            equal(run.daemon.log().count("did not end cleanly") == before,
                  clean, "whether it was a clean end")
        except BaseException as error:
            note(run.daemon.log()[-3000:])
            raise Failed("at \"%s\": %s: %s" % (
                moment, type(error).__name__, error)) from error
        run.crash()
    run.finish()
    run.remove()


def walk_all(number, times=1, which=slice(None)):
    errors = []

    def guarded(moments, writers):
        try:
            walk(moments[which], writers, number, times)
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=guarded, args=g) for g in GROUPS
               if g[0][which]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@test("each moment of the table has its turn")
def _():
    mine = [m for moments, _ in GROUPS for m in moments]
    equal(sorted(mine), sorted(MOMENTS), "moments")


@test("kill -9 at each moment: all that was acknowledged is there, once")
def _():
    # Under a sanitizer half of them: what is on the disk is the same.
    walk_all(signal.SIGKILL, 1, slice(0, None, 2) if SANITIZER and not ALL
             else slice(None))


@test("SIGTERM at such moments is a clean end, and nothing is lost")
def _():
    walk_all(signal.SIGTERM, 1, slice(None) if ALL else slice(0, None, 4))


@test("with a second one right behind it nothing is lost either")
def _():
    walk_all(signal.SIGTERM, 2, slice(None) if ALL else slice(2, None, 4))


@test("a moment that there is not is refused")
def _():
    unused = Daemon()
    for text in ("commit:1:9", "commit done:0:9", "commit done:1",
                 "commit done:1:9:", "commit done:1:9:0", "commit done:1:9:1x",
                 "commit done"):
        done = subprocess.run([str(AKIND), "--data-dir", unused.directory],
                              env=dict(os.environ, AKIND_MOMENT=text),
                              capture_output=True, text=True, timeout=DEADLINE)
        equal(done.returncode, 78, "exit status of %s" % text)
        check("AKIND_MOMENT" in done.stderr, done.stderr)


main()
