#!/usr/bin/env -S python3 -B
"""akin ingest: what is sent, what is sent again, and what never twice."""
import gzip
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mock import AKIN, Tests, idx, npy, parts_of, read_npy

N = 50      # rows of the test file, of 2 x 2 pixels


class IngestTests(Tests):
    def _files(self):
        images = self.path("images", gzip.compress(
            idx([(7 * i) % 256 for i in range(4 * N)], (N, 2, 2)), mtime=0))
        labels = self.path("labels", idx([i % 3 for i in range(N)], (N,)))
        return images, labels

    def _ingest(self, *more, **args):
        images, labels = self._files()
        return self.akin("ingest", "c", images, "-l", labels, "-b", "8", *more, **args)

    def _rows(self):
        """id -> (vector, label) of everything sent in npy parts."""
        rows = {}
        for r in self.mock.writes():
            parts = parts_of(r["body"], r["type"])
            shape, x = read_npy(parts["vectors"])
            labels = (json.loads(parts["labels"]) if parts["labels"][:1] == b"["
                      else read_npy(parts["labels"])[1])
            for i, id in enumerate(read_npy(parts["ids"])[1]):
                rows[id] = (x[i * shape[1]:(i + 1) * shape[1]], labels[i])
        return rows

    def _order(self):
        return [i for r in self.mock.writes()
                for i in read_npy(parts_of(r["body"], r["type"])["ids"])[1]]

    def every_row_arrives_once_with_its_label_and_pixels_over_255(self):
        self.start()
        code, out, _ = self._ingest("--json")
        self.equal(code, 0)
        self.equal(sorted(self.mock.ids), list(range(N)))
        for id, (vector, label) in self._rows().items():
            expected = [(7 * (4 * id + j)) % 256 / 255 for j in range(4)]
            packed = struct.unpack("<4f", struct.pack("<4f", *expected))
            self.equal((tuple(vector), label), (packed, id % 3))
        got = json.loads(out)
        self.equal((got["rows"], got["batches"], got["replayed_rows"], got["last_seq"], got["complete"]),
                   (N, 7, 0, 7, True))

    def rows_are_shuffled_by_the_seed(self):
        orders = []
        for more in ([], ["--seed", "1"], [], ["--in-order"]):
            self.start()
            self.equal(self._ingest("-j", "1", *more)[0], 0)
            orders.append(self._order())
            self.mock.close()
        self.equal(orders[0], orders[2])
        self.check(orders[0] != orders[1] and sorted(orders[1]) == list(range(N)))
        self.equal(orders[3], list(range(N)))

    def first_id_moves_the_ids(self):
        self.start()
        self.equal(self._ingest("--first-id", "1000")[0], 0)
        self.equal(sorted(self.mock.ids), list(range(1000, 1000 + N)))

    def label_names_take_the_place_of_numbers(self):
        self.start()
        self.equal(self._ingest("--label-names", self.path("n", "cat\ndog\nT-shirt/top\n"))[0], 0)
        self.equal(self._rows()[5][1], "T-shirt/top")
        code, _, err = self._ingest("--label-names", self.path("n", "cat\ndog\n"))
        self.equal(code, 2)
        self.has(err, "has 2 names, label 2 needs one more")

    def a_collection_with_texts_as_ids_gets_texts(self):
        self.start(collection={"ids": "string"})
        self.equal(self._ingest()[0], 0)
        self.equal(sorted(self.mock.ids), sorted(str(i) for i in range(N)))

    def no_learn_puts_items(self):
        self.start()
        self.equal(self._ingest("--no-learn")[0], 0)
        self.equal({(r["method"], r["path"]) for r in self.mock.writes()},
                   {("PUT", "/v1/collections/c/items")})

    def no_more_than_so_many_are_in_flight(self):
        self.start()
        self.equal(self._ingest("-j", "1", "-b", "1", "-q")[0], 0)
        self.equal(self.mock.most_flying, 1)

    def several_are_in_flight(self):
        mock = self.start()
        mock.gate.clear()
        images, labels = self._files()
        p = subprocess.Popen([AKIN, "ingest", "c", images, "-l", labels, "-b", "2", "-j", "3", "-q"],
                             stdout=subprocess.DEVNULL, env=self.environment())
        while mock.flying < 3 and p.poll() is None:
            time.sleep(0.01)
        mock.gate.set()
        self.equal(p.wait(60), 0)
        self.equal(mock.most_flying, 3)

    def a_second_run_doubles_nothing_and_says_so(self):
        self.start()
        self.equal(self._ingest()[0], 0)
        sent = len(self.mock.writes())
        code, out, _ = self._ingest()
        self.equal(code, 0)
        self.has(out, "50 rows were there before")
        self.equal(sorted(self.mock.ids), list(range(N)))
        # Only the last batch is sent again, to be compared.
        again = self.mock.writes()[sent:]
        self.equal([r["key"].split("; ")[1] for r in again], ["seq=7"])

    def other_options_have_other_producers(self):
        self.start()
        for more in ([], ["--seed", "1"], ["--first-id", "100"], ["--in-order"], ["--no-learn"],
                     ["--producer", "monday"]):
            self.equal(self._ingest(*more)[0], 0)
        self.equal({len(sent) for sent in self.mock.producers.values()}, {7})
        self.equal(len(self.mock.producers), 6)
        self.check("monday" in self.mock.producers)

    def other_files_under_the_same_name_are_found_out_before_anything_is_stored(self):
        mock = self.start()
        self.equal(self._ingest("--producer", "p", "-b", "10")[0], 0)
        seq = mock.seq
        code, _, err = self._ingest("--producer", "p", "-b", "10", "--first-id", "1000")
        self.equal(code, 5)
        self.has(err, "producer p has sent something else", "another --producer")
        # Shorter ones too, that do not come to the last batch.
        code, _, err = self._ingest("--producer", "p", "-b", "25")
        self.equal(code, 2)
        self.has(err, "producer p has sent 5 batches and these are fewer")
        code, _, err = self.akin("ingest", "c", "-", "--producer", "p", stdin='{"id":1}\n')
        self.equal(code, 2)
        self.has(err, "producer p has sent 5 batches and these are fewer")
        self.equal((mock.seq, sorted(mock.ids)), (seq, list(range(N))))

    def resume_wants_something_to_go_on_with(self):
        mock = self.start()
        code, _, err = self._ingest("--resume", "--producer", "p")
        self.equal(code, 1)
        self.has(err, "producer p has sent nothing to c yet")
        code, _, err = self.akin("ingest", "c", "-", "--resume", stdin="")
        self.equal(code, 2)
        self.has(err, "--resume wants --producer")
        self.equal(mock.writes(), [])
        self.equal(self._ingest("--producer", "p")[0], 0)
        self.equal(self._ingest("--resume", "--producer", "p")[0], 0)
        self.equal(sorted(mock.ids), list(range(N)))

    def batches_are_stored_in_their_order_however_many_are_in_flight(self):
        self.start()
        self.equal(self._ingest("-b", "1", "-j", "8", "-q", "--in-order")[0], 0)
        self.equal(self.mock.ids, list(range(N)))

    def a_batch_that_overtook_the_one_before_is_sent_again_after_it(self):
        mock = self.start()
        late = mock.hold["2"] = threading.Event()
        images, labels = self._files()
        p = subprocess.Popen([AKIN, "ingest", "c", images, "-l", labels, "-b", "8", "-j", "3",
                              "-q", "--json"], stdout=subprocess.PIPE, env=self.environment())
        def gaps():
            return len([r for r in mock.writes() if r["key"].endswith("seq=3")])
        while gaps() < 1 and p.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)     # it must not ask again and again
        self.equal((gaps(), len(mock.ids)), (1, 8))
        late.set()
        out = json.loads(p.communicate(timeout=60)[0])
        self.equal(p.returncode, 0)
        self.equal(sorted(mock.ids), list(range(N)))
        self.equal((gaps(), out["waits"]), (2, 0))

    def a_gap_that_stays_ends_it(self):
        mock = self.start()
        mock.script = ["accept"] + [(409, {"Content-Type": "application/problem+json"}, dict(
            mock.problem(409, "sequence-gap", "Gap")[2], expected=1))] * 100
        code, _, err = self._ingest("-j", "1")
        self.equal(code, 5)
        self.has(err, "sequence-gap", "in batch 1")

    def a_full_queue_is_waited_for(self):
        mock = self.start()
        full = mock.problem(429, "queue-full", "Full", **{"Retry-After": "1"})
        mock.script = ["accept", full, full]
        began = time.monotonic()
        code, out, _ = self._ingest("--json")
        self.equal(code, 0)
        self.check(time.monotonic() - began >= 1, "Retry-After was not kept")
        self.equal(sorted(mock.ids), list(range(N)))
        self.equal(json.loads(out)["waits"], 2)

    def a_full_disk_is_waited_for(self):
        mock = self.start()
        full = mock.problem(507, "disk-full", "Full", **{"Retry-After": "0"})
        mock.script = ["accept", full, full, full]
        self.equal(self._ingest("-j", "2")[0], 0)
        self.equal(sorted(mock.ids), list(range(N)))

    def a_refusal_halves_what_is_in_flight(self):
        mock = self.start()
        mock.gate.clear()
        images, labels = self._files()
        p = subprocess.Popen([AKIN, "ingest", "c", images, "-l", labels, "-b", "1", "-j", "8", "-q"],
                             stdout=subprocess.DEVNULL, env=self.environment())
        for flying in (8, 4, 2, 1, 1):
            while mock.flying < flying and p.poll() is None:
                time.sleep(0.01)
            time.sleep(0.2)     # more must not come
            self.equal(mock.flying, flying)
            mock.script = [mock.problem(429, "queue-full", "Full", **{"Retry-After": "0"})] * flying
            mock.gate.set()     # lets go those that wait, and holds those that come
            mock.gate.clear()
            while mock.script:
                time.sleep(0.01)
        mock.gate.set()
        self.equal(p.wait(60), 0)
        self.equal(sorted(mock.ids), list(range(N)))

    def bytes_in_flight_are_bounded(self):
        mock = self.start()
        mock.gate.clear()
        lines = "".join(json.dumps({"id": i, "payload": "x" * 300000}) + "\n" for i in range(12))
        path = self.path("big.ndjson", lines)
        p = subprocess.Popen([AKIN, "ingest", "c", path, "-b", "1", "-j", "8", "--max-mib", "1", "-q"],
                             stdout=subprocess.DEVNULL, env=self.environment())
        while mock.flying < 3 and p.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)
        self.equal(mock.flying, 3)
        mock.gate.set()
        self.equal(p.wait(60), 0)
        self.equal((mock.most_flying, sorted(mock.ids)), (3, list(range(12))))

    def an_answer_that_is_lost_is_asked_for_again_with_its_number(self):
        mock = self.start()
        mock.script = ["drop-after", "accept", "drop-before", "drop-after"]
        code, out, _ = self._ingest("--json", "-j", "1")
        self.equal(code, 0)
        self.equal(sorted(mock.ids), list(range(N)))
        got = json.loads(out)
        self.equal((got["rows"], got["replayed_rows"]), (N, 16))

    def a_refused_batch_ends_it_with_5_and_its_number(self):
        mock = self.start()
        mock.script = ["accept", "accept", mock.problem(
            422, "non-finite-value", "Not finite", "NaN",
            [{"pointer": "/vectors/3", "code": "non-finite-value", "detail": "NaN"}])]
        code, out, err = self._ingest("-j", "1", "--json")
        self.equal(code, 5)
        self.has(err, '"slug":"non-finite-value"', '"pointer":"/vectors/3"')
        got = json.loads(out)
        self.equal((got["rows"], got["next_batch"], got["complete"]), (16, 2, False))
        mock.script = [mock.problem(422, "non-finite-value", "Not finite", "NaN")]
        code, _, err = self._ingest("-j", "1", "--producer", "again-1")
        self.equal(code, 5)
        self.has(err, "in batch 0", "run the same command again")

    def a_picture_that_is_refused_once_is_sent_again_and_twice_is_left_out(self):
        mock = self.start(collection={"extractor": "pixels-28x28x1"})
        folder = os.path.join(self.dir.name, "photos")
        os.makedirs(os.path.join(folder, "boot"))
        for i in range(4):
            with open(os.path.join(folder, "boot", "%d.png" % i), "wb") as f:
                f.write(b"picture %d" % i)
        def bad(item):
            return mock.problem(422, "image-undecodable", "Undecodable", "", [
                {"pointer": "/meta/items/%d/image" % item, "code": "image-undecodable",
                 "detail": "the decoder died"}])
        command = ["ingest", "c", folder, "--in-order", "-b", "4"]
        mock.script = [bad(1)]
        code, _, err = self.akin(*command)
        self.equal((code, err.count("skipped"), mock.ids), (0, 0, [0, 1, 2, 3]))
        # 1 twice, and then what is item 1 of the rest: 2.
        mock.ids.clear()
        mock.script = [bad(1), bad(1), bad(1), bad(1)]
        code, out, err = self.akin(*command, "--producer", "p")
        self.equal((code, mock.ids), (1, [0, 3]))
        self.has(err, "boot/1.png: skipped: the decoder died [image-undecodable]", "boot/2.png: skipped")
        self.has(out, "2 pictures skipped")

    def it_gives_up_when_nothing_is_accepted_for_too_long(self):
        mock = self.start()
        mock.script = [mock.problem(503, "starting", "Starting", **{"Retry-After": "0"})] * 1000
        code, out, err = self._ingest("--patience", "0.2", "--json")
        self.equal(code, 5)
        self.has(err, "starting")
        self.equal(mock.ids, [])

    def an_interrupt_finishes_what_is_in_flight_and_a_rerun_the_rest(self):
        mock = self.start()
        images, labels = self._files()
        args = [AKIN, "ingest", "c", images, "-l", labels, "-b", "4", "-j", "2"]
        mock.gate.clear()
        p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=self.environment())
        while mock.flying < 2 and p.poll() is None:
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        time.sleep(0.2)     # it must not end before what is in flight has
        self.equal(p.poll(), None)
        mock.gate.set()
        out, err = p.communicate(timeout=60)
        self.equal(p.returncode, 130)
        self.has(err, "8 rows are stored", "run the same command again")
        self.equal(len(mock.ids), 8)
        code, out, _ = self.akin(*args[1:])
        self.equal(code, 0)
        self.has(out, "8 rows were there before")
        self.equal(sorted(mock.ids), list(range(N)))

    def a_batch_that_overtook_another_is_in_flight_when_interrupted(self):
        mock = self.start()
        images, labels = self._files()
        first, second = threading.Event(), threading.Event()
        mock.hold["1"], mock.late["2"] = first, second
        p = subprocess.Popen([AKIN, "ingest", "c", images, "-l", labels, "-b", "4", "-j", "2"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=self.environment())
        while "2" not in mock.answered and p.poll() is None:
            time.sleep(0.01)    # that there is a gap
        p.send_signal(signal.SIGINT)
        time.sleep(0.2)
        first.set()
        time.sleep(0.2)         # the first is accepted, then the gap is told
        second.set()
        _, err = p.communicate(timeout=60)
        self.equal(p.returncode, 130)
        self.has(err, "8 rows are stored")
        self.equal(len(mock.ids), 8)

    def a_kill_at_any_batch_is_made_good_by_the_same_command(self):
        mock = self.start()
        images, labels = self._files()
        args = [AKIN, "ingest", "c", images, "-l", labels, "-b", "4", "-j", "3", "-q"]
        for number in (1, 2, 5, 9, 13):     # of 13
            mock.hold[str(number)] = threading.Event()      # its answer never comes
            p = subprocess.Popen(args, stdout=subprocess.DEVNULL, env=self.environment())
            while str(number) in mock.hold and p.poll() is None:
                time.sleep(0.01)
            p.kill()
            p.wait(10)
        self.equal(self.akin(*args[1:])[0], 0)
        self.equal(sorted(mock.ids), list(range(N)))

    def a_second_interrupt_ends_at_once(self):
        mock = self.start()
        mock.gate.clear()
        images, labels = self._files()
        p = subprocess.Popen([AKIN, "ingest", "c", images, "-l", labels],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             env=self.environment())
        while mock.flying < 1 and p.poll() is None:
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        time.sleep(0.2)
        p.send_signal(signal.SIGINT)
        self.equal(p.wait(10), 130)
        mock.gate.set()

    def ack_waits_for_what_was_asked(self):
        mock = self.start()
        mock.learned_lag = 3
        code, out, _ = self._ingest("--ack", "visible", "--json")
        self.equal(code, 0)
        got = json.loads(out)
        self.check(0 < got["durable_seconds"] <= got["learned_seconds"] <= got["visible_seconds"], out)
        self.check(len([p for p in mock.paths("GET") if p.endswith("/stream")]) >= 4)

    def ack_that_does_not_come_ends_with_6(self):
        mock = self.start()
        mock.learned_lag = 1 << 30
        code, _, err = self._ingest("--ack", "learned", "--ack-timeout", "1")
        self.equal(code, 6)
        self.has(err, "learned_seq is 0", "7 is waited for")

    def npy_vectors_labels_and_ids_are_sent(self):
        self.start()
        x = self.path("x.npy", npy([float(i) for i in range(12)], (3, 4)))
        y = self.path("y.npy", npy([5, 6, 7], (3,), "<i8"))
        ids = self.path("ids", "100\n300\n200\n")
        code, _, err = self.akin("ingest", "c", x, "-l", y, "--ids", ids)
        self.equal(code, 2)
        self.has(err, "holds texts, the ids of the collection are numbers")
        ids = self.path("ids.npy", npy([100, 300, 200], (3,), "<i8"))
        self.equal(self.akin("ingest", "c", x, "-l", y, "--ids", ids)[0], 0)
        self.equal(self._rows(), {100: ([0, 1, 2, 3], 5), 300: ([4, 5, 6, 7], 6), 200: ([8, 9, 10, 11], 7)})

    def codes_go_to_a_collection_of_codes(self):
        self.start(collection={"model": {"kind": "external"}, "features": None})
        path = self.path("x.npy", npy([1, 2, 3, 4], (2, 2), "|u1"))
        self.equal(self.akin("ingest", "c", path)[0], 0)
        parts = parts_of(self.mock.writes()[0]["body"], self.mock.writes()[0]["type"])
        self.check("codes" in parts and "vectors" not in parts and "labels" not in parts)
        code, _, err = self.akin("ingest", "c", self._files()[0])
        self.equal(code, 2)
        self.has(err, "codes are expected")

    def several_files_are_one_stream(self):
        self.start()
        images, labels = self._files()
        self.equal(self.akin("ingest", "c", images, images, "-l", labels, "-l", labels)[0], 0)
        self.equal(sorted(self.mock.ids), list(range(2 * N)))

    def ndjson_lines_become_batches(self):
        self.start()
        lines = "".join(json.dumps({"id": i, "vector": [i] * 4, "labels": ["a"]}) + "\n\r\n"
                        for i in range(20))
        path = self.path("items.ndjson", lines)
        code, out, _ = self.akin("ingest", "c", path, "-b", "6", "--json")
        self.equal(code, 0)
        self.equal(json.loads(out)["batches"], 4)
        self.equal(sorted(self.mock.ids), list(range(20)))
        self.check([i["id"] for i in json.loads(self.mock.writes()[0]["body"])["items"]] != list(range(6)))

    def stdin_is_sent_in_order_and_resumes_by_its_producer(self):
        mock = self.start()
        lines = "".join(json.dumps({"id": i}) + "\n" for i in range(20))
        args = ["ingest", "c", "-", "-b", "6", "-j", "1", "--producer", "night-7"]
        mock.script = ["accept", "accept", mock.problem(422, "validation-failed", "Bad")]
        code, _, err = self.akin(*args, stdin=lines)
        self.equal(code, 5)
        self.has(err, "12 rows are stored", "--producer night-7 to go on")
        code, out, _ = self.akin(*args, "--resume", stdin=lines)
        self.equal(code, 0)
        self.has(out, "12 rows were there before")
        self.equal(mock.ids, list(range(20)))
        self.equal(list(mock.producers), ["night-7"])

    def stdin_that_is_empty_sends_nothing(self):
        self.start()
        code, out, _ = self.akin("ingest", "c", "-", "--json")
        self.equal((code, json.loads(out)["rows"]), (0, 0))
        self.equal(self.mock.writes(), [])

    def a_directory_sends_images_with_their_folders_as_labels(self):
        self.start(collection={"extractor": "pixels-2x2x1"})
        for name in ("boot/b.png", "boot/a.jpg", "hat/deep/c.JPEG", "top.png", "boot/notes.txt", ".git/x.png"):
            self.path("photos/" + name, b"bytes of " + name.encode())
        code, _, err = self.akin("ingest", "c", self.path("photos") + "/", "--in-order")
        self.equal(code, 0)
        r = self.mock.writes()[0]
        parts = parts_of(r["body"], r["type"])
        items = json.loads(parts["meta"])["items"]
        self.equal([(i["id"], i.get("labels"), parts[i["image"]]) for i in items], [
            (0, ["boot"], b"bytes of boot/a.jpg"), (1, ["boot"], b"bytes of boot/b.png"),
            (2, ["hat"], b"bytes of hat/deep/c.JPEG"), (3, None, b"bytes of top.png")])
        self.has(r["body"].decode(), "Content-Type: image/jpeg", "Content-Type: image/png")

    def a_boundary_that_occurs_in_an_image_is_not_taken(self):
        self.start(collection={"extractor": "pixels-2x2x1"})
        for i in range(3):
            self.path("photos/%d.png" % i, b"\r\n--akin-boundary-%06d--\r\n" % i)
        self.equal(self.akin("ingest", "c", self.path("photos"))[0], 0)
        self.has(self.mock.writes()[0]["type"], "akin-boundary-000003")
        self.equal(sorted(self.mock.ids), [0, 1, 2])

    def damaged_gzip_is_told(self):
        self.start()
        data = gzip.compress(b"".join(b'{"id":%d}\n' % i for i in range(1000)))
        for bad in (data[:len(data) // 2], data[:-4] + b"\0\0\0\0"):
            code, _, err = self.akin("ingest", "c", self.path("x.ndjson.gz", bad))
            self.equal(code, 2)
            self.has(err, "x.ndjson.gz: ", "gzip")
        self.equal(self.mock.writes(), [])

    def progress_is_lines_json_or_nothing_and_never_on_stdout(self):
        self.start()
        for more, check in [
                ([], lambda e: e.startswith("ingest: 50/50 rows")),
                (["-q"], lambda e: e == ""),
                (["--progress", "none"], lambda e: e == ""),
                (["--progress", "json"],
                 lambda e: json.loads(e.splitlines()[-1])["done"] == N and "live" in e),
                (["--progress", "bar"], lambda e: "\033[Kingest" in e and "100%" in e and "\033[36m" not in e)]:
            code, out, err = self._ingest("--json", *more)
            self.equal(code, 0)
            self.check(check(err), "%r: %r" % (more, err))
            json.loads(out)

    def live_quality_is_shown_and_polled_at_most_five_times_a_second(self):
        self.start()
        self.mock.script = [self.mock.problem(429, "queue-full", "Full", **{"Retry-After": "1"})]
        began = time.monotonic()
        code, _, err = self._ingest("-j", "1")
        spent = time.monotonic() - began
        self.equal(code, 0)
        self.has(err, "live mAP 0.750", "served 0.500", "waits 1")
        looks = len([p for p in self.mock.paths("GET") if p == "/v1/collections/c"])
        self.check(2 <= looks <= 5 * spent + 3, "%d looks in %.1f s" % (looks, spent))

    def sqlite_is_timed_beside_it_and_leaves_no_file(self):
        self.start()
        path = self.path("compare.db")
        code, out, _ = self._ingest("--compare-sqlite", path, "--json")
        self.equal(code, 0)
        self.equal(json.loads(out)["sqlite"]["rows"], N)
        self.equal([n for n in os.listdir(self.dir.name) if n.startswith("compare")], [])
        code, out, _ = self._ingest("--compare-sqlite", path)
        self.has(out, "sqlite")
        code, _, err = self._ingest("--compare-sqlite", self.path("there", "mine"))
        self.equal(code, 2)
        self.has(err, "is there already")
        with open(self.path("there")) as f:
            self.equal(f.read(), "mine")

    def a_missing_collection_is_told_before_anything_is_read(self):
        mock = self.start()
        mock.responses["GET", "/v1/collections/c"] = mock.problem(404, "not-found", "No collection", "no c")
        code, _, err = self._ingest()
        self.equal(code, 5)
        self.has(err, "No collection: no c")


if __name__ == "__main__":
    IngestTests.main()
