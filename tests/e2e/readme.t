#!/usr/bin/python3 -B
"""Every command of README.md, run as it stands there.

A comment before a block of shell says what becomes of it:

    <!-- test: run -->     run here, against a daemon of this test
    <!-- test: skip WHY --> not run: what runs it elsewhere, or why not

A block of shell without such a comment is a failure, so that no command gets
into the page unproven.  Blocks run in one shell after the other, in a directory
of their own, with the programs of the build in PATH and AKIN_URL set; 7337 in a
command becomes the port of the test's daemon.
"""

import re

from akin_test import *

README = (SOURCE / "README.md").read_text()
BLOCK = re.compile(r"(?:<!-- *test: *(run|skip)([^>]*?) *-->\s*\n)?"
                   r"^```(sh|shell|bash|console)\n(.*?)^```", re.M | re.S)
daemon = Daemon().start()
home = tempfile.mkdtemp(prefix="akin-readme-")
atexit.register(shutil.rmtree, home, ignore_errors=True)


def prepare():
    """A collection `fashion` with some images, as quickstart leaves it."""
    x, y = images("fashion-mnist")
    c = daemon.collection("fashion", bits=64, extractor="pixels-28x28x1")
    c.learn(pixels(x[:3000]), y[:3000], ids=np.arange(3000), ack="learned")
    c.publish()
    Path(home, "photo.png").write_bytes(png(x[60000]))
    Path(home, "shoe.png").write_bytes(png(x[60000]))
    Path(home, "image.png").write_bytes(png(x[60000]))


@test("a daemon serves what the commands ask for")
def _():
    prepare()


blocks = list(BLOCK.finditer(README))


@test("there are commands in README.md, and each says how it is tested")
def _():
    check(blocks, "there is no block of shell")
    for block in blocks:
        check(block.group(1), "this has no comment before it:\n" +
              block.group(4))


for block in blocks:
    text = block.group(4)
    if block.group(3) == "console":
        text = "".join(line[2:] for line in text.splitlines(True)
                       if line.startswith("$ "))

    @test("README: %s" % " ".join(text.split())[:60].replace("#", ""))
    def _(text=text, mode=block.group(1), why=block.group(2)):
        if mode != "run":
            raise Skip(why.strip() or "not to be run")
        script = text.replace("7337", str(daemon.port))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=home, text=True,
            capture_output=True, stdin=subprocess.DEVNULL,
            timeout=2 * DEADLINE,
            env=dict(os.environ, HOME=home, AKIN_URL=daemon.url,
                     PATH="%s:%s:%s" % (AKIN.parent, AKIND.parent,
                                        os.environ["PATH"])))
        equal(done.returncode, 0, "exit status of\n%s%s%s" % (
            script, done.stdout[-1000:], done.stderr[-1000:]))
        # curl -s is content with any answer; we are not.
        check("urn:akin:problem" not in done.stdout, done.stdout)


main()
