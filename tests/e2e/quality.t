#!/usr/bin/python3 -B
"""Quality as it is known while the stream runs: series, gate, drift, bits."""

import math
import re

from akin_test import *

daemon = Daemon().start()

DIM, BITS, CLASSES, STEP = 16, 32, 5, 200
X, Y = clusters(40000, DIM, classes=CLASSES, seed=77, spread=1.2)
HMOH = {"kind": "hmoh", "params": {"seed": 4, "kernel_anchors": 32}}
NOISE = np.random.default_rng(5).integers(CLASSES, size=len(X))


def names(labels):
    return ["c%d" % y for y in labels]


class Stream:
    """A collection that is fed the made rows one after the other."""

    def __init__(self, name, model=HMOH, **rest):
        self.c = daemon.collection(name, bits=BITS, dim=DIM, model=model,
                                   **rest)
        self.at = 0

    def feed(self, n, labels=Y, step=STEP):
        """Learn n rows; the seq of the last batch."""
        for first in range(self.at, self.at + n, step):
            rows = slice(first, first + step)
            answer = self.c.learn(X[rows], names(labels[rows]),
                                  ids=list(range(first, first + step)),
                                  ack="learned")
        self.at += n
        return answer["seq"]

    def quality(self, **query):
        return daemon.get(self.c.path + "/stats/quality",
                          **query).expect(200).json

    def bits(self, **query):
        return daemon.get(self.c.path + "/stats/bits",
                          **query).expect(200).json

    def version(self):
        return self.c.info()["model_versions"]["published"]


def metric(name, **labels):
    """Value of a series of /metrics."""
    wanted = {'%s="%s"' % item for item in labels.items()}
    for line in daemon.get("/metrics").expect(200).body.decode().split("\n"):
        match = re.match(r"akind_(\w+)\{(.*)\} (\S+)$", line)
        if match and match[1] == name and \
                set(match[2].split(",")) == wanted:
            return float(match[3])
    fail("no %s with %s in /metrics" % (name, sorted(wanted)))


s = Stream("plain")


@test("what is not known yet is null")
def _():
    quality = s.quality()
    for field in ("served", "live", "gate"):
        equal(quality[field], None, field)
    equal(quality["labels"], [], "labels")
    equal(quality["history"], [], "history")
    equal(quality["drift"]["alarm"], False, "alarm")
    equal(quality["map_depth"], 100, "map_depth")
    bits = s.bits()
    equal(bits["rows"], 0, "rows")
    equal(bits["ones"], [], "ones")
    check(math.isnan(metric("quality_map_ratio", collection="plain",
                            series="live")), "a mean over nothing")


@test("both series are measured on what arrives")
def _():
    s.feed(6000)
    s.c.publish()
    s.feed(600)
    quality = s.quality()
    for series in ("served", "live"):
        found = quality[series]
        check(100 <= found["queries"] <= 1000, "queries %r" % found)
        for field in ("map", "precision_at_1", "precision_at_10",
                      "precision_at_100"):
            check(0.5 < found[field] <= 1, "%s %s is %r" % (
                series, field, found[field]))
    check(quality["served"]["queries"] < quality["live"]["queries"],
          "the served window did not begin with the publish")
    equal(quality["model_versions"]["published"], s.version(), "published")
    equal(quality["model_versions"]["measured"], s.version(), "measured")
    equal(quality["database_rows"], 4096, "database_rows")


@test("each label has figures of its own")
def _():
    quality = s.quality()
    equal(sorted(l["label"] for l in quality["labels"]),
          ["c%d" % i for i in range(CLASSES)], "labels")
    equal(sum(l["queries"] for l in quality["labels"]),
          quality["queries"]["ranked"], "queries")
    check(all(0 < l["served"]["map"] <= 1 for l in quality["labels"]),
          "mAP of labels %r" % quality["labels"])
    equal(len(s.quality(limit=2)["labels"]), 2, "limit")
    equal(s.quality(limit=2)["n_labels"], CLASSES, "n_labels")


@test("the history can be plotted")
def _():
    history = s.quality()["history"]
    check(len(history) >= 5, "%d points" % len(history))
    seqs = [p["seq"] for p in history]
    check(seqs == sorted(set(seqs)), "records %r" % seqs)
    samples = [p["samples"] for p in history]
    check(samples == sorted(samples), "samples %r" % samples)
    equal(history[-1]["version"], s.version(), "version of the last point")
    check(history[-1]["live"] > 0.5, "the last point %r" % history[-1])


@test("collection, /v1/stats and /metrics tell the same")
def _():
    quality = s.quality()
    equal(s.c.info()["quality"]["served"], quality["served"]["map"], "served")
    mine = [c for c in daemon.get("/v1/stats").json["collections"]["items"]
            if c["name"] == "plain"][0]["quality"]
    for field in ("served", "live", "drift", "gate"):
        equal(mine[field], quality[field], field)
    for series in ("served", "live"):
        check(abs(metric("quality_map_ratio", collection="plain",
                         series=series) - quality[series]["map"]) < 1e-6,
              "mAP of " + series)
        for k in (1, 10, 100):
            check(abs(metric("quality_precision_ratio", collection="plain",
                             series=series, k=k) -
                      quality[series]["precision_at_%d" % k]) < 1e-6,
                  "P@%d of %s" % (k, series))
    equal(metric("quality_drift_alarm", collection="plain"), 0.0, "alarm")
    check(metric("code_entropy_ratio", collection="plain") > 0.5, "entropy")


@test("R of mAP@R is a setting")
def _():
    daemon.patch(s.c.path, {"publish": {"map_depth": 10}}).expect(200)
    s.feed(400)
    quality = s.quality()
    equal(quality["map_depth"], 10, "map_depth")
    check(quality["live"]["queries"] <= 400, "the window begins anew")
    daemon.patch(s.c.path, {"publish": {"map_depth": 0}}).problem(
        422, "validation-failed", "/publish/map_depth")


@test("bits are those of the stored codes")
def _():
    ids, codes = s.c.codes()
    ones = np.unpackbits(codes, axis=1)
    p = ones.mean(axis=0)
    found = s.bits(**{"with": "correlation"})
    equal(found["rows"], len(ids), "rows")
    check(np.abs(np.array(found["ones"]) - p).max() < 1e-8, "ones")
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.nan_to_num(-p * np.log2(p) - (1 - p) * np.log2(1 - p))
    check(np.abs(np.array(found["entropy"]) - entropy).max() < 1e-8,
          "entropy")
    check(abs(found["entropy_ratio"] - entropy.mean()) < 1e-8, "mean entropy")
    correlation = found["correlation"]
    # A sample of the rows: every second one is enough for 1/sqrt(n).
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.abs(np.corrcoef(ones.T.astype(float)))
    r = r[np.triu_indices(BITS, 1)]
    equal(correlation["pairs"], int(np.isfinite(r).sum()), "pairs")
    check(abs(correlation["mean_abs"] - np.nanmean(r)) < 0.03, "mean |r|")
    check(abs(correlation["max_abs"] - np.nanmax(r)) < 0.05, "max |r|")
    daemon.get(s.c.path + "/stats/bits", **{"with": "colour"}).problem(
        422, "unsupported-option")


@test("flips are counted against the version before")
def _():
    f = Stream("flips")
    f.feed(2000, labels=NOISE)
    first = f.c.publish()
    before = f.c.encode(X[:2000])
    f.feed(200)
    version = f.c.publish()
    after = f.c.encode(X[:2200])
    flips = f.bits(**{"with": "flips"})["flips"]
    equal(flips["previous"]["version"], first, "version")
    equal(flips["previous"]["rows"], 2200, "rows")
    daemon.post("%s/models/%d/rollback" % (f.c.path, first),
                ack="visible").expect(200)
    before = f.c.encode(X[:2200])
    expected = np.unpackbits(before ^ after, axis=1).mean(axis=0)
    check(np.abs(np.array(flips["previous"]["bits"]) - expected).max() < 1e-8,
          "flips a bit")
    check(abs(flips["previous"]["mean"] - expected.mean()) < 1e-8, "mean")
    check(flips["previous"]["mean"] > 0, "nothing flipped")
    check(0 <= flips["live"]["mean"] < 1, "flips of the live model")


# A method that forgets fast: noise makes it worse at once.
g = Stream("gated", model={"kind": "hcoh", "params": {"seed": 4, "rate": 1}},
           publish={"policy": "quality", "every_batches": 5,
                    "min_quality_gain": 0.01})


@test("the gate's settings have defaults")
def _():
    publish = g.c.info()["publish"]
    for field, value in (("policy", "quality"), ("every_batches", 5),
                         ("min_new_ratio", 0.1), ("min_quality_gain", 0.01),
                         ("map_depth", 100)):
        equal(publish[field], value, field)


@test("a better model is published by the gate")
def _():
    # Version 1 learns noise; what comes after it is true.
    g.feed(2000, labels=NOISE)
    wait_until(lambda: g.version() == 1, "version 1 serves")
    for _ in range(20):
        g.feed(1000)
        if g.version() > 1:
            break
    wait_until(lambda: g.version() > 1, "a better version serves")
    outcomes = [daemon.get("%s/batches/%d" % (g.c.path, seq)).json
                for seq in range(1, g.c.info()["seq"] + 1)]
    decisions = [o["gate"]["decision"] for o in outcomes if "gate" in o]
    check("better" in decisions, "decisions %r" % decisions)
    good = [o for o in outcomes if o.get("gate", {}).get("publish")
            and o["gate"]["decision"] == "better"][0]["gate"]
    check(good["lower"] > 0.01 and good["pairs"] == 1000,
          "decision %r" % good)


def retrieval(c):
    """mAP of what serves, on rows that were never sent."""
    test, stored = slice(39000, 39400), slice(36000, 39000)
    return mean_average_precision(c.encode(X[test]), Y[test],
                                  c.encode(X[stored]), Y[stored])


@test("a model that was made worse is not published")
def _():
    # Learn until it is settled, so that nothing better is on its way.
    for _ in range(20):
        g.feed(1000)
        if g.quality()["gate"]["decision"] == "no_gain":
            break
    equal(g.quality()["gate"]["decision"], "no_gain", "decision")
    versions = g.quality()["model_versions"]
    wait_until(lambda: g.version() == versions["measured"],
               "what was published serves")
    good = retrieval(g.c)
    g.feed(5000, labels=NOISE)
    gate = g.quality()["gate"]
    equal(gate["publish"], False, "publish (%r)" % gate)
    equal(g.version(), versions["measured"], "version after noise")
    refused = {reason: metric("publish_refused_total", collection="gated",
                              reason=reason)
               for reason in ("no_gain", "worse", "falling", "older_classes")}
    check(sum(refused.values()) >= 5, "refusals %r" % refused)
    equal(retrieval(g.c), good, "mAP of what serves")
    # What the gate has kept back.
    g.c.publish()
    worse = retrieval(g.c)
    note("mAP %.3f, after noise %.3f; refusals %r" % (good, worse, refused))
    check(worse < good - 0.02, "mAP %.3f, after noise %.3f" % (good, worse))
    # Back, and what is true again is measured against the better one.
    daemon.post("%s/models/%d/rollback" % (g.c.path, versions["measured"]),
                ack="visible").expect(200)
    equal(retrieval(g.c), good, "mAP after the rollback")
    equal(g.c.info()["publish"]["policy"], "manual", "policy")
    daemon.patch(g.c.path, {"publish": {"policy": "quality"}}).expect(200)
    g.feed(1000)
    gate = g.quality()["gate"]
    check(gate["pairs"] <= 1000 and not gate["publish"], "decision %r" % gate)


d = Stream("drifting")


@test("drift raises the alarm, and the end of it clears it")
def _():
    d.feed(4000)
    d.c.publish()
    d.feed(3000)
    equal(d.quality()["drift"]["alarm"], False, "alarm before")
    equal(d.c.info()["warnings"], [], "warnings before")
    flipped = (Y + 1) % CLASSES
    d.feed(600, labels=flipped)
    drift = d.quality()["drift"]
    equal(drift["alarm"], True, "alarm (%r)" % drift)
    check(drift["score"] > 1 and drift["since_seq"] > 35, "drift %r" % drift)
    check(any("has changed" in w for w in d.c.info()["warnings"]),
          "warnings %r" % d.c.info()["warnings"])
    equal(metric("quality_drift_alarm", collection="drifting"), 1.0, "metric")
    d.feed(3000)
    drift = d.quality()["drift"]
    equal(drift["alarm"], False, "alarm after (%r)" % drift)
    equal(drift["alarms"], 1, "alarms")
    check(drift["cleared_seq"] > drift["since_seq"], "drift %r" % drift)


@test("a rollback uses the stored codes again")
def _():
    # Two full segments of 4,096 rows, and some rows that came later.
    r = Stream("back")
    r.feed(9000, step=1000)
    old = r.c.publish()
    codes = r.c.codes()[1]
    r.feed(1000, step=1000)
    r.c.publish()

    def counters():
        return [c for c in daemon.get("/v1/stats").json["collections"]["items"]
                if c["name"] == "back"][0]["publishing"]

    before = counters()
    daemon.post("%s/models/%d/rollback" % (r.c.path, old),
                ack="visible").expect(200)
    after = counters()
    equal(after["reused_segments"] - before["reused_segments"], 2, "segments")
    equal(after["rows"] - before["rows"], 10000 - 2 * 4096, "rows encoded")
    equal(r.c.info()["publish"]["policy"], "manual", "policy")
    ids, found = r.c.codes()
    check((found == r.c.encode(X[ids])).all(), "codes of the old version")


@test("the tool shows them")
def _():
    shown = akin_ok("quality", "plain", daemon=daemon)
    quality = s.quality()
    check("%.3f" % quality["served"]["map"] in shown and "c4" in shown and
          "drift" in shown, "it says %r" % shown)
    equal(json.loads(akin_ok("quality", "plain", "--json", daemon=daemon)),
          s.quality(limit=20), "--json")
    shown = akin_ok("stats", daemon=daemon)
    check(all(name in shown for name in ("plain", "gated", "ready for")),
          "it says %r" % shown)


@test("a kind that does not learn has figures of nothing")
def _():
    c = daemon.collection("floor", bits=BITS, dim=DIM, model={"kind": "lsh"})
    c.upsert(X[:100], expect=(200,), ack="visible")
    quality = daemon.get(c.path + "/stats/quality").expect(200).json
    equal(quality["served"], None, "served")
    equal(daemon.get(c.path + "/stats/bits", **{"with": "flips"}).expect(
        200).json["rows"], 100, "rows")


@test("a kill changes no figure")
def _():
    s.feed(1000)
    before = [x.quality() for x in (s, g, d)]
    daemon.kill()
    daemon.start()
    for stream, was in zip((s, g, d), before):
        stream.c.wait_learned(stream.c.info()["seq"])
        equal(stream.quality(), was, "quality of " + stream.c.name)


main()
