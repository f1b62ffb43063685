#!/usr/bin/env -S python3 -B
"""The tool's commands against a daemon that answers by script."""
import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mock import AKIN, Tests, idx, npy

COMMANDS = ["status", "stats", "quality", "collection create", "collection list", "collection show",
            "collection set", "collection delete", "ingest", "search", "duplicates", "encode", "score",
            "extractor import", "extractor train", "extractor evaluate",
            "extractor list", "extractor show", "extractor export", "extractor delete", "publish", "finetune", "rollback",
            "models", "methods", "get", "label", "delete",
            "job start", "job list", "job show", "job log", "job watch", "job cancel", "job pause",
            "job resume", "job kinds", "api", "completion"]
HITS = {"items": [{"id": 23, "distance": 3, "score": 0.953, "labels": ["boot"]},
                  {"id": 7, "distance": 11, "score": 0.8, "labels": ["boot", "old"]}],
        "searched": 1200, "complete": True, "model_version": 12, "next_cursor": None}


class ToolTests(Tests):
    def every_command_has_help_with_an_example(self):
        for command in COMMANDS:
            code, out, err = self.akin(*command.split(), "--help")
            self.equal((code, err), (0, ""))
            self.has(out, "usage: akin " + command, "examples:", "--json")

    def help_lists_every_command(self):
        code, out, _ = self.akin("--help")
        self.equal(code, 0)
        self.has(out, *COMMANDS)

    def the_version_is_printed(self):
        code, out, _ = self.akin("--version")
        self.equal(code, 0)
        self.check(out.startswith("akin 0."), out)

    def no_command_is_a_usage_error(self):
        code, out, err = self.akin()
        self.equal((code, out), (2, ""))
        self.has(err, "usage: akin COMMAND")

    def a_misspelt_command_names_the_nearest(self):
        code, _, err = self.akin("serach", "c")
        self.equal(code, 2)
        self.has(err, "unknown command serach", "perhaps search")

    def a_group_alone_lists_its_commands(self):
        code, _, err = self.akin("collection")
        self.equal(code, 2)
        self.has(err, "collection create", "collection delete")

    def wrong_arguments_end_with_2_and_say_what_was_expected(self):
        self.start()
        images = self.path("im", idx(range(8), (2, 2, 2)))
        labels = self.path("la", idx([1, 2, 3], (3,)))
        for args, text in [
                (["status", "--jsno"], "perhaps --json"),
                (["status", "a", "b"], "too many operands, 2 given"),
                (["ingest", "c"], "operands are missing, 1 given"),
                (["ingest", "c", images, "--batch", "0"], "--batch is 0, must be a number 1..4096"),
                (["ingest", "c", images, "--batch", "9x"], "--batch is 9x"),
                (["ingest", "c", images, "--ack", "soon"], "durable|learned|visible"),
                (["ingest", "c", images, "--batch"], "--batch needs a value"),
                (["ingest", "c", images, "-l", labels], "3 labels for the 2 rows"),
                (["ingest", "c", images, "-l", labels, "-l", labels], "2 times for 1 files"),
                (["ingest", "c", images, "-l", images], "im"),
                (["ingest", "c", labels], "holds labels, images are expected"),
                (["ingest", "c", "/nonexistent"], "No such file"),
                (["ingest", "c", self.path("t", "some text")], "neither idx, .npy"),
                (["ingest", "c", images, "--producer", "a b"], "--producer is"),
                (["ingest", "c", self.path("w", idx(range(10), (2, 1, 5)))],
                 "rows of 5, the collection takes vectors of 4"),
                (["ingest", "c", self.path("short.npy", npy([1, 2, 3], (1, 3))[:-1])], "11 bytes"),
                (["ingest", "c", self.dir.name], "images need a collection with an extractor"),
                (["search", "c"], "no query"),
                (["search", "c", "--id", "1", "--code", "ff"], "more than one query"),
                (["search", "c", "--id", "x"], "the ids of c are numbers"),
                (["search", "c", "--vector", "[1,"], "--vector must be"),
                (["search", "c", "--vector", "[1,\"a\"]"], "value 1 of row 0"),
                (["search", "c", "--vector", "[[1,2],[3]]"], "row 1"),
                (["search", "c", "--vector", "[1,2]", "--row", "1"], "--row is 1, there are 1"),
                (["search", "c", "-k", "1001", "--id", "1"], "1..1000"),
                (["encode", "c"], "either --vector or --image"),
                (["rollback", "c", "x"], "version is x"),
                (["collection", "create", "c", "-p", "seed"], "must be NAME=VALUE"),
                (["collection", "create", "c", "--bits", "4"], "8..1024"),
                (["collection", "set", "c"], "nothing to set"),
                (["delete", "c"], "which ids to delete"),
                (["delete", "c", "1", "--label", "x", "--yes"], "either which ids"),
                (["completion", "fish"], "only bash"),
                (["score", "c"], "--images and --labels are needed"),
                (["api", "get", "/v1"], "word of capitals"),
                (["api", "GET", "v1"], "must begin with /"),
                (["api", "POST", "/v1", "-", "--key", "short"], "8 to 128 characters"),
                (["status", "--url", "ftp://x"], "must begin with http://"),
                (["status", "--url", "http://user@x"], "hold no name or key"),
                (["status", "--api-key-file", "/nonexistent"], "key file /nonexistent")]:
            code, out, err = self.akin(*args)
            self.check(code == 2 and text in err and out == "",
                       "%r: %d, %r, %r" % (args, code, out, err))

    def destroying_asks_and_without_a_terminal_needs_yes(self):
        mock = self.start()
        for args in (["collection", "delete", "c"], ["delete", "c", "1"]):
            code, _, err = self.akin(*args)
            self.equal(code, 2)
            self.has(err, "say --yes")
        self.equal(mock.requests, [])

    def options_come_before_and_after_the_command(self):
        mock = self.start()
        for args in (["--json", "--url", mock.url, "collection", "show", "c"],
                     ["collection", "show", "--json", "c"], ["collection", "show", "--", "c", ]):
            self.equal(self.akin(*args)[0], 0)

    def a_daemon_that_is_not_there_ends_with_3(self):
        with socket.socket() as s:      # bound, not listening: refused
            s.bind(("127.0.0.1", 0))
            url = "http://127.0.0.1:%d" % s.getsockname()[1]
            code, out, err = self.akin("status", "--url", url, "--retries", "1")
        self.equal((code, out), (3, ""))
        self.has(err, "cannot reach akind at " + url, "is akind running")

    def refused_keys_end_with_4(self):
        mock = self.start()
        for status, slug in ((401, "unauthenticated"), (403, "forbidden")):
            mock.responses["GET", "/v1/collections/c"] = mock.problem(status, slug, "No")
            self.equal(self.akin("collection", "show", "c")[0], 4)

    def no_answer_in_time_ends_with_6(self):
        mock = self.start()
        mock.gate.clear()
        code, _, err = self.akin("api", "POST", "/v1/collections/c/batches", self.path("b", "{}"),
                                 "--timeout", "1", "--retries", "0")
        mock.gate.set()
        self.equal(code, 6)
        self.has(err, "no answer from")

    def a_problem_is_printed_with_its_fields_and_ends_with_5(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/search"] = mock.problem(
            422, "dim-mismatch", "Wrong dimension", "512 expected, 511 given",
            [{"pointer": "/query/vector", "code": "dim-mismatch", "detail": "511 given"}])
        code, out, err = self.akin("search", "c", "--vector", "[1]")
        self.equal((code, out), (5, ""))
        self.equal(err, "akin: Wrong dimension: 512 expected, 511 given [dim-mismatch] req-x\n"
                        "  /query/vector: 511 given [dim-mismatch]\n")

    def with_json_a_problem_is_one_line_of_json(self):
        mock = self.start()
        mock.responses["GET", "/v1/collections/c"] = mock.problem(404, "not-found", "Gone", "no c")
        code, out, err = self.akin("collection", "show", "c", "--json")
        self.equal((code, out), (5, ""))
        error = json.loads(err)
        self.equal((error["slug"], error["status"], error["detail"], error["request_id"]),
                   ("not-found", 404, "no c", "req-x"))

    def an_answer_that_is_no_problem_document_still_has_a_text(self):
        mock = self.start()
        mock.responses["GET", "/v1/collections/c"] = (
            431, {"Content-Type": "text/html"}, b"<html>too long</html>")
        code, _, err = self.akin("collection", "show", "c")
        self.equal(code, 5)
        self.has(err, "HTTP status 431 req-1")

    def control_bytes_of_the_daemon_do_not_reach_the_terminal(self):
        mock = self.start()
        mock.responses["GET", "/v1/collections/c"] = mock.problem(
            404, "not-found", "a\x1b[2Jb\nc", "\x07")
        _, _, err = self.akin("collection", "show", "c")
        self.check("\x1b" not in err and "\x07" not in err and err.count("\n") == 1, repr(err))

    def a_get_is_repeated_when_the_daemon_is_starting(self):
        mock = self.start()
        answers = [mock.problem(503, "starting", "Starting", **{"Retry-After": "0"})] * 2
        real = mock.answer
        mock.answer = lambda h, body: answers.pop() if answers else real(h, body)
        self.equal(self.akin("collection", "show", "c")[0], 0)
        self.equal(len(mock.requests), 3)

    def retries_end(self):
        mock = self.start()
        mock.responses["GET", "/v1/collections/c"] = mock.problem(
            503, "starting", "Starting", **{"Retry-After": "0"})
        self.equal(self.akin("collection", "show", "c", "--retries", "2")[0], 5)
        self.equal(len(mock.requests), 3)

    def read_only_is_not_waited_for(self):
        mock = self.start()
        mock.responses["GET", "/v1/collections/c"] = mock.problem(503, "read-only", "Read-only")
        self.equal(self.akin("collection", "show", "c")[0], 5)
        self.equal(len(mock.requests), 1)

    def a_write_without_a_key_is_sent_once(self):
        mock = self.start()
        mock.script = ["drop-before"]
        self.equal(self.akin("api", "POST", "/v1/collections/c/batches", self.path("b", "{}"))[0], 3)
        self.equal(len(mock.requests), 1)

    def a_write_with_a_key_is_repeated_with_that_key(self):
        mock = self.start()
        mock.script = ["drop-after"]
        body = self.path("b", '{"items":[{"id":1}]}')
        code, out, _ = self.akin("api", "POST", "/v1/collections/c/batches", body, "--key", "abcdefgh")
        self.equal(code, 0)
        self.equal(json.loads(out)["seq"], 1)
        self.equal([r["key"] for r in mock.requests], ["abcdefgh"] * 2)
        self.equal(mock.ids, [1])

    def flag_goes_before_environment_before_file_before_default(self):
        mock = self.start()
        nowhere = "http://127.0.0.1:1"
        self.path(".config/akin/config", "# mine\n\nurl = %s\n" % mock.url)
        self.equal(self.akin("collection", "show", "c", env={"AKIN_URL": None})[0], 0)
        self.equal(self.akin("collection", "show", "c", "--retries", "0",
                             env={"AKIN_URL": nowhere})[0], 3)
        self.equal(self.akin("collection", "show", "c", "--url", mock.url,
                             env={"AKIN_URL": nowhere})[0], 0)

    def an_unknown_key_of_the_file_is_an_error_with_its_line(self):
        self.start()
        path = self.path("xdg/akin/config", "url = http://127.0.0.1:1\napi_key_fiel = x\n")
        code, _, err = self.akin("status", env={"XDG_CONFIG_HOME": self.dir.name + "/xdg"})
        self.equal(code, 2)
        self.has(err, path + ":2: unknown key api_key_fiel, perhaps api_key_file")

    def the_key_is_read_from_its_file_and_sent(self):
        mock = self.start()
        key = self.path("key", "ak_7_secret\n")
        code, out, err = self.akin("collection", "show", "c", env={"AKIN_API_KEY_FILE": key})
        self.equal(code, 0)
        self.equal(mock.requests[0]["headers"]["Authorization"], "Bearer ak_7_secret")
        self.check("secret" not in out + err)

    def a_key_file_of_two_lines_is_refused(self):
        self.start()
        code, _, err = self.akin("status", "--api-key-file", self.path("key", "a\nb\n"))
        self.equal(code, 2)
        self.has(err, "must hold one key on one line")

    def a_unix_socket_is_reached(self):
        mock = self.start(path=self.path("s"))
        self.equal(self.akin("collection", "show", "c")[0], 0)
        self.equal(len(mock.requests), 1)

    def status_of_a_daemon_that_loads_ends_with_1(self):
        mock = self.start()
        mock.responses["GET", "/readyz"] = (503, {}, {"ready": False, "loaded": 3})
        mock.responses["GET", "/version"] = (200, {}, {"version": "0.1.0"})
        code, out, _ = self.akin("status")
        self.equal(code, 1)
        self.has(out, "not ready", '"loaded": 3')

    def status_shows_the_collections(self):
        mock = self.start()
        mock.responses["GET", "/readyz"] = (200, {}, {"ready": True})
        mock.responses["GET", "/version"] = (200, {}, {"version": "0.1.0"})
        code, out, _ = self.akin("status")
        self.equal(code, 0)
        self.has(out, "akind 0.1.0 at " + mock.url + " is ready", "hmoh", "0.750")

    def lists_are_followed_by_their_cursors_and_ndjson_with_json(self):
        mock = self.start()
        base = "/v1/collections/c/models"
        mock.responses["GET", base] = (200, {}, {"items": [{"version": 2}], "next_cursor": "a/b"})
        mock.responses["GET", base + "?cursor=a%2Fb"] = (
            200, {}, {"items": [{"version": 1}], "next_cursor": None})
        code, out, _ = self.akin("models", "c", "--json")
        self.equal(code, 0)
        self.equal([json.loads(line)["version"] for line in out.splitlines()], [2, 1])

    def quality_shows_series_curves_drift_gate_and_labels(self):
        mock = self.start()
        score = {"map": 0.75, "precision_at_1": 1.0, "precision_at_10": 0.5, "precision_at_100": 0.25}
        mock.responses["GET", "/v1/collections/c/stats/quality"] = (200, {}, {
            "map_depth": 100, "model_versions": {"published": 3, "live_samples": 9000},
            "served": dict(score, queries=1000), "live": None, "n_labels": 30,
            "labels": [{"label": "boot", "queries": 12, "served": score, "live": score}],
            "history": [{"seq": i, "served": None if i < 4 else 0.25 * (i % 4), "live": i / 8}
                        for i in range(1, 9)],
            "drift": {"alarm": True, "score": 1.5, "since_seq": 17, "cleared_seq": None},
            "gate": {"decision": "no_gain", "publish": False, "seq": 50, "pairs": 1000, "gain": 0.001,
                     "lower": -0.0002}})
        code, out, err = self.akin("quality", "c", "--labels", "1")
        self.equal((code, err), (0, ""))
        self.has(mock.requests[0]["path"], "limit=1")
        self.has(out, "version 3 serves", "served     1000  0.750  1.000  0.500  0.250", "live          -",
                 "ALARM since record 17", "no at record 50: no_gain", "0.0010", "-0.0002", "boot",
                 "and 29 more labels", "1.000 at the top", "0.000 at the bottom")
        curves = [line[7:] for line in out.splitlines() if line.endswith("top") or line.endswith("bottom")]
        # The live curve goes up a step at a time; the served one begins later.
        self.check(len(set(curves[1][:8])) == 8, curves[1])
        self.equal(curves[0][:3], "   ")

    def watching_ends_after_the_count(self):
        mock = self.start()
        mock.responses["GET", "/v1/stats"] = (200, {}, {"status": "ready", "collections": {"items": []}})
        code, out, _ = self.akin("stats", "--count", "3", "--every", "0", "--json")
        self.equal(code, 0)
        self.equal(len(out.splitlines()), 3)
        self.equal(sum(r["path"].startswith("/v1/stats") for r in mock.requests), 3)

    def create_sends_what_was_said_and_no_more(self):
        mock = self.start()
        mock.responses["PUT", "/v1/collections/c"] = (201, {}, {"name": "c"})
        self.equal(self.akin("collection", "create", "c", "--dim", "4", "--every-batches", "50",
                             "-p", "seed=7", "-p", "kernel_anchors=0", "--store", "f16")[0], 0)
        self.equal(json.loads(mock.requests[0]["body"]), {
            "bits": 64, "model": {"kind": "hmoh", "params": {"seed": 7, "kernel_anchors": 0}},
            "features": {"dim": 4, "store": "f16"},
            "publish": {"policy": "every_batches", "every_batches": 50}})

    def create_takes_a_whole_definition(self):
        mock = self.start()
        mock.responses["PUT", "/v1/collections/c"] = (201, {}, {"name": "c"})
        wanted = {"bits": 32, "model": {"kind": "lsh"}, "features": {"dim": 3}}
        self.equal(self.akin("collection", "create", "c", "-f", "-", stdin=json.dumps(wanted))[0], 0)
        self.equal(json.loads(mock.requests[0]["body"]), wanted)

    def the_settings_of_the_gate_are_sent(self):
        mock = self.start()
        mock.responses["PATCH", "/v1/collections/c"] = (200, {}, {"name": "c"})
        self.equal(self.akin("collection", "set", "c", "--publish", "quality", "--every-batches", "20",
                             "--min-new-ratio", "0.25", "--min-quality-gain", "0.01",
                             "--map-depth", "50", "--rebuild-at-debt", "0.5")[0], 0)
        self.equal(json.loads(mock.requests[0]["body"]), {"publish": {
            "policy": "quality", "every_batches": 20, "min_new_ratio": 0.25, "min_quality_gain": 0.01,
            "map_depth": 50, "rebuild_at_debt": 0.5}})
        # Fixed when it was made.
        self.equal(self.akin("collection", "set", "c", "--max-labels", "9")[0], 2)

    def the_policy_of_fine_tuning_is_sent(self):
        mock = self.start()
        mock.responses["PATCH", "/v1/collections/c"] = (200, {}, {"name": "c"})
        options = ["--finetune", "auto", "--finetune-every", "500", "--finetune-on-drift", "no",
                   "--finetune-cooldown", "60", "--finetune-epochs", "3", "--finetune-seconds", "90",
                   "--finetune-min-gain", "0.25"]
        wanted = {"policy": "auto", "every_images": 500, "on_drift": False, "cooldown_seconds": 60,
                  "params": {"epochs": 3}, "budget": {"seconds": 90}, "gate": {"min_map_gain": 0.25}}
        self.equal(self.akin("collection", "set", "c", *options)[0], 0)
        self.equal(json.loads(mock.requests[0]["body"]), {"finetune": wanted})
        # What a file has beside that stays.
        self.equal(self.akin("collection", "set", "c", "-f", "-", "--finetune-epochs", "3", stdin=json.dumps(
            {"finetune": {"policy": "manual", "params": {"rate": 0.5, "epochs": 1}}}))[0], 0)
        self.equal(json.loads(mock.requests[1]["body"]), {"finetune": {
            "policy": "manual", "params": {"rate": 0.5, "epochs": 3}}})

    def a_fine_tuning_is_asked_for_as_told(self):
        mock = self.start()
        mock.responses["POST", "/v1/jobs"] = (202, {}, {"id": 7, "state": "queued"})
        code, out, _ = self.akin("finetune", "c", "-e", "3", "--rate", "0.5", "--batch", "16", "--seconds", "60",
                                 "--threads", "1", "--memory", "1000000000", "--from-version", "2",
                                 "--min-map-gain", "0", "--max-map-loss", "0.125", "--no-watch")
        self.equal(code, 0)
        self.has(out, "7")
        self.equal(json.loads(mock.requests[0]["body"]), {
            "kind": "finetune", "target": "c",
            "params": {"epochs": 3, "rate": 0.5, "batch": 16, "from_version": 2},
            "budget": {"seconds": 60, "threads": 1, "memory_bytes": 1000000000},
            "gate": {"min_map_gain": 0, "max_map_loss": 0.125}})
        self.equal(self.akin("finetune", "c", "--no-gate", "--no-watch")[0], 0)
        self.equal(json.loads(mock.requests[1]["body"]), {
            "kind": "finetune", "target": "c", "params": {}, "budget": {}, "gate": None})
        self.equal(self.akin("finetune", "c", "--no-gate", "--min-map-gain", "0")[0], 2)

    def set_sends_a_merge_patch(self):
        mock = self.start()
        mock.responses["PATCH", "/v1/collections/c"] = (200, {}, {"name": "c"})
        self.equal(self.akin("collection", "set", "c", "--publish", "manual")[0], 0)
        self.equal(json.loads(mock.requests[0]["body"]), {"publish": {"policy": "manual"}})

    def search_asks_as_told_and_prints_a_table(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/search"] = (200, {}, HITS)
        code, out, _ = self.akin("search", "c", "--id", "17", "-k", "2", "-d", "12", "-l", "boot",
                                 "--not-label", "old", "--payload")
        self.equal(code, 0)
        self.equal(json.loads(mock.requests[-1]["body"]), {
            "query": {"id": 17}, "limit": 2, "max_distance": 12, "with": ["labels", "payload"],
            "filter": {"must": [{"labels_any": ["boot"]}], "must_not": [{"labels_any": ["old"]}]}})
        self.equal([line.split()[:3] for line in out.splitlines()],
                   [["ID", "DISTANCE", "SCORE"], ["23", "3", "0.9530"], ["7", "11", "0.8000"]])
        self.has(out, "boot, old")

    def search_by_vector_reads_arrays_and_files(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/search"] = (200, {}, HITS)
        files = [("[0.5,-1]", []), ("@" + self.path("v.json", "[0.5,-1]"), []),
                 ("@" + self.path("v.npy", npy([9, 9, 0.5, -1], (2, 2))), ["--row", "1"])]
        for text, more in files:
            self.equal(self.akin("search", "c", "--vector", text, *more)[0], 0)
            self.equal(json.loads(mock.requests[-1]["body"])["query"], {"vector": [0.5, -1.0]})

    def search_by_image_sends_its_bytes(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/search"] = (200, {}, HITS)
        for data, text in ((b"\x89PNG\xff", "iVBOR/8="), (b"abc", "YWJj"), (b"abcd", "YWJjZA==")):
            self.equal(self.akin("search", "c", "--image", self.path("i.png", data))[0], 0)
            self.equal(json.loads(mock.requests[-1]["body"])["query"], {"image": text})

    def search_without_a_hit_ends_with_1(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/search"] = (200, {}, dict(HITS, items=[]))
        self.equal(self.akin("search", "c", "--code", "ff")[0], 1)

    def a_search_is_repeated_when_the_connection_breaks(self):
        mock = self.start()
        dropped = []

        def answer(h, body):
            if not dropped:
                dropped.append(1)
                return None
            return 200, {}, HITS
        mock.answer = answer
        self.equal(self.akin("search", "c", "--code", "ff")[0], 0)
        self.equal(len(mock.requests), 2)

    def encode_prints_hex_or_writes_npy(self):
        mock = self.start()
        codes = npy([0xab, 0xcd, 1, 2], (2, 2), "|u1")
        mock.responses["POST", "/v1/collections/c/encode"] = (
            200, {"Content-Type": "application/x-npy"}, codes)
        code, out, _ = self.akin("encode", "c", "--vector", "[[1,2],[3,4]]")
        self.equal((code, out), (0, "abcd\n0102\n"))
        code, out, _ = self.akin("encode", "c", "--vector", "[[1,2],[3,4]]", "--json")
        self.equal(json.loads(out), {"codes": ["abcd", "0102"]})
        path = self.path("out.npy")
        self.equal(self.akin("encode", "c", "--vector", "[[1,2],[3,4]]", "-o", path)[0], 0)
        with open(path, "rb") as f:
            self.equal(f.read(), codes)

    def ids_are_percent_encoded_in_paths(self):
        mock = self.start(collection={"ids": "string"})
        mock.responses["GET", "/v1/collections/c/items/a%2Fb%20%C3%A9?with=code"] = (
            200, {}, {"id": "a/b é", "labels": ["x"], "payload": None, "code": "ff"})
        code, out, _ = self.akin("get", "c", "a/b é", "--with", "code")
        self.equal(code, 0)
        self.has(out, "labels   [\"x\"]", "code     ff")

    def label_and_delete_carry_keys(self):
        mock = self.start()
        mock.responses["PATCH", "/v1/collections/c/items/17"] = (200, {}, {"seq": 1})
        mock.responses["POST", "/v1/collections/c/items/delete"] = (
            200, {}, {"deleted": 1, "missing": 1, "seq": 2})
        self.equal(self.akin("label", "c", "17", "boot", "old")[0], 0)
        self.equal(json.loads(mock.requests[0]["body"]), {"labels": ["boot", "old"]})
        code, out, _ = self.akin("delete", "c", "1", "2", "--yes")
        self.equal((code, out), (0, "deleted 1, missing 1\n"))
        self.equal(json.loads(mock.requests[-1]["body"]), {"ids": [1, 2]})
        self.equal(len(mock.writes()), 2)

    def delete_of_nothing_ends_with_1(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/items/delete"] = (
            200, {}, {"deleted": 0, "missing": 1, "seq": 2})
        self.equal(self.akin("delete", "c", "1", "--yes")[0], 1)

    def an_image_is_saved(self):
        mock = self.start()
        mock.responses["GET", "/v1/collections/c/items/3/image"] = (
            200, {"Content-Type": "image/png"}, b"\x89PNG...")
        path = self.path("3.png")
        self.equal(self.akin("get", "c", "3", "--image", path)[0], 0)
        with open(path, "rb") as f:
            self.equal(f.read(), b"\x89PNG...")

    def publish_waits_for_the_version_and_rollback_too(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/models/publish"] = (200, {}, {"version": 4})
        mock.responses["POST", "/v1/collections/c/models/2/rollback"] = (200, {}, {"version": 2})
        code, out, _ = self.akin("publish", "c")
        self.equal((code, out), (0, "version 4 serves\n"))
        self.has(mock.requests[-1]["path"], "ack=visible")
        self.equal(self.akin("rollback", "c", "2", "--no-wait")[1], "version 2 is on its way\n")
        self.equal(mock.requests[-1]["path"], "/v1/collections/c/models/2/rollback")

    def a_publish_that_does_not_serve_in_time_ends_with_6(self):
        mock = self.start()
        mock.responses["POST", "/v1/collections/c/models/publish"] = (202, {}, {"version": 4})
        code, _, err = self.akin("publish", "c", "--timeout", "1")
        self.equal(code, 6)
        self.has(err, "version 4 does not serve yet")

    def api_passes_bodies_types_and_headers(self):
        mock = self.start()
        mock.responses["PUT", "/v1/x"] = (200, {"Content-Type": "text/plain"}, b"plain")
        code, out, err = self.akin("api", "PUT", "/v1/x", self.path("b.ndjson", "{}\n"), "-H", "X-A: 1",
                                   "--include")
        self.equal((code, out), (0, "plain"))
        self.has(err, "status: 200", "x-request-id: req-1")
        r = mock.requests[0]
        self.equal((r["type"], r["body"], r["headers"]["X-A"]), ("application/x-ndjson", b"{}\n", "1"))

    def api_prints_the_body_of_a_problem(self):
        self.start()
        code, out, err = self.akin("api", "GET", "/v1/nope")
        self.equal(code, 5)
        self.equal(json.loads(out)["status"], 404)
        self.has(err, "[not-found]")

    def a_full_disk_behind_stdout_is_an_error(self):
        if not os.path.exists("/dev/full"):
            return
        self.start()
        with open("/dev/full", "w") as full:
            p = subprocess.run([AKIN, "collection", "show", "c"], stdout=full, stderr=subprocess.PIPE,
                               env=self.environment())
        self.equal(p.returncode, 1)

    def completion_completes_commands_options_and_values(self):
        code, out, _ = self.akin("completion", "bash")
        self.equal(code, 0)
        script = out + """
t() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=(); _akin; echo "${COMPREPLY[*]}"; }
t akin sco; t akin collection cre; t akin collection create x --sto; t akin ingest c --ack le
t akin search --progress b; t akin publish --no-
"""
        p = subprocess.run(["bash", "-eu"], input=script, capture_output=True, text=True)
        self.equal((p.returncode, p.stderr), (0, ""))
        self.equal(p.stdout.split(), ["score", "create", "--store", "learned", "bar", "--no-wait"])

    def score_measures_hits_and_codes(self):
        mock = self.start(collection={"bits": 8, "features": {"dim": 4}})
        # Four items; the two queries have the codes 00 (label 0) and ff (label 1).
        items = [(10, "00", "0"), (11, "01", "1"), (12, "ff", "1"), (13, "03", "0")]
        mock.responses["GET", "/v1/collections/c/items"] = (200, {}, {
            "items": [{"id": i, "labels": [l], "code": c} for i, c, l in items],
            "next_cursor": None})

        def hits(query):
            d = sorted((bin(int(c, 16) ^ query).count("1"), i) for i, c, _ in items)
            return {"items": [{"id": i, "distance": n, "score": 1, "labels": []} for n, i in d[:2]],
                    "model_version": 3, "complete": True}

        order = []

        def answer(h, body):
            if h.path.startswith("/v1/collections/c/search/batch"):
                # An image of 0 is a query of label 0, of 255 one of label 1.
                order[:] = [0 if body[128 + 16 * i:132 + 16 * i] == b"\0" * 4 else 255
                            for i in range(2)]
                return 200, {}, {"results": [hits(q) for q in order]}
            if h.path == "/v1/collections/c/encode":
                return 200, {"Content-Type": "application/x-npy", "Akin-Model-Version": "3"}, npy(
                    order, (2, 1), "|u1")
            return real(h, body)
        real, mock.answer = mock.answer, answer
        images = self.path("im", idx([0] * 4 + [255] * 4, (2, 2, 2)))
        labels = self.path("la", idx([0, 1], (2,)))
        args = ["score", "c", "-i", images, "-l", labels, "-k", "2"]
        code, out, err = self.akin(*args, "--json")
        self.equal((code, err), (0, ""))
        got = json.loads(out)
        # Query 00 ranks 10 right, 11 wrong, 13 right: AP = (1 + 2/3) / 2.  Query ff ranks 12
        # right, 13 wrong, 11 right: the same.  P@2 is 1/2 for both.
        self.check(abs(got["map"] - 5 / 6) < 1e-12, got["map"])
        self.equal((got["precision"], got["hits"], got["agreeing"], got["items"]), (0.5, 4, 4, 4))
        code, out, _ = self.akin(*args)
        self.equal(code, 0)
        self.has(out, "mAP    0.8333", "P@2    0.5000", "4 of 4 hits")
        code, _, err = self.akin(*args, "--min-map", "0.9")
        self.equal(code, 1)
        self.has(err, "mAP is 0.8333, below 0.9")
        # A hit whose distance is not that of its code is caught.
        mock.responses["GET", "/v1/collections/c/items"][2]["items"][0]["code"] = "80"
        code, _, err = self.akin(*args)
        self.equal(code, 1)
        self.has(err, "not at the distance of their codes")

    def score_writes_a_contact_sheet(self):
        mock = self.start(collection={"bits": 8})
        mock.responses["GET", "/v1/collections/c/items"] = (200, {}, {
            "items": [{"id": 0, "labels": ["shoe"], "code": "00"}], "next_cursor": None})
        mock.responses["POST", "/v1/collections/c/search/batch"] = (200, {}, {"results": [
            {"items": [{"id": 0, "distance": 0, "score": 1}], "model_version": 1}]})
        mock.responses["POST", "/v1/collections/c/encode"] = (
            200, {"Content-Type": "application/x-npy"}, npy([0], (1, 1), "|u1"))
        mock.responses["GET", "/v1/collections/c/items/0"] = (
            200, {}, {"id": 0, "vector": [0, 0.5, 1, 0.25]})
        images, names = self.path("im", idx([0, 1, 2, 3], (1, 2, 2))), self.path("n", "shoe\nhat\n")
        for more in ([], ["--database-images", images]):
            sheet = self.path("s.png")
            code, _, err = self.akin("score", "c", "-i", images, "-l", self.path("la", idx([0], (1,))),
                                     "--label-names", names, "--sheet", sheet, *more)
            self.equal(code, 0)
            self.has(err, "contact sheet: " + sheet)
            with open(sheet, "rb") as f:
                self.check(f.read(8) == b"\x89PNG\r\n\x1a\n", "no PNG")
            os.unlink(sheet)


if __name__ == "__main__":
    ToolTests.main()
