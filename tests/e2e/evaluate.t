#!/usr/bin/python3 -B
"""The job `evaluate`: the papers' metrics on a collection that serves."""

from akin_test import *

daemon = Daemon().start()


def evaluate(target, **params):
    job = daemon.post("/v1/jobs", {"kind": "evaluate", "target": target,
                                   "params": params}).expect(202).json
    path = "/v1/jobs/%d" % job["id"]
    return wait_until(
        lambda: (lambda j: j if j["state"] in ("succeeded", "failed") else None)
        (daemon.get(path).json), "%s of %s" % (job["kind"], target))


def external(name, codes, labels):
    """A collection of the given codes."""
    c = daemon.collection(name, bits=8 * codes.shape[1],
                          model={"kind": "external"})
    items = [{"id": i, "code": codes[i].tobytes().hex(),
              "labels": [labels[i]] if labels[i] else []}
             for i in range(len(codes))]
    c.batch({"items": items}, ack="visible")
    return c


def near(found, expected, tolerance, what):
    check(abs(found - expected) <= tolerance,
          "%s is %g, must be %g" % (what, found, expected))


def tied_ap(relevant, n):
    """Mean of AP over all orders of n items, of which some are relevant."""
    return sum((1 + (k - 1) * (relevant - 1) / (n - 1)) / k
               for k in range(1, n + 1)) / n


@test("codes that say nothing have the precision of chance")
def _():
    labels = ["a"] * 60 + ["b"] * 40 + [""] * 7
    external("same", np.zeros((107, 4), np.uint8), labels)
    job = evaluate("same", queries=20)
    result = job["result"]
    equal((job["state"], result["queries"], result["items"],
           result["unlabelled"], result["bits"], result["without_relevant"]),
          ("succeeded", 20, 80, 7, 32, 0), "counts")
    count = {o["label"]: o["queries"] for o in result["labels"]}
    equal(sum(count.values()), 20, "queries of labels")
    expected = {"a": tied_ap(60 - count.get("a", 0), 80),
                "b": tied_ap(40 - count.get("b", 0), 80)}
    for o in result["labels"]:
        near(o["map"], expected[o["label"]], 1e-9, "mAP of " + o["label"])
    near(result["map"], sum(expected[l] * n for l, n in count.items()) / 20,
         1e-9, "mAP")
    # All are within the radius: the share of its class, of each query.
    near(result["p_at_h2"],
         sum({"a": 60, "b": 40}[l] * n - n * n for l, n in count.items())
         / 20 / 80, 1e-9, "P@H2")
    equal(result["empty_at_h2"], 0, "empty balls")


@test("codes that say everything have precision 1")
def _():
    codes = np.zeros((50, 2), np.uint8)
    codes[30:] = 0xff
    external("apart", codes, ["a"] * 30 + ["b"] * 20)
    result = evaluate("apart", queries=10)["result"]
    for name in ("map", "map_ordered", "map_at_1000", "p_at_h2", "p_at_1",
                 "p_at_10"):
        near(result[name], 1, 1e-12, name)
    # 100 are not there: the share among all 40.
    near(result["p_at_100"], sum(
        ({"a": 30, "b": 20}[o["label"]] - o["queries"]) * o["queries"]
        for o in result["labels"]) / 10 / 40, 1e-9, "P@100")


@test("a learnt collection: as a slow obvious mean over all its items")
def _():
    x, y = clusters(600, 16, classes=4, seed=3, spread=1.0)
    c = daemon.collection("learnt", bits=32, dim=16,
                          model={"kind": "hmoh",
                                 "params": {"kernel_anchors": 0}})
    c.learn(x, ["c%d" % l for l in y], ids=list(range(600)), ack="visible")
    c.publish()
    ids, codes = c.codes()
    y = y[ids]
    # Each finds itself first, which a query that is held out does not.
    expected = mean_average_precision(codes, y, codes, y)
    job = evaluate("learnt", queries=300, seed=1)
    near(job["result"]["map"], expected, 0.02, "mAP")
    equal(job["result"]["version"],
          c.info()["model_versions"]["published"], "version")
    # The same draw of queries gives the same, another nearly so.
    equal(evaluate("learnt", queries=300, seed=1)["result"], job["result"],
          "again")
    other = evaluate("learnt", queries=300, seed=2)["result"]
    check(other != job["result"], "another seed draws other queries")
    near(other["map"], expected, 0.03, "mAP of other queries")


@test("what cannot be evaluated is told")
def _():
    external("one", np.zeros((1, 4), np.uint8), ["a"])
    job = evaluate("one")
    equal(job["state"], "failed", "state")
    check("at least 2 are needed" in job["error"], job["error"])
    for params, pointer in (({"queries": 0}, "/params/queries"),
                            ({"queries": 10001}, "/params/queries"),
                            ({"seed": -1}, "/params/seed"),
                            ({"radius": 2}, "/params/radius")):
        daemon.post("/v1/jobs", {"kind": "evaluate", "target": "one",
                                 "params": params}).problem(
            422, ("validation-failed", "unknown-field"), pointer)
    daemon.post("/v1/jobs", {"kind": "evaluate", "target": "one",
                             "gate": {"x": 1}}).problem(
        422, "unknown-field", "/gate")


main()
