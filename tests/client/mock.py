"""A stand-in for akind that answers by script, and TAP for the tests of it.

Only what the tool's tests need: it keeps keys and the numbers of producers as
the daemon does, remembers every request, and can be told to refuse, delay or drop the next
writes.  It listens on a free port of 127.0.0.1.
"""
import gzip
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AKIN = os.path.join(os.environ.get("top_builddir", "."), "client", "akin")


def npy(values, shape, descr="<f4"):
    head = "{'descr': %r, 'fortran_order': False, 'shape': %r, }" % (descr, shape)
    head = head.encode() + b" " * (-(11 + len(head)) % 64) + b"\n"
    code = {"<f4": "f", "<i8": "q", "|u1": "B"}[descr]
    body = struct.pack("<%d%s" % (len(values), code), *values)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def read_npy(data):
    """Shape, descr and values."""
    n = struct.unpack("<H", data[8:10])[0]
    head = eval(data[10:10 + n])
    size, code = {"<f4": (4, "f"), "<i8": (8, "q"), "|u1": (1, "B")}[head["descr"]]
    raw = data[10 + n:]
    return head["shape"], list(struct.unpack("<%d%s" % (len(raw) // size, code), raw))


def idx(rows, axes):
    return struct.pack(">BBBB", 0, 0, 8, len(axes)) + b"".join(
        struct.pack(">I", a) for a in axes) + bytes(rows)


def parts_of(body, content_type):
    """name -> bytes of a multipart body."""
    boundary = b"--" + re.search(r"boundary=(\S+)", content_type).group(1).encode()
    parts = {}
    for part in body.split(boundary)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        parts[re.search(rb'name="([^"]+)"', head).group(1).decode()] = data[:-2]
    return parts


class Mock:
    def __init__(self, collection=None, path=None):
        self.requests = []      # dicts, in order of arrival
        self.script = []        # what becomes of the next writes, see answer()
        self.keys = {}          # key -> (fingerprint, answer)
        self.producers = {}     # name -> [(fingerprint, answer)], of 1, 2, 3 ...
        self.hold = {}          # number -> event that its write waits for
        self.late = {}          # number -> event that its answer waits for
        self.answered = set()   # numbers whose answer waits
        self.ids = []           # ids stored, each as often as it was
        self.seq = 0
        self.flying = 0
        self.most_flying = 0
        self.learned_lag = 0    # looks at the stream until all is learnt
        self.lock = threading.Lock()
        self.gate = threading.Event()   # writes wait for it when cleared
        self.gate.set()
        self.responses = {}     # (method, path) -> (status, headers, body)
        self.collection = {
            "name": "c", "bits": 64, "ids": "integer", "status": "ready", "items": 0,
            "model": {"kind": "hmoh"}, "features": {"dim": 4}, "extractor": None,
            "model_versions": {"published": 3}, "staleness": 0.25,
            "quality": {"served": 0.5, "live": 0.75, "window": 1000}}
        self.collection.update(collection or {})
        mock = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def log_message(self, *args):
                pass

            def serve(self):
                mock.serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

            def address_string(self):
                return "local"

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, address):
                pass

        if path:
            class UnixServer(Server):
                address_family = socket.AF_UNIX

                def server_bind(self):
                    self.socket.bind(path)
                    self.server_name, self.server_port = "unix", 0

                def get_request(self):
                    return self.socket.accept()[0], ("local", 0)
            self.server = UnixServer(path, Handler)
            self.url = "unix:" + path
        else:
            self.server = Server(("127.0.0.1", 0), Handler)
            self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def paths(self, method=None):
        return [r["path"] for r in self.requests if method in (None, r["method"])]

    def writes(self):
        return [r for r in self.requests if r["key"]]

    def serve(self, h):
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        writes = h.command in ("POST", "PUT") and re.search("/(batches|items)", h.path) is not None
        with self.lock:
            self.requests.append({
                "method": h.command, "path": h.path, "body": body,
                "type": h.headers.get("Content-Type", ""), "key": h.headers.get("Idempotency-Key") or h.headers.get("Akin-Producer"),
                "headers": dict(h.headers)})
            self.flying += writes
            self.most_flying = max(self.most_flying, self.flying)
        try:
            if writes:
                self.gate.wait(20)
            number = (h.headers.get("Akin-Producer") or "=").split("=")[1]
            if number in self.hold:
                self.hold.pop(number).wait(20)
            answer = self.answer(h, body)
            if number in self.late:
                self.answered.add(number)
                self.late.pop(number).wait(20)
        finally:
            with self.lock:
                self.flying -= writes
        if answer is None:          # drop the connection without a word
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, data = answer
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
            headers = dict(headers, **{"Content-Type": headers.get("Content-Type", "application/json")})
        h.send_response(status)
        for name, value in headers.items():
            h.send_header(name, value)
        h.send_header("X-Request-Id", "req-%d" % len(self.requests))
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def problem(self, status, slug, title, detail="", errors=None, **headers):
        return (status, dict({"Content-Type": "application/problem+json"}, **headers),
                {"type": "urn:akin:problem:" + slug, "title": title, "status": status,
                 "detail": detail, "request_id": "req-x", "errors": errors or []})

    def answer(self, h, body):
        with self.lock:
            path = h.path.split("?")[0]
            if (h.command, h.path) in self.responses:
                return self.responses[h.command, h.path]
            if (h.command, path) in self.responses:
                return self.responses[h.command, path]
            if h.command == "GET" and path == "/v1/collections":
                return 200, {}, {"items": [self.collection], "next_cursor": None}
            if h.command == "GET" and path == "/v1/collections/c":
                return 200, {}, self.collection
            if h.command == "GET" and path == "/v1/collections/c/stream":
                self.learned_lag -= 1
                learned = self.seq if self.learned_lag < 0 else 0
                return 200, {}, {"durable_seq": self.seq, "learned_seq": learned,
                                 "visible_seq": learned, "state": "ready"}
            producer = re.fullmatch("/v1/collections/c/producers/([A-Za-z0-9._~-]+)", path)
            if h.command == "GET" and producer:
                sent = self.producers.get(producer.group(1), [])
                return 200, {}, {"producer": producer.group(1), "last_seq": len(sent),
                                 "record_seq": sent[-1][1]["seq"] if sent else None}
            if path in ("/v1/collections/c/batches", "/v1/collections/c/items"):
                return self.write(h, body)
            return self.problem(404, "not-found", "Not found", "no such route")

    def write(self, h, body):
        step = self.script.pop(0) if self.script else "accept"
        if isinstance(step, tuple):
            return step
        if step == "drop-before":
            return None
        fingerprint = hashlib.sha256(h.command.encode() + h.path.encode() + body).digest()
        known, replayed = None, {}
        if h.headers.get("Akin-Producer"):
            name, number = re.fullmatch("(.+); seq=([0-9]+)", h.headers["Akin-Producer"]).groups()
            sent = self.producers.setdefault(name, [])
            if int(number) > len(sent) + 1:
                status, headers, problem = self.problem(409, "sequence-gap", "Gap")
                return status, headers, dict(problem, expected=len(sent) + 1)
            known = (sent + [None])[int(number) - 1]
        else:
            known = self.keys.get(h.headers.get("Idempotency-Key"))
        if known:
            if known[0] != fingerprint:
                return self.problem(422, "idempotency-key-reused", "Key reused")
            answer, replayed = known[1], {"Idempotency-Replayed": "true"}
        else:
            ids = self.ids_of(h.headers.get("Content-Type", ""), body)
            self.ids += ids
            self.seq += 1
            answer = {"seq": self.seq, "state": "durable", "accepted": len(ids),
                      "first_id": ids[0] if ids and isinstance(ids[0], int) else None}
            if h.headers.get("Akin-Producer"):
                sent.append((fingerprint, answer))
            else:
                self.keys[h.headers.get("Idempotency-Key")] = (fingerprint, answer)
        if step == "drop-after":
            return None
        return 200, replayed, answer

    def ids_of(self, content_type, body):
        if content_type.startswith("application/json"):
            return [i["id"] for i in json.loads(body)["items"]]
        parts = parts_of(body, content_type)
        if "meta" in parts:
            return [i["id"] for i in json.loads(parts["meta"])["items"]]
        if parts["ids"][:1] == b"[":
            return json.loads(parts["ids"])
        return read_npy(parts["ids"])[1]


class Tests:
    """One test a method whose name begins with a letter; TAP on stdout."""

    def setup(self):
        self.dir = tempfile.TemporaryDirectory(prefix="akin-")
        self.mock = None

    def teardown(self):
        if self.mock:
            self.mock.close()
        self.dir.cleanup()

    def start(self, **args):
        self.mock = Mock(**args)
        return self.mock

    def path(self, name, data=None):
        path = os.path.join(self.dir.name, name)
        if data is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data if isinstance(data, bytes) else data.encode())
        return path

    def environment(self, **env):
        out = {k: v for k, v in os.environ.items()
               if not k.startswith(("AKIN_", "XDG_", "NO_COLOR")) and k.lower() != "http_proxy"}
        out.update(HOME=self.dir.name, LC_ALL="C", TERM="dumb")
        if self.mock:
            out["AKIN_URL"] = self.mock.url
        out.update(env)
        return {k: v for k, v in out.items() if v is not None}

    def akin(self, *args, stdin="", env=None, timeout=60):
        """Exit code, stdout, stderr."""
        p = subprocess.run([AKIN, *args], input=stdin, capture_output=True, text=True,
                           timeout=timeout, env=self.environment(**(env or {})))
        return p.returncode, p.stdout, p.stderr

    def check(self, ok, text=""):
        if not ok:
            raise AssertionError(text)

    def equal(self, got, expected):
        self.check(got == expected, "got %r, expected %r" % (got, expected))

    def has(self, text, *wanted):
        for w in wanted:
            self.check(w in text, "no %r in %r" % (w, text))

    @classmethod
    def main(cls):
        names = [n for n in vars(cls) if not n.startswith("_") and callable(getattr(cls, n))]
        print("1..%d" % len(names))
        failed = 0
        for i, name in enumerate(names, 1):
            test = cls()
            test.setup()
            try:
                getattr(test, name)()
                print("ok %d - %s" % (i, name), flush=True)
            except Exception as e:      # a broken test is a failed one
                failed += 1
                print("not ok %d - %s" % (i, name))
                print("# %s: %s" % (type(e).__name__, str(e).replace("\n", "\n# ")), flush=True)
            finally:
                test.teardown()
        sys.exit(1 if failed else 0)
