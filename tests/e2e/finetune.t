#!/usr/bin/python3 -B
"""A collection's network is trained on with what the stream brought."""

from akin_test import *

GRAPH = """akin-net 1
input image 3 16 16 mean=0.5,0.5,0.5 std=0.25,0.25,0.25
conv c image out=6 k=4,4 stride=4 pad=0 groups=1 bias=1
relu r c
avgpool p r k=2 stride=2 pad=0
linear l p out=4 bias=1
feature p
output l
"""
HMOH = {"kind": "hmoh", "params": {"seed": 3, "kernel_anchors": 40}}
STEPS = {"epochs": 12, "batch": 16, "rate": .1,
         "splits": {"search": 0, "gate": .3}}
RNG = np.random.default_rng(11)
NAMES = ["oak", "elm", "ash", "fir", "yew"]
# What tells the classes apart is of another colour than the network looks at.
PALETTE = RNG.integers(60, 196, (5, 4, 4, 3))


def network(seed, scale=.2, alike=False):
    """One whose six filters are nearly the same leaves much to be learnt."""
    r = np.random.default_rng(seed)
    filters = r.normal(0, scale, (6, 3, 4, 4))
    if alike:
        filters = filters[:1] + filters / 10
    return akx(GRAPH, [filters, r.normal(0, .1, 6),
                       r.normal(0, .1, (4, 24)), np.zeros(4)])


def picture(label):
    x = np.clip(PALETTE[label] + RNG.normal(0, 40, (4, 4, 3)), 0, 255)
    return png(np.kron(x, np.ones((4, 4, 1))).astype(np.uint8))


LABELS = RNG.integers(4, size=1200)
LABELS[600:] = RNG.integers(5, size=600)
PICTURES = [picture(label) for label in LABELS]

MOMENTS = BUILD / "tests" / "e2e" / "worker_moments"
control = os.path.join(tempfile.mkdtemp(prefix="akin-e2e-"), "moment")
atexit.register(shutil.rmtree, os.path.dirname(control), ignore_errors=True)
ARGS = ["--worker-program", str(MOMENTS)]
daemon = Daemon(args=ARGS, env={"AKIN_TEST_MOMENT": control}).start()


def put(name, body, at=None):
    return (at or daemon).put("/v1/extractors/%s/import" % name, body,
                              type="application/octet-stream").expect(201)


def send(c, first, n, labelled=True, **query):
    meta = {"items": [
        {"id": i, "labels": [NAMES[LABELS[i]]] if labelled else [],
         "image": "p%d" % i} for i in range(first, first + n)]}
    parts = [("meta", json.dumps(meta), JSON)]
    parts += [("p%d" % i, PICTURES[i], "image/png")
              for i in range(first, first + n)]
    return c.batch(multipart(parts), MULTIPART, **query)


def collection(name, rows=200, at=None, extractor="trees", **rest):
    rest.setdefault("images", {"store": "original"})
    rest.setdefault("model", HMOH)
    c = (at or daemon).collection(name, bits=32, extractor=extractor, **rest)
    for first in range(0, rows, 100):
        send(c, first, min(100, rows - first), ack="visible")
    return c


def job(id, at=None):
    return (at or daemon).get("/v1/jobs/%d" % id).expect(200).json


def log_of(id, at=None):
    items = (at or daemon).get("/v1/jobs/%d/log?limit=1000" % id).json["items"]
    return "\n".join(i["text"] for i in items)


def ended(id, state="succeeded", at=None):
    done = wait_until(lambda: job(id, at) if job(id, at)["ended"] else None,
                      "job %d has ended" % id)
    equal(done["state"], state, "state of %r" % done)
    return done


def finetune(target, at=None, **body):
    body["params"] = dict(STEPS, **body.get("params", {}))
    body.setdefault("budget", {"threads": 1})
    return (at or daemon).post("/v1/jobs", dict(
        body, kind="finetune", target=target)).expect(202).json["id"]


def versions(name="trees", at=None):
    reply = (at or daemon).get("/v1/extractors/" + name)
    return reply.expect(200).json["versions"]


put("trees", network(1))

@test("a fine-tuning makes the next version of a collection's network")
def _():
    c = collection("asked", 600)
    done = ended(finetune("asked"))
    result, params = done["result"], done["params"]
    equal((result["extractor"], result["version"]), ("trees", 2), "version")
    equal((params["from"], params["from_version"], params["collection"]),
          ("trees", 1, "asked"), "what it began with")
    equal(result["classes"], 4, "classes")
    equal(sum(result["images"].values()), 600, "images")
    gate = result["gate"]
    # The file says of no class what it is, so there is nothing to compare.
    equal(gate["published"]["accuracy"], None, "accuracy of the imported file")
    check(gate["map"] > gate["published"]["map"] + .05, str(gate))
    gain = gate["published"]["map_gain"]
    check(0 < gain["lower"] < gain["mean"], str(gate))
    check(abs(gate["map"] - gate["published"]["map"] - gain["mean"]) < 1e-9,
          "the gain is that of the same queries: %s" % gate)
    check(gate["accuracy"] > .6, str(gate))
    check("4 classes, of which it had 0" in log_of(done["id"]),
          log_of(done["id"]))
    notes = versions()[1]["notes"]
    equal([n for n in NAMES if "class: %s\n" % n in notes], NAMES[:4],
          "classes in the notes: " + notes)
    equal(c.info()["extractor"], {"name": "trees", "version": 1},
          "extractor, which only a promotion changes")


@test("it goes on from the classes there were, and has new ones")
def _():
    c = Collection(daemon, "asked")
    id = daemon.post("/v1/jobs", {
        "kind": "promote", "target": "asked", "gate": None,
        "params": {"extractor": "trees"}}).expect(202).json["id"]
    ended(id)
    equal(c.info()["extractor"]["version"], 2, "version")
    # The class that came first goes: all have other numbers.
    daemon.post(c.path + "/items/delete", {"ids": [0, 1, 2]}).expect(200)
    # A rate of nothing changes only what is new.
    done = ended(finetune("asked", params={"rate": 1e-9, "from_version": 2}))
    gate = done["result"]["gate"]
    check(abs(gate["accuracy"] - gate["published"]["accuracy"]) < 1e-6,
          "the same network by the same names: %s" % gate)
    check("4 classes, of which it had 4" in log_of(done["id"]), "its log")
    for first in range(600, 1200, 100):
        send(c, first, 100, ack="durable")
    done = ended(finetune("asked"))
    equal(done["result"]["classes"], 5, "classes")
    equal(sum(done["result"]["images"].values()), 1197, "images")
    equal(done["result"]["gate"]["published"]["accuracy"], None,
          "accuracy of one without the class")
    check("5 classes, of which it had 4" in log_of(done["id"]), "its log")
    check("class: yew\n" in versions()[-1]["notes"], "notes")


@test("what is worse than what serves does not pass")
def _():
    before = versions()
    # What it began with before it had learnt anything.
    done = ended(finetune("asked", params={"rate": 1e-9, "from_version": 1}),
                 "failed")
    check(done["error"].startswith("the gate: mAP is"), done["error"])
    done = ended(finetune("asked", gate={"min_accuracy": 1}), "failed")
    check(done["error"].startswith("the gate: accuracy is"), done["error"])
    # The same features are no loss, and no gain either.
    done = ended(finetune("asked", params={"rate": 1e-9},
                          gate={"min_map_gain": 0}), "failed")
    check(done["error"].startswith("the gate: mAP has grown by"), done["error"])
    done = ended(finetune("asked", params={"rate": 1e-9,
                                           "splits": {"gate": .02}},
                          gate={"min_map_gain": -.9}), "failed")
    check("queries do not tell whether mAP has grown" in done["error"],
          done["error"])
    equal(versions(), before, "versions")


@test("its rate is a tenth of a training's, unless another is asked for")
def _():
    id = daemon.post("/v1/jobs", {"kind": "finetune", "target": "asked"}
                     ).expect(202).json["id"]
    daemon.post("/v1/jobs/%d/cancel" % id).expect(202)
    params = job(id)["params"]
    equal((params["rate"], params["epochs"]), (.02, 5), "rate and epochs")
    equal(params["splits"]["gate"], .1, "the gate's share")
    ended(id, "canceled")


@test("a network that makes codes goes on making them")
def _():
    ended(daemon.post("/v1/jobs", {
        "kind": "train", "target": "coder", "gate": None,
        "budget": {"threads": 1}, "params": dict(STEPS, **{
            "from": "trees", "collection": "asked", "hash": "hcdh",
            "bits": 32, "epochs": 1})}).expect(202).json["id"])
    collection("coded", 200, extractor="coder")
    done = ended(finetune("coded", gate={"max_accuracy_loss": 1,
                                         "max_map_loss": 1}))
    result = done["result"]
    equal((result["hash"], result["version"]),
          ({"kind": "hcdh", "bits": 32}, 2), "what came of it")
    published = result["gate"]["published"]
    check(0 < published["map"] <= 1 and published["accuracy"] is not None and
          published["map_gain"] is not None, str(published))


@test("what cannot be fine-tuned is told")
def _():
    collection("lossy", 0, images={"store": "none"})
    collection("pixels", 0, extractor="pixels-8x8x1")
    daemon.collection("bare", bits=32, dim=8, model=HMOH)

    def ask(target, **body):
        return daemon.post("/v1/jobs", dict(body, kind="finetune",
                                            target=target))
    for target in ("lossy", "pixels", "bare"):
        ask(target).problem(422, "unsupported-option", "/target")
    ask("nobody").problem(422, "validation-failed", "/target")
    ask("asked", params={"from_version": 99}).problem(
        422, "validation-failed", "/params/from_version")
    for name in ("arch", "from", "dataset", "collection"):
        ask("asked", params={name: "x"}).problem(
            422, "unknown-field", "/params/" + name)
    ask("asked", params={"rate": "fast"}).problem(
        422, "validation-failed", "/params/rate")
    ask("asked", gate={"taste": 1}).problem(422, "unknown-field", "/gate/taste")
    c = collection("single", 0)
    meta = {"items": [{"id": i, "labels": ["oak"], "image": "p%d" % i}
                      for i in range(20)]}
    c.batch(multipart([("meta", json.dumps(meta), JSON)] + [
        ("p%d" % i, PICTURES[i], "image/png") for i in range(20)]), MULTIPART)
    done = ended(finetune("single"), "failed")
    check("one label" in done["error"], done["error"])


main()
