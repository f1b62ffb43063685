#!/usr/bin/python3 -B
"""HCDH end to end, beside a daemon that serves: a network is trained to make
codes, and a collection takes it over with its hash layer."""

from akin_test import *

import sqlite3

MOMENTS = BUILD / "tests" / "e2e" / "worker_moments"
BITS = 16
ENDED = ("succeeded", "failed", "canceled")
RNG = np.random.default_rng(21)

scratch = tempfile.mkdtemp(prefix="akin-e2e-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
control = os.path.join(scratch, "moment")
data = os.path.join(scratch, "sets")


def picture(label):
    """32x32: classes differ in the colour of one half."""
    x = RNG.integers(0, 120, (32, 32, 3))
    x[16 * (label // 2):16 * (label // 2) + 16, :, label % 2] += 120
    return x.astype(np.uint8)


def cifar(name, n):
    labels = np.arange(n) % 4
    body = np.concatenate(
        [labels[:, None],
         [picture(l).transpose(2, 0, 1).ravel() for l in labels]], 1)
    path = Path(data, name, "data_batch_1.bin")
    path.parent.mkdir(parents=True)
    path.write_bytes(body.astype("u1").tobytes())


cifar("mini", 160)
N = 240
LABELS = np.arange(2 * N) % 4
PICTURES = [png(picture(label)) for label in LABELS]

daemon = Daemon(args=["--worker-program", str(MOMENTS), "--datasets-dir", data],
                env={"AKIN_TEST_MOMENT": control}).start()

# 96 images to train on, of which a step takes 8: twelve steps an epoch.
PARAMS = {"arch": "tiny", "dataset": "mini", "epochs": 12, "batch": 8, "seed": 3,
          "type": "f32", "splits": {"search": 0.2, "gate": 0.2},
          "hash": "hcdh", "bits": BITS}


def submit(kind, target, params, on=None, **rest):
    rest.setdefault("gate", None)
    body = dict(rest, kind=kind, target=target, params=params)
    return (on or daemon).post("/v1/jobs", body).expect(202).json["id"]


def train(target, **changes):
    params = dict(PARAMS, **changes.pop("params", {}))
    params = {k: v for k, v in params.items() if v is not None}
    return submit("train", target, params, budget={"threads": 1}, **changes)


def ended(id, state="succeeded", on=None):
    def there():
        j = (on or daemon).get("/v1/jobs/%d" % id).expect(200).json
        return j if j["state"] in ENDED else None
    done = wait_until(there, "job %d has ended" % id)
    equal(done["state"], state, "state of %r" % done)
    return done


def promote(c, extractor, **rest):
    model = rest.pop("model", None)
    params = {"extractor": extractor}
    if model is not None:
        params["model"] = model
    return submit("promote", c.name, params, on=c.daemon, **rest)


def models():
    folder = os.path.join(daemon.directory, "extractors")
    return sorted(n for n in os.listdir(folder) if n.endswith(".akx"))


def version(name, number=None, on=None):
    x = (on or daemon).get("/v1/extractors/%s" % name).expect(200).json
    return [v for v in x["versions"]
            if v["version"] == (number or x["published"])][0]


def send(c, first, n, **query):
    rows = slice(first, first + n)
    return c.batch(image_batch(PICTURES[rows],
                               [["c%d" % y] for y in LABELS[rows]], first),
                   MULTIPART, **query)


def collection(name, extractor="pixels-8x8x3", kind="hcdh", bits=BITS, on=None,
               rows=N, **rest):
    params = {"epochs": 1, "hidden": 0} if kind == "hcdh" else {}
    c = (on or daemon).collection(
        name, bits=bits, dim=None, extractor=extractor,
        model={"kind": kind, "params": params}, images={"store": "original"},
        **rest)
    for at in range(0, rows, 60):
        send(c, at, min(60, rows - at), ack="visible")
    return c


FILES = []
for i, body in enumerate(PICTURES):
    FILES.append(os.path.join(scratch, "p%d.png" % i))
    Path(FILES[i]).write_bytes(body)
LOCAL = {}


def file_of(name, number=1, on=None):
    path = os.path.join(scratch, "%s-%d.akx" % (name, number))
    if not os.path.exists(path):
        Path(path).write_bytes((on or daemon).get(
            "/v1/extractors/%s/versions/%d/export" % (name, number)
        ).expect(200).body)
    return path


def local(akx):
    """Codes of all pictures by the model file alone, without a daemon."""
    if akx not in LOCAL:
        out = akx + ".npy"
        args = [a for f in FILES for a in ("--image", f)]
        akin_ok("encode", "--local", akx, *args, "-o", out)
        LOCAL[akx] = np.load(out)
        equal(LOCAL[akx].shape, (len(FILES), BITS // 8), "shape")
    return LOCAL[akx]


def is_of(c, akx):
    """What is stored, and what a search would ask with, are the file's codes."""
    ids, codes = c.codes()
    wrong = (codes != local(akx)[ids]).any(axis=1).sum()
    equal((len(ids), wrong), (c.info()["items"], 0), "rows, and wrong codes")
    found = c.daemon.post(c.path + "/search", PICTURES[1], type="image/png",
                          limit=1000).expect(200).json["items"]
    expected = distances(local(akx)[1:2], local(akx)[ids])[0]
    equal(sorted(hit["distance"] for hit in found), sorted(expected.tolist()),
          "distances to an image")
    check(1 in [hit["id"] for hit in found if hit["distance"] == 0],
          "an item is not at distance 0 from its image")


def heads(c):
    return {v["version"]: v["head"] for v in c.models()}


def published(c):
    return c.info()["model_versions"]["published"]


def arm(moment, count, action):
    Path(control + ".new").write_text("%s, %d %s" % (moment, count, action))
    os.rename(control + ".new", control)


HASH = {"kind": "hcdh", "bits": BITS}


@test("a network is trained to codes, and its version has the hash layer")
def _():
    result = ended(train("codes", gate={"min_map": .7, "min_accuracy": .7})
                   )["result"]
    equal((result["version"], result["hash"]), (1, HASH), "result")
    check(result["gate"]["map"] > .7 and result["gate"]["published"] is None,
          "gate %s" % result["gate"])
    v = version("codes")
    equal((v["hash"], v["classes"], v["architecture"]), (HASH, 10, "tiny"),
          "the version")
    check("\nhash model: hcdh, 16 bits, crc32 " in v["notes"] and
          "\nhash samples: 1152\n" in v["notes"], v["notes"])


reference = models()
# The first checkpoint is behind 12 steps.
for moment, count in [("train", 5), ("checkpoint", 1), ("train", 20),
                      ("evaluate", 1), ("gate", 2), ("finish", 2),
                      ("finished", 1)]:
    @test("killed at %s, %d, it comes to the same bytes" % (moment, count))
    def _(moment=moment, count=count):
        before = models()
        arm(moment, count, "kill")
        name = "killed-%s-%d" % (moment, count)
        ended(train(name))
        check(not os.path.exists(control), "the moment never came")
        equal(models(), before, "model files")
        equal(version(name)["hash"], HASH, "hash")


@test("the gate measures the codes")
def _():
    params = {"rate": 1e-9, "seed": 9, "backbone_rate": 0}
    # Codes of a layer that is random still rank a little; of none, not at all.
    error = ended(train("codes", params=params, gate={}), "failed")["error"]
    check("the gate: " in error, error)
    equal(len(daemon.get("/v1/extractors/codes").json["versions"]), 1,
          "versions")
    ended(train("plain", params={"hash": None, "bits": None}))
    equal(version("plain")["hash"], None, "hash")
    gate = ended(train("plain"))["result"]["gate"]
    check(gate["published"]["map"] is None and
          gate["published"]["accuracy"] > .5, "gate %s" % gate)
    gate = ended(train("plain"))["result"]["gate"]
    equal(gate["published"], {
        "accuracy": gate["accuracy"], "map": gate["map"],
        "map_gain": {"mean": 0, "lower": 0}}, "the same network again")


c = collection("pics", publish={"policy": "every_batches", "every_batches": 1})


@test("the images of a collection teach it too, further than a network was")
def _():
    # That it makes codes, and how long they are, it has from the network.
    params = {"arch": None, "from": "codes", "dataset": None, "hash": None,
              "bits": None, "collection": "pics", "epochs": 2}
    result = ended(train("of-pics", params=params))["result"]
    equal((result["hash"], sum(result["images"].values())), (HASH, N), "result")
    asked = daemon.get("/v1/jobs/%d" % train("of-pics", params=params)).json
    equal([asked["params"][k] for k in
           ("hash", "bits", "rate", "backbone_rate", "code_weight")],
          ["hcdh", BITS, .1, .1, 1], "defaults")
    ended(asked["id"])


@test("one record switches extractor, model and codes")
def _():
    c.first = published(c)
    stop, seen, failures = threading.Event(), set(), []
    akx = file_of("codes")
    new = local(akx)

    def ask():
        rng = random.Random(5)
        while not stop.is_set():
            i = rng.randrange(N)
            try:
                reply = daemon.post(c.path + "/search", PICTURES[i],
                                    type="image/png", limit=1000).expect(200)
                hits = {h["id"]: h["distance"] for h in reply.json["items"]}
                serving = int(reply.headers["akin-model-version"])
                if hits[i] != 0:
                    fail("item %d is at distance %d" % (i, hits[i]))
                mine = distances(new[i:i + 1], new)[0]
                if serving != c.first and any(mine[k] != hits[k] for k in hits):
                    fail("codes of another version")
                seen.add(serving)
            except Exception as why:
                failures.append(repr(why))
                return
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: seen or failures, "a search was answered")
    done = ended(promote(c, "codes", gate={"max_quality_loss": 1}))
    wait_until(lambda: len(seen) > 1 or failures, "the next version answers")
    stop.set()
    for thread in threads:
        thread.join()
    equal(failures, [], "searches")
    equal(seen, {c.first, done["result"]["version"]}, "versions")
    info = c.info()
    equal(info["extractor"], {"name": "codes", "version": 1}, "extractor")
    equal(info["model"]["head"], "network", "head")
    equal(published(c), done["result"]["version"], "version")
    is_of(c, akx)


@test("the model is the network's hash layer, and says so")
def _():
    v = [v for v in c.models() if v["version"] == published(c)][0]
    equal(v["head"], {"extractor": "codes", "version": 1}, "head")
    equal(v["samples"], 1152, "samples")
    equal(heads(c)[c.first], None, "head of the version before")
    said = version("codes")["notes"].split("crc32 ")[1][:8]
    equal("%08x" % zlib.crc32(c.model_bytes()), said, "checksum of the model")
    # Signs of A f + a, by the file's own numbers.
    raw = Path(file_of("codes")).read_bytes()
    notes, = struct.unpack_from("<I", raw, 12)
    text, = struct.unpack_from("<I", raw, 16 + notes)
    graph = raw[20 + notes:20 + notes + text].decode()
    check("linear hash " in graph and graph.count("\nlinear ") == 2, graph)
    dim, classes = version("codes")["dim"], version("codes")["classes"]
    tail = np.frombuffer(raw[:-4], "<f4", offset=len(raw) - 4 - 4 * (
        BITS * dim + BITS + classes * BITS + classes))
    weight = tail[:BITS * dim].reshape(BITS, dim).astype(float)
    bias = tail[BITS * dim:BITS * dim + BITS]
    ids, codes = c.codes()
    shown = {i["id"]: i["vector"] for i in c.items(**{"with": "vector"})}
    y = np.array([shown[i] for i in ids]) @ weight.T + bias
    sure = abs(y) > 1e-4
    check(sure.mean() > .99 and
          ((np.unpackbits(codes, axis=1) > 0) == (y > 0))[sure].all(),
          "bits are not the signs of the layer")


@test("it stays what it is while rows come, and they get its codes")
def _():
    before, count = c.model_bytes(), len(c.models())
    for at in range(N, N + 120, 20):
        seq = send(c, at, 20, ack="visible")["seq"]
        c.wait_learned(seq)
    daemon.delete(c.path + "/items/0").expect(200, 204)
    daemon.patch(c.path + "/items/2", {"labels": ["other"]},
                 type="application/merge-patch+json").expect(200)
    equal((c.model_bytes(), len(c.models())), (before, count), "the model")
    info = c.info()
    equal((info["debt"], info["model_versions"]["pending_rows"],
           info["model_versions"]["live_samples"]), (0, 0, 1152), "counts")
    is_of(c, file_of("codes"))
    daemon.kill()
    daemon.start()
    is_of(c, file_of("codes"))
    c.publish()
    equal((c.model_bytes(), len(c.models())), (before, count + 1), "the model")
    equal(heads(c)[published(c)], {"extractor": "codes", "version": 1}, "head")


@test("a rollback goes back to both, and a publish forward")
def _():
    daemon.post("%s/models/%d/rollback" % (c.path, c.first),
                ack="visible").expect(200)
    ids, codes = c.codes()
    check((codes != local(file_of("codes"))[ids]).any(), "nothing changed")
    reply = daemon.post(c.path + "/search", PICTURES[N + 3], type="image/png",
                        limit=1000).expect(200)
    equal(int(reply.headers["akin-model-version"]), c.first, "version")
    hits = {h["id"]: h["distance"] for h in reply.json["items"]}
    equal(hits[N + 3], 0, "distance of an item that came later to its image")
    c.publish()
    is_of(c, file_of("codes"))


@test("the next version takes over from it")
def _():
    done = ended(promote(c, {"name": "of-pics", "version": 2}))
    equal(heads(c)[done["result"]["version"]],
          {"extractor": "of-pics", "version": 2}, "head")
    is_of(c, file_of("of-pics", 2))


@test("a rebuild keeps the head, or learns another, or takes it up again")
def _():
    def rebuild(params):
        done = ended(submit("rebuild", "pics", params))
        return heads(c)[done["result"]["version"]]
    head = {"extractor": "of-pics", "version": 2}
    equal(rebuild({}), head, "head")
    is_of(c, file_of("of-pics", 2))
    equal(rebuild({"model": {"head": "learnt"}}), None, "head")
    check("head" not in c.info()["model"], "it is learnt")
    ids, codes = c.codes()
    check((codes != local(file_of("of-pics", 2))[ids]).any(), "nothing changed")
    spaces = sqlite3.connect("file:%s?mode=ro" % next(
        Path(daemon.directory).glob("collections/*.db")), uri=True)
    count = "SELECT max(number) FROM spaces"
    before = spaces.execute(count).fetchone()
    # To the extractor that it has: nothing is extracted again.
    out = akin_ok("promote", "pics", "-e", "of-pics@2", "--no-gate", "--no-watch",
                  "--json", daemon=daemon)
    ended(json.loads(out)["id"])
    equal(heads(c)[published(c)], head, "head")
    equal(spaces.execute(count).fetchone(), before, "spaces")
    spaces.close()
    is_of(c, file_of("of-pics", 2))


@test("what does not fit is told before anything is done")
def _():
    wide = collection("wide", bits=32, rows=0)
    other = collection("other", kind="hmoh", rows=0)
    jobs = len(daemon.get("/v1/jobs?limit=1000").json["items"])

    def ask(c, extractor, slug, pointer, words, model=None, kind="promote"):
        params = {"model": model} if model else {}
        if extractor:
            params["extractor"] = extractor
        reply = daemon.post("/v1/jobs", {"kind": kind, "target": c.name,
                                         "params": params})
        reply.problem(409 if slug == "state-conflict" else 422, slug, pointer)
        check(words in reply.body.decode(), reply.body.decode())
    ask(wide, "codes", "unsupported-option", "/params/extractor",
        "codes of 16 bits, the collection has 32")
    ask(other, "codes", "unsupported-option", "/params/extractor",
        "the model is of kind hmoh")
    ask(other, "codes", "unsupported-option", "/params/model/head", "hcdh",
        {"head": "network"})
    ask(wide, "codes", "unsupported-option", "/params/model/head",
        "codes of 16 bits", {"head": "network"})
    ask(c, {"name": "plain", "version": 1}, "unsupported-option",
        "/params/model/head", "has no hash layer", {"head": "network"})
    ask(wide, None, "unsupported-option", "/params/model/head", "network",
        {"head": "network"}, "rebuild")
    ask(c, None, "unsupported-option", "/params/model/head", "learnt",
        {"head": "borrowed"}, "rebuild")
    ask(c, {"name": "of-pics", "version": 2}, "state-conflict",
        "/params/extractor", "is what the collection has")
    reply = daemon.put("/v1/collections/born", {
        "bits": BITS, "extractor": "codes",
        "model": {"kind": "hcdh", "head": "network"}})
    reply.problem(422, "validation-failed")
    equal(len(daemon.get("/v1/jobs?limit=1000").json["items"]), jobs, "jobs")

    def refused(pointer, **changes):
        params = {k: v for k, v in dict(PARAMS, **changes).items()
                  if v is not None}
        reply = daemon.post("/v1/jobs", {"kind": "train", "target": "x",
                                         "params": params})
        equal([e["pointer"] for e in reply.expect(422).json["errors"]],
              [pointer], "pointers of %s" % changes)
    refused("/params/bits", bits=12)
    refused("/params/bits", bits=2048)
    refused("/params/bits", hash=None)
    refused("/params/hash", hash="lsh")
    refused("/params/backbone_rate", backbone_rate=2)
    refused("/params/code_weight", code_weight=0)
    refused("/params/code_weight", hash=None, bits=None, code_weight=1)


@test("a collection of another kind becomes one of codes, or learns its own")
def _():
    other = Collection(daemon, "other")
    send(other, 0, 60, ack="visible")
    ended(promote(other, "codes", model={"kind": "hcdh"}))
    is_of(other, file_of("codes"))
    wide = Collection(daemon, "wide")
    send(wide, 0, 60, ack="visible")
    done = ended(promote(wide, "codes", model={"head": "learnt"}))
    equal((heads(wide)[done["result"]["version"]],
           wide.info()["extractor"]["name"]), (None, "codes"), "head")


@test("rows without a label are no obstacle")
def _():
    d = daemon.collection("bare", bits=BITS, dim=None, extractor="pixels-8x8x3",
                          model={"kind": "hcdh"}, images={"store": "original"})
    d.batch({"items": [{"id": i, "image": base64.b64encode(PICTURES[i]).decode()}
                       for i in range(5)]}, ack="visible")
    ended(promote(d, "codes"))
    is_of(d, file_of("codes"))


@test("a collection has the head before it has rows")
def _():
    d = collection("empty", rows=0)
    ended(promote(d, "codes"))
    equal(heads(d)[published(d)], {"extractor": "codes", "version": 1}, "head")
    send(d, 0, 20, ack="visible")
    is_of(d, file_of("codes"))
    before = len(d.models())
    d.publish()
    equal(len(d.models()), before + 1, "versions")
    is_of(d, file_of("codes"))


@test("what is worse than what serves is refused")
def _():
    d = collection("judged", rows=0)
    for at in range(0, 1200, 60):
        d.batch(image_batch([PICTURES[i % len(PICTURES)]
                             for i in range(at, at + 60)],
                            [["c%d" % (i % 4)] for i in range(60)], at),
                MULTIPART, ack="visible")
    gate = ended(promote(d, "codes", gate={"max_quality_loss": .1})
                 )["result"]["gate"]
    check(gate["queries"] >= 100 and gate["map"] > .9, "gate %s" % gate)
    ended(train("dull", params={"rate": 1e-9, "epochs": 1}))
    before = d.model_bytes()
    done = ended(promote(d, "dull", gate={"max_quality_loss": .01}), "failed")
    check("loss" in done["error"], done["error"])
    equal((d.model_bytes(), d.info()["extractor"]["name"]), (before, "codes"),
          "what serves")


@test("what the learner had come to is found again, or made again")
def _():
    there = Daemon().start()
    there.put("/v1/extractors/codes/import", Path(file_of("codes")).read_bytes(),
              type="application/octet-stream").expect(201)
    d = collection("pics", on=there, rows=60)
    ended(promote(d, "codes"), on=there)
    before = d.model_bytes()
    there.stop()
    path, = Path(there.directory).glob("collections/*.db")
    file = sqlite3.connect(path)
    file.execute("DELETE FROM checkpoint")
    file.commit()
    file.close()
    there.start()
    send(d, 60, 20, ack="visible")
    d.publish()
    equal(d.model_bytes(), before, "the model, made again")
    is_of(d, file_of("codes"))
    # Now that it is in a checkpoint the network's file may be lost.
    there.stop()
    akx, = [p for p in Path(there.directory).glob("extractors/*.akx")
            if p.read_bytes() == Path(file_of("codes")).read_bytes()]
    akx.write_bytes(akx.read_bytes()[:-1])
    there.start()
    d.publish()
    equal(d.model_bytes(), before, "the model, without its file")
    d.search({"id": 3}, limit=1)
    there.stop()


@test("a snapshot of it restores to the same")
def _():
    ended(submit("snapshot", "pics", {"name": "after"}))
    ended(submit("restore", "again", {"snapshot": "after"}))
    again = Collection(daemon, "again")
    equal(heads(again), heads(c), "heads")
    is_of(again, file_of("of-pics", 2))
    send(again, 2 * N - 10, 10, ack="visible")
    is_of(again, file_of("of-pics", 2))
    ended(submit("verify", "again", {}))


@test("killed at the moments of its writing it goes on")
def _():
    body = Path(file_of("codes")).read_bytes()
    for moment in ("extractor vectors written:1", "generation begun:1",
                   "install written:1",
                   "install committed:1", "install learnt:1",
                   "flip written:2", "flip committed:1"):
        there = Daemon(env={"AKIND_MOMENT": moment + ":9"}).start()
        there.put("/v1/extractors/codes/import", body,
                  type="application/octet-stream").expect(201)
        d = collection("pics", on=there, rows=120)
        there.expected = False
        id = promote(d, "codes")
        try:
            there.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            fail("nobody passed %s" % moment)
        equal(there.process.returncode, -9, "end at %s" % moment)
        there.env.pop("AKIND_MOMENT")
        there.start()
        ended(id, on=there)
        equal(d.info()["extractor"]["name"], "codes", "extractor")
        equal(heads(d)[published(d)], {"extractor": "codes", "version": 1},
              "head after %s" % moment)
        is_of(d, file_of("codes"))
        there.stop()


@test("the tool trains to codes, shows them and promotes")
def _():
    out = akin_ok("extractor", "train", "tooled", "-d", "mini", "-a", "tiny",
                  "-e", "1", "--batch", "8", "--seed", "3", "--type", "f32",
                  "--threads", "1", "--no-gate", "--hash", "hcdh", "--bits",
                  "24", "--code-weight", "2", daemon=daemon)
    check('"bits":24' in out, out)
    for command in ("list",), ("show", "tooled"):
        out = akin_ok("extractor", *command, daemon=daemon)
        line = [l for l in out.splitlines() if l.startswith("tooled ")][0]
        check("hcdh 24" in line, out)
    d = collection("tooled", bits=24, rows=20)
    akin_ok("promote", "tooled", "-e", "tooled", daemon=daemon)
    out = akin_ok("models", "tooled", daemon=daemon)
    line = [l for l in out.splitlines() if "published" in l][0]
    check(line.rstrip().endswith("tooled@1"), out)
    out = akin_ok("promote", "tooled", "-e", "tooled", "--head", "learnt",
                  daemon=daemon)
    equal(heads(d)[published(d)], None, "head")
    equal(akin("encode", "--local", file_of("plain"), "--image", FILES[0]
               ).returncode, 2, "status: a network without a hash layer")
    equal(akin("encode", "pics", "--local", file_of("codes"), "--image",
               FILES[0], daemon=daemon).returncode, 2, "status")


@test("trained here, the file has both as well")
def _():
    out, model = scratch + "/here.akx", scratch + "/here.model"
    akin_ok("extractor", "train", "-a", "tiny", "-e", "2", "--batch", "8",
            "--data", data + "/mini", "--hash", "hcdh", "-b", str(BITS),
            "-o", out, "--hash-output", model)
    daemon.put("/v1/extractors/here/import", Path(out).read_bytes(),
               type="application/octet-stream").expect(201)
    equal(version("here")["hash"], HASH, "hash")
    d = collection("here", rows=20)
    ended(promote(d, "here"))
    equal(d.model_bytes(), Path(model).read_bytes(), "the hash model")
    is_of(d, out)


main()
