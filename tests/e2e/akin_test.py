"""Start a real akind, talk to it over HTTP, and print TAP.

A test file makes a Daemon, names each test as the sentence that it proves, and
runs them in order:

    from akin_test import *

    daemon = Daemon().start()

    @test("a new collection is empty")
    def _():
        ...

    main()

Every daemon listens on a free port of 127.0.0.1, has a temporary data directory
and ends with the test, by its process number.  What it printed comes as
diagnostics when a test fails.  A daemon that ends by itself, with a wrong
status, or with a report of a sanitizer fails the test.

Waiting is for a condition, with a deadline that only a hang can miss; nothing
here depends on how fast the machine is.
"""

import atexit
import base64
import ctypes
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("top_builddir", SOURCE / "build")).resolve()
AKIND = BUILD / "server" / "akind"
AKIN = BUILD / "client" / "akin"


def _sanitizer():
    """Which sanitizer the daemon was built with, or None."""
    try:
        program = AKIND.read_bytes()
    except OSError:
        return None
    for name in ("thread", "address"):
        if b"__%csan_init" % name[0].encode() in program:
            return name
    return None


SANITIZER = _sanitizer()
# Deadlines and, where a test says so, sizes follow it.
SLOW = 5 if SANITIZER else 1
DEADLINE = 60 * SLOW

# What a sanitizer or a failed assertion leaves in the log.
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
           "WARNING: ThreadSanitizer", "runtime error:", "Assertion `")

# ----------------------------------------------------------------- assertions


class Skip(Exception):
    """Raised by a test that cannot run here; says why."""


class Failed(Exception):
    pass


def fail(text):
    raise Failed(text)


def check(condition, text):
    if not condition:
        fail(text)


def equal(found, expected, what="value"):
    if found != expected:
        fail("%s is %s, expected %s" % (what, short(found), short(expected)))


def short(value, limit=600):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


def wait_until(condition, what, deadline=None):
    """Poll until condition() is true; its value is returned."""
    end = time.monotonic() + (deadline or DEADLINE)
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            fail("waited %d s in vain until %s" % (deadline or DEADLINE, what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


# ------------------------------------------------------------------------ TAP

_tests = []


def test(name):
    def add(function):
        _tests.append((name, function))
        return function
    return add


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def _hang(_signal, _frame):
    raise Failed("the test hangs")


def main():
    """Run the tests in order and leave."""
    signal.signal(signal.SIGALRM, _hang)
    # A test can be named on the command line by a part of its sentence.
    chosen = [t for t in _tests if all(w in t[0] for w in sys.argv[1:])]
    print("1..%d" % len(chosen), flush=True)
    failures = 0
    for number, (name, function) in enumerate(chosen, 1):
        start = time.monotonic()
        signal.alarm(5 * DEADLINE)
        try:
            function()
            for daemon in Daemon.all:
                daemon.check_health()
            line = "ok %d - %s" % (number, name)
        except Skip as reason:
            line = "ok %d - %s # SKIP %s" % (number, name, reason)
        except Exception as error:
            failures += 1
            line = "not ok %d - %s" % (number, name)
            if not isinstance(error, Failed):
                note(traceback.format_exc())
            else:
                where = traceback.extract_tb(error.__traceback__)
                mine = [f for f in where if f.filename.endswith(".t")]
                note("%s line %d: %s" % (sys.argv[0],
                                         mine[-1].lineno if mine else 0, error))
            for daemon in Daemon.all:
                daemon.show_log()
        finally:
            signal.alarm(0)
        print(line, flush=True)
        took = time.monotonic() - start
        if took > 1:
            note("took %.1f s" % took)
    try:
        signal.alarm(2 * DEADLINE)
        for daemon in list(Daemon.all):
            daemon.stop()
    except Exception as error:
        note(error)
        for daemon in Daemon.all:
            daemon.show_log()
        print("Bail out! a daemon did not end well", flush=True)
        failures += 1
    finally:
        signal.alarm(0)
    # The TAP lines say what failed; the status would count it twice.
    sys.exit(0)


# ----------------------------------------------------------------------- HTTP


class Reply:
    def __init__(self, request, status, headers, body):
        self.request = request
        self.status = status
        self.headers = {k.lower(): v for k, v in headers}
        self.body = body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            fail("%s: the answer is not JSON: %s" % (self.request,
                                                     short(self.body)))

    def __repr__(self):
        return "%s -> %d %s" % (self.request, self.status, short(self.body))

    def expect(self, *statuses):
        """The reply, which must have one of these statuses."""
        if self.status not in statuses:
            fail("%r, expected %s" % (self, " or ".join(map(str, statuses))))
        return self

    def problem(self, status, slug, pointer=None, code=None):
        """The problem document, which must be this one and well formed."""
        self.expect(status)
        kind = self.headers.get("content-type", "").split(";")[0]
        equal(kind, "application/problem+json", "content type of %r" % self)
        body = self.json
        slugs = (slug,) if isinstance(slug, str) else slug
        check(body.get("type") in ["urn:akin:problem:" + s for s in slugs],
              "the type of %r is not %s" % (self, " or ".join(slugs)))
        equal(body.get("status"), status, "status in %r" % self)
        for field in ("title", "detail"):
            check(isinstance(body.get(field), str) and body[field],
                  "%s is missing in %r" % (field, self))
        check(body.get("request_id") == self.headers.get("x-request-id") and
              body.get("request_id"), "request_id is wrong in %r" % self)
        if pointer is not None:
            found = [e.get("pointer") for e in body.get("errors", [])]
            check(pointer in found, "no error at %s in %r" % (pointer, self))
        if code is not None:
            found = [e.get("code") for e in body.get("errors", [])]
            check(code in found, "no error with code %s in %r" % (code, self))
        return body


def npy(array):
    """An array as the bytes of a .npy file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def from_npy(data):
    return np.load(io.BytesIO(data), allow_pickle=False)


BOUNDARY = "akin-7f1c0b5e2a94"


def multipart(parts, boundary=BOUNDARY, end=True):
    """A multipart/form-data body of (name, bytes[, media type[, filename]])."""
    out = []
    for part in parts:
        name, data = part[0], part[1]
        kind = part[2] if len(part) > 2 else None
        filename = part[3] if len(part) > 3 else None
        head = 'Content-Disposition: form-data; name="%s"' % name
        if filename is not None:
            head += '; filename="%s"' % filename
        if kind:
            head += "\r\nContent-Type: " + kind
        if isinstance(data, str):
            data = data.encode()
        out += [b"--", boundary.encode(), b"\r\n", head.encode(),
                b"\r\n\r\n", data, b"\r\n"]
    if end:
        out += [b"--", boundary.encode(), b"--\r\n"]
    return b"".join(out)


MULTIPART = "multipart/form-data; boundary=" + BOUNDARY
NPY = "application/x-npy"
JSON = "application/json"
NDJSON = "application/x-ndjson"


def image_batch(images, labels, first, type="image/png"):
    """Body of a batch of encoded images; images[k] is item first + k and has the
    list of labels labels[k]."""
    meta = {"items": [{"id": first + k, "labels": list(names),
                       "image": "image%d" % k}
                      for k, names in enumerate(labels)]}
    return multipart([("meta", json.dumps(meta), JSON)] + [
        ("image%d" % k, image, type) for k, image in enumerate(images)])


def npy_batch(vectors, labels=None, ids=None, name="vectors"):
    """Body of a batch in npy parts; labels and ids as JSON or as npy."""
    parts = [(name, npy(vectors), NPY)]
    for key, value in (("labels", labels), ("ids", ids)):
        if value is None:
            continue
        if isinstance(value, np.ndarray):
            parts.append((key, npy(value), NPY))
        else:
            parts.append((key, json.dumps(value), JSON))
    return multipart(parts)


# --------------------------------------------------------------------- daemon


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Daemon:
    """An akind with a data directory of its own."""

    all = []

    def __init__(self, directory=None, args=(), config=None, env=None,
                 files=None):
        self.files = files  # that it may have open; None: as many as here
        self.temporary = tempfile.mkdtemp(prefix="akin-e2e-")
        atexit.register(shutil.rmtree, self.temporary, ignore_errors=True)
        self.directory = str(directory or os.path.join(self.temporary, "data"))
        self.log_path = os.path.join(self.temporary, "akind.log")
        self.args = list(args)
        if config is not None:
            path = os.path.join(self.temporary, "akind.conf")
            Path(path).write_text(config)
            self.args += ["--config", path]
            self.config_path = path
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.port = None
        self.expected = True  # it should be running now
        self.local = threading.local()
        self.starts = 0
        self.reported = 0

    # -- its life

    def _before_exec(self):
        _die_with_parent()
        if self.files:
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (self.files, self.files))

    def launch(self):
        """Start the process; it may not answer yet."""
        port_file = os.path.join(self.directory, "akind.port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(AKIND), "--data-dir", self.directory,
                 "--listen", "127.0.0.1:0"] + self.args,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env, preexec_fn=self._before_exec)
        if self not in Daemon.all:
            Daemon.all.append(self)
        self.expected = True
        self.starts += 1

        def port():
            if self.process.poll() is not None:
                fail("akind ended with %d instead of starting:\n%s" %
                     (self.process.returncode, self.log()[-2000:]))
            try:
                return int(Path(port_file).read_text().strip() or 0)
            except (OSError, ValueError):
                return 0
        self.port = wait_until(port, "akind.port is written")
        return self

    def start(self):
        self.launch()
        self.wait_ready()
        return self

    def ready(self):
        try:
            return self.get("/readyz", timeout=10).status == 200
        except (OSError, http.client.HTTPException):
            self.check_health()
            return False

    def wait_ready(self):
        wait_until(self.ready, "akind is ready")

    def kill(self):
        """kill -9."""
        self.expected = False
        self.process.kill()
        self.process.wait()
        self.local = threading.local()

    def terminate(self, number=signal.SIGTERM):
        """Ask it to end; its exit status."""
        self.expected = False
        self.process.send_signal(number)
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            fail("akind did not end %d s after signal %d" % (DEADLINE, number))
        self.local = threading.local()
        return status

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            equal(self.terminate(), 0, "exit status of akind")
        if self in Daemon.all:
            Daemon.all.remove(self)
        self.check_reports()

    def restart(self):
        equal(self.terminate(), 0, "exit status of akind")
        self.start()

    def log(self):
        try:
            return Path(self.log_path).read_text(errors="replace")
        except OSError:
            return ""

    def show_log(self):
        note("the end of the log of akind in %s:" % self.directory)
        note("\n".join(self.log().splitlines()[-40:]))
        if self.process is not None and self.process.poll() is None:
            note("its threads wait in: " + ", ".join(self._threads()))

    def _threads(self):
        """What each thread waits for, for a hang that does not come again."""
        for task in sorted(Path("/proc/%d/task" % self.process.pid).iterdir()):
            try:
                yield "%s %s" % ((task / "comm").read_text().strip(),
                                 (task / "wchan").read_text() or "0")
            except OSError:
                pass

    def check_reports(self):
        log = self.log()
        for report in REPORTS:
            at = log.find(report, self.reported)
            if at >= 0:
                self.reported = len(log)
                fail("in the log of akind: " + log[max(0, at - 200):at + 4000])

    def check_health(self):
        """Fail when it ended by itself or a sanitizer said something."""
        self.check_reports()
        if self.expected and self.process and self.process.poll() is not None:
            self.expected = False
            fail("akind ended by itself with %d" % self.process.returncode)

    def metric(self, *words):
        """Sum of the samples whose name and labels have all these words."""
        lines = self.get("/metrics").expect(200).body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if not line.startswith("#") and
                   all(w in line for w in words))

    # -- requests

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def _connection(self, timeout):
        connection = getattr(self.local, "connection", None)
        if connection is not None and self.local.port == self.port:
            connection.timeout = timeout
            if connection.sock:
                connection.sock.settimeout(timeout)
            return connection, connection.sock is not None
        self.local.connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=timeout)
        self.local.port = self.port
        return self.local.connection, False

    def forget_connection(self):
        connection = getattr(self.local, "connection", None)
        if connection is not None:
            connection.close()
            self.local.connection = None

    def request(self, method, path, body=None, type=None, headers=None,
                timeout=None, **query):
        """One exchange on this thread's connection.  `body` is bytes, or what
        becomes JSON; `query` are further fields of the query."""
        if query:
            path += ("&" if "?" in path else "?") + urlencode(
                {k: v for k, v in query.items() if v is not None})
        send = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, bytearray)):
            body = json.dumps(body).encode()
            type = type or JSON
        if type:
            send["Content-Type"] = type
        name = "%s %s" % (method, path)
        for attempt in (1, 2):
            connection, used = self._connection(timeout or DEADLINE)
            try:
                connection.request(method, path, body, send)
                answer = connection.getresponse()
                data = answer.read()
                return Reply(name, answer.status, answer.getheaders(), data)
            except (OSError, http.client.HTTPException) as error:
                self.forget_connection()
                # A kept connection that the daemon has closed meanwhile says
                # nothing about this request.
                closed = isinstance(error, (http.client.RemoteDisconnected,
                                            BrokenPipeError,
                                            ConnectionResetError))
                if not (used and closed and method == "GET" and attempt == 1):
                    raise

    def get(self, path, **rest):
        return self.request("GET", path, **rest)

    def put(self, path, body=None, **rest):
        return self.request("PUT", path, body, **rest)

    def post(self, path, body=None, **rest):
        return self.request("POST", path, body, **rest)

    def patch(self, path, body=None, **rest):
        return self.request("PATCH", path, body, **rest)

    def delete(self, path, **rest):
        return self.request("DELETE", path, **rest)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), DEADLINE)

    def raw(self, data, close_after=False):
        """Send bytes, read until the daemon closes or is silent for a while
        after a whole answer; all answers as (status, headers, body)."""
        with self.connect() as sock:
            # The daemon may answer and close before it has read everything.
            sock.setblocking(False)
            sent, got, end = 0, b"", time.monotonic() + DEADLINE
            data = memoryview(data)
            closed = False
            while time.monotonic() < end:
                want = [sock] if sent < len(data) else []
                readable, writable, _ = select.select([sock], want, [], 0.5)
                if readable:
                    try:
                        piece = sock.recv(65536)
                    except ConnectionResetError:
                        closed = True
                        break
                    if not piece:
                        closed = True
                        break
                    got += piece
                elif got and whole_answers(got) is not None and \
                        sent == len(data):
                    break
                if writable and not got:
                    try:
                        sent += sock.send(data[sent:sent + 65536])
                    except (BrokenPipeError, ConnectionResetError):
                        sent = len(data)
                    if sent == len(data) and close_after:
                        sock.shutdown(socket.SHUT_WR)
                elif got:
                    sent = len(data)
            self.raw_closed, self.raw_bytes = closed, got
            return whole_answers(got) or []

    def collection(self, name, bits=32, dim=16, **rest):
        """Make a collection with these settings."""
        settings = {"bits": bits, "features": {"dim": dim}}
        settings.update(rest)
        settings.setdefault("model", {"kind": "hmoh"})
        if settings.get("extractor") or settings["model"]["kind"] == "external":
            if "features" not in rest:
                del settings["features"]
        self.put("/v1/collections/" + name, settings).expect(201)
        return Collection(self, name)


def head(method, path, *lines):
    """Request line and headers, these and Host, as bytes."""
    return ("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n" % (
        method, path, "".join(line + "\r\n" for line in lines))).encode()


def answer(sock):
    """The next answer on a socket."""
    sock.settimeout(DEADLINE)
    got = http.client.HTTPResponse(sock)
    got.begin()
    return Reply("raw", got.status, got.getheaders(), got.read())


def is_at_end(sock):
    """Whether the daemon has closed; what it sent before is thrown away."""
    try:
        while sock.recv(65536, socket.MSG_DONTWAIT):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def whole_answers(data):
    """Split bytes into HTTP answers; None while the last one is not whole."""
    answers = []
    while data:
        head, mark, rest = data.partition(b"\r\n\r\n")
        if not mark:
            return None
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = [tuple(s.strip() for s in line.split(":", 1))
                   for line in lines[1:]]
        low = {k.lower(): v for k, v in headers}
        if status == 100:
            data = rest
            continue
        # libmicrohttpd 0.9.75 writes the head of an error of its own twice.
        if status in (400, 413) and rest.startswith(head + mark):
            rest = rest[len(head + mark):]
        length = int(low.get("content-length", len(rest)))
        if len(rest) < length:
            return None
        answers.append(Reply("raw", status, headers, rest[:length]))
        data = rest[length:]
    return answers


# ----------------------------------------------------------------- collection


class Collection:
    """The routes of one collection, by short names."""

    def __init__(self, daemon, name):
        self.daemon = daemon
        self.name = name
        self.path = "/v1/collections/" + name

    def info(self):
        return self.daemon.get(self.path).expect(200).json

    def stream(self):
        return self.daemon.get(self.path + "/stream").expect(200).json

    def batch(self, body, type=None, expect=(200,), headers=None, **query):
        reply = self.daemon.post(self.path + "/batches", body, type=type,
                                 headers=headers, **query)
        return reply.expect(*expect).json

    def learn(self, vectors, labels, ids=None, **query):
        """A labelled batch as npy."""
        return self.batch(npy_batch(vectors, labels, ids), MULTIPART, **query)

    def upsert(self, vectors, labels=None, ids=None, expect=(200,), **query):
        reply = self.daemon.put(self.path + "/items",
                                npy_batch(vectors, labels, ids),
                                type=MULTIPART, **query)
        return reply.expect(*expect).json

    def item(self, id, **query):
        return self.daemon.get("%s/items/%s" % (self.path,
                                                quote(str(id), safe="")),
                               **query)

    def items(self, limit=1000, **query):
        """All items, in order of arrival."""
        found, cursor = [], None
        while True:
            page = self.daemon.get(self.path + "/items", limit=limit,
                                   cursor=cursor, **query).expect(200).json
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found
            check(page["items"], "an empty page has a cursor")

    def search(self, query, expect=(200,), **rest):
        body = dict(rest, query=query)
        return self.daemon.post(self.path + "/search",
                                body).expect(*expect).json

    def codes(self):
        """(ids, codes) of all items, by pages of a search without a bound:
        codes (n, bits / 8), nearest to the zero code first."""
        bits = self.info()["bits"]
        ids, codes, cursor = [], [], None
        while True:
            body = {"query": {"code": "00" * (bits // 8)}, "limit": 1000,
                    "max_distance": bits, "with": ["code"]}
            if cursor:
                body["cursor"] = cursor
            reply = self.daemon.post(self.path + "/search", body)
            if reply.status == 409:
                # Another version serves now, such as that of the warm-up.
                reply.problem(409, "state-conflict")
                ids, codes, cursor = [], [], None
                continue
            page = reply.expect(200).json
            ids += [i["id"] for i in page["items"]]
            codes += [i["code"] for i in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        data = np.frombuffer(bytes.fromhex("".join(codes)), np.uint8)
        return ids, data.reshape(len(ids), bits // 8)

    def encode(self, vectors, chunk=4096):
        """Codes (n, bits / 8) of vectors, as the daemon makes them."""
        out = []
        for at in range(0, len(vectors), chunk):
            reply = self.daemon.post(
                self.path + "/encode", npy(vectors[at:at + chunk]), type=NPY,
                headers={"Accept": NPY}).expect(200)
            out.append(from_npy(reply.body))
        return np.concatenate(out)

    def publish(self):
        """Publish and wait until it serves; the version."""
        reply = self.daemon.post(self.path + "/models/publish", ack="visible",
                                 timeout_seconds=DEADLINE)
        return reply.expect(200).json["version"]

    def models(self):
        return self.daemon.get(self.path + "/models").expect(200).json["items"]

    def model_bytes(self, version=None):
        if version is None:
            version = self.info()["model_versions"]["published"]
        return self.daemon.get("%s/models/%d/export" % (
            self.path, version)).expect(200).body

    def wait_learned(self, seq):
        wait_until(lambda: self.stream()["learned_seq"] >= seq,
                   "record %d is learned" % seq)

    def wait_visible(self, seq):
        wait_until(lambda: self.stream()["visible_seq"] >= seq,
                   "record %d is visible" % seq)


# ----------------------------------------------------------------------- data


def data_directory(name, *files):
    """Where a data set is, or Skip."""
    places = [Path(os.environ["AKIN_DATA"])] if os.environ.get("AKIN_DATA") \
        else []
    places += [SOURCE.parent / "shared" / "data", Path("/usr/share/datasets")]
    for place in places:
        if all((place / name / file).exists() for file in files):
            return place / name
    raise Skip("no %s in $AKIN_DATA, ../shared/data or /usr/share/datasets" %
               name)


def idx(path):
    """An array from a gzip'd IDX file."""
    data = gzip.open(path).read()
    _, kind, dims = struct.unpack(">HBB", data[:4])
    shape = struct.unpack(">%dI" % dims, data[4:4 + 4 * dims])
    check(kind == 8, "an idx of bytes")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dims).reshape(shape)


def images(name):
    """All 70,000 images (n, 28, 28) and labels (n) of MNIST or its like."""
    files = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
             "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    place = data_directory(name, *files)
    x1, y1, x2, y2 = (idx(place / file) for file in files)
    return np.concatenate([x1, x2]), np.concatenate([y1, y2])


def pixels(pictures):
    """Images as vectors in [0,1]."""
    return (pictures.reshape(len(pictures), -1) /
            np.float32(255)).astype(np.float32)


def clusters(n, dim=16, classes=4, seed=1, spread=0.3):
    """Made data: vectors (n, dim) around one centre a class, and labels."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dim))
    labels = rng.integers(classes, size=n)
    vectors = centres[labels] + spread * rng.normal(size=(n, dim))
    return vectors.astype(np.float32), labels.astype(np.int64)


def png(picture):
    """A PNG of an array of bytes: grey (h, w), or colour (h, w, 3)."""
    h, w = picture.shape[:2]
    colour = 2 if picture.ndim == 3 else 0

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))
    rows = b"".join(b"\0" + row.tobytes()
                    for row in np.asarray(picture, np.uint8))
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, colour, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def akx(graph, values):
    """A model file of a network: its text, and the arrays of its parameters."""
    body = b"AKINNET\n" + struct.pack("<III", 1, 0, len(graph))
    body += graph.encode()
    body += b"".join(np.asarray(x, "<f4").tobytes() for x in values)
    return body + struct.pack("<I", zlib.crc32(body))


def distances(a, b):
    """Hamming distances (len(a), len(b)) of packed codes."""
    x = np.unpackbits(a, axis=1).astype(np.float32) * 2 - 1
    y = np.unpackbits(b, axis=1).astype(np.float32) * 2 - 1
    return ((x.shape[1] - x @ y.T) / 2).astype(np.int16)


def mean_average_precision(queries, query_labels, codes, labels):
    """mAP over the whole ranking; ties in the order of `codes`."""
    total = 0.0
    ranks = np.arange(1, len(codes) + 1)
    for at in range(0, len(queries), 100):
        d = distances(queries[at:at + 100], codes)
        order = np.argsort(d, axis=1, kind="stable")
        for row, label in zip(order, query_labels[at:at + 100]):
            relevant = labels[row] == label
            found = np.cumsum(relevant)[relevant]
            total += np.mean(found / ranks[relevant])
    return total / len(queries)


# ----------------------------------------------------------------------- tool


def akin(*args, daemon=None, input=None, env=None, timeout=None):
    """Run the tool; a CompletedProcess with text output."""
    with tempfile.TemporaryDirectory(prefix="akin-home-") as home:
        variables = dict(os.environ, HOME=home, XDG_CONFIG_HOME=home,
                         NO_COLOR="1", LC_ALL="C.UTF-8")
        variables.pop("AKIN_URL", None)
        if daemon:
            variables["AKIN_URL"] = daemon.url
        variables.update(env or {})
        binary = isinstance(input, bytes)
        done = subprocess.run(
            [str(AKIN)] + [str(a) for a in args], input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True, text=not binary, env=variables,
            timeout=timeout or 5 * DEADLINE)
    for report in REPORTS:
        text = done.stderr if not binary else done.stderr.decode()
        check(report not in text, "akin %s: %s" % (" ".join(map(str, args)),
                                                   text[-4000:]))
    return done


def akin_ok(*args, **rest):
    """Run the tool, which must succeed; its standard output."""
    done = akin(*args, **rest)
    equal(done.returncode, 0, "status of akin %s (%s)" % (
        " ".join(map(str, args)), short(done.stderr)))
    return done.stdout
