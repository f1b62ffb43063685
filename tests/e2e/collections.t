#!/usr/bin/python3 -B
"""Collections: made, shown, changed, listed, taken away."""

from akin_test import *

daemon = Daemon().start()

SHOES = {"bits": 64, "model": {"kind": "hmoh", "params": {"seed": 7}},
         "features": {"dim": 32, "store": "f16"}}


def put(body, name="shoes"):
    return daemon.put("/v1/collections/" + name, body)


@test("a new collection is 201 and shows its defaults")
def _():
    body = put(SHOES).expect(201).json
    equal(body["name"], "shoes", "name")
    equal(body["bits"], 64, "bits")
    equal(body["ids"], "integer", "ids")
    equal(body["features"]["dim"], 32, "dim")
    equal(body["features"]["store"], "f16", "store")
    equal(body["labels"], {"mode": "single", "max": 256}, "labels")
    equal(body["publish"]["policy"], "manual", "policy")
    equal(body["extractor"], None, "extractor")
    equal(body["images"], {"store": "none"}, "images")
    equal(body["model"]["params"]["seed"], 7, "seed")
    equal(body["model"]["params"]["kernel_anchors"], 300, "kernel_anchors")


@test("a new collection is empty and serves version 0")
def _():
    body = daemon.get("/v1/collections/shoes").expect(200).json
    equal(body["items"], 0, "items")
    equal(body["seq"], 0, "seq")
    equal(body["model_versions"],
          {"published": 0, "live_samples": 0, "pending_rows": 0}, "versions")
    equal(body["staleness"], 0.0, "staleness")
    equal(body["quality"]["served"], None, "served quality")
    equal(body["quality"]["live"], None, "live quality")
    equal(body["queue"], {"records": 0, "bytes": 0}, "queue")
    equal(body["warnings"], [], "warnings")


@test("the same again is 200, also with the defaults written out")
def _():
    first = put(SHOES).expect(200).json
    body = dict(SHOES, ids="integer", labels={"mode": "single", "max": 256},
                publish={"policy": "manual"}, extractor=None,
                images={"store": "none"})
    body["model"] = {"kind": "hmoh",
                     "params": {"seed": 7, "kernel_anchors": 300}}
    equal(put(body).expect(200).json["bits"], first["bits"], "bits")


@test("what differs is 409 and changes nothing")
def _():
    for other in ({"bits": 32}, {"ids": "string"},
                  {"features": {"dim": 32}},
                  {"model": {"kind": "lsh"}},
                  {"labels": {"mode": "multi"}}):
        put(dict(SHOES, **other)).problem(409, "already-exists")
    equal(daemon.get("/v1/collections/shoes").json["bits"], 64, "bits")


@test("all kinds that /v1/methods lists can be made")
def _():
    methods = daemon.get("/v1/methods").expect(200).json["items"]
    kinds = {m["kind"] for m in methods}
    for kind in ("hmoh", "fcoh", "sdoh", "hcdh", "hcoh", "lsh", "external"):
        check(kind in kinds, "%s is not in %s" % (kind, kinds))
    for kind in sorted(kinds):
        body = {"bits": 32, "model": {"kind": kind}, "features": {"dim": 8}}
        if kind == "external":
            del body["features"]
        put(body, "kind-" + kind).expect(201)
        daemon.delete("/v1/collections/kind-" + kind).expect(204)


@test("an extractor settles the dimension")
def _():
    body = put({"bits": 32, "model": {"kind": "hmoh"},
                "extractor": "pixels-28x28x1"}, "pics").expect(201).json
    equal(body["features"]["dim"], 784, "dim")


@test("the list has all, by name")
def _():
    put({"bits": 8, "model": {"kind": "lsh"}, "features": {"dim": 1}},
        "a0").expect(201)
    body = daemon.get("/v1/collections").expect(200).json
    equal([c["name"] for c in body["items"]], ["a0", "pics", "shoes"], "names")
    equal(body["next_cursor"], None, "next_cursor")


@test("a merge patch changes the policy and the description, and only these")
def _():
    path = "/v1/collections/shoes"
    body = daemon.patch(path, {"publish": {"policy": "every_batches",
                                           "every_batches": 5},
                               "description": "left & right"},
                        type="application/json").expect(200).json
    equal(body["publish"]["policy"], "every_batches", "policy")
    equal(body["publish"]["every_batches"], 5, "every_batches")
    equal(body["description"], "left & right", "description")
    equal(body["bits"], 64, "bits")
    body = daemon.patch(path, {"description": None}).expect(200).json
    check(not body.get("description"), "description is %r" %
          body.get("description"))
    equal(body["publish"]["every_batches"], 5, "every_batches")


@test("a name of 63 characters will do")
def _():
    name = "n" + "_-9" * 20 + "zz"
    put(SHOES, name).expect(201)
    equal(daemon.get("/v1/collections/" + name).json["name"], name, "name")
    daemon.delete("/v1/collections/" + name).expect(204)


@test("what is deleted is gone, with its file, and its name is free")
def _():
    c = daemon.collection("gone", bits=16, dim=8)
    c.upsert(*clusters(50, 8)[:1], ack="visible")
    files = {p for p in Path(daemon.directory).rglob("*") if "gone" in p.name}
    daemon.delete(c.path).expect(204)
    for method, path in (("GET", ""), ("GET", "/items"), ("GET", "/stream"),
                         ("DELETE", "")):
        daemon.request(method, c.path + path).problem(404, "not-found")
    wait_until(lambda: not any(f.exists() for f in files),
               "the files of the collection are gone")
    c = daemon.collection("gone", bits=24, dim=4)
    equal(c.info()["items"], 0, "items")
    equal(c.items(), [], "items of the new one")


@test("deleting a collection under load ends its requests and no others")
def _():
    c = daemon.collection("busy", bits=32, dim=16)
    other = daemon.collection("other", bits=32, dim=16)
    x, y = clusters(512, 16)
    stop = threading.Event()
    answers, errors = [], []

    def load(target, log):
        while not stop.is_set():
            try:
                reply = daemon.post(target.path + "/batches",
                                    npy_batch(x, ["l%d" % v for v in y]),
                                    type=MULTIPART)
                log.append(reply.status)
                reply = daemon.post(target.path + "/search",
                                    {"query": {"vector": x[0].tolist()}})
                log.append(reply.status)
            except Exception as error:
                errors.append(error)
                return

    logs = [[], []]
    threads = [threading.Thread(target=load, args=a)
               for a in ((c, logs[0]), (other, logs[1]))]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(logs[0]) > 8 and len(logs[1]) > 8 or errors,
               "the load has begun")
    daemon.delete(c.path).expect(204)
    wait_until(lambda: 404 in logs[0] or errors, "a request is refused")
    n = len(logs[1])
    wait_until(lambda: len(logs[1]) > n + 4 or errors, "the other goes on")
    stop.set()
    for thread in threads:
        thread.join()
    check(not errors, errors)
    check(set(logs[0]) <= {200, 202, 404}, "answers %s" % set(logs[0]))
    check(set(logs[1]) <= {200, 202}, "answers %s" % set(logs[1]))


@test("collections and their settings survive a restart")
def _():
    # One that has begun to learn publishes by itself at the end of its warm-up.
    daemon.delete("/v1/collections/other").expect(204)
    before = daemon.get("/v1/collections").json["items"]
    daemon.restart()
    after = daemon.get("/v1/collections").json["items"]
    for a, b in zip(before, after):
        for field in ("name", "bits", "ids", "model", "features", "publish",
                      "labels", "extractor", "images", "items", "seq"):
            equal(b[field], a[field], "%s of %s" % (field, a["name"]))
    equal(len(after), len(before), "number of collections")


main()
