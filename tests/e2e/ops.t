#!/usr/bin/python3 -B
"""Running it: configuration, health, metrics, signals, one daemon a directory."""

from akin_test import *

daemon = Daemon().start()
X, Y = clusters(2600, 16, seed=41)
LABELS = ["c%d" % y for y in Y]
HMOH = {"kind": "hmoh", "params": {"seed": 3, "kernel_anchors": 16}}
c = daemon.collection("shoes", model=HMOH)
c.learn(X, LABELS, ack="learned")


def akind(*args, env=None):
    """Run akind to its end."""
    return subprocess.run([str(AKIND)] + list(args), capture_output=True,
                          text=True, timeout=DEADLINE,
                          env=dict(os.environ, **(env or {})))


@test("the port is printed and written to akind.port")
def _():
    text = Path(daemon.directory, "akind.port").read_text()
    equal(text, "%d\n" % daemon.port, "akind.port")
    check(str(daemon.port) in daemon.log(), "the port is not in the log")


@test("healthz, readyz and version answer")
def _():
    daemon.get("/healthz").expect(200)
    daemon.get("/readyz").expect(200)
    version = daemon.get("/version").expect(200).json
    check(version.get("version", "").count(".") == 2, "version is %r" % version)


@test("limits are told, and hold")
def _():
    limits = daemon.get("/v1/limits").expect(200).json
    for name, value in (("max_batch_items", 4096), ("max_search_batch", 1024),
                        ("max_labels_per_item", 64), ("max_limit", 1000),
                        ("max_payload_bytes", 16384),
                        ("max_body_bytes", 32 << 20)):
        equal(limits.get(name), value, name)


@test("stats have what a page needs in one call")
def _():
    stats = daemon.get("/v1/stats").expect(200).json
    text = json.dumps(stats)
    for word in ("collections", "shoes", "items", "seq"):
        check(word in text, "%s is not in %s" % (word, text[:400]))


@test("metrics are in the format of Prometheus, and count")
def _():
    def samples():
        reply = daemon.get("/metrics").expect(200)
        check(reply.headers["content-type"].startswith("text/plain"),
              "content type %s" % reply.headers["content-type"])
        found, types = {}, {}
        for line in reply.body.decode().splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                check(name not in types, "%s has two types" % name)
                types[name] = kind
                check(not name.endswith("_total") or kind == "counter",
                      "%s is a %s" % (name, kind))
            elif not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                check(name not in found, "%s twice" % name)
                found[name] = float(value)
                check(name.startswith("akind_"), "%s" % name)
        return found

    def of(found, *words):
        return sum(v for k, v in found.items() if all(w in k for w in words))
    before = samples()
    for word in ("akind_build_info", "akind_ready", "akind_collection_items",
                 "akind_model_version", "akind_http_requests_total",
                 "akind_ingest_items_total", "akind_learn_samples_total",
                 "akind_stream_seq", "akind_start_time_seconds"):
        check(of(before, word) is not None and
              any(k.startswith(word) for k in before), "%s is missing" % word)
    equal(of(before, "akind_collection_items", "shoes"), 2600.0, "items")
    for _ in range(3):
        c.search({"vector": X[0].tolist()})
    c.learn(X[:10], LABELS[:10], ack="learned")
    after = samples()
    equal(of(after, "akind_http_requests_total", "/search\"") -
          of(before, "akind_http_requests_total", "/search\""), 3.0,
          "searches counted")
    equal(of(after, "akind_learn_samples_total") -
          of(before, "akind_learn_samples_total"), 10.0, "samples counted")
    for name in after:
        check("/shoes/" not in name, "the route is no template: " + name)


@test("a second daemon on the same directory refuses with 75 and says why")
def _():
    done = akind("--data-dir", daemon.directory, "--listen", "127.0.0.1:0")
    equal(done.returncode, 75, "exit status (%s)" % done.stderr)
    check("in use" in done.stderr or "lock" in done.stderr.lower(),
          "it says %r" % done.stderr)
    equal(daemon.get("/healthz").status, 200, "status of the first")
    equal(Path(daemon.directory, "akind.port").read_text(),
          "%d\n" % daemon.port, "akind.port")


@test("an address that is taken is an error that says which")
def _():
    other = os.path.join(daemon.temporary, "other")
    done = akind("--data-dir", other, "--listen",
                 "127.0.0.1:%d" % daemon.port)
    check(done.returncode in (71, 74), "exit status %d" % done.returncode)
    check(str(daemon.port) in done.stderr, "it says %r" % done.stderr)


@test("an address that is not loopback is refused without keys")
def _():
    other = os.path.join(daemon.temporary, "other")
    done = akind("--data-dir", other, "--listen", "0.0.0.0:0")
    equal(done.returncode, 78, "exit status (%s)" % done.stderr)


@test("--help names every setting; --version its version")
def _():
    done = akind("--help")
    equal(done.returncode, 0, "exit status")
    for word in ("--data-dir", "--listen", "--config", "--check-config"):
        check(word in done.stdout, "%s is not in the help" % word)
    done = akind("--version")
    equal(done.returncode, 0, "exit status")
    check("akin" in done.stdout, "it says %r" % done.stdout)


def with_file(text, *args):
    path = os.path.join(daemon.temporary, "test.conf")
    Path(path).write_text(text)
    return akind("--config", path, *args)


@test("--check-config shows effective values and where each is from")
def _():
    done = with_file("# a comment\nqueue_bytes = 64MiB\nlog_level = warn\n",
                     "--log-level", "debug", "--check-config")
    equal(done.returncode, 0, "exit status (%s)" % done.stderr)
    lines = {l.split("=")[0].strip(): l for l in done.stdout.splitlines()
             if "=" in l}
    check("64MiB" in lines["queue_bytes"] and "2" in lines["queue_bytes"],
          "queue_bytes: %r" % lines["queue_bytes"])
    check("debug" in lines["log_level"] and "command line" in
          lines["log_level"], "log_level: %r" % lines["log_level"])
    check("default" in lines["listen"], "listen: %r" % lines["listen"])


for text, words in (("quee_bytes = 1MiB\n", ("queue_bytes", "1")),
                    ("queue_bytes = 1 parsec\n", ("queue_bytes", "parsec")),
                    ("\n\nlisten = nowhere\n", ("listen", "3")),
                    ("max_limit = 0\n", ("max_limit",)),
                    ("log_level\n", ("1",))):
    @test("a bad configuration is 78 and tells its line: %s" %
          text.strip().replace("#", ""))
    def _(text=text, words=words):
        for extra in (("--check-config",), ("--data-dir",
                                            daemon.temporary + "/x")):
            done = with_file(text, *extra)
            equal(done.returncode, 78, "exit status (%s)" % done.stderr)
            for word in words:
                check(word in done.stderr, "%r is not in %r" % (word,
                                                                done.stderr))


@test("an unknown option is 78 and the nearest is named")
def _():
    done = akind("--data-dirr", "x")
    equal(done.returncode, 78, "exit status")
    check("data" in done.stderr, "it says %r" % done.stderr)


@test("the sample configuration is valid")
def _():
    sample = SOURCE / "deploy" / "akind.conf"
    if not sample.exists():
        raise Skip("deploy/akind.conf is not there")
    done = akind("--config", str(sample), "--check-config")
    equal(done.returncode, 0, "exit status (%s)" % done.stderr)


@test("SIGHUP reloads what can be: a limit")
def _():
    other = Daemon(config="max_limit = 50\n").start()
    equal(other.get("/v1/limits").json["max_limit"], 50, "max_limit")
    Path(other.config_path).write_text("max_limit = 60\n")
    other.process.send_signal(signal.SIGHUP)
    wait_until(lambda: other.get("/v1/limits").json["max_limit"] == 60,
               "the limit is 60")
    Path(other.config_path).write_text("max_limitt = 70\n")
    other.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "max_limitt" in other.log(), "the error is in the log")
    equal(other.get("/v1/limits").json["max_limit"], 60, "max_limit")
    other.stop()


@test("SIGTERM finishes the requests that are under way, and exits 0")
def _():
    d = Daemon().start()
    s = d.collection("drained", dim=16, model=HMOH)
    x, y = clusters(4096, 16, seed=42)
    acknowledged, errors, stop = [], [], threading.Event()

    def send(k):
        n = 0
        while not stop.is_set():
            first = (k + 1) * 1000000 + n * 200
            try:
                reply = d.post(s.path + "/batches", npy_batch(
                    x[:200], ["c%d" % v for v in y[:200]],
                    list(range(first, first + 200))), type=MULTIPART)
            except (OSError, http.client.HTTPException):
                return
            if reply.status == 503:
                return
            if reply.status not in (200, 202):
                errors.append(reply)
                return
            acknowledged.append(first)
            n += 1
    threads = [threading.Thread(target=send, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 10 or errors, "a few batches")
    equal(d.terminate(), 0, "exit status")
    stop.set()
    for thread in threads:
        thread.join()
    check(not errors, errors)
    d.start()
    ids = {i["id"] for i in Collection(d, "drained").items()}
    for first in acknowledged:
        check(set(range(first, first + 200)) <= ids,
              "acknowledged items of %d are missing" % first)
    d.stop()


@test("while it drains, readyz is 503 and a second SIGTERM ends it at once")
def _():
    d = Daemon(args=["--drain-delay", "300s"]).start()
    d.process.send_signal(signal.SIGTERM)
    d.expected = False
    wait_until(lambda: d.get("/readyz").status == 503, "readyz is 503")
    d.get("/healthz").expect(200)
    equal(d.terminate(), 0, "exit status")
    d.stop()


@test("SIGINT ends it as SIGTERM does")
def _():
    d = Daemon().start()
    equal(d.terminate(signal.SIGINT), 0, "exit status")
    d.stop()


@test("SIGTERM while it starts is clean")
def _():
    d = Daemon().start()
    for i in range(5):
        equal(d.terminate(), 0, "exit status")
        d.launch()
        time.sleep(0.01 * i)
    equal(d.terminate(), 0, "exit status")
    d.stop()


@test("the listener is up before the collections are loaded")
def _():
    d = Daemon().start()
    s = d.collection("loaded", dim=64, model=HMOH)
    x, _ = clusters(4000, 64, seed=43)
    for i in range(10):
        s.upsert(x, ids=np.arange(i * 4000, (i + 1) * 4000))
    equal(d.terminate(), 0, "exit status")
    d.launch()
    d.get("/healthz").expect(200)
    d.get("/readyz").expect(200, 503)
    reply = d.get(s.path)
    if reply.status == 503:
        reply.problem(503, "starting")
    d.wait_ready()
    equal(s.info()["items"], 40000, "items")
    d.stop()


@test("what a log line holds from outside cannot forge another")
def _():
    daemon.get("/v1/collections/a%0ats=1%20level=error%20msg=forged")
    daemon.get("/v1/collections", headers={"Origin": "http://x\tlevel=error"})
    for line in daemon.log().splitlines():
        check(not line.startswith("ts=1 "), "a forged line: %r" % line)


@test("log lines have time, level, component and message")
def _():
    lines = [l for l in daemon.log().splitlines() if l.startswith("ts=")]
    check(lines, "there are none")
    for line in lines:
        for field in (" level=", " component=", " msg="):
            check(field in line, "%s is not in %r" % (field, line))


@test("a full queue is 429 with Retry-After, and nothing acknowledged is lost")
def _():
    d = Daemon(args=["--collection-queue-bytes", "1MiB",
                     "--max-body-bytes", "1MiB"]).start()
    s = d.collection("full", dim=256)
    x, _ = clusters(700, 256, seed=44)
    refused, taken, errors = [], [], []

    def send(k):
        for n in range(20):
            first = (k * 100 + n) * 1000
            try:
                reply = d.post(s.path + "/batches",
                               npy_batch(x, ids=np.arange(first, first + 700)),
                               type=MULTIPART)
            except Exception as error:
                errors.append(error)
                return
            if reply.status == 429:
                reply.problem(429, "queue-full")
                refused.append(reply.headers.get("retry-after"))
            else:
                reply.expect(200)
                taken.append(first)
    threads = [threading.Thread(target=send, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, errors[:1])
    check(all(r and 1 <= int(r) <= 60 for r in refused),
          "Retry-After: %s" % refused)
    note("%d batches taken, %d refused" % (len(taken), len(refused)))
    s.wait_visible(s.stream()["durable_seq"])
    equal(s.info()["items"], 700 * len(taken), "items")
    # The daemon has records and checkpoints of its own to write.
    for name in ("ingest_queue_oldest_seconds", "stream_lag_seconds"):
        wait_until(lambda: d.metric("akind_%s{" % name) == 0, name + " is 0")
    d.stop()


@test("a restart keeps everything")
def _():
    before = (c.items(), c.codes()[1].tobytes(), c.models(),
              daemon.get("/v1/collections/shoes").json["seq"])
    daemon.restart()
    after = (c.items(), c.codes()[1].tobytes(), c.models(),
             daemon.get("/v1/collections/shoes").json["seq"])
    equal(after == before, True, "it is the same")


@test("the stream says where it stands")
def _():
    stream = c.stream()
    for field in ("durable_seq", "learned_seq", "visible_seq", "pending_rows",
                  "queue", "lag_seconds", "state"):
        check(field in stream, "%s is not in %r" % (field, stream))
    wait_until(lambda: c.stream()["learned_seq"] == stream["durable_seq"],
               "all is learned")


main()
