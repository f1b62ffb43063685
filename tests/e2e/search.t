#!/usr/bin/python3 -B
"""Search, compared with a slow, obvious one on the codes that the daemon shows:
all distances, sorted by (distance, order of arrival)."""

import re

from akin_test import *

daemon = Daemon().start()

N, DIM = 9000, 16
X, Y = clusters(N, DIM, classes=6, seed=11, spread=0.8)
LABELS = ["c%d" % y for y in Y]
QUERIES, _ = clusters(64, DIM, classes=6, seed=12, spread=0.8)


class Brute:
    """The same collection as arrays in order of arrival."""

    def __init__(self, c):
        self.c = c
        items = c.items()
        self.ids = [i["id"] for i in items]
        self.labels = [i["labels"] for i in items]
        ids, codes = c.codes()
        place = {id: k for k, id in enumerate(ids)}
        self.codes = codes[[place[id] for id in self.ids]]

    def find(self, code, limit=10, radius=None, keep=None):
        d = distances(code[None], self.codes)[0]
        order = np.argsort(d, kind="stable")
        hits = [(self.ids[i], int(d[i])) for i in order
                if (radius is None or d[i] <= radius) and
                (keep is None or keep(self.ids[i], self.labels[i]))]
        return hits[:limit]


def hits(answer):
    return [(i["id"], i["distance"]) for i in answer["items"]]


def code_of(answer):
    return np.frombuffer(bytes.fromhex(answer["query_code"]), np.uint8)


collections = {}
for bits in (8, 40, 64, 256):
    c = daemon.collection("b%d" % bits, bits=bits, dim=DIM,
                          labels={"mode": "multi"},
                          model={"kind": "hmoh",
                                 "params": {"seed": bits,
                                            "kernel_anchors": 32}})
    for at in range(0, N, 3000):
        c.learn(X[at:at + 3000],
                [[l, "even" if i % 2 == 0 else "odd"]
                 for i, l in enumerate(LABELS[at:at + 3000], at)],
                ids=list(range(10000 + at, 10000 + at + 3000)))
    seq = c.stream()["durable_seq"]
    c.wait_learned(seq)
    c.publish()
    # Replaced and deleted ones, so that ordinals have holes.
    c.upsert(X[100:110], [[l, "again"] for l in LABELS[100:110]],
             list(range(10100, 10110)))
    daemon.post(c.path + "/items/delete",
                {"ids": list(range(10200, 10300))}, ack="visible").expect(200)
    collections[bits] = (c, Brute(c))
C, B = collections[64]


for bits, (c, brute) in collections.items():
    @test("%d bits: hits of vectors are those of the slow search" % bits)
    def _(c=c, brute=brute):
        encoded = c.encode(QUERIES)
        for k, query in enumerate(QUERIES):
            limit = (1, 10, 100, 1000)[k % 4]
            answer = c.search({"vector": query.tolist()}, limit=limit)
            equal(code_of(answer).tobytes(), encoded[k].tobytes(),
                  "query_code and encode")
            equal(hits(answer), brute.find(encoded[k], limit),
                  "hits of query %d" % k)
            equal(answer["complete"], True, "complete")
            equal(answer["searched"], len(brute.ids), "searched")

    @test("%d bits: a batch of queries is answered as each alone" % bits)
    def _(c=c, brute=brute):
        encoded = c.encode(QUERIES)
        body = {"queries": [{"query": {"vector": q.tolist()}, "limit": 17}
                            for q in QUERIES]}
        answers = daemon.post(c.path + "/search/batch",
                              body).expect(200).json["results"]
        equal(len(answers), len(QUERIES), "number of results")
        for k, answer in enumerate(answers):
            equal(hits(answer), brute.find(encoded[k], 17),
                  "hits of query %d" % k)
        answers = daemon.post(c.path + "/search/batch", npy(QUERIES), type=NPY,
                              limit=17).expect(200).json["results"]
        for k, answer in enumerate(answers):
            equal(hits(answer), brute.find(encoded[k], 17),
                  "hits of row %d" % k)


@test("every item is at distance 0 from itself")
def _():
    for bits, (c, brute) in collections.items():
        for k in range(0, len(brute.ids), 397):
            answer = c.search({"id": brute.ids[k]}, limit=1)
            equal(answer["items"][0]["distance"], 0, "distance")
            equal(code_of(answer).tobytes(), brute.codes[k].tobytes(),
                  "query_code of id %d" % brute.ids[k])


@test("a query by code, by id and by vector find the same")
def _():
    for k in range(0, len(B.ids), 1003):
        id = B.ids[k]
        vector = C.item(id, **{"with": "vector"}).json["vector"]
        expected = B.find(B.codes[k], 25)
        for query in ({"id": id}, {"code": B.codes[k].tobytes().hex()},
                      {"vector": vector}):
            equal(hits(C.search(query, limit=25)), expected,
                  "hits of %s" % short(query, 40))


@test("the body may be one npy row")
def _():
    for query in QUERIES[:5]:
        expected = hits(C.search({"vector": query.tolist()}, limit=7))
        reply = daemon.post(C.path + "/search", npy(query[None]), type=NPY,
                            limit=7).expect(200)
        equal(hits(reply.json), expected, "hits")
        check("scan;dur=" in reply.headers.get("server-timing", ""),
              "Server-Timing is %r" % reply.headers.get("server-timing"))
    reply = daemon.post(C.path + "/search", npy(QUERIES[:1]), type=NPY,
                        limit=7, label="c1").expect(200)
    check(all("c1" in B.labels[B.ids.index(i["id"])]
              for i in reply.json["items"]), "the label is not heeded")


@test("max_distance has all within it and none beyond")
def _():
    for bits, (c, brute) in collections.items():
        for radius in (0, 1, bits // 8, bits // 4):
            code = brute.codes[radius]
            answer = c.search({"code": code.tobytes().hex()},
                              max_distance=radius, limit=1000)
            equal(hits(answer), brute.find(code, 1000, radius),
                  "hits within %d of %d bits" % (radius, bits))


@test("pages of a radius search have all hits once, in order")
def _():
    code = B.codes[5]
    for limit in (1, 7, 64, 1000):
        expected = B.find(code, len(B.ids), 64)
        found, cursor = [], None
        while True:
            body = {"query": {"code": code.tobytes().hex()},
                    "max_distance": 64, "limit": limit}
            if cursor:
                body["cursor"] = cursor
            page = daemon.post(C.path + "/search", body).expect(200).json
            found += hits(page)
            cursor = page["next_cursor"]
            # The small pages need not be turned to the end.
            if cursor is None or len(found) >= 40 * limit:
                break
        equal(found, expected[:len(found)], "hits at limit %d" % limit)
        check(cursor or len(found) == len(expected), "the end is missing")


@test("fewer hits than the limit are all there are, and never padded")
def _():
    answer = C.search({"id": B.ids[0]}, limit=1000,
                      filter={"must": [{"label": "again"}]})
    equal(len(answer["items"]), 10, "number of hits")
    answer = C.search({"id": B.ids[0]}, limit=10,
                      filter={"must": [{"label": "nobody"}]})
    equal(answer["items"], [], "hits of an unknown label")
    equal(answer["next_cursor"], None, "next_cursor")


FILTERS = (
    ("must one label", {"must": [{"label": "c1"}]},
     lambda i, l: "c1" in l),
    ("must two labels", {"must": [{"label": "c1"}, {"label": "odd"}]},
     lambda i, l: "c1" in l and "odd" in l),
    ("must any of two", {"must": [{"labels_any": ["c1", "c4"]}]},
     lambda i, l: "c1" in l or "c4" in l),
    ("must not a label", {"must_not": [{"label": "even"}]},
     lambda i, l: "even" not in l),
    ("must and must not", {"must": [{"label": "c2"}],
                           "must_not": [{"label": "odd"}]},
     lambda i, l: "c2" in l and "odd" not in l),
    ("should one of them", {"should": [{"label": "c0"}, {"label": "c5"}]},
     lambda i, l: "c0" in l or "c5" in l),
    ("must be among ids", {"must": [{"ids": [10001, 10002, 10105, 10201,
                                             99999]}]},
     lambda i, l: i in (10001, 10002, 10105)),
    ("must not be among ids", {"must_not": [{"ids": [10001, 10002]}]},
     lambda i, l: i not in (10001, 10002)),
    ("a label nobody has is not excluded", {"must_not": [{"label": "?"}]},
     lambda i, l: True),
    ("empty clauses", {"must": [], "must_not": []}, lambda i, l: True),
)
for what, filter, keep in FILTERS:
    @test("a filter, %s, keeps what the slow search keeps" % what)
    def _(filter=filter, keep=keep):
        for k in (3, 333, 3333):
            for limit in (5, 500):
                answer = C.search({"id": B.ids[k]}, limit=limit,
                                  filter=filter)
                equal(hits(answer), B.find(B.codes[k], limit, None, keep),
                      "hits")


@test("a filter and a radius go together")
def _():
    answer = C.search({"id": B.ids[9]}, limit=1000, max_distance=20,
                      filter={"must": [{"label": "odd"}]})
    equal(hits(answer), B.find(B.codes[9], 1000, 20,
                               lambda i, l: "odd" in l), "hits")


@test("hits carry what was asked for")
def _():
    answer = C.search({"id": B.ids[0]}, limit=20,
                      **{"with": ["labels", "payload", "code"]})
    for item in answer["items"]:
        k = B.ids.index(item["id"])
        equal(item["labels"], B.labels[k], "labels")
        equal(item["code"], B.codes[k].tobytes().hex(), "code")
        check(abs(item["score"] - (1 - item["distance"] / 64)) < 0.001,
              "score %r at distance %d" % (item["score"], item["distance"]))
    bare = C.search({"id": B.ids[0]}, limit=1)["items"][0]
    check("code" not in bare, "an unasked code")


@test("explain shows the bits that differ and what decided them")
def _():
    answer = C.search({"vector": QUERIES[0].tolist()}, limit=300,
                      **{"with": ["code", "explain"]})
    query = np.unpackbits(code_of(answer))
    explained = 0
    for item in answer["items"]:
        code = np.unpackbits(np.frombuffer(bytes.fromhex(item["code"]),
                                           np.uint8))
        bits = [int(i) for i in np.flatnonzero(code != query)]
        equal([b["bit"] for b in item["explain"]], bits, "bits that differ")
        # The sign of a margin is the bit.
        for b in item["explain"]:
            equal((b["query"] > 0, b["item"] > 0),
                  (bool(query[b["bit"]]), bool(code[b["bit"]])),
                  "margins %s" % b)
            explained += 1
    check(explained > 100, "%d bits were explained" % explained)
    answer = C.search({"code": "ff" * 8}, limit=1, **{"with": ["explain"]})
    explain = answer["items"][0]["explain"]
    check(explain and all(b["query"] is None and b["item"] is not None
                          for b in explain), "a code has no margins")


# -------------------------------------------------------------------- rerank

def feature_scores(query, rows):
    """As server/rerank.h says, for 16 floats."""
    d = rows.astype(np.float64) - query.astype(np.float64)
    s = d[:, :8] * d[:, :8] + d[:, 8:] * d[:, 8:]
    total = (((s[:, 0] + s[:, 4]) + (s[:, 2] + s[:, 6])) +
             ((s[:, 1] + s[:, 5]) + (s[:, 3] + s[:, 7])))
    return (1 / (1 + np.sqrt(total))).astype(np.float32)


def asymmetric_scores(margins, code, codes):
    """The same by projections."""
    weights = np.abs(np.array(margins, np.float32)).astype(np.float64)
    total = against = 0.0
    differs = np.unpackbits(codes ^ code, axis=1)
    for j, w in enumerate(weights):
        total += w
        against = against + differs[:, j] * w
    return (1 - against / total).astype(np.float32)


def ranked(brute, code, scores, limit, oversample, keep=None):
    """(id, distance, score) in the order of the rerank."""
    d = distances(code[None], brute.codes)[0]
    near = [i for i in np.argsort(d, kind="stable")
            if keep is None or keep(brute.ids[i], brute.labels[i])]
    near = near[:limit * oversample]
    near.sort(key=lambda i: (-scores[i], d[i], i))
    return [(brute.ids[i], int(d[i]), float(scores[i])) for i in near[:limit]]


def scored(answer):
    return [(i["id"], i["distance"], float(np.float32(i["score"])))
            for i in answer["items"]]


def margins_of(c, query):
    """All projections of a query, from what explain says of its hits."""
    bits = c.info()["bits"]
    margins = {}
    answer = c.search({"vector": query.tolist()}, limit=1000,
                      **{"with": ["explain"]})
    for item in answer["items"]:
        margins.update((b["bit"], b["query"]) for b in item["explain"])
    equal(sorted(margins), list(range(bits)), "bits that differ somewhere")
    return [margins[j] for j in range(bits)]


@test("a rerank by features is that of the slow one")
def _():
    for bits, (c, brute) in collections.items():
        rows = X[np.array(brute.ids) - 10000]
        encoded = c.encode(QUERIES)
        for k, (limit, oversample) in enumerate(((10, 4), (1, 1), (7, 30),
                                                 (1000, 4), (3, 1000))):
            scores = feature_scores(QUERIES[k], rows)
            answer = c.search({"vector": QUERIES[k].tolist()}, limit=limit,
                              rerank={"by": "feature",
                                      "oversample": oversample})
            equal(scored(answer), ranked(brute, encoded[k], scores, limit,
                                         oversample),
                  "hits of %d x %d at %d bits" % (limit, oversample, bits))
            equal(answer["complete"], True, "complete")


@test("an asymmetric rerank is that of the slow one")
def _():
    # Rows about the origin: every bit of a random projection differs somewhere.
    rows = np.random.default_rng(5).normal(size=(3000, DIM)).astype(np.float32)
    for bits in (40, 128):
        c = daemon.collection("lsh%d" % bits, bits=bits, dim=DIM,
                              model={"kind": "lsh", "params": {"seed": 3}})
        c.wait_visible(c.upsert(rows, None, list(range(3000)))["seq"])
        brute = Brute(c)
        for k in range(3):
            query = rows[k] + np.float32(0.5)
            code = c.encode(query[None])[0]
            scores = asymmetric_scores(margins_of(c, query), code, brute.codes)
            for limit, oversample in ((10, 4), (7, 30), (1000, 2)):
                answer = c.search({"vector": query.tolist()}, limit=limit,
                                  rerank={"by": "asymmetric",
                                          "oversample": oversample})
                equal(scored(answer), ranked(brute, code, scores, limit,
                                             oversample),
                      "hits of %d x %d at %d bits" % (limit, oversample, bits))


@test("a rerank takes a filter, a radius, an id, and 4 candidates a hit")
def _():
    rows = X[np.array(B.ids) - 10000]
    for k in (3, 333, 3333):
        scores = feature_scores(rows[k], rows)
        odd = lambda i, l: "odd" in l
        answer = C.search({"id": B.ids[k]}, limit=5, rerank={"by": "feature"},
                          filter={"must": [{"label": "odd"}]})
        equal(scored(answer), ranked(B, B.codes[k], scores, 5, 4, odd), "hits")
        near = distances(B.codes[k][None], B.codes)[0]
        inside = {B.ids[i] for i in np.flatnonzero(near <= 6)}
        answer = C.search({"id": B.ids[k]}, limit=9, max_distance=6,
                          rerank={"by": "feature", "oversample": 50})
        equal(scored(answer), ranked(B, B.codes[k], scores, 9, 50,
                                     lambda i, l: i in inside), "hits")
        equal(answer["next_cursor"], None, "next_cursor of a rerank")
        for by in ("feature", "asymmetric"):
            first = C.search({"id": B.ids[k]}, limit=1,
                             rerank={"by": by})["items"][0]
            equal((first["distance"], first["score"]), (0, 1),
                  "distance and score of the item itself")


@test("a batch of reranks is answered as each alone, in JSON and in npy")
def _():
    for by in ("feature", "asymmetric"):
        kinds = [{"by": by, "oversample": 3}, None, {"by": "feature"}]
        body = {"queries": [{"query": {"vector": q.tolist()}, "limit": 9,
                             "rerank": kinds[k % 3]}
                            for k, q in enumerate(QUERIES)]}
        alone = [daemon.post(C.path + "/search", q).expect(200).json
                 for q in body["queries"]]
        answers = daemon.post(C.path + "/search/batch",
                              body).expect(200).json["results"]
        equal(answers, alone, "results of a mixed batch")
        answers = daemon.post(C.path + "/search/batch", npy(QUERIES), type=NPY,
                              limit=9, rerank=by,
                              oversample=3).expect(200).json["results"]
        for k, q in enumerate(QUERIES):
            one = daemon.post(C.path + "/search", npy(q[None]), type=NPY,
                              limit=9, rerank=by,
                              oversample=3).expect(200)
            equal(one.json["items"], answers[k]["items"], "row %d" % k)
            timing = one.headers.get("server-timing", "")
            for stage in ("decode", "hash", "scan", "rerank"):
                check(stage + ";dur=" in timing, "Server-Timing is " + timing)


@test("a rerank whose time is up is in Hamming order and not complete")
def _():
    def ask(seconds):
        return C.search({"vector": QUERIES[0].tolist()}, limit=1000,
                        rerank={"by": "feature", "oversample": 10},
                        timeout_seconds=seconds)
    equal((ask(0)["complete"], ask(0)["items"]), (False, []), "at once")
    whole = ask(600)
    code = C.encode(QUERIES[:1])[0]

    def plain(searched):
        """Of the first rows in order of arrival."""
        among = set(B.ids[:searched])
        return [(id, d, float(np.float32(1 - d / 64)))
                for id, d in B.find(code, 1000, None, lambda i, l: i in among)]
    check(scored(whole) != plain(len(B.ids)), "the orders are the same")
    # The time to read 9,000 rows is many times that of a scan, so that some of
    # these times lie between.
    cut = 0
    for attempt in range(20):
        for k in range(12):
            late = ask(0.1 / 2 ** k)
            if late["complete"]:
                equal(late, whole, "an answer in time")
            else:
                equal(scored(late), plain(late["searched"]),
                      "an answer out of time")
                cut += late["searched"] == len(B.ids)
        if cut > 0:
            break
    check(cut > 0, "the time was never up between scan and rerank")


@test("encode is the same for a row alone and in any company")
def _():
    for bits, (c, _) in collections.items():
        rows = X[:4096]
        whole = c.encode(rows)
        for size in (1, 2, 3, 5, 16, 17, 100, 1023):
            part = c.encode(rows[:size])
            equal(part.tobytes(), whole[:size].tobytes(),
                  "codes of %d rows" % size)
        for k in (0, 1, 2047, 4095):
            one = c.encode(rows[k:k + 1])
            equal(one.tobytes(), whole[k].tobytes(), "code of row %d" % k)


@test("encode answers in JSON as in npy")
def _():
    expected = [code.tobytes().hex() for code in C.encode(X[:50])]
    version = C.info()["model_versions"]["published"]
    reply = daemon.post(C.path + "/encode", npy(X[:50]), type=NPY)
    equal(reply.expect(200).json, {"model_version": version,
                                   "codes": expected}, "answer to npy")
    reply = daemon.post(C.path + "/encode",
                        {"items": [{"vector": x.tolist()} for x in X[:50]]})
    equal(reply.expect(200).json["codes"], expected, "answer to JSON")


@test("stored codes are those of encode, for all")
def _():
    for bits, (c, brute) in collections.items():
        rows = X[np.array(brute.ids) - 10000]
        check((c.encode(rows) == brute.codes).all(),
              "codes of %d bits differ" % bits)


@test("searches from many threads are all right")
def _():
    encoded = C.encode(QUERIES)
    expected = [B.find(code, 10) for code in encoded]
    errors = []

    def ask(first):
        try:
            for k in range(first, first + 40):
                k %= len(QUERIES)
                answer = C.search({"vector": QUERIES[k].tolist()})
                equal(hits(answer), expected[k], "hits of query %d" % k)
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=ask, args=(i * 7,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, errors[:1])


@test("searches that wait for one another are answered as each alone")
def _():
    # Long codes: 40 queries take long enough to go by way of the queue.
    n, bits = 96000, 1024
    rng = np.random.default_rng(6)
    c = daemon.collection("long", bits=bits, model={"kind": "external"})
    codes = rng.integers(0, 256, (n, bits // 8), np.uint8)
    for at in range(0, n, 4000):
        seq = c.batch(npy_batch(codes[at:at + 4000], None,
                                list(range(at, at + 4000)), "codes"),
                      MULTIPART)["seq"]
    c.wait_visible(seq)
    queries = rng.integers(0, 256, (4, bits // 8), np.uint8)
    ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None],
                         axis=1).sum(axis=1, dtype=np.uint16)
    near = [ones[q ^ codes].sum(axis=1) for q in queries]
    order = [np.argsort(d, kind="stable")[:100] for d in near]
    expected = [[(int(i), int(d[i])) for i in o] for d, o in zip(near, order)]
    errors = []

    def ask(first):
        limits = (1, 10, 12, 100)
        for k in range(first, first + 12):
            limit = limits[k % 4]
            if k % 3 > 0:
                body = {"query": {"code": queries[k % 4].tobytes().hex()},
                        "limit": limit}
                if k % 3 == 1:
                    body["max_distance"] = 1000
                reply = daemon.post(c.path + "/search", body).expect(200)
                results, at = [reply.json], [k % 4]
            else:
                at = [i % 4 for i in range(40)]
                reply = daemon.post(c.path + "/search/batch", npy(queries[at]),
                                    type=NPY, limit=limit).expect(200)
                results = reply.json["results"]
                check("queue;dur=" in reply.headers.get("server-timing", ""),
                      "it did not go by way of the queue")
            for result, i in zip(results, at):
                equal(hits(result), expected[i][:limit], "hits of query %d" % i)
                equal(result["searched"], n, "searched")

    def run(first):
        try:
            ask(first)
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(i * 5,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, errors[:1])


def stages(reply):
    """Server-Timing as a dict of texts."""
    return dict(re.findall(r"(\w+);dur=([\d.]+)",
                           reply.headers.get("server-timing", "")))


@test("a short search is answered where it is, a long one in the pool")
def _():
    long = Collection(daemon, "long")
    for _ in range(20):
        reply = daemon.post(C.path + "/search", npy(QUERIES[:1]),
                            type=NPY).expect(200)
        equal(sorted(stages(reply)), ["decode", "hash", "scan"],
              "stages of a short one")
    for n in (40, 100):
        reply = daemon.post(long.path + "/search/batch",
                            npy(np.zeros((n, 128), np.uint8)),
                            type=NPY).expect(200)
        # One of many queries goes by itself, in slices.
        equal("queue" in stages(reply), n == 40,
              "%s of a long one with %d queries" % (stages(reply), n))


@test("queries that come while others are scanned are scanned together")
def _():
    long = Collection(daemon, "long")
    body = npy(np.random.default_rng(7).integers(0, 256, (40, 128), np.uint8))
    alone = daemon.post(long.path + "/search/batch", body,
                        type=NPY).expect(200).json["results"]
    for attempt in range(50):
        barrier, replies = threading.Barrier(8), []

        def ask():
            barrier.wait()
            replies.append(daemon.post(long.path + "/search/batch", body,
                                       type=NPY).expect(200))
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(len(replies), 8, "answers")
        for reply in replies:
            equal(reply.json["results"], alone, "results")
        # Of those that were scanned together each has the time of all.
        scans = {}
        for reply in replies:
            scans.setdefault(stages(reply)["scan"], []).append(
                float(stages(reply)["queue"]))
        most = max(scans.values(), key=len)
        if len(most) >= 3 and max(most) > 0:
            break
    check(len(most) >= 3, "no three were scanned together: %s" % scans)


@test("answers are of one state each while items come, change and go")
def _():
    # Ten at one place, which stay; and others of which a batch brings four,
    # changes their code as one, and takes them away as one.
    c = daemon.collection("busy", bits=64, model={"kind": "external"})
    place, first, second = "00" * 8, "00" * 6 + "ffff", "ffff" + "00" * 6
    c.batch({"items": [{"id": i, "code": place, "labels": ["stays"]}
                       for i in range(10)]}, ack="visible")
    over, errors, answers = threading.Event(), [], []

    def read():
        filters = (None, {"must": [{"label": "comes"}]},
                   {"must_not": [{"label": "stays"}]})
        try:
            for k in range(10 ** 9):
                if over.is_set():
                    break
                answer = c.search({"code": place}, limit=1000,
                                  filter=filters[k % 3],
                                  **{"with": ["code"]})
                equal((answer["complete"], answer["searched"]),
                      (True, len(answer["items"])), "complete, searched")
                found = answer["items"]
                if k % 3 == 0:
                    equal(hits(answer)[:10], [(i, 0) for i in range(10)],
                          "who stays")
                    found = found[10:]
                batches = {}
                for item in found:
                    batches.setdefault(item["id"] // 4, []).append(
                        (item["id"] % 4, item["code"]))
                for b, members in batches.items():
                    equal(sorted(members), [(i, members[0][1])
                                            for i in range(4)],
                          "batch %d, which comes and goes as one" % b)
                    check(members[0][1] in (first, second), "a code")
                answers.append(len(batches))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for k in range(60):
        ids = list(range(100 + 4 * k, 104 + 4 * k))
        for code in (first, second):
            c.batch({"items": [{"id": i, "code": code, "labels": ["comes"]}
                               for i in ids]}, ack="visible")
        if k % 3 < 2:
            daemon.post(c.path + "/items/delete", {"ids": ids},
                        ack="visible").expect(200)
    over.set()
    for thread in threads:
        thread.join()
    check(not errors, errors[:1])
    check(len(answers) > 60 and max(answers) > 10,
          "%d answers beside 160 changes" % len(answers))
    equal(len(c.search({"code": place}, limit=1000)["items"]), 10 + 80,
          "items at the end")


@test("a search whose time is up says how much was searched")
def _():
    for query in ({"code": "00" * 128}, {"id": 5}):
        answer = Collection(daemon, "long").search(query, timeout_seconds=0)
        equal(answer["complete"], False, "complete")
        equal((answer["items"], answer["searched"]), ([], 0), "what was found")
    answer = Collection(daemon, "long").search({"id": 5}, timeout_seconds=600)
    equal((answer["complete"], answer["searched"]), (True, 96000), "complete")


@test("an empty collection has no hits")
def _():
    c = daemon.collection("empty", dim=DIM)
    answer = c.search({"vector": X[0].tolist()})
    equal(answer["items"], [], "items")
    equal(answer["searched"], 0, "searched")


@test("answers are the same after a restart")
def _():
    before = [C.search({"vector": q.tolist()}, limit=50) for q in QUERIES]
    daemon.restart()
    after = [C.search({"vector": q.tolist()}, limit=50) for q in QUERIES]
    equal(after, before, "answers")


@test("codes and answers are the same under each instruction set")
def _():
    queries = [{"vector": q.tolist()} for q in QUERIES[:20]]
    before = [C.search(q, limit=50) for q in queries]
    codes = {bits: c.encode(X).tobytes()
             for bits, (c, _) in collections.items()}
    equal(daemon.terminate(), 0, "exit status of akind")
    for isa in ("scalar", "avx2", "avx512"):
        # One that this machine does not have falls back to what it has.
        other = Daemon(daemon.directory, env={"AKIND_ISA": isa}).start()
        for bits, (c, _) in collections.items():
            mine = Collection(other, c.name)
            check(mine.encode(X).tobytes() == codes[bits],
                  "codes of %d bits differ under %s" % (bits, isa))
        mine = Collection(other, C.name)
        equal([mine.search(q, limit=50) for q in queries], before,
              "answers under " + isa)
        other.stop()


main()
