#!/usr/bin/python3 -B
"""deploy/quickstart, from nothing to a picture, on the build under test."""

import re

from akin_test import *

home = tempfile.mkdtemp(prefix="akin-quickstart-")
data = os.path.join(home, "akin")
script = str(SOURCE / "deploy" / "quickstart")
output = {}


def quickstart(*args):
    return subprocess.run([script, "--build", str(BUILD)] + list(args),
                          text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=5 * DEADLINE,
                          env=dict(os.environ, XDG_DATA_HOME=home, HOME=home,
                                   TERM="dumb"))


def ok(*args):
    done = quickstart(*args)
    equal(done.returncode, 0, "exit status of quickstart\n%s%s" % (
        done.stdout[-2000:], done.stderr[-2000:]))
    return done.stdout + done.stderr


def pid():
    return int(Path(data, "quickstart.pid").read_text())


def end():
    """Leave no daemon behind, whatever became of the test."""
    try:
        if data in Path("/proc/%d/cmdline" % pid()).read_text():
            os.kill(pid(), signal.SIGKILL)
    except (OSError, ValueError):
        pass
    shutil.rmtree(home, ignore_errors=True)


atexit.register(end)


class Started(Daemon):
    """The daemon that quickstart has started."""

    def __init__(self):
        self.local = threading.local()
        self.port = int(Path(data, "akind.port").read_text())
        self.log_path = os.path.join(data, "akind.log")
        self.directory = data
        self.reported = 0
        self.expected, self.process = True, None


@test("quickstart streams 60,000 images in and leaves a daemon that serves")
def _():
    start = time.monotonic()
    text = output["first"] = ok("--port", "0")
    note("quickstart took %.0f s" % (time.monotonic() - start))
    d = Started()
    info = Collection(d, "fashion").info()
    equal(info["items"], 60000, "items")
    equal(info["model_versions"]["live_samples"], 60000, "live_samples")
    check(info["model_versions"]["published"] >= 1, "nothing is published")
    check(d.url in text, "the address is not told")


@test("it prints P@10 and mAP, and they are good")
def _():
    text = output["first"]
    p = re.search(r"P@10\D*(0?\.\d+)", text)
    m = re.search(r"mAP\D*(0?\.\d+)", text)
    check(p and m, "it says %r" % text[-1500:])
    note("%s, %s" % (p.group(0), m.group(0)))
    check(float(p.group(1)) > 0.7, p.group(0))


@test("it writes a picture and says where")
def _():
    picture = Path(data, "fashion.png")
    check(str(picture) in output["first"], "the place is not told")
    equal(picture.read_bytes()[:8], b"\x89PNG\r\n\x1a\n", "signature")
    check(picture.stat().st_size > 10000, "the picture is empty")


@test("the curl command that it prints works as it stands")
def _():
    line = [l for l in output["first"].splitlines() if "/search -H" in l][0]
    command = line[line.index("curl"):]
    done = subprocess.run(["bash", "-c", command], capture_output=True,
                          text=True)
    equal(len(json.loads(done.stdout)["items"]), 5, "hits")


@test("run again it goes on: the same daemon, nothing doubled")
def _():
    before = Collection(Started(), "fashion").info()
    first = pid()
    ok()
    equal(pid(), first, "process of the daemon")
    after = Collection(Started(), "fashion").info()
    for field in ("items", "seq", "model_versions"):
        equal(after[field], before[field], field)


@test("after a kill -9 it starts the daemon again, and nothing is lost")
def _():
    before = Collection(Started(), "fashion").info()
    os.kill(pid(), signal.SIGKILL)
    ok("--port", "0")
    after = Collection(Started(), "fashion").info()
    for field in ("items", "seq", "model_versions"):
        equal(after[field], before[field], field)


@test("a port that is taken is refused when it was asked for")
def _():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        done = quickstart("--port", str(sock.getsockname()[1]))
    check(done.returncode != 0, "it went on")
    check("taken" in done.stderr, "it says %r" % done.stderr)


def album(folder, labels, n):
    """Coloured pictures of any size, in a folder each or in one."""
    rng = np.random.default_rng(4)
    for k in range(n):
        place = Path(folder, "class %d" % (k % 3)) if labels else Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        tint = rng.integers(0, 256, (2, 3, 3)) // 2 + 60 * (k % 3)
        sides = rng.integers(20, 90, 2)
        x = np.repeat(np.repeat(tint, sides[0], 0), sides[1], 1)
        (place / ("photo %d.png" % k)).write_bytes(
            png(np.clip(x, 0, 255).astype(np.uint8)))


@test("--photos indexes a folder of pictures by the network that is shipped")
def _():
    folder = os.path.join(home, "my photos")
    album(folder, True, 90)
    text = ok("--photos", folder)
    c = Collection(Started(), "photos")
    info = c.info()
    equal(info["items"], 90, "items")
    equal(info["extractor"], {"name": "resnet20-cifar10", "version": 1},
          "extractor")
    equal(info["model_versions"]["live_samples"], 90, "samples")
    name = "class 1/photo 31.png"
    equal(c.item(name).json["labels"], ["class 1"], "labels")
    found = json.loads(akin_ok("search", "photos", "--image",
                               os.path.join(folder, name), "--json",
                               "-k", "10", daemon=Started()))
    equal([hit["distance"] for hit in found["items"]
           if hit["id"] == name], [0], "distance of itself")
    check("the most like class " in text, text[-2000:])
    # Once more: nothing is doubled.
    album(folder, True, 93)
    ok("--photos", folder)
    equal(c.info()["items"], 93, "items")


@test("pictures without folders are found, too")
def _():
    folder = os.path.join(home, "flat")
    album(folder, False, 12)
    ok("--photos", folder, "--collection", "flat")
    info = Collection(Started(), "flat").info()
    equal((info["items"], info["model"]["kind"]), (12, "lsh"), "flat")
    done = quickstart("--photos", os.path.join(home, "nowhere"))
    check(done.returncode != 0 and "nowhere" in done.stderr, done.stderr)


@test("--stop ends it, and once more does nothing")
def _():
    last = pid()
    ok("--stop")
    check(not os.path.exists("/proc/%d" % last) or
          "zombie" in Path("/proc/%d/status" % last).read_text(),
          "it is still there")
    check("no akind" in ok("--stop"), "it stopped something")


@test("the log of its daemon has no report of a sanitizer")
def _():
    log = Path(data, "akind.log").read_text(errors="replace")
    for report in REPORTS:
        check(report not in log, log[-3000:])


main()
