#!/usr/bin/python3 -B
"""Another extractor takes over: while rows come and searches go on, through
kills, and back again."""

from akin_test import *

import sqlite3

GRAPH = """akin-net 1
input image 3 16 16 mean=0.5,0.5,0.5 std=0.25,0.25,0.25
conv c image out=%d k=4,4 stride=4 pad=0 groups=1 bias=1
%s r c
avgpool p r k=2 stride=2 pad=0
linear l p out=4 bias=1
feature p
output l
"""
HMOH = {"kind": "hmoh", "params": {"seed": 3, "kernel_anchors": 40}}
RNG = np.random.default_rng(11)
PALETTE = RNG.integers(0, 256, (4, 4, 4, 3))
N = 1200


def network(channels, activation="relu", scale=.2):
    """With features of 4 * channels."""
    return akx(GRAPH % (channels, activation), [
        RNG.normal(0, scale, (channels, 3, 4, 4)),
        RNG.normal(0, .1, channels),
        RNG.normal(0, .1, (4, 4 * channels)), np.zeros(4)])


def picture(label):
    x = np.clip(PALETTE[label] + RNG.normal(0, 40, (4, 4, 3)), 0, 255)
    return png(np.kron(x, np.ones((6, 6, 1))).astype(np.uint8))


LABELS = RNG.integers(4, size=4 * N)
PICTURES = [picture(label) for label in LABELS]

daemon = Daemon().start()


def put(name, body):
    return daemon.put("/v1/extractors/%s/import" % name, body,
                      type="application/octet-stream").expect(201)


def send(c, first, n, **query):
    rows = slice(first, first + n)
    return c.batch(image_batch(PICTURES[rows],
                               [["c%d" % y] for y in LABELS[rows]], first),
                   MULTIPART, **query)


def job(id):
    return daemon.get("/v1/jobs/%d" % id).expect(200).json


def promote(target, extractor, **rest):
    rest.setdefault("gate", None)
    return daemon.post("/v1/jobs", dict(
        rest, kind="promote", target=target,
        params={"extractor": extractor})).expect(202).json["id"]


def ended(id, state="succeeded"):
    done = wait_until(lambda: job(id) if job(id)["ended"] else None,
                      "job %d has ended" % id)
    equal(done["state"], state, "state of %r" % done)
    return done


def finds_itself(c, i):
    """An item is at distance 0 from its image: one version has made both."""
    reply = c.daemon.post(c.path + "/search", PICTURES[i], type="image/png",
                          limit=1000).expect(200)
    hits = {hit["id"]: hit["distance"] for hit in reply.json["items"]
            if hit["distance"] == 0}
    check(i in hits, "item %d is not at distance 0 from itself" % i)
    return int(reply.headers["akin-model-version"])


def consistent(c):
    """Codes are those of the stored vectors under the version that serves."""
    ids, codes = c.codes()
    shown = {i["id"]: i["vector"] for i in c.items(**{"with": "vector"})}
    vectors = np.array([shown[i] for i in ids], np.float32)
    check((c.encode(vectors) == codes).all(), "codes are not of the vectors")
    equal(len(ids), c.info()["items"], "items")
    return vectors.shape[1]


def collection(name, extractor, rows=N, at=None):
    c = (at or daemon).collection(name, bits=32, extractor=extractor, model=HMOH,
                          images={"store": "original"})
    for at in range(0, rows, 200):
        send(c, at, min(200, rows - at))
    c.publish()
    return c


NETWORKS = {"small": network(4), "large": network(6, "tanh")}
for name, body in NETWORKS.items():
    put(name, body)
c = collection("pics", "small")


@test("rows come and searches go on while an extractor takes over")
def _():
    before = c.info()
    equal(before["extractor"], {"name": "small", "version": 1}, "extractor")
    equal(consistent(c), 16, "dim")
    stop, seen, failures = threading.Event(), set(), []

    def ask():
        rng = random.Random(5)
        while not stop.is_set():
            try:
                seen.add(finds_itself(c, rng.randrange(N)))
            except Exception as why:
                failures.append(repr(why))
                return
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    id = promote("pics", "large")
    sent, done = N, None
    while not done:
        if sent < 3 * N:
            send(c, sent, 20)
            sent += 20
        if job(id)["ended"]:
            done = ended(id)
    for k in range(3):  # and after it
        sent += send(c, sent, 20, ack="visible")["accepted"]
    stop.set()
    for thread in threads:
        thread.join()
    equal(failures, [], "searches")
    equal(seen, {before["model_versions"]["published"],
                 done["result"]["version"]}, "versions that answered")
    info = c.info()
    equal(info["extractor"], {"name": "large", "version": 1}, "extractor")
    equal(info["features"]["dim"], 24, "dim")
    equal(info["items"], sent, "items")
    c.wait_learned(info["seq"])
    equal(c.info()["model_versions"]["live_samples"], sent, "samples")
    equal(consistent(c), 24, "dim")
    note("%d rows came meanwhile; versions %r" % (sent - N, seen))
    c.sent = sent


@test("vectors are not taken any more, since both extractors need an image")
def _():
    reply = daemon.post(c.path + "/batches", {"items": [
        {"id": 9999, "vector": [0.5] * 24, "labels": ["c0"]}]})
    reply.problem(422, "unsupported-option")
    reply = daemon.post(c.path + "/batches", npy_batch(
        np.ones((2, 24), np.float32), ["c0", "c1"]), type=MULTIPART)
    reply.problem(422, "unsupported-option")
    equal(c.info()["items"], c.sent, "items")


@test("a rollback serves the extractor before, also what came after it")
def _():
    versions = [v["version"] for v in c.models() if v["state"] == "previous"]
    daemon.post("%s/models/%d/rollback" % (c.path, versions[0]),
                ack="visible").expect(200)
    send(c, c.sent, 30, ack="visible")
    c.sent += 30
    for i in (0, N - 1, N + 5, c.sent - 1):
        equal(finds_itself(c, i), versions[0], "version")
    equal(consistent(c), 16, "dim")
    found = c.search({"id": c.sent - 1}, limit=20,
                     rerank={"by": "feature"})["items"]
    x = np.array([c.item(i, **{"with": "vector"}).json["vector"]
                  for i in [c.sent - 1] + [hit["id"] for hit in found]])
    scores = 1 / (1 + np.linalg.norm(x[1:] - x[0], axis=1))
    difference = np.abs(scores - [hit["score"] for hit in found]).max()
    check(difference < 1e-5, "a score by feature is off by %g" % difference)
    daemon.kill()
    daemon.start()
    equal(finds_itself(c, c.sent - 1), versions[0], "version")
    equal(consistent(c), 16, "dim")
    # The learner is the promoted one's, and its next version is of its kind.
    c.publish()
    equal(consistent(c), 24, "dim")


@test("what nobody takes any more leaves the file")
def _():
    c.publish()
    file = sqlite3.connect("file:%s?mode=ro" % next(
        (Path(daemon.temporary) / "data").glob("collections/*.db")), uri=True)

    def spaces():
        return [row[0] for row in file.execute("SELECT number FROM spaces")]
    wait_until(lambda: spaces() == [1], "only the vectors of `large` are there")
    equal(file.execute("SELECT count(*) FROM blocks WHERE space = 0"
                       ).fetchone()[0], 0, "blocks")
    file.close()
    daemon.kill()
    daemon.start()
    equal(consistent(c), 24, "dim")


@test("killed at any moment it goes on")
def _():
    put("large", network(6, "tanh"))
    d = collection("killed", "small", 400)
    out = akin_ok("promote", "killed", "-e", "large@2", "--no-gate",
                  "--no-watch", "--json", daemon=daemon)
    id = json.loads(out)["id"]
    kills = 0
    while not job(id)["ended"] and kills < 12:
        time.sleep(.02 * kills)
        daemon.kill()
        daemon.start()
        kills += 1
    ended(id)
    equal(d.info()["extractor"], {"name": "large", "version": 2}, "extractor")
    for i in (0, 399):
        finds_itself(d, i)
    equal(consistent(d), 24, "dim")
    note("%d kills" % kills)


@test("paused on the way it goes on")
def _():
    d = collection("rests", "small", 400)
    id = promote("rests", "large")
    pauses = 0
    for n in range(12):
        time.sleep(.02 * n)
        # Unless it has ended, or is about to.
        if daemon.post("/v1/jobs/%d/pause" % id).status != 202:
            break
        now = wait_until(lambda: job(id) if job(id)["ended"] or
                         job(id)["state"] == "paused" else None, "it rests")
        pauses += now["state"] == "paused"
        daemon.post("/v1/jobs/%d/resume" % id)
    ended(id)
    equal(d.info()["extractor"]["name"], "large", "extractor")
    for i in (0, 399):
        finds_itself(d, i)
    equal(consistent(d), 24, "dim")
    note("%d pauses" % pauses)


@test("killed at the moments of its writing it goes on")
def _():
    for moment in ("extractor vectors written:1", "generation begun:1",
                   "install written:1", "install committed:1",
                   "install learnt:1", "flip written:3", "flip committed:2"):
        there = Daemon(env={"AKIND_MOMENT": moment + ":9"}).start()
        for name, body in NETWORKS.items():
            there.put("/v1/extractors/%s/import" % name, body,
                      type="application/octet-stream").expect(201)
        d = collection("pics", "small", 400, at=there)
        there.expected = False
        id = there.post("/v1/jobs", {
            "kind": "promote", "target": "pics", "gate": None,
            "params": {"extractor": "large"}}).expect(202).json["id"]
        try:
            there.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            fail("nobody passed %s" % moment)
        equal(there.process.returncode, -9, "end at %s" % moment)
        there.env.pop("AKIND_MOMENT")
        there.start()
        done = wait_until(
            lambda: (lambda j: j if j["ended"] else None)(
                there.get("/v1/jobs/%d" % id).expect(200).json), "the end")
        equal(done["state"], "succeeded", "after %s" % moment)
        equal(d.info()["extractor"]["name"], "large", "extractor")
        for i in (0, 399):
            finds_itself(d, i)
        equal(consistent(d), 24, "dim after %s" % moment)
        there.stop()


@test("many threads compute what one does")
def _():
    found = []
    for threads in (1, 4):
        there = Daemon(args=["--pool-threads", str(threads)]).start()
        for name, body in NETWORKS.items():
            there.put("/v1/extractors/%s/import" % name, body,
                      type="application/octet-stream").expect(201)
        d = collection("pics", "small", 600, at=there)
        id = there.post("/v1/jobs", {
            "kind": "promote", "target": "pics", "gate": None,
            "params": {"extractor": "large"}}).expect(202).json["id"]
        wait_until(lambda: there.get("/v1/jobs/%d" % id).json["ended"],
                   "the promotion ends")
        equal(consistent(d), 24, "dim")
        found.append([d.items(**{"with": "vector"}), d.codes()[1].tobytes(),
                      d.model_bytes()])
        there.stop()
    for what, one, many in zip(("items", "codes", "model"), *found):
        check(one == many, "%s differ" % what)
    equal(len(found[0][0]), 600, "items")


@test("what is worse is refused, and all is as it was")
def _():
    put("dull", network(5, "hardtanh", 0))
    d = collection("kept", "small")
    before = d.model_bytes()
    done = ended(promote("kept", "dull", gate={"max_quality_loss": .01}),
                 "failed")
    check("loss" in done["error"], done["error"])
    equal(d.info()["extractor"], {"name": "small", "version": 1}, "extractor")
    equal(d.model_bytes(), before, "the model")
    d.learn(np.ones((1, 16), np.float32), ["c0"], ids=[7000], ack="visible")
    equal(consistent(d), 16, "dim")
    daemon.delete("/v1/extractors/dull").expect(204)


@test("a canceled one leaves no trace")
def _():
    d = Collection(daemon, "kept")
    id = promote("kept", "large")
    daemon.post("/v1/jobs/%d/cancel" % id).expect(202, 409)
    done = wait_until(lambda: job(id) if job(id)["ended"] else None, "the end")
    if done["state"] == "canceled":
        equal(d.info()["extractor"], {"name": "small", "version": 1},
              "extractor")
        equal(consistent(d), 16, "dim")


@test("an extractor that a version needs is not removed")
def _():
    daemon.delete("/v1/extractors/small").problem(409, "state-conflict")
    daemon.delete("/v1/extractors/large").problem(409, "state-conflict")


@test("a snapshot after it restores to the same")
def _():
    body = {"kind": "snapshot", "target": "pics", "params": {"name": "after"}}
    ended(daemon.post("/v1/jobs", body).expect(202).json["id"])
    ended(daemon.post("/v1/jobs", {
        "kind": "restore", "target": "again",
        "params": {"snapshot": "after"}}).expect(202).json["id"])
    again = Collection(daemon, "again")
    equal(again.info()["extractor"], c.info()["extractor"], "extractor")
    equal(consistent(again), 24, "dim")
    finds_itself(again, 17)
    ended(daemon.post("/v1/jobs", {"kind": "verify", "target": "again"}
                      ).expect(202).json["id"])


@test("a snapshot has the extractors of all versions that are kept")
def _():
    d = collection("moved", "small", 400)
    ended(promote("moved", {"name": "large", "version": 1}))
    for first in range(400, 500, 20):  # vectors of `large` alone
        send(d, first, 20, ack="visible")
    before, = [v["version"] for v in d.models() if v["state"] == "previous"]
    after = d.info()["model_versions"]["published"]

    def keep(name):
        ended(daemon.post("/v1/jobs", {
            "kind": "snapshot", "target": "moved",
            "params": {"name": name}}).expect(202).json["id"])

    keep("of-new")
    daemon.post("%s/models/%d/rollback" % (d.path, before),
                ack="visible").expect(200)
    keep("of-old")

    # Elsewhere the same names mean others.
    there = Daemon().start()
    other = {name: network(3, scale=.1) for name in NETWORKS}
    for name, body in other.items():
        there.put("/v1/extractors/%s/import" % name, body,
                  type="application/octet-stream").expect(201)

    def there_job(kind, target, state="succeeded", at=there, **params):
        id = at.post("/v1/jobs", {"kind": kind, "target": target,
                                  "params": params}).expect(202).json["id"]
        done = wait_until(lambda: (lambda j: j if j["ended"] else None)(
            at.get("/v1/jobs/%d" % id).expect(200).json), "the end")
        equal(done["state"], state, "%s (%s)" % (kind, done["error"]))
        return at.get("/v1/jobs/%d/log" % id).expect(200).body.decode()

    for name, serves in (("of-new", after), ("of-old", before)):
        shown = daemon.get("/v1/snapshots/" + name).expect(200).json
        equal(shown["extractor"], {"name": "large", "version": 1}, "extractor")
        equal(shown["extractors"], [{"name": "large", "version": 1},
                                    {"name": "small", "version": 1}],
              "extractors")
        equal([f["name"] for f in shown["files"]],
              ["collection.db", "extractor.akx", "extractor-2.akx"], "files")
        equal(sum(f["bytes"] for f in shown["files"]), shown["bytes"], "bytes")
        shutil.copytree(Path(daemon.directory) / "snapshots" / name,
                        Path(there.directory) / "snapshots" / name)
        there_job("verify", name, of="snapshot")
        there_job("restore", name, snapshot=name)
        e = Collection(there, name)
        equal(e.info()["extractor"], {"name": "large", "version": 2},
              "the extractor here")
        for restarted in (False, True):
            if restarted:
                there.kill()
                there.start()
            for version in (serves, before, after):
                if version != e.info()["model_versions"]["published"]:
                    there.post("%s/models/%d/rollback" % (e.path, version),
                               ack="visible").expect(200)
                for i in (0, 399, 400, 499):
                    equal(finds_itself(e, i), version, "version")
                equal(consistent(e), 16 if version == before else 24, "dim")
            there.post("%s/models/%d/rollback" % (e.path, serves),
                       ack="visible").expect(200)
    # What is published there is not for a restore to change.
    for name in NETWORKS:
        shown = there.get("/v1/extractors/" + name).json
        equal((shown["published"], len(shown["versions"])), (1, 2), name)
        there.delete("/v1/extractors/" + name).problem(409, "state-conflict")
    # A file that is damaged is needed where the network is not known.
    place = Path(there.directory) / "snapshots" / "of-old"
    damaged = place / "extractor-2.akx"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    there_job("restore", "half", snapshot="of-old")
    log = there_job("verify", "of-old", "failed", of="snapshot")
    check(damaged.name in log, log)
    bare = Daemon().start()
    shutil.copytree(place, Path(bare.directory) / "snapshots" / "of-old")
    log = there_job("restore", "half", "failed", at=bare, snapshot="of-old")
    check(damaged.name in log, log)
    bare.get("/v1/collections/half").problem(404, "not-found")
    bare.stop()
    # A snapshot of before has the network of now alone, and no list.
    manifest = json.loads((place / "manifest.json").read_text())
    del manifest["extractors"], manifest["files"][2]
    damaged.unlink()
    (place / "manifest.json").write_text(json.dumps(manifest))
    there_job("verify", "of-old", of="snapshot")
    there_job("restore", "older", snapshot="of-old")
    equal(Collection(there, "older").info()["extractor"],
          {"name": "large", "version": 2}, "the extractor of one of before")
    there.stop()


@test("what cannot be promoted is told")
def _():
    daemon.collection("bare", bits=32, dim=8, model=HMOH)
    daemon.collection("lossy", bits=32, extractor="small", model=HMOH)
    daemon.collection("floor", bits=32, extractor="small",
                      model={"kind": "lsh"}, images={"store": "original"})

    def ask(target, params):
        return daemon.post("/v1/jobs", {"kind": "promote", "target": target,
                                        "params": params})
    large = {"extractor": "large"}
    for target in ("bare", "lossy", "floor"):
        ask(target, large).problem(422, "unsupported-option", "/target")
    ask("pics", {}).problem(422, "validation-failed", "/params/extractor")
    ask("pics", {"extractor": None}).problem(422, "validation-failed",
                                             "/params/extractor")
    ask("pics", {"extractor": "none"}).problem(422, "unsupported-option",
                                               "/params/extractor")
    ask("pics", {"extractor": {"name": "large", "version": 1}}).problem(
        409, "state-conflict", "/params/extractor")
    ask("pics", {"extractor": "large", "x": 1}).problem(
        422, "unknown-field", "/params/x")
    daemon.post("/v1/jobs", {"kind": "rebuild", "target": "pics",
                             "params": large}).problem(422, "unknown-field")


main()
