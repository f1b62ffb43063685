#!/usr/bin/python3 -B
"""Every method learns a part of Fashion-MNIST from the stream of the daemon,
and its model and the codes of all items are those that core/hash makes of the
same images without one."""

from akin_test import *

OFFLINE = BUILD / "tests" / "e2e" / "offline"
BITS, SEED = 16, 5
# Whole blocks of all methods, in batches that are not.
STREAM, MORE, CUT = (4000, 1000, 700) if not SANITIZER else (2000, 200, 700)
PARAMS = {"hmoh": {}, "hcoh": {}, "fcoh": {}, "sdoh": {"iterations": 30},
          "hcdh": {"hidden": 64, "epochs": 4}, "lsh": {}}
# Below the rows after which hcdh trains by itself, so that the publish is its
# first training.
PASSES = 1900

daemon = Daemon().start()


def rows():
    x, y = images("fashion-mnist")
    some = np.random.default_rng(3).permutation(len(x))[:STREAM + MORE]
    return pixels(x[some]), y[some].astype(np.uint32)


def offline(kind, x, y, stream):
    """(model file, codes) without a daemon."""
    command = [OFFLINE, kind, x.shape[1], BITS, 256, SEED, len(x), stream]
    command += ["%s=%s" % item for item in PARAMS[kind].items()]
    out = subprocess.run([str(word) for word in command], check=True,
                         input=x.tobytes() + y.tobytes(),
                         stdout=subprocess.PIPE).stdout
    length, = struct.unpack("<Q", out[:8])
    codes = np.frombuffer(out[8 + length:], np.uint8)
    return out[8:8 + length], codes.reshape(len(x), BITS // 8)


def online(kind, x, y, stream):
    """The same through HTTP."""
    c = daemon.collection(kind, bits=BITS, dim=x.shape[1],
                          model={"kind": kind,
                                 "params": dict(PARAMS[kind], seed=SEED)})
    for at in range(0, stream, CUT):
        rows = slice(at, min(at + CUT, stream))
        c.learn(x[rows], y[rows], np.arange(len(x))[rows])
    if kind != "lsh":
        c.wait_learned(c.stream()["durable_seq"])
        c.publish()
        equal(c.info()["model_versions"]["live_samples"],
              stream * PARAMS[kind].get("epochs", 1), "learnt")
    c.upsert(x[stream:], y[stream:], np.arange(stream, len(x)))
    c.wait_visible(c.stream()["durable_seq"])
    ids, codes = c.codes()
    equal(sorted(ids), list(range(len(x))), "ids")
    ordered = np.empty_like(codes)
    ordered[ids] = codes
    return c.model_bytes(), ordered


def same(kind):
    x, y = rows()
    stream = PASSES if kind == "hcdh" else STREAM
    start = time.monotonic()
    model, codes = online(kind, x, y, stream)
    note("%s: %d images learnt, %d encoded in %.1f s" %
         (kind, stream if kind != "lsh" else 0, len(x),
          time.monotonic() - start))
    expected_model, expected = offline(kind, x, y, stream)
    check((codes == expected).all(), "%d of %d codes differ" %
          ((codes != expected).any(axis=1).sum(), len(codes)))
    check(model == expected_model, "the models differ")


@test("hmoh through the daemon is hmoh without it")
def _():
    same("hmoh")


@test("hcoh through the daemon is hcoh without it")
def _():
    same("hcoh")


@test("fcoh through the daemon is fcoh without it")
def _():
    same("fcoh")


@test("sdoh through the daemon is sdoh without it")
def _():
    same("sdoh")


@test("hcdh through the daemon is hcdh without it")
def _():
    same("hcdh")


@test("lsh through the daemon is lsh without it")
def _():
    same("lsh")


@test("a restart changes nothing of it")
def _():
    before = {kind: Collection(daemon, kind).codes()[1].tobytes()
              for kind in PARAMS}
    daemon.restart()
    for kind in PARAMS:
        equal(Collection(daemon, kind).codes()[1].tobytes() == before[kind],
              True, "codes of %s" % kind)


main()
