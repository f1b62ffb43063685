#!/usr/bin/python3 -B
"""No room, in memory, in the queue or on the disk: who writes is told before
the body is read, who reads or deletes goes on, and memory stays flat."""

from akin_test import *

DIM = 64
X, Y = clusters(2000, DIM, seed=51)
NAMES = ["c%d" % y for y in Y]
PEBIBYTE = "1048576GiB"
CONFIG = "disk_low_bytes = %s\nmax_body_memory = 8MiB\n"


def room_on_disk(d, low):
    """Set the mark as an operator does; wait until the daemon has looked."""
    Path(d.config_path).write_text(CONFIG % low)
    d.process.send_signal(signal.SIGHUP)
    wanted = "disk-low" if low == PEBIBYTE else "ok"
    wait_until(lambda: d.get("/readyz").json["checks"]["storage"] == wanted,
               "storage is %s" % wanted)


def metric(d, name):
    for line in d.get("/metrics").body.decode().splitlines():
        if line.startswith("akind_%s " % name):
            return float(line.split()[1])
    fail("there is no metric %s" % name)


daemon = Daemon(config=CONFIG % "0").start()
c = daemon.collection("room", dim=DIM)
c.learn(X[:1000], NAMES[:1000], ids=list(range(1000)), ack="visible")
# It takes longer than all that follows: the records are 256 kB.
slow_job = daemon.post("/v1/jobs", {
    "kind": "verify", "target": "room",
    "budget": {"bytes_per_second": 100}}).expect(202).json["id"]


@test("with little room on the disk, writes are 507 before the body is read")
def _():
    room_on_disk(daemon, PEBIBYTE)
    for method, path, body in (
            ("POST", c.path + "/batches", {"items": []}),
            ("PUT", c.path + "/items", {"items": []}),
            ("PATCH", c.path + "/items/1", {"labels": ["x"]}),
            ("POST", c.path + "/models/publish", None),
            ("PATCH", c.path, {"description": "x"}),
            ("PUT", "/v1/collections/other", {"bits": 8}),
            ("POST", "/v1/jobs", {"kind": "verify", "target": "room"})):
        reply = daemon.request(method, path, body)
        problem = reply.problem(507, "disk-full")
        check("disk_low_bytes" in problem["detail"], problem["detail"])
        check(int(reply.headers["retry-after"]) >= 1, "Retry-After")
    # Of a batch of 32 MiB not a byte is sent.
    (answer,) = daemon.raw(b"POST %s/batches HTTP/1.1\r\nHost: localhost\r\n"
                        b"Content-Type: application/json\r\n"
                        b"Content-Length: 33554432\r\n\r\n" % c.path.encode())
    answer.problem(507, "disk-full")
    equal(metric(daemon, "disk_low"), 1, "disk_low")


@test("reads, deletes, cancels and health go on")
def _():
    daemon.get("/healthz").expect(200)
    daemon.get("/readyz").expect(200)
    equal(c.search({"id": 5})["items"][0]["distance"], 0, "distance")
    daemon.delete(c.path + "/items/0").expect(204)
    deleted = daemon.post(c.path + "/items/delete",
                          {"ids": [1, 2, 3]}).expect(200).json
    equal(deleted["deleted"], 3, "deleted")
    c.wait_visible(deleted["seq"])
    equal(c.info()["items"], 996, "items")
    job = "/v1/jobs/%s" % slow_job
    equal(daemon.get(job).json["state"], "running", "state of the job")
    daemon.post(job + "/cancel").expect(202)
    wait_until(lambda: daemon.get(job).json["state"] == "canceled",
               "the job is canceled")


@test("a stream that is under way ends with disk-full in its line")
def _():
    room_on_disk(daemon, "0")
    lines = [json.dumps({"id": 5000 + i, "vector": X[i].tolist()}).encode() +
             b"\n" for i in range(40)]
    link = daemon.connect()
    link.sendall(b"POST %s/batches?chunk=20 HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n"
                 b"\r\n" % (c.path.encode(), sum(len(l) for l in lines)))
    before = c.stream()["durable_seq"]
    link.sendall(b"".join(lines[:20]))
    wait_until(lambda: c.stream()["durable_seq"] > before, "the first chunk")
    room_on_disk(daemon, PEBIBYTE)
    link.sendall(b"".join(lines[20:]))
    answer = b""
    while True:
        more = link.recv(65536)
        if not more:
            break
        answer += more
        if answer.count(b"\n{") >= 1 and answer.endswith(b"}\n"):
            break
    link.close()
    body = answer.split(b"\r\n\r\n", 1)[1].decode().splitlines()
    equal(json.loads(body[0])["accepted"], 20, "accepted")
    error = json.loads(body[-1])["error"]
    equal(error["type"], "urn:akin:problem:disk-full", "type")


@test("when there is room again nothing remembers")
def _():
    room_on_disk(daemon, "0")
    before = c.info()["items"]
    c.learn(X[1000:1100], NAMES[1000:1100], ids=list(range(1000, 1100)),
            ack="visible")
    equal(c.info()["items"], before + 100, "items")
    equal(metric(daemon, "disk_low"), 0, "disk_low")


@test("a stream has no more memory than bodies have, and memory stays flat")
def _():
    if SANITIZER:
        raise Skip("the memory of a %s build is its own" % SANITIZER)
    line = json.dumps({"vector": [0.123456789] * DIM}).encode() + b"\n"
    chunk = line * 4096
    most, rss = 0, 0

    def body():
        nonlocal most, rss
        for i in range(24):     # 79 MiB, of which 3.3 MiB are a chunk
            yield chunk
            most = max(most, metric(daemon, "http_body_memory_bytes"))
            if i == 7:
                rss = metric(daemon, "process_resident_memory_bytes")
    reply = http.client.HTTPConnection("127.0.0.1", daemon.port,
                                       timeout=DEADLINE)
    reply.request("POST", c.path + "/batches?chunk=4096", body=body(),
                  headers={"Content-Type": "application/x-ndjson"},
                  encode_chunked=True)
    answer = reply.getresponse()
    equal(answer.status, 200, "status")
    results = [json.loads(l) for l in answer.read().splitlines()]
    equal(sum(r["accepted"] for r in results), 24 * 4096, "accepted")
    check(0 < most <= 8 << 20, "%d bytes of bodies" % most)
    c.wait_visible(results[-1]["seq"])
    grown = metric(daemon, "process_resident_memory_bytes") - rss
    note("%d MiB were streamed; over the last two thirds memory grew by %.1f "
         "MiB" % (len(chunk) * 24 >> 20, grown / (1 << 20)))
    check(grown < 24 << 20, "memory grew by %d bytes" % grown)
    equal(metric(daemon, "http_body_memory_bytes"), 0, "memory of bodies")


@test("a chunk that the memory of all bodies has no room for is queue-full")
def _():
    line = b'{"vector": [' + b" " * 900000 + b"]}\n"
    daemon.post(c.path + "/batches", 11 * line,
                type="application/x-ndjson").problem(429, "queue-full")


@test("answers that are not read have a bound, and small ones go on")
def _():
    bound = 1 << 20
    d = Daemon(args=["--max-answer-memory", "1MiB"]).start()
    many = d.collection("many", dim=DIM)
    many.learn(X, ["a"] * len(X), ack="visible")
    whole = many.path + "/items?limit=1000&with=vector"
    size = len(d.get(whole).expect(200).body)
    check(bound / 2 < size < bound, "%d bytes an answer" % size)

    def held():
        return d.metric("memory_bytes", 'part="answers"')
    wait_until(lambda: held() == 0, "the first is done")
    with socket.socket() as sock:
        # What the client's system takes does not grow, then.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", d.port))
        sock.sendall(head("GET", whole))
        wait_until(lambda: held() == size, "an answer waits for its reader")
        reply = d.get(whole)
        reply.problem(429, "queue-full")
        check(1 <= int(reply.headers["retry-after"]) <= 60, "Retry-After")
        equal(len(many.search({"id": 1}, limit=5)["items"]), 5, "hits")
        equal(held(), size, "bytes of answers")
        equal(len(answer(sock).body), size, "bytes of the answer")
    wait_until(lambda: held() == 0, "the answer has been sent")
    d.get(whole).expect(200)
    d.stop()


@test("what clients can make it hold is the sum of its settings")
def _():
    mib = 1 << 20
    d = Daemon(args=["--queue-bytes", "3MiB", "--max-body-memory", "16MiB",
                     "--max-body-bytes", "5MiB", "--max-answer-memory", "7MiB",
                     "--max-file-memory", "11MiB", "--max-connections", "40",
                     "--pool-threads", "3"]).start()
    expected = {"queue": 3 * mib, "bodies": 16 * mib, "deletes": 2 * mib,
                # Two pools, and each body twice.
                "reading": 2 * 3 * 2 * 5 * mib, "answers": 7 * mib,
                "connections": 40 * 98304, "files": 11 * mib}
    memory = d.get("/v1/stats").expect(200).json["memory"]
    equal({k: v["most_bytes"] for k, v in memory["parts"].items()}, expected,
          "the parts")
    equal(memory["most_bytes"], sum(expected.values()), "the sum")
    equal(d.metric("akind_memory_most_bytes{"), memory["most_bytes"],
          "the sum of the metrics")
    for part, most in expected.items():
        used = memory["parts"][part].get("bytes")
        equal(used is None, part == "reading", "%s is not counted" % part)
        check(used is None or used <= most, "%s: %s" % (part, used))
    check(memory["parts"]["connections"]["bytes"] >= 98304, "a connection")
    d.stop()


main()
