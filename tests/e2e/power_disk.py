"""What a disk may hold when the power fails under a daemon.

The daemon runs with the library of power_disk.c, which writes down what it does
to its files.  Of that, a disk may keep any part that no sync has forced:

- of each file, since its last sync: each sector of 512 bytes as it was then or
  after any write since, and each change of the size or not;
- of the names, which a sync of their folder forces: those that were made,
  changed and removed up to any moment since, as a journal of them keeps them.
  A sync of a file does not force its name.
"""

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

SECTOR = 512
MADE, WROTE, SIZED, SYNCED, RENAMED, REMOVED, FOLDER = range(1, 8)
ENTRY = struct.Struct("<IIIIQQ")


def build(folder):
    """The library, in this folder; None where there is no compiler."""
    library = Path(folder) / "power_disk.so"
    source = Path(__file__).with_name("power_disk.c")
    try:
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library),
                        str(source), "-ldl"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return str(library)


class File:
    def __init__(self, data=b""):
        self.synced = bytearray(data)
        self.changes = []  # (at, data), or (size, None)

    def sync(self):
        for at, data in self.changes:
            put(self.synced, at, data)
        self.changes = []

    def torn(self, rng):
        """Nothing, all or any part of the changes; perhaps not the last."""
        data = bytearray(self.synced)
        chance = rng.choice((0, 1, 0.5, 0.1, 0.9))
        changes = self.changes
        if changes and rng.randrange(3) == 0:
            changes = changes[:rng.randrange(len(changes))]
        for at, piece in changes:
            if piece is None or chance in (0, 1):
                if rng.random() < chance:
                    put(data, at, piece)
                continue
            done = 0
            while done < len(piece):
                step = min(SECTOR - (at + done) % SECTOR, len(piece) - done)
                if rng.random() < chance:
                    put(data, at + done, piece[done:done + step])
                done += step
        return data


def put(data, at, piece):
    """A write of `piece`, or without one a change of the size."""
    end = at + len(piece or b"")
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    if piece is None:
        del data[end:]
    else:
        data[at:end] = piece


class Folder:
    def __init__(self):
        self.now = {}  # name: File or Folder
        self.kept = {}


class Disk:
    """The folder of a daemon as it was at a start, when all was synced."""

    def __init__(self, path):
        self.path = Path(path)
        self.by_inode = {}
        self.root = self._read(self.path)
        # Changes of names that nothing has forced, in order: each a list of
        # (folder, name, what is there then).
        self.names = []

    def _read(self, path):
        folder = Folder()
        self.by_inode[path.stat().st_ino] = folder
        for entry in path.iterdir():
            if entry.is_dir():
                made = self._read(entry)
            else:
                made = File(entry.read_bytes())
                self.by_inode[entry.stat().st_ino] = made
            folder.now[entry.name] = folder.kept[entry.name] = made
        return folder

    def _find(self, path):
        """(folder, name) of a path; None when one of it is not known."""
        parts = path.split("/")
        folder = self.root
        for part in parts[:-1]:
            folder = folder.now.get(part)
            if not isinstance(folder, Folder):
                return None, None
        return folder, parts[-1]

    def _name(self, *changes):
        for folder, name, what in changes:
            if what is None:
                folder.now.pop(name, None)
            else:
                folder.now[name] = what
        self.names.append(changes)

    def _force(self, folder):
        """What was done in this folder is on the disk."""
        rest = []
        for changes in self.names:
            if any(c[0] is folder for c in changes):
                keep(changes)
            else:
                rest.append(changes)
        self.names = rest

    def follow(self, journal):
        """All that the journal says was done since."""
        data = Path(journal).read_bytes()
        at = 0
        while at + ENTRY.size <= len(data):
            kind, n, m, k, inode, where = ENTRY.unpack_from(data, at)
            at += ENTRY.size
            if at + n + m + k > len(data):
                break  # the process died in the middle of it
            name = data[at:at + n].decode()
            other = data[at + n:at + n + m].decode()
            piece = data[at + n + m:at + n + m + k]
            at += n + m + k
            self._do(kind, inode, where, name, other, piece)

    def _do(self, kind, inode, where, name, other, piece):
        file = self.by_inode.get(inode)
        if kind in (MADE, FOLDER):
            file = File() if kind == MADE else Folder()
            self.by_inode[inode] = file
            folder, last = self._find(name)
            if folder:
                self._name((folder, last, file))
        elif kind == WROTE and file:
            file.changes.append((where, piece))
        elif kind == SIZED and file:
            file.changes.append((where, None))
        elif kind == SYNCED and file:
            if isinstance(file, File):
                file.sync()
            else:
                self._force(file)
        elif kind == RENAMED:
            (a, old), (b, new) = self._find(name), self._find(other)
            if a and b and old in a.now:
                self._name((a, old, None), (b, new, a.now[old]))
        elif kind == REMOVED:
            folder, last = self._find(name)
            if folder and last in folder.now:
                self._name((folder, last, None))

    def fail(self, seed):
        """The power fails: the folder holds what is left."""
        rng = random.Random(seed)
        n = rng.choice((0, len(self.names), rng.randint(0, len(self.names))))
        for changes in self.names[:n]:
            keep(changes)
        shutil.rmtree(self.path)
        self._write(self.root, self.path, rng)

    def _write(self, folder, path, rng):
        path.mkdir(mode=0o700)
        for name, what in sorted(folder.kept.items()):
            if isinstance(what, Folder):
                self._write(what, path / name, rng)
            elif not name.endswith("-shm"):
                (path / name).write_bytes(what.torn(rng))
                (path / name).chmod(0o600)


def keep(changes):
    for folder, name, what in changes:
        if what is None:
            folder.kept.pop(name, None)
        else:
            folder.kept[name] = what
