#!/usr/bin/env python3
"""Processes that come in any order: a node that is there before the first one
waits for it, and takes part."""

import json
import os
import random
import socket
import sys
import tempfile
import urllib.request

from busy_cluster import Front, Process, wait_until

SOURCE, BINARY = os.environ["SOURCE_DIR"], os.environ["BINARY_DIR"]
TOPOLOGY = """model = "{model}"
controller = "127.0.0.1:{port}"
max_model_len = 256
[[nodes]]
name = "front"
gateway = true
controller = true
ranks = 1
[[nodes]]
name = "experts"
workers = 2
"""


def free_port():
    """Not of those that the system gives to others meanwhile."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as some:
            try:
                some.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def main():
    with tempfile.TemporaryDirectory() as folder:
        port, secret = free_port(), f"{folder}/secret"
        with open(secret, "w", opener=lambda path, flags: os.open(
                path, flags, 0o600)) as file:
            file.write("first come, first served\n")
        with open(f"{folder}/t.toml", "w") as file:
            file.write(TOPOLOGY.format(
                model=f"{SOURCE}/examples/nano/model", port=port))
        common = ["--threads", "1", "--cluster-secret-file", secret]
        node = Process([f"{BINARY}/deploy/troupe", "node", "--join",
                        f"127.0.0.1:{port}", "--name", "experts"] + common)
        front = None
        try:
            node.wait_for(f"waits for somebody at 127.0.0.1:{port}")
            front = Front([f"{BINARY}/deploy/troupe", "serve", "--topology",
                           f"{folder}/t.toml", "--port", "0",
                           "--served-model-name", "nano"] + common)
            front.begin()
            asked = urllib.request.Request(
                f"http://127.0.0.1:{front.port}/v1/completions",
                json.dumps({"model": "nano", "prompt": "Once",
                            "max_tokens": 4}).encode(),
                {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked, timeout=60) as answer:
                assert json.loads(answer.read())["choices"]
            wait_until("both workers have worked", lambda: front.metric(
                "expert_workers_used") == 2)
            front.expect_clean_end()
            node.expect_end(0)
        finally:
            for process in filter(None, (node, front)):
                process.end()
    print("whoever comes early waits")


if __name__ == "__main__":
    sys.exit(main())
