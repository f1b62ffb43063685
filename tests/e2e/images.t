#!/usr/bin/python3 -B
"""Images in, by the built-in extractor: decoded, resized, hashed, found."""

from akin_test import *

daemon = Daemon().start()
X, Y = images("fashion-mnist")
HMOH = {"kind": "hmoh", "params": {"seed": 3, "kernel_anchors": 50}}
c = daemon.collection("pics", bits=64, extractor="pixels-28x28x1", model=HMOH,
                      images={"store": "original"})


def picture_batch(rows, first):
    """multipart: meta and a file for each."""
    meta = {"items": [{"id": first + k, "labels": ["c%d" % Y[i]],
                       "image": "file%d" % k} for k, i in enumerate(rows)]}
    parts = [("meta", json.dumps(meta), JSON)]
    parts += [("file%d" % k, png(X[i]), "image/png", "photo %d.png" % i)
              for k, i in enumerate(rows)]
    return multipart(parts)


@test("images are a batch as multipart")
def _():
    for at in range(0, 300, 100):
        answer = c.batch(picture_batch(range(at, at + 100), at), MULTIPART,
                         ack="learned")
        equal(answer["accepted"], 100, "accepted")
    c.publish()
    equal(c.info()["items"], 300, "items")


@test("an image of the right size becomes its pixels in [0,1]")
def _():
    for i in (0, 77, 299):
        body = c.item(i, **{"with": "vector"}).expect(200).json
        difference = np.abs(np.array(body["vector"], np.float32) -
                            pixels(X[i:i + 1])[0]).max()
        check(difference < 1e-6, "a pixel is off by %g" % difference)


@test("images are a batch in JSON, too")
def _():
    rows = [{"id": 1000 + i, "labels": ["c%d" % Y[i]],
             "image": base64.b64encode(png(X[i])).decode()}
            for i in range(400, 410)]
    c.batch({"items": rows}, ack="visible")
    equal(c.info()["items"], 310, "items")
    code = c.item(1400, **{"with": "code"}).json["code"]
    equal(code, c.encode(pixels(X[400:401]))[0].tobytes().hex(), "code")


@test("vectors go into the same collection")
def _():
    c.learn(pixels(X[500:510]), ["c%d" % y for y in Y[500:510]],
            ids=list(range(2000, 2010)), ack="visible")
    found = c.search({"id": 2000}, limit=1)
    equal(found["items"][0]["distance"], 0, "distance")


@test("a body that is an image is a query")
def _():
    for i in (3, 33, 250):
        reply = daemon.post(c.path + "/search", png(X[i]), type="image/png",
                            limit=5).expect(200)
        equal(reply.json["items"][0]["distance"], 0, "distance")
        expected = c.search({"id": i}, limit=5)
        equal(reply.json["items"], expected["items"], "hits")
        check("decode;dur=" in reply.headers.get("server-timing", ""),
              "Server-Timing is %r" % reply.headers.get("server-timing"))


@test("an image in base64 is a query")
def _():
    found = c.search({"image": base64.b64encode(png(X[8])).decode()}, limit=3)
    equal(found["items"], c.search({"id": 8}, limit=3)["items"], "hits")


@test("an image is encoded and nothing is stored")
def _():
    n = c.info()["items"]
    reply = daemon.post(c.path + "/encode", png(X[9]), type="image/png")
    equal(reply.expect(200).json["codes"],
          [c.encode(pixels(X[9:10]))[0].tobytes().hex()], "codes")
    equal(c.info()["items"], n, "items")


@test("a larger image is resized by areas")
def _():
    # Each pixel four times each way: its areas have just its value.
    large = np.kron(X[15], np.ones((4, 4), np.uint8))
    reply = daemon.post(c.path + "/encode", png(large), type="image/png")
    equal(reply.expect(200).json["codes"],
          [c.encode(pixels(X[15:16]))[0].tobytes().hex()], "codes")


@test("a photograph is taken as a JPEG, whatever its type says")
def _():
    import tarfile
    place = data_directory("photos", "imagenette10.tar")
    photos = []
    with tarfile.open(place / "imagenette10.tar") as tar:
        for member in tar:
            if member.name.lower().endswith((".jpeg", ".jpg")):
                photos.append(tar.extractfile(member).read())
            if len(photos) == 10:
                break
    c.batch(image_batch(photos, [["photo"]] * 10, 3000, "image/jpeg"), MULTIPART,
            ack="visible")
    for k, data in enumerate(photos):
        for kind in ("image/jpeg", "image/png"):
            reply = daemon.post(c.path + "/search", data, type=kind,
                                limit=1).expect(200)
            equal(reply.json["items"][0]["distance"], 0, "distance")


@test("a stored original comes back byte for byte")
def _():
    reply = daemon.get("%s/items/%d/image" % (c.path, 42)).expect(200)
    equal(reply.body, png(X[42]), "bytes of the image")
    equal(reply.headers["content-type"], "image/png", "content type")


@test("images are found again after a restart")
def _():
    daemon.restart()
    reply = daemon.post(c.path + "/search", png(X[42]), type="image/png",
                        limit=1).expect(200)
    equal(reply.json["items"][0]["distance"], 0, "distance")
    reply = daemon.get("%s/items/%d/image" % (c.path, 42)).expect(200)
    equal(reply.body, png(X[42]), "bytes of the image")


main()
