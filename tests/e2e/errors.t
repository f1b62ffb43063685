#!/usr/bin/python3 -B
"""Bad requests: each gets a problem document with the right status, changes
nothing, and leaves the daemon alive."""

from akin_test import *

daemon = Daemon().start()

X, Y = clusters(64, dim=8, seed=3)
LABELS = ["c%d" % y for y in Y]

shoes = daemon.collection("shoes", bits=16, dim=8,
                          labels={"mode": "multi", "max": 16},
                          model={"kind": "hmoh",
                                 "params": {"seed": 5, "kernel_anchors": 16}})
shoes.learn(X, LABELS, ids=list(range(100, 164)), ack="learned")
shoes.publish()
# Without a warm-up, which idleness would end in the middle of a slow test.
words = daemon.collection("words", bits=16, dim=8, ids="string",
                          model={"kind": "lsh"})
words.upsert(X[:4], ids=["a", "b", "c", "d"], ack="visible")
pics = daemon.collection("pics", bits=16, extractor="pixels-8x8x1")
codes = daemon.collection("codes", bits=32, model={"kind": "external"})
codes.batch({"items": [{"id": 1, "code": "00ff00ff"}]}, ack="visible")


def state():
    """All that a refused request must not change."""
    seen = {}
    for c in (shoes, words, pics, codes):
        info = c.info()
        seen[c.name] = (info["items"], info["seq"], info["model_versions"],
                        info["publish"], c.items(),
                        c.stream()["durable_seq"])
    seen["models"] = shoes.models()
    seen["model"] = hashlib.sha256(shoes.model_bytes()).hexdigest()
    seen["collections"] = sorted(
        c["name"] for c in daemon.get("/v1/collections").expect(200).json[
            "items"])
    return seen


before = state()


def unchanged():
    """Fail when something changed; once for each change."""
    global before
    expected, before = before, state()
    for key in expected:
        equal(before[key], expected[key], "the state of %s afterwards" % key)



def refused(name, status, slug, send, pointer=None, code=None):
    """A test: send() gives the reply, which must be this problem."""
    @test(name)
    def _():
        send().problem(status, slug, pointer, code)
        equal(daemon.get("/healthz").status, 200, "status of /healthz")
        unchanged()


def batch(body, type=None, c=None, **rest):
    return lambda: daemon.post((c or shoes).path + "/batches", body, type=type,
                               **rest)


def items(*rows, c=None):
    return batch({"items": list(rows)}, c=c)


def search(body, c=None, type=None):
    return lambda: daemon.post((c or shoes).path + "/search", body, type=type)


V = [0.5] * 8
GOOD = {"id": 1, "vector": V, "labels": ["x"]}

# ---------------------------------------------------------------- vectors

refused("a vector that is too long is a dim-mismatch", 422, "dim-mismatch",
        items(GOOD, {"id": 2, "vector": V + [1.0]}), "/items/1/vector",
        "dim-mismatch")
refused("a vector that is too short is a dim-mismatch", 422, "dim-mismatch",
        items({"id": 2, "vector": V[:7]}), "/items/0/vector")
refused("an empty vector is a dim-mismatch", 422, "dim-mismatch",
        items({"id": 2, "vector": []}), "/items/0/vector")
refused("a vector of another width in a npy batch is a dim-mismatch", 422,
        "dim-mismatch",
        batch(npy_batch(np.zeros((3, 9), np.float32), ["a"] * 3), MULTIPART))
refused("a NaN in a npy batch is a non-finite-value", 422, "non-finite-value",
        batch(npy_batch(np.where(np.arange(24).reshape(3, 8) == 11, np.nan,
                                 np.float32(1)).astype(np.float32),
                        ["a"] * 3), MULTIPART))
for sign in ("", "-"):
    refused("a %sinfinity in a npy batch is a non-finite-value" % sign, 422,
            "non-finite-value",
            batch(npy_batch(np.full((1, 8), float(sign + "inf"), np.float32),
                            ["a"]), MULTIPART))
refused("a number beyond a float in JSON is a non-finite-value", 422,
        "non-finite-value", items({"id": 2, "vector": V[:7] + [1e300]}),
        "/items/0/vector")
refused("a number beyond a double in JSON is refused", (422, 400)[0],
        "non-finite-value",
        batch(b'{"items":[{"id":2,"vector":[1e400,0,0,0,0,0,0,0]}]}', JSON))
refused("a NaN literal in JSON is malformed-json", 400, "malformed-json",
        batch(b'{"items":[{"id":2,"vector":[NaN,0,0,0,0,0,0,0]}]}', JSON))
refused("a vector of strings is refused", 422, "validation-failed",
        items({"id": 2, "vector": ["1"] * 8}), "/items/0/vector")
refused("a vector with a null is refused", 422, "validation-failed",
        items({"id": 2, "vector": V[:7] + [None]}), "/items/0/vector")
refused("a vector that is an object is refused", 422, "validation-failed",
        items({"id": 2, "vector": {"0": 1}}), "/items/0/vector")
refused("an item without a vector is refused", 422, "validation-failed",
        items({"id": 2, "labels": ["x"]}))
refused("an item with a vector and a code is refused", 422,
        ("validation-failed", "unsupported-option"),
        items(dict(GOOD, code="00ff")))

# --------------------------------------------------------------------- ids

refused("one id twice in a JSON batch is a duplicate-id", 422, "duplicate-id",
        items(GOOD, dict(GOOD, id=2), GOOD), "/items/2/id", "duplicate-id")
refused("one id twice in a npy batch is a duplicate-id", 422, "duplicate-id",
        batch(npy_batch(X[:3], ["a"] * 3, [7, 8, 7]), MULTIPART))
refused("one string id twice in a batch is a duplicate-id", 422,
        "duplicate-id", items({"id": "n", "vector": V}, {"id": "n",
                                                         "vector": V},
                              c=words))
for bad in (-1, 1.5, 1.0, "7", True, None, [1]):
    refused("the id %s is refused where ids are integers" % json.dumps(bad),
            422, "validation-failed", items(dict(GOOD, id=bad)), "/items/0/id")
for bad in (2 ** 63, 10 ** 30):
    refused("the id %d does not fit and is refused" % bad, 422,
            "validation-failed", items(dict(GOOD, id=bad)), "/items/0/id")
for bad, what in (("", "empty"), ("x" * 129, "129 bytes long"), (7, "a number"),
                  ("a\0b", "with a NUL"), (None, "null")):
    refused("an id that is %s is refused where ids are strings" % what, 422,
            "validation-failed", items({"id": bad, "vector": V}, c=words),
            "/items/0/id")
refused("ids in npy that are negative are refused", 422, "validation-failed",
        batch(npy_batch(X[:2], ["a"] * 2, np.array([5, -5])), MULTIPART))
refused("fewer ids than vectors are refused", 422, "validation-failed",
        batch(npy_batch(X[:3], ["a"] * 3, [1, 2]), MULTIPART))

# ------------------------------------------------------------------ labels

refused("fewer labels than vectors are a label-count", 422, "label-count",
        batch(npy_batch(X[:3], ["a", "b"]), MULTIPART))
refused("65 labels of an item are a label-count", 422, "label-count",
        items(dict(GOOD, labels=["l%d" % i for i in range(65)])),
        "/items/0/labels")
refused("two labels are a label-count where one is the rule", 422,
        "label-count", items({"id": "z", "vector": V, "labels": ["a", "b"]},
                             c=words), "/items/0/labels")
refused("an empty label is refused", 422, "validation-failed",
        items(dict(GOOD, labels=[""])))
refused("a label of 10,000 characters is refused", 422, "validation-failed",
        items(dict(GOOD, labels=["x" * 10000])))
refused("a label with a control character is refused", 422,
        "validation-failed", items(dict(GOOD, labels=["a\nb"])))
refused("a label that is an object is refused", 422, "validation-failed",
        items(dict(GOOD, labels=[{}])))
refused("labels that are one text instead of a list are refused", 422,
        "validation-failed", items(dict(GOOD, labels="x")), "/items/0/labels")
refused("labels in npy that are floats are refused", 422, "validation-failed",
        batch(npy_batch(X[:2], np.array([1.0, 2.0])), MULTIPART))
refused("a payload above 16 KiB is refused", 422, "validation-failed",
        items(dict(GOOD, payload={"t": "x" * 17000})), "/items/0/payload")
refused("a payload that is no object is refused", 422, "validation-failed",
        items(dict(GOOD, payload=[1])), "/items/0/payload")

# ------------------------------------------------------------------- codes

refused("a code for a learned collection is refused", 422,
        ("validation-failed", "unsupported-option"),
        items({"id": 3, "code": "00ff"}))
refused("a code that is too short is refused", 422,
        ("dim-mismatch", "validation-failed"),
        items({"id": 3, "code": "00ff"}, c=codes), "/items/0/code")
refused("a code that is no hex is refused", 422, "validation-failed",
        items({"id": 3, "code": "00ff00fg"}, c=codes), "/items/0/code")
refused("codes in npy of another width are refused", 422,
        ("dim-mismatch", "validation-failed"),
        batch(npy_batch(np.zeros((2, 5), np.uint8), name="codes"), MULTIPART,
              c=codes))
refused("a vector for a collection of codes is refused", 422,
        ("validation-failed", "unsupported-option"), items(GOOD, c=codes))

# -------------------------------------------------------------------- JSON

refused("an unknown field of an item is an unknown-field", 422,
        "unknown-field", items(dict(GOOD, colour="red")), "/items/0/colour")
refused("an unknown field of a batch is an unknown-field", 422,
        "unknown-field", batch({"items": [GOOD], "mode": "fast"}), "/mode")
refused("an unknown field of the query string is an unknown-field", 422,
        "unknown-field", batch({"items": [GOOD]}, speed="fast"))
refused("an unknown ack is refused", 422,
        ("validation-failed", "unsupported-option"),
        batch({"items": [GOOD]}, ack="soon"))
refused("a batch without items is refused", 422, "validation-failed",
        batch({}))
refused("an empty batch is refused", 422, "validation-failed",
        batch({"items": []}), "/items")
refused("items that are an object are refused", 422, "validation-failed",
        batch({"items": {}}), "/items")
refused("an item that is a number is refused", 422, "validation-failed",
        batch({"items": [3]}), "/items/0")
refused("4,097 items are refused", 422, "validation-failed",
        batch({"items": [dict(vector=V)] * 4097}))
refused("an empty body is malformed-json", 400, "malformed-json",
        batch(b"", JSON))
refused("a body that is cut off is malformed-json", 400, "malformed-json",
        batch(b'{"items":[{"id":1,"vector":[1,2', JSON))
refused("a body with something behind it is malformed-json", 400,
        "malformed-json", batch(b'{"items":[]} x', JSON))
refused("a field twice is malformed-json", 400, "malformed-json",
        batch(b'{"items":[],"items":[]}', JSON))
refused("an array at the top is refused", (400, 422)[1], "validation-failed",
        batch(b'[1]', JSON))
refused("100,000 brackets are json-too-deep", 400, "json-too-deep",
        batch(b'{"items":' + b"[" * 100000, JSON))
refused("brackets in a payload beyond the limit are json-too-deep", 400,
        "json-too-deep",
        batch(b'{"items":[{"vector":[1,1,1,1,1,1,1,1],"payload":' +
              b'{"a":' * 70 + b"1" + b"}" * 70 + b"}]}", JSON))
refused("bytes that are no UTF-8 are malformed-json", 400, "malformed-json",
        batch(b'{"items":[{"id":1,"labels":["\xff"],"vector":[]}]}', JSON))
refused("a lone surrogate is malformed-json", 400, "malformed-json",
        batch(b'{"items":[{"labels":["\\ud800"],"vector":[]}]}', JSON))
refused("a NUL in a label is refused", 422, "validation-failed",
        items(dict(GOOD, labels=["a\0b"])))

# --------------------------------------------------------------- npy, parts


def npy_header(text, data=b"", version=(1, 0)):
    head = text.encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(head))
    return b"\x93NUMPY" + bytes(version) + size + head + data


def npy_vectors(data):
    return batch(multipart([("vectors", data, NPY),
                            ("labels", '["a","b"]', JSON)]), MULTIPART)


whole = npy(X[:2])
for cut, what in ((len(whole) - 1, "one byte short"), (len(whole) - 32,
                                                       "a row short"),
                  (9, "cut in its header"), (4, "cut in its magic"),
                  (0, "empty")):
    refused("a npy that is %s is refused" % what, 422, "validation-failed",
            npy_vectors(whole[:cut]))
refused("a npy with a byte too many is refused", 422, "validation-failed",
        npy_vectors(whole + b"\0"))
HEADERS = (
    ("of doubles", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 8)}"),
    ("of objects", "{'descr': '|O', 'fortran_order': False, 'shape': (2, 8)}"),
    ("big-endian", "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 8)}"),
    ("in Fortran order",
     "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 8)}"),
    ("of one dimension too many",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8, 1)}"),
    ("whose shape overflows", "{'descr': '<f4', 'fortran_order': False, "
     "'shape': (4611686018427387904, 8)}"),
    ("with a negative shape",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 8)}"),
    ("with code for a header", "__import__('os').system('true')"),
    ("without a shape", "{'descr': '<f4', 'fortran_order': False}"),
)
for what, head in HEADERS:
    refused("a npy %s is refused" % what, 422,
            ("validation-failed", "unsupported-option"),
            npy_vectors(npy_header(head + "\n", X[:2].tobytes())))
refused("a npy of version 9 is refused", 422, "validation-failed",
        npy_vectors(npy_header(HEADERS[0][1].replace("f8", "f4"),
                               X[:2].tobytes(), (9, 0))))
refused("a header longer than the npy is refused", 422, "validation-failed",
        npy_vectors(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}"))

refused("a multipart body without its end is malformed-request", 400,
        "malformed-request",
        batch(multipart([("vectors", whole, NPY)], end=False), MULTIPART))
refused("a multipart body without a boundary is malformed-request", 400,
        "malformed-request", batch(multipart([("vectors", whole, NPY)]),
                                   "multipart/form-data"))
refused("a boundary of 71 characters is malformed-request", 400,
        "malformed-request",
        batch(multipart([("vectors", whole, NPY)], "b" * 71),
              "multipart/form-data; boundary=" + "b" * 71))
refused("an unknown part is an unknown-field", 422, "unknown-field",
        batch(multipart([("vectors", whole, NPY), ("colours", b"x")]),
              MULTIPART))
refused("a part twice is refused", 422, "validation-failed",
        batch(multipart([("vectors", whole, NPY), ("vectors", whole, NPY)]),
              MULTIPART))
refused("a batch of parts without vectors is refused", 422,
        "validation-failed", batch(multipart([("labels", '["a"]', JSON)]),
                                   MULTIPART))
refused("labels in a part that are no JSON are malformed-json", 400,
        "malformed-json",
        batch(multipart([("vectors", whole, NPY), ("labels", '["a",', JSON)]),
              MULTIPART))
refused("10,000 parts are refused", (400, 422)[0],
        ("malformed-request", "validation-failed"),
        batch(multipart([("p%d" % i, b"") for i in range(10000)]), MULTIPART))

# ------------------------------------------------------------------ images

SQUARE = png(np.arange(64).reshape(8, 8) * 4)


def picture(data, kind="image/png"):
    return batch(multipart([
        ("meta", '{"items":[{"id":5,"labels":["a"],"image":"p"}]}', JSON),
        ("p", data, kind, "../../p.png")]), MULTIPART, c=pics)


def jpeg():
    """A photograph as a JPEG; from the data set that has some."""
    import tarfile
    place = data_directory("photos", "imagenette10.tar")
    with tarfile.open(place / "imagenette10.tar") as tar:
        for member in tar:
            if member.name.lower().endswith((".jpeg", ".jpg")):
                return tar.extractfile(member).read()
    raise Skip("no JPEG in %s" % place)


BROKEN_JPEG = (b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
               b"\xff\xdb\0\x43\0" + bytes(range(1, 65)) + b"\xff\xda\0")
refused("a broken JPEG is image-undecodable", 422, "image-undecodable",
        picture(BROKEN_JPEG, "image/jpeg"))
refused("a JPEG without its second half is image-undecodable", 422,
        "image-undecodable",
        lambda: picture(jpeg()[:len(jpeg()) // 2], "image/jpeg")())
refused("a PNG without its second half is image-undecodable", 422,
        "image-undecodable", picture(SQUARE[:60]))
refused("a PNG with a wrong checksum is image-undecodable", 422,
        "image-undecodable", picture(SQUARE[:45] + bytes([SQUARE[45] ^ 1]) +
                                     SQUARE[46:]))
refused("a picture that is HTML is image-undecodable", 422,
        "image-undecodable", picture(b"<html><script>alert(1)</script>"))
refused("an empty picture is image-undecodable", 422, "image-undecodable",
        picture(b""))


def png_of_size(w, h):
    head = b"IHDR" + struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 0)
    return (SQUARE[:12] + head + struct.pack(">I", zlib.crc32(head)) +
            SQUARE[33:])


refused("a PNG that says it is 60,000 pixels wide is image-too-large", 422,
        "image-too-large", picture(png_of_size(60000, 60000)))
refused("a PNG of no height is image-undecodable", 422, "image-undecodable",
        picture(png_of_size(8, 0)))
refused("an item that names an absent part is refused", 422,
        "validation-failed",
        batch(multipart([("meta", '{"items":[{"id":5,"image":"q"}]}', JSON),
                         ("p", SQUARE, "image/png")]), MULTIPART, c=pics))
refused("a picture in base64 that is none is refused", 422,
        ("validation-failed", "image-undecodable"),
        items({"id": 5, "image": "%%%"}, c=pics), "/items/0/image")
refused("a picture for a collection without an extractor is refused", 422,
        ("validation-failed", "unsupported-option"),
        items({"id": 5, "image": base64.b64encode(SQUARE).decode()}))
refused("a broken picture as a query is image-undecodable", 422,
        "image-undecodable", search(SQUARE[:60], pics, "image/png"))

# ------------------------------------------------------------------ search

refused("a query of another dimension is a dim-mismatch", 422, "dim-mismatch",
        search({"query": {"vector": V[:5]}}), "/query/vector")
refused("a query with nothing in it is refused", 422, "validation-failed",
        search({"query": {}}), "/query")
refused("a query with two things in it is refused", 422, "validation-failed",
        search({"query": {"vector": V, "id": 100}}), "/query")
refused("a query by an id that there is not is refused", 404, "not-found",
        search({"query": {"id": 99999}}))
refused("a query by a short code is refused", 422,
        ("dim-mismatch", "validation-failed"),
        search({"query": {"code": "00"}}), "/query/code")
for limit in (0, -1, 1001, 1.5, "10", None):
    refused("a limit of %s is refused" % json.dumps(limit), 422,
            "validation-failed",
            search({"query": {"vector": V}, "limit": limit}), "/limit")
for radius in (-1, 17, 2.5, "3"):
    refused("a max_distance of %s is refused" % json.dumps(radius), 422,
            "validation-failed",
            search({"query": {"vector": V}, "max_distance": radius}),
            "/max_distance")
refused("an unknown field of a search is an unknown-field", 422,
        "unknown-field", search({"query": {"vector": V}, "k": 10}), "/k")
refused("an unknown condition of a filter is an unknown-field", 422,
        "unknown-field",
        search({"query": {"vector": V}, "filter": {"must": [{"tag": "x"}]}}),
        "/filter/must/0/tag")
refused("an unknown clause of a filter is an unknown-field", 422,
        "unknown-field",
        search({"query": {"vector": V}, "filter": {"may": []}}), "/filter/may")
refused("a filter that is a list is refused", 422, "validation-failed",
        search({"query": {"vector": V}, "filter": []}), "/filter")
refused("an unknown thing to add to hits is refused", 422,
        ("validation-failed", "unsupported-option"),
        search({"query": {"vector": V}, "with": ["colour"]}), "/with/0")
refused("a cursor that was made up is an invalid-cursor", 400,
        "invalid-cursor", search({"query": {"vector": V}, "max_distance": 16,
                                  "cursor": "bm90IGEgY3Vyc29y"}))
refused("a cursor of a scroll that was made up is an invalid-cursor", 400,
        "invalid-cursor",
        lambda: daemon.get(shoes.path + "/items", cursor="%%%"))
refused("1,025 queries at once are refused", 422, "validation-failed",
        lambda: daemon.post(shoes.path + "/search/batch",
                            {"queries": [{"query": {"id": 100}}] * 1025}))
refused("a wrong query among many is told by its place", 422, "dim-mismatch",
        lambda: daemon.post(shoes.path + "/search/batch",
                            {"queries": [{"query": {"vector": V}},
                                         {"query": {"vector": V[:3]}}]}),
        "/queries/1/query/vector")
refused("vectors to encode of another width are a dim-mismatch", 422,
        "dim-mismatch",
        lambda: daemon.post(shoes.path + "/encode",
                            npy(np.zeros((2, 9), np.float32)), type=NPY))

# ------------------------------------------------------------------ reranks

def rerank(value, query=None, c=None, **rest):
    return search(dict(rest, query=query or {"vector": V}, rerank=value), c)


refused("a rerank by something else is an unsupported-option", 422,
        "unsupported-option", rerank({"by": "colour"}), "/rerank/by")
refused("a rerank by nothing is an unsupported-option", 422,
        "unsupported-option", rerank({"oversample": 2}), "/rerank/by")
refused("a rerank that is a string is refused", 422, "validation-failed",
        rerank("feature"), "/rerank")
refused("an unknown field of a rerank is an unknown-field", 422,
        "unknown-field", rerank({"by": "feature", "k": 1}), "/rerank/k")
for bad in (0, -1, 1.5, "4", 10001):
    refused("an oversample of %s is refused" % json.dumps(bad), 422,
            "validation-failed", rerank({"by": "feature", "oversample": bad}),
            "/rerank/oversample")
refused("more candidates than the limit are refused", 422, "validation-failed",
        rerank({"by": "feature", "oversample": 11}, limit=1000),
        "/rerank/oversample")
refused("a rerank of a query by code is an unsupported-option", 422,
        "unsupported-option", rerank({"by": "asymmetric"}, {"code": "0000"}),
        "/rerank")
refused("a rerank of codes from outside is an unsupported-option", 422,
        "unsupported-option",
        rerank({"by": "feature"}, {"code": "00" * 4}, codes), "/rerank")
refused("a page of a rerank is refused", 422, "validation-failed",
        rerank({"by": "feature"}, max_distance=16, cursor="x"), "/cursor")
NPY_ROW = npy(np.array([V], np.float32))
refused("a rerank of an npy by something else is refused", 422,
        "unsupported-option",
        lambda: daemon.post(shoes.path + "/search", NPY_ROW, type=NPY,
                            rerank="colour"), "/rerank")
refused("an oversample without a rerank is refused", 422, "validation-failed",
        lambda: daemon.post(shoes.path + "/search", NPY_ROW, type=NPY,
                            oversample=4), "/oversample")
refused("too many candidates of an npy are refused", 422, "validation-failed",
        lambda: daemon.post(shoes.path + "/search", NPY_ROW, type=NPY,
                            limit=1000, rerank="feature", oversample=11),
        "/oversample")

# ------------------------------------------------------------ routes, types

refused("an unknown collection is not-found", 404, "not-found",
        lambda: daemon.post("/v1/collections/boots/batches",
                            {"items": [GOOD]}))
refused("a search in an unknown collection is not-found", 404, "not-found",
        lambda: daemon.post("/v1/collections/boots/search",
                            {"query": {"vector": V}}))
refused("an item that there is not is not-found", 404, "not-found",
        lambda: shoes.item(99))
refused("deleting an item that there is not is not-found", 404, "not-found",
        lambda: daemon.delete(shoes.path + "/items/99"))
refused("relabelling an item that there is not is not-found", 404,
        "not-found", lambda: daemon.patch(shoes.path + "/items/99",
                                          {"labels": ["a"]}))
refused("an item by an id that is no number is refused", (404, 422)[1],
        "validation-failed", lambda: shoes.item("abc"))
refused("an unknown route is not-found", 404, "not-found",
        lambda: daemon.get("/v1/nothing"))
refused("a method that a route does not have is method-not-allowed", 405,
        "method-not-allowed", lambda: daemon.delete(shoes.path + "/search"))
refused("the method TRACE is method-not-allowed", 405, "method-not-allowed",
        lambda: daemon.request("TRACE", "/v1/collections"))
refused("an unknown model version is not-found", 404, "not-found",
        lambda: daemon.get(shoes.path + "/models/77/export"))
refused("a rollback to an unknown version is not-found", 404, "not-found",
        lambda: daemon.post(shoes.path + "/models/77/rollback"))
refused("a batch that nobody sent is not-found", 404, "not-found",
        lambda: daemon.get(shoes.path + "/batches/9999"))
for kind in ("text/plain", "application/octet-stream", "application/xml",
             "application/jsonx", "nonsense"):
    refused("a batch as %s is unsupported-media-type" % kind, 415,
            "unsupported-media-type", batch(b'{"items":[]}', kind))
refused("a batch without a content type is unsupported-media-type", 415,
        "unsupported-media-type",
        lambda: daemon.post(shoes.path + "/batches", b'{"items":[]}'))
refused("a search as a form is unsupported-media-type", 415,
        "unsupported-media-type",
        search(b"q=1", type="application/x-www-form-urlencoded"))


@test("what is unsupported-media-type lists what would be accepted")
def _():
    body = batch(b"x", "text/plain")().problem(415, "unsupported-media-type")
    for kind in (JSON, NDJSON):
        check(kind in json.dumps(body), "%s is not in %s" % (kind, body))


# --------------------------------------------------------------- collections

def make(body, name="new"):
    return lambda: daemon.put("/v1/collections/" + name, body)


OK = {"bits": 16, "features": {"dim": 8}, "model": {"kind": "hmoh"}}
for bits in (0, 12, 1032, -8, "16", 16.0, None):
    refused("a collection of %s bits is refused" % json.dumps(bits), 422,
            "validation-failed", make(dict(OK, bits=bits)), "/bits")
for name, path in (("with capitals", "New"), ("that begins with a dash",
                                              "-new"),
                   ("of 64 characters", "n" * 64), ("with a dot", "a.b"),
                   ("that climbs", "..%2f..%2fetc")):
    refused("a name %s is refused" % name, 422, "validation-failed",
            make(OK, path))
refused("a collection without a dimension is refused", 422,
        "validation-failed", make({"bits": 16, "model": {"kind": "hmoh"}}))
for dim in (0, -1, 65537, 1.5):
    refused("a dimension of %s is refused" % dim, 422, "validation-failed",
            make(dict(OK, features={"dim": dim})), "/features/dim")
refused("an unknown kind of model is refused", 422,
        ("validation-failed", "unsupported-option"),
        make(dict(OK, model={"kind": "magic"})), "/model/kind")
refused("an unknown parameter of a model is an unknown-field", 422,
        "unknown-field",
        make(dict(OK, model={"kind": "hmoh", "params": {"sed": 1}})),
        "/model/params/sed")
refused("a parameter out of its range is refused", 422, "validation-failed",
        make(dict(OK, model={"kind": "hmoh",
                             "params": {"kernel_anchors": -1}})),
        "/model/params/kernel_anchors")
refused("an unknown field of a collection is an unknown-field", 422,
        "unknown-field", make(dict(OK, colour="red")), "/colour")
refused("an unknown field of its features is an unknown-field", 422,
        "unknown-field", make(dict(OK, features={"dim": 8, "len": 8})),
        "/features/len")
refused("an unknown policy is refused", 422,
        ("validation-failed", "unsupported-option"),
        make(dict(OK, publish={"policy": "daily"})), "/publish/policy")
refused("an unknown extractor is refused", 422,
        ("validation-failed", "unsupported-option"),
        make({"bits": 16, "model": {"kind": "hmoh"}, "extractor": "eyes"}),
        "/extractor")
refused("a dimension that the extractor does not have is refused", 422,
        ("validation-failed", "dim-mismatch"),
        make(dict(OK, extractor="pixels-28x28x1")), "/features/dim")
refused("a known name with other settings is already-exists", 409,
        "already-exists", make(dict(OK, bits=24), "shoes"))
refused("changing the bits of a collection is refused", 422,
        ("validation-failed", "unsupported-option", "unknown-field"),
        lambda: daemon.patch(shoes.path, {"bits": 24}), "/bits")
refused("patching an unknown field is an unknown-field", 422, "unknown-field",
        lambda: daemon.patch(shoes.path, {"colour": "red"}), "/colour")

# ---------------------------------------------------------------------- keys

for key, what in (("short", "of 5 characters"), ("k" * 129,
                                                 "of 129 characters"),
                  ("a key of words", "with blanks")):
    refused("an Idempotency-Key %s is refused" % what, 422,
            "validation-failed",
            batch({"items": [GOOD]}, headers={"Idempotency-Key": key}))
refused("a producer that begins at 5 has a sequence-gap", 409, "sequence-gap",
        batch({"items": [GOOD]}, headers={"Akin-Producer": "camera; seq=5"}))
refused("a producer without a number is refused", 422, "validation-failed",
        batch({"items": [GOOD]}, headers={"Akin-Producer": "camera"}))

# ------------------------------------------------------------- who may speak

refused("a foreign Origin is forbidden", 403, "forbidden",
        batch({"items": [GOOD]}, headers={"Origin": "https://evil.example"}))
refused("a foreign Origin may not read either", 403, "forbidden",
        lambda: daemon.get("/v1/collections",
                           headers={"Origin": "https://evil.example"}))
refused("a null Origin is forbidden", 403, "forbidden",
        batch({"items": [GOOD]}, headers={"Origin": "null"}))
refused("a cross-site request is forbidden", 403, "forbidden",
        batch({"items": [GOOD]}, headers={"Sec-Fetch-Site": "cross-site"}))
for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil:80",
             "169.254.169.254"):
    refused("the Host %s is forbidden" % host, 403, "forbidden",
            lambda host=host: daemon.get("/v1/collections",
                                         headers={"Host": host}))


@test("a loopback Host and an Origin of our own are welcome")
def _():
    for host in ("localhost", "127.0.0.1", "[::1]", "localhost:%d" %
                 daemon.port):
        daemon.get("/v1/collections", headers={"Host": host}).expect(200)
    daemon.get("/v1/collections",
               headers={"Origin": daemon.url,
                        "Sec-Fetch-Site": "same-origin"}).expect(200)


# ---------------------------------------------------------------- large bodies


@test("a body of 100 MB is body-too-large before it was sent")
def _():
    size = 100 * 1000 * 1000
    head = ("POST %s/batches HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: %s\r\nContent-Length: %d\r\n\r\n" %
            (shoes.path, JSON, size)).encode()
    with daemon.connect() as sock:
        sock.sendall(head)
        # Nothing of the body is on its way when the answer comes.
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        Reply("100 MB", answer.status, answer.getheaders(),
              answer.read()).problem(413, "body-too-large")
    unchanged()


@test("a body of 100 MB that is sent anyway is refused all the same")
def _():
    head = ("POST %s/batches HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: %s\r\nContent-Length: %d\r\n\r\n" %
            (shoes.path, JSON, 100 * 1000 * 1000)).encode()
    answers = daemon.raw(head + bytes(100 * 1000 * 1000))
    # The answer can be lost with the connection, which ends while we send.
    if answers:
        answers[0].problem(413, "body-too-large")
    else:
        check(daemon.raw_closed, "the connection stays open")
    equal(daemon.get("/healthz").status, 200, "status of /healthz")
    unchanged()


@test("a chunked body without an end is cut off at the limit")
def _():
    limit = daemon.get("/v1/limits").expect(200).json
    check(limit, "limits are empty")
    sent = 0
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with daemon.connect() as sock:
        sock.sendall(("POST %s/batches HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                      "Content-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
                      % (shoes.path, JSON)).encode())
        sock.settimeout(DEADLINE)
        try:
            while sent < 200 * 1000 * 1000:
                sock.sendall(piece)
                sent += len(piece)
                if select.select([sock], [], [], 0)[0]:
                    break
        except (BrokenPipeError, ConnectionResetError):
            pass
    check(sent < 100 * 1000 * 1000, "%d bytes were taken" % sent)
    equal(daemon.get("/healthz").status, 200, "status of /healthz")
    unchanged()


@test("after all of this the daemon still learns, searches and publishes")
def _():
    answer = shoes.batch({"items": [GOOD]}, ack="visible")
    equal(answer["accepted"], 1, "accepted")
    version = shoes.publish()
    found = shoes.search({"id": 1}, limit=1)
    equal(found["items"][0]["distance"], 0, "distance to itself")
    equal(found["model_version"], version, "version")


main()
