"""What others get while something goes on: /healthz and a search, again and again,
and how long both took, by the client's clock and by the server's histograms."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from akin_test import *  # noqa: E402,F403
from akin_test import http, json, time, threading  # noqa: E402

PAUSE = 0.01


def percentile(values, share):
    """None: there are none."""
    if not values:
        return None
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def ms(seconds):
    return None if seconds is None else round(seconds * 1000, 3)


class Probe:
    """One client that asks the same again and again, on one connection."""

    def __init__(self, port, method, path, body=None):
        self.port, self.method, self.path, self.body = port, method, path, body
        self.times, self.failures, self.statuses = [], 0, {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        link = None
        while not self.ended.wait(PAUSE):
            start = time.monotonic()
            fresh = link is None
            try:
                link = link or http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=600)
                link.request(self.method, self.path, self.body, {
                    "Content-Type": "application/json"} if self.body else {})
                answer = link.getresponse()
                answer.read()
                self.statuses[answer.status] = \
                    self.statuses.get(answer.status, 0) + 1
            except (OSError, http.client.HTTPException):
                # The daemon may end a connection that was idle for long.
                self.failures += fresh
                link = None
                continue
            self.times.append(time.monotonic() - start)
        if link:
            link.close()

    def end(self):
        self.ended.set()
        self.thread.join()

    def figures(self):
        return {"n": len(self.times), "failures": self.failures,
                "statuses": {str(k): v for k, v in self.statuses.items()},
                "p50_ms": ms(percentile(self.times, .5)),
                "p95_ms": ms(percentile(self.times, .95)),
                "p99_ms": ms(percentile(self.times, .99)),
                "max_ms": ms(max(self.times, default=None))}


SERIES = re.compile(r'^akind_http_request_duration_seconds_bucket\{'
                    r'route="([^"]*)".*le="([^"]*)"\} (\d+)$', re.MULTILINE)


def buckets(daemon):
    """{route: [(bound, count up to it)]} of all methods."""
    found = {}
    for route, bound, n in SERIES.findall(
            daemon.get("/metrics").expect(200).body.decode()):
        counts = found.setdefault(route, {})
        counts[float(bound)] = counts.get(float(bound), 0) + int(n)
    return {route: sorted(c.items()) for route, c in found.items()}


def server_ms(before, after, route, share):
    """A percentile, from the difference of two sets of buckets: within a bucket
    as if its values lay evenly."""
    old = dict(before.get(route, []))
    counts = [(b, n - old.get(b, 0)) for b, n in after.get(route, [])]
    if not counts or counts[-1][1] == 0:
        return None
    wanted, low, under = share * counts[-1][1], 0.0, 0
    for bound, n in counts:
        if n >= wanted:
            if bound == float("inf"):
                return ms(low)
            return ms(low + (bound - low) * (wanted - under) / (n - under))
        low, under = bound, n
    return None


class Probes:
    """`with Probes(daemon, collection, vector) as p: ...`, then p.figures()."""

    def __init__(self, daemon, collection, vector):
        self.daemon, self.path = daemon, collection.path + "/search"
        self.body = json.dumps({"query": {"vector": [float(v) for v in vector]},
                                "limit": 10}).encode()

    def __enter__(self):
        self.before = buckets(self.daemon)
        self.health = Probe(self.daemon.port, "GET", "/healthz")
        self.search = Probe(self.daemon.port, "POST", self.path, self.body)
        return self

    def __exit__(self, *_):
        self.health.end()
        self.search.end()
        self.after = buckets(self.daemon)

    def figures(self):
        out = {}
        for name, probe, route in (
                ("healthz", self.health, "/healthz"),
                ("search", self.search, "/v1/collections/{c}/search")):
            out[name] = dict(probe.figures())
            for percent in (50, 95):
                out[name]["server_p%d_ms" % percent] = server_ms(
                    self.before, self.after, route, percent / 100)
        return out
