#!/usr/bin/python3 -B
"""akin ingest is killed anywhere, and so is the daemon: the same command again
goes on, nothing is lost, nothing is there twice, and ids, codes and model are
those of a run that nobody disturbed.

What is doubled would not show in the ids, since a known id is replaced: so the
records and the rows ever stored are counted, too.  HMOH's model depends on the
order and the number of what it has learnt.
"""

from akin_test import *

SEED = 61
DIM, ROWS, BATCH = 32, 6000, 25
BATCHES = ROWS // BATCH
RECORDS = BATCHES + 1  # and the publish when the warm-up is over
X, Y = clusters(ROWS, DIM, classes=6, seed=62, spread=0.7)
SETTINGS = {"bits": 32, "features": {"dim": DIM},
            "model": {"kind": "hmoh",
                      "params": {"seed": 5, "kernel_anchors": 50}}}

home = Path(tempfile.mkdtemp(prefix="akin-resume-"))
atexit.register(shutil.rmtree, home, ignore_errors=True)
np.save(home / "x.npy", X)
np.save(home / "y.npy", Y)
LINES = "".join(json.dumps({"id": i, "vector": X[i].tolist(),
                            "labels": ["c%d" % Y[i]]}) + "\n"
                for i in range(ROWS))
(home / "rows.ndjson").write_text(LINES)
FILES = (str(home / "x.npy"), "--labels", str(home / "y.npy"))
STDIN = ("-", "--producer", "night-7")


class Run:
    """A daemon of one address, and the tool beside it, once or many times."""

    def __init__(self, source):
        self.source = source
        self.daemon = Daemon().start()
        port = self.daemon.port
        self.daemon.stop()
        # The tool knows one address, so that the daemon has to keep it.
        self.daemon.args += ["--listen", "127.0.0.1:%d" % port]
        self.daemon.start()
        self.c = self.daemon.collection("stream", **SETTINGS)
        self.tool = None
        self.tools = 0

    def launch(self):
        self.tools += 1
        self.tool = subprocess.Popen(
            [str(AKIN), "ingest", "stream", *self.source, "--batch",
             str(BATCH), "--in-flight", "4", "--quiet"],
            env=dict(os.environ, AKIN_URL=self.daemon.url, HOME=str(home)),
            stdin=open(home / "rows.ndjson"), stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)

    def finish(self):
        _, error = self.tool.communicate(timeout=DEADLINE)
        equal(self.tool.returncode, 0, "exit status (%s)" % error)

    def disturbed(self, kills, seed):
        """Kill one or both at as many moments as `kills` says."""
        rng = random.Random(seed)
        moments = sorted(rng.sample(range(1, BATCHES - 1), kills))
        self.launch()
        for moment in moments:
            wait_until(lambda: self.stored() >= moment or
                       self.tool.poll() is not None, "batch %d" % moment)
            time.sleep(rng.uniform(0, 0.01))
            whom = rng.choice(["tool", "daemon", "both"])
            if whom != "daemon":
                self.tool.kill()
                self.tool.communicate()
            if whom != "tool":
                self.daemon.kill()
                self.daemon.start()
            if whom != "daemon":
                self.launch()
        self.finish()

    def stored(self):
        return self.c.stream()["durable_seq"]

    def look(self):
        """All there is to compare."""
        # The publish that ends the warm-up comes behind the batches.
        wait_until(lambda: self.stored() >= RECORDS, "the last record")
        seq = self.stored()
        self.c.wait_learned(seq)
        self.c.wait_visible(seq)
        for line in self.daemon.get("/metrics").body.decode().splitlines():
            if line.startswith("akind_collection_rows{"):
                self.rows = float(line.split()[1])
        self.items = self.c.items()
        self.model = self.c.model_bytes(self.c.publish())
        self.ids, self.codes = self.c.codes()
        self.records = seq


def compare(one, other):
    for run in (one, other):
        equal(run.records, RECORDS, "records")
        equal(run.rows, ROWS, "rows ever stored")
        equal(sorted(i["id"] for i in run.items), list(range(ROWS)), "ids")
    equal([i["id"] for i in one.items] == [i["id"] for i in other.items], True,
          "the order of arrival is the same")
    equal([i["labels"] for i in one.items] ==
          [i["labels"] for i in other.items], True, "labels are the same")
    equal(hashlib.sha256(one.model).hexdigest(),
          hashlib.sha256(other.model).hexdigest(), "SHA-256 of the model")
    equal(list(one.ids) == list(other.ids), True, "ids of the search")
    equal(one.codes.tobytes() == other.codes.tobytes(), True, "codes")


calm = Run(FILES)
killed = Run(FILES)


@test("a run that nobody disturbs stores every batch in one record")
def _():
    calm.launch()
    calm.finish()
    calm.look()
    equal(calm.records, RECORDS, "records")


@test("with kill -9 of tool and daemon the same command comes to its end")
def _():
    killed.disturbed(10, SEED)
    note("%d tools, %d daemons" % (killed.tools, killed.daemon.starts))
    check(killed.tools > 3 and killed.daemon.starts > 5, "few were killed")
    killed.look()


@test("nothing is lost or doubled, and order, model and codes are the same")
def _():
    compare(killed, calm)


@test("the same command once more sends nothing but the last batch")
def _():
    killed.launch()
    killed.finish()
    # One was appended meanwhile, the publish that look() asks for.
    equal(killed.c.stream()["durable_seq"], RECORDS + 1, "records")


@test("a stream from stdin goes on by its producer's name")
def _():
    one, other = Run(STDIN), Run(STDIN)
    one.disturbed(4, SEED + 1)
    other.launch()
    other.finish()
    for run in (one, other):
        equal(run.daemon.get(run.c.path + "/producers/night-7").json
              ["last_seq"], BATCHES, "last_seq")
        run.look()
    compare(one, other)


main()
