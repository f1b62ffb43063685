#!/usr/bin/python3 -B
"""Bodies at the edge of what is taken: strange but right ones are stored as
they are, and enormous ones cost little.  (What is plainly wrong is in
errors.t.)"""

import resource

from akin_test import *

daemon = Daemon().start()
X, Y = clusters(64, 8, seed=71)
LABELS = ["c%d" % y for y in Y]
# Without a warm-up, so that nothing changes by itself.
LSH = {"kind": "lsh"}
shoes = daemon.collection("shoes", bits=16, dim=8, model=LSH)
shoes.learn(X, LABELS, ids=list(range(100, 164)), ack="visible")
V = [0.5] * 8
MANY = 300000 if SLOW == 1 else 100000


def memory():
    """Resident bytes of the daemon."""
    return daemon.metric("akind_process_resident_memory_bytes")


def send(body, type=JSON, path="/batches", **rest):
    return daemon.post(shoes.path + path, body, type=type, **rest)


def refused(name, status, slug, *bodies, **rest):
    @test(name)
    def _():
        before = shoes.info()["seq"]
        for body in bodies:
            send(body() if callable(body) else body, **rest).problem(status,
                                                                     slug)
        daemon.get("/healthz").expect(200)
        equal(shoes.info()["seq"], before, "seq")


# ---------------------------------------------------------------------- JSON


@test("an empty body is refused by every route that reads one")
def _():
    before = shoes.info()
    for method, path in (("POST", "/batches"), ("PUT", "/items"),
                         ("POST", "/items/delete"), ("POST", "/search"),
                         ("POST", "/search/batch"), ("POST", "/encode"),
                         ("PATCH", "/items/100"), ("PATCH", "")):
        for body in (b"", b" \n"):
            reply = daemon.request(method, shoes.path + path, body, type=JSON)
            reply.problem(400, "malformed-json")
    for method, path in (("PUT", "/v1/collections/new"), ("POST", "/v1/jobs")):
        daemon.request(method, path, b"", type=JSON).problem(400,
                                                             "malformed-json")
    equal(shoes.info(), before, "the collection")


refused("a number of 10 MB is read and is beyond a float", 422,
        "non-finite-value", lambda: b'{"items":[{"id":1,"vector":[' +
        b"9" * 10000000 + b",0,0,0,0,0,0,0]}]}")
refused("an integer of 1 MB is no id", 422, "validation-failed",
        lambda: b'{"items":[{"id":' + b"9" * 1000000 + b',"vector":[]}]}')
refused("a byte order mark is malformed-json", 400, "malformed-json",
        b"\xef\xbb\xbf" + json.dumps({"items": [{"vector": V}]}).encode())
refused("a million brackets are json-too-deep at once", 400, "json-too-deep",
        lambda: b"[" * 1000000, lambda: b'{"a":' * 200000,
        lambda: b'{"items":' + b"[" * 1000000 + b"]" * 1000000 + b"}")


@test("very many keys do not keep others from being served")
def _():
    # Their hash has a seed of its own, so that nobody can make them fall into
    # one place; and the threads that serve all read no more than 65,536 values.
    keys = b'{"payload":{%s}}' % b",".join(b'"k%d":1' % i
                                           for i in range(MANY))
    item = b'{"items":[{"id":1,"vector":[1,1,1,1,1,1,1,1],%s]}' % keys[1:]
    before = shoes.info()["seq"]
    for method, path, body, slug in (
            ("PATCH", "/items/100", keys, "body-too-large"),
            ("POST", "/items/delete", keys, "body-too-large"),
            ("PATCH", "", keys, "body-too-large"),
            ("POST", "/search", keys, "unknown-field"),
            ("POST", "/batches", item, "validation-failed")):
        reply = daemon.request(method, shoes.path + path, body, type=JSON)
        reply.problem(413 if slug == "body-too-large" else 422, slug)
    equal(shoes.info()["seq"], before, "seq")


@test("the numbers at the ends of a float are stored as they are")
def _():
    tiny, most = 2.0 ** -149, 3.4028234663852886e38
    rows = [[0.0] * 8, [-0.0] * 8, [tiny] * 8, [-tiny, 1e-40, 1e-38, 1, 2, 3,
                                                4, 5], [1e-400, -1e-400] * 4]
    texts = ["[%s]" % ",".join(repr(v) for v in row) for row in rows]
    texts[4] = "[1e-400,-1e-400,1E-99999,0e5,-0,0.0,-0.0e+7,1e-50]"
    send(('{"items":[%s]}' % ",".join(
        '{"id":%d,"vector":%s}' % (200 + i, t) for i, t in enumerate(texts))
    ).encode(), ack="visible").expect(200)
    for i, row in enumerate(rows[:4]):
        found = shoes.item(200 + i, **{"with": "vector"}).json["vector"]
        equal(np.float32(found).tobytes(), np.float32(row).tobytes(),
              "vector %d" % i)
        hit = shoes.search({"id": 200 + i}, limit=1000)["items"]
        equal([h["distance"] for h in hit if h["id"] == 200 + i], [0],
              "distance of %d to itself" % i)
    # The largest float is finite, but no product of it is: it may be stored
    # or refused, and what is stored is found.
    reply = send(json.dumps({"items": [{"id": 210, "vector": [most] * 8}]}
                            ).encode(), ack="visible")
    if reply.status == 200:
        found = shoes.search({"id": 210}, limit=1000)["items"]
        equal([h["distance"] for h in found if h["id"] == 210], [0],
              "distance to itself")
    else:
        reply.problem(422, ("validation-failed", "non-finite-value"))


@test("ids at the ends of their range are ids")
def _():
    c = daemon.collection("ends", bits=16, dim=8, model=LSH)
    for id in (0, 2 ** 63 - 1, 2 ** 53 + 1):
        c.batch({"items": [{"id": id, "vector": V}]}, ack="visible")
        equal(c.item(id).expect(200).json["id"], id, "id")
        hits = c.search({"id": id})["items"]
        check(id in [h["id"] for h in hits], "%d is not found" % id)
    # Behind the last there is none to be assigned.
    daemon.post(c.path + "/batches", {"items": [{"vector": V}]}).problem(
        422, "validation-failed")
    for id in (0, 2 ** 63 - 1, 2 ** 53 + 1):
        daemon.delete("%s/items/%d" % (c.path, id)).expect(204)
    for text in ("-0", "00", "1.0", "1e0", "0x1", "9223372036854775808", "+1",
                 "%20", "1%20", "٣"):
        reply = daemon.get("%s/items/%s" % (c.path, quote(text, safe="%")))
        reply.problem(422, "validation-failed")


# --------------------------------------------------------------------- NDJSON


def stream_until_answered(head, pieces):
    """Send an NDJSON stream until an answer is there: it and the bytes that
    were sent till then."""
    sent = 0
    with daemon.connect() as sock:
        sock.sendall(("POST %s/batches?chunk=1 HTTP/1.1\r\nHost: localhost\r\n"
                      "Content-Type: %s\r\n%s\r\n\r\n" % (
                          shoes.path, NDJSON, head)).encode())
        for piece in pieces:
            if select.select([sock], [], [], 0)[0]:
                break
            sock.sendall(piece)
            sent += len(piece)
        got = b""
        while b"urn:akin:problem" not in got:
            piece = sock.recv(65536)
            check(piece, "it ends with %r" % got[-300:])
            got += piece
    return got, sent


@test("a bad third line of a million ends the stream at once")
def _():
    good = json.dumps({"vector": V}).encode() + b"\n"
    n = 1000000
    got, sent = stream_until_answered(
        "Content-Length: %d" % (n * len(good)),
        [good * 2 + b'{"vector":[1]}\n'] + [good * 1000] * (n // 1000))
    check(sent < n * len(good) / 2, "%d bytes were taken" % sent)
    check(b"dim-mismatch" in got and b"/3/vector" in got, "it got %r" % got)
    daemon.get("/healthz").expect(200)


@test("an endless line is given up at its limit")
def _():
    before, limit = memory(), 1000 * 65536
    piece = b"10000\r\n" + b" " * 65535 + b"x" + b"\r\n"
    got, sent = stream_until_answered("Transfer-Encoding: chunked",
                                      [piece] * 1000)
    check(sent < limit / 2, "%d bytes were taken" % sent)
    check(b"at most 1048576 are taken" in got, "it got %r" % got)
    grown = memory() - before
    check(grown < SLOW * 16e6, "resident memory grew by %d bytes" % grown)


# --------------------------------------------------------------------- memory


@test("where memory has a limit a large body is refused, and the next is not")
def _():
    if SANITIZER:
        raise Skip("a sanitizer needs the memory")
    d = Daemon(args=["--max-body-bytes", "256MiB"]).start()
    c = d.collection("small", bits=16, dim=8, model=LSH)
    c.learn(X, LABELS, ids=list(range(64)), ack="visible")
    status = Path("/proc/%d/status" % d.process.pid).read_text()
    now = 1024 * int(status.split("VmSize:")[1].split()[0])
    _, most = resource.prlimit(d.process.pid, resource.RLIMIT_AS)
    resource.prlimit(d.process.pid, resource.RLIMIT_AS, (now + (8 << 20), most))
    # More than is left, and than a thread has put by.
    large = json.dumps({"items": [{"id": 1, "vector": V}]}).encode() + \
        b" " * (100 << 20)
    for _ in range(5):
        try:
            d.post(c.path + "/batches", large, type=JSON).problem(
                500, "internal")
        except (OSError, http.client.HTTPException):
            # It has answered before all was sent.
            d.forget_connection()
        equal(c.search({"id": 1}, limit=1)["items"][0]["distance"], 0, "found")
        equal(c.info()["seq"], 1, "seq")
    resource.prlimit(d.process.pid, resource.RLIMIT_AS, (most, most))
    d.post(c.path + "/batches", large, type=JSON).expect(200)
    equal(len(c.items()), 64, "items")
    d.stop()


# ------------------------------------------------------------------ multipart


@test("parts within parts, and names that climb, are parts like any other")
def _():
    inner = multipart([("vectors", npy(X[:2]), NPY)], "inner")
    send(multipart([("vectors", inner, "multipart/mixed; boundary=inner"),
                    ("labels", '["a","b"]', JSON)]), MULTIPART).problem(
        400, "malformed-request")
    for name in ("../../etc/passwd", "vectors\\\"; name=\\\"x", "a/b", "%2e"):
        send(multipart([("vectors", npy(X[:2]), NPY), (name, b"x")]),
             MULTIPART).problem(422, "unknown-field")
    body = multipart([("vectors", npy(X[:2]), NPY, "../../../../tmp/akin-x"),
                      ("labels", '["a","b"]', JSON, "/etc/passwd"),
                      ("ids", "[300,301]", JSON, "")])
    send(body, MULTIPART, ack="visible").expect(200)
    check(not os.path.exists("/tmp/akin-x"), "a file was written")
    equal(shoes.item(301).json["labels"], ["b"], "labels")


refused("a boundary with a NUL or a line end is malformed-request", 400,
        "malformed-request", multipart([("vectors", npy(X[:2]), NPY)]),
        type='multipart/form-data; boundary="a\tb"')


# --------------------------------------------------------- codings and types


@test("a compressed body is refused before it is read, whatever is in it")
def _():
    bomb = gzip.compress(bytes(50000000))
    before = memory()
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"):
        for type in (JSON, NPY, NDJSON, MULTIPART, "image/png"):
            reply = send(bomb, type, headers={"Content-Encoding": coding})
            reply.problem(415, "unsupported-media-type")
            equal(reply.headers.get("accept-encoding"), "identity", "what is")
    grown = memory() - before
    check(grown < SLOW * 16e6, "resident memory grew by %d bytes" % grown)
    send({"query": {"id": 100}}, path="/search",
         headers={"Content-Encoding": "Identity"}).expect(200)


@test("nonsense in Accept and the like changes no answer")
def _():
    expected = shoes.search({"id": 100})
    expected.pop("searched")
    for value in ("text/html", "application/json;q=0", "*/*;q=x", ",,,;;;",
                  "application/x-npy", "x" * 2000, "\xff\xfe"):
        for name in ("Accept", "Accept-Encoding", "Accept-Language",
                     "Accept-Charset", "If-None-Match", "Range", "Cookie"):
            reply = send({"query": {"id": 100}}, path="/search",
                         headers={name: value.encode("latin-1")}).expect(200)
            found = reply.json
            found.pop("searched")
            equal(found, expected, "hits with %s: %s" % (name, value[:30]))
            check("content-encoding" not in reply.headers, "it is compressed")


for kind in ("application/json; charset=utf-16", "Application/JSON",
             " application/json ;x=y", "application/json;"):
    @test("a body as \"%s\" is JSON" % kind)
    def _(kind=kind):
        send(json.dumps({"query": {"id": 100}}).encode(), kind,
             path="/search").expect(200)

refused("types that only look like JSON are unsupported-media-type", 415,
        "unsupported-media-type", b"{}", type="application/json, text/html")
refused("a type that is no type is unsupported-media-type", 415,
        "unsupported-media-type", b"{}", type="application//json")
refused("a type of 10,000 characters is unsupported-media-type", 415,
        "unsupported-media-type", b"{}", type="a" * 5000 + "/" + "b" * 5000)


# ----------------------------------------------------------- text from outside

NASTY = ["'; DROP TABLE rows; --", "\" OR 1=1 --", "Robert'); DELETE FROM x;",
         "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
         "{{7*7}}${7*7}", "javascript:alert(1)", "</title><svg/onload=1>",
         "%s%n%x%d", "../../../../etc/passwd", "\u202e\u2066abc", "\ufeff\ufffe",
         "\u2028\u2029", "a\\u0000b", "😀\U0010ffff", "' UNION SELECT * FROM keys",
         "$(reboot)`reboot`", "=cmd|' /C calc'!A0"]


@test("text that means something elsewhere comes back byte for byte")
def _():
    c = daemon.collection("texts", bits=16, dim=8, ids="string", model=LSH,
                          labels={"mode": "multi", "max": 64},
                          description="".join(NASTY))
    rows = [{"id": text, "vector": X[i].tolist(), "labels": [text],
             "payload": {text: [text, {"a": text}]}}
            for i, text in enumerate(NASTY)]
    c.batch({"items": rows}, ack="visible")
    for _ in range(2):
        equal(c.info()["description"], "".join(NASTY), "description")
        for row in rows:
            found = c.item(row["id"], **{"with": "vector"}).expect(200).json
            for field in ("id", "labels", "payload"):
                equal(found[field], row[field], field)
            hits = c.search({"id": row["id"]}, limit=100, filter={"must": [
                {"label": row["labels"][0]}, {"ids": [row["id"]]}]},
                **{"with": ["labels", "payload"]})["items"]
            equal([(h["id"], h["labels"], h["payload"]) for h in hits],
                  [(row["id"], row["labels"], row["payload"])], "hits")
            listed = c.items(label=row["labels"][0])
            equal([i["id"] for i in listed], [row["id"]], "of the label")
        daemon.restart()


@test("an error quotes nothing that a page would run")
def _():
    for text in NASTY:
        for reply in (
                daemon.get("/v1/" + quote(text, safe="")),
                daemon.get(shoes.path + "/items", **{text: "1"}),
                daemon.get("/v1/collections/" + quote(text, safe="")),
                send({"items": [{"id": 1, "vector": V, text: 1}]}),
                send({text: 1}), send({"items": []}, ack=text),
                send(b"{}", type="text/html"),
                send({"items": [{"vector": V}]},
                     headers={"Idempotency-Key": quote(text)})):
            check(400 <= reply.status < 500 or reply.status == 200,
                  "%r" % reply)
            check(reply.headers["content-type"].startswith("application/"),
                  "a page could run %r" % reply)
            equal(reply.headers["x-content-type-options"], "nosniff", "sniff")
            reply.json


main()
