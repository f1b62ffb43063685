#!/usr/bin/python3 -B
"""No more threads and processes, as where the tasks of a service have a limit:
what comes of that at the start and while it runs.  The limit is RLIMIT_NPROC of
a user that nobody else is, which takes root to become."""

from akin_test import *

USER = 60100 + os.getpid() % 4000
SQUARE = png(np.arange(784, dtype=np.uint8).reshape(28, 28))


def become(tasks=None):
    if tasks is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))
    os.setgid(USER)
    os.setuid(USER)


class Limited(Daemon):
    """Of one thread each, so that the limits to try are few on any machine."""

    def __init__(self, tasks=None):
        if SANITIZER:
            raise Skip("the sanitizer needs threads of its own")
        super().__init__(args=["--http-threads", "1", "--pool-threads", "1"],
                         env={"OPENBLAS_NUM_THREADS": "1"})
        self.tasks = tasks
        os.chmod(self.temporary, 0o755)
        try:
            os.chown(self.temporary, USER, USER)
            subprocess.run([str(AKIND), "--version"], check=True,
                           stdout=subprocess.DEVNULL, preexec_fn=become)
        except (OSError, subprocess.SubprocessError):
            raise Skip("no other user can run akind here")

    def _before_exec(self):
        become(self.tasks)
        # Who becomes another is not told any more that the parent ended.
        super()._before_exec()


def limit(daemon, tasks):
    """From now on.  Of a daemon of its own a user may do that."""
    subprocess.run(["prlimit", "--pid", str(daemon.process.pid),
                    "--nproc=%d:" % tasks], check=True, preexec_fn=become)


@test("a start without enough threads says so, ends with 71 and harms nothing")
def _():
    daemon, tasks = Limited(), 1
    while True:
        daemon.tasks = tasks
        try:
            daemon.launch()
        except Failed:
            Daemon.all.remove(daemon)
            equal(daemon.process.returncode, 71, "status with %d" % tasks)
            said = [l for l in daemon.log().splitlines() if "component=main" in l]
            check(said and "Resource temporarily unavailable" in said[-1],
                  "with %d it says %s" % (tasks, said[-1:]))
        else:
            break
        tasks += 1
        check(tasks < 50, "it never starts")
    check(tasks > 3, "it started with %d" % tasks)
    # With just enough there is none left for a decoder, and all else works.
    daemon.wait_ready()
    c = daemon.collection("made", bits=32, dim=16)
    x, y = clusters(20)
    c.learn(x, ["c%d" % k for k in y], ack="visible")
    equal(len(c.search({"vector": [float(v) for v in x[3]]}, limit=5)["items"]),
          5, "hits")
    equal(daemon.terminate(), 0, "exit status")
    daemon.tasks = None
    daemon.start()
    equal(c.info()["items"], 20, "items after a start without a limit")
    daemon.stop()


@test("while it runs images wait for a process, and nothing else does")
def _():
    daemon = Limited().start()
    pics = daemon.collection("pics", bits=32, extractor="pixels-28x28x1",
                             model={"kind": "lsh"})
    c = daemon.collection("made", bits=32, dim=16)
    x, y = clusters(40)

    def encode():
        return daemon.post(pics.path + "/encode", SQUARE, type="image/png")

    def decoders():
        pid = daemon.process.pid
        return [int(child) for task in os.listdir("/proc/%d/task" % pid)
                for child in Path("/proc/%d/task/%s/children" % (
                    pid, task)).read_text().split()]

    encode().expect(200)
    limit(daemon, 1)
    for child in decoders():
        os.kill(child, signal.SIGKILL)
    # One whose decoder died under it is refused for that.
    wait_until(lambda: encode().status == 503, "there is no decoder")
    reply = encode()
    reply.problem(503, "decoder-unavailable")
    check(1 <= int(reply.headers["retry-after"]) <= 60, "Retry-After")
    check("Resource temporarily unavailable" in daemon.log(), "the log")
    c.learn(x, ["c%d" % k for k in y], ack="visible")
    c.publish()
    equal(len(c.search({"vector": [float(v) for v in x[3]]}, limit=5)["items"]),
          5, "hits")
    equal(daemon.get("/healthz").status, 200, "healthz")
    limit(daemon, 1000)
    wait_until(lambda: encode().status == 200, "images are decoded again")
    daemon.stop()


main()
