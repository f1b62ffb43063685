#!/usr/bin/python3 -B
"""The job `duplicates`: against a loop over all pairs."""

from akin_test import *

daemon = Daemon().start()


def start(target, **params):
    return daemon.post("/v1/jobs", {"kind": "duplicates", "target": target,
                                    "params": params}).expect(202).json["id"]


def job(id):
    return daemon.get("/v1/jobs/%d" % id).expect(200).json


def ended(id):
    return wait_until(
        lambda: (lambda j: j if j["state"] in
                 ("succeeded", "failed", "canceled") else None)(job(id)),
        "the end of job %d" % id)


def duplicates(target, **params):
    j = ended(start(target, **params))
    equal(j["state"], "succeeded", "state, error %s," % j["error"])
    return j["result"]


def external(name, codes, ids=None, labels=None, kind_of_ids="integer"):
    """A collection of the given codes (n, bytes)."""
    c = daemon.collection(name, bits=8 * codes.shape[1], ids=kind_of_ids,
                          model={"kind": "external"})
    put(c, codes, ids or list(range(len(codes))), labels)
    return c


def put(c, codes, ids, labels=None):
    for at in range(0, len(codes), 1000):
        items = [{"id": ids[i], "code": codes[i].tobytes().hex(),
                  "labels": labels[i:i + 1] if labels else []}
                 for i in range(at, min(at + 1000, len(codes)))]
        c.batch({"items": items}, ack="visible")


def put_npy(c, codes):
    for at in range(0, len(codes), 4096):
        c.batch(npy_batch(codes[at:at + 4096], name="codes"), MULTIPART,
                ack="visible")


def slow(ids, near, distance):
    """Pairs and clusters of a matrix of what is near."""
    n = len(ids)
    name = list(range(n))
    pairs = []
    for a in range(n):
        for b in range(a + 1, n):
            if near[a, b]:
                pairs.append((int(distance[a, b]), a, b))
                low, high = sorted((name[a], name[b]))
                name = [low if x == high else x for x in name]
    groups = {}
    for i in range(n):
        groups.setdefault(name[i], []).append(ids[i])
    clusters = sorted((-len(g), k, g) for k, g in groups.items()
                      if len(g) > 1)
    return ([(d, ids[a], ids[b]) for d, a, b in sorted(pairs)],
            [g for _, _, g in clusters])


def same(result, ids, near, distance):
    pairs, clusters = slow(ids, near, distance)
    equal([(p["distance"], *p["ids"]) for p in result["pairs"]], pairs,
          "pairs")
    equal([c["ids"] for c in result["clusters"]], clusters, "clusters")
    equal([c["size"] for c in result["clusters"]],
          [len(c) for c in clusters], "sizes")
    equal((result["items"], result["n_clusters"], result["in_clusters"],
           result["all_pairs"]),
          (len(ids), len(clusters), sum(map(len, clusters)),
           len(ids) * (len(ids) - 1) // 2), "counts")
    equal(result["truncated"],
          {"pairs": False, "clusters": False, "ids": False}, "truncated")
    return pairs


def noisy(rng, n, width, centres, flips):
    """Codes (n, width) around some of their own kind."""
    base = rng.integers(0, 256, (centres, width), np.uint8)
    bits = np.unpackbits(base[rng.integers(0, centres, n)], axis=1)
    bits ^= rng.random(bits.shape) < flips
    return np.packbits(bits, axis=1)


@test("pairs and clusters are those of a loop over all living items")
def _():
    rng = np.random.default_rng(1)
    codes = noisy(rng, 260, 4, 40, 0.04)
    c = external("codes", codes)
    # Some are deleted; others get another code, and are the last to arrive.
    for id in range(0, 260, 9):
        daemon.delete(c.path + "/items/%d" % id).expect(204)
    moved = list(range(4, 260, 31))
    moved = [i for i in moved if i % 9 != 0]
    codes[moved] = noisy(rng, len(moved), 4, 2, 0.02)
    put(c, codes[moved], moved)
    ids = [i for i in range(260) if i % 9 != 0 and i not in moved] + moved
    distance = distances(codes[ids], codes[ids])
    for most in (0, 1, 2, 3):
        result = duplicates("codes", max_distance=most, limit=1000)
        pairs = same(result, ids, distance <= most, distance)
        equal((result["max_distance"], result["bits"], result["verified"]),
              (most, 32, 0), "what was asked")
        check(most == 0 or len(pairs) > 20, "%d pairs" % len(pairs))
    # The default is a sixteenth of the bits.
    equal(duplicates("codes", limit=1000),
          duplicates("codes", limit=1000, max_distance=2), "default")


@test("string ids, and a distance that all are within")
def _():
    codes = noisy(np.random.default_rng(2), 40, 2, 3, 0.1)
    ids = ["item %d" % (7 * i % 40) for i in range(40)]
    external("strings", codes, ids, kind_of_ids="string")
    distance = distances(codes, codes)
    same(duplicates("strings", max_distance=16, limit=1000), ids,
         distance <= 16, distance)


@test("a filter leaves others out")
def _():
    codes = noisy(np.random.default_rng(3), 90, 2, 4, 0.05)
    labels = ["abc"[i % 3] for i in range(90)]
    external("labelled", codes, labels=labels)
    ids = [i for i in range(90) if labels[i] == "b" and i != 40]
    distance = distances(codes[ids], codes[ids])
    result = duplicates("labelled", max_distance=1, limit=1000, filter={
        "must": [{"label": "b"}], "must_not": [{"ids": [40]}]})
    same(result, ids, distance <= 1, distance)
    result = duplicates("labelled", filter={"must": [{"label": "none"}]})
    equal((result["items"], result["pairs"], result["clusters"],
           result["all_pairs"], result["compared"]), (0, [], [], 0, 0),
          "of nothing")


@test("features verify, by distance and by similarity, as stored")
def _():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(30, 8))[rng.integers(0, 30, 240)]
    x = (x + rng.normal(size=x.shape) * 0.05).astype(np.float32)
    x[::50] = 0
    for store in ("f32", "f16"):
        name = "features-" + store
        c = daemon.collection(name, bits=16, model={"kind": "lsh"},
                              features={"dim": 8, "store": store})
        c.upsert(x, ids=np.arange(240), ack="visible")
        stored = np.array([c.item(i, **{"with": "vector"}).expect(200).json
                           ["vector"] for i in range(240)])
        codes = c.encode(x)
        distance = distances(codes, codes)
        far = np.sqrt(((stored[:, None] - stored[None]) ** 2).sum(2))
        length = np.sqrt((stored ** 2).sum(1))
        both = length[:, None] * length[None]
        cosine = np.where(both > 0, stored @ stored.T / np.where(
            both > 0, both, 1), 0)
        for most in (1, 16):
            result = duplicates(name, max_distance=most, feature_distance=.15,
                                limit=1000)
            pairs = same(result, list(range(240)),
                         (distance <= most) & (far <= .15), distance)
            check(len(pairs) > 20, "%d pairs" % len(pairs))
            for p in result["pairs"]:
                check(abs(p["feature_distance"] - far[tuple(p["ids"])]) < 1e-8,
                      "feature distance of %s" % p)
            check(result["verified"] < 240 * 239 / 2 / 4,
                  "%d were verified" % result["verified"])
            result = duplicates(name, max_distance=most, min_similarity=.998,
                                limit=1000)
            pairs = same(result, list(range(240)),
                         (distance <= most) & (cosine >= .998), distance)
            check(len(pairs) > 20, "%d pairs" % len(pairs))
            for p in result["pairs"]:
                check(abs(p["similarity"] - cosine[tuple(p["ids"])]) < 1e-8,
                      "similarity of %s" % p)


@test("all the same: one cluster, the first pairs, and that there are more")
def _():
    external("same", np.zeros((3000, 8), np.uint8))
    result = duplicates("same", limit=5)
    equal([p["ids"] for p in result["pairs"]], [[0, i] for i in range(1, 6)],
          "pairs")
    equal(result["clusters"], [{"size": 3000, "ids": list(range(50))}],
          "clusters")
    equal((result["n_clusters"], result["in_clusters"]), (1, 3000), "counts")
    equal(result["truncated"],
          {"pairs": True, "clusters": False, "ids": True}, "truncated")
    check(result["compared"] <= 3000, "%d compared" % result["compared"])
    # Fewer clusters than there are, the largest first.
    codes = np.repeat(np.arange(20, dtype=np.uint8) * 3, 20)[:, None]
    external("many", np.concatenate([codes, codes], 1)[:-7])
    result = duplicates("many", limit=4, max_distance=0)
    equal([c["size"] for c in result["clusters"]], [20] * 4, "sizes")
    equal([len(c["ids"]) for c in result["clusters"]], [20, 20, 0, 0], "ids")
    equal(result["truncated"],
          {"pairs": True, "clusters": True, "ids": True}, "truncated")
    equal((result["n_clusters"], result["in_clusters"]), (20, 393), "counts")


@test("20,000 clustered codes: 1 in 50 of all pairs are compared")
def _():
    c = daemon.collection("clustered", bits=64, model={"kind": "external"})
    put_npy(c, noisy(np.random.default_rng(5), 20000, 8, 100, 0.05))
    result = duplicates("clustered", max_distance=4)
    equal((result["items"], result["all_pairs"]), (20000, 199990000), "items")
    check(0 < result["compared"] < 0.02 * result["all_pairs"],
          "%d of %d compared" % (result["compared"], result["all_pairs"]))


def running(id):
    """Stop the job in the middle of its search, by a pause."""
    wait_until(lambda: job(id)["progress"]["phase"] == "pairs",
               "the search of job %d" % id)
    daemon.post("/v1/jobs/%d/pause" % id).expect(202)
    wait_until(lambda: job(id)["state"] == "paused", "a pause")
    j = job(id)
    check(0 < j["progress"]["ratio"] < 1, "progress %s" % j["progress"])
    return j


@test("it sees one state, while others are served and change it")
def _():
    # Random, at a distance for which there is no short cut: it takes a while.
    codes = np.random.default_rng(6).integers(0, 256, (24000, 32), np.uint8)
    codes[23000:23100] = codes[:100]
    c = daemon.collection("served", bits=256, model={"kind": "external"})
    put_npy(c, codes)
    id = start("served", max_distance=70, limit=1000)
    running(id)
    c.search({"code": codes[7].tobytes().hex()}, limit=2)
    daemon.delete(c.path + "/items/23007").expect(204)
    put(c, codes[7:8], [99999])
    equal([h["id"] for h in c.search({"code": codes[7].tobytes().hex()},
                                     limit=2)["items"]], [7, 99999], "hits")
    daemon.post("/v1/jobs/%d/resume" % id).expect(202)
    result = ended(id)["result"]
    equal((result["items"], result["n_clusters"], len(result["pairs"])),
          (24000, 100, 100), "of the state when it began")
    equal(sorted(p["ids"] for p in result["pairs"]),
          [[i, 23000 + i] for i in range(100)], "pairs")
    # The second of one target waits until the first has ended.
    id = start("served", max_distance=70)
    running(id)
    daemon.post("/v1/jobs", {"kind": "duplicates",
                             "target": "served"}).problem(
        409, "state-conflict")
    daemon.post("/v1/jobs/%d/cancel" % id).expect(202)
    j = ended(id)
    equal((j["state"], j["result"]), ("canceled", None), "cancelled")


@test("after a restart it begins again, with what serves then")
def _():
    c = Collection(daemon, "served")
    before = c.info()["items"]
    id = start("served", max_distance=70)
    running(id)
    daemon.delete(c.path + "/items/23008").expect(204)
    daemon.restart()
    equal(job(id)["state"], "paused", "state")
    daemon.post("/v1/jobs/%d/resume" % id).expect(202)
    j = ended(id)
    equal((j["state"], j["result"]["items"]), ("succeeded", before - 1),
          "of now")
    check([8, 23008] not in [p["ids"] for p in j["result"]["pairs"]],
          "an item that is gone has a pair")


@test("what cannot be asked is told")
def _():
    external("few", np.zeros((3, 2), np.uint8))
    daemon.collection("vectors", bits=16, dim=4, model={"kind": "lsh"})
    for target, params, slug, pointer in (
            ("few", {"max_distance": 17}, "validation-failed",
             "/params/max_distance"),
            ("few", {"max_distance": -1}, "validation-failed",
             "/params/max_distance"),
            ("few", {"max_distance": 1.5}, "validation-failed",
             "/params/max_distance"),
            ("few", {"limit": 0}, "validation-failed", "/params/limit"),
            ("few", {"limit": 1001}, "validation-failed", "/params/limit"),
            ("few", {"radius": 1}, "unknown-field", "/params/radius"),
            ("few", {"filter": {"must": [{"label": 7.5}]}},
             "validation-failed", "/params/filter/must/0/label"),
            ("few", {"feature_distance": 1}, "unsupported-option",
             "/params/feature_distance"),
            ("few", {"min_similarity": 1}, "unsupported-option",
             "/params/min_similarity"),
            ("vectors", {"min_similarity": 2}, "validation-failed",
             "/params/min_similarity"),
            ("vectors", {"feature_distance": -1}, "validation-failed",
             "/params/feature_distance"),
            ("vectors", {"feature_distance": 1, "min_similarity": 1},
             "validation-failed", "/params/feature_distance")):
        daemon.post("/v1/jobs", {"kind": "duplicates", "target": target,
                                 "params": params}).problem(
            422, slug, pointer)
    for place in ("budget", "gate"):
        daemon.post("/v1/jobs", {"kind": "duplicates", "target": "few",
                                 place: {"x": 1}}).problem(
            422, "unknown-field", "/" + place)


main()
