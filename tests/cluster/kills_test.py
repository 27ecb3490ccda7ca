#!/usr/bin/env python3
"""A server that keeps blocks on a disk and is killed, again and again, while it
writes them: whoever starts on what is left gives the same tokens, and finds what
was whole. Also where the disk is not to be written to or is full at once, and with
several node processes in one directory.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.environ.get("SOURCE_DIR", os.path.normpath(f"{HERE}/../.."))
BINARY = os.environ.get("BINARY_DIR", f"{SOURCE}/build/release")

NUM_KILLS = 12
PROMPTS = [f"Once upon a time there was number {i}. " * 24 for i in range(6)]


class Server:
    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [f"{BINARY}/deploy/troupe", "serve", f"{SOURCE}/examples/nano/model",
             "--port", "0", "--served-model-name", "nano", "--threads", "1",
             *flags], stderr=subprocess.PIPE, text=True)
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.match(r"ready at (\S+):", line):
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(self.said))
        self.reader = threading.Thread(target=self.listen)
        self.reader.start()

    def listen(self):
        self.said.extend(self.process.stderr)

    def ask(self, prompt):
        """Its text, and how many tokens were found."""
        body = json.dumps({"model": "nano", "prompt": prompt, "max_tokens": 24,
                           "temperature": 1, "seed": 5})
        request = urllib.request.Request(
            f"{self.url}/v1/completions", body.encode(),
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        details = told["usage"].get("prompt_tokens_details") or {}
        return told["choices"][0]["text"], details.get("cached_tokens", 0)

    def metric(self, name):
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return float(re.search(rf"^troupe_{name} (\S+)$", text, re.M)[1])

    def wait_for(self, name, holds):
        deadline = time.monotonic() + 30
        while not holds(self.metric(name)):
            assert time.monotonic() < deadline, f"{name} is {self.metric(name)}"
            time.sleep(0.1)

    def end(self, how):
        getattr(self.process, how)()
        self.process.wait(timeout=30)
        self.reader.join()
        self.process.stderr.close()


def ask_until_gone(server, want):
    for i, prompt in enumerate(PROMPTS):
        try:
            text, _ = server.ask(prompt)
        except (OSError, urllib.error.URLError, ValueError):
            return
        assert text == want[i], f"prompt {i}: {text!r} is not {want[i]!r}"


def kills_change_no_token(folder, want):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(NUM_KILLS):
        server = Server("--kv-cache-dir", folder, "--kv-cache-disk-gb", "0.02")
        wrong = []

        def run():
            try:
                ask_until_gone(server, want)
            except AssertionError as error:
                wrong.append(error)

        client = threading.Thread(target=run)
        client.start()
        time.sleep(chance.random() * 0.4)
        server.end("kill")
        client.join()
        assert not wrong, wrong
    server = Server("--kv-cache-dir", folder, "--kv-cache-disk-gb", "0.02")
    ask_until_gone(server, want)
    server.wait_for("kv_store_blocks", lambda x: x > 10)
    server.end("terminate")
    server = Server("--kv-cache-dir", folder, "--kv-cache-disk-gb", "0.02")
    server.wait_for("kv_store_blocks", lambda x: x > 10)
    for i, prompt in enumerate(PROMPTS):
        text, cached = server.ask(prompt)
        assert text == want[i] and cached >= 64, (text, cached)
    server.wait_for("kv_store_hits_total", lambda x: x > 0)
    server.end("terminate")


def a_place_that_is_none_changes_no_token(_, want):
    server = Server("--kv-cache-dir", "/proc/kv")
    ask_until_gone(server, want)
    server.wait_for("kv_store_off", lambda x: x == 1)
    server.end("terminate")
    assert any("the KV cache on disk is off" in x for x in server.said), \
        server.said


def processes_share_a_directory(folder, want):
    flags = ("--kv-cache-dir", folder, "--nodes", "7", "--data-parallel-size",
             "2", "--expert-parallel-size", "4")
    for is_again in (False, True):
        server = Server(*flags)
        for _ in range(2):  # to both ranks
            ask_until_gone(server, want)
        server.wait_for("kv_store_blocks", lambda x: x > 10)
        if is_again:
            server.wait_for("kv_store_hits_total", lambda x: x > 0)
        server.end("terminate")
    places = [x for _, names, _ in os.walk(folder) for x in names
              if x.endswith("-0")]
    assert len(places) >= 2, places


def main():
    plain = Server()
    want = [plain.ask(prompt)[0] for prompt in PROMPTS]
    plain.end("terminate")
    for check in (kills_change_no_token, a_place_that_is_none_changes_no_token,
                  processes_share_a_directory):
        with tempfile.TemporaryDirectory() as folder:
            check(folder, want)
        print(f"ok: {check.__name__.replace('_', ' ')}")


if __name__ == "__main__":
    sys.exit(main())
