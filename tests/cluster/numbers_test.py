#!/usr/bin/env python3
"""Weights that are no numbers are found when they are loaded, whichever tensor
they are in, and named. Where weights are numbers and logits are none, that ends
the one request that they belong to, and nobody else notices.
"""

import concurrent.futures
import contextlib
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from busy_cluster import wait_until

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.environ.get("SOURCE_DIR", os.path.normpath(f"{HERE}/../.."))
BINARY = os.environ.get("BINARY_DIR", f"{SOURCE}/build/release")
TROUPE = f"{BINARY}/deploy/troupe"
NANO = f"{SOURCE}/examples/nano/model"
SEED = 3

# Of each type: bytes of an element, NaN, and infinity where there is one.
TYPES = {"BF16": (2, b"\xc0\x7f", b"\x80\xff"),
         "F32": (4, b"\0\0\xc0\x7f", b"\0\0\x80\x7f"),
         "F8_E4M3": (1, b"\x7f", b"\xff")}
LARGE = struct.pack("<f", 3e38)[2:]  # in BF16


class Model:
    """A copy of the nano model whose weights can be changed."""

    def __init__(self, folder):
        self.folder = folder
        for name in os.listdir(NANO):
            shutil.copy(f"{NANO}/{name}", folder)
        self.path = f"{folder}/model.safetensors"
        with open(self.path, "rb") as file:
            self.head, = struct.unpack("<Q", file.read(8))
            self.tensors = json.loads(file.read(self.head))
        self.tensors.pop("__metadata__", None)

    def write(self, name, element, value):
        """Returns what stood there."""
        x = self.tensors[name]
        at = 8 + self.head + x["data_offsets"][0]
        at += element * TYPES[x["dtype"]][0]
        assert at + len(value) <= 8 + self.head + x["data_offsets"][1]
        with open(self.path, "r+b") as file:
            file.seek(at)
            before = file.read(len(value))
            file.seek(at)
            file.write(value)
        return before

    def kinds(self):
        """A tensor of each kind that is loaded, at random."""
        with open(f"{self.folder}/config.json") as file:
            layers = json.load(file)["num_hidden_layers"]
        all_of = {}
        for name in sorted(self.tensors):
            layer = re.search(r"layers\.(\d+)", name)
            if not layer or int(layer[1]) < layers:  # the rest is not read
                all_of.setdefault(re.sub(r"\d+", "N", name), []).append(name)
        return all_of.values()

    def size(self, name):
        x = self.tensors[name]
        return ((x["data_offsets"][1] - x["data_offsets"][0])
                // TYPES[x["dtype"]][0])


def weights_that_are_no_numbers_are_named(model):
    chance = random.Random(SEED)
    num = 0
    for names in model.kinds():
        for which in (1, 2):
            name = chance.choice(names)
            element = chance.randrange(model.size(name))
            value = TYPES[model.tensors[name]["dtype"]][which]
            before = model.write(name, element, value)
            done = subprocess.run(
                [TROUPE, "generate", model.folder, "-p", "x", "--max-tokens",
                 "1", "--expert-parallel-size", chance.choice("124")],
                capture_output=True, text=True, timeout=120)
            model.write(name, element, before)
            said = done.stderr.splitlines()[-1]
            assert done.returncode == 1 and name in said, (
                f"{value!r} at {element} of {name}: exit status "
                f"{done.returncode}, {done.stderr[-300:]}")
            num += 1
    assert num > 50, num
    print(f"{num} weights that are no numbers")


# -- logits --------------------------------------------------------------------

@contextlib.contextmanager
def serving(model):
    server = subprocess.Popen(
        [TROUPE, "serve", model.folder, "--port", "0", "--threads", "1",
         "--served-model-name", "nano", "--expert-parallel-size", "2"],
        stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.match(r"ready at (\S+):", line):
                break
        else:
            raise AssertionError("".join(said))
        yield found[1]
        assert server.poll() is None, "the server has ended"
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def ask(url, prompt, stream):
    """(status, text, what was wrong with it)"""
    body = json.dumps({"model": "nano", "prompt": prompt, "max_tokens": 12,
                       "temperature": 0, "stream": stream})
    request = urllib.request.Request(f"{url}/v1/completions", body.encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        return json.loads(error.read())["error"]["message"]
    if not stream:
        return "said " + json.loads(text)["choices"][0]["text"]
    events = [x.removeprefix("data: ") for x in text.split("\n\n") if x]
    read = [json.loads(x) for x in events if x != "[DONE]"]
    errors = [x["error"]["message"] for x in read if "error" in x]
    return errors[0] if errors else "said " + "".join(
        x["choices"][0]["text"] for x in read)


def metric(url, name):
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        return int(re.search(rf"^troupe_{name} (\d+)$", answer.read().decode(),
                             re.M)[1])


def logits_that_are_no_numbers_end_one_request(model):
    # The logit of one token is finite or not by what the prompt says.
    hidden = model.tensors["lm_head.weight"]["shape"][1]
    row = bytes(2 * hidden)
    model.write("lm_head.weight", 7 * hidden, LARGE + row[2:])
    words = ["Once", "The fox", "A lamp", "7 times 8", "Paris", "snow", "Why",
             "she said", "12", "the end", "little", "Hello"]
    jobs = [(x, stream) for x in words for stream in (False, True)]
    with serving(model) as url:
        alone = [ask(url, *x) for x in jobs]
        failed = [x for x in alone if "finite" in x]
        well = [x for x in alone if x.startswith("said ")]
        assert len(failed) + len(well) == len(jobs), alone
        assert len(failed) >= 4 and len(well) >= 4, (
            f"too few of one kind to say anything: {alone}")
        wait_until("each of them is counted", lambda: metric(
            url, "requests_without_finite_logits_total") == len(failed))
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as crowd:
            together = list(crowd.map(lambda x: ask(url, *x), jobs))
        assert together == alone, (alone, together)
        wait_until("nothing is held any more", lambda: metric(
            url, "kv_blocks_free") == metric(url, "kv_blocks"))
        assert metric(url, "requests_running") == 0, "one still runs"
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            assert answer.status == 200
    print(f"{len(failed)} of {len(jobs)} requests had no logits")


def main():
    failed = 0
    for check in (weights_that_are_no_numbers_are_named,
                  logits_that_are_no_numbers_end_one_request):
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(Model(folder))
            except AssertionError as error:
                print(f"{check.__name__.replace('_', ' ')}: {error}")
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
