#!/usr/bin/python3 -B
"""More batches than can be learnt or stored, from clients that do not heed the
answer: tests/bench/overload for a few seconds, and what it says but for times."""

import importlib.machinery
import importlib.util

from akin_test import *

path = str(SOURCE / "tests" / "bench" / "overload")
loader = importlib.machinery.SourceFileLoader("overload", path)
overload = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("overload", loader))
loader.exec_module(overload)

# So many at once do not fit, and none of them rests.
overload.SETTINGS.update({"queue-bytes": "1MiB", "max-body-memory": "1MiB",
                          "collection-queue-bytes": "1MiB"})
overload.OVER = 1000
line = {}


@test("more than is learnt is stored or refused, and every client answered")
def _():
    line.update(overload.run(2, 12, 0))
    note(json.dumps(line))
    equal(line["problems"], [], "problems")
    equal(line["without_answer"], 0, "batches without an answer")
    check(line["acknowledged"] > 0, "nothing was stored")


@test("of what is acknowledged nothing is lost, and nothing there twice")
def _():
    equal(line["lost"], 0, "rows lost")
    equal(line["doubled"], 0, "rows twice")


@test("each refusal is 429 or 503, and says when to come again")
def _():
    check(set(line["refused"]) <= {"429", "503"}, line["refused"])
    equal(line["without_retry_after"], 0, "without Retry-After")


@test("searches and health are answered all the time")
def _():
    for name in ("search", "healthz"):
        figures = line["loaded"][name]
        equal(set(figures["statuses"]), {"200"}, "statuses of " + name)
        equal(figures["failures"], 0, "failures of " + name)


main()
