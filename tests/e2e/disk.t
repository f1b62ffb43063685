#!/usr/bin/python3 -B
"""A disk that is really full: a small file system, filled until it refuses; and
one that the kernel makes read-only, since it found an error.

They are mounted in a name space of mounts of this process, which wants to be root;
elsewhere tests/server/test_room.c has the same with a disk that is pretended.
"""

import errno

from akin_test import *

MIB = 1 << 20
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
DIM = 256
X, Y = clusters(4096, DIM, seed=71)
NAMES = ["c%d" % y for y in Y]
libc = ctypes.CDLL(None, use_errno=True)


def mount_point(mount):
    """A folder on which mount(path) has mounted something, or None where that is
    not allowed."""
    path = tempfile.mkdtemp(prefix="akin-disk-")
    if (libc.unshare(CLONE_NEWNS) != 0 or
            libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0 or
            not mount(path)):
        os.rmdir(path)
        return None
    atexit.register(os.rmdir, path)
    atexit.register(libc.umount2, path.encode(), 2)
    return Path(path)


def small_disk(size):
    """An empty file system of so many bytes, or None."""
    return mount_point(lambda path: libc.mount(
        b"none", path.encode(), b"tmpfs", 0, b"size=%d" % size) == 0)


def ran(*command):
    """Whether there is such a command, and it went well."""
    try:
        return subprocess.run(command, capture_output=True,
                              timeout=DEADLINE).returncode == 0
    except OSError:
        return False


def mounted_loop(image, path):
    """The device by which an image is mounted, or None."""
    if not ran("mount", "-o", "loop,errors=remount-ro", str(image), path):
        return None
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, where = line.split()[:2]
        if where == path and device.startswith("/dev/loop"):
            return device.removeprefix("/dev/")
    return None


def free(path):
    s = os.statvfs(path)
    return s.f_bavail * s.f_frsize


class Disk:
    def __init__(self, name, low):
        self.path = small_disk(32 * MIB)
        if self.path is None:
            raise Skip("no file system can be mounted here")
        # What an operator finds to delete when the disk is full.
        self.ballast = self.path / "ballast"
        self.ballast.write_bytes(bytes(12 * MIB))
        self.daemon = Daemon(self.path / "data",
                             args=["--disk-low-bytes", low]).start()
        self.c = self.daemon.collection(name, dim=DIM)
        self.stored = 0

    def fill(self):
        """Batches of one MiB until one is refused, and is so half a second
        later, when what was in the log is in its place; the answer to it."""
        refused = 0
        while True:
            check(self.stored < 32 * 1024, "the disk is never full")
            ids = list(range(self.stored, self.stored + 1024))
            reply = self.daemon.post(
                self.c.path + "/batches",
                npy_batch(X[:1024], NAMES[:1024], ids), type=MULTIPART)
            if reply.status == 200:
                self.stored += 1024
                refused = 0
                continue
            refused += 1
            if refused > 5:
                return reply
            time.sleep(0.1)

    def check_all(self):
        self.c.wait_visible(self.c.stream()["durable_seq"])
        equal(sorted(i["id"] for i in self.c.items()),
              list(range(self.deleted, self.stored)), "ids")

    deleted = 0


@test("the reserve is left when writes are refused, and deletes live on it")
def _():
    disk = Disk("reserve", "6MiB")
    disk.fill().problem(507, "disk-full")
    check(disk.stored >= 4096, "only %d items are stored" % disk.stored)
    note("%d items are stored, %.1f MiB are left" %
         (disk.stored, free(disk.path) / MIB))
    check(free(disk.path) > 2 * MIB, "%d bytes are left" % free(disk.path))
    for i in range(disk.stored // 2):
        if i % 64 == 0:
            disk.daemon.post(disk.c.path + "/items/delete", {
                "ids": list(range(i, min(i + 64, disk.stored // 2)))}
            ).expect(200)
    disk.deleted = disk.stored // 2
    disk.check_all()
    disk.c.search({"id": disk.stored - 1})
    disk.ballast.unlink()
    wait_until(lambda: disk.daemon.get("/readyz").json["checks"]["storage"] ==
               "ok", "there is room again")
    before = disk.stored
    disk.fill().problem(507, "disk-full")
    check(disk.stored > before, "nothing was stored again")
    disk.check_all()
    disk.daemon.kill()
    disk.daemon.start()
    disk.check_all()
    disk.daemon.stop()


@test("without a reserve it is the same, but for deletes")
def _():
    disk = Disk("none", "0")
    disk.fill().problem(507, "disk-full")
    note("%d items are stored, %.1f MiB are left" %
         (disk.stored, free(disk.path) / MIB))
    check(disk.stored >= 4096, "only %d items are stored" % disk.stored)
    check(disk.daemon.get("/readyz").expect(200).json["checks"]["storage"] in
          ("ok", "disk-low"), "it is read-only")
    disk.check_all()
    disk.c.search({"id": disk.stored - 1})
    disk.daemon.kill()
    # The port is told by a file.
    disk.ballast.unlink()
    disk.daemon.start()
    disk.check_all()
    before = disk.stored
    disk.fill().problem(507, "disk-full")
    check(disk.stored > before, "nothing was stored again")
    disk.check_all()
    disk.daemon.stop()


@test("where it turns read-only, reads go on, writes are refused for good")
def _():
    image = Path(tempfile.mkdtemp(prefix="akin-disk-")) / "image"
    atexit.register(shutil.rmtree, image.parent)
    with image.open("wb") as f:
        f.truncate(64 * MIB)
    device = []

    def mount(path):
        device.append(mounted_loop(image, path))
        return device[-1] is not None
    path = ran("mkfs.ext4", "-q", str(image)) and mount_point(mount)
    trigger = path and Path("/sys/fs/ext4/%s/trigger_fs_error" % device[0])
    if not (path and os.access(trigger, os.W_OK)):
        raise Skip("no ext4 can be mounted here")
    daemon = Daemon(path / "data", args=["--disk-low-bytes", "0"]).start()
    c = daemon.collection("shoes", dim=DIM)
    c.upsert(X[:1024], NAMES[:1024], ids=list(range(1024)), ack="visible")
    # What an error in the data of the file system itself makes of it.
    trigger.write_text("1")
    try:
        (path / "file").write_text("")
        fail("it is not read-only")
    except OSError as error:
        equal(error.errno, errno.EROFS, "errno")
    for i in range(3):
        daemon.put(c.path + "/items", npy_batch(X[:1], ids=[2000 + i]),
                   type=MULTIPART).problem(503, "read-only")
    daemon.post(c.path + "/items/delete", {"ids": [5]}).problem(
        503, "read-only")
    equal(len(c.search({"id": 5})["items"]), 10, "hits")
    equal(daemon.get("/readyz").json["checks"]["storage"], "read-only",
          "storage")
    daemon.kill()
    # As it is a start says so; when it is repaired all is there.
    done = subprocess.run([str(AKIND), "--data-dir", daemon.directory],
                          capture_output=True, text=True, timeout=DEADLINE)
    equal(done.returncode, 74, "exit status")
    check("Read-only file system" in done.stderr, done.stderr)
    equal(libc.umount2(str(path).encode(), 0), 0, "umount")
    check(not ran("e2fsck", "-fy", str(image)), "there was nothing to repair")
    check(mount(str(path)), "it can be mounted again")
    daemon.start()
    equal(sorted(i["id"] for i in c.items()), list(range(1024)), "ids")
    c.upsert(X[:8], ids=list(range(2000, 2008)), ack="visible")
    daemon.stop()


main()
