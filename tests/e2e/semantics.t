#!/usr/bin/python3 -B
"""What a request means when something else happens meanwhile: keys over a
crash, cursors of another list, deletes under scrolls, publishes and rebuilds,
waits for what never comes."""

from akin_test import *

daemon = Daemon().start()
DIM = 16
X, Y = clusters(6000, DIM, classes=5, seed=81, spread=0.8)
LABELS = ["c%d" % y for y in Y]
HMOH = {"kind": "hmoh", "params": {"seed": 4, "kernel_anchors": 32}}


def make(name, n=0, **rest):
    c = daemon.collection(name, dim=DIM, **dict({"model": HMOH}, **rest))
    if n:
        c.learn(X[:n], LABELS[:n], ids=list(range(n)), ack="visible")
    return c


def each_finds_itself(c, ids):
    """Each of these items is at distance 0 from itself."""
    ids = sorted(ids)
    for at in range(0, len(ids), 500):
        some = ids[at:at + 500]
        # Those that share its code are at distance 0, too, and may be before.
        reply = daemon.post(c.path + "/search/batch", {"queries": [
            {"query": {"id": i}, "limit": 1, "filter": {"must": [
                {"ids": [i]}]}} for i in some]}).expect(200)
        equal([(i["id"], i["distance"]) for r in reply.json["results"]
               for i in r["items"]], [(i, 0) for i in some], "own distances")


# ------------------------------------------------------------------------ keys


@test("a key whose answer was lost in a crash is done once, whenever it comes")
def _():
    c = make("crashed")
    sent, seqs = [], {}

    def keyed(i):
        reply = daemon.post(c.path + "/batches", npy_batch(
            X[10 * i:10 * i + 10], LABELS[10 * i:10 * i + 10],
            list(range(10 * i, 10 * i + 10))), type=MULTIPART,
            headers={"Idempotency-Key": "crash-%04d" % i})
        return reply.expect(200)
    for kill in range(5):
        stop = threading.Event()

        def stream():
            while not stop.is_set():
                i = len(sent)
                sent.append(i)
                try:
                    seqs[i] = keyed(i).json["seq"]
                except (OSError, http.client.HTTPException):
                    return
        thread = threading.Thread(target=stream)
        thread.start()
        want = len(seqs) + 5
        wait_until(lambda: len(seqs) >= want, "five more are acknowledged")
        daemon.kill()
        stop.set()
        thread.join()
        daemon.start()
        # All of them again, those without an answer, too.
        for i in sent:
            reply = keyed(i)
            equal(reply.json["seq"], seqs.setdefault(i, reply.json["seq"]),
                  "seq of key %d" % i)
            equal(keyed(i).headers.get("idempotency-replayed"), "true", "again")
    equal(len(set(seqs.values())), len(sent), "seqs of %d keys" % len(sent))
    c.wait_visible(max(seqs.values()))
    equal(c.info()["items"], 10 * len(sent), "items")
    equal(sorted(i["id"] for i in c.items()), list(range(10 * len(sent))),
          "ids")


@test("a key of one route is taken for another")
def _():
    c = make("routes", 20)
    key = {"Idempotency-Key": "route-0001"}
    body = {"items": [{"id": 1, "vector": X[1].tolist()}]}
    daemon.post(c.path + "/batches", body, headers=key).expect(200)
    for send in (
            lambda: daemon.put(c.path + "/items", body, headers=key),
            lambda: daemon.post(c.path + "/items/delete", {"ids": [1]},
                                headers=key),
            lambda: daemon.patch(c.path + "/items/1", {"payload": {}},
                                 headers=key),
            lambda: daemon.delete(c.path + "/items/1", headers=key),
            lambda: daemon.post(c.path + "/models/publish", headers=key)):
        send().problem(422, "idempotency-key-reused")
    c.item(1).expect(200)


# --------------------------------------------------------------------- cursors


@test("a cursor belongs to its list: its search, its filter, its collection")
def _():
    c, other = make("listed", 300), make("listed2", 300)
    body = {"query": {"code": "00" * 4}, "max_distance": 32, "limit": 5}
    cursor = daemon.post(c.path + "/search", body).expect(200).json[
        "next_cursor"]
    check(cursor, "there is no cursor")
    good = daemon.post(c.path + "/search", dict(body, cursor=cursor)).expect(
        200).json
    equal(len(good["items"]), 5, "hits of the second page")
    same = dict(body, limit=7, cursor=cursor)
    daemon.post(c.path + "/search", same).expect(200)
    for change in ({"query": {"code": "01" * 4}}, {"max_distance": 31},
                   {"filter": {"must": [{"label": "c1"}]}},
                   {"filter": {"must_not": [{"ids": [1]}]}}):
        daemon.post(c.path + "/search", dict(body, cursor=cursor, **change)
                    ).problem(400, "invalid-cursor")
    daemon.post(other.path + "/search", dict(body, cursor=cursor)).problem(
        400, "invalid-cursor")
    scroll = daemon.get(c.path + "/items", limit=5).json["next_cursor"]
    for path, query in ((c.path + "/items", {"label": "c1"}),
                        (other.path + "/items", {}),
                        ("/v1/collections", {}), ("/v1/jobs", {})):
        daemon.get(path, cursor=scroll, **query).problem(400, "invalid-cursor")
    daemon.get(c.path + "/items", cursor=cursor).problem(400, "invalid-cursor")
    daemon.post(c.path + "/search", dict(body, cursor=scroll)).problem(
        400, "invalid-cursor")
    # A version later its order is another; a restart changes nothing.
    daemon.restart()
    equal(daemon.post(c.path + "/search", dict(body, cursor=cursor)).expect(
        200).json["items"], good["items"], "the page after a restart")
    c.publish()
    daemon.post(c.path + "/search", dict(body, cursor=cursor)).problem(
        409, "state-conflict")
    daemon.get(c.path + "/items", cursor=scroll).expect(200)


@test("a cursor that is changed anywhere is no cursor")
def _():
    c = make("tampered", 50)
    cursor = daemon.get(c.path + "/items", limit=5).json["next_cursor"]
    rng = random.Random(5)
    for at in range(len(cursor)):
        changed = cursor[:at] + rng.choice(
            [x for x in "ABCDabcd0123-_" if x != cursor[at]]) + cursor[at + 1:]
        daemon.get(c.path + "/items", cursor=changed).problem(
            400, "invalid-cursor")
    for text in (cursor[:-1], cursor + "A", cursor * 20, "", "=", " ", "\u00e9"):
        daemon.get(c.path + "/items", cursor=text).problem(400,
                                                           "invalid-cursor")


# ------------------------------------------------- changes while codes change


class Expected:
    """What a collection must hold: the last word on each id."""

    def __init__(self, c):
        self.c = c
        self.rows = {}  # id: (number of its vector, label)
        self.rng = random.Random(9)

    def put(self, first, n, **query):
        ids = list(range(first, first + n))
        rows = [(i * 7) % len(X) for i in ids]
        self.c.learn(X[rows], [LABELS[r] for r in rows], ids=ids, **query)
        self.rows.update({i: (r, LABELS[r]) for i, r in zip(ids, rows)})

    def change(self):
        """One change of each kind, at random."""
        known = sorted(self.rows)
        gone = self.rng.sample(known, 5)
        reply = daemon.post(self.c.path + "/items/delete", {"ids": gone})
        equal(reply.expect(200).json["deleted"], 5, "deleted")
        for id in gone:
            del self.rows[id]
        id = self.rng.choice(sorted(self.rows))
        daemon.patch("%s/items/%d" % (self.c.path, id), {"labels": ["c9"]}
                     ).expect(200)
        self.rows[id] = (self.rows[id][0], "c9")
        id = self.rng.choice(sorted(self.rows))
        row = self.rng.randrange(len(X))
        seq = self.c.batch({"items": [{"id": id, "labels": [LABELS[row]],
                                       "vector": X[row].tolist()}]})["seq"]
        self.rows[id] = (row, LABELS[row])
        return seq

    def holds(self):
        self.c.wait_visible(self.c.stream()["durable_seq"])
        found = self.c.items()
        equal(sorted(i["id"] for i in found), sorted(self.rows), "ids")
        equal({i["id"]: i["labels"] for i in found},
              {i: [l] for i, (_, l) in self.rows.items()}, "labels")
        ids, codes = self.c.codes()
        equal(sorted(ids), sorted(self.rows), "ids that are found")
        rows = [self.rows[i][0] for i in ids]
        check((self.c.encode(X[rows]) == codes).all(),
              "stored codes are not those of encode")
        each_finds_itself(self.c, ids)


@test("deletes, new labels and new vectors during publishes are in the codes")
def _():
    e = Expected(make("published"))
    e.put(0, 2000, ack="learned")
    for at in range(4):
        reply = daemon.post(e.c.path + "/models/publish").expect(200, 202)
        for _ in range(10):
            e.change()
        e.put(2000 + 100 * at, 100)
        e.c.publish()
        e.holds()
    version = e.c.info()["model_versions"]["published"]
    daemon.post("%s/models/%d/rollback" % (e.c.path, version - 1),
                ack="visible").expect(200)
    e.change()
    e.holds()
    daemon.kill()
    daemon.start()
    e.holds()


@test("deletes, new labels and new vectors during a rebuild are in it")
def _():
    e = Expected(make("rebuilt"))
    e.put(0, 3000, ack="learned")
    e.c.publish()
    id = daemon.post("/v1/jobs", {"kind": "rebuild", "target": "rebuilt",
                                  "gate": None}).expect(202).json["id"]

    def is_over():
        e.change()
        return daemon.get("/v1/jobs/%d" % id).json["ended"]
    wait_until(is_over, "the rebuild has ended")
    equal(daemon.get("/v1/jobs/%d" % id).json["state"], "succeeded", "state")
    e.change()
    e.holds()
    daemon.restart()
    e.holds()


@test("a scroll during deletes has all that was there throughout, once")
def _():
    c = make("scrolled", 1500, model={"kind": "lsh"})
    stay = set(range(0, 1500, 3))
    stop, errors = threading.Event(), []

    def delete():
        try:
            gone = [i for i in range(1500) if i not in stay]
            random.Random(3).shuffle(gone)
            for at in range(0, len(gone), 10):
                daemon.post(c.path + "/items/delete",
                            {"ids": gone[at:at + 10]}).expect(200)
        except Exception as error:
            errors.append(error)
        stop.set()
    thread = threading.Thread(target=delete)
    thread.start()
    rounds = 0
    while rounds < 2 or not stop.is_set():
        ids = [i["id"] for i in c.items(limit=37)]
        equal(ids, sorted(set(ids)), "the order")
        check(stay <= set(ids), "%s are missing" % sorted(stay - set(ids))[:9])
        rounds += 1
    thread.join()
    check(not errors, errors[:1])
    equal([i["id"] for i in c.items()], sorted(stay), "ids at the end")


# ----------------------------------------------------------------------- reads


@test("a wait for a record that never comes keeps nobody and ends in time")
def _():
    c = make("waited", 10, model={"kind": "lsh"})
    replies = []

    def wait():
        replies.append(daemon.post(
            c.path + "/search", {"query": {"id": 1}}, min_seq=2 ** 62,
            timeout_seconds=1))
    threads = [threading.Thread(target=wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        c.search({"id": 1})
        c.upsert(X[20:21], ids=[20], ack="visible")
    for thread in threads:
        thread.join()
    for reply in replies:
        reply.problem(503, "not-caught-up")
        check(int(reply.headers["retry-after"]) >= 1, "Retry-After")
    for bad in (-1, "x", 2 ** 64, 1.5, ""):
        daemon.post(c.path + "/search", {"query": {"id": 1}}, min_seq=bad
                    ).problem(422, "validation-failed")


@test("a collection that is deleted ends what waits for it")
def _():
    c = make("ended", 10, model={"kind": "lsh"})
    replies = []

    def wait():
        replies.append(daemon.post(c.path + "/search", {"query": {"id": 1}},
                                   min_seq=2 ** 62, timeout_seconds=DEADLINE))
    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: daemon.metric("akind_http_connections{", "active") > 5,
               "they wait")
    daemon.delete(c.path).expect(204)
    for thread in threads:
        thread.join()
    for reply in replies:
        reply.expect(404, 409, 503)
    daemon.get(c.path).problem(404, "not-found")


@test("a filter on nothing finds nothing, one on all finds all")
def _():
    c = make("filtered", 400)
    all_ids = list(range(400))
    none = ({"must": [{"label": "nobody"}]}, {"must": [{"ids": [10 ** 9]}]},
            {"should": [{"label": "nobody"}]}, {"must_not": [
                {"labels_any": ["c0", "c1", "c2", "c3", "c4"]}]},
            {"must": [{"label": "c1"}, {"label": "c2"}]},
            {"must_not": [{"ids": all_ids}]})
    every = ({}, {"must": [], "should": [], "must_not": []},
             {"must": [{"ids": all_ids}]},
             {"should": [{"label": "nobody"}, {"ids": all_ids}]},
             {"must_not": [{"label": "nobody"}]})
    for extra in ({}, {"max_distance": 32},
                  {"rerank": {"by": "feature", "oversample": 4}}):
        for query in ({"id": 3}, {"vector": X[3].tolist()}):
            for filter in none:
                found = c.search(query, filter=filter, limit=1000, **extra)
                equal((found["items"], found["next_cursor"],
                       found["complete"]), ([], None, True), "of nothing")
            for filter in every:
                found = c.search(query, filter=filter, limit=1000, **extra)
                equal(sorted(i["id"] for i in found["items"]), all_ids, "all")


@test("a radius of 0 and one of all bits are the ends, and beyond is refused")
def _():
    c = make("radius", 100)
    code = c.item(3, **{"with": "code"}).json["code"]
    inside = c.search({"id": 3}, max_distance=0, limit=1000,
                      **{"with": ["code"]})["items"]
    check(3 in [i["id"] for i in inside], "it is not at 0 from itself")
    equal({i["code"] for i in inside}, {code}, "codes within 0")
    equal(len(c.search({"id": 3}, max_distance=32, limit=1000)["items"]), 100,
          "items within all bits")
    for bad in (-1, 33, 2 ** 32, 2 ** 64, 0.5, "0"):
        daemon.post(c.path + "/search", {"query": {"id": 3}, "max_distance":
                                         bad}).expect(422, 400)


main()
