#!/usr/bin/python3 -B
"""Connections that bring much or break off, and what each route makes of each
method.  (What is refused as ambiguous is in http.t; who is slow, in slow.t.)"""

import re
import resource

from akin_test import *

daemon = Daemon().start()
X, Y = clusters(1000, 16, seed=61)
LABELS = ["c%d" % y for y in Y]


def fill(d):
    c = d.collection("shoes", bits=64, dim=16, model={"kind": "lsh"})
    c.learn(X, LABELS, ids=list(range(len(X))), ack="visible")
    return c


shoes = fill(daemon)


SEARCH = b'{"query":{"id":1},"limit":3}'


def search_head(length, *lines, path=shoes.path):
    return head("POST", path + "/search", "Content-Type: " + JSON,
                "Content-Length: %d" % length, *lines)


def reset(sock):
    """Break off, as a machine does that fails."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


def serves(d, c):
    """It answers at once, and right."""
    d.get("/healthz", timeout=DEADLINE).expect(200)
    equal(c.search({"id": 1}, limit=1)["items"][0]["id"], 1, "the nearest")


# ---------------------------------------------------------------------- many


@test("without any file to open a request fails, and the next one does not")
def _():
    d = Daemon().start()
    c = fill(d)
    before = c.items()
    there = len(os.listdir("/proc/%d/fd" % d.process.pid))
    _, most = resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE)
    # Fewer than are open: there is none left.
    resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (there - 8, most))
    made = d.put("/v1/collections/late", {"bits": 16, "model": {
        "kind": "lsh"}, "features": {"dim": 8}})
    made.problem(500, "internal")
    c.learn(X[:50], LABELS[:50], ids=list(range(5000, 5050)), ack="visible")
    d.get("/metrics").expect(200)
    d.get("/readyz").expect(200)
    resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (most, most))
    equal(len(c.items()), len(before) + 50, "items")
    d.collection("late", dim=8, model={"kind": "lsh"})
    serves(d, c)
    d.stop()


@test("1,000 requests at once on one connection have 1,000 answers in order")
def _():
    # Every other one is answered by another thread, later.
    out, ids = b"", [i * 7 % len(X) for i in range(999)]
    for i in ids:
        body = b'{"ids":[%d]}' % (i + 1000000)
        out += head("GET", "%s/items/%d" % (shoes.path, i)) if i % 2 else \
            head("POST", shoes.path + "/items/delete", "Content-Length: %d" %
                 len(body), "Content-Type: " + JSON) + body
    out += head("GET", shoes.path, "Connection: close")
    with daemon.connect() as sock:
        sender = threading.Thread(target=sock.sendall, args=(out,))
        sender.start()
        got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        sender.join()
    answers = whole_answers(got)
    equal([a.status for a in answers], [200] * 1000, "statuses")
    for i, a in zip(ids, answers):
        equal(a.json["id" if i % 2 else "missing"], i if i % 2 else 1, "answer")
    equal(answers[-1].json["name"], "shoes", "the last")


# ---------------------------------------------------------------- breaking off


@test("a reset in any state harms nobody, and its work is done or not")
def _():
    body = json.dumps({"items": [{"id": 9000, "vector": X[0].tolist()}]})
    batch = head("POST", shoes.path + "/batches", "Content-Type: " + JSON,
                 "Content-Length: %d" % len(body)) + body.encode()
    line = json.dumps({"vector": X[0].tolist()}).encode() + b"\n"
    stream = head("POST", shoes.path + "/batches?chunk=1",
                  "Content-Type: " + NDJSON, "Content-Length: 100000")
    states = {
        "nothing sent": b"",
        "in a header": b"GET /healthz HTTP/1.1\r\nHo",
        "behind the headers": search_head(500),
        "in a body": search_head(500) + b'{"query":',
        "in a chunk": head("POST", shoes.path + "/search", "Content-Type: " +
                           JSON, "Transfer-Encoding: chunked") + b"10\r\n{",
        "in a stream": stream + line * 3 + line[:20],
        "behind a request": search_head(len(SEARCH)) + SEARCH,
        "behind a write": batch,
        "among many": (search_head(len(SEARCH)) + SEARCH) * 50,
    }
    for what, sent in states.items():
        for wait in (False, True):
            sock = daemon.connect()
            sock.sendall(sent)
            if wait and sent:
                # In the answer, where there is one; else where it is.
                select.select([sock], [], [], 0.01)
            reset(sock)
    serves(daemon, shoes)
    # The batch was sent whole each time: it is there once, or not at all.
    found = [i["id"] for i in shoes.items() if i["id"] == 9000]
    check(len(found) <= 1, "the item is there %d times" % len(found))
    wait_until(lambda: daemon.metric("akind_http_connections{") <= 2,
               "the connections are gone")


@test("a watcher that breaks off leaves its job alone")
def _():
    id = daemon.post("/v1/jobs", {"kind": "verify", "target": "shoes",
                                   "budget": {"bytes_per_second": 1}}).expect(
        202).json["id"]
    for _ in range(10):
        sock = daemon.connect()
        sock.sendall(head("GET", "/v1/jobs/%d/events" % id))
        check(sock.recv(4096).startswith(b"HTTP/1.1 200"), "no stream")
        reset(sock)
    state = daemon.get("/v1/jobs/%d" % id).expect(200).json["state"]
    check(state in ("queued", "running"), "the job is %s" % state)
    daemon.post("/v1/jobs/%d/cancel" % id).expect(202)
    wait_until(lambda: daemon.metric("akind_http_connections{") <= 2,
               "the connections are gone")
    serves(daemon, shoes)


@test("64 watchers that do not read hold up nobody, and one more is refused")
def _():
    id = daemon.post("/v1/jobs", {"kind": "verify", "target": "shoes",
                                   "budget": {"bytes_per_second": 1}}).expect(
        202).json["id"]
    watch = head("GET", "/v1/jobs/%d/events" % id)
    watchers = []
    for _ in range(64):
        sock = daemon.connect()
        sock.sendall(watch)
        watchers.append(sock)
    for sock in watchers:
        select.select([sock], [], [], DEADLINE)
    daemon.get("/v1/jobs/%d/events" % id).problem(429, "rate-limited")
    for _ in range(50):
        serves(daemon, shoes)
    daemon.post("/v1/jobs/%d/cancel" % id).expect(202)
    # Who reads at last has all of it, to its end.
    for sock in watchers:
        sock.settimeout(DEADLINE)
        got = b""
        while b"event: end" not in got:
            piece = sock.recv(65536)
            check(piece, "it ends with %r" % got[-200:])
            got += piece
        sock.close()
    wait_until(lambda: daemon.metric("akind_http_connections{") <= 2,
               "the connections are gone")


@test("who sends no more after a request still has its answer")
def _():
    body = npy_batch(X[:10], LABELS[:10], list(range(8000, 8010)))
    sent = head("POST", shoes.path + "/batches?ack=visible", "Content-Type: " +
                MULTIPART, "Content-Length: %d" % len(body)) + body
    for data, field in ((search_head(len(SEARCH)) + SEARCH, "searched"),
                        (sent, "accepted"), (head("GET", shoes.path), "bits")):
        with daemon.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            check(field in answer(sock).expect(200).json, "no %s" % field)


# ------------------------------------------------------------------- methods

def routes():
    """(method, path) of every row in the tables of routes."""
    found = []
    for file in sorted((SOURCE / "server").glob("routes_*.c")):
        found += re.findall(r'\{"([A-Z]+)",\s*"(/[^"]*)",', file.read_text())
    check(len(found) > 30, "only %d routes were found" % len(found))
    return found


def paths():
    """(path, its methods): each route with names of what there is, and the
    methods of all routes that it could be ("/items/delete" is an item, too)."""
    all = routes()
    for pattern in sorted({pattern for _, pattern in all}):
        path = pattern.replace("{c}", "shoes").replace("{id}", "1")
        path = path.replace("{seq}", "1").replace("{v}", "0")
        yield path, {method for method, other in all
                     if re.fullmatch(re.sub(r"{\w+}", "[^/]+", other), path)}


@test("HEAD of every route is GET without its body")
def _():
    job = daemon.post("/v1/jobs", {"kind": "verify", "target": "shoes"})
    job.expect(202)
    wait_until(lambda: daemon.get("/v1/jobs/1").json["state"] not in
               ("queued", "running"), "the job has ended")
    for path, methods in paths():
        with daemon.connect() as sock:
            sock.sendall(head("HEAD", path) + head("GET", "/healthz",
                                                   "Connection: close"))
            got = b"".join(iter(lambda: sock.recv(65536), b""))
        first, _, rest = got.partition(b"\r\n\r\n")
        status = int(first.split(b" ")[1])
        # Nothing of a body stands before the next answer.
        check(rest.startswith(b"HTTP/1.1 200"), "HEAD %s: %r" % (path,
                                                                 got[:900]))
        if "GET" in methods:
            equal(status, daemon.get(path).status, "status of " + path)
        else:
            equal(status, 405, "status of " + path)
            allow = re.search(rb"Allow: (.*)\r\n", first + b"\r\n").group(1)
            equal(set(allow.decode().split(", ")), methods, "Allow of " + path)


@test("unknown methods are refused on every route, with those that there are")
def _():
    before = shoes.items()
    for path, methods in paths():
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for method in ("TRACE", "OPTIONS", "FOO", "get", "LINK"):
            reply = daemon.request(method, path)
            reply.problem(405, "method-not-allowed")
            equal(set(reply.headers["allow"].split(", ")), allowed,
                  "Allow of " + path)
    # libmicrohttpd gives the target of CONNECT to nobody.
    daemon.raw(b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    check(b"HTTP/1.1 400" in daemon.raw_bytes or daemon.raw_bytes == b"",
          "CONNECT: %r" % daemon.raw_bytes[:300])
    equal(shoes.items(), before, "the items")


@test("unknown paths, methods and names add nothing to what is measured")
def _():
    def names():
        text = daemon.get("/metrics").expect(200).body.decode()
        return {line.rsplit(" ", 1)[0] for line in text.splitlines()}
    for _ in range(2):  # the first time may bring what there was not yet
        before = names()
        for i in range(200):
            daemon.request("M%d" % i, "/v1/collections/n%d" % i)
            daemon.get("/n%d?x%d=1" % (i, i))
            daemon.get("%s/items/%d" % (shoes.path, 10 ** 6 + i))
            daemon.get("/healthz", headers={"User-Agent": "a%d" % i})
    equal(names() - before, set(), "new series")


main()
