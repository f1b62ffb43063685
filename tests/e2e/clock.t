#!/usr/bin/python3 -B
"""A time of day that jumps under the daemon, by a day or to 1970, while it is
used and between a stop and a start."""

import datetime

from akin_test import *

HOUR = 3600


class Clock:
    """The daemon's time of day, by the library of wall_clock.c."""

    def __init__(self, folder):
        if SANITIZER:
            raise Skip("the sanitizer must be loaded first")
        self.library = os.path.join(folder, "wall_clock.so")
        try:
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", self.library,
                            str(SOURCE / "tests" / "e2e" / "wall_clock.c"),
                            "-ldl"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise Skip("no compiler for the library")
        self.path = os.path.join(folder, "clock")
        Path(self.path).write_bytes(bytes(8))

    def set(self, seconds):
        """So many seconds after the true one."""
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<q", int(seconds * 1e9)))

    def to_1970(self):
        self.set(60 - time.time())

    def env(self):
        return {"LD_PRELOAD": self.library, "WALL_CLOCK": self.path}


def stamp(daemon):
    """Its time of day, in seconds."""
    text = daemon.get("/v1/stats").expect(200).json["time"]
    return datetime.datetime.fromisoformat(
        text.replace("Z", "+00:00")).timestamp()


JUMPS = {"as it is": lambda clock: clock.set(0),
         "a day later": lambda clock: clock.set(23 * HOUR),
         "in 1970": lambda clock: clock.to_1970(),
         "a day before": lambda clock: clock.set(-24 * HOUR),
         "as it is again": lambda clock: clock.set(0)}


@test("wherever the time of day jumps, requests are done once and in order")
def _():
    daemon = Daemon()
    clock = Clock(daemon.temporary)
    daemon.env.update(clock.env())
    daemon.start()
    c = daemon.collection("made", bits=32, dim=16)
    x, y = clusters(400)
    names = ["c%d" % k for k in y]
    stored, last, first = 0, 0, None

    def use(when):
        """What was asked with a key is not done again, and what is new is."""
        nonlocal stored, last, first
        for key in ("the-first", "key-of-" + when.replace(" ", "-")):
            again = key == "the-first" and first is not None
            rows = slice(0, 20) if again else slice(stored, stored + 20)
            reply = daemon.post(
                c.path + "/batches", npy_batch(x[rows], names[rows]),
                type=MULTIPART, headers={"Idempotency-Key": key},
                ack="visible", timeout_seconds=DEADLINE).expect(200).json
            if again:
                equal(reply["seq"], first, "place of the first, " + when)
                continue
            check(reply["seq"] > last, "place of a batch " + when)
            last = reply["seq"]
            first = first or last
            stored += 20
        equal(c.info()["items"], stored, "items " + when)
        found = c.search({"vector": [float(v) for v in x[stored - 1]]}, limit=1)
        equal(found["items"][0]["distance"], 0, "distance " + when)
        equal(daemon.get("/readyz").status, 200, "readyz " + when)

    for when, jump in JUMPS.items():
        before = stamp(daemon)
        jump(clock)
        moved = abs(stamp(daemon) - before) > HOUR
        equal(moved, when != "as it is", "its time has moved, " + when)
        use(when)
    for when, jump in JUMPS.items():
        equal(daemon.terminate(), 0, "exit status")
        jump(clock)
        daemon.start()
        use("at a start " + when)
    daemon.stop()


@test("a wait lasts as long as it was asked to, whatever the time of day does")
def _():
    daemon = Daemon()
    clock = Clock(daemon.temporary)
    daemon.env.update(clock.env())
    daemon.start()
    c = daemon.collection("made", bits=32, dim=16, model={"kind": "lsh"})
    c.learn(*[clusters(20)[0], ["a"] * 20], ack="visible")

    def search(seconds):
        begin = time.monotonic()
        reply = daemon.post(c.path + "/search", {"query": {"id": 1}},
                            min_seq=1000, timeout_seconds=seconds)
        return reply, time.monotonic() - begin

    for jump in (lambda: clock.set(24 * HOUR), clock.to_1970):
        found = []
        waiting = threading.Thread(target=lambda: found.append(search(1)))
        waiting.start()
        jump()
        waiting.join()
        reply, took = found[0]
        reply.problem(503, "not-caught-up")
        check(.9 < took < 10 * SLOW, "it took %.1f s" % took)
    daemon.stop()


main()
