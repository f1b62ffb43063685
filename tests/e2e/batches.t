#!/usr/bin/python3 -B
"""Labelled batches: every form, every ack, and each exactly once."""

from akin_test import *

daemon = Daemon().start()
HMOH = {"kind": "hmoh", "params": {"seed": 3, "kernel_anchors": 16}}
X, Y = clusters(4096, dim=16, seed=5)
LABELS = ["c%d" % y for y in Y]


def stored(c, id):
    """The vector of an item, as floats."""
    body = c.item(id, **{"with": "vector"}).expect(200).json
    return np.array(body["vector"], np.float32)


# ------------------------------------------------------------------- forms

forms = daemon.collection("forms", dim=16, labels={"mode": "multi"},
                          model=HMOH)


@test("a JSON batch is stored as it was sent")
def _():
    rows = [{"id": 10 + i, "vector": X[i].tolist(), "labels": [LABELS[i], "x"],
             "payload": {"n": i, "text": "größe <b>'\";--"}} for i in range(5)]
    answer = forms.batch({"items": rows})
    equal(answer["accepted"], 5, "accepted")
    equal(answer["first_id"], 10, "first_id")
    equal(answer["state"], "durable", "state")
    check(answer["seq"] >= 1, "seq is %r" % answer["seq"])
    forms.wait_visible(answer["seq"])
    for i, row in enumerate(rows):
        found = forms.item(row["id"]).expect(200).json
        equal(found["labels"], row["labels"], "labels")
        equal(found["payload"], row["payload"], "payload")
        check((stored(forms, row["id"]) == X[i]).all(), "the vector changed")


@test("a npy batch is stored as it was sent, with labels and ids in JSON")
def _():
    forms.learn(X[:100], [[l, "y"] for l in LABELS[:100]],
                ids=list(range(1000, 1100)), ack="visible")
    for i in (0, 57, 99):
        check((stored(forms, 1000 + i) == X[i]).all(), "the vector changed")
        equal(forms.item(1000 + i).json["labels"], [LABELS[i], "y"], "labels")


@test("labels and ids may be npy of integers: a label is its decimal text")
def _():
    forms.learn(X[:50], Y[:50], ids=np.arange(2000, 2050), ack="visible")
    equal([forms.item(2000 + i).json["labels"] for i in range(50)],
          [[str(y)] for y in Y[:50]], "labels")
    forms.learn(X[:2], np.array([7, 255], np.uint8),
                ids=np.array([3000, 3001], np.uint32), ack="visible")
    equal(forms.item(3001).json["labels"], ["255"], "label of a byte")


@test("labels in JSON may be numbers")
def _():
    forms.learn(X[:2], [4, [5, "six"]], ids=[3100, 3101], ack="visible")
    equal(forms.item(3100).json["labels"], ["4"], "labels")
    equal(forms.item(3101).json["labels"], ["5", "six"], "labels")


@test("a npy of version 2 is taken, too")
def _():
    out = io.BytesIO()
    np.lib.format.write_array(out, X[:3], version=(2, 0))
    forms.batch(multipart([("vectors", out.getvalue()),
                           ("labels", '["a","b","c"]'),
                           ("ids", "[3200,3201,3202]")]), MULTIPART,
                ack="visible")
    check((stored(forms, 3202) == X[2]).all(), "the vector changed")


@test("a boundary that occurs in the data does no harm")
def _():
    payload = {"text": "\r\n--" + BOUNDARY[:-1] + "\r\n--"}
    forms.batch({"items": [{"id": 3300, "vector": X[0].tolist(),
                            "payload": payload}]}, ack="visible")
    equal(forms.item(3300).json["payload"], payload, "payload")
    # As bytes of a vector: the boundary without its last character.
    text = ("\r\n--" + BOUNDARY[:-1]).ljust(64)[:64].encode()
    vector = np.frombuffer(text, np.float32)
    check(np.isfinite(vector).all(), "not finite")
    forms.learn(vector[None], ["a"], ids=[3301], ack="visible")
    equal(stored(forms, 3301).tobytes(), text, "vector")


@test("ids that were left out are assigned upward")
def _():
    c = daemon.collection("assigned", dim=16, model=HMOH)
    first = c.learn(X[:3], LABELS[:3])["first_id"]
    second = c.learn(X[3:6], LABELS[3:6])["first_id"]
    equal(second, first + 3, "second first_id")
    c.learn(X[:1], LABELS[:1], ids=[5000])
    answer = c.learn(X[:2], LABELS[:2], ack="visible")
    check(answer["first_id"] > 5000, "first_id is %d" % answer["first_id"])
    ids = [i["id"] for i in c.items()]
    equal(len(set(ids)), 9, "different ids")


@test("a known id is replaced, and counted once")
def _():
    c = daemon.collection("replaced", dim=16, model=HMOH)
    c.learn(X[:3], LABELS[:3], ids=[1, 2, 3], ack="visible")
    c.learn(X[10:11], ["new"], ids=[2], ack="visible")
    equal(c.info()["items"], 3, "items")
    check((stored(c, 2) == X[10]).all(), "the old vector is there")
    equal([i["id"] for i in c.items()], [1, 3, 2], "order of arrival")
    equal(c.item(2).json["labels"], ["new"], "labels")


@test("vectors of f16 are rounded at the border")
def _():
    c = daemon.collection("half", dim=16, model=HMOH,
                          features={"dim": 16, "store": "f16"})
    c.learn(X[:20], LABELS[:20], ids=list(range(20)), ack="visible")
    for i in range(20):
        expected = X[i].astype(np.float16).astype(np.float32)
        check((stored(c, i) == expected).all(), "vector %d" % i)
    c.publish()
    # A query is rounded alike.
    found = c.search({"vector": X[7].tolist()}, limit=1)
    equal(found["query_code"],
          c.item(7, **{"with": "code"}).json["code"], "code of the query")


@test("string ids of any bytes come back as they were")
def _():
    c = daemon.collection("texts", dim=16, model=HMOH, ids="string")
    ids = ["a", "../../x", "ü/ß?#%20", "'; drop table rows; --", "😀" * 32,
           "x" * 128, " ", "%2e%2e"]
    c.batch({"items": [{"id": id, "vector": X[i].tolist()}
                       for i, id in enumerate(ids)]}, ack="visible")
    equal([i["id"] for i in c.items()], ids, "ids")
    for id in ids:
        equal(c.item(id).expect(200).json["id"], id, "id")


@test("codes are stored and searched as they came, in JSON and in npy")
def _():
    c = daemon.collection("codes", bits=32, model={"kind": "external"})
    data = np.random.default_rng(4).integers(0, 256, (200, 4)).astype(np.uint8)
    c.batch(npy_batch(data[:100], LABELS[:100], list(range(100)), "codes"),
            MULTIPART)
    c.batch({"items": [{"id": 100 + i, "code": row.tobytes().hex(),
                        "labels": ["j"]} for i, row in enumerate(data[100:])]},
            ack="visible")
    ids, codes = c.codes()
    equal(sorted(ids), list(range(200)), "ids")
    for id, code in zip(ids, codes):
        equal(code.tobytes(), data[id].tobytes(), "code of %d" % id)


# ------------------------------------------------------------------- NDJSON

def lines(n, first=0):
    return [json.dumps({"id": first + i, "vector": X[i].tolist(),
                        "labels": [LABELS[i]]}) for i in range(n)]


def stream(c, text, expect=200, headers=None, **query):
    reply = daemon.post(c.path + "/batches", text.encode()
                        if isinstance(text, str) else text, type=NDJSON,
                        headers=headers, **query).expect(expect)
    return [json.loads(line) for line in reply.body.splitlines()]


@test("NDJSON is cut into chunks, each with a line in the answer")
def _():
    c = daemon.collection("ndjson", dim=16, model=HMOH)
    answers = stream(c, "\n".join(lines(1000)) + "\n", chunk=256,
                     ack="visible")
    equal([a["accepted"] for a in answers], [256, 256, 256, 232], "accepted")
    seqs = [a["seq"] for a in answers]
    equal(seqs, sorted(set(seqs)), "seqs")
    equal(len(c.items()), 1000, "items")


@test("no last newline, CRLF and blank lines are all the same")
def _():
    c = daemon.collection("newlines", dim=16, model=HMOH)
    some = lines(6)
    stream(c, "\r\n".join(some[:2]) + "\r\n\r\n\n" + "\n".join(some[2:]),
           ack="visible")
    equal([i["id"] for i in c.items()], list(range(6)), "ids")


@test("NDJSON in pieces of any size is the same, also within a character")
def _():
    c = daemon.collection("pieces", dim=16, model=HMOH, ids="string")
    rows = [json.dumps({"id": "ü😀%d" % i, "vector": X[i].tolist()},
                       ensure_ascii=False) for i in range(40)]
    data = ("\n".join(rows) + "\n").encode()
    with daemon.connect() as sock:
        sock.sendall(("POST %s/batches?chunk=16&ack=visible HTTP/1.1\r\nHost: "
                      "127.0.0.1\r\nContent-Type: %s\r\nConnection: close\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n" %
                      (c.path, NDJSON)).encode())
        at = 0
        for size in (1, 2, 3, 5, 7, 11, 13, 1000, 17, 10000, 10**6):
            piece = data[at:at + size]
            at += size
            if piece:
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")
        while sock.recv(65536):
            pass
    equal([i["id"] for i in c.items()], ["ü😀%d" % i for i in range(40)],
          "ids")


@test("a bad line refuses its chunk and what follows, and keeps what was before")
def _():
    c = daemon.collection("badline", dim=16, model=HMOH)
    some = lines(40)
    some[25] = '{"id":25,"vector":[1,2]}'
    reply = daemon.post(c.path + "/batches", "\n".join(some).encode(),
                        type=NDJSON, chunk=10)
    answers = [json.loads(line) for line in reply.body.splitlines()]
    equal([a.get("accepted") for a in answers[:2]], [10, 10], "first chunks")
    check("dim-mismatch" in json.dumps(answers[2]), "the third is %r" %
          answers[2])
    equal(len(answers), 3, "lines of the answer")
    seq = answers[1]["seq"]
    c.wait_visible(seq)
    equal([i["id"] for i in c.items()], list(range(20)), "ids")
    equal(c.info()["seq"], seq, "seq")


@test("a line of 2 MiB does not fit, or is stored whole, and never in part")
def _():
    c = daemon.collection("longline", dim=16, model=HMOH)
    row = json.dumps({"id": 1, "vector": X[0].tolist(),
                      "payload": {"t": "x" * (2 << 20)}})
    reply = daemon.post(c.path + "/batches", row.encode(), type=NDJSON)
    check(reply.status in (413, 422) or b"problem" in reply.body,
          "the answer is %r" % reply)
    equal(c.info()["items"], 0, "items")


@test("a stream that is sent again with its key resumes where it broke")
def _():
    c = daemon.collection("resumed", dim=16, model=HMOH)
    key = {"Idempotency-Key": "stream-0001"}
    first = stream(c, "\n".join(lines(512)) + "\n", headers=key, chunk=256)
    again = stream(c, "\n".join(lines(1024)) + "\n", headers=key, chunk=256,
                   ack="visible")
    equal([a["seq"] for a in again[:2]], [a["seq"] for a in first], "seqs")
    equal(len(again), 4, "lines of the answer")
    equal(c.info()["items"], 1024, "items")
    equal(c.info()["seq"], 4, "seq")


# -------------------------------------------------------- ack, keys, producers

@test("each ack answers with the state that it waited for")
def _():
    c = daemon.collection("acks", dim=16, model=HMOH)
    for ack in ("durable", "learned", "visible"):
        answer = c.learn(X[:64], LABELS[:64], ack=ack)
        order = ["durable", "learned", "visible"]
        check(order.index(answer["state"]) >= order.index(ack),
              "state %s after ack=%s" % (answer["state"], ack))
    equal(c.stream()["visible_seq"] >= answer["seq"], True, "visible")
    ids = {i["id"] for i in c.items()}
    check(answer["first_id"] in ids, "the item is not there")


def keyed(c, key, n=8, first=0, label=None, **query):
    return daemon.post(c.path + "/batches",
                       npy_batch(X[first:first + n],
                                 [label or l for l in LABELS[first:first + n]]),
                       type=MULTIPART, headers={"Idempotency-Key": key},
                       **query)


@test("the same key and request have the same answer and happen once")
def _():
    c = daemon.collection("keys", dim=16, model=HMOH)
    first = keyed(c, "batch-0001").expect(200)
    check("idempotency-replayed" not in first.headers, "it is no replay")
    again = keyed(c, "batch-0001").expect(200)
    equal(again.headers.get("idempotency-replayed"), "true", "replayed")
    for field in ("seq", "accepted", "first_id"):
        equal(again.json[field], first.json[field], field)
    # Ids were left out: a second time would have made eight more.
    c.wait_visible(first.json["seq"])
    equal(c.info()["items"], 8, "items")
    equal(c.info()["seq"], 1, "seq")


@test("a replay waits for the ack that is asked for now")
def _():
    c = Collection(daemon, "keys")
    answer = keyed(c, "batch-0001", ack="visible").expect(200).json
    equal(answer["state"], "visible", "state")


@test("the same key and another request is idempotency-key-reused")
def _():
    c = Collection(daemon, "keys")
    keyed(c, "batch-0001", first=100).problem(422, "idempotency-key-reused")
    equal(c.info()["seq"], 1, "seq")


@test("a key belongs to its collection")
def _():
    c = daemon.collection("keys2", dim=16, model=HMOH)
    reply = keyed(c, "batch-0001").expect(200)
    check("idempotency-replayed" not in reply.headers, "it is no replay")


@test("keys hold after a restart")
def _():
    c = Collection(daemon, "keys")
    daemon.restart()
    again = keyed(c, "batch-0001").expect(200)
    equal(again.headers.get("idempotency-replayed"), "true", "replayed")
    equal(c.info()["items"], 8, "items")


@test("twenty twins at once happen once")
def _():
    c = daemon.collection("twins", dim=16, model=HMOH)
    replies = []

    def send():
        replies.append(keyed(c, "twin-00001"))
    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal([r.status for r in replies], [200] * 20, "statuses")
    equal(len({r.json["seq"] for r in replies}), 1, "number of seqs")
    equal(len([r for r in replies if "idempotency-replayed"
               not in r.headers]), 1, "answers that are no replay")
    c.wait_visible(replies[0].json["seq"])
    equal(c.info()["items"], 8, "items")


def produced(c, seq, name="camera-1", first=0):
    return daemon.post(c.path + "/batches",
                       npy_batch(X[first:first + 4], LABELS[first:first + 4]),
                       type=MULTIPART,
                       headers={"Akin-Producer": "%s; seq=%d" % (name, seq)})


@test("a producer's numbers count up; an old one replays; a gap is told")
def _():
    c = daemon.collection("produced", dim=16, model=HMOH)
    one = produced(c, 1).expect(200).json
    two = produced(c, 2, first=4).expect(200).json
    check(two["seq"] > one["seq"], "seqs %d, %d" % (one["seq"], two["seq"]))
    again = produced(c, 2, first=4).expect(200)
    equal(again.headers.get("idempotency-replayed"), "true", "replayed")
    gap = produced(c, 4).problem(409, "sequence-gap")
    equal(gap.get("expected"), 3, "expected")
    produced(c, 1, name="camera-2", first=8).expect(200)
    c.wait_visible(c.stream()["durable_seq"])
    equal(c.info()["items"], 12, "items")


@test("a producer continues after a restart")
def _():
    c = Collection(daemon, "produced")
    daemon.restart()
    equal(produced(c, 4).problem(409, "sequence-gap")["expected"], 3,
          "expected")
    produced(c, 3, first=20).expect(200)
    reply = produced(c, 1).expect(200)
    equal(reply.headers.get("idempotency-replayed"), "true", "replayed")


def last_of(c, name="camera-1"):
    return daemon.get("%s/producers/%s" % (c.path, name)).expect(200).json


@test("a producer can ask for its last number, also after a kill")
def _():
    c = Collection(daemon, "produced")
    equal(last_of(c)["last_seq"], 3, "last_seq")
    equal(last_of(c, "nobody"), {"producer": "nobody", "last_seq": 0,
                                 "record_seq": None}, "of nobody")
    answer = produced(c, 4, first=40).expect(200).json
    daemon.kill()
    daemon.start()
    equal(last_of(c), {"producer": "camera-1", "last_seq": 4,
                       "record_seq": answer["seq"]}, "its last number")
    daemon.get(c.path + "/producers/a%20b").problem(
        422, "validation-failed", "/name")


@test("a number with another body is idempotency-key-reused")
def _():
    c = Collection(daemon, "produced")
    before = c.info()["seq"]
    problem = produced(c, 4, first=60).problem(422, "idempotency-key-reused")
    check("seq" in problem["detail"], problem["detail"])
    produced(c, 2, first=61).problem(422, "idempotency-key-reused")
    equal(c.info()["seq"], before, "seq")


@test("a batch of no items takes a producer's number, and nothing else")
def _():
    c = Collection(daemon, "produced")
    before = c.stream()["durable_seq"]
    number = {"Akin-Producer": "camera-3; seq=1"}
    for body, type in (({"items": []}, None),
                       (multipart([("meta", '{"items": []}', JSON)]),
                        MULTIPART)):
        number["Akin-Producer"] = "camera-3; seq=%d" % (
            last_of(c, "camera-3")["last_seq"] + 1)
        reply = daemon.post(c.path + "/batches", body, type=type,
                            headers=number).expect(200)
        equal((reply.json["seq"], reply.json["accepted"],
               reply.json["first_id"]), (None, 0, None), "the answer")
    reply = daemon.post(c.path + "/batches", body, type=type, headers=number)
    equal(reply.headers.get("idempotency-replayed"), "true", "replayed")
    equal(last_of(c, "camera-3"), {"producer": "camera-3", "last_seq": 2,
                                   "record_seq": None}, "its last number")
    equal(c.stream()["durable_seq"], before, "records")
    for headers in ({}, {"Idempotency-Key": "nothing"}):
        daemon.post(c.path + "/batches", {"items": []}, headers=headers
                    ).problem(422, "validation-failed")
    produced(c, 3, name="camera-3", first=80).expect(200)


@test("twenty twins of a producer's number happen once")
def _():
    c = daemon.collection("twins2", dim=16, model=HMOH)
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(produced(c, 1)))
               for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal([r.status for r in replies], [200] * 20, "statuses")
    equal(len({r.json["seq"] for r in replies}), 1, "number of seqs")
    equal(len([r for r in replies if "idempotency-replayed"
               not in r.headers]), 1, "answers that are no replay")
    equal(last_of(c)["last_seq"], 1, "last_seq")
    equal(c.info()["seq"], 1, "seq")


@test("chunk n of a stream has the producer's number S + n")
def _():
    c = daemon.collection("numbered", dim=16, model=HMOH)
    some = lines(50)

    def send(seq, rows, expect=200):
        return stream(c, "\n".join(rows) + "\n", chunk=10, expect=expect,
                      headers={"Akin-Producer": "s; seq=%d" % seq})
    equal([a["replayed"] for a in send(1, some[:30])], [False] * 3, "replayed")
    equal(last_of(c, "s")["last_seq"], 3, "last_seq")
    # The same again and more: what is there is replayed, the rest is new.
    again = send(1, some)
    equal([a["replayed"] for a in again], [True] * 3 + [False] * 2, "replayed")
    equal([a["lines"] for a in again][3], [31, 40], "lines")
    equal(last_of(c, "s")["last_seq"], 5, "last_seq")
    (gap,) = send(7, some, expect=409)
    equal(gap["expected"], 6, "expected")
    # The fourth chunk is another one than then.
    some[35] = some[36]
    other = send(1, some[:35] + [some[0]] + some[36:])
    equal(len(other), 4, "lines of the answer")
    equal(other[3]["error"]["type"], "urn:akin:problem:idempotency-key-reused",
          "type")
    c.wait_visible(c.stream()["durable_seq"])
    equal(len(c.items()), 50, "items")


def counted():
    """What /metrics says of items by outcome and of bytes by format."""
    found = {}
    for line in daemon.get("/metrics").body.decode().splitlines():
        for name in ("items", "bytes"):
            if line.startswith("akind_ingest_%s_total{" % name):
                key, value = line.split()
                found[key.split('"')[1]] = int(value)
    return found


@test("what came is counted: stored, replayed and refused, by its format")
def _():
    c = daemon.collection("counted", dim=16, model=HMOH)
    before = counted()
    keyed(c, "counted-1", n=8).expect(200)
    keyed(c, "counted-1", n=8).expect(200)
    stream(c, "\n".join(lines(20, first=100)) + "\n", chunk=10)
    c.batch({"items": [{"id": 1, "vector": [1] * 16},
                       {"id": 1, "vector": [1] * 16}]}, expect=(422,))
    after = counted()
    more = {k: after[k] - before[k] for k in after}
    equal((more["accepted"], more["replayed"], more["refused"]), (28, 8, 2),
          "items")
    for name in ("json", "ndjson", "npy"):
        check(more[name] > 0, "no bytes of %s" % name)
    equal(more["image"], 0, "bytes of images")


@test("a timeout is 202 with the state that was reached")
def _():
    c = daemon.collection("late", dim=16, bits=512,
                          model={"kind": "hmoh",
                                 "params": {"seed": 3, "kernel_anchors": 1000}})
    # Much to learn (some 10^9 products a batch), and no time to wait for it.
    codes = set()
    for i in range(3):
        reply = daemon.post(c.path + "/batches",
                            npy_batch(X, LABELS), type=MULTIPART,
                            ack="learned", timeout_seconds=0).expect(200, 202)
        codes.add(reply.status)
        if reply.status == 202:
            # It may be visible before it is learned, but it is not learned.
            check(reply.json["state"] in ("durable", "visible"),
                  "state %s" % reply.json["state"])
    check(202 in codes, "no answer was 202")
    c.wait_learned(c.stream()["durable_seq"])
    equal(c.info()["items"], 3 * 4096, "items")


@test("what became of a batch can be asked for")
def _():
    c = daemon.collection("outcome", dim=16, model=HMOH)
    for _ in range(3):
        seq = c.learn(X[:256], LABELS[:256], ack="learned")["seq"]
    body = daemon.get("%s/batches/%d" % (c.path, seq)).expect(200).json
    equal(body["seq"], seq, "seq")
    equal(body["accepted"], 256, "accepted")
    check(body["state"] in ("learned", "visible"), "state %s" % body["state"])


@test("how the stream is cut into batches does not matter to the model")
def _():
    models = []
    for name, size in (("cut1", 1), ("cut64", 64), ("cut300", 300)):
        c = daemon.collection(name, dim=16, model=HMOH)
        # Warm up alike, then cut differently.
        c.learn(X[:2400], LABELS[:2400], ack="learned")
        for at in range(2400, 2400 + 300, size):
            end = min(at + size, 2700)
            seq = c.learn(X[at:end], LABELS[at:end])["seq"]
        c.wait_learned(seq)
        c.publish()
        models.append(c.model_bytes())
    equal(len(set(models)), 1, "number of different models")


@test("min_seq reads what was just written, or says that it is not there")
def _():
    c = daemon.collection("mine", dim=16, model=HMOH)
    for i in range(20):
        seq = c.learn(X[i:i + 1], LABELS[i:i + 1], ids=[i])["seq"]
        body = daemon.post(c.path + "/search",
                           {"query": {"id": i}, "limit": 1}, min_seq=seq)
        equal(body.expect(200).json["items"][0]["distance"], 0, "distance")
    daemon.post(c.path + "/search",
                {"query": {"id": 0}}, min_seq=seq + 1000,
                timeout_seconds=0.2).problem(503, "not-caught-up")


main()
