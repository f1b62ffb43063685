#!/usr/bin/python3 -B
"""Items: upsert, get, scroll, relabel, delete."""

from akin_test import *

daemon = Daemon().start()
X, Y = clusters(6000, dim=16, seed=8)
LABELS = ["c%d" % y for y in Y]
HMOH = {"kind": "hmoh", "params": {"seed": 3, "kernel_anchors": 16}}
c = daemon.collection("shoes", dim=16, labels={"mode": "multi"}, model=HMOH)


@test("an upsert is stored and not learnt")
def _():
    answer = c.upsert(X[:1000], LABELS[:1000], list(range(1000)),
                      ack="visible")
    equal(answer["accepted"], 1000, "accepted")
    equal(answer["first_id"], 0, "first_id")
    c.publish()
    equal(c.info()["model_versions"]["live_samples"], 0, "live_samples")
    equal(c.info()["items"], 1000, "items")


@test("an item shows its vector and its code when it is asked to")
def _():
    bare = c.item(17).expect(200).json
    check("vector" not in bare and "code" not in bare, "item is %r" % bare)
    equal(bare["labels"], [LABELS[17]], "labels")
    full = c.item(17, **{"with": "vector,code"}).expect(200).json
    check((np.array(full["vector"], np.float32) == X[17]).all(), "vector")
    equal(full["code"], c.encode(X[17:18])[0].tobytes().hex(), "code")


@test("the scroll has all items once, in order of arrival, at any page size")
def _():
    for limit in (1, 7, 999, 1000):
        n = 1000 if limit > 1 else 30
        found, cursor = [], None
        while len(found) < n:
            page = daemon.get(c.path + "/items", limit=limit,
                              cursor=cursor).expect(200).json
            found += [i["id"] for i in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        equal(found[:n], list(range(n)), "ids at limit %d" % limit)


@test("the scroll can be of one label")
def _():
    found = [i["id"] for i in c.items(limit=100, label="c2")]
    equal(found, [i for i in range(1000) if LABELS[i] == "c2"], "ids")
    equal(c.items(label="nobody"), [], "items of an unknown label")


@test("what arrives and goes during a scroll does not disturb it")
def _():
    found, cursor, step = [], None, 0
    while True:
        page = daemon.get(c.path + "/items", limit=100,
                          cursor=cursor).expect(200).json
        found += [i["id"] for i in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        # One that was shown goes, another one comes at the end.
        daemon.delete("%s/items/%d" % (c.path, found[0] + step)).expect(204)
        c.upsert(X[step:step + 1], ids=[5000 + step], ack="visible")
        step += 1
    equal(found[:1000], list(range(1000)), "ids")
    equal(len(set(found)), len(found), "different ids")
    check(set(found[1000:]) <= set(range(5000, 5000 + step)), "others came")
    for i in range(step):
        c.item(i).expect(404)


@test("new labels replace the old ones, for search and scroll alike")
def _():
    reply = daemon.patch(c.path + "/items/500", {"labels": ["boot", "red"]},
                         ack="visible").expect(200)
    equal(c.item(500).json["labels"], ["boot", "red"], "labels")
    equal([i["id"] for i in c.items(label="boot")], [500], "scroll")
    found = c.search({"id": 500}, limit=1000,
                     filter={"must": [{"label": "red"}]})
    equal([i["id"] for i in found["items"]], [500], "search")
    old = [i["id"] for i in c.items(label=LABELS[500])]
    check(500 not in old, "it still has its old label")


@test("new labels are learnt")
def _():
    c.wait_learned(c.stream()["durable_seq"])
    before = c.info()["model_versions"]["live_samples"]
    daemon.patch(c.path + "/items/501", {"labels": ["boot"]},
                 ack="learned").expect(200)
    equal(c.info()["model_versions"]["live_samples"], before + 1,
          "live_samples")


@test("a payload is replaced, and removed by null")
def _():
    daemon.patch(c.path + "/items/502", {"payload": {"a": [1, {"b": None}]}},
                 ack="visible").expect(200)
    equal(c.item(502).json["payload"], {"a": [1, {"b": None}]}, "payload")
    equal(c.item(502).json["labels"], [LABELS[502]], "labels")
    daemon.patch(c.path + "/items/502", {"payload": None},
                 ack="visible").expect(200)
    check(not c.item(502).json.get("payload"), "payload is there")


@test("text of any kind comes back as it was")
def _():
    texts = ["'; drop table rows; --", "<script>alert(1)</script>",
             "\u202eabc", "😀", "{{7*7}}", "a\\\"b", "\u00e9"]
    rows = [{"id": 8000 + i, "vector": X[i].tolist(), "labels": [t],
             "payload": {t: t}} for i, t in enumerate(texts)]
    daemon.put(c.path + "/items", {"items": rows}, ack="visible").expect(200)
    for row in rows:
        found = c.item(row["id"]).expect(200).json
        equal(found["labels"], row["labels"], "labels")
        equal(found["payload"], row["payload"], "payload")
        hits = [i["id"] for i in c.items(label=row["labels"][0])]
        equal(hits, [row["id"]], "items of the label")


@test("a deleted item is nowhere")
def _():
    n = c.info()["items"]
    daemon.delete(c.path + "/items/700", ack="visible").expect(204)
    c.item(700).problem(404, "not-found")
    equal(c.info()["items"], n - 1, "items")
    check(700 not in {i["id"] for i in c.items()}, "it is in the scroll")
    found = c.search({"vector": X[700].tolist()}, limit=1000)
    check(700 not in {i["id"] for i in found["items"]}, "it is found")


@test("many are deleted by id; those that are not there are counted")
def _():
    n = c.info()["items"]
    body = daemon.post(c.path + "/items/delete",
                       {"ids": [701, 702, 703, 99999]},
                       ack="visible").expect(200).json
    equal((body["deleted"], body["missing"]), (3, 1), "deleted, missing")
    equal(c.info()["items"], n - 3, "items")


@test("many are deleted by a filter")
def _():
    gone = [i["id"] for i in c.items(label="c3")]
    check(len(gone) > 100, "only %d items" % len(gone))
    n = c.info()["items"]
    body = daemon.post(c.path + "/items/delete",
                       {"filter": {"must": [{"label": "c3"}]}},
                       ack="visible").expect(200).json
    equal(body["deleted"], len(gone), "deleted")
    equal(c.info()["items"], n - len(gone), "items")
    equal(c.items(label="c3"), [], "items of the label")


@test("a deleted id may come again")
def _():
    c.upsert(X[700:701], ["again"], [700], ack="visible")
    equal(c.item(700).json["labels"], ["again"], "labels")
    equal(c.items()[-1]["id"], 700, "the last to arrive")


@test("a delete with its key happens once")
def _():
    key = {"Idempotency-Key": "delete-0001"}
    one = daemon.post(c.path + "/items/delete", {"ids": [800]}, headers=key)
    equal(one.expect(200).json["deleted"], 1, "deleted")
    c.upsert(X[800:801], ids=[800], ack="visible")
    two = daemon.post(c.path + "/items/delete", {"ids": [800]}, headers=key)
    equal(two.expect(200).json["deleted"], 1, "deleted, again told")
    equal(two.headers.get("idempotency-replayed"), "true", "replayed")
    c.item(800).expect(200)


@test("a restart keeps the items, their labels and their order")
def _():
    before = c.items()
    daemon.restart()
    equal(c.items(), before, "items")


@test("50 writers at once lose nothing")
def _():
    c = daemon.collection("many", dim=16, model=HMOH)
    errors = []

    def write(k):
        try:
            for i in range(4):
                at = (k * 4 + i) * 5
                c.upsert(X[at:at + 5], ids=list(range(at, at + 5)))
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=write, args=(k,)) for k in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, errors)
    equal(c.info()["seq"], 200, "seq")
    c.wait_visible(200)
    items = c.items()
    equal(sorted(i["id"] for i in items), list(range(1000)), "ids")


main()
