#!/usr/bin/python3 -B
"""A folder with pictures that cannot be decoded is ingested without them: they
are said, and all others are there, once, also when tool and daemon are killed
on the way.
"""

from akin_test import *

BATCH, CLASSES, EACH = 5, 4, 60
HMOH = {"kind": "hmoh", "params": {"seed": 3, "kernel_anchors": 20}}
SETTINGS = {"bits": 32, "extractor": "pixels-28x28x1", "model": HMOH}
rng = np.random.default_rng(44)


def picture(label):
    noise = rng.integers(0, 60, (28, 28)) + 40 * label
    return png(noise.astype(np.uint8))


# name -> what is wrong with it, and what is said of it
good = picture(0)
BAD = {"c0/c0-07.png": (good[:len(good) // 2], "image-undecodable"),
       "c1/c1-20.png": (b"no picture at all", "image-undecodable"),
       "c1/c1-21.png": (b"", "image-undecodable"),
       "c2/c2-11.png": (good[:16] + struct.pack(">II", 60000, 60000) +
                        good[24:], "image-")}
# And a whole batch of them, the last one when they come in order.
BAD.update({"c3/c3-%02d.png" % i: (b"\x89PNG\r\n\x1a\n", "image-undecodable")
            for i in range(EACH - BATCH, EACH)})

home = Path(tempfile.mkdtemp(prefix="akin-skips-"))
atexit.register(shutil.rmtree, home, ignore_errors=True)
NAMES = ["c%d/c%d-%02d.png" % (k, k, i) for k in range(CLASSES)
         for i in range(EACH)]
for name in NAMES:
    (home / "in" / name).parent.mkdir(parents=True, exist_ok=True)
    data = picture(int(name[1])) if name not in BAD else BAD[name][0]
    (home / "in" / name).write_bytes(data)
IDS = [i for i, name in enumerate(NAMES) if name not in BAD]
BATCHES = len(NAMES) // BATCH
# The last batch is empty, and that is no record; the publish when the warm-up is
# over is one.
RECORDS = BATCHES - 1 + 1
COMMAND = ["ingest", "pics", home / "in", "--batch", BATCH, "--in-order"]


def run(daemon, *more):
    return akin(*COMMAND, *more, daemon=daemon, env={"HOME": str(home)})


def rows_ever(daemon):
    return daemon.metric('akind_collection_rows{collection="pics"')


def look(daemon):
    """All that there is to compare."""
    c = Collection(daemon, "pics")
    wait_until(lambda: c.stream()["durable_seq"] >= RECORDS, "the last record")
    seq = c.stream()["durable_seq"]
    c.wait_learned(seq)
    c.wait_visible(seq)
    items = c.items()
    model = hashlib.sha256(c.model_bytes(c.publish())).hexdigest()
    ids, codes = c.codes()
    return {"rows": rows_ever(daemon), "ids": [i["id"] for i in items],
            "labels": [i["labels"] for i in items], "model": model,
            "coded": list(ids), "codes": codes.tobytes()}


calm = Daemon().start()
calm.collection("pics", **SETTINGS)


@test("the pictures that cannot be decoded are skipped and said")
def _():
    done = run(calm, "--json")
    equal(done.returncode, 1, "exit status (%s)" % done.stderr)
    for name, (_, code) in BAD.items():
        said = [l for l in done.stderr.splitlines() if name in l]
        equal(len(said), 1, "lines of %s" % name)
        check(": skipped: " in said[0] and "[%s" % code in said[0], said[0])
    got = json.loads(done.stdout)
    equal((got["rows"], got["skipped"], got["batches"], got["complete"]),
          (len(IDS), len(BAD), BATCHES, True), "the report")


@test("all others are there, with their ids and labels")
def _():
    found = look(calm)
    equal(found["ids"], IDS, "ids")
    equal(found["labels"], [["c%d" % (i // EACH)] for i in IDS], "labels")
    equal(found["rows"], len(IDS), "rows ever stored")


@test("a batch of which nothing is left has taken its number")
def _():
    got = json.loads(run(calm, "--json").stdout)
    # The last batch is sent again, to be compared, and it is that one.
    equal((got["batches"], got["skipped"], got["complete"]),
          (1, BATCH, True), "the second time")
    last = calm.get("/v1/collections/pics/producers/" + got["producer"]).json
    equal((last["last_seq"], last["record_seq"]), (BATCHES, None), "its last")
    equal(rows_ever(calm), len(IDS), "rows ever stored")


@test("killed with its daemon and run again it comes to the same")
def _():
    daemon = Daemon().start()
    port = daemon.port
    daemon.stop()
    daemon.args += ["--listen", "127.0.0.1:%d" % port]
    daemon.start()
    c = daemon.collection("pics", **SETTINGS)
    chance = random.Random(7)
    kills = 0
    for moment in sorted(chance.sample(range(1, BATCHES - 8), 5)):
        tool = subprocess.Popen(
            [str(AKIN), *map(str, COMMAND), "--quiet", "--in-flight", "1"],
            env=dict(os.environ, AKIN_URL=daemon.url, HOME=str(home)),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: c.stream()["durable_seq"] >= moment or
                   tool.poll() is not None, "batch %d" % moment)
        kills += tool.poll() is None
        tool.kill()
        tool.wait()
        if moment % 2:
            daemon.kill()
            daemon.start()
    check(kills > 1, "%d were killed" % kills)
    equal(run(daemon).returncode, 1, "exit status of the last")
    one, other = look(daemon), look(calm)
    for what in one:
        check(one[what] == other[what], "%s differ" % what)


@test("with --strict the first of them ends it, and its batch is not stored")
def _():
    daemon = Daemon().start()
    c = daemon.collection("pics", **SETTINGS)
    done = run(daemon, "--strict", "--in-flight", 1)
    equal(done.returncode, 5, "exit status (%s)" % done.stderr)
    check("image-undecodable" in done.stderr and "/meta/items/2/image" in
          done.stderr and "in batch 1" in done.stderr, done.stderr)
    c.wait_visible(c.stream()["durable_seq"])
    equal(c.info()["items"], BATCH, "items")


main()
