#!/usr/bin/python3 -B
"""Images are decoded in processes of their own: files made to harm end there,
and so does what happens to such a process."""

import akin_test
from akin_test import *

CORPUS = SOURCE / "tests" / "fuzz" / "corpus" / "image"
LSH = {"kind": "lsh"}
UNDECODABLE, TOO_LARGE = "image-undecodable", "image-too-large"
SQUARE = png(np.arange(784, dtype=np.uint8).reshape(28, 28))

daemon = Daemon().start()


def pictures(daemon, name="pics"):
    return daemon.collection(name, bits=32, extractor="pixels-28x28x1",
                             model=LSH, images={"store": "original"})


c = pictures(daemon)


def workers(daemon):
    """The process ids of the daemon's decoders."""
    found = set()
    for path in Path("/proc/%d/task" % daemon.process.pid).iterdir():
        try:
            found.update(map(int, (path / "children").read_text().split()))
        except OSError:
            pass
    return {pid for pid in found if alive(pid)}


def state(pid):
    """R, S, T (stopped), Z (ended, not waited for) and so on; None: gone."""
    try:
        return Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1][1]
    except OSError:
        return None


def alive(pid):
    return state(pid) not in (None, "Z", "X")


def encode(data, at=None):
    at = at or c
    return at.daemon.post(at.path + "/encode", data, type="image/png")


def works(at=None):
    """A good image is decoded, as if nothing had happened."""
    encode(SQUARE, at).expect(200)


def signal_all(at, number):
    pids = workers(at.daemon)
    check(pids, "there is no decoder")
    for pid in pids:
        os.kill(pid, number)
    return pids


def stop_all(at):
    """Stopped processes do not notice an image."""
    pids = signal_all(at, signal.SIGSTOP)
    wait_until(lambda: all(state(p) == "T" for p in pids), "they are stopped")
    return pids


class Waiting(threading.Thread):
    """An image on its way to a decoder."""

    def __init__(self, at):
        super().__init__()
        self.at = at
        before = at.daemon.metric("akind_image_decoders_busy")
        self.start()
        wait_until(lambda: at.daemon.metric("akind_image_decoders_busy") >
                   before, "a decoder has the image")

    def run(self):
        self.reply = encode(SQUARE, self.at)

    def answer(self):
        self.join(DEADLINE)
        return self.reply


# ------------------------------------------------------------------ bad files


def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def png_file(w, h, data, *before, depth=8, colour=0):
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(
        ">IIBBBBB", w, h, depth, colour, 0, 0, 0)), *before,
        chunk(b"IDAT", data), chunk(b"IEND", b"")])


def zeros(n):
    """n zero bytes, deflated as well as can be, in little memory here."""
    z, out = zlib.compressobj(9), []
    block = bytes(1 << 20)
    for _ in range(n >> 20):
        out.append(z.compress(block))
    return b"".join(out) + z.compress(bytes(n & ((1 << 20) - 1))) + z.flush()


def sized(data, w, h):
    """A baseline JPEG that says that it has another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", h, w) + data[at + 4:]


JPEG = (CORPUS / "colour.jpg").read_bytes()
PROGRESSIVE = (CORPUS / "progressive.jpg").read_bytes()
LARGE = (CORPUS / "large.jpg").read_bytes()


def refused(name, data, *slugs):
    @test(name)
    def _():
        encode(data).problem(422, slugs, "/0/image")
        works()


def taken(name, data):
    @test(name)
    def _():
        encode(data).expect(200)


@test("a JPEG that is cut at any KB is image-undecodable")
def _():
    for at in range(1024, len(LARGE), 1024):
        encode(LARGE[:at]).problem(422, UNDECODABLE, "/0/image")
    encode(LARGE).expect(200)


refused("a JPEG of 65,500 x 65,500 pixels is image-too-large",
        sized(JPEG, 65500, 65500), TOO_LARGE)
refused("a JPEG of 8,000 x 8,000 pixels in 800 bytes is image-undecodable",
        sized(JPEG, 8000, 8000), UNDECODABLE)


def many_scans(n):
    """A progressive JPEG whose last scan comes n times."""
    last = PROGRESSIVE.rindex(b"\xff\xda")
    return PROGRESSIVE[:last] + PROGRESSIVE[last:-2] * n + b"\xff\xd9"


refused("a JPEG of 500 scans is refused", many_scans(500),
        TOO_LARGE, UNDECODABLE)
refused("a JPEG of more scans than are read is image-too-large",
        (CORPUS / "scans.jpg").read_bytes(), TOO_LARGE)


def other_huffman(data):
    """Its first Huffman table has the lengths of another."""
    at = data.index(b"\xff\xc4") + 5
    return data[:at] + bytes(reversed(data[at:at + 16])) + data[at + 16:]


refused("a JPEG with a wrong Huffman table is image-undecodable",
        other_huffman(JPEG), UNDECODABLE)
refused("a JPEG with an impossible Huffman table is image-undecodable",
        JPEG[:2] + segment(0xc4, b"\0" + b"\xff" * 16 + bytes(256)) + JPEG[2:],
        UNDECODABLE)
taken("a JPEG of CMYK is read", (CORPUS / "cmyk.jpg").read_bytes())
# The directory says that it is its own successor.
taken("a JPEG whose Exif leads in circles is read as it is",
      JPEG[:2] + segment(0xe1, b"Exif\0\0II*\0\x08\0\0\0" +
                         struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) +
                         struct.pack("<I", 8)) + JPEG[2:])
taken("a JPEG with a page behind it is a JPEG",
      JPEG + b"<html><script>alert(1)</script></html>")
refused("a page with a JPEG behind it is none",
        b"<html><script>alert(1)</script></html>" + JPEG, UNDECODABLE)

refused("a PNG that unfolds to 2 GB is image-too-large",
        png_file(26000, 26000, zeros(1 << 20), colour=2), TOO_LARGE)
refused("a PNG of 1 x 2^31 pixels is refused",
        png_file(1, 1 << 31, zeros(1 << 20)), TOO_LARGE, UNDECODABLE)
refused("a PNG with a wrong sum is image-undecodable",
        SQUARE[:-14] + bytes([SQUARE[-14] ^ 1]) + SQUARE[-13:], UNDECODABLE)
taken("a PNG with a text that unfolds to 64 MB is read without it",
      SQUARE[:33] + chunk(b"zTXt", b"k\0\0" + zeros(64 << 20)) + SQUARE[33:])


def resident():
    """Bytes of memory that the daemon has, with what it shares."""
    text = Path("/proc/%d/status" % daemon.process.pid).read_text()
    return int(text.split("VmRSS:")[1].split()[0]) << 10


@test("the largest images are read, and the daemon's memory stays flat")
def _():
    # Within the limits: 64 million pixels in 65 kB.
    wide = png_file(8192, 8192, zeros(8192 * 8193))
    encode(wide).expect(200)
    works()
    if SANITIZER:
        raise Skip("a sanitizer keeps what is freed")
    before = resident()
    for data in [wide, wide, sized(JPEG, 8000, 8000), LARGE[:3000],
                 (CORPUS / "scans.jpg").read_bytes()] * 2:
        encode(data)
    grown = resident() - before
    check(grown < 32 << 20, "the daemon grew by %d MB" % (grown >> 20))


# ------------------------------------------------------------------ bad luck


@test("a decoder that is killed while it has an image costs that image only")
def _():
    works()
    stop_all(c)
    waiting = Waiting(c)
    # What is between the list and the socket is microseconds.
    time.sleep(0.5)
    signal_all(c, signal.SIGKILL)
    body = waiting.answer().problem(422, UNDECODABLE, "/0/image")
    check("SIGKILL" in body["detail"], "the detail is %r" % body["detail"])
    works()
    equal(daemon.metric("akind_image_decode_failures_total", '"crash"'), 1,
          "crashes")


@test("decoders that are killed without an image are replaced")
def _():
    works()
    pids = signal_all(c, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), "they have ended")
    works()
    check(not pids & workers(daemon), "the decoder is the same")


@test("a decoder lives on when all processes are told to stop")
def _():
    works()
    pids = signal_all(c, signal.SIGTERM)
    signal_all(c, signal.SIGINT)
    works()
    check(pids <= workers(daemon), "a decoder has ended")


@test("a decoder may do nothing else, and runs at a lower priority")
def _():
    works()
    for pid in workers(daemon):
        text = Path("/proc/%d/status" % pid).read_text()
        fields = dict(line.split(":\t", 1) for line in text.splitlines()
                      if ":\t" in line)
        equal(fields["Seccomp"].strip(), "2", "Seccomp of a decoder")
        equal(fields["NoNewPrivs"].strip(), "1", "NoNewPrivs of a decoder")
        limits = Path("/proc/%d/limits" % pid).read_text()
        for name, value in (("Max file size", "0"), ("Max core file size", "0")):
            line = [l for l in limits.splitlines() if l.startswith(name)][0]
            equal(line[len(name):].split()[0], value, name)
        if not SANITIZER:
            line = [l for l in limits.splitlines()
                    if l.startswith("Max address space")][0]
            shared = 3 << 26  # of its 64 Mi pixels
            check(shared < int(line.split()[3]) < shared + (600 << 20),
                  "its address space may have %s" % line)
        nice = int(Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1]
                   .split()[16])
        own = os.getpriority(os.PRIO_PROCESS, daemon.process.pid)
        equal(nice, min(own + 5, 19), "nice")


@test("a thumbnail is made by a decoder, too")
def _():
    c.batch({"items": [{"id": 1, "image": base64.b64encode(SQUARE).decode()}]},
            ack="visible")
    before = daemon.metric("akind_images_decoded_total")
    reply = daemon.get(c.path + "/items/1/image", size="thumb").expect(200)
    check(reply.body.startswith(b"\x89PNG"), "it is no PNG")
    equal(daemon.metric("akind_images_decoded_total"), before + 1, "decoded")


@test("a decoder that does not go on is killed, and others are served meanwhile")
def _():
    slow = Daemon(args=["--decode-timeout", "%dms" % (500 * SLOW)]).start()
    at = pictures(slow)
    works(at)
    pids = stop_all(at)
    waiting = Waiting(at)
    slow.get(at.path).expect(200)
    body = waiting.answer().problem(422, UNDECODABLE, "/0/image")
    check("%d ms" % (1000 * SLOW) in body["detail"],
          "the detail is %r" % body["detail"])
    equal(slow.metric("akind_image_decode_failures_total", '"timeout"'), 1,
          "timeouts")
    check(not all(map(alive, pids)), "nobody was killed")
    # Who was stopped without an image is a trap for the next one.
    signal_all(at, signal.SIGCONT)
    works(at)
    slow.stop()


@test("a decoder is replaced after its number of images")
def _():
    few = Daemon(args=["--decode-restart-images", "5"]).start()
    at = pictures(few)
    for _ in range(23):
        works(at)
    equal(few.metric("akind_image_decoder_restarts_total", '"served"'), 4,
          "restarts")
    equal(few.metric("akind_images_decoded_total"), 23, "decoded")
    few.stop()


@test("decoders end with a daemon that is killed")
def _():
    other = Daemon().start()
    works(pictures(other))
    pids = workers(other)
    check(pids, "there is no decoder")
    other.kill()
    wait_until(lambda: not any(map(alive, pids)), "they have ended")
    other.start()
    works(Collection(other, "pics"))
    other.stop()


@test("without a decoder images are 503 and the rest goes on, until there is one")
def _():
    with tempfile.TemporaryDirectory() as place:
        whole, alone = akin_test.AKIND, Path(place, "akind")
        shutil.copy(whole, alone)
        akin_test.AKIND = alone
        try:
            other = Daemon().start()
            at = pictures(other)
            wait_until(lambda: other.get("/readyz").json["checks"]["decoder"] ==
                       "degraded", "the state tells")
            reply = encode(SQUARE, at)
            reply.problem(503, "decoder-unavailable")
            check("retry-after" in reply.headers, "there is no Retry-After")
            lines = NDJSON_LINE * 2
            other.post(at.path + "/batches", lines, type=NDJSON)
            at.learn(np.ones((2, 784), np.float32), ["a", "b"], ids=[1, 2])
            other.get("/readyz").expect(200)
            check("no decoder can be started" in other.log(),
                  "the log does not tell")
            equal(other.log().count("no decoder can be started"), 1, "lines")
            shutil.copy(whole.parent / "akin-worker", place)
            works(at)
            equal(other.get("/readyz").json["checks"]["decoder"], "ok", "check")
            other.stop()
        finally:
            akin_test.AKIND = whole


NDJSON_LINE = json.dumps(
    {"image": base64.b64encode(SQUARE).decode()}).encode() + b"\n"


@test("images can be decoded in the daemon, if it is told so")
def _():
    own = Daemon(args=["--decode-in-process", "yes"]).start()
    at = pictures(own)
    equal(encode(SQUARE, at).expect(200).body, encode(SQUARE).body, "codes")
    encode(LARGE[:3000], at).problem(422, UNDECODABLE, "/0/image")
    equal(workers(own), set(), "decoders")
    equal(own.get("/readyz").json["checks"]["decoder"], "in-process", "check")
    equal(own.metric("akind_images_decoded_total"), 1, "decoded")
    equal(own.metric("akind_image_decode_failures_total", "undecodable"), 1,
          "failures")
    own.stop()


main()
