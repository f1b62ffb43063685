#!/usr/bin/python3 -B
"""`akin eval` on a small data set: tables, lines, resuming, plots, errors."""

from akin_test import *

home = Path(tempfile.mkdtemp(prefix="akin-eval-"))
atexit.register(shutil.rmtree, home, ignore_errors=True)
ROWS, DIM, CLASSES = 900, 10, 5
SMALL = ["--dataset", "npy", "--queries", "20", "--stream", "400"]
rng = np.random.default_rng(5)
Y = np.arange(ROWS) % CLASSES
X = (rng.normal(size=(CLASSES, DIM)) * 1.5)[Y] + rng.normal(size=(ROWS, DIM))
np.save(home / "features.npy", X.astype(np.float32))
np.save(home / "labels.npy", Y.astype(np.int64))

# Fields that the documentation promises, and what they are.
FIELDS = {"dataset": str, "method": str, "options": dict, "bits": int,
          "seed": int, "map": float, "map_at_1000": float, "p_at_h2": float,
          "p_at_100": float, "train_seconds": float, "model_bytes": int,
          "samples": int, "protocol": str, "queries": str, "variant": str,
          "scaling": str, "map_ordered": float, "p_at": dict, "curve": list,
          "encode_seconds": float, "learner_bytes": int, "n_queries": int,
          "n_database": int, "n_stream": int}


def run(*args, env=None):
    return subprocess.run([str(AKIN), "eval", *map(str, args)],
                          capture_output=True, text=True, timeout=DEADLINE,
                          env=dict(os.environ, LC_ALL="C.UTF-8", **(env or {})),
                          cwd=home)


def ok(*args):
    done = run(*args)
    equal(done.returncode, 0, "exit status of %s (%s)" % (args, done.stderr))
    return done.stdout


def small(*args):
    return ok(*SMALL, "--data", home, "-q", *args)


def refused(text, *args, code=2, env=None):
    done = run(*args, env=env)
    equal(done.returncode, code, "exit status of %s" % (args,))
    check(text in done.stderr, "%s says %r" % (args, done.stderr))
    return done


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


@test("each run is a line of JSON with the fields that are promised")
def _():
    lines = lines_of(small("--json", "--bits", "8,16", "--seeds", 2))
    variants = ["hmoh", "hmoh+", "hmoh++", "fcoh", "sdoh", "hcdh-linear",
                "hcdh-hidden", "hcoh", "lsh", "lsh-centred"]
    equal([(l["variant"], l["bits"], l["seed"]) for l in lines],
          [(v, b, s) for v in variants for b in (8, 16) for s in (0, 1)],
          "the runs")
    for line in lines:
        for name, kind in FIELDS.items():
            check(isinstance(line.get(name), kind),
                  "%s is %r" % (name, line.get(name)))
        equal((line["dataset"], line["protocol"], line["queries"]),
              ("npy", "standard", "test"), "what was run")
        equal((line["n_queries"], line["n_database"], line["n_stream"]),
              (100, 800, 400), "the split")
        for name in ("map", "map_ordered", "p_at_h2", "map_at_1000"):
            check(0 <= line[name] <= 1, "%s is %r" % (name, line[name]))
        equal(line["p_at"]["100"], line["p_at_100"], "P@100")
        if line["variant"] not in ("lsh", "lsh-centred"):
            check(line["map"] > 0.3, "%(variant)s has mAP %(map)g" % line)
            check(line["samples"] >= 400, "samples is %(samples)d" % line)
    plus = [l for l in lines if l["variant"] == "hmoh+"][0]
    equal((plus["method"], plus["options"]["centred_kernel"],
           plus["options"]["pick_codes"]), ("hmoh", 1, 1), "hmoh+")


@test("the same command gives the same numbers, whatever the threads")
def _():
    def numbers(*args):
        return sorted((l["variant"], l["seed"], l["map"], l["map_ordered"],
                       l["p_at_h2"])
                      for l in lines_of(small("--json", "-m", "hmoh,fcoh,lsh",
                                              "-b", 16, *args)))
    equal(numbers("--threads", 3), numbers(), "the numbers")


@test("precision of more items than there are is the share of the class")
def _():
    line = lines_of(small("--json", "-m", "hmoh", "-b", 16, "--seeds", 1))[0]
    check(abs(line["map"] - line["map_ordered"]) < 0.02,
          "%(map)g and %(map_ordered)g differ" % line)
    # 160 of 800.
    check(abs(line["p_at"]["1000"] - 160 / 800) < 1e-6,
          "P@1000 is %r" % line["p_at"]["1000"])


@test("the table has means and deviations over the seeds")
def _():
    args = ["-m", "hmoh", "-b", 8, "--seeds", 3]
    maps = [l["map"] for l in lines_of(small("--json", *args))]
    table = small(*args)
    check("%.3f ± %.3f" % (np.mean(maps), np.std(maps, ddof=1)) in table,
          "the mean of %r is not in %s" % (maps, table))
    check(table.startswith("npy, standard protocol, test queries\n"),
          "it begins with %r" % table[:60])
    matrix = small(*args, "--metric", "map", "--markdown").splitlines()
    equal(matrix[0], "| method | 8 bits |", "the head")
    equal(matrix[2], "| hmoh | %.3f ± %.3f |" % (np.mean(maps),
                                                np.std(maps, ddof=1)), "row")


@test("a file of lines is resumed: what it has is not run again")
def _():
    path = home / "lines.jsonl"
    args = ["-m", "hmoh,lsh", "-b", "8,16", "--resume", path]
    small(*args, "--seeds", 1)
    first = path.read_text()
    equal(len(first.splitlines()), 4, "lines")
    # Killed in the middle of a line.
    path.write_text(first[:-40])
    small(*args, "--seeds", 2)
    lines = path.read_text().splitlines()
    equal(len(lines), 8, "lines")
    equal(lines[:3], first.splitlines()[:3], "the lines that were there")
    check(all(json.loads(line) for line in lines), "a line is broken")
    before = path.read_bytes()
    out = small(*args, "--seeds", 2, "--json")
    equal(out, "", "what a command with nothing to do prints")
    equal(path.read_bytes(), before, "the file")
    # Another option is another run.
    small(*args, "--seeds", 2, "-o", "hmoh.kernel_anchors=20")
    lines = lines_of(path.read_text())
    equal(len(lines), 12, "lines")
    equal({l["variant"] for l in lines[8:]}, {"hmoh kernel_anchors=20"},
          "variants")
    table = ok("--table", path, "--metric", "map")
    check("hmoh" in table and "16 bits" in table, "the table is %s" % table)


@test("an interrupt ends the run and keeps what was finished")
def _():
    path = home / "cut.jsonl"
    process = subprocess.Popen(
        [str(AKIN), "eval", *SMALL, "--data", str(home), "-m", "hmoh",
         "-b", "8", "--seeds", "1000", "--resume", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: path.exists() and path.read_text().count("\n") > 2,
               "there are lines")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    equal(process.returncode, 130, "exit status (%s)" % err)
    check("hmoh" in out, "no table: %r" % out)
    lines = lines_of(path.read_text())
    check(2 < len(lines) < 1000, "%d lines" % len(lines))


@test("zero-shot queries are of classes that were not learnt")
def _():
    line = lines_of(small("--json", "--protocol", "zero-shot", "-m", "fcoh",
                          "-b", 16, "--seeds", 1))[0]
    # A quarter of five classes is one: 180 rows.
    equal((line["n_queries"], line["n_database"]), (20, 160), "the split")
    equal(line["map"], 1, "mAP among one class")


@test("an incremental stream is measured after each stage")
def _():
    args = ["--protocol", "incremental", "-m", "hmoh,hcdh-hidden", "-b", 16,
            "--seeds", 2]
    for line in lines_of(small("--json", *args)):
        equal([p["classes"] for p in line["curve"]], [2, 4, 5], "classes")
        equal(line["curve"][-1]["rows"], 400, "rows at the end")
        equal(line["curve"][-1]["map"], line["map"], "the last map")
        check(all(0 <= p[k] <= 1 for p in line["curve"]
                  for k in ("map", "map_seen", "map_first")), "%r" % line)
    table = small(*args, "--metric", "map_seen")
    check("2 classes" in table and "5 classes" in table, table)


@test("a validation asks other rows, and a curve has its points")
def _():
    line = lines_of(small("--json", "--validate", "-m", "fcoh", "-b", 16,
                          "--seeds", 1, "--curve", 4))[0]
    equal(line["queries"], "validation", "queries")
    equal((line["n_queries"], line["n_database"]), (100, 300), "the split")
    equal([p["rows"] for p in line["curve"]], [100, 200, 300, 400], "points")
    check(0 < line["auc"] <= 1, "auc is %r" % line.get("auc"))


@test("data sets are read as they are stored")
def _():
    sets = home / "sets"
    rng = np.random.default_rng(6)
    (sets / "mnist").mkdir(parents=True)
    (sets / "cifar10").mkdir()
    means = rng.integers(0, 255, (10, 3072))
    for part, n in (("train", 600), ("t10k", 200)):
        y = np.arange(n) % 10
        x = np.clip(means[y, :49] + rng.normal(0, 40, (n, 49)), 0, 255)
        for kind, array, shape in (("images-idx3", x, (n, 7, 7)),
                                   ("labels-idx1", y, (n,))):
            data = struct.pack(">HBB", 0, 8, len(shape))
            data += struct.pack(">%dI" % len(shape), *shape)
            data += array.astype(np.uint8).tobytes()
            if part == "train":
                data = gzip.compress(data)
            name = "%s-%s-ubyte%s" % (part, kind, ".gz" * (part == "train"))
            (sets / "mnist" / name).write_bytes(data)
    import lzma
    for i, name in enumerate(["data_batch_%d" % k for k in range(1, 6)] +
                             ["test_batch"]):
        y = (np.arange(100) % 10).astype(np.uint8)
        x = np.clip(means[y] + rng.normal(0, 40, (100, 3072)), 0, 255)
        data = np.hstack([y[:, None], x.astype(np.uint8)]).tobytes()
        path = sets / "cifar10" / (name + ".bin")
        if i % 3 == 0:
            path.write_bytes(data)
        elif i % 3 == 1:
            Path(str(path) + ".xz").write_bytes(lzma.compress(data))
        else:
            Path(str(path) + ".gz").write_bytes(gzip.compress(data))
    for name, rows in (("mnist", 800), ("cifar10", 600)):
        done = run("--dataset", name, "--queries", 5, "--stream", 300, "-m",
                   "hcoh", "-b", 16, "--seeds", 1, "--json", "-q",
                   env={"AKIN_DATA": str(sets)})
        equal(done.returncode, 0, "exit status (%s)" % done.stderr)
        line = json.loads(done.stdout)
        equal((line["dataset"], line["rows"]), (name, rows), "what was read")
        check(line["map"] > 0.3, "%s has mAP %g" % (name, line["map"]))
    (sets / "cifar10" / "test_batch.bin.gz").write_bytes(b"\x1f\x8bgarbage")
    refused("test_batch.bin.gz: ", "--dataset", "cifar10", "--data",
            sets / "cifar10")


def cifar(folder):
    """A CIFAR-10 of 600 images that are easy to tell apart."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    means = rng.integers(60, 195, (10, 3, 1, 1))
    for name in ["data_batch_%d" % k for k in range(1, 6)] + ["test_batch"]:
        y = (np.arange(100) % 10).astype(np.uint8)
        x = means[y] + rng.normal(0, 30, (100, 3, 32, 32))
        x = np.clip(x, 0, 255).astype(np.uint8).reshape(100, -1)
        (folder / (name + ".bin")).write_bytes(
            np.hstack([y[:, None], x]).tobytes())
    return folder


def train(*args, cwd=home):
    """`akin extractor train`, its status and what it printed."""
    return subprocess.run([str(AKIN), "extractor", "train", "-q",
                           *map(str, args)], capture_output=True, text=True,
                          timeout=DEADLINE, cwd=cwd)


def trained(*args):
    done = train(*args)
    equal(done.returncode, 0, "exit status of %s (%s)" % (args, done.stderr))


IMAGES = cifar(home / "cifar")
TINY = home / "tiny.akx"
trained("-a", "tiny", "--data", IMAGES, "-e", 1, "--batch", 50, "-o", TINY)


@test("features of a network are learnt from, and kept in a file")
def _():
    cache = home / "tiny.features"
    args = ["--dataset", "cifar10", "--data", IMAGES, "--extractor", TINY,
            "--queries", 5, "--stream", 300, "-m", "hcoh", "-b", 16, "--seeds",
            1, "--json", "-q"]
    line = json.loads(ok(*args))
    equal((line["dataset"], line["rows"]), ("cifar10-tiny", 600), "the set")
    check(line["map"] > 0.3, "mAP is %(map)g" % line)
    first = json.loads(ok(*args, "--features-cache", cache))
    equal((first["crc32"], first["map"]), (line["crc32"], line["map"]),
          "numbers without a cache")
    # 36 bytes, 600 rows of 16 floats, a checksum.
    kept = cache.read_bytes()
    equal(len(kept), 36 + 600 * 16 * 4 + 4, "its length")
    # What it has is taken from it: with other numbers in it, others come.
    other = bytearray(kept)
    other[36:40] = struct.pack("<f", 7.5)
    other[-4:] = struct.pack("<I", zlib.crc32(bytes(other[:-4])))
    cache.write_bytes(other)
    changed = json.loads(ok(*args, "--features-cache", cache))
    check(changed["crc32"] != line["crc32"], "the cache was not read")
    # Damaged, or of another network or images, it is made again.
    for wrong in (kept[:-1] + b"?", kept[:50],
                  kept[:12] + b"\0\0\0\0" + kept[16:]):
        cache.write_bytes(wrong)
        again = json.loads(ok(*args, "--features-cache", cache))
        equal(again["crc32"], line["crc32"], "the features")
        equal(cache.read_bytes(), kept, "the file")
    refused("is no file of features, and is left alone", *args,
            "--features-cache", TINY)


@test("a network of another size sees the images scaled")
def _():
    text = (b"akin-net 1\ninput i 3 64 64\ngap f i\nlinear l f out=2\n"
            b"feature f\noutput l\n")
    # The mean of three channels; values of a linear layer behind it.
    data = (b"AKINNET\n" + struct.pack("<III", 1, 0, len(text)) + text +
            struct.pack("<8f", *range(8)))
    big = home / "big.akx"
    big.write_bytes(data + struct.pack("<I", zlib.crc32(data)))
    cache = home / "big.features"
    ok("--dataset", "cifar10", "--data", IMAGES, "--extractor", big,
       "--features-cache", cache, "--queries", 5, "-m", "lsh", "-b", 16,
       "--seeds", 1, "-q")
    found = np.frombuffer(cache.read_bytes()[36:-4], "<f4").reshape(600, 3)
    records = b"".join((IMAGES / ("data_batch_%d.bin" % k)).read_bytes()
                       for k in range(1, 6))
    records += (IMAGES / "test_batch.bin").read_bytes()
    pixels = np.frombuffer(records, np.uint8).reshape(600, 3073)[:, 1:]
    expected = pixels.reshape(600, 3, -1).mean(axis=2) / 255
    check(np.abs(found - expected).max() < 1e-5,
          "features are off by %g" % np.abs(found - expected).max())


@test("the test images ask the training images")
def _():
    args = ["--dataset", "cifar10", "--data", IMAGES, "--extractor", TINY,
            "--protocol", "train-test", "-b", "16,48", "--seeds", 1, "--json",
            "-q", "-m", "hcdh-network,hcdh-linear", "-o",
            "hcdh-network.batch=50", "-o", "hcdh-network.epochs=3"]
    lines = lines_of(ok(*args))
    equal([(l["variant"].split()[0], l["bits"]) for l in lines],
          [(v, b) for v in ("hcdh-network", "hcdh-linear") for b in (16, 48)],
          "the runs")
    for line in lines:
        for name, kind in FIELDS.items():
            check(isinstance(line.get(name), kind),
                  "%s is %r" % (name, line.get(name)))
        equal((line["protocol"], line["n_queries"], line["n_database"],
               line["n_stream"], line["stream"], line["queries_per_class"]),
              ("train-test", 100, 500, 500, 500, 0), "the split")
    equal((lines[0]["samples"], lines[0]["options"]["code_weight"]),
          (1500, 1), "what was learnt")
    check(lines[0]["map"] > 0.5, "mAP is %(map)g" % lines[0])
    equal([l["map"] for l in lines_of(ok(*args))], [l["map"] for l in lines],
          "the numbers of a second run")
    line = lines_of(ok(*args, "--validate"))[0]
    equal((line["queries"], line["n_queries"], line["n_database"]),
          ("validation", 50, 450), "a validation")


@test("a network and the hash model of its features come of one training")
def _():
    args = ["--from", TINY, "--data", IMAGES, "-e", 6, "--batch", 50, "--hash",
            "hcdh", "--bits", 32]
    whole = [home / "whole.akx", home / "whole.model"]
    trained(*args, "-o", whole[0], "--hash-output", whole[1])
    network, model = (p.read_bytes() for p in whole)
    check(b"linear hash " in network and b"tanh hash_tanh hash" in network,
          "there is no hash layer in %r" % network[:900])
    check(b"crc32 %08x" % zlib.crc32(model) in network,
          "the network's notes do not name its hash model")
    # "AKIN", the kind; one layer of 16 floats to 32 bits.
    equal(model[:20], b"AKIN" + b"hcdh".ljust(16, b"\0"), "its head")
    equal(len(model) - model.index(struct.pack("<II", 1, 32)),
          8 + 17 * 32 * 4, "the length of its layer")
    # Stopped in the middle, the same command comes to the same bytes.
    cut = [home / "cut.akx", home / "cut.model"]
    command = [*args, "-o", cut[0], "--hash-output", cut[1], "--checkpoint",
               home / "cut.ckpt"]
    process = subprocess.Popen(
        [str(AKIN), "extractor", "train", "-q", *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(process.stdout.readline().startswith("epoch 1:"), "no first epoch")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    check(process.returncode in (0, 130), "status %d" % process.returncode)
    if process.returncode == 130:
        check(not cut[0].exists() and not cut[1].exists(), "files are there")
    trained(*command)
    equal([p.read_bytes() for p in cut], [network, model], "both files")
    # And with a hash head it can be trained on to other codes.
    trained("--from", whole[0], "--data", IMAGES, "-e", 1, "--batch", 50,
            "--hash", "hcdh", "--bits", 16, "-o", cut[0], "--hash-output",
            cut[1])
    check(b"linear hash pool out=16" in cut[0].read_bytes(), "no new head")


@test("what does not go together is refused")
def _():
    images = ["--dataset", "cifar10", "--data", IMAGES]
    refused("--features-cache keeps what --extractor makes", *images,
            "--features-cache", home / "x")
    refused("hcdh-network needs --extractor", *images, "-m", "hcdh-network")
    refused("it has no curve", *images, "--extractor", TINY, "-m",
            "hcdh-network", "--curve", 2)
    refused("it has no curve", *images, "--extractor", TINY, "-m",
            "hcdh-network", "--protocol", "incremental")
    refused("hcdh-network.rate is 20, must be 1e-06..10", *images,
            "--extractor", TINY, "-m", "hcdh-network", "-o",
            "hcdh-network.rate=20")
    refused("--extractor is for the images of cifar10", *SMALL, "--data", home,
            "--extractor", TINY)
    refused("npy does not say which rows are for training", "--dataset", "npy",
            "--data", home, "--protocol", "train-test")
    refused("absent.akx: No such file", *images, "--extractor", "absent.akx")
    for extra, text in (
            (["--hash-output", "m"], "--hash-output goes with --hash"),
            (["--hash", "hcdh", "--hash-output", "m", "--bits", 12],
             "bits is 12, must be 8..1024 and a multiple of 8")):
        done = train("--from", TINY, "--data", IMAGES, "-o", home / "no.akx",
                     *extra)
        equal(done.returncode, 2, "exit status of %s" % extra)
        check(text in done.stderr, "%s says %r" % (extra, done.stderr))


@test("plots are drawn by gnuplot, and without it that is said first")
def _():
    path = home / "plots"
    empty = home / "empty"
    empty.mkdir()
    refused("gnuplot is not installed", *SMALL, "--data", home, "--plot", path,
            env={"PATH": str(empty)})
    if shutil.which("gnuplot") is None:
        raise Skip("no gnuplot")
    small("-m", "hmoh,lsh", "-b", "8,16", "--plot", path, "--curve", 2)
    names = sorted(p.name for p in path.iterdir())
    equal(names, ["npy-standard-%s.svg" % m for m in
                  ("curve", "map", "p_at", "p_at_h2", "train_seconds")],
          "the plots")
    for p in path.iterdir():
        text = p.read_text()
        check("<svg" in text and "hmoh" in text and "lsh" in text,
              "%s is %s" % (p, text[:200]))
        check(len(text) < 60000, "%s has %d bytes" % (p, len(text)))


@test("what is wrong is said before anything runs")
def _():
    here = [*SMALL, "--data", home]
    refused("--dataset is needed, one of mnist|fashion|cifar10|npy")
    refused("must be one of mnist|fashion|cifar10|npy", "-d", "nothing")
    refused("--data is needed", "--dataset", "npy")
    refused("unknown method hmho, perhaps hmoh; known are hmoh, hmoh-paper, hmoh+", *here,
            "-m", "hmho")
    refused("--method names lsh twice", *here, "-m", "lsh,lsh")
    refused("--bits has 12, must be 8..1024 and a multiple of 8", *here, "-b",
            "8,12")
    refused("--bits has nothing", *here, "-b", "")
    refused("--bits has 8 twice", *here, "-b", "8,8")
    refused("must be METHOD.NAME=VALUE", *here, "-o", "rate=3")
    refused("fcoh has no option rat", *here, "-o", "fcoh.rat=3")
    refused("x is no number", *here, "-o", "fcoh.rate=x")
    refused("fcoh is not among the methods", *here, "-m", "lsh", "-o",
            "fcoh.rate=3")
    refused("fcoh.rate is 1e+09, must be", *here, "-m", "fcoh", "-o",
            "fcoh.rate=1e9")
    refused("has 180 rows, must be more than its 180 queries", "--dataset",
            "npy", "--data", home, "--queries", 180)
    if not Path("/usr/share/datasets/mnist").exists():
        refused("no folder mnist in $AKIN_DATA (%s)" % home, "-d", "mnist",
                env={"AKIN_DATA": str(home)})
    refused("train-images-idx3-ubyte: No such file", "-d", "mnist", "--data",
            home)
    refused("takes neither --dataset nor --resume", "--table", "x", *here)
    refused("No such file", "--table", "x")


@test("features and labels that cannot be are refused")
def _():
    bad = home / "bad"
    bad.mkdir()
    args = [*SMALL, "--data", bad]
    refused("features.npy: No such file", *args)
    np.save(bad / "features.npy", X.astype(np.float32))
    refused("labels.npy: No such file", *args)
    np.save(bad / "labels.npy", Y[:-1])
    refused("899 labels for 900 rows", *args)
    np.save(bad / "labels.npy", Y - 1)
    refused("labels.npy: row 0 is no integer of 0 or more", *args)
    np.save(bad / "labels.npy", Y)
    wrong = X.astype(np.float32)
    wrong[7, 3] = np.nan
    np.save(bad / "features.npy", wrong)
    refused("row 7 has nan at 3, must be finite", *args)
    np.save(bad / "features.npy", X[:, 0].astype(np.float32))
    refused("rows of features are expected", *args)
    lines = home / "broken.jsonl"
    lines.write_text('{"a": 1}\nnonsense\n')
    refused("broken.jsonl: line 2 is no JSON object", "--table", lines)


@test("the tables of docs/measurements.md are those of its lines")
def _():
    done = subprocess.run([str(SOURCE / "docs/measurements/update"), "--check",
                           str(AKIN)], capture_output=True, text=True,
                          timeout=DEADLINE)
    equal(done.returncode, 0, "exit status (%s)" % (done.stdout + done.stderr))


main()
