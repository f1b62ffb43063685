#!/usr/bin/python3 -B
"""A short run of crash_driver.py, and that it can fail.  The long one is
docs/promises.md, "Longer"."""

import sqlite3

from crash_driver import *

CRASHES = int(os.environ.get("AKIN_CRASHES", "10"))


def noticed(spoil, *texts, **rest):
    """What is done to a run must be found out."""
    run = Run(3, **rest)
    try:
        run.setup()
        spoil(run)
    except Failed as error:
        check(any(t in str(error) for t in texts), "it says: %s" % error)
        return
    finally:
        run.remove()
    fail("nothing was noticed")


def look(run):
    run.launch()
    run.wait_ready()
    run.check_all()


@test("%d crashes of the process: nothing lost, doubled or mixed" % CRASHES)
def _():
    note(campaign(CRASHES, 1))


@test("%d losses of power: nothing lost, doubled or mixed" % CRASHES)
def _():
    if SANITIZER:
        raise Skip("a sanitizer wants to be the first library")
    note(campaign(CRASHES, 1, losses=True))


@test("a batch that is lost is noticed")
def _():
    def spoil(run):
        before = Path(run.daemon.temporary) / "before"
        shutil.copytree(run.directory, before)
        run.life()
        run.launch()
        run.wait_ready()
        run.settle()  # else a batch may be missing before the next one
        w = run.writers["stream"]
        w.batches += 1
        batch = w.batch(w.ids(5), 5, {"Akin-Producer": "camera; seq=%d" %
                                      w.batches})
        run.answer(w, batch, run.send(batch))
        run.crash()
        shutil.rmtree(run.directory)
        shutil.copytree(before, run.directory)
        look(run)
    noticed(spoil, "is not as acknowledged", "names in doubt", "producer")


@test("a batch that is taken twice is noticed")
def _():
    def spoil(run):
        run.launch()
        run.wait_ready()
        w = run.writers["blocks"]
        batch = w.batch(None, 5, w.key())
        w.next_id += 5
        run.answer(w, batch, run.send(batch))
        run.check_all()
        batch.headers = {}
        run.send(batch).expect(200)
        run.check_all()
    noticed(spoil, "is not as acknowledged")


@test("two batches that change places are noticed")
def _():
    def spoil(run):
        run.launch()
        run.wait_ready()
        w = run.writers["stream"]
        a, b = w.upsert([1, 2, 3]), w.upsert([4, 5, 6])
        first, second = run.send(a), run.send(b)
        w.ledger.log = []
        run.answer(w, b, second)
        w.ledger.log = []
        run.answer(w, a, first)
        run.check_all()
    noticed(spoil, "is not as acknowledged")


@test("codes of another version than the model are noticed")
def _():
    def spoil(run):
        run.launch()
        run.wait_ready()
        c = Collection(run.daemon, "stream")
        w = run.writers["stream"]
        w.batches += 1
        batch = w.batch(w.ids(100), 100, {"Akin-Producer": "camera; seq=%d" %
                                          w.batches})
        run.answer(w, batch, run.send(batch))
        c.publish()
        run.check_all()
        run.daemon.expected = True
        run.daemon.stop()
        with sqlite3.connect(run.file_of(run.directory, "stream")) as db:
            db.execute("UPDATE models SET (crc, data) = (SELECT crc, data FROM "
                       "models AS m WHERE m.version = models.version - 1) "
                       "WHERE version = (SELECT published FROM state)")
        look(run)
    # A full segment, whose codes are stored.
    noticed(spoil, "are not those of model", writers=lambda run: [
        Writer(run, "stream", stream, learner("hmoh"), 4200)])


@test("a learner that is not what the records make of it is noticed")
def _():
    def spoil(run):
        run.launch()
        run.wait_ready()
        c = Collection(run.daemon, "blocks")
        c.wait_learned(c.stream()["durable_seq"])
        equal(run.daemon.terminate(), 0, "exit status")  # it is saved
        # One bit of one of its anchors.
        with sqlite3.connect(run.file_of(run.directory, "blocks")) as db:
            data = bytearray(db.execute("SELECT data FROM constants"
                                        ).fetchone()[0])
            data[-100 * 4] ^= 1
            db.execute("UPDATE constants SET crc = ?, data = ?",
                       (zlib.crc32(data), data))
        run.finish()
    noticed(spoil, "SHA-256 of the models", writers=lambda run: [
        Writer(run, "blocks", blocks, learner("hmoh"))])


@test("a disk that lies is noticed")
def _():
    if SANITIZER:
        raise Skip("a sanitizer wants to be the first library")

    def spoil(run):
        run.crashes(20)
    noticed(spoil, "failed and logs_lost", "is not as acknowledged",
            "instead of starting", "names in doubt", losses=True, lies=True)


main()
