#!/usr/bin/python3 -B
"""kill -9 during the stream: nothing that was acknowledged is lost, nothing is
there twice, and the model becomes what it would have become anyway.

HMOH's model depends on the order of what is learnt, so that both runs must
agree on it: one writer sends everything that is learnt, batches and new labels,
each when the one before was acknowledged.  Beside it, others upsert and delete
items that are not learnt, each in ids of its own, and readers search.  What
these do interleaves differently in each run and may change neither the model
nor a code.  Rows that are not learnt count for the warm-up, though: so they
begin when it is over.

Each request carries its Idempotency-Key and is repeated, with the same key,
until there is an answer.
"""

from akin_test import *

SEED = 20
KILLS = 20
DIM, BITS = 64, 64
BATCH, BATCHES, WARM = 40, 150, 60  # 60 batches are more than the 2,000 rows
SIDE_ROWS, SIDE_STEPS, SIDE_WRITERS = 20, 60, 2
X, Y = clusters(BATCH * BATCHES, DIM, classes=10, seed=31, spread=0.7)
SIDE, _ = clusters(SIDE_ROWS * SIDE_STEPS * SIDE_WRITERS, DIM, seed=32)
SETTINGS = {"bits": BITS, "features": {"dim": DIM},
            "labels": {"mode": "multi"},
            "model": {"kind": "hmoh",
                      "params": {"seed": 9, "kernel_anchors": 100}}}
PATH = "/v1/collections/stream"


def learner_steps():
    """(key, method, path, body, type) of all that is learnt, in order."""
    steps = []
    for i in range(BATCHES):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        ids = list(range(i * BATCH, (i + 1) * BATCH))
        steps.append(("batch-%05d" % i, "POST", PATH + "/batches",
                      npy_batch(X[rows], ["c%d" % y for y in Y[rows]], ids),
                      MULTIPART))
        if i > WARM and i % 12 == 0:
            steps.append(("label-%05d" % i, "PATCH",
                          "%s/items/%d" % (PATH, i * BATCH - 7),
                          json.dumps({"labels": ["again", "c1"]}).encode(),
                          JSON))
        if i > WARM and i % 30 == 29:
            steps.append(("publish-%05d" % i, "POST",
                          PATH + "/models/publish", None, None))
    return steps


def side_steps(writer):
    """What a writer beside it does, in ids from a million on."""
    steps = []
    first = 1000000 * (writer + 1)
    for i in range(SIDE_STEPS):
        at = (writer * SIDE_STEPS + i) * SIDE_ROWS
        ids = list(range(first + i * SIDE_ROWS, first + (i + 1) * SIDE_ROWS))
        steps.append(("side%d-%05d" % (writer, i), "PUT", PATH + "/items",
                      npy_batch(SIDE[at:at + SIDE_ROWS], None, ids),
                      MULTIPART))
        if i % 3 == 2:
            steps.append(("gone%d-%05d" % (writer, i), "POST",
                          PATH + "/items/delete",
                          json.dumps({"ids": ids[:5]}).encode(), JSON))
    return steps


def side_ids():
    kept = set()
    for writer in range(SIDE_WRITERS):
        first = 1000000 * (writer + 1)
        for i in range(SIDE_STEPS):
            ids = range(first + i * SIDE_ROWS, first + (i + 1) * SIDE_ROWS)
            kept |= set(ids[5:] if i % 3 == 2 else ids)
    return kept


class Run:
    """The stream once, with as many kills as there are moments."""

    def __init__(self, kills):
        self.kills = kills
        self.daemon = Daemon().start()
        self.daemon.put(PATH, SETTINGS).expect(201)
        self.c = Collection(self.daemon, "stream")
        self.done = threading.Event()  # the learner's stream is at its end
        self.warm = threading.Event()
        self.progress = 0
        self.errors = []
        self.answers = {}  # key: seq
        self.replays = 0
        self.searches = 0
        self.lock = threading.Lock()

    def send(self, key, method, path, body, type):
        """Repeat until there is an answer."""
        headers = {"Idempotency-Key": key}
        end = time.monotonic() + DEADLINE
        while True:
            check(time.monotonic() < end, "no answer to %s" % key)
            if self.errors:
                return
            try:
                reply = self.daemon.request(method, path, body, type=type,
                                            headers=headers, timeout=30 * SLOW)
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
                continue
            if reply.status in (429, 503):
                time.sleep(0.005)
                continue
            reply.expect(200, 202)
            with self.lock:
                self.answers[key] = reply.json.get("seq")
                if "idempotency-replayed" in reply.headers:
                    self.replays += 1
            return

    def guard(self, function, *args):
        def run():
            try:
                function(*args)
            except BaseException as error:
                self.errors.append(error)
                self.warm.set()
                self.done.set()
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def learn(self):
        for step in learner_steps():
            self.send(*step)
            if self.errors:
                break
            self.progress += 1
            if self.progress == WARM:
                self.warm.set()
        self.done.set()

    def write(self, writer):
        self.warm.wait()
        for step in side_steps(writer):
            self.send(*step)

    def read(self, seed):
        """Ask for what is there; all answers must be right."""
        rng = random.Random(seed)
        while not self.done.is_set():
            # Acknowledged, so that it is there after any kill.
            known = min(self.progress, WARM) * BATCH
            if known == 0:
                time.sleep(0.005)
                continue
            id = rng.randrange(known)
            try:
                reply = self.daemon.post(
                    PATH + "/search", {"query": {"id": id}, "limit": 5},
                    timeout=30 * SLOW)
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
                continue
            if reply.status == 503:
                time.sleep(0.005)
                continue
            if reply.status == 404:
                # Durable, and not visible yet: it will be.
                time.sleep(0.005)
                continue
            equal(reply.expect(200).json["items"][0]["distance"], 0,
                  "distance of %d to itself" % id)
            self.searches += 1

    def stream(self):
        threads = [self.guard(self.learn)]
        threads += [self.guard(self.write, w) for w in range(SIDE_WRITERS)]
        threads += [self.guard(self.read, r) for r in range(2)]
        rng = random.Random(SEED)
        total = len(learner_steps())
        moments = sorted(rng.sample(range(2, total - 2), self.kills))
        while moments:
            moment = moments.pop(0)
            while self.progress < moment and not self.errors:
                time.sleep(0.001)
            if self.errors:
                break
            time.sleep(rng.uniform(0, 0.03))
            self.daemon.kill()
            self.daemon.launch()
            # Some come while it starts.
            if moments and rng.random() < 0.3:
                moments.pop(0)
                time.sleep(rng.uniform(0, 0.05))
                self.daemon.kill()
                self.daemon.launch()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        self.daemon.wait_ready()
        seq = self.c.stream()["durable_seq"]
        self.c.wait_learned(seq)
        self.version = self.c.publish()
        self.model = self.c.model_bytes(self.version)
        self.items = self.c.items()
        ids, codes = self.c.codes()
        self.ids = ids
        self.codes = {i: code.tobytes() for i, code in zip(ids, codes)}
        self.info = self.c.info()


killed, calm = Run(KILLS), Run(0)


@test("the stream gets through %d kills" % KILLS)
def _():
    killed.stream()
    equal(killed.daemon.starts, KILLS + 1, "starts of the daemon")
    note("%d answers were replays, %d searches" % (killed.replays,
                                                   killed.searches))
    check(killed.searches > 50, "only %d searches" % killed.searches)


@test("and once more without any")
def _():
    calm.stream()


@test("every acknowledged id is there once, and nothing else")
def _():
    expected = set(range(BATCH * BATCHES)) | side_ids()
    for run in (killed, calm):
        ids = [i["id"] for i in run.items]
        equal(len(ids), len(set(ids)), "different ids")
        equal(sorted(set(ids) ^ expected)[:20], [], "ids too many or missing")
        equal(len(run.ids), len(set(run.ids)), "different ids in the search")
        equal(set(run.ids) ^ expected, set(), "ids that the search lacks")
        equal(run.info["items"], len(expected), "items")


@test("each acknowledgement has a place of its own in the sequence")
def _():
    for run in (killed, calm):
        seqs = [s for s in run.answers.values() if s is not None]
        equal(len(seqs), len(set(seqs)), "different seqs")
        equal(len(run.answers), len(learner_steps()) + sum(
            len(side_steps(w)) for w in range(SIDE_WRITERS)), "answers")


@test("what is learnt arrived in the order in which it was sent")
def _():
    for run in (killed, calm):
        ids = [i["id"] for i in run.items if i["id"] < 1000000]
        equal(ids == list(range(BATCH * BATCHES)), True, "order of arrival")


@test("the model is the same, byte for byte")
def _():
    equal(killed.info["model_versions"]["live_samples"],
          calm.info["model_versions"]["live_samples"], "samples learnt")
    equal(hashlib.sha256(killed.model).hexdigest(),
          hashlib.sha256(calm.model).hexdigest(), "SHA-256 of the model")


@test("the codes are the same, and the labels")
def _():
    equal(killed.codes == calm.codes, True, "codes")
    labels = [{i["id"]: i["labels"] for i in run.items}
              for run in (killed, calm)]
    equal(labels[0] == labels[1], True, "labels")


@test("the codes are those of encode")
def _():
    for run in (killed, calm):
        codes = run.c.encode(X)
        wrong = [i for i in range(len(X)) if codes[i].tobytes() !=
                 run.codes[i]]
        equal(wrong, [], "ids whose code differs")


@test("both continue alike")
def _():
    models = []
    for run in (killed, calm):
        run.c.learn(X[:500], ["c%d" % y for y in Y[:500]],
                    ids=list(range(500)), ack="learned")
        models.append(run.c.model_bytes(run.c.publish()))
    equal(models[0] == models[1], True, "models")


main()
