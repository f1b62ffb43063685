#!/usr/bin/python3 -B
"""The tool, command by command, against a running daemon."""

from akin_test import *

daemon = Daemon().start()
X, Y = clusters(3000, 16, seed=51)
LABELS = ["c%d" % y for y in Y]
home = Path(daemon.temporary)


def tool(*args, **rest):
    return akin_ok(*args, daemon=daemon, **rest)


def as_json(*args, **rest):
    return json.loads(tool(*args, "--json", **rest))


def write_idx(name, array):
    array = np.asarray(array, np.uint8)
    data = struct.pack(">HBB", 0, 8, array.ndim)
    data += struct.pack(">%dI" % array.ndim, *array.shape) + array.tobytes()
    path = home / name
    path.write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    return str(path)


np.save(home / "x.npy", X)
np.save(home / "y.npy", Y)


@test("status says that the daemon is up")
def _():
    check(daemon.url in tool("status") or "ready" in tool("status"),
          "status says %r" % tool("status"))


@test("a daemon that is not there is exit status 3")
def _():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    done = akin("status", env={"AKIN_URL": "http://127.0.0.1:%d" %
                               sock.getsockname()[1]})
    equal(done.returncode, 3, "exit status (%s)" % done.stderr)


@test("wrong usage is exit status 2, and the nearest command is named")
def _():
    done = akin("ingst", daemon=daemon)
    equal(done.returncode, 2, "exit status")
    check("ingest" in done.stderr, "it says %r" % done.stderr)
    equal(akin("search", daemon=daemon).returncode, 2, "exit status")
    equal(akin("status", "--nope", daemon=daemon).returncode, 2, "exit status")


@test("a problem of the daemon is exit status 5, with its slug")
def _():
    done = akin("collection", "show", "nothing", daemon=daemon)
    equal(done.returncode, 5, "exit status")
    check("[not-found]" in done.stderr, "it says %r" % done.stderr)


@test("a collection is created, and again without a change")
def _():
    for _ in range(2):
        tool("collection", "create", "shoes", "--dim", 16, "--bits", 32,
             "--param", "seed=3", "--param", "kernel_anchors=16")
    body = daemon.get("/v1/collections/shoes").expect(200).json
    equal(body["bits"], 32, "bits")
    equal(body["model"]["params"], {"seed": 3, "kernel_anchors": 16,
                                    **{k: v for k, v in
                                       body["model"]["params"].items()
                                       if k not in ("seed",
                                                    "kernel_anchors")}},
          "params")
    done = akin("collection", "create", "shoes", "--dim", 17, "--bits", 32,
                daemon=daemon)
    equal(done.returncode, 5, "exit status for other settings")


@test("--json is what the API says")
def _():
    shown = as_json("collection", "show", "shoes")
    equal(shown["name"], "shoes", "name")
    lines = tool("collection", "list", "--json").splitlines()
    equal([json.loads(l)["name"] for l in lines], ["shoes"], "names")


@test("ingest sends npy with labels, and again sends nothing")
def _():
    args = ("ingest", "shoes", home / "x.npy", "--labels", home / "y.npy",
            "--batch", 256, "--ack", "visible")
    tool(*args)
    c = Collection(daemon, "shoes")
    equal(c.info()["items"], 3000, "items")
    seq = c.info()["seq"]
    tool(*args)
    equal(c.info()["items"], 3000, "items")
    records = c.info()["seq"] - seq
    # A publish of the warm-up may have come meanwhile; a batch may not.
    check(records <= 1, "%d records came" % records)
    for i in (0, 1234, 2999):
        item = c.item(i, **{"with": "vector"}).expect(200).json
        check((np.array(item["vector"], np.float32) == X[i]).all(), "vector")
        equal(item["labels"], [str(Y[i])], "labels")


@test("ingest reads gzip'd idx, with names for its labels")
def _():
    pictures = np.random.default_rng(6).integers(0, 256, (500, 4, 4))
    x = write_idx("p.gz", pictures)
    y = write_idx("l.gz", np.arange(500) % 3)
    (home / "names").write_text("red\ngreen\ndeep blue\n")
    tool("collection", "create", "small", "--dim", 16, "--bits", 16)
    tool("ingest", "small", x, "--labels", y, "--label-names", home / "names",
         "--ack", "visible")
    c = Collection(daemon, "small")
    equal(c.info()["items"], 500, "items")
    item = c.item(5, **{"with": "vector"}).expect(200).json
    equal(item["labels"], ["deep blue"], "labels")
    check(np.allclose(item["vector"], pixels(pictures[5:6])[0], atol=1e-7),
          "vector")


@test("ingest reads NDJSON from a file and from a pipe")
def _():
    tool("collection", "create", "lines", "--dim", 16, "--bits", 16)
    rows = [json.dumps({"id": i, "vector": X[i].tolist(),
                        "labels": [LABELS[i]]}) for i in range(700)]
    (home / "a.ndjson").write_text("\n".join(rows[:400]) + "\n")
    tool("ingest", "lines", home / "a.ndjson", "--ack", "visible")
    tool("ingest", "lines", "-", "--ack", "visible", "--producer", "pipe-1",
         input="\n".join(rows[400:]))
    equal(Collection(daemon, "lines").info()["items"], 700, "items")


@test("ingest reads a directory of images, its folders are the labels")
def _():
    tool("collection", "create", "pics", "--extractor", "pixels-8x8x1",
         "--bits", 16)
    rng = np.random.default_rng(7)
    for label in ("cats", "dogs"):
        (home / "photos" / label).mkdir(parents=True)
        for i in range(5):
            (home / "photos" / label / ("%d.png" % i)).write_bytes(
                png(rng.integers(0, 256, (8, 8))))
    tool("ingest", "pics", home / "photos", "--ack", "visible")
    found = Collection(daemon, "pics").items()
    equal(sorted(i["labels"][0] for i in found), ["cats"] * 5 + ["dogs"] * 5,
          "labels")


@test("search finds by id, by vector and by image")
def _():
    tool("publish", "shoes")
    c = Collection(daemon, "shoes")
    expected = [i["id"] for i in c.search({"id": 7}, limit=5)["items"]]
    found = as_json("search", "shoes", "--id", 7, "-k", 5)
    equal([i["id"] for i in found["items"]], expected, "ids")
    np.save(home / "q.npy", X[7])
    found = as_json("search", "shoes", "--vector",
                    "@%s" % (home / "q.npy"), "-k", 5)
    equal([i["id"] for i in found["items"]], expected, "ids")
    found = as_json("search", "pics", "--image",
                    home / "photos/cats/3.png", "-k", 1)
    equal(found["items"][0]["distance"], 0, "distance")
    text = tool("search", "shoes", "--id", 7, "-k", 5)
    check(str(expected[-1]) in text, "it says %r" % text)


@test("search heeds label and radius")
def _():
    found = as_json("search", "shoes", "--id", 7, "-k", 50, "--label", "2",
                    "--max-distance", 30)
    for item in found["items"]:
        equal(daemon.get("/v1/collections/shoes/items/%d" %
                         item["id"]).json["labels"], ["2"], "labels")
        check(item["distance"] <= 30, "distance %d" % item["distance"])


@test("encode prints the codes of the daemon")
def _():
    codes = Collection(daemon, "shoes").encode(X)
    np.save(home / "some.npy", X[:20])
    found = as_json("encode", "shoes", "--vector",
                    "@%s" % (home / "some.npy"))
    equal(found["codes"], [c.tobytes().hex() for c in codes[:20]], "codes")


@test("get, label and delete act on one item")
def _():
    equal(as_json("get", "shoes", 11)["id"], 11, "id")
    tool("label", "shoes", 11, "boot")
    c = Collection(daemon, "shoes")
    c.wait_visible(c.stream()["durable_seq"])
    equal(c.item(11).json["labels"], ["boot"], "labels")
    done = akin("delete", "shoes", 11, daemon=daemon)
    equal(done.returncode, 2, "exit status without --yes")
    c.item(11).expect(200)
    tool("delete", "shoes", 11, "--yes")
    c.wait_visible(c.stream()["durable_seq"])
    c.item(11).expect(404)
    done = akin("delete", "shoes", 11, "--yes", daemon=daemon)
    equal(done.returncode, 1, "exit status when it was not there")


@test("publish, models and rollback go forth and back")
def _():
    c = Collection(daemon, "shoes")
    before = c.info()["model_versions"]["published"]
    tool("publish", "shoes")
    versions = [json.loads(l)["version"]
                for l in tool("models", "shoes", "--json").splitlines()]
    check(before + 1 in versions, "versions %s" % versions)
    tool("rollback", "shoes", before)
    equal(c.info()["publish"]["policy"], "manual", "policy")


@test("score measures what the test measures")
def _():
    rng = np.random.default_rng(8)
    centres = rng.integers(0, 256, (4, 8, 8))

    def pictures(n):
        labels = rng.integers(4, size=n)
        noise = rng.integers(-60, 61, (n, 8, 8))
        return np.clip(centres[labels] + noise, 0, 255), labels
    x, y = pictures(2500)
    q, ql = pictures(300)
    tool("collection", "create", "scored", "--dim", 64, "--bits", 16,
         "--param", "kernel_anchors=16")
    tool("ingest", "scored", write_idx("sx.gz", x), "--labels",
         write_idx("sy.gz", y), "--ack", "learned")
    tool("publish", "scored")
    found = as_json("score", "scored", "--images", write_idx("qx.gz", q),
                    "--labels", write_idx("qy.gz", ql), "--number", 300,
                    "--sheet", home / "sheet.png")
    c = Collection(daemon, "scored")
    right = 0
    for at in range(300):
        answer = c.search({"vector": pixels(q[at:at + 1])[0].tolist()},
                          limit=10, **{"with": ["labels"]})
        right += sum(i["labels"] == [str(ql[at])] for i in answer["items"])
    check(abs(found["precision"] - right / 3000) < 1e-6,
          "precision is %r, expected %.4f" % (found, right / 3000))
    arrival = [i["id"] for i in c.items()]
    ids, codes = c.codes()
    place = {id: k for k, id in enumerate(ids)}
    codes = codes[[place[id] for id in arrival]]
    expected = mean_average_precision(c.encode(pixels(q)), ql, codes,
                                      y[arrival])
    check(abs(found["map_ordered"] - expected) < 1e-4,
          "mAP is %r, expected %.4f" % (found, expected))
    equal((home / "sheet.png").read_bytes()[:4], b"\x89PNG", "signature")


@test("methods lists the kinds")
def _():
    for kind in ("hmoh", "lsh"):
        check(kind in tool("methods"), "%s is not there" % kind)


@test("api is any call")
def _():
    equal(json.loads(tool("api", "GET", "/v1/collections/shoes"))["name"],
          "shoes", "name")
    body = json.dumps({"query": {"id": 3}, "limit": 2})
    found = json.loads(tool("api", "POST", "/v1/collections/shoes/search", "-",
                            input=body))
    equal(len(found["items"]), 2, "hits")
    done = akin("api", "GET", "/v1/nothing", daemon=daemon)
    equal(done.returncode, 5, "exit status")
    equal(json.loads(done.stdout)["status"], 404, "status in the body")


@test("completion is valid bash, and knows the commands")
def _():
    script = tool("completion", "bash")
    done = subprocess.run(["bash", "-n"], input=script, text=True,
                          capture_output=True)
    equal(done.returncode, 0, "bash -n (%s)" % done.stderr)
    for command in ("ingest", "collection", "publish"):
        check(command in script, "%s is not there" % command)


@test("a collection is deleted with --yes only")
def _():
    done = akin("collection", "delete", "lines", daemon=daemon)
    equal(done.returncode, 2, "exit status")
    tool("collection", "delete", "lines", "--yes")
    daemon.get("/v1/collections/lines").expect(404)


@test("ingest goes on where it was after a kill -9 of the daemon")
def _():
    tool("collection", "create", "again", "--dim", 16, "--bits", 16,
         "--param", "kernel_anchors=16")
    rows = np.concatenate([X] * 20)
    np.save(home / "big.npy", rows)
    np.save(home / "bigy.npy", np.concatenate([Y] * 20))
    port = daemon.port
    daemon.terminate()
    # The tool knows one address, so that the daemon has to keep it.
    daemon.args += ["--listen", "127.0.0.1:%d" % port]
    daemon.start()
    process = subprocess.Popen(
        [str(AKIN), "ingest", "again", str(home / "big.npy"), "--labels",
         str(home / "bigy.npy"), "--batch", "64", "--ack", "visible"],
        env=dict(os.environ, AKIN_URL=daemon.url, HOME=str(home)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    c = Collection(daemon, "again")
    for more in (1000, 10000):
        wait_until(lambda: c.info()["items"] > more or
                   process.poll() is not None, "it is under way")
        daemon.kill()
        daemon.start()
    out, err = process.communicate(timeout=DEADLINE)
    equal(process.returncode, 0, "exit status (%s)" % err)
    equal(c.info()["items"], 60000, "items")
    equal(len({i["id"] for i in c.items()}), 60000, "different ids")


@test("duplicates: a table of clusters, of pairs, or the result as JSON")
def _():
    c = daemon.collection("twins", bits=64, dim=16, model={"kind": "lsh"})
    x = np.random.default_rng(52).normal(size=(400, 16)).astype(np.float32)
    x[300] = x[301] = x[5]
    x[302] = x[6]
    x[303] = 2 * x[7]
    c.upsert(x, ["even" if i % 2 == 0 else "odd" for i in range(400)],
             ids=np.arange(400), ack="visible")
    done = akin("duplicates", "twins", "-d", "0", daemon=daemon)
    equal(done.returncode, 0, "exit status (%s)" % done.stderr)
    rows = [line.split() for line in done.stdout.splitlines()]
    equal(rows, [["SIZE", "ITEMS"], ["3", "5", "300", "301"],
                 ["2", "6", "302"], ["2", "7", "303"]], "clusters")
    check("3 clusters of 7 items, of 400" in done.stderr and
          "of all pairs compared" in done.stderr, done.stderr)
    rows = [line.split() for line in tool(
        "duplicates", "twins", "--pairs", "--max-distance", "0",
        "--min-similarity", "0.99", "--label", "odd").splitlines()]
    equal([r[:3] for r in rows],
          [["DISTANCE", "ITEMS", "FEATURES"], ["0", "5", "301"],
           ["0", "7", "303"]], "pairs")
    result = as_json("duplicates", "twins", "-d", "0", "--feature-distance",
                     "0.001", "--not-label", "odd", "--limit", "7")
    equal((result["items"], [p["ids"] for p in result["pairs"]]),
          (200, [[6, 302]]), "result")
    done = akin("duplicates", "twins", "-d", "0", "-k", "1", daemon=daemon)
    equal(done.stdout.split(), ["SIZE", "ITEMS", "3", "5", "300", "301"],
          "the largest")
    check("there are more clusters" in done.stderr, done.stderr)
    equal(akin("duplicates", "twins", "--feature-distance", "1",
               "--min-similarity", "1", daemon=daemon).returncode, 2,
          "both is wrong usage")
    equal(akin("duplicates", "twins", "-d", "65", daemon=daemon).returncode,
          5, "a distance beyond the bits is refused")


main()
