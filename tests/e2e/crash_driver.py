#!/usr/bin/python3 -B
"""Kills a daemon at random moments under a mixed load, or lets the power fail,
and looks after each start whether all is there that was acknowledged.

usage: crash_driver.py [--kills N] [--losses N] [--seed S] [--lives N]

An episode is a data directory with several collections, each with a writer of
its own that sends one request after the other, and goes on after a crash with
the request that had no answer.  So what a collection must hold is known at each
moment but for that one request, which happened whole or not at all:

  stream  a method that learns row by row; numbered batches (Akin-Producer),
          upserts, deletes, new labels, publishes, rollbacks, rebuilds
  blocks  a method that gathers blocks; ids that are given by the daemon, so that
          a batch that is taken twice shows
  plain   lsh with string ids; upserts, deletes, erasures
  keeper  collections made and deleted, snapshots of `stream` taken, restored as
          collections, compared with the prefix that they are, and deleted

After a start: each collection has the items of its ledger, with their labels and
vectors, in order of arrival, and no others; the exported codes are those that the
exported model of the version gives to these vectors, made without the daemon
(encode.c); searches find what a loop over these codes finds; producers, jobs,
names and snapshots are as they were told.

At the end of an episode: the records of the file are the requests of the ledger,
each once and in order; and a copy whose learners' checkpoints are taken away, so
that all is learnt from the first record on by a daemon that nobody disturbs,
publishes the same bytes.

A crash is kill -9 at a random time, in the middle of a start, or at a random
moment of core/base/moment.h.  With --losses the folder then becomes what a disk
may hold (power_disk.py).  Now and then it is SIGTERM instead.
"""

import argparse
import re
import sqlite3

import power_disk
from akin_test import *
from crash_load import *

LIVES = 25  # crashes of an episode
ENCODE = BUILD / "tests" / "e2e" / "encode"
# Those of extractors and fine-tunings are in other tests: there are none in this
# load.
MOMENTS = [m for m in re.findall(r'X\(AK_AT_\w+, "([^"]+)"\)', (
    SOURCE / "core" / "base" / "moment.h").read_text())
    if not m.startswith(("extractor", "fine-tuning"))]
LEARNERS = [("hmoh", "fcoh"), ("hcoh", "sdoh")]


class Cut(Exception):
    """The daemon has died, as it was told."""


# ------------------------------------------------------------------ an episode


def mixed(run):
    """The writers of an episode."""
    first, second = LEARNERS[run.seed % len(LEARNERS)]
    return [Writer(run, "stream", stream, learner(first)),
            Writer(run, "blocks", blocks, learner(second)),
            Writer(run, "plain", plain, PLAIN),
            Writer(run, "keeper", keeper)]


class Run:
    """One data directory and what is done to it."""

    def __init__(self, seed, losses=False, lies=False, writers=None):
        self.seed, self.losses = seed, losses
        self.rng = random.Random("run %s" % seed)
        self.daemon = Daemon(args=["--drain-delay", "0"])
        self.directory = Path(self.daemon.directory)
        self.journal = Path(self.daemon.temporary) / "journal"
        self.counts = dict.fromkeys(("kill", "start", "moment", "term",
                                     "checks", "repeated", "restored"), 0)
        self.errors = []
        self.answered = 0  # requests of the load; about
        self.names, self.snapshots = set(), set()
        self.prefixes, self.restoring = {}, None
        self.halt = threading.Event()
        self.disk = None
        if losses:
            self.directory.mkdir(mode=0o700)
            library = power_disk.build(self.daemon.temporary)
            if library is None:
                raise Skip("no compiler")
            self.daemon.env.update(LD_PRELOAD=library,
                                   POWER_FOLDER=str(self.directory),
                                   POWER_JOURNAL=str(self.journal))
            if lies:
                self.daemon.env["POWER_LIES"] = "1"
        self.writers = {w.name: w for w in (writers or mixed)(self)}
        self.collections = [w for w in self.writers.values() if w.settings]

    # -- its lives

    def alive(self):
        return self.daemon.process.poll() is None

    def launch(self, moment=None):
        """A new process; raises Cut if it ends at its moment."""
        self.daemon.env.pop("AKIND_MOMENT", None)
        if moment:
            self.daemon.env["AKIND_MOMENT"] = moment
        if self.losses:
            self.disk = power_disk.Disk(self.directory)
            self.journal.unlink(missing_ok=True)
        try:
            self.daemon.launch()
        except Failed:
            if moment and self.daemon.process.poll() in (-signal.SIGKILL, 0):
                raise Cut()
            raise
        self.daemon.expected = False

    def wait_ready(self):
        wait_until(lambda: self.get("/readyz", (200, 503)).status == 200,
                   "akind is ready")

    def crash(self):
        """kill -9, and what a disk keeps of it."""
        status = self.daemon.process.poll()
        check(status in (None, -signal.SIGKILL, 0), "akind ended with %s\n%s" %
              (status, self.daemon.log()[-3000:]))
        self.daemon.kill()
        self.daemon.check_reports()
        if self.losses:
            self.disk.follow(self.journal)
            self.disk.fail(self.rng.random())

    def setup(self):
        """Collections that have learnt a little, and serve a version of it."""
        self.launch()
        self.wait_ready()
        for w in self.collections:
            self.daemon.put(w.path, dict(w.settings, bits=BITS, features={
                "dim": DIM})).expect(201)
            self.names.add(w.name)
            c = Collection(self.daemon, w.name)
            for request in w.first():
                self.answer(w, request, self.send(request))
            if w.name != "plain":
                c.publish()
        self.check_all()
        self.crash()

    def get(self, path, accept=(200,), **query):
        """Of a daemon that may die meanwhile."""
        while True:
            try:
                return self.daemon.get(path, timeout=30 * SLOW,
                                       **query).expect(*accept)
            except (OSError, http.client.HTTPException):
                if not self.alive():
                    raise Cut()
                time.sleep(0.002)

    # -- the load

    def send(self, request):
        return self.daemon.request(
            request.method, request.path, request.body, type=request.type,
            headers=request.headers, timeout=30 * SLOW, **request.query)

    def answer(self, w, request, reply):
        reply.expect(*request.accept)
        self.answered += request.method != "GET"
        if request.unsure:
            self.counts["repeated"] += 1
        if request.kind:
            seq = reply.json.get("seq")
            # A key is known for a day, whatever it led to.
            w.ledger.note(seq, request.kind, request.change)
        if request.made:
            self.names.add(request.made)
        if request.gone:
            if not request.unsure:
                reply.expect(204)
            self.names.discard(request.gone)
        return reply

    def work(self, w):
        """One writer, until the daemon is gone."""
        try:
            while not self.halt.is_set():
                if w.request is None:
                    w.request = w.story.send(w.reply)
                    w.reply = None
                    if w.request is None:
                        continue
                try:
                    reply = self.send(w.request)
                except (OSError, http.client.HTTPException):
                    w.request.unsure = True
                    if not self.alive():
                        return
                    time.sleep(0.001)
                    continue
                if reply.status in (429, 503):
                    time.sleep(0.002)
                    continue
                w.reply = self.answer(w, w.request, reply)
                w.request = None
        except BaseException as error:
            self.errors.append(error)

    def load(self, until):
        """The writers at work, until `until()` returns."""
        self.halt.clear()
        threads = [threading.Thread(target=self.work, args=(w,))
                   for w in self.writers.values()]
        for thread in threads:
            thread.start()
        try:
            until()
        finally:
            self.halt.set()
            for thread in threads:
                thread.join()
            # Why `until()` waited in vain, if it did.
            if self.errors:
                raise self.errors[0]

    def life(self):
        """A start, a look at all, load, and a crash."""
        what = self.rng.random()
        moment = None
        if what < 0.15:
            self.launch()
            time.sleep(self.rng.uniform(0, 0.06))
            self.counts["start"] += 1
            return
        if what < 0.45:
            moment = "%s:%d:9" % (self.rng.choice(MOMENTS),
                                  self.rng.choice((1, 1, 1, 2, 3, 5, 8)))
        try:
            self.launch(moment)
            self.wait_ready()
            self.check_all()
        except Cut:
            self.counts["moment"] += 1
            return
        # Not by time, so that a slow machine has as much of a load.
        wanted = self.answered + self.rng.randint(0, 80 if moment else 40)
        end = time.monotonic() + 5

        def until():
            while self.alive() and self.answered < wanted and \
                    time.monotonic() < end:
                time.sleep(0.001)
            time.sleep(self.rng.uniform(0, 0.01))
            if not self.alive():
                self.counts["moment"] += 1
            elif 0.95 < what:
                self.counts["term"] += 1
                equal(self.daemon.terminate(), 0, "exit status of a SIGTERM")
            else:
                self.counts["kill"] += 1
                self.daemon.process.kill()
                self.daemon.process.wait()
        self.load(until)

    def crashes(self, n, between=None):
        for _ in range(n):
            self.life()
            self.crash()
            if between:
                between(self)

    # -- what must hold

    def check_all(self):
        self.counts["checks"] += 1
        progress = self.get("/readyz").json["progress"]
        equal((progress["failed"], progress["logs_lost"]), (0, 0),
              "failed and logs_lost")
        for w in self.collections:
            version = self.check_items(w.path,
                                       [w.ledger.items] + self.perhaps(w))
            check(w.rolls_back or version >= w.served, "version %d of %s "
                  "serves, before it was %d" % (version, w.name, w.served))
            w.served = version
        self.check_producer()
        self.check_names()
        for name, seq in list(self.prefixes.items()):
            w = self.writers["stream"]
            states = [w.ledger.until(seq)]
            states += self.perhaps(w, states[0])
            self.check_items("/v1/collections/" + name, states)
            del self.prefixes[name]
            self.counts["restored"] += 1
        for w in self.collections:
            for job in w.jobs[-3:]:
                now = self.get("/v1/jobs/%d" % job).json
                check(now["state"] != "failed", "job %r" % now)

    def perhaps(self, w, items=None):
        """What is there, too, if the request without an answer happened."""
        if not (w.request and w.request.unsure and w.request.change):
            return []
        items = dict(w.ledger.items if items is None else items)
        try:
            w.request.change(items)
        except KeyError:
            return []
        return [items]

    def one_moment(self, path):
        """(items, codes, version) as exports of one state have them."""
        def both():
            a = self.get(path + "/export", format="codes")
            b = self.get(path + "/export")
            fields = ("akin-model-version", "akin-seq")
            if [a.headers[f] for f in fields] != [b.headers[f]
                                                  for f in fields]:
                return None
            items = {}
            for line in b.body.decode().splitlines():
                item = json.loads(line)
                check(item["id"] not in items, "%r is there twice" % item["id"])
                items[item["id"]] = item
            return items, from_npy(a.body), int(a.headers[fields[0]])
        stream = self.get(path + "/stream").json
        wait_until(lambda: self.get(path + "/stream").json["visible_seq"] >=
                   stream["durable_seq"], "all is visible")
        return wait_until(both, "two exports of one state")

    def check_items(self, path, states):
        """Returns the version that serves."""
        found, codes, version = self.one_moment(path)
        ids = list(found)
        of = [{i: tuple(sorted(labels)) for i, (_, labels) in state.items()}
              for state in states]
        have = {i: tuple(sorted(item.get("labels", [])))
                for i, item in found.items()}
        if not any(ids == list(o) and have == o for o in of):
            lost = [i for i in of[0] if i not in have]
            more = [i for i in have if i not in of[-1]]
            other = [i for i in have if i in of[0] and have[i] != of[0][i]]
            fail("%s is not as acknowledged: lost %s, more %s, other labels "
                 "%s, or another order" % (path, short(lost, 150),
                                           short(more, 150),
                                           short(other, 150)))
        state = [s for s, o in zip(states, of)
                 if ids == list(o) and have == o][0]
        rows = [state[i][0] for i in ids]
        if not ids:
            return version
        vectors = np.array([found[i]["vector"] for i in ids], np.float32)
        check(np.array_equal(vectors, X[rows]), "vectors of " + path)
        self.check_codes(path, ids, rows, codes, version)
        return version

    def check_codes(self, path, ids, rows, codes, version):
        """Codes and model of one version, and the search agrees."""
        model = Path(self.daemon.temporary) / "model"
        model.write_bytes(self.get("%s/models/%d/export" % (path,
                                                            version)).body)
        asked = [self.rng.randrange(ROWS) for _ in range(2)]
        done = subprocess.run([str(ENCODE), str(model), str(DIM),
                               str(len(rows) + 2)],
                              input=X[rows + asked].tobytes(),
                              capture_output=True)
        equal(done.returncode, 0, "encode: %s" % done.stderr)
        made = np.frombuffer(done.stdout, np.uint8).reshape(-1, BITS // 8)
        wrong = np.flatnonzero((made[:-2] != codes).any(axis=1))
        check(len(wrong) == 0, "%d of %d codes of %s are not those of model "
              "%d" % (len(wrong), len(ids), path, version))
        for n, row in enumerate(asked):
            found = self.search(path, X[row])
            if found["model_version"] != version:
                continue  # the next one serves since
            # Without BLAS, which several threads at a time do not agree with.
            d = np.unpackbits(codes ^ made[n - 2], axis=1).sum(axis=1)
            order = np.argsort(d, kind="stable")[:10]
            equal([(h["id"], h["distance"]) for h in found["items"]],
                  [(ids[i], int(d[i])) for i in order], "hits in " + path)

    def search(self, path, vector):
        while True:
            try:
                return self.daemon.post(path + "/search", {
                    "query": {"vector": vector.tolist()}, "limit": 10}
                    ).expect(200).json
            except (OSError, http.client.HTTPException):
                if not self.alive():
                    raise Cut()

    def check_producer(self):
        w = self.writers.get("stream")
        if w is None:
            return
        last = self.get(w.path + "/producers/camera").json["last_seq"]
        unsure = w.request and w.request.unsure and w.request.headers and \
            "Akin-Producer" in w.request.headers
        sent = w.batches - bool(w.request and w.request.headers and
                                "Akin-Producer" in w.request.headers)
        check(last == sent or (unsure and last == sent + 1),
              "the producer is at %d, acknowledged is %d" % (last, sent))

    def check_names(self):
        """Collections and snapshots: those that were told, and perhaps that of
        the request without an answer, or of a restore that goes on."""
        w = self.writers.get("keeper")
        perhaps = {self.restoring}
        if w and w.request and w.request.unsure:
            perhaps |= {w.request.made, w.request.gone}
        there = {c["name"] for c in
                 self.get("/v1/collections").json["items"]}
        equal((there ^ self.names) - perhaps, set(), "names in doubt")
        snapshots = self.get("/v1/snapshots").json["items"]
        equal([s for s in snapshots if s["damaged"]], [], "damaged snapshots")
        there = {s["name"] for s in snapshots}
        check(self.snapshots <= there, "snapshots %s are lost" %
              (self.snapshots - there))

    def settle(self):
        """Requests without an answer are sent again."""
        for w in self.writers.values():
            if w.request is not None:
                reply = self.send(w.request)
                w.reply = self.answer(w, w.request, reply)
                w.request = None

    def jobs_at_work(self):
        return [job for job in self.get("/v1/jobs", limit=100).json["items"]
                if not job["ended"]]

    # -- the end of an episode

    def finish(self):
        """Let the writers come to an end, and compare with a calm run."""
        self.launch()
        self.wait_ready()
        self.check_all()
        self.settle()
        # One that its writer had paused would rest for ever.
        for job in self.jobs_at_work():
            self.send(Request("POST", "/v1/jobs/%d/resume" % job["id"],
                              accept=(202, 409)))
        try:
            wait_until(lambda: not self.jobs_at_work(), "the jobs have ended")
        except Failed as error:
            raise Failed("%s: %r" % (error, self.jobs_at_work())) from error
        failed = self.get("/v1/jobs", state="failed").json["items"]
        equal(failed, [], "jobs that failed")
        self.check_all()
        learners = [w for w in self.collections if w.name != "plain"]
        for w in learners:
            c = Collection(self.daemon, w.name)
            c.wait_learned(c.stream()["durable_seq"])
            self.check_served(w)
        equal(self.daemon.terminate(), 0, "exit status")
        for w in self.collections:
            self.check_records(w)
        calm = self.calm_copy()
        models = []
        for daemon in (self.daemon, calm):
            daemon.env.pop("AKIND_MOMENT", None)
            if self.losses:
                for name in ("LD_PRELOAD", "POWER_JOURNAL", "POWER_FOLDER"):
                    daemon.env.pop(name, None)
            daemon.start()
            models.append([])
            for w in learners:
                c = Collection(daemon, w.name)
                c.wait_learned(c.stream()["durable_seq"])
                models[-1].append(hashlib.sha256(c.model_bytes(
                    c.publish())).hexdigest())
            daemon.stop()
        shutil.rmtree(calm.temporary)
        equal(models[0], models[1], "SHA-256 of the models")

    def file_of(self, directory, name):
        db = sqlite3.connect("file:%s?mode=ro" % (Path(directory) /
                                                  "catalog.db"), uri=True)
        number = db.execute("SELECT file FROM files WHERE name = ?",
                            (name,)).fetchone()[0]
        db.close()
        return Path(directory) / "collections" / ("%d.db" % number)

    def check_served(self, w):
        """The last publish, install or rollback decides what serves."""
        path = "file:%s?mode=ro" % self.file_of(self.directory, w.name)

        def decided():
            db = sqlite3.connect(path, uri=True)
            last = db.execute(
                "SELECT seq, kind, version FROM records WHERE kind IN (?, ?, ?)"
                " ORDER BY seq DESC LIMIT 1",
                (PUBLISH, INSTALL, ROLLBACK)).fetchone()
            version, seq = db.execute(
                "SELECT version, at_seq FROM versions WHERE state = ?",
                (PUBLISHED,)).fetchone()
            db.close()
            self.decision = "%s, %s" % (last, (version, seq))
            if last is None:
                return version == 0
            return version == last[2] if last[1] == ROLLBACK else seq == last[0]
        try:
            wait_until(decided, "what was decided last serves")
        except Failed as error:
            raise Failed("%s: %s: %s" % (error, w.name,
                                         self.decision)) from error

    def check_records(self, w):
        db = sqlite3.connect(self.file_of(self.directory, w.name))
        equal(db.execute("PRAGMA integrity_check").fetchone()[0], "ok",
              "integrity of %s" % w.name)
        mine = [(seq, kind) for seq, kind, _ in w.ledger.log if seq]
        # Publishes, installs and flushes are the daemon's own, too.
        own = {seq for seq, _ in mine}
        there = [(seq, kind) for seq, kind in db.execute(
            "SELECT seq, kind FROM records ORDER BY seq")
            if kind not in (FLUSH, PUBLISH, INSTALL) or seq in own]
        seqs = [row[0] for row in db.execute(
            "SELECT seq FROM records ORDER BY seq")]
        db.close()
        equal(seqs, list(range(1, len(seqs) + 1)), "records of " + w.name)
        equal(short([r for r in there if r not in mine]), "[]",
              "records that nobody sent")
        equal(short([r for r in mine if r not in there]), "[]",
              "records that are lost")
        equal(there == mine, True, "order of the records of " + w.name)

    def calm_copy(self):
        """A daemon on a copy in which nothing is learnt yet."""
        calm = Daemon(args=["--drain-delay", "0"])
        shutil.copytree(self.directory, calm.directory)
        for w in self.collections:
            db = sqlite3.connect(self.file_of(calm.directory, w.name))
            db.execute("DELETE FROM checkpoint")
            db.execute("DELETE FROM constants")
            db.commit()
            db.close()
        return calm

    def remove(self):
        if self.daemon.process and self.alive():
            self.daemon.kill()
        if self.daemon in Daemon.all:
            Daemon.all.remove(self.daemon)
        shutil.rmtree(self.daemon.temporary, ignore_errors=True)


def campaign(n, seed, losses=False, lives=LIVES, say=None):
    """n crashes, in episodes; what was done."""
    total = {}
    number = 0
    while n > 0:
        run = Run(seed + number, losses)
        try:
            run.setup()
            run.crashes(min(n, lives))
            run.finish()
        except BaseException:
            print("# episode %d, %s" % (seed + number, run.counts))
            raise
        n -= lives
        number += 1
        for w in run.writers.values():
            for _, kind, _ in w.ledger.log:
                run.counts[KINDS[kind]] = run.counts.get(KINDS[kind], 0) + 1
            run.counts["rebuilds"] = run.counts.get("rebuilds", 0) + len(w.jobs)
        for name, count in run.counts.items():
            total[name] = total.get(name, 0) + count
        if say:
            say("seed %d: %s" % (run.seed, run.counts))
        run.remove()
    return total


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--losses", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lives", type=int, default=LIVES)
    return parser.parse_args()


if __name__ == "__main__":
    options = parse()
    for wanted, losses in ((options.kills, False), (options.losses, True)):
        if wanted:
            begun = time.monotonic()
            done = campaign(wanted, options.seed, losses, options.lives,
                            lambda line: print(line, flush=True))
            print("%d %s passed in %.0f s: %s" % (
                wanted, "power losses" if losses else "kills",
                time.monotonic() - begun, done), flush=True)
