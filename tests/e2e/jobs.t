#!/usr/bin/python3 -B
"""Jobs: started, watched, paused, cancelled, and going on after a restart."""

from akin_test import *

daemon = Daemon(args=["--max-jobs", "4", "--max-running-jobs", "1"]).start()

DIM = 16
X, Y = clusters(3000, DIM, classes=4, seed=5)
LABELS = ["c%d" % y for y in Y]
c = daemon.collection("shoes", dim=DIM,
                      model={"kind": "hmoh", "params": {"kernel_anchors": 0}})
c.learn(X, LABELS, ids=list(range(len(X))), ack="visible")
for name in ("a", "b", "d", "e"):
    daemon.collection(name, dim=DIM).learn(X[:50], LABELS[:50])

# So slow that it waits in its middle until it is told otherwise.
SLOW_PACE = {"bytes_per_second": 1}


def start(kind="verify", target="shoes", expect=202, headers=None, **rest):
    reply = daemon.post("/v1/jobs", dict(rest, kind=kind, target=target),
                        headers=headers)
    return reply.expect(expect).json


def job(id):
    return daemon.get("/v1/jobs/%d" % id).expect(200).json


def wait_state(id, *states):
    return wait_until(lambda: job(id) if job(id)["state"] in states else None,
                      "job %d is %s" % (id, " or ".join(states)))


def ask(id, what, expect=202):
    return daemon.post("/v1/jobs/%d/%s" % (id, what)).expect(expect).json


def log(id):
    return daemon.get("/v1/jobs/%d/log" % id).expect(200).json["items"]


class Events:
    """The event stream of a job, read as it comes."""

    def __init__(self, id, last=None):
        self.sock = daemon.connect()
        head = "GET /v1/jobs/%d/events HTTP/1.1\r\nHost: localhost\r\n" % id
        if last is not None:
            head += "Last-Event-ID: %s\r\n" % last
        self.sock.sendall((head + "\r\n").encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while True:
            line = self.file.readline().strip()
            if not line:
                break
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.text = b""
        self.open = self.headers.get("transfer-encoding") == "chunked"

    def close(self):
        self.file.close()
        self.sock.close()

    def chunk(self):
        size = int(self.file.readline() or b"0", 16)
        if size == 0:
            self.open = False
            return
        self.text += self.file.read(size)
        self.file.readline()

    def next(self):
        """(id, name, data) of the next event; None at the end."""
        while True:
            while b"\n\n" not in self.text:
                if not self.open:
                    return None
                self.chunk()
            event, self.text = self.text.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1)
                          for line in event.decode().split("\n")
                          if not line.startswith(":"))
            if fields:
                return (int(fields["id"]), fields["event"],
                        json.loads(fields["data"]))

    def all(self):
        found = []
        while True:
            event = self.next()
            if event is None:
                return found
            found.append(event)


@test("a job is started, runs and tells what came of it")
def _():
    reply = daemon.post("/v1/jobs", {"kind": "verify", "target": "shoes"})
    made = reply.expect(202).json
    equal(reply.headers["location"], "/v1/jobs/%d" % made["id"], "Location")
    equal((made["kind"], made["target"], made["params"], made["gate"]),
          ("verify", "shoes", {}, None), "what was asked")
    ended = wait_state(made["id"], "succeeded")
    equal(ended["error"], None, "error")
    equal(ended["result"]["damaged"], 0, "damaged")
    equal(ended["result"]["rows"], len(X), "rows")
    check(ended["created"] <= ended["started"] <= ended["ended"], "the times")
    equal(set(ended["progress"]), {"phase", "done", "total", "ratio",
                                   "eta_seconds", "metrics"}, "progress")


@test("what is wrong with a request is told where")
def _():
    def post(body, **rest):
        return daemon.post("/v1/jobs", body, **rest)
    post({"target": "shoes"}).problem(422, "validation-failed", "/kind")
    post({"kind": "x", "target": "shoes"}).problem(
        422, "unsupported-option", "/kind")
    post({"kind": "verify"}).problem(422, "validation-failed", "/target")
    post({"kind": "verify", "target": "none"}).problem(
        422, "validation-failed", "/target")
    post({"kind": "verify", "target": "shoes", "speed": 1}).problem(
        422, "unknown-field", "/speed")
    post({"kind": "verify", "target": "shoes", "params": {"x": 1}}).problem(
        422, "unknown-field", "/params/x")
    post({"kind": "verify", "target": "shoes", "budget": 7}).problem(
        422, "validation-failed", "/budget")
    post({"kind": "verify", "target": "shoes",
          "budget": {"bytes_per_second": -1}}).problem(
        422, "validation-failed", "/budget/bytes_per_second")
    post([]).problem(422, "validation-failed")
    for path in ("/v1/jobs/0", "/v1/jobs/999", "/v1/jobs/x",
                 "/v1/jobs/999/log", "/v1/jobs/999/events"):
        daemon.get(path).problem(404, "not-found")
    for what in ("cancel", "pause", "resume"):
        daemon.post("/v1/jobs/999/" + what).problem(404, "not-found")
    daemon.get("/v1/jobs?state=odd").problem(422, "validation-failed", "/state")
    daemon.get("/v1/jobs?cursor=odd").problem(400, "invalid-cursor")
    daemon.get("/v1/jobs/1/events", headers={"Last-Event-ID": "x"}).problem(
        422, "validation-failed")


@test("a field that is not known is pointed at, whatever it is called")
def _():
    # One at whose middle the room for a pointer ends, and one to be escaped.
    long = "/params/" + "a" * (127 - len("/params/") - 1)
    for kind in ("duplicates", "evaluate", "rebuild", "verify", "snapshot",
                 "restore", "train", "finetune"):
        target = "new" if kind in ("restore", "train") else "shoes"
        for key, pointer in (("b/c~d", "/params/b~1c~0d"),
                             (long[len("/params/"):] + "\u00e9", long)):
            found = start(kind, target, expect=422, params={key: 1})["errors"]
            equal([(f["pointer"], f["code"]) for f in found],
                  [(pointer, "unknown-field")], "fault of a %s" % kind)


@test("one job of a kind and target at a time, and so many at all")
def _():
    first = start(budget=SLOW_PACE)["id"]
    wait_state(first, "running")
    daemon.post("/v1/jobs", {"kind": "verify", "target": "shoes"}).problem(
        409, "state-conflict")
    others = [start(target=t)["id"] for t in ("a", "b", "d")]
    equal([job(i)["state"] for i in others], ["queued"] * 3, "states")
    reply = daemon.post("/v1/jobs", {"kind": "verify", "target": "e"})
    reply.problem(429, "too-many-jobs")
    check("retry-after" in reply.headers, "Retry-After is missing")
    metrics = daemon.get("/metrics").body.decode()
    check('akind_jobs{state="queued"} 3' in metrics, "the metric of queued")
    check('akind_jobs{state="running"} 1' in metrics, "the metric of running")
    # A cancel is always taken, also when nothing else is.
    ask(first, "cancel")
    equal(wait_state(first, "canceled")["result"], None, "result")
    for i in others:
        wait_state(i, "succeeded")
    ask(first, "cancel", 409)
    ask(first, "resume", 409)


@test("a job that rests goes on where it was")
def _():
    id = start(budget={"bytes_per_second": 2000})["id"]
    wait_until(lambda: job(id)["progress"]["phase"] == "vectors",
               "it has read some")
    ask(id, "pause")
    resting = wait_state(id, "paused")
    other = start(target="a")["id"]
    wait_state(other, "succeeded")
    equal(job(id)["progress"]["done"], resting["progress"]["done"], "done")
    ask(id, "resume")
    wait_until(lambda: job(id)["progress"]["done"] >
               resting["progress"]["done"], "it goes on")
    ask(id, "cancel")
    wait_state(id, "canceled")


@test("the same key is the same job")
def _():
    headers = {"Idempotency-Key": "job-key-1"}
    first = start(target="a", headers=headers)["id"]
    reply = daemon.post("/v1/jobs", {"kind": "verify", "target": "a"},
                        headers=headers).expect(202)
    equal(reply.json["id"], first, "id")
    equal(reply.headers.get("idempotency-replayed"), "true", "replayed")
    daemon.post("/v1/jobs", {"kind": "verify", "target": "b"},
                headers=headers).problem(422, "idempotency-key-reused")
    wait_state(first, "succeeded")


@test("events tell progress and end, each once")
def _():
    id = start(budget=SLOW_PACE)["id"]
    events = Events(id)
    equal(events.status, 200, "status")
    equal(events.headers["content-type"], "text/event-stream", "type")
    first = events.next()
    equal(first[1], "progress", "the first event")
    wait_state(id, "running")
    ask(id, "pause")
    found = [first]
    while found[-1][2].get("state") != "paused":
        found.append(events.next())
    ask(id, "cancel")
    found += events.all()
    events.close()
    equal(found[-1][1], "end", "the last event")
    equal(found[-1][2]["state"], "canceled", "its state")
    equal(found[-1][2], job(id), "the job in it")
    ids = [e[0] for e in found]
    equal(ids, sorted(set(ids)), "ids")
    equal([e[1] for e in found].count("end"), 1, "ends")


@test("who comes back with the last id misses nothing, and then is told to go")
def _():
    ended = daemon.get("/v1/jobs?limit=1&state=canceled").json["items"][0]
    events = Events(ended["id"], last=1)
    found = events.all()
    events.close()
    equal(found[-1][1], "end", "the last event")
    events = Events(ended["id"], last=found[-1][0])
    equal(events.status, 204, "status after the end")
    events.close()


@test("the log of a job without trouble is empty")
def _():
    id = start(target="a")["id"]
    wait_state(id, "succeeded")
    equal(log(id), [], "log of a good one")


@test("jobs are listed newest first, by state, kind and target")
def _():
    everything, cursor = [], None
    while True:
        page = daemon.get("/v1/jobs", limit=3, cursor=cursor).expect(200).json
        everything += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    ids = [j["id"] for j in everything]
    equal(ids, sorted(ids, reverse=True), "ids")
    equal(ids[-1], 1, "the first")
    found = daemon.get("/v1/jobs?state=canceled&limit=1000").json["items"]
    equal([j["id"] for j in found],
          [j["id"] for j in everything if j["state"] == "canceled"], "canceled")
    found = daemon.get("/v1/jobs?target=a&kind=verify").json["items"]
    check(found and all(j["target"] == "a" for j in found), "of target a")
    kinds = daemon.get("/v1/jobs/kinds").expect(200).json["items"]
    check("verify" in [k["kind"] for k in kinds], "the kinds")


@test("a stop interrupts a job, and a start lets it go on where it was")
def _():
    id = start(budget={"bytes_per_second": 100000})["id"]
    events = Events(id)
    wait_until(lambda: job(id)["progress"]["phase"] == "vectors",
               "it has read some")
    before = job(id)["progress"]["done"]
    daemon.restart()
    check(events.all()[-1][1] == "progress", "the stream ended with the daemon")
    events.close()
    events = Events(id)
    check(job(id)["progress"]["done"] >= before, "it begins anew")
    found = events.all()
    events.close()
    equal(found[-1][2]["state"], "succeeded", "state")
    equal(found[-1][2]["result"]["rows"], len(X), "rows")


@test("a job that was killed with the daemon goes on, one that rests does not")
def _():
    resting = start(target="a", budget=SLOW_PACE)["id"]
    wait_state(resting, "running")
    ask(resting, "pause")
    wait_state(resting, "paused")
    id = start(budget=SLOW_PACE)["id"]
    wait_state(id, "running")
    daemon.kill()
    daemon.start()
    wait_state(id, "running")
    equal(job(resting)["state"], "paused", "the one that rests")
    for i in (id, resting):
        ask(i, "cancel")
        wait_state(i, "canceled")


@test("a job of a collection that is deleted fails")
def _():
    id = start(target="d", budget=SLOW_PACE)["id"]
    wait_state(id, "running")
    ask(id, "pause")
    wait_state(id, "paused")
    daemon.restart()
    daemon.delete("/v1/collections/d").expect(204)
    ask(id, "resume")
    failed = wait_state(id, "failed")
    check("no collection" in failed["error"], failed["error"])
    check(any("no collection" in line["text"] and line["level"] == "error"
              for line in log(id)), "the log says why")


@test("the tool starts, watches, lists, and cancels")
def _():
    out = akin_ok("job", "start", "verify", "shoes", "--watch", daemon=daemon)
    check("state     succeeded" in out, out)
    id = int(akin_ok("job", "start", "verify", "shoes", "--budget",
                     json.dumps(SLOW_PACE), daemon=daemon).split()[1])
    watcher = subprocess.Popen(
        [str(AKIN), "job", "watch", str(id), "--json", "--url", daemon.url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_state(id, "running")
    check("running" in akin_ok("job", "list", "--state", "running",
                               daemon=daemon), "the list")
    akin_ok("job", "pause", id, daemon=daemon)
    wait_state(id, "paused")
    akin_ok("job", "resume", id, daemon=daemon)
    akin_ok("job", "cancel", id, daemon=daemon)
    out, err = watcher.communicate(timeout=DEADLINE)
    equal(watcher.returncode, 1, "status of the watcher: " + err)
    equal(json.loads(out)["state"], "canceled", "what it saw")
    equal(json.loads(akin_ok("job", "show", id, "--json",
                             daemon=daemon))["state"], "canceled", "show")
    akin_ok("job", "log", id, daemon=daemon)
    check("verify" in akin_ok("job", "kinds", daemon=daemon), "kinds")


main()
