#!/usr/bin/python3 -B
"""Models: published, rolled back, and never mixed."""

from akin_test import *

daemon = Daemon().start()

DIM = 16
X, Y = clusters(12000, DIM, classes=5, seed=21, spread=2.0)
LABELS = ["c%d" % y for y in Y]
HMOH = {"kind": "hmoh", "params": {"seed": 2, "kernel_anchors": 64}}
c = daemon.collection("shoes", bits=64, dim=DIM, model=HMOH)


def learn(c, first, n, **query):
    return c.learn(X[first:first + n], LABELS[first:first + n],
                   ids=list(range(first, first + n)), **query)


def versions(c):
    return {m["version"]: m for m in c.models()}


@test("version 0 serves from the beginning")
def _():
    found = versions(c)
    equal(list(found), [0], "versions")
    equal(found[0]["state"], "published", "state")
    codes = c.encode(X[:8])
    check(len({row.tobytes() for row in codes}) > 1, "all codes are alike")


@test("items that arrive before a publish are found under version 0")
def _():
    learn(c, 0, 100, ack="visible")
    answer = c.search({"id": 42}, limit=1)
    equal(answer["model_version"], 0, "model_version")
    equal(answer["items"][0]["distance"], 0, "distance")


@test("a publish brings the next version, and all codes are its codes")
def _():
    learn(c, 100, 3900, ack="learned")
    before = c.info()["model_versions"]["published"]
    version = c.publish()
    check(version > before, "version %d after %d" % (version, before))
    equal(c.info()["model_versions"]["published"], version, "published")
    equal(versions(c)[version]["state"], "published", "state")
    ids, codes = c.codes()
    equal(sorted(ids), list(range(4000)), "ids")
    check((c.encode(X[ids]) == codes).all(), "stored codes are not encode's")


@test("the warm-up ends with a version that learnt")
def _():
    wait_until(lambda: c.info()["model_versions"]["pending_rows"] == 0,
               "no rows are pending")
    samples = c.info()["model_versions"]["live_samples"]
    equal(samples, 4000, "live_samples")
    version = c.publish()
    equal(versions(c)[version]["samples"], 4000, "samples")


@test("learned codes retrieve better than those of version 0")
def _():
    ids, codes = c.codes()
    labels = Y[ids]
    queries = slice(11000, 11200)
    learnt = mean_average_precision(c.encode(X[queries]), Y[queries], codes,
                                    labels)
    other = daemon.collection("floor", bits=64, dim=DIM,
                              model={"kind": "lsh"})
    floor = mean_average_precision(other.encode(X[queries]), Y[queries],
                                   other.encode(X[ids]), labels)
    check(learnt > floor + 0.1, "mAP %.3f learnt, %.3f of lsh" % (learnt,
                                                                   floor))


@test("the model file is ours, and the same each time")
def _():
    data = c.model_bytes()
    equal(data[:4], b"AKIN", "magic")
    equal(c.model_bytes(), data, "bytes")


@test("quality is measured on the stream")
def _():
    quality = c.info()["quality"]
    check(quality["live"] is not None, "live quality is unknown")


@test("staleness says how much the published model has not seen")
def _():
    equal(c.info()["staleness"], 0.0, "staleness after a publish")
    learn(c, 4000, 1000, ack="learned")
    stale = c.info()["staleness"]
    check(0.1 < stale < 0.3, "staleness %.3f after 1,000 of 5,000" % stale)


@test("a rollback serves the version that was before, and pins the policy")
def _():
    daemon.patch(c.path, {"publish": {"policy": "every_batches",
                                      "every_batches": 1000}}).expect(200)
    old = c.info()["model_versions"]["published"]
    old_codes = c.encode(X[:500])
    old_bytes = c.model_bytes()
    new = c.publish()
    check((c.encode(X[:500]) != old_codes).any(), "the model is the same")
    reply = daemon.post("%s/models/%d/rollback" % (c.path, old),
                        ack="visible").expect(200)
    info = c.info()
    equal(info["publish"]["policy"], "manual", "policy")
    served = info["model_versions"]["published"]
    equal(c.model_bytes(served), old_bytes, "model bytes")
    check((c.encode(X[:500]) == old_codes).all(), "codes of the old version")
    # Also of the items that came in between.
    ids, codes = c.codes()
    check((c.encode(X[ids]) == codes).all(), "stored codes are not encode's")
    check(new in versions(c), "the newer version is gone")


@test("a publish after a rollback goes forward again")
def _():
    learn(c, 5000, 500, ack="learned")
    version = c.publish()
    check(version > max(v for v in versions(c) if v != version),
          "version %d" % version)
    equal(c.search({"id": 17}, limit=1)["items"][0]["distance"], 0,
          "distance")


@test("a publish with its key happens once")
def _():
    learn(c, 5500, 100, ack="learned")
    key = {"Idempotency-Key": "publish-0001"}
    one = daemon.post(c.path + "/models/publish", headers=key,
                      ack="visible").expect(200).json
    two = daemon.post(c.path + "/models/publish", headers=key,
                      ack="visible").expect(200).json
    equal(two["version"], one["version"], "version")


@test("every_batches publishes by itself")
def _():
    p = daemon.collection("policy", bits=32, dim=DIM, model=HMOH,
                          publish={"policy": "every_batches",
                                   "every_batches": 10})
    # Marks that come faster than codes can be made pass without a version.
    for i in range(400):
        learn(p, i % 100 * 100, 100, ack="learned")
        if p.info()["model_versions"]["published"] >= 3:
            break
    check(i < 399, "400 batches brought no three versions")
    check(i >= 20, "there were three versions after %d batches" % (i + 1))
    ids, codes = p.codes()
    check((p.encode(X[ids]) == codes).all(), "stored codes are not encode's")


@test("queries during publishes never meet codes of another version")
def _():
    m = daemon.collection("mixed", bits=64, dim=DIM, model=HMOH)
    learn(m, 0, 4000, ack="learned")
    learn(m, 4000, 4000, ack="learned")
    first = m.publish()
    stop = threading.Event()
    errors, seen = [], {}
    lock = threading.Lock()

    def ask(seed):
        rng = random.Random(seed)
        body = {"query": {"vector": X[11500 + seed].tolist()}, "limit": 50,
                "with": ["code"]}
        try:
            while not stop.is_set():
                answer = daemon.post(m.path + "/search", body).expect(200)
                answer = answer.json
                mine = np.frombuffer(bytes.fromhex(answer["query_code"]),
                                     np.uint8)
                codes = np.frombuffer(bytes.fromhex("".join(
                    i["code"] for i in answer["items"])), np.uint8)
                d = distances(mine[None], codes.reshape(50, 8))[0]
                equal([int(v) for v in d],
                      [i["distance"] for i in answer["items"]], "distances")
                with lock:
                    known = seen.setdefault((seed, answer["model_version"]),
                                            (answer["query_code"], {}))
                equal(answer["query_code"], known[0],
                      "query_code of version %d" % answer["model_version"])
                # An item has one code a version.
                for item in answer["items"]:
                    equal(known[1].setdefault(item["id"], item["code"]),
                          item["code"], "code of %d" % item["id"])
                id = rng.randrange(8000)
                own = m.search({"id": id}, limit=1)
                equal(own["items"][0]["distance"], 0, "distance to itself")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    last = first
    for i in range(8):
        learn(m, 8000 + i * 200, 200, ack="learned")
        version = m.publish()
        equal(version, last + 1, "version")
        last = version
    stop.set()
    for thread in threads:
        thread.join()
    check(not errors, errors[:1])
    met = {version for _, version in seen}
    check(len(met) >= 4, "only versions %s were met" % met)


@test("rows that arrive during a publish have their codes, also at the seams")
def _():
    # Codes are made again 4,096 rows at a time, here while 500 come at a time.
    s = daemon.collection("seams", bits=64, dim=DIM, model=HMOH)
    learn(s, 0, 2500, ack="learned")
    s.publish()
    errors, done = [], threading.Event()

    def write(k):
        try:
            for i in range(30):
                s.upsert(X[i * 300:i * 300 + 500],
                         ids=np.arange(500) + 1000 * (100 * (k + 1) + i))
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=write, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        learn(s, 2500, 20)
        s.publish()
    for thread in threads:
        thread.join()
    check(not errors, errors[:1])
    s.wait_visible(s.stream()["durable_seq"])

    def right():
        ids, codes = s.codes()
        equal(len(set(ids)), 2520 + 30000, "different ids")
        rows = [i if i < 10000 else i // 1000 % 100 * 300 + i % 1000
                for i in ids]
        wrong = [i for i, a, b in zip(ids, s.encode(X[rows]), codes)
                 if a.tobytes() != b.tobytes()]
        equal(wrong[:10], [], "ids whose code is not encode's")
    right()
    s.publish()
    right()
    # Now from what was stored.
    daemon.restart()
    right()


@test("a cursor of an older version is a state-conflict")
def _():
    m = Collection(daemon, "mixed")
    body = {"query": {"id": 1}, "max_distance": 64, "limit": 10}
    cursor = daemon.post(m.path + "/search", body).json["next_cursor"]
    check(cursor, "there is no cursor")
    learn(m, 10000, 200, ack="learned")
    m.publish()
    body["cursor"] = cursor
    daemon.post(m.path + "/search", body).problem(409, "state-conflict")


@test("versions, codes and answers survive a restart")
def _():
    before = (c.models(), c.model_bytes(), c.codes()[0],
              c.codes()[1].tobytes(), c.search({"id": 99}, limit=100))
    daemon.restart()
    after = (c.models(), c.model_bytes(), c.codes()[0],
             c.codes()[1].tobytes(), c.search({"id": 99}, limit=100))
    for a, b in zip(after, before):
        equal(a, b, "what is shown")


@test("the learner continues after a restart as if there had been none")
def _():
    a = daemon.collection("with", bits=64, dim=DIM, model=HMOH)
    b = daemon.collection("without", bits=64, dim=DIM, model=HMOH)
    for target in (a, b):
        learn(target, 0, 3000, ack="learned")
    for i in range(5):
        learn(a, 3000 + i * 100, 100)
        if i % 2 == 0:
            daemon.restart()
    for i in range(5):
        learn(b, 3000 + i * 100, 100)
    models = []
    for target in (a, b):
        target.wait_learned(target.stream()["durable_seq"])
        target.publish()
        models.append(target.model_bytes())
    equal(models[0] == models[1], True, "the models are the same")


@test("idleness ends a warm-up that has too few rows")
def _():
    i = daemon.collection("idle", bits=32, dim=DIM, model=HMOH)
    learn(i, 0, 200, ack="learned")
    check(i.info()["model_versions"]["pending_rows"] > 0 or
          i.info()["model_versions"]["live_samples"] > 0, "nothing waits")
    wait_until(lambda: i.info()["model_versions"]["live_samples"] == 200,
               "the rows are learnt")
    wait_until(lambda: i.info()["model_versions"]["published"] >= 1,
               "a version is published")


main()
