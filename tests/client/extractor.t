#!/usr/bin/python3 -B
"""akin extractor: networks without a daemon, against the same in numpy."""
import json
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mock import Tests

MEAN = np.array([0.4914, 0.4822, 0.4465], "f4").reshape(3, 1, 1)
STD = np.array([0.2023, 0.1994, 0.201], "f4").reshape(3, 1, 1)


def safetensors(tensors):
    header, data = {}, b""
    for name, x in tensors.items():
        header[name] = {"dtype": "F32", "shape": x.shape, "data_offsets": [len(data), len(data) + x.nbytes]}
        data += x.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights():
    r = np.random.default_rng(1)
    t = {}
    for stage, (i, o) in enumerate([(3, 8), (8, 16)], 1):
        t["%d.conv.weight" % stage] = r.normal(0, 0.3, (o, i, 3, 3))
        t["%d.bn.weight" % stage] = r.uniform(0.5, 1.5, o)
        t["%d.bn.bias" % stage] = r.normal(0, 0.2, o)
        t["%d.bn.running_mean" % stage] = r.normal(0, 0.5, o)
        t["%d.bn.running_var" % stage] = r.uniform(0.5, 3, o)
    t["linear.weight"] = r.normal(0, 1, (10, 16))
    t["linear.bias"] = r.normal(0, 0.1, 10)
    return {k: v.astype("f4") for k, v in t.items()}


def scores(t, pixels):
    """What architecture `tiny` computes of (3, 32, 32) bytes."""
    x = (pixels.astype("f4") / 255 - MEAN) / STD
    for s in ("1.", "2."):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        x = np.einsum("iyxkl,oikl->oyx", windows, t[s + "conv.weight"])
        shape = (-1, 1, 1)
        x = (x - t[s + "bn.running_mean"].reshape(shape)) / np.sqrt(t[s + "bn.running_var"].reshape(shape) + 1e-5)
        x = np.maximum(x * t[s + "bn.weight"].reshape(shape) + t[s + "bn.bias"].reshape(shape), 0)
        x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
    return t["linear.weight"] @ x.mean((1, 2)) + t["linear.bias"]


class ExtractorTests(Tests):
    def _world(self):
        """A model, and a folder in whose test batch the first 30 of 40 labels
        are what numpy says and the others are not."""
        t = weights()
        r = np.random.default_rng(2)
        model = self.path("tiny.safetensors")
        with open(model, "wb") as f:
            f.write(safetensors(t))
        folder = self.path("cifar")
        os.makedirs(folder, exist_ok=True)
        records = []
        for i in range(40):
            pixels = r.integers(0, 256, (3, 4, 4), "u1").repeat(8, 1).repeat(8, 2)
            best = int(np.argmax(scores(t, pixels)))
            records.append(bytes([best if i < 30 else (best + 1) % 10]) + pixels.tobytes())
        with open(os.path.join(folder, "test_batch.bin"), "wb") as f:
            f.write(b"".join(records))
        return model, folder, records

    def a_network_is_as_often_right_as_in_numpy(self):
        model, folder, _ = self._world()
        args = ["extractor", "evaluate", "-a", "tiny", "-w", model, "--data", folder, "--json", "--progress", "none"]
        for engine in ([], ["--engine", "plain"], ["--batch", "7"]):
            code, out, err = self.akin(*args, *engine)
            self.equal((code, err), (0, ""))
            answer = json.loads(out)
            self.equal((answer["n"], answer["top1"]), (40, 0.75))
            self.check(answer["top5"] >= 0.75)
            self.equal(answer["test"]["n"], 40)

    def all_batches_of_the_folder_are_evaluated(self):
        model, folder, records = self._world()
        with open(os.path.join(folder, "data_batch_3.bin"), "wb") as f:
            f.write(b"".join(records[20:]))
        args = ["extractor", "evaluate", "-a", "tiny", "-w", model, "--data", folder, "--json", "--progress", "none"]
        answer = json.loads(self.akin(*args)[1])
        self.equal((answer["n"], answer["top1"]), (60, 40 / 60))
        self.equal((answer["train"]["n"], answer["train"]["top1"]), (20, 0.5))
        self.equal((answer["test"]["n"], answer["test"]["top1"]), (40, 0.75))
        answer = json.loads(self.akin(*args, "--split", "train")[1])
        self.equal((answer["n"], answer["top1"]), (20, 0.5))
        os.remove(os.path.join(folder, "data_batch_3.bin"))

    def an_imported_model_is_the_same(self):
        model, folder, _ = self._world()
        akx = self.path("tiny.akx")
        code, out, err = self.akin("extractor", "import", "-a", "tiny", model, "-o", akx, "--json")
        self.equal((code, err), (0, ""))
        self.equal(json.loads(out)["dim"], 16)
        answer = json.loads(self.akin("extractor", "evaluate", "--local", akx, "--data", folder, "--json",
                                      "--progress", "none")[1])
        self.equal(answer["top1"], 0.75)
        with open(akx, "r+b") as f:
            f.seek(900)
            f.write(b"\x55")
        code, _, err = self.akin("extractor", "evaluate", "--local", akx, "--data", folder)
        self.equal(code, 2)
        self.has(err, "checksum")

    def what_is_wrong_is_said(self):
        model, folder, _ = self._world()
        for args, text in (
                (["import", model], "a name and a file are needed, or --output"),
                (["import", model, "-o", self.path("x")], "--arch and one file are needed"),
                (["import", "-a", "resnet21", model, "-o", self.path("x")], 'no architecture "resnet21"'),
                (["import", "-a", "resnet20", model, "-o", self.path("x")], "is no parameter of the architecture"),
                (["evaluate", "--data", folder], "a name, or --local, or --arch and --weights, are needed"),
                (["evaluate", "-a", "tiny", "-w", model], "--data is needed"),
                (["evaluate", "-a", "tiny", "-w", model, "--data", self.path("none")], "there is no data_batch_1"),
                (["evaluate", "-a", "tiny", "-w", model, "-d", "folder", "--data", self.path("none")], "no such folder"),
                (["evaluate", "-a", "tiny", "-w", model, "-d", "folder", "--data", folder], "no image"),
                (["evaluate", "--local", model, "--data", folder], "not a model file of akin")):
            code, _, err = self.akin("extractor", *args)
            self.equal(code, 2)
            self.has(err, text)
        self.check(not os.path.exists(self.path("x")))


if __name__ == "__main__":
    ExtractorTests.main()
