#!/usr/bin/python3 -B
"""Snapshots: taken, listed, verified, restored, removed; exports; over HTTP and
by the tool."""

from akin_test import *

daemon = Daemon().start()

DIM = 16
X, Y = clusters(3000, DIM, classes=4, seed=5)
LABELS = ["c%d" % y for y in Y]
SETTINGS = {"hmoh": {"model": {"kind": "hmoh", "params": {"kernel_anchors": 16}},
                     "features": {"dim": DIM, "store": "f16"}},
            "lsh": {"model": {"kind": "lsh"}, "ids": "string",
                    "labels": {"mode": "multi"}}}


def job(kind, target, expect="succeeded", at=None, **rest):
    at = at or daemon
    made = at.post("/v1/jobs", dict(rest, kind=kind,
                                    target=target)).expect(202).json

    def ended():
        now = at.get("/v1/jobs/%d" % made["id"]).expect(200).json
        return now if now["state"] in ("succeeded", "failed",
                                       "canceled") else None
    now = wait_until(ended, "job %d ends" % made["id"])
    equal(now["state"], expect, "state (%s)" % now["error"])
    return now


def export(name, format=None, at=None):
    return (at or daemon).get("/v1/collections/%s/export" % name,
                              format=format).expect(200)


def exports(name, at=None):
    return {f: export(name, f, at).body for f in ("ndjson", "npy", "codes")}


def fill(name, c):
    if name == "lsh":
        c.upsert(X, [[l, "all"] for l in LABELS],
                 ids=["item %d \u2603 \"" % i for i in range(len(X))])
    else:
        c.learn(X[:2500], LABELS[:2500], ids=list(range(2500)), ack="visible")
        c.publish()
        c.learn(X[2500:], LABELS[2500:], ids=list(range(2500, 3000)))
        daemon.patch(c.path + "/items/7", {
            "payload": {"sku": "A-\u00e9", "n": [1, None, 0.1]}}).expect(200)
        daemon.patch(c.path + "/items/8", {"labels": ["other"]}).expect(200)
        daemon.delete(c.path + "/items/9").expect(204)
        c.upsert(X[:1], ids=[10])
    seq = c.stream()["durable_seq"]
    c.wait_visible(seq)
    c.wait_learned(seq)


for kind, settings in SETTINGS.items():
    fill(kind, daemon.collection(kind, dim=DIM, **settings))


@test("an export has every item in order of arrival")
def _():
    lines = [json.loads(line) for line in
             export("hmoh").body.decode().splitlines()]
    expected = [i for i in range(3000) if i not in (9, 10)] + [10]
    equal([l["id"] for l in lines], expected, "ids")
    by_id = {l["id"]: l for l in lines}
    equal(by_id[7]["payload"], {"sku": "A-\u00e9", "n": [1, None, 0.1]},
          "payload")
    equal(by_id[8]["labels"], ["other"], "labels of 8")
    equal(by_id[3]["labels"], [LABELS[3]], "labels of 3")
    check("labels" not in by_id[10], "an item without labels")
    stored = X.astype(np.float16).astype(np.float32)
    equal(np.array_equal(np.array(by_id[3]["vector"], np.float32), stored[3]),
          True, "the vector")
    reply = export("hmoh", "npy")
    vectors = from_npy(reply.body)
    equal(np.array_equal(vectors[:9], stored[:9]), True, "vectors as npy")
    equal(vectors.shape, (2999, DIM), "their shape")
    equal(int(reply.headers["content-length"]), len(reply.body), "length")
    reply = export("hmoh", "codes")
    ids, codes = Collection(daemon, "hmoh").codes()
    of = {i: c.tobytes() for i, c in zip(ids, codes)}
    equal([c.tobytes() for c in from_npy(reply.body)],
          [of[i] for i in expected], "codes")
    equal(int(reply.headers["akin-model-version"]),
          Collection(daemon, "hmoh").info()["model_versions"]["published"],
          "Akin-Model-Version")
    equal(int(reply.headers["akin-seq"]),
          Collection(daemon, "hmoh").stream()["durable_seq"], "Akin-Seq")


@test("lines of an export can be ingested again, and export alike")
def _():
    for kind in SETTINGS:
        c = daemon.collection("fed-" + kind, dim=DIM, **SETTINGS[kind])
        lines = export(kind).body
        reply = daemon.post(c.path + "/batches", lines, type=NDJSON,
                            ack="visible").expect(200)
        check(b"error" not in reply.body, "all of it was taken")
        for format in ("ndjson", "npy"):
            equal(export("fed-" + kind, format).body == export(kind,
                                                               format).body,
                  True, "%s of %s" % (format, kind))


@test("an export of codes that came from outside")
def _():
    c = daemon.collection("outside", bits=64, model={"kind": "external"})
    codes = np.random.default_rng(3).integers(256, size=(500, 8),
                                              dtype=np.uint8)
    c.batch(npy_batch(codes, name="codes"), MULTIPART, ack="visible")
    equal(np.array_equal(from_npy(export("outside", "codes").body), codes),
          True, "codes")
    line = json.loads(export("outside").body.splitlines()[17])
    equal(line, {"id": 17, "code": codes[17].tobytes().hex()}, "a line")
    daemon.get(c.path + "/export", format="npy").problem(
        422, "unsupported-option", "/format")


@test("an export of nothing, and wrong ones")
def _():
    c = daemon.collection("empty", dim=DIM)
    equal(export("empty").body, b"", "lines")
    equal(from_npy(export("empty", "npy").body).shape, (0, DIM), "vectors")
    equal(from_npy(export("empty", "codes").body).shape, (0, 4), "codes")
    daemon.get(c.path + "/export", format="csv").problem(
        422, "validation-failed", "/format")
    daemon.get(c.path + "/export", fmt="npy").problem(422, "unknown-field")
    daemon.get("/v1/collections/none/export").problem(404, "not-found")
    for format in ("ndjson", "npy"):
        with daemon.connect() as sock:
            sock.sendall(("HEAD %s/export?format=%s HTTP/1.1\r\n"
                          "Host: localhost\r\nConnection: close\r\n\r\n" %
                          (c.path, format)).encode())
            head = sock.makefile("rb").read()
        check(head.startswith(b"HTTP/1.1 200 "), head)
        equal(head.split(b"\r\n\r\n")[1:], [b""], "what follows the head")


def resident():
    """Bytes of memory of the daemon."""
    status = Path("/proc/%d/status" % daemon.process.pid).read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def read_slowly(path):
    """The answer's head, and a socket that has taken no more yet."""
    sock = daemon.connect()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.sendall(("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    return sock, head.split(b"\r\n")[0].split()[1]


@test("five readers at a time are too many, and one that leaves makes room")
def _():
    wide = daemon.collection("wide", dim=1024, model={"kind": "lsh"})
    rows = np.random.default_rng(1).normal(size=(4000, 1024)).astype(np.float32)
    for at in range(0, 4000, 1000):
        wide.upsert(rows[at:at + 1000])
    wide.wait_visible(wide.stream()["durable_seq"])
    path = wide.path + "/export?format=npy"
    before = resident()
    open_ones = [read_slowly(path) for _ in range(4)]
    equal([status for _, status in open_ones], [b"200"] * 4, "statuses")
    daemon.get(path).problem(429, "rate-limited")
    # Each holds two buffers and what a batch of rows takes, not 16 MB.
    time.sleep(0.2)
    check(SANITIZER or resident() - before < 24e6,
          "four exports take %d bytes" % (resident() - before))
    # It goes on for those while items come and go.
    daemon.post(wide.path + "/items/delete",
                {"ids": list(range(2000))}).expect(200)
    for sock, _ in open_ones[1:]:
        sock.close()
    wait_until(lambda: daemon.request("HEAD", path).status == 200,
               "there is room")
    got, sock = b"", open_ones[0][0]
    while len(got) < rows.nbytes:
        piece = sock.recv(1 << 20)
        check(piece, "the export ended early")
        got += piece
    sock.close()
    body = np.frombuffer(got[-rows.nbytes:], np.float32).reshape(rows.shape)
    equal(np.array_equal(body, rows), True, "what there was at the beginning")
    equal(from_npy(export("wide", "npy").body).shape, (2000, 1024),
          "what there is now")


@test("a snapshot is taken, listed, verified and restored: all exports are equal")
def _():
    for kind in SETTINGS:
        before = exports(kind)
        made = job("snapshot", kind, params={"name": "kept-" + kind})
        shown = daemon.get("/v1/snapshots/kept-" + kind).expect(200).json
        equal(shown, made["result"], "the result of the job")
        equal((shown["collection"], shown["damaged"]), (kind, None), "of what")
        equal(shown["seq"], Collection(daemon, kind).stream()["durable_seq"],
              "seq")
        path = Path(daemon.directory) / "snapshots" / ("kept-" + kind)
        equal(sorted(f.name for f in path.iterdir()),
              ["collection.db", "manifest.json"], "files")
        data = (path / "collection.db").read_bytes()
        equal(shown["files"], [{"name": "collection.db", "bytes": len(data),
                                "sha256": hashlib.sha256(data).hexdigest()}],
              "files of the manifest")
        job("verify", "kept-" + kind, params={"of": "snapshot"})
        result = job("restore", "again-" + kind,
                     params={"snapshot": "kept-" + kind})["result"]
        check(result["searches"] == 16, "sample searches")
        equal(exports("again-" + kind) == before, True, "exports")
    listed = daemon.get("/v1/snapshots").expect(200).json["items"]
    equal([s["name"] for s in listed], ["kept-hmoh", "kept-lsh"], "names")


@test("what is wrong with a request is told where")
def _():
    def post(kind, target, status, slug, pointer, **rest):
        daemon.post("/v1/jobs", dict(rest, kind=kind, target=target)).problem(
            status, slug, pointer)
    post("snapshot", "none", 422, "validation-failed", "/target")
    post("snapshot", "lsh", 422, "validation-failed", "/params/name",
         params={"name": "../etc"})
    post("snapshot", "lsh", 422, "unknown-field", "/params/to",
         params={"to": "x"})
    post("snapshot", "lsh", 422, "unknown-field", "/gate", gate={"x": 1})
    post("restore", "lsh", 409, "already-exists", "/target",
         params={"snapshot": "kept-lsh"})
    post("restore", "new", 422, "validation-failed", "/params/snapshot",
         params={"snapshot": "none"})
    post("restore", "../x", 422, "validation-failed", "/target",
         params={"snapshot": "kept-lsh"})
    post("restore", "new", 422, "validation-failed", "/params/snapshot")
    post("verify", "none", 422, "validation-failed", "/target",
         params={"of": "snapshot"})
    daemon.get("/v1/snapshots/none").problem(404, "not-found")
    daemon.get("/v1/snapshots/..%2fcollections").problem(404, "not-found")
    daemon.delete("/v1/snapshots/none").problem(404, "not-found")
    daemon.delete("/v1/snapshots/%2e%2e").expect(400, 404)
    failed = job("snapshot", "lsh", "failed", params={"name": "kept-hmoh"})
    check("there is a snapshot" in failed["error"], failed["error"])


@test("a folder that is copied elsewhere is a snapshot there")
def _():
    other = Daemon()
    folder = Path(other.directory) / "snapshots"
    folder.mkdir(parents=True, mode=0o700)
    shutil.copytree(Path(daemon.directory) / "snapshots" / "kept-hmoh",
                    folder / "kept-hmoh")
    other.start()
    job("restore", "hmoh", at=other, params={"snapshot": "kept-hmoh"})
    equal(exports("hmoh", other) == exports("hmoh"), True, "exports")
    equal(Collection(other, "hmoh").model_bytes() ==
          Collection(daemon, "hmoh").model_bytes(), True, "model")
    c = Collection(other, "hmoh")
    c.learn(X[:200], LABELS[:200], ids=list(range(200)), ack="learned")
    other.restart()
    equal(c.info()["items"], 3000, "items after a restart")
    other.stop()


@test("a kill in the middle leaves nothing, and the job is done all the same")
def _():
    slow = {"bytes_per_second": 1}
    known = daemon.get("/v1/snapshots").expect(200).json["items"]
    for kind, target, params in (
            ("snapshot", "wide", {"name": "late"}),
            ("restore", "late", {"snapshot": "kept-hmoh"})):
        made = daemon.post("/v1/jobs", {"kind": kind, "target": target,
                                        "params": params,
                                        "budget": slow}).expect(202).json
        path = "/v1/jobs/%d" % made["id"]
        wait_until(lambda: daemon.get(path).json["progress"]["done"],
                   "it is in its middle")
        equal(daemon.get("/v1/snapshots").json["items"], known, "snapshots")
        daemon.get("/v1/collections/late").problem(404, "not-found")
        daemon.kill()
        daemon.start()
        equal(daemon.get("/v1/snapshots").json["items"], known, "snapshots")
        daemon.get("/v1/collections/late").problem(404, "not-found")
        wait_until(lambda: daemon.get(path).json["progress"]["done"],
                   "it goes on")
        daemon.post(path + "/cancel").expect(202)
        wait_until(lambda: daemon.get(path).json["state"] == "canceled",
                   "it is cancelled")
        equal([f.name for f in (Path(daemon.directory) / "snapshots").iterdir()
               if f.name.startswith(".")], [], "what is left")


@test("the tool takes, lists, verifies, restores, exports and removes them")
def _():
    def akin(*args, code=0):
        done = subprocess.run([str(AKIN), "--url", daemon.url] + list(args),
                              capture_output=True, timeout=DEADLINE)
        equal(done.returncode, code, "exit code (%s)" % done.stderr[-300:])
        return done.stdout
    akin("snapshot", "create", "hmoh", "--name", "by-tool", "--quiet")
    check(b"by-tool" in akin("snapshot", "list"), "it is listed")
    akin("snapshot", "verify", "by-tool", "--quiet")
    akin("snapshot", "restore", "by-tool", "tooled", "--quiet")
    out = Path(daemon.temporary) / "out"
    for format, data in exports("hmoh").items():
        equal(akin("export", "tooled", "--format", format) == data, True,
              "export to stdout")
        akin("export", "tooled", "--format", format, "--output", str(out))
        equal(out.read_bytes() == data, True, "export to a file")
    akin("export", "none", "--output", str(out) + "-2", code=5)
    equal(list(Path(daemon.temporary).glob("out-2*")), [], "files left")
    akin("snapshot", "delete", "by-tool", "--yes")
    check(b"by-tool" not in akin("snapshot", "list"), "it is gone")


@test("a restore that is asked for again with its key is told, though its name is taken")
def _():
    body = {"kind": "restore", "target": "twice",
            "params": {"snapshot": "kept-lsh"}}
    headers = {"Idempotency-Key": "restore-1"}
    first = daemon.post("/v1/jobs", body, headers=headers).expect(202).json
    wait_until(lambda: daemon.get("/v1/jobs/%d" % first["id"]).json["ended"],
               "it ends")
    again = daemon.post("/v1/jobs", body, headers=headers).expect(202)
    equal(again.json["id"], first["id"], "the job")
    equal(again.headers.get("idempotency-replayed"), "true", "replayed")
    # What it was made from, and what it made, may be gone since.
    daemon.delete("/v1/collections/twice").expect(204)
    daemon.post("/v1/jobs", body, headers=headers).expect(202)
    daemon.get("/v1/collections/twice").problem(404, "not-found")
    daemon.post("/v1/jobs", dict(body, target="thrice"),
                headers=headers).problem(422, "idempotency-key-reused")


@test("a snapshot that is removed is gone")
def _():
    for name in ("kept-hmoh", "kept-lsh"):
        daemon.delete("/v1/snapshots/" + name).expect(204)
    equal(daemon.get("/v1/snapshots").json["items"], [], "snapshots")
    equal(list((Path(daemon.directory) / "snapshots").iterdir()), [], "files")


main()
