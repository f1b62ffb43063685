#!/usr/bin/python3 -B
"""Jobs in akin-worker: trained to the same bytes whatever happens to it."""

from akin_test import *

MOMENTS = BUILD / "tests" / "e2e" / "worker_moments"
WORKER = BUILD / "server" / "akin-worker"
ENDED = ("succeeded", "failed", "canceled")

control = os.path.join(tempfile.mkdtemp(prefix="akin-e2e-"), "moment")
atexit.register(shutil.rmtree, os.path.dirname(control), ignore_errors=True)
data = os.path.join(os.path.dirname(control), "sets")


def cifar(path, n, seed, light=40):
    """n records whose four classes differ in brightness."""
    r = np.random.default_rng(seed)
    y = np.arange(n) % 4
    p = r.integers(0, 80, (n, 3, 32, 32)) + y[:, None, None, None] * light
    body = np.concatenate([y[:, None], p.reshape(n, -1)], 1).astype("u1")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(body.tobytes())


cifar(data + "/mini/data_batch_1.bin", 120, 1)
cifar(data + "/mini/test_batch.bin", 20, 2)
cifar(data + "/noise/data_batch_1.bin", 120, 3, light=0)

daemon = Daemon(
    args=["--worker-program", str(MOMENTS), "--datasets-dir", data,
          "--max-running-jobs", "4"],
    env={"AKIN_TEST_MOMENT": control}).start()

# 72 images to train on, of which a step takes 8: nine steps an epoch.
PARAMS = {"arch": "tiny", "dataset": "mini", "epochs": 2, "batch": 8,
          "seed": 3, "type": "f32", "splits": {"search": 0.2, "gate": 0.2}}
JOB = {"kind": "train", "params": PARAMS, "budget": {"threads": 1},
       "gate": None}


def submit(target, on=None, **changes):
    body = dict(JOB, target=target, **changes)
    return (on or daemon).post("/v1/jobs", body).expect(202).json["id"]


def info(job, on=None):
    return (on or daemon).get("/v1/jobs/%d" % job).expect(200).json


def wait_for(job, *states, on=None):
    def there():
        j = info(job, on)
        if j["state"] in states:
            return j
        check(j["state"] not in ENDED,
              "job %d is %s: %s" % (job, j["state"], j["error"]))
        return None
    return wait_until(there, "job %d is %s" % (job, " or ".join(states)))


def log_of(job, on=None):
    items = (on or daemon).get("/v1/jobs/%d/log?limit=1000" % job).json["items"]
    return "\n".join("%s: %s" % (i["level"], i["text"]) for i in items)


def models():
    """Names of the model files: checksums of their bytes."""
    folder = os.path.join(daemon.directory, "extractors")
    return sorted(n for n in os.listdir(folder) if n.endswith(".akx"))


def folders(on=None):
    return os.listdir(os.path.join((on or daemon).directory, "jobs"))


def workers(on=None):
    """Numbers of the daemon's children but for its decoders of images."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            text = Path("/proc/%s/stat" % int(entry)).read_text()
            if b"--decode" in Path("/proc/%s/cmdline" % entry).read_bytes():
                continue
        except (OSError, ValueError):
            continue
        fields = text.rsplit(")", 1)[1].split()
        if int(fields[1]) == (on or daemon).process.pid and fields[0] != "Z":
            found.append(int(entry))
    return found


def arm(moment, count, action):
    Path(control + ".new").write_text("%s, %d %s" % (moment, count, action))
    os.rename(control + ".new", control)


def held():
    wait_until(lambda: os.path.exists(control + ".held"), "it is held")


def disarm():
    for name in (control, control + ".held"):
        if os.path.exists(name):
            os.unlink(name)


reference = []


@test("a network is trained and becomes a version")
def _():
    job = submit("first")
    result = wait_for(job, "succeeded")["result"]
    reference[:] = models()
    equal(len(reference), 1, "model files")
    equal(result["extractor"], "first", "extractor")
    equal(result["version"], 1, "version")
    equal(result["images"], {"train": 72, "search": 24, "gate": 24, "test": 20},
          "images")
    equal((result["steps"], result["steps_wanted"]), (18, 18), "steps")
    equal(result["out_of_time"], False, "out_of_time")
    check(0 <= result["gate"]["map"] <= 1 and result["peak_bytes"] > 1e6,
          "result is %s" % result)
    text = Path(daemon.directory, "extractors", reference[0]).read_bytes()
    equal(hashlib.sha256(text).hexdigest() + ".akx", reference[0], "checksum")
    equal(folders(), [], "folders of jobs")
    equal(workers(), [], "workers")
    progress = info(job)["progress"]
    check("search_accuracy" in progress["metrics"] and
          "images_per_second" in progress["metrics"], "metrics %s" % progress)
    check("epoch 2 of 2" in log_of(job), log_of(job))


@test("the version turns images into features at once")
def _():
    c = daemon.collection("by-first", bits=64, extractor="first",
                          model={"kind": "lsh"})
    r = np.random.default_rng(9)
    items = [{"id": i, "image": base64.b64encode(
        png(r.integers(0, 256, (32, 32)))).decode()} for i in range(3)]
    c.batch({"items": items}, ack="visible")
    found = c.search({"image": items[1]["image"]}, limit=1)["items"][0]
    equal((found["id"], found["distance"]), (1, 0), "the nearest")


# The moments are the phases, and where files are written; each at a count
# that is reached, with steps before the first checkpoint and after it.
KILLS = [("load", 1), ("train", 5), ("file written", 1), ("checkpoint", 1),
         ("train", 14), ("checkpoint", 2), ("evaluate", 1), ("gate", 2),
         ("finish", 1), ("file written", 3), ("finish", 2), ("finished", 1)]

for moment, count in KILLS:
    @test("killed at %s, %d, it comes to the same bytes" %
          (moment, count))
    def _(moment=moment, count=count):
        arm(moment, count, "kill")
        job = submit("killed-%s-%d" % (moment.replace(" ", "-"), count))
        wait_for(job, "succeeded")
        check(not os.path.exists(control), "the moment never came")
        check("signal 9" in log_of(job), "the log does not tell of the kill")
        equal(models(), reference, "model files")


for moment, count in [("load", 1), ("train", 5), ("train", 14), ("evaluate", 1),
                      ("gate", 2), ("finish", 1)]:
    @test("cancelled at %s, %d, it leaves no trace" % (moment, count))
    def _(moment=moment, count=count):
        arm(moment, count, "halt")
        job = submit("canceled")
        held()
        equal(len(workers()), 1, "workers")
        daemon.post("/v1/jobs/%d/cancel" % job).expect(202)
        wait_for(job, "canceled")
        disarm()
        equal(workers(), [], "workers")
        equal(folders(), [], "folders of jobs")
        equal(models(), reference, "model files")
        daemon.get("/v1/extractors/canceled").expect(404)


for moment, count in [("load", 1), ("train", 5), ("train", 14), ("gate", 2)]:
    @test("paused at %s, %d, it goes on to the same bytes" % (moment, count))
    def _(moment=moment, count=count):
        arm(moment, count, "hold")
        job = submit("paused-%s-%d" % (moment, count))
        held()
        daemon.post("/v1/jobs/%d/pause" % job).expect(202)
        wait_for(job, "paused")
        equal(workers(), [], "workers")
        equal(len(folders()), 1, "folders of jobs")
        daemon.post("/v1/jobs/%d/resume" % job).expect(202)
        wait_for(job, "succeeded")
        equal(models(), reference, "model files")


@test("the daemon stops, and the job goes on with the next one")
def _():
    arm("train", 14, "hold")
    job = submit("stopped")
    held()
    daemon.restart()
    wait_for(job, "succeeded")
    equal(models(), reference, "model files")
    check("going on from step" in log_of(job), log_of(job))


@test("the daemon is killed: its worker leaves, and the job goes on")
def _():
    arm("train", 14, "halt")
    job = submit("orphan")
    held()
    [worker] = workers()
    daemon.kill()
    check(os.path.exists("/proc/%d" % worker), "it is held")
    daemon.start()
    # The next one waits for the folder, which the first has not left.
    wait_until(lambda: len(workers()) == 1, "the next worker is there")
    equal(info(job)["state"], "running", "state")
    os.kill(worker, signal.SIGKILL)
    wait_for(job, "succeeded")
    disarm()
    equal(models(), reference, "model files")


@test("the daemon is killed while the version is written: there is one, once")
def _():
    there = Daemon(args=["--datasets-dir", data])
    job = None
    for moment in ["extractor renamed", "extractor added", "job end saved"]:
        there.env["AKIND_MOMENT"] = moment + ":1:9"
        try:
            there.launch()
            there.expected = False
            if job is None:
                there.wait_ready()
                job = submit("unsure", there)
        except Failed:
            pass  # it was faster
        equal(there.process.wait(DEADLINE), -9, "end at \"%s\"" % moment)
        there.local = threading.local()
    there.env.pop("AKIND_MOMENT")
    there.start()
    equal(wait_for(job, "succeeded", on=there)["result"]["version"], 1,
          "version")
    items = there.get("/v1/extractors/unsure").expect(200).json["versions"]
    equal(len(items), 1, "versions")
    equal(os.listdir(os.path.join(there.directory, "extractors")), reference,
          "model files")
    equal(folders(there), [], "folders of jobs")
    there.stop()


@test("a worker notices by itself that its daemon is gone")
def _():
    job = submit("noticed", params=dict(PARAMS, epochs=100000))
    wait_until(lambda: info(job)["progress"]["phase"] == "train", "it trains")
    [worker] = workers()
    daemon.kill()
    wait_until(lambda: not os.path.exists("/proc/%d" % worker), "it left")
    folder = os.path.join(daemon.directory, "jobs", str(job))
    check(os.path.exists(folder + "/checkpoint"), "it left no checkpoint")
    daemon.start()
    wait_until(lambda: "going on from step" in log_of(job), "it goes on")
    daemon.post("/v1/jobs/%d/cancel" % job).expect(202)
    wait_for(job, "canceled")


@test("what the worker may take is niced, and never chosen before the daemon")
def _():
    arm("train", 5, "hold")
    job = submit("nice")
    held()
    [worker] = workers()
    fields = Path("/proc/%d/stat" % worker).read_text().rsplit(")", 1)[1]
    equal(int(fields.split()[16]), 19, "nice")
    equal(int(fields.split()[2]), worker, "process group")
    equal(Path("/proc/%d/oom_score_adj" % worker).read_text(), "500\n",
          "oom_score_adj")
    fds = sorted(int(fd) for fd in os.listdir("/proc/%d/fd" % worker))
    equal([fd for fd in fds if fd < 3], [0, 1, 2], "descriptors")
    for fd in fds[3:]:
        target = os.readlink("/proc/%d/fd/%d" % (worker, fd))
        check(target.endswith("/lock"), "it inherited %s" % target)
    daemon.post("/v1/jobs/%d/cancel" % job).expect(202)
    wait_for(job, "canceled")
    disarm()


@test("searches are answered while a worker trains")
def _():
    c = daemon.collection("served", model={"kind": "lsh"})
    X = np.random.default_rng(1).normal(size=(500, 16)).astype("f4")
    c.batch(npy_batch(X), MULTIPART, ack="visible")
    job = submit("long", params=dict(PARAMS, epochs=100000))
    wait_until(lambda: info(job)["progress"]["phase"] == "train", "it trains")
    for i in range(200):
        found = c.search({"vector": X[i].tolist()}, limit=1)
        equal(found["items"][0]["distance"], 0, "distance")
    equal(info(job)["state"], "running", "state")
    daemon.post("/v1/jobs/%d/cancel" % job).expect(202)
    wait_for(job, "canceled")


@test("what the seconds of a budget end is measured and kept")
def _():
    job = submit("hasty", params=dict(PARAMS, epochs=100000),
                 budget={"seconds": 0.5, "threads": 1})
    result = wait_for(job, "succeeded")["result"]
    equal(result["out_of_time"], True, "out_of_time")
    check(result["steps"] < result["steps_wanted"] == 900000, str(result))
    text = log_of(job)
    check("the budget of 0.5 s is over" in text, text)
    # As many end in half a second as the machine makes; all the same it is told
    # of the first and of the last one.
    told = [line.split()[2] for line in text.split("\n") if ": epoch " in line]
    equal(told[0], "1", "the first epoch that is told")
    equal(int(told[-1]), result["steps"] // 9, "the last one")
    check(len(told) <= 3, "%d lines of epochs" % len(told))
    reference[:] = models()


@test("a budget of memory fails the job, and nothing else")
def _():
    if SANITIZER:
        raise Skip("a sanitizer takes more than any budget")
    job = submit("large", params=dict(PARAMS, arch="vgg_small", batch=72),
                 budget={"memory_bytes": 67108864, "threads": 1})
    error = wait_for(job, "failed")["error"]
    check("memory" in error, "error is %s" % error)
    equal(folders(), [], "folders of jobs")


def limited(limit):
    """A folder of a new cgroup that may have so much memory, or Skip."""
    group, name = Path("/sys/fs/cgroup"), "akin-test-%d" % os.getpid()
    own = dict(line.strip().split(":", 2)[1:]
               for line in open("/proc/self/cgroup"))
    try:
        if "memory" in own:
            group = group / "memory" / own["memory"].lstrip("/")
        elif "memory" not in (group / "cgroup.subtree_control").read_text():
            raise OSError("no controller of memory")
        group = group / name
        group.mkdir()
        atexit.register(lambda: group.exists() and group.rmdir())
        for file, most in (("memory.limit_in_bytes", limit),
                           ("memory.memsw.limit_in_bytes", limit),
                           ("memory.max", limit), ("memory.swap.max", 0)):
            if (group / file).exists():
                (group / file).write_text(str(most))
        return group
    except OSError as why:
        raise Skip("no cgroup with a limit of memory can be made: %s" % why)


@test("a worker that the kernel kills for want of memory at first fails its job")
def _():
    if SANITIZER:
        raise Skip("a sanitizer takes more than any limit")
    group = limited(256 << 20)
    there = Daemon(args=["--datasets-dir", data]).start()
    (group / "cgroup.procs").write_text(str(there.process.pid))
    there.collection("beside", dim=4)
    # 72 images of 32 x 32 through VGG-Small take about twice the limit.
    job = submit("large", on=there, params=dict(
        PARAMS, arch="vgg_small", batch=72, epochs=1000))
    done = wait_until(lambda: (lambda j: j if j["ended"] else None)(
        info(job, there)), "the job ends")
    equal(done["state"], "failed", "state (%s)" % done["error"])
    check("killed for want of memory on the machine before it had a checkpoint"
          in done["error"], done["error"])
    # It was killed alone, and once.
    check(there.process.poll() is None, "the daemon ended")
    equal(there.get("/readyz").status, 200, "readyz")
    small = submit("small", on=there, params=dict(PARAMS))
    wait_for(small, "succeeded", on=there)
    there.stop()
    group.rmdir()


# Takes memory that is not counted as its own, so that another is chosen, until
# there is none.
HOG = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as f:
    f.write(str(os.getpid()))
taken = os.memfd_create("taken")
while True:
    os.write(taken, bytes(1 << 20))
"""


@test("one that it kills behind a checkpoint goes on to the same bytes")
def _():
    group = limited(64 << 20)
    arm("train", 14, "halt")
    job = submit("squeezed")
    held()
    [worker] = workers()
    (group / "cgroup.procs").write_text(str(worker))
    hog = subprocess.Popen([sys.executable, "-c", HOG, str(group)],
                           stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: not os.path.exists("/proc/%d" % worker),
                   "it is killed")
    finally:
        hog.kill()
        hog.wait()
        disarm()
    wait_for(job, "succeeded")
    equal(daemon.get("/readyz").status, 200, "readyz")
    text = log_of(job)
    check("the worker was killed for want of memory on the machine; it goes on "
          "from its last checkpoint" in text, text)
    check("going on from step 9" in text, text)
    equal(models(), reference, "model files")
    wait_until(lambda: (group / "cgroup.procs").read_text() == "", "it is empty")
    group.rmdir()


@test("a worse network does not pass the gate, unless there is none")
def _():
    gate = {"max_accuracy_loss": 0.01, "max_map_loss": 1}
    job = submit("gated", params=dict(PARAMS, epochs=8), gate={"min_accuracy": 0.9})
    result = wait_for(job, "succeeded")["result"]
    check(result["gate"]["accuracy"] >= 0.9, str(result["gate"]))
    equal(result["gate"]["published"], None, "published")
    # A rate of nothing learns nothing.
    worse = dict(PARAMS, rate=1e-9, seed=8)
    before = models()
    job = submit("gated", params=worse, gate=gate)
    error = wait_for(job, "failed")["error"]
    check(error.startswith("the gate: accuracy is"), error)
    equal(models(), before, "model files")
    job = submit("gated", params=worse)
    result = wait_for(job, "succeeded")["result"]
    equal(result["version"], 2, "version")
    check(result["gate"]["published"]["accuracy"] >= 0.9, str(result["gate"]))
    job = submit("gated-2", params=dict(worse, dataset="noise"),
                 gate={"min_map": 0.9})
    error = wait_for(job, "failed")["error"]
    check("mAP" in error and "at least 0.9000" in error, error)


@test("the gate compares with a version that takes images of another size")
def _():
    small = dict(PARAMS, epochs=1, arch="mobilenet_v1_0.25_128")
    wait_for(submit("resized", params=small), "succeeded")
    result = wait_for(submit("resized"), "succeeded")["result"]
    equal(result["version"], 2, "version")
    check(0 < result["gate"]["published"]["map"] <= 1, str(result["gate"]))


@test("a training begins with a version that is there")
def _():
    params = dict(PARAMS, rate=1e-9)
    del params["arch"]
    params["from"] = "gated"
    params["from_version"] = 1
    job = submit("further", params=params)
    result = wait_for(job, "succeeded")["result"]
    check(result["gate"]["accuracy"] >= 0.9, str(result["gate"]))


@test("the images of a collection are learnt")
def _():
    c = daemon.collection("pics", bits=64, extractor="pixels-8x8x1",
                          images={"store": "original"}, model={"kind": "lsh"})
    r = np.random.default_rng(4)
    items = []
    for i in range(90):
        gray = r.integers(0, 60, (12, 12)) + i % 3 * 90
        items.append({"id": i, "labels": ["c%d" % (i % 3)] if i < 80 else [],
                      "image": base64.b64encode(png(gray)).decode()})
    c.batch({"items": items}, ack="visible")
    daemon.delete(c.path + "/items/5").expect(200, 204)
    params = dict(PARAMS, collection="pics", epochs=6)
    del params["dataset"]
    arm("train", 5, "kill")
    job = submit("of-pics", params=params)
    result = wait_for(job, "succeeded")["result"]
    equal(sum(result["images"].values()), 79, "images")
    equal(result["classes"], 3, "classes")
    check(result["gate"]["accuracy"] > 0.8, str(result["gate"]))


@test("what is wrong with a request is told where")
def _():
    def refused(pointer, target="x", **changes):
        body = dict(JOB, target=target)
        for key, value in changes.items():
            body[key] = dict(body[key] or {}, **value)
            body[key] = {k: v for k, v in body[key].items() if v is not ...}
        reply = daemon.post("/v1/jobs", body)
        found = [e["pointer"] for e in reply.expect(422).json["errors"]]
        equal(found, [pointer], "pointers of %s" % changes)

    refused("/target", target="Not a name")
    refused("/params/arch", params={"arch": "resnet21"})
    refused("/params/arch", params={"arch": 7})
    refused("/params/from", params={"from": "first"})
    refused("/params/arch", params={"arch": ...})
    refused("/params/from", params={"arch": ..., "from": "nobody"})
    refused("/params/from_version",
            params={"arch": ..., "from": "first", "from_version": 9})
    refused("/params/from_version", params={"from_version": 1})
    refused("/params/dataset", params={"dataset": "../mini"})
    refused("/params/dataset", params={"dataset": "/etc"})
    refused("/params/dataset", params={"dataset": "absent"})
    refused("/params/collection", params={"collection": "served"})
    refused("/params/dataset", params={"dataset": ...})
    refused("/params/collection",
            params={"dataset": ..., "collection": "served"})
    refused("/params/collection",
            params={"dataset": ..., "collection": "absent"})
    refused("/params/epochs", params={"epochs": 0})
    refused("/params/batch", params={"batch": 2.5})
    refused("/params/rate", params={"rate": "fast"})
    refused("/params/schedule", params={"schedule": "sometimes"})
    refused("/params/type", params={"type": "f64"})
    refused("/params/engine", params={"engine": "steam"})
    refused("/params/splits/gate", params={"splits": {"gate": 0.6}})
    refused("/params/splits/other", params={"splits": {"other": 1}})
    refused("/params/colour", params={"colour": "red"})
    refused("/budget/threads", budget={"threads": 0})
    refused("/budget/seconds", budget={"seconds": -1})
    refused("/budget/memory_bytes", budget={"memory_bytes": 1000})
    refused("/gate/min_map", gate={"min_map": 2})
    refused("/gate/taste", gate={"taste": 1})


@test("one training a target at a time")
def _():
    arm("load", 1, "halt")
    job = submit("alone")
    held()
    reply = daemon.post("/v1/jobs", dict(JOB, target="alone"))
    reply.problem(409, "state-conflict")
    daemon.post("/v1/jobs/%d/cancel" % job).expect(202)
    wait_for(job, "canceled")
    disarm()


@test("what a job cannot read fails it, and says what")
def _():
    os.makedirs(data + "/empty")
    job = submit("of-nothing", params=dict(PARAMS, dataset="empty"))
    check("no image" in wait_for(job, "failed")["error"], str(info(job)))
    os.makedirs(data + "/broken")
    Path(data, "broken", "data_batch_1.bin").write_bytes(b"x" * 100)
    job = submit("of-broken", params=dict(PARAMS, dataset="broken"))
    check("multiple of 3073" in wait_for(job, "failed")["error"],
          str(info(job)))


@test("the tool starts a training, follows it, and says what came of it")
def _():
    args = ["extractor", "train", "tooled", "-d", "mini", "-e", "3", "--batch",
            "8", "--seed", "5", "--type", "f32", "--threads", "1"]
    done = akin("--progress", "lines", *args, "-a", "tiny", daemon=daemon)
    equal(done.returncode, 0, "status: %s" % done.stderr)
    check("epoch 3 of 3" in done.stderr, done.stderr)
    check("state     succeeded" in done.stdout and '"version":1' in done.stdout,
          done.stdout)
    check("search_accuracy" in done.stdout, "no figures: " + done.stdout)
    done = akin(*args, "--from", "tooled@1", "--min-accuracy", "1",
                "--rate", "1000", daemon=daemon)
    equal(done.returncode, 1, "status: %s" % done.stderr)
    done = akin(*args, "-a", "tiny", "--no-gate", "--no-wait", "--json",
                "--seconds", "60", daemon=daemon)
    job = json.loads(done.stdout)
    equal((job["gate"], job["budget"]["seconds"]), (None, 60), "asked")
    wait_for(job["id"], "succeeded")


@test("the tool trains here, too, without a daemon")
def _():
    out = os.path.dirname(control) + "/here.akx"
    args = ["extractor", "train", "-a", "tiny", "-e", "2", "--batch", "8"]
    done = akin(*args, "--data", data + "/mini", "-o", out)
    equal(done.returncode, 0, "status: %s" % done.stderr)
    check("of 20 test images" in done.stdout, done.stdout)
    check(Path(out).read_bytes().startswith(b"AKINNET\n"), "no model")
    for wrong in (args, args + ["x"], args + ["-o", out, "--no-gate"],
                  args + ["x", "-d", "mini", "-o", out],
                  args + ["x", "-d", "mini", "--from", "y"]):
        equal(akin(*wrong).returncode, 2, "status of %s" % wrong)


# ---- workers that are mad ------------------------------------------------------


def with_worker(script, **rest):
    """A daemon whose worker is a script of the shell."""
    path = os.path.join(tempfile.mkdtemp(dir=os.path.dirname(control)), "mad")
    Path(path).write_text("#!/bin/sh\n" + script)
    os.chmod(path, 0o755)
    return Daemon(args=["--worker-program", path, "--datasets-dir", data],
                  **rest).start()


@test("a worker that talks nonsense is not listened to, and does its job")
def _():
    other = with_worker("""
printf 'not json\\n[1,2]\\n{"phase":7}\\n{"phase":"Up ../x","done":1,"total":2}\\n'
printf '{"phase":"a","done":-1,"total":1e99}\\n{"log":["no"]}\\n{}\\n\\n'
printf '{"phase":"b","done":1,"total":2,"metrics":{"m 1":3,"good":4,"x":"y"}}\\n'
printf '\\377\\376\\000\\001\\n{"log":"one\\\\nts=1 level=error forged"}\\n'
head -c 20000 /dev/zero | tr '\\0' 'x'; echo
yes '{"log":"flood"}' | head -n 20000
head -c 300000 /dev/urandom >&2
exec %s "$@"
""" % WORKER)
    job = submit("mad", on=other)
    wait_for(job, "succeeded", on=other)
    text = log_of(job, on=other)
    check("is not understood: not json" in text, text[:500])
    check("lines of the worker are dropped" in text, text[-500:])
    # 200 at once and 50 a second: a tenth of it would take 36 s.
    check(text.count("flood") < 2000, "%d lines" % text.count("flood"))
    check("\nts=1" not in other.log(), "a line of the log is forged")
    equal(folders(other), [], "folders of jobs")
    other.stop()


@test("a worker that dies again and again fails its job, and names the signal")
def _():
    other = with_worker("echo last words >&2; kill -SEGV $$")
    job = submit("dies", on=other)
    error = wait_for(job, "failed", on=other)["error"]
    check("signal 11" in error and "4. time" in error, error)
    equal(log_of(job, on=other).count("it goes on from its last"), 3, "deaths")
    check("worker: last words" in log_of(job, on=other), "its last words")
    equal(folders(other), [], "folders of jobs")
    other.stop()


@test("a worker that leaves without a result, or cannot start, fails its job")
def _():
    for script, words in (("exit 0", "ended with 0"),
                          ("exit 75", "ended with 75")):
        other = with_worker(script)
        job = submit("leaves", on=other)
        error = wait_for(job, "failed", on=other)["error"]
        check(words in error, error)
        other.stop()
    other = with_worker("exit 0")
    for entry in Path(os.path.dirname(control)).glob("*/mad"):
        entry.unlink()
    job = submit("absent", on=other)
    error = wait_for(job, "failed", on=other)["error"]
    check("cannot be started" in error, error)
    other.stop()


@test("a worker that does not listen to anything is killed with the rest")
def _():
    other = with_worker("trap '' TERM; sleep 1000")
    job = submit("deaf", on=other)
    wait_until(lambda: len(workers(other)) == 1, "it runs")
    other.post("/v1/jobs/%d/cancel" % job).expect(202)
    wait_for(job, "canceled", on=other)
    equal(workers(other), [], "workers")
    other.stop()


main()
