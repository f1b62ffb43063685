#!/usr/bin/python3 -B
"""Slow clients, idle ones, and more of them than there is room for.

Their times are short but seconds all the same, so that all of them are at work
from the start, beside one another; the tests say what came of it."""

import re
import resource

from akin_test import *

# What is waited for has all the time of wait_until().
SHORT = ["--header-timeout", "1s", "--request-timeout", "1s"]
daemon = Daemon(args=SHORT + ["--max-connections", "4096",
                              "--max-connections-per-address", "4096"]).start()
read = Daemon(args=SHORT).start()
silent = Daemon(args=["--header-timeout", "1s", "--idle-timeout", "1s"]).start()
narrow = Daemon(args=SHORT + ["--max-connections", "64"]).start()
poor = Daemon(args=SHORT, files=64).start()
MOST = 6
crowded = Daemon(args=["--max-connections-per-address", str(MOST)]).start()
X, Y = clusters(1000, 16, seed=61)
LABELS = ["c%d" % y for y in Y]


def fill(d):
    c = d.collection("shoes", bits=64, dim=16, model={"kind": "lsh"})
    c.learn(X, LABELS, ids=list(range(len(X))), ack="visible")
    return c


crowded.forget_connection()
shoes = fill(daemon)
read_shoes = fill(read)
poor_shoes = fill(poor)


def search_head(length, *lines):
    return head("POST", shoes.path + "/search", "Content-Type: " + JSON,
                "Content-Length: %d" % length, *lines)


def drip(sock):
    """Send a byte at a time until the daemon has enough of it."""
    def one():
        if is_at_end(sock):
            return True
        try:
            sock.send(b"x")
        except OSError:
            return True
        return False
    wait_until(one, "a client that drips is cut off")


def serves(d, c):
    """It answers at once, and right."""
    d.get("/healthz").expect(200)
    equal(c.search({"id": 1}, limit=1)["items"][0]["id"], 1, "the nearest")


def meanwhile(name):
    """A test that begins now, in a thread of its own."""
    def add(function):
        problem = []

        def run():
            try:
                function()
            except Exception as error:
                problem.append(error)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        @test(name)
        def _():
            thread.join()
            if problem:
                raise problem[0]
    return add


@meanwhile("headers that drip in are cut off, and others are served meanwhile")
def _():
    with daemon.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        serves(daemon, shoes)
        drip(sock)
    serves(daemon, shoes)


@meanwhile("a body that drips in is given up")
def _():
    with daemon.connect() as sock:
        sock.sendall(search_head(1 << 20) + b'{"query"')
        serves(daemon, shoes)
        got = []

        def one():
            try:
                sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                got.append(answer(sock))
            except BlockingIOError:
                sock.send(b" ")
                return False
            except (OSError, http.client.HTTPException):
                pass  # a byte came too late to be told
            return True
        wait_until(one, "the body is given up")
        for reply in got:
            reply.problem(408, "request-timeout")
    serves(daemon, shoes)


@meanwhile("an answer that is not read is given up")
def _():
    # 100 kB an answer, and many of them: more than the system keeps.
    body = json.dumps({"query": {"id": 1}, "limit": 1000,
                       "with": ["labels", "code"]}).encode()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", read.port))
    sock.setblocking(False)
    one = memoryview(search_head(len(body)) + body)
    wanted, sent = 200, 0
    got = bytearray()

    def step():
        # The requests go as far as they can, a byte of the answers is read.
        nonlocal sent
        try:
            while sent < wanted * len(one):
                sent += sock.send(one[sent % len(one):])
        except OSError:
            pass
        try:
            piece = sock.recv(1)
            got.extend(piece)
            return piece == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
    wait_until(lambda: step() or
               read.metric("connections_rejected_total", "timeout") > 0,
               "a client that does not read is cut off")
    check(got.startswith(b"HTTP/1.1 200"), "it got %r" % bytes(got[:60]))
    sock.close()
    serves(read, read_shoes)


@meanwhile("silence is ended, and silence behind an answer too")
def _():
    held = [silent.connect() for _ in range(20)]
    for sock in held[:10]:
        sock.sendall(head("GET", "/healthz"))
        answer(sock).expect(200)
    for sock in held:
        wait_until(lambda: is_at_end(sock), "a silent connection is closed")
        sock.close()
    silent.get("/healthz").expect(200)


@meanwhile("who asks for 100 Continue and sends nothing then is given up")
def _():
    with daemon.connect() as sock:
        sock.sendall(search_head(100, "Expect: 100-continue"))
        sock.settimeout(DEADLINE)
        check(sock.recv(4096).startswith(b"HTTP/1.1 100"), "no 100 Continue")
        wait_until(lambda: is_at_end(sock), "the connection is closed")
    serves(daemon, shoes)


def may_open(n):
    """Let this process have `n` files open, or Skip."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < n:
        raise Skip("only %d files may be open" % most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, most))


IDLE = 2000


@meanwhile("2,000 idle connections leave the service to others")
def _():
    may_open(IDLE + 1000)
    if daemon.metric("akind_process_max_fds") < IDLE + 200:
        raise Skip("the daemon may not have so many files open")
    idle = [daemon.connect() for _ in range(IDLE)]
    # Half of them have begun to speak.
    for sock in idle[::2]:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
    serves(daemon, shoes)
    wait_until(lambda: all(is_at_end(s) for s in idle), "all are closed")
    for sock in idle:
        sock.close()
    serves(daemon, shoes)


@meanwhile("more connections than there is room for wait, and are served then")
def _():
    idle = [narrow.connect() for _ in range(150)]
    # This one stands behind all of them.
    narrow.get("/healthz").expect(200)
    for sock in idle:
        sock.close()


@meanwhile("one address has its share of connections, and others have theirs")
def _():
    def other():
        """A connection from another address of this machine."""
        return http.client.HTTPConnection("127.0.0.1", crowded.port,
                                          timeout=DEADLINE,
                                          source_address=("127.0.0.2", 0))

    def refused():
        link = other()
        link.request("GET", "/metrics")
        text = link.getresponse().read().decode()
        link.close()
        return int(re.search(r'^akind_http_connections_rejected_total'
                             r'\{reason="address"\} (\d+)$', text,
                             re.MULTILINE).group(1))

    def taken():
        """A connection that serves, or None: it was closed without a word."""
        sock = crowded.connect()
        try:
            sock.sendall(head("GET", "/healthz"))
            answer(sock).expect(200)
            return sock
        except (OSError, http.client.HTTPException):
            sock.close()
            return None
    # The last connection of the start may still be in the count.
    held = [wait_until(taken, "a connection is taken") for _ in range(MOST)]
    before = refused()
    equal([taken() for _ in range(5)], [None] * 5, "connections too many")
    equal(refused(), before + 5, "refused")
    for sock in held[1:]:
        sock.sendall(head("GET", "/healthz"))
        answer(sock).expect(200)
    held.pop().close()
    held.append(wait_until(taken, "there is room for another"))
    for sock in held:
        sock.close()


@meanwhile("clients of a unix socket have no address, and no share of one")
def _():
    with tempfile.TemporaryDirectory(prefix="akin-e2e-") as folder:
        path = os.path.join(folder, "akind.sock")
        process = subprocess.Popen(
            [str(AKIND), "--data-dir", folder + "/data", "--listen",
             "unix:" + path, "--max-connections-per-address", "1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        try:
            def connect():
                sock = socket.socket(socket.AF_UNIX)
                try:
                    sock.connect(path)
                    return sock
                except OSError:
                    sock.close()
                    return None
            held = [wait_until(connect, "it listens") for _ in range(20)]
            for sock in held:
                sock.sendall(head("GET", "/healthz"))
                answer(sock).expect(200)
            for sock in held:
                sock.close()
        finally:
            process.terminate()
            equal(process.wait(DEADLINE), 0, "exit status")


@meanwhile("where few files may be open, connections leave some to the collections")
def _():
    held = [poor.connect() for _ in range(50)]
    for sock in held:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
    # A connection that is there already (this thread has none), and the files
    # of its requests, behind those that are silent.
    poor.collection("late", dim=8, model={"kind": "lsh"})
    poor_shoes.learn(X[:50], LABELS[:50], ids=list(range(5000, 5050)),
                     ack="visible")
    equal(len(poor_shoes.items()), len(X) + 50, "items")
    poor_shoes.search({"id": 1}, **{"with": ["payload"]})
    for sock in held:
        sock.close()
    serves(poor, poor_shoes)


main()
