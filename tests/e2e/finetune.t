#!/usr/bin/python3 -B
"""A collection's network is trained on with what the stream brought: by request,
and by a policy that promotes what passes its gates."""

import datetime

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
    rows = slice(first, first + n)
    labels = [[NAMES[y]] if labelled else [] for y in LABELS[rows]]
    return c.batch(image_batch(PICTURES[rows], labels, first), MULTIPART,
                   **query)


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

# ---- by request ----------------------------------------------------------------


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
    c.batch(image_batch(PICTURES[:20], [["oak"]] * 20, 0), MULTIPART)
    done = ended(finetune("single"), "failed")
    check("one label" in done["error"], done["error"])


# ---- by the policy -------------------------------------------------------------

# What it is worth is no matter but where a test says so.
ANY = {"max_accuracy_loss": 1, "max_map_loss": 1, "min_map_gain": -1,
       "max_quality_loss": 1}


def policy(every=100, **rest):
    return dict({"policy": "auto", "every_images": every, "on_drift": False,
                 "cooldown_seconds": 0, "params": STEPS, "gate": ANY,
                 "budget": {"threads": 1}}, **rest)


def automatic(name, rows=0, at=None, finetune=None):
    """A collection with a network of its own, and the policy."""
    put("net-" + name, network(1, alike=True), at)
    return collection(name, rows, at, "net-" + name,
                      finetune=finetune or policy())


def seconds(text):
    """Of a time of the API."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")
                                           ).timestamp()


def last(c):
    return c.info()["last_finetune"]


def over(c, outcome, attempt=1):
    def there():
        found = last(c)
        return found if found and found["attempt"] >= attempt and \
            found["outcome"] != "running" else None
    done = wait_until(there, "fine-tuning %d of %s is over" % (attempt, c.name))
    equal((done["outcome"], done["attempt"]), (outcome, attempt),
          "outcome of %r" % done)
    return done


def jobs_of(c):
    items = c.daemon.get("/v1/jobs?target=%s&limit=100" % c.name).json["items"]
    return sorted((j["kind"], j["state"]) for j in items)


DONE = [("finetune", "succeeded"), ("promote", "succeeded")]


def forward(body, pictures):
    """The features of images by a model file, as NumPy has them."""
    at = 12
    for _ in range(2):  # the notes, and the graph
        n, = struct.unpack_from("<I", body, at)
        at += 4 + n
    values = np.frombuffer(body[at:-4], "<f4")
    w, b = values[:6 * 48].reshape(6, 3, 4, 4), values[6 * 48:6 * 49]
    out = []
    for picture in pictures:
        x = (picture.transpose(2, 0, 1) / 255 - .5) / .25
        x = x.reshape(3, 4, 4, 4, 4).transpose(1, 3, 0, 2, 4)
        y = np.maximum(np.einsum("ijckl,ockl->oij", x, w) + b[:, None, None], 0)
        out.append(y.reshape(6, 2, 2, 2, 2).mean((2, 4)).reshape(-1))
    return np.array(out)


def pixels_of(i):
    """What picture i shows."""
    raw = zlib.decompress(PICTURES[i][41:41 + struct.unpack_from(
        ">I", PICTURES[i], 33)[0]])
    return np.frombuffer(raw, np.uint8).reshape(16, 49)[:, 1:].reshape(16, 16, 3)


def answers_by(c, version, items):
    """The collection and its searches by image go by that version of its
    network: stored vectors are its features, and what is found at distance 0 has
    the code of such."""
    info = c.info()
    equal(info["extractor"], {"name": "net-" + c.name, "version": version},
          "extractor")
    body = c.daemon.get("/v1/extractors/net-%s/versions/%d/export" % (
        c.name, version)).expect(200).body
    expected = forward(body, [pixels_of(i) for i in items])
    for i, vector in zip(items, expected):
        found = c.item(i, **{"with": "vector"}).expect(200).json["vector"]
        check(np.abs(np.array(found) - vector).max() < 1e-4,
              "item %d has not the features of version %d" % (i, version))
        hits = c.daemon.post(c.path + "/search", PICTURES[i], type="image/png",
                             limit=1000).expect(200).json["items"]
        check(i in [h["id"] for h in hits if h["distance"] == 0],
              "item %d is not at distance 0 from its image" % i)


def arm(moment, count, action):
    Path(control + ".new").write_text("%s, %d %s" % (moment, count, action))
    os.rename(control + ".new", control)


def held():
    wait_until(lambda: os.path.exists(control + ".held"), "it is held")


def workers():
    """Children of the daemon that train."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path("/proc/%s/stat" % entry).read_text()
            if int(text.rsplit(")", 1)[1].split()[1]) == daemon.process.pid \
                    and b"--job" in Path("/proc/%s/cmdline" % entry
                                         ).read_bytes():
                found.append(int(entry))
        except OSError:  # it has gone meanwhile
            pass
    return found


def disarm():
    for name in (control, control + ".held"):
        if os.path.exists(name):
            os.unlink(name)


@test("so many labelled images start it, and what passes is promoted")
def _():
    c = automatic("trees1", finetune=policy(200, gate={"min_map_gain": 0}))
    for first in range(0, 100, 50):
        send(c, first, 50)
    send(c, 100, 99)
    send(c, 400, 100, labelled=False, ack="visible")
    equal(c.info()["new_labelled_images"], 199, "those with a label")
    time.sleep(.5)
    equal(last(c), None, "one less than it takes")
    # One that gets a label counts, one that loses it does not.
    daemon.patch(c.path + "/items/199", {"labels": []}).expect(404)
    daemon.patch(c.path + "/items/400", {"labels": [NAMES[LABELS[400]]]}
                 ).expect(200)
    done = over(c, "promoted")
    equal((done["reason"], done["version"], done["error"], done["failures"]),
          ("images", 2, None, 0), "what is told")
    equal(jobs_of(c), DONE, "jobs")
    equal(job(done["job"])["params"]["reason"], "images", "reason")
    equal(sum(job(done["job"])["result"]["images"].values()), 200, "images")
    equal(c.info()["new_labelled_images"], 0, "new images")
    answers_by(c, 2, [0, 17, 150, 450])
    text = daemon.get("/metrics").expect(200).body.decode()
    for line in ('finetunes_started_total{collection="trees1"} 1',
                 'finetunes_ended_total{collection="trees1",outcome="promoted"'
                 '} 1', 'finetune_new_images{collection="trees1"} 0',
                 'finetune_running{collection="trees1"} 0'):
        check("akind_" + line in text, line)
    check("a fine-tuning was promoted" in daemon.log(), "the log")
    # And again, by what came since, of what it has come to.
    send(c, 200, 200, ack="visible")
    done = over(c, "promoted", 2)
    equal(done["version"], 3, "version")
    gate = job(done["job"])["result"]["gate"]
    check(gate["published"]["accuracy"] is not None, "it compares classes")
    answers_by(c, 3, [0, 250])


@test("what its gate refuses changes nothing, is told, and is not tried in vain")
def _():
    c = automatic("trees2", 100, finetune=policy(100, gate=dict(
        ANY, min_accuracy=1, min_map=1)))
    before, version = c.model_bytes(), c.info()["model_versions"]["published"]
    done = over(c, "failed")
    check(done["error"].startswith("the gate: "), done["error"])
    equal((done["version"], done["promotion"], done["failures"]),
          (None, None, 1), "what is told")
    warnings = c.info()["warnings"]
    check("came to nothing: the gate: " in str(warnings), str(warnings))
    check("a fine-tuning came to nothing" in daemon.log(), "the log")
    equal(c.info()["new_labelled_images"], 100, "new images")
    time.sleep(.5)
    equal(last(c)["attempt"], 1, "attempts without an image more")
    send(c, 100, 1, labelled=False, ack="visible")
    time.sleep(.3)
    equal(last(c)["attempt"], 1, "attempts with one that has no label")
    send(c, 101, 1)
    equal(over(c, "failed", 2)["failures"], 2, "failures")
    equal(jobs_of(c), [("finetune", "failed")] * 2, "jobs")
    answers_by(c, 1, [0, 99])
    equal(c.model_bytes(version), before, "the model")
    # From now on it rests: an hour, times two for each failure.
    daemon.patch(c.path, {"finetune": {"cooldown_seconds": 3600}}).expect(200)
    send(c, 102, 50, ack="visible")
    for _ in range(2):
        found = last(c)
        equal(seconds(found["not_before"]) - seconds(found["ended"]),
              4 * 3600, "the rest")
        time.sleep(.3)
        equal(last(c)["attempt"], 2, "attempts while it rests")
        daemon.restart()
    daemon.patch(c.path, {"finetune": {"cooldown_seconds": 0, "gate": dict(
        ANY, min_accuracy=0, min_map=0)}}).expect(200)
    equal(over(c, "promoted", 3)["failures"], 0, "failures")
    equal(c.info()["warnings"], [], "warnings")


@test("what is worse than what serves is not promoted")
def _():
    c = automatic("worse", 400, finetune=policy(400))
    over(c, "promoted")
    # Steps that are far too large spoil what has been learnt.
    daemon.patch(c.path, {"finetune": {
        "every_images": 100, "params": {"rate": 0.7, "epochs": 2},
        "gate": {"min_map_gain": 0, "max_accuracy_loss": 0.01,
                 "max_map_loss": 0.02}}}).expect(200)
    send(c, 400, 100, ack="visible")
    done = over(c, "failed", 2)
    note(done["error"])
    check(done["error"].startswith("the gate: "), done["error"])
    equal(len(versions("net-worse")), 2, "versions")
    answers_by(c, 2, [0, 99, 450])


@test("within the cool-down none begins, also not after a restart")
def _():
    c = automatic("cool", 100, finetune=policy(cooldown_seconds=3600))
    done = over(c, "promoted")
    equal(seconds(done["not_before"]) - seconds(done["ended"]), 3600,
          "the rest")
    send(c, 100, 100, ack="visible")
    for _ in range(2):
        time.sleep(.3)
        equal(last(c), done, "its last fine-tuning")
        equal(c.info()["new_labelled_images"], 100, "new images")
        daemon.restart()
    daemon.patch(c.path, {"finetune": {"cooldown_seconds": 0}}).expect(200)
    over(c, "promoted", 2)


@test("its budget bounds it")
def _():
    c = automatic("bounded", 100, finetune=policy(
        params=dict(STEPS, epochs=100000),
        budget={"threads": 1, "seconds": .2}))
    done = over(c, "promoted")
    found = job(done["job"])
    equal(found["budget"], {"threads": 1, "seconds": .2, "memory_bytes": 0},
          "budget of the job")
    result = found["result"]
    check(result["out_of_time"] and result["steps"] < result["steps_wanted"],
          str(result))
    answers_by(c, 2, [0, 99])


@test("an alarm of drift starts it, once")
def _():
    c = automatic("trees3", 700, finetune=policy(10 ** 9, on_drift=True))
    c.publish()
    c.wait_learned(c.info()["seq"])
    equal(last(c), None, "without an alarm")
    # All classes trade their places.
    at = 700
    def drifts():
        nonlocal at
        if last(c) or at + 50 > 1200:
            return last(c)
        rows = slice(at, at + 50)
        labels = [[NAMES[(y + 1) % 5]] for y in LABELS[rows]]
        c.batch(image_batch(PICTURES[rows], labels, at), MULTIPART,
                ack="learned")
        at += 50
        return last(c)
    wait_until(drifts, "the alarm starts a fine-tuning")
    done = over(c, "promoted")
    equal(done["reason"], "drift", "reason")
    equal(job(done["job"])["params"]["reason"], "drift", "reason of the job")
    answers_by(c, 2, [0, 699])
    note("after %d images of other classes" % (at - 700))


@test("a fine-tuning by request counts, too")
def _():
    c = automatic("trees4", 90)
    ended(finetune("trees4"))
    equal(c.info()["new_labelled_images"], 0, "new images")
    equal(c.info()["extractor"]["version"], 1, "extractor")
    send(c, 90, 50, ack="visible")
    time.sleep(.3)
    equal(last(c), None, "140 images, of which 50 are new")


@test("a restart in the middle of it changes nothing")
def _():
    arm("train", 5, "hold")
    c = automatic("trees5", 100)
    held()
    daemon.restart()
    over(c, "promoted")
    equal(jobs_of(c), DONE, "jobs")
    answers_by(c, 2, [0, 99])


@test("a worker that is killed goes on, and so does a killed daemon")
def _():
    arm("train", 5, "kill")
    c = automatic("trees6", 100)
    done = over(c, "promoted")
    check("signal 9" in log_of(done["job"]), "the log of the job")
    equal(jobs_of(c), DONE, "jobs")
    arm("train", 5, "hold")
    send(c, 100, 100, ack="visible")
    held()
    [worker] = workers()
    daemon.kill()
    daemon.start()
    # The next one waits for the folder, which the first has not left.
    os.kill(worker, signal.SIGKILL)
    disarm()
    over(c, "promoted", 2)
    equal(jobs_of(c), sorted(2 * DONE), "jobs")
    equal(c.info()["new_labelled_images"], 0, "new images")
    answers_by(c, 3, [0, 150])


# In the order in which they come; what is kept is written by the decision, by the
# training when it has its version, and at the end.
LIVES = ["fine-tuning written", "fine-tuning committed",
         "fine-tuning accepted", "extractor renamed", "extractor added",
         "fine-tuning written", "fine-tuning committed", "job end saved",
         "fine-tuning accepted", "install committed", "job end saved",
         "fine-tuning written", "fine-tuning committed"]


@test("killed at each of its steps it goes on, and is done once")
def _():
    there = Daemon().start()
    put("net-once", network(1, alike=True), there)
    c = collection("once", 100, there, "net-once")
    there.kill()
    settings = {"finetune": policy(100, params=dict(STEPS, epochs=1))}
    for life, moment in enumerate(LIVES):
        there.env["AKIND_MOMENT"] = moment + ":1:9"
        try:
            there.launch()
            there.expected = False
            if life == 0:
                there.wait_ready()
                there.patch(c.path, settings).expect(200)
        except (Failed, OSError, http.client.HTTPException):
            pass  # it was faster
        try:
            there.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            fail("life %d: nobody passed \"%s\"" % (life, moment))
        equal(there.process.returncode, -9, "life %d ends at \"%s\"" % (
            life, moment))
    there.env.pop("AKIND_MOMENT")
    there.local = threading.local()
    there.start()
    done = over(c, "promoted")
    equal((done["version"], jobs_of(c)), (2, DONE), "version and jobs")
    equal(len(versions("net-once", there)), 2, "versions")
    equal(c.info()["new_labelled_images"], 0, "new images")
    answers_by(c, 2, [0, 99])
    there.stop()


@test("a rollback pins the policy, and ends what it has under way")
def _():
    c = automatic("trees7", 100)
    over(c, "promoted")
    serving = c.info()["model_versions"]["published"]
    arm("train", 5, "hold")
    send(c, 100, 100, ack="visible")
    held()
    daemon.post("%s/models/%d/rollback" % (c.path, serving - 1),
                ack="visible").expect(200)
    equal(c.info()["finetune"]["policy"], "manual", "policy")
    done = over(c, "canceled", 2)
    disarm()
    equal(done["failures"], 0, "failures")
    equal(ended(done["job"], "canceled")["result"], None, "result")
    send(c, 200, 100, ack="visible")
    time.sleep(.3)
    equal(last(c)["attempt"], 2, "attempts of a policy that is manual")
    equal(c.info()["new_labelled_images"], 200, "new images")
    info = c.info()
    equal(info["model_versions"]["published"], serving - 1, "version")


@test("another network that came meanwhile is not taken back")
def _():
    arm("train", 5, "hold")
    c = automatic("trees8", 100)
    held()
    put("other", network(5))
    ended(daemon.post("/v1/jobs", {
        "kind": "promote", "target": "trees8", "gate": None,
        "params": {"extractor": "other"}}).expect(202).json["id"])
    daemon.patch(c.path, {"finetune": {"policy": "manual"}}).expect(200)
    over(c, "canceled")
    disarm()
    arm("train", 5, "hold")
    daemon.patch(c.path, {"finetune": {"policy": "auto"}}).expect(200)
    held()
    ended(daemon.post("/v1/jobs", {
        "kind": "promote", "target": "trees8", "gate": None,
        "params": {"extractor": "net-trees8"}}).expect(202).json["id"])
    [worker] = workers()
    os.kill(worker, signal.SIGKILL)
    done = over(c, "failed", 2)
    disarm()
    check("another network" in done["error"], done["error"])
    equal(c.info()["extractor"], {"name": "net-trees8", "version": 1},
          "extractor")


@test("the tool sets the policy, and starts a fine-tuning by hand")
def _():
    put("net-tooled", network(1, alike=True))
    c = collection("tooled", 150, extractor="net-tooled")
    done = akin("collection", "set", "tooled", "--finetune", "auto",
                "--finetune-every", "100000", "--finetune-cooldown", "5",
                daemon=daemon)
    equal(done.returncode, 0, "status: %s" % done.stderr)
    settings = c.info()["finetune"]
    equal((settings["policy"], settings["every_images"],
           settings["cooldown_seconds"]), ("auto", 100000, 5), "settings")
    done = akin("--progress", "lines", "finetune", "tooled", "-e", "2",
                "--batch", "16", "--threads", "1", "--no-gate", daemon=daemon)
    equal(done.returncode, 0, "status: %s" % done.stderr)
    check("state     succeeded" in done.stdout and '"version":2' in done.stdout,
          done.stdout)
    equal(c.info()["new_labelled_images"], 0, "new images")


@test("the policy is refused where there is nothing to train or to train on")
def _():
    def refused(settings, word):
        reply = daemon.put("/v1/collections/none", dict(
            {"bits": 32, "model": HMOH, "finetune": policy()}, **settings))
        reply.problem(422, "unsupported-option", "/finetune/policy")
        check(word in reply.body.decode(), reply.body.decode())
    stored = {"store": "original"}
    refused({"features": {"dim": 8}, "images": stored}, "no network")
    refused({"extractor": "pixels-8x8x1", "images": stored}, "no network")
    refused({"extractor": "trees"}, "stores no images")
    refused({"extractor": "trees", "images": stored,
             "model": {"kind": "lsh"}}, "does not learn")
    daemon.patch("/v1/collections/lossy", {"finetune": {"policy": "auto"}}
                 ).problem(422, "unsupported-option", "/finetune/policy")
    equal(daemon.get("/v1/collections/lossy").json["finetune"]["policy"],
          "manual", "policy")


@test("a copy of the collection elsewhere counts on, with jobs of its own")
def _():
    c = Collection(daemon, "trees1")
    ended(daemon.post("/v1/jobs", {"kind": "snapshot", "target": "trees1",
                                   "params": {"name": "copy"}}
                      ).expect(202).json["id"])
    ended(daemon.post("/v1/jobs", {"kind": "restore", "target": "again",
                                   "params": {"snapshot": "copy"}}
                      ).expect(202).json["id"])
    again = Collection(daemon, "again")
    equal(again.info()["new_labelled_images"], c.info()["new_labelled_images"],
          "new images")
    found = last(again)
    equal((found["attempt"], found["outcome"], found["job"]),
          (2, "promoted", None), "its last fine-tuning")


main()
