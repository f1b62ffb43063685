#!/usr/bin/env -S python3 -B
"""docs/promises.md names a test for each sentence: each of them is there."""
import os
import re
from pathlib import Path

ROOT = Path(os.environ.get("srcdir", "."))
DEFAULT = "tests/e2e/start.t"  # of the section on what a start finds


def sentences(path):
    """The names of the tests of a file, as expressions."""
    if path.suffix == ".t":
        text = path.read_text()
        for call in re.findall(r'@(?:test|meanwhile)\(((?:\s*"(?:[^"\\]|\\.)*")+)', text):
            name = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', call))
            yield re.sub("%d", r"\\d+", re.escape(name).replace(r"\%d", "%d"))
    else:
        text = path.with_suffix(".c").read_text()
        yield from re.findall(r"TEST\((\w+)", text)
        yield from re.findall(r"unit_test\w*\(\s*(\w+)", text)


def named():
    """(file, name) of all that the page names."""
    page = (ROOT / "docs" / "promises.md").read_text()
    page = page[:page.index("## Longer")]
    file = None
    for section in re.split(r"^## ", page, flags=re.M):
        file = DEFAULT if section.startswith("What a start finds") else None
        for mark in re.findall(r'`(tests/[^`]+)`|"([^"]+)"', section):
            if mark[0]:
                file = mark[0]
                yield file, None
            else:
                yield file, " ".join(mark[1].split())


number, bad, seen = 0, [], set()
for file, name in named():
    if file is None:
        bad.append("no file for: %s" % name)
        continue
    path = ROOT / file
    if not (path.exists() or path.with_suffix(".c").exists()):
        bad.append("no file %s" % file)
    elif name is not None and not any(re.fullmatch(s, name)
                                      for s in sentences(path)):
        bad.append("no test in %s: %s" % (file, name))
    seen.add((file, name))
for line in bad:
    print("# " + line)
print("%s 1 - each test that docs/promises.md names is there" %
      ("not ok" if bad or len(seen) < 40 else "ok"))
print("1..1")
