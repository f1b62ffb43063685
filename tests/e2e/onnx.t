#!/usr/bin/python3 -B
"""A model file as ONNX: checked by onnx, and computed with NumPy as ONNX says."""

from akin_test import *

try:
    import onnx
    import onnx.numpy_helper
except ImportError:
    onnx = None

# Each kind of layer, and each kind of map.
GRAPH = """akin-net 1
input image 3 13 11 mean=0.4,0.5,0.6 std=0.2,0.3,0.25
conv c1 image out=8 k=3,3 stride=2 pad=1 groups=1 bias=0
bn b1 c1 eps=0.001 momentum=0.1
relu r1 b1
conv c2 r1 out=8 k=3,3 stride=1 pad=1 groups=8 bias=1
prelu p2 c2 slope=0.25
add a2 p2,r1
map m1 a2 stride=2 from=-2,1+6,-4
conv c3 a2 out=12 k=1,1 stride=2 pad=0 groups=1 bias=1
relu6 s3 c3
add a3 s3,m1
map m2 a3 stride=1 from=3+2,-1,0+3
hardtanh h3 m2
concat k3 h3,a3
maxpool x3 k3 k=2 stride=1 pad=0,1,1,0
avgpool v3 x3 k=2 stride=2 pad=0
tanh t3 v3
dropout d3 t3 p=0.5
gap g3 d3
linear l4 g3 out=7 bias=1
tanh t4 l4
linear l5 t4 out=4 bias=1
feature t4
output l5
"""
# Shapes of the parameters in the order of the layers.
SHAPES = [(8, 3, 3, 3), (8,), (8,), (8,), (8,), (8, 1, 3, 3), (8,), (8,),
          (12, 8, 1, 1), (12,), (7, 18), (7,), (4, 7), (4,)]
VARIANCE = 4  # must be positive


def model_file(path):
    rng = np.random.default_rng(5)
    values = [rng.normal(0, .6, shape) for shape in SHAPES]
    values[VARIANCE] = np.abs(values[VARIANCE]) + .1
    with open(path, "wb") as file:
        file.write(akx(GRAPH, values))


def windows(x, node, fill):
    """(n, c, h, w, kh, kw) of what a window sees."""
    a = {k.name: list(k.ints) for k in node.attribute if k.ints}
    (top, left, bottom, right), step = a["pads"], a["strides"]
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)),
               constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, a["kernel_shape"],
                                                    axis=(2, 3))
    return seen[:, :, ::step[0], ::step[1]]


def conv(node, x, w, b=None):
    """As put_gather() writes it, there are no pads."""
    if not any(k.name == "pads" for k in node.attribute):
        node.attribute.append(onnx.helper.make_attribute("pads", [0] * 4))
    groups = [k.i for k in node.attribute if k.name == "group"] or [1]
    seen = windows(x, node, 0)
    parts = [np.einsum("nchwyx,ocyx->nohw", s, v) for s, v in
             zip(np.split(seen, groups[0], 1), np.split(w, groups[0], 0))]
    y = np.concatenate(parts, 1)
    return y if b is None else y + b[:, None, None]


def normalise(node, x, gamma, beta, mean, var):
    y = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] +
                                            node.attribute[0].f)
    return gamma[:, None, None] * y + beta[:, None, None]


def cut(node, x, starts, ends, axes, steps):
    at = [slice(None)] * 4
    for s, e, a, step in zip(starts, ends, axes, steps):
        at[a] = slice(s, e, step)
    return x[tuple(at)]


OPS = {
    "Conv": conv,
    "BatchNormalization": normalise,
    "Relu": lambda n, x: np.maximum(x, 0),
    "PRelu": lambda n, x, s: np.where(x > 0, x, s * x),
    "Clip": lambda n, x, low, high: np.clip(x, low, high),
    "Tanh": lambda n, x: np.tanh(x),
    "MaxPool": lambda n, x: windows(x, n, -np.inf).max((4, 5)),
    "AveragePool": lambda n, x: windows(x, n, 0).mean((4, 5)),
    "GlobalAveragePool": lambda n, x: x.mean((2, 3), keepdims=True),
    "Flatten": lambda n, x: x.reshape(len(x), -1),
    "Gemm": lambda n, x, w, b: x @ w.T + b,
    "Add": lambda n, x, y: x + y,
    "Mul": lambda n, x, y: x * y,
    "Concat": lambda n, *x: np.concatenate(x, 1),
    "Identity": lambda n, x: x,
    "Slice": cut,
    "Pad": lambda n, x, p: np.pad(x, list(zip(p[:4], p[4:]))),
}


def run(model, pixels):
    """The outputs of a model, in double precision."""
    values = {"pixels": pixels.astype(np.float64)}
    for t in model.graph.initializer:
        values[t.name] = onnx.numpy_helper.to_array(t)
        if values[t.name].dtype == np.float32:
            values[t.name] = values[t.name].astype(np.float64)
    for node in model.graph.node:
        values[node.output[0]] = OPS[node.op_type](
            node, *[values[k] for k in node.input])
    return {o.name: values[o.name] for o in model.graph.output}


folder = tempfile.mkdtemp(prefix="akin-onnx-")
atexit.register(shutil.rmtree, folder)


def load(path):
    if onnx is None:
        raise Skip("no python3-onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return model


@test("each kind of layer is computed alike")
def _():
    path = folder + "/all"
    model_file(path + ".akx")
    akin_ok("extractor", "convert", path + ".akx", "-o", path + ".onnx")
    model = load(path + ".onnx")
    rng = np.random.default_rng(6)
    pictures = rng.integers(0, 256, (12, 13, 11, 3), np.uint8)
    losses = []
    for k, picture in enumerate(pictures):
        os.makedirs("%s/photos/class%d" % (folder, k % 4), exist_ok=True)
        with open("%s/photos/class%d/%d.png" % (folder, k % 4, k), "wb") as f:
            f.write(png(picture))
        out = run(model, picture.transpose(2, 0, 1)[None])
        equal(out["feature"].shape, (1, 7), "features")
        scores = out["scores"][0]
        losses.append(np.log(np.exp(scores).sum()) - scores[k % 4])
    for engine in ("plain", "onednn"):
        said = json.loads(akin_ok(
            "extractor", "evaluate", "--local", path + ".akx", "-d", "folder",
            "--data", folder + "/photos", "--engine", engine, "--json"))
        equal(said["n"], 12, "images")
        check(abs(said["loss"] - np.mean(losses)) < 1e-4,
              "loss %.6f of %s, %.6f of the ONNX file" %
              (said["loss"], engine, np.mean(losses)))
    check(np.std(losses) > .05, "the images are told apart")


@test("architectures become valid files")
def _():
    one = folder + "/one"
    os.makedirs(one + "/a"), os.makedirs(one + "/b")
    for name in "ab":
        with open("%s/%s/0.png" % (one, name), "wb") as f:
            f.write(png(np.zeros((8, 8, 3), np.uint8)))
    for arch in ("resnet20", "resnet20_bireal", "mobilenet_v1_0.25_128"):
        akin_ok("extractor", "train", "-a", arch, "-d", "folder", "--data",
                one, "--batch", "2", "-e", "1", "-o", folder + "/x.akx")
        akin_ok("extractor", "convert", folder + "/x.akx", "-o",
                folder + "/x.onnx")
        load(folder + "/x.onnx")


@test("what cannot be converted is told")
def _():
    with open(folder + "/no.akx", "wb") as f:
        f.write(b"AKINNET\nno")
    done = akin("extractor", "convert", folder + "/no.akx", "-o",
                folder + "/no.onnx")
    check(done.returncode != 0 and "no.akx" in done.stderr, done.stderr)
    check(not os.path.exists(folder + "/no.onnx"), "a file was written")
    done = akin("extractor", "convert", folder + "/all.akx")
    check(done.returncode != 0 and "--output" in done.stderr, done.stderr)


main()
