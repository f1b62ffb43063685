"""The mixed load of crash_driver.py: what each writer sends, and what its
collection must hold then."""

from akin_test import *

DIM, BITS = 16, 32
ROWS = 4000
NAME = "item %d \u2603"
PLAIN = {"model": {"kind": "lsh"}, "ids": "string"}
IDS = 600  # that upserts and batches of `stream` draw from
X, Y = clusters(ROWS, DIM, classes=6, seed=71, spread=0.8)
BATCH, UPSERT, DELETE, RELABEL, FLUSH, PUBLISH, ROLLBACK, INSTALL = range(1, 9)
PUBLISHED = 2  # the state of a version
KINDS = [None, "batches", "upserts", "deletes", "relabels", "flushes",
         "publishes", "rollbacks", "installs"]

# --------------------------------------------------------------------- ledgers


class Request:
    """What a writer sends until it is answered.  `kind`: of the record that it
    makes; `change`: of the items, by it."""

    def __init__(self, method, path, body=None, type=None, headers=None,
                 kind=None, change=None, accept=(200,), query=None,
                 made=None, gone=None):
        self.method, self.path, self.body, self.type = method, path, body, type
        self.headers, self.kind, self.change = headers, kind, change
        self.accept, self.query = accept, query or {}
        self.made, self.gone = made, gone  # the name of a collection
        self.unsure = False  # sent, and not answered


def learner(kind, **params):
    return {"model": {"kind": kind, "params": dict(params, seed=3)}}


def putting(ids, rows, labels):
    def change(items):
        for id, row, label in zip(ids, rows, labels):
            items.pop(id, None)
            items[id] = (row, label)
    return change


def taking(ids):
    def change(items):
        for id in ids:
            items.pop(id, None)
    return change


def labelling(id, labels):
    def change(items):
        items[id] = (items[id][0], labels)
    return change


class Ledger:
    """What a collection must hold."""

    def __init__(self):
        self.items = {}  # id: (row of X, labels), in order of arrival
        self.log = []  # (seq, kind, change)

    def note(self, seq, kind, change):
        if self.log and kind and seq:
            check(seq > self.log[-1][0], "record %d comes after %d" % (
                seq, self.log[-1][0]))
        self.log.append((seq, kind, change))
        if change:
            change(self.items)

    def until(self, seq):
        """The items of the prefix up to a record."""
        items = {}
        for at, _, change in self.log:
            if change and at <= seq:
                change(items)
        return items


# --------------------------------------------------------------------- stories
#
# Each is a generator of requests, which gets the answers.


class Writer:
    def __init__(self, run, name, story, settings=None, rows_at_first=400):
        self.run, self.name = run, name
        self.path = "/v1/collections/" + name
        self.settings = settings  # of its collection, if it has one
        self.rows_at_first = rows_at_first
        self.ledger = Ledger()
        self.rng = random.Random("%s %s" % (run.seed, name))
        self.story = story(self)
        self.request = None
        self.reply = None
        self.number = 0
        self.batches = 0  # numbered by a producer
        self.next_id = 0  # that the daemon gives
        self.jobs = []
        self.served = 0  # the version, when it was last looked at
        self.rolls_back = False

    def first(self):
        """What the collection has before anything else."""
        n = self.rows_at_first // 4
        for i in range(4):
            ids = list(range(i * n, (i + 1) * n))
            if self.name == "stream":
                self.batches += 1
                yield self.batch(ids, n, {"Akin-Producer": "camera; seq=%d" %
                                          self.batches})
            elif self.name == "blocks":
                yield self.batch(None, n, self.key())
                self.next_id += n
            else:
                yield self.upsert([NAME % i for i in ids])

    def key(self):
        self.number += 1
        return {"Idempotency-Key": "%s-%06d" % (self.name, self.number)}

    def rows(self, n):
        return [self.rng.randrange(ROWS) for _ in range(n)]

    def ids(self, n):
        return self.rng.sample(range(IDS), n)

    def known(self, n):
        items = list(self.ledger.items)
        return self.rng.sample(items, min(n, len(items)))

    def put(self, method, path, ids, rows, kind, headers, labelled=True):
        labels = [["c%d" % Y[r]] if labelled else [] for r in rows]
        body = npy_batch(X[rows], [l[0] for l in labels] if labelled else None,
                         ids)
        if ids is None:
            ids = list(range(self.next_id, self.next_id + len(rows)))
        return Request(method, self.path + path, body, MULTIPART, headers,
                       kind, putting(ids, rows, labels))

    def batch(self, ids, n, headers):
        return self.put("POST", "/batches", ids, self.rows(n), BATCH, headers)

    def upsert(self, ids):
        return self.put("PUT", "/items", ids, self.rows(len(ids)), UPSERT,
                        self.key(), labelled=self.rng.random() < 0.5)

    def delete(self, ids):
        return Request("POST", self.path + "/items/delete", {"ids": ids},
                       headers=self.key(), kind=DELETE, change=taking(ids))

    def erase(self, id):
        return Request("DELETE", "%s/items/%s" % (self.path, quote(str(id))),
                       headers=self.key(), kind=DELETE, change=taking([id]),
                       query={"erase": "true"})

    def relabel(self, id):
        labels = ["c%d" % self.rng.randrange(6)]
        return Request("PATCH", "%s/items/%s" % (self.path, quote(str(id))),
                       {"labels": labels}, headers=self.key(), kind=RELABEL,
                       change=labelling(id, labels))

    def publish(self, **query):
        return Request("POST", self.path + "/models/publish",
                       headers=self.key(), kind=PUBLISH, accept=(200, 202),
                       query=query)

    def rollback(self, **query):
        """To the version before, if there is one."""
        self.rolls_back = True
        models = (yield self.get(self.path + "/models")).json["items"]
        before = [m["version"] for m in models if m["state"] == "previous"]
        if before:
            yield Request("POST", "%s/models/%d/rollback" % (
                self.path, before[0]), headers=self.key(), kind=ROLLBACK,
                accept=(200, 202), query=query)

    def job(self, kind, target, **rest):
        return Request("POST", "/v1/jobs", dict(rest, kind=kind, target=target),
                       headers=self.key(), accept=(202, 409))

    def get(self, path, accept=(200,)):
        return Request("GET", path, accept=accept)

    def wait(self, id):
        """Until a job has ended: the job."""
        while True:
            now = (yield self.get("/v1/jobs/%d" % id)).json
            if now["ended"]:
                return now
            time.sleep(0.005)


def stream(w):
    while True:
        what = w.rng.random()
        if what < 0.5 or len(w.ledger.items) < 20:
            w.batches += 1
            n = w.rng.randint(1, 40)
            yield w.batch(w.ids(n), n, {"Akin-Producer": "camera; seq=%d" %
                                        w.batches})
        elif what < 0.62:
            yield w.upsert(w.ids(w.rng.randint(1, 20)))
        elif what < 0.72:
            yield w.delete(w.known(w.rng.randint(1, 8)))
        elif what < 0.82:
            yield w.relabel(w.known(1)[0])
        elif what < 0.90:
            yield w.publish()
        elif what < 0.95:
            yield from w.rollback()
        elif what < 0.97:
            reply = yield w.job("rebuild", w.name, gate=None)
            if reply.status == 202:
                w.jobs.append(reply.json["id"])


def blocks(w):
    while True:
        what = w.rng.random()
        if what < 0.75 or len(w.ledger.items) < 20:
            n = w.rng.randint(1, 30)
            reply = yield w.batch(None, n, w.key())
            equal(reply.json["first_id"], w.next_id, "first_id of %r" % reply)
            w.next_id += n
        elif what < 0.9:
            # As many as come, so that the collection stays small.
            yield w.delete(w.known(60 if len(w.ledger.items) > 600 else 10))
        elif what < 0.96:
            yield w.relabel(w.known(1)[0])
        else:
            yield w.publish()


def plain(w):
    names = [NAME % i for i in range(IDS)]
    while True:
        what = w.rng.random()
        if what < 0.7 or len(w.ledger.items) < 20:
            yield w.upsert(w.rng.sample(names, w.rng.randint(1, 30)))
        elif what < 0.9:
            yield w.delete(w.known(w.rng.randint(1, 8)))
        else:
            yield w.erase(w.known(1)[0])


def keeper(w, patient=True):
    """`patient`: what was restored stays until it was looked at."""
    run = w.run
    for n in range(1, 1000000):
        temporary, copy, restored = "t%d" % n, "s%d" % n, "r%d" % n
        settings = {"bits": BITS, "features": {"dim": DIM},
                    "model": {"kind": "lsh"}}
        yield Request("PUT", "/v1/collections/" + temporary, settings,
                      accept=(200, 201), made=temporary)
        reply = yield w.job("snapshot", "stream", params={"name": copy})
        done = yield from w.wait(reply.json["id"])
        equal(done["state"], "succeeded", "state of %r" % done)
        run.snapshots.add(copy)
        run.restoring = restored
        reply = yield w.job("restore", restored, params={"snapshot": copy})
        done = yield from w.wait(reply.json["id"])
        equal(done["state"], "succeeded", "state of %r" % done)
        run.names.add(restored)
        run.restoring = None
        run.prefixes[restored] = done["result"]["seq"]
        while patient and restored in run.prefixes:
            time.sleep(0.01)
            yield None
        run.prefixes.pop(restored, None)
        yield Request("DELETE", "/v1/collections/" + restored,
                      accept=(204, 404), gone=restored)
        yield Request("DELETE", "/v1/collections/" + temporary,
                      accept=(204, 404), gone=temporary)
        run.snapshots.discard(copy)
        yield Request("DELETE", "/v1/snapshots/" + copy, accept=(204, 404))
