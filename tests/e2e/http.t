#!/usr/bin/python3 -B
"""Framing: what a hostile or broken client may send before there is a request.
libmicrohttpd answers some of it itself, with HTML; then only the status is
ours to promise."""

import re

from akin_test import *

daemon = Daemon().start()
shoes = daemon.collection("shoes", bits=16, dim=8)

# A request that must not be taken from inside another one's body.
HIDDEN = b"DELETE /v1/collections/shoes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def ask(*lines, body=b"", host=True, method=b"POST", path=None):
    head = [method + b" " + (path or (shoes.path + "/search").encode()) +
            b" HTTP/1.1"]
    if host:
        head.append(b"Host: 127.0.0.1")
    return b"\r\n".join(head + list(lines)) + b"\r\n\r\n" + body


def refused(name, data, *statuses, problem=None):
    """One refusal, nothing after it, and the connection is closed."""
    @test(name)
    def _():
        answers = daemon.raw(data)
        if problem:
            equal(len(answers), 1, "number of answers (%r)" % answers)
            answers[0].problem(statuses[0], problem)
        # libmicrohttpd 0.9.75 sends the head of its own refusals twice.
        found = {int(s) for s in re.findall(rb"HTTP/1\.1 (\d+)",
                                            daemon.raw_bytes)}
        check(found and found <= set(statuses), "answered %r" %
              daemon.raw_bytes[:600])
        check(daemon.raw_closed, "the connection stays open")
        equal(daemon.get(shoes.path).status, 200, "status of the collection")


FRAMING = ("ambiguous-framing", "malformed-request")
refused("two Content-Length are refused, and nothing is smuggled",
        ask(b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN),
            body=HIDDEN), 400, problem=FRAMING)
refused("Content-Length beside Transfer-Encoding is refused",
        ask(b"Content-Length: 5", b"Transfer-Encoding: chunked",
            body=b"0\r\n\r\n" + HIDDEN), 400, problem=FRAMING)
refused("a blank before the colon is refused",
        ask(b"Content-Length : %d" % len(HIDDEN), body=HIDDEN), 400,
        problem=FRAMING)
refused("an unknown Transfer-Encoding is refused",
        ask(b"Transfer-Encoding: xchunked", body=HIDDEN), 400, problem=FRAMING)
refused("two Host are refused",
        ask(b"Host: localhost", method=b"GET"), 400, problem=FRAMING)
refused("a request without a Host is refused",
        ask(method=b"GET", host=False), 400)
refused("a path with a NUL is refused",
        ask(method=b"GET", path=b"/v1/collections/shoes%00x"), 400,
        problem=FRAMING)
refused("a Content-Length of 2^64 - 1 is refused",
        ask(b"Content-Length: 18446744073709551615",
            b"Content-Type: application/json"), 413)
refused("a negative Content-Length is refused",
        ask(b"Content-Length: -5"), 400, 413)
refused("a Content-Length with letters is refused",
        ask(b"Content-Length: 5x"), 400, 413)
refused("a chunk of no number is refused",
        ask(b"Transfer-Encoding: chunked", b"Content-Type: application/json",
            body=b"zz\r\nabc\r\n"), 400)
refused("a chunk size that overflows is refused",
        ask(b"Transfer-Encoding: chunked", b"Content-Type: application/json",
            body=b"fffffffffffffffff\r\n"), 400, 413)
refused("a header of 64 KiB is refused",
        ask(b"X-Long: " + b"x" * 65536, method=b"GET"), 431, 400)
refused("a URL of 64 KiB is refused",
        ask(method=b"GET", path=b"/" + b"x" * 65536), 414, 431, 400)
refused("101 headers are refused",
        ask(*[b"X-%d: y" % i for i in range(120)], method=b"GET"), 431, 400)


@test("a TLS hello on the plain port does not disturb it")
def _():
    daemon.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505) +
               b"\r\n\r\n")
    equal(daemon.get("/healthz").status, 200, "status of /healthz")


@test("the preface of HTTP/2 does not disturb it")
def _():
    daemon.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    equal(daemon.get("/healthz").status, 200, "status of /healthz")


@test("dots and slashes in a path lead nowhere")
def _():
    for path in (b"/v1/../../etc/passwd", b"/v1/collections/%2e%2e/akin",
                 b"/v1//collections", b"/v1/collections/shoes;x=1",
                 b"/v1/collections/%c0%ae%c0%ae", b"/%2fetc%2fpasswd"):
        answers = daemon.raw(ask(method=b"GET", path=path,
                                 *[b"Connection: close"]))
        equal(len(answers), 1, "number of answers to %r" % path)
        check(400 <= answers[0].status < 500, "%r is %r" % (path, answers))
        check(b"root:" not in answers[0].body, "a file was shown")


@test("100 requests at once on one connection have 100 answers in order")
def _():
    one = ask(b"X-Number: 1", method=b"GET", path=b"/healthz")
    last = ask(b"Connection: close", method=b"GET",
               path=shoes.path.encode())
    answers = daemon.raw(one * 99 + last)
    equal([a.status for a in answers], [200] * 100, "statuses")
    equal(answers[-1].json["name"], "shoes", "name in the last answer")


@test("HEAD has the headers of GET and no body")
def _():
    reply = daemon.request("HEAD", "/healthz").expect(200)
    equal(reply.body, b"", "body")


@test("every answer has the headers that api.md promises")
def _():
    for path in ("/healthz", "/v1/collections", "/v1/nothing", shoes.path):
        reply = daemon.get(path)
        for name, value in (("x-content-type-options", "nosniff"),
                            ("cache-control", "no-store")):
            equal(reply.headers.get(name), value, "%s of %s" % (name, path))
        check(reply.headers.get("x-request-id"), "no id in %r" % reply)
    equal(daemon.get(shoes.path).headers.get("akin-model-version"), "0",
          "model version")
    equal(daemon.get(shoes.path).headers.get("akin-seq"), "0", "seq")


@test("requests have different ids")
def _():
    ids = {daemon.get("/healthz").headers["x-request-id"] for _ in range(20)}
    equal(len(ids), 20, "number of ids")


@test("a client that goes away in the middle of a body harms nobody")
def _():
    for part in (b"", b'{"query"', b'{"query":{"code":'):
        with daemon.connect() as sock:
            sock.sendall(ask(b"Content-Length: 500",
                             b"Content-Type: application/json", body=part))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
    equal(daemon.get("/healthz").status, 200, "status of /healthz")


@test("a client that leaves before its answer harms nobody")
def _():
    body = b'{"query":{"code":"0000"}}'
    for _ in range(50):
        with daemon.connect() as sock:
            sock.sendall(ask(b"Content-Length: %d" % len(body),
                             b"Content-Type: application/json", body=body))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
    equal(daemon.get("/healthz").status, 200, "status of /healthz")


@test("300 silent connections leave room for others")
def _():
    silent = [daemon.connect() for _ in range(300)]
    equal(daemon.get("/healthz").status, 200, "status of /healthz")
    for sock in silent:
        sock.close()


@test("Expect: 100-continue is answered before the body")
def _():
    body = b'{"query":{"code":"0000"}}'
    with daemon.connect() as sock:
        sock.sendall(ask(b"Content-Length: %d" % len(body),
                         b"Content-Type: application/json",
                         b"Expect: 100-continue", b"Connection: close"))
        got = sock.recv(4096)
        check(got.startswith(b"HTTP/1.1 100"), "got %r" % got)
        sock.sendall(body)
        got = b""
        while piece := sock.recv(65536):
            got += piece
        equal(whole_answers(got)[0].status, 200, "status")


main()
