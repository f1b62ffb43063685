#!/usr/bin/python3 -B
"""A collection learns again from the rows of now, and hcdh learns at all."""

from akin_test import *

daemon = Daemon().start()

DIM = 16
X, Y = clusters(6000, DIM, classes=5, seed=33, spread=1.5)
LABELS = ["c%d" % y for y in Y]


def learn(c, first, n, **query):
    return c.learn(X[first:first + n], LABELS[first:first + n],
                   ids=list(range(first, first + n)), **query)


def job(id):
    return daemon.get("/v1/jobs/%d" % id).expect(200).json


def start(target, **rest):
    return daemon.post("/v1/jobs", dict(rest, kind="rebuild", target=target)
                       ).expect(202).json["id"]


def ended(id, state="succeeded"):
    done = wait_until(lambda: job(id) if job(id)["ended"] else None,
                      "job %d has ended" % id)
    equal(done["state"], state, "state of %r" % done)
    return done


c = daemon.collection("shoes", bits=32, dim=DIM, model={
    "kind": "hmoh", "params": {"seed": 2, "kernel_anchors": 32}})


@test("a rebuild passes its gate and serves")
def _():
    learn(c, 0, 4000, ack="learned")
    before = c.publish()
    done = ended(start("shoes", gate={"max_quality_loss": 0.1}))
    gate = done["result"]["gate"]
    equal((gate["passed"], gate["queries"]), (True, 400), "the gate")
    check(done["result"]["version"] > before, "the version")
    equal(c.info()["model_versions"]["published"], done["result"]["version"],
          "published")
    equal(done["result"]["samples"], 4000, "samples")
    ids, codes = c.codes()
    check((c.encode(X[ids]) == codes).all(), "stored codes are not encode's")


@test("rows that come while it is made are in it, and none twice")
def _():
    id = start("shoes", gate=None)
    for at in range(4000, 6000, 100):
        learn(c, at, 100)
    ended(id)
    seq = learn(c, 5900, 100)["seq"]
    c.wait_learned(seq)
    c.wait_visible(seq)
    equal(c.info()["items"], 6000, "items")
    # The last hundred were replaced, and learnt again.
    equal(c.info()["model_versions"]["live_samples"], 6100, "live_samples")
    check(c.info()["debt"] > 0, "debt")


@test("what is worse is refused and leaves all as it was")
def _():
    before = (c.info()["model_versions"]["published"], c.model_bytes())
    done = ended(start("shoes", params={"labels": {"max": 1}}), "failed")
    check("loss" in done["error"], done["error"])
    equal((c.info()["model_versions"]["published"], c.model_bytes()), before,
          "what is published")
    equal(c.info()["labels"]["max"], 256, "labels.max")
    metrics = daemon.get("/metrics").body.decode()
    check('akind_rebuilds_refused_total{collection="shoes"} 1' in metrics,
          "the metric")


@test("other parameters are the collection's from then on")
def _():
    ended(start("shoes", params={"model": {"params": {"seed": 5}}}, gate=None))
    equal(c.info()["model"]["params"]["seed"], 5, "seed")
    daemon.patch(c.path, {"description": "x"}).expect(200)
    daemon.restart()
    equal(c.info()["model"]["params"]["seed"], 5, "seed after a restart")
    learn(c, 0, 100, ack="visible")


@test("a rollback goes back, and pins the policy to manual")
def _():
    daemon.patch(c.path, {"publish": {"policy": "every_batches",
                                      "every_batches": 1000}}).expect(200)
    kept = [m["version"] for m in c.models() if m["state"] == "previous"]
    daemon.post("%s/models/%d/rollback" % (c.path, kept[0]), ack="visible",
                timeout_seconds=DEADLINE).expect(200)
    equal(c.info()["model_versions"]["published"], kept[0], "published")
    equal(c.info()["publish"]["policy"], "manual", "policy")


@test("a rebuild that is killed with the daemon goes on")
def _():
    id = start("shoes", gate=None)
    daemon.kill()
    daemon.start()
    ended(id)


@test("hcdh learns by a publish, and follows the stream from then on")
def _():
    h = daemon.collection("deep", bits=32, dim=DIM, model={
        "kind": "hcdh", "params": {"hidden": 32, "epochs": 4}})
    learn(h, 0, 1500, ack="visible")
    wait_until(lambda: h.info()["model_versions"]["pending_rows"] == 1500,
               "its rows wait")
    equal(h.info()["model_versions"]["live_samples"], 0, "live_samples")
    version = h.publish()
    learnt = [m for m in h.models() if m["version"] == version][0]
    check(learnt["samples"] >= 1500, "samples of %r" % learnt)
    ids, codes = h.codes()
    check((h.encode(X[ids]) == codes).all(), "stored codes are not encode's")
    queries = slice(5000, 5200)
    found = mean_average_precision(h.encode(X[queries]), Y[queries], codes,
                                   Y[ids])
    check(found > 0.7, "mAP is %.3f" % found)
    before = h.info()["model_versions"]["live_samples"]
    learn(h, 1500, 500, ack="learned")
    check(h.info()["model_versions"]["live_samples"] > before, "it follows")


@test("an erased item is gone, and what still has it is told")
def _():
    h = daemon.collection("few", bits=32, dim=DIM, model={
        "kind": "hmoh", "params": {"kernel_anchors": 0}})
    learn(h, 0, 500, ack="visible")
    version = h.publish()
    daemon.delete("%s/items/7?erase=yes" % h.path).problem(
        422, "validation-failed", "/erase")
    told = daemon.delete("%s/items/7?erase=true" % h.path).expect(200).json
    equal(told["erase"]["rows"], 1, "rows")
    equal(told["erase"]["influence"], {"model_versions": [version],
                                       "live_model": True}, "influence")
    h.item(7).problem(404, "not-found")
    wait_until(lambda: h.info()["erasures_pending"] == 0, "it is erased")
    metrics = daemon.get("/metrics").body.decode()
    check('akind_erased_rows_total{collection="few"} 1' in metrics,
          "the metric")
    daemon.delete("%s/items/7?erase=true" % h.path).problem(404, "not-found")


main()
