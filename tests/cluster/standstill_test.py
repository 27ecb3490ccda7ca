#!/usr/bin/env python3
"""The first node of a cluster dies, or stands still: every other node ends with
a sentence within seconds, while it joins and while it serves.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time

from busy_cluster import NODES, Process, TOPOLOGY


class Cluster:
    def __init__(self, binary, topology, names):
        common = ["--threads", "1", "--log-level", "info"]
        self.front = Process([binary, "serve", "--topology", topology, "--port",
                              "0"] + common)
        at = self.front.wait_for("nodes join at").split()[-1]
        self.nodes = [Process([binary, "node", "--join", at, "--name", name]
                              + common) for name in names]

    def wait_until_serving(self):
        self.front.wait_for("ready at")

    def wait_until_joined(self):
        for node in self.nodes:
            node.wait_for("node front has joined")

    def expect_ends(self, blow):
        """Returns what was wrong after the front was given this signal."""
        self.front.handle.send_signal(blow)
        begin = time.monotonic()
        wrong = []
        for node in self.nodes:
            try:
                status = node.handle.wait(timeout=20)
                node.reader.join()
                if status != 1:
                    wrong.append(f"a node ended with status {status}")
                if "the controller is gone: node front" not in str(node.lines):
                    wrong.append(f"a node ended with {node.lines}")
            except subprocess.TimeoutExpired:
                wrong.append(f"a node never ended: {node.lines}")
        print(f"{blow.name}: {len(self.nodes)} nodes within "
              f"{time.monotonic() - begin:.2f} s")
        return wrong

    def end(self):
        for process in [self.front] + self.nodes:
            process.end()


def main():
    source, binary = os.environ["SOURCE_DIR"], os.environ["BINARY_DIR"]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        topology = f"{folder}/cluster.toml"
        with open(topology, "w") as file:
            file.write(TOPOLOGY.format(
                model=f"{source}/examples/nano/model", host="127.0.0.1"))
        for blow in signal.SIGSTOP, signal.SIGKILL:
            # All of them, which serve; and some, which wait for the others.
            for names in NODES, NODES[:2]:
                cluster = Cluster(f"{binary}/deploy/troupe", topology, names)
                try:
                    if names == NODES:
                        cluster.wait_until_serving()
                    cluster.wait_until_joined()
                    wrong += cluster.expect_ends(blow)
                finally:
                    cluster.end()
    for x in wrong:
        print(x)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
