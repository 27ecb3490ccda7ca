#!/usr/bin/env python3
"""kill_nodes.py [KILLS]: 64 streams that never pause, and node processes killed
under them (kill -9), so often for each kind (100): a worker, a rank, and both one
after the other. Who was killed comes back under its name before the next one.

Every text is compared with that of one process without faults. Says how long
streams stood still: of each stream the longest time between two pieces that a
kill falls into or comes before, beside the same of moments without a kill. Run by
hand; needs the release build.

A request whose rank has died twice is not tried a third time, so each kill waits
until all requests have begun after the one before.
"""

import json
import http.client
import os
import random
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, f"{HERE}/../cluster")
os.environ.setdefault("SOURCE_DIR", os.path.normpath(f"{HERE}/../.."))
os.environ.setdefault("BINARY_DIR",
                      f"{os.environ['SOURCE_DIR']}/build/release")

from busy_cluster import OneMachine, Process, Show, wait_until
from comeback_test import REPLICAS

STREAMS = 64
MAX_TOKENS = 60
WINDOW = 3.0  # s after a kill in which what stands still does so for its sake
PAUSE = 1.0  # s without a kill, before the next one
LONG = 60_000  # ms
FLAGS = ["--max-num-seqs", "64"]
WORKERS, RANKS = ["experts", "more"], ["left", "right"]


class Stream(threading.Thread):
    """The same request again and again."""

    def __init__(self, port, number, golden=None):
        super().__init__(daemon=True)
        self.port, self.number, self.golden = port, number, golden
        self.times = []  # of pieces
        self.began = time.monotonic()  # the request that runs
        self.num_whole, self.wrong, self.text = 0, None, ""
        self.is_over = golden is None
        self.start()

    def run(self):
        try:
            while True:
                self.began = time.monotonic()
                self.text = self.ask()
                if self.golden is not None and self.text != self.golden:
                    raise AssertionError(f"other tokens: {self.text}")
                self.num_whole += 1
                if self.is_over:
                    return
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.wrong = f"stream {self.number}: {error!r}"

    def ask(self):
        body = {"model": "nano", "prompt": "Once " * (1 + self.number % 16),
                "max_tokens": MAX_TOKENS, "temperature": 1.5,
                "seed": self.number, "stream": True}
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=LONG / 1000)
        connection.request("POST", "/v1/completions", json.dumps(body))
        answer, text = connection.getresponse(), ""
        assert answer.status == 200, answer.read()
        for line in answer:
            if line.startswith(b"data: [DONE]"):
                return text
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                assert "error" not in event, event
                text += event["choices"][0]["text"]
                self.times.append(time.monotonic())
        raise AssertionError(f"no end after {text}")

    def longest(self, begin, end):
        """Between two pieces of which the later one came between these."""
        times = self.times[-5000:]
        return max((b - a for a, b in zip(times, times[1:])
                    if b >= begin and a < end), default=None)


class Run:
    def __init__(self, front, nodes, golden, dice):
        self.front, self.nodes, self.dice = front, nodes, dice
        self.streams = [Stream(front.port, i, golden[i])
                        for i in range(STREAMS)]
        wait_until("all streams run",
                   lambda: all(len(x.times) > 3 for x in self.streams))
        self.quiet = []  # s, of moments without a kill

    def expect_right(self):
        wrong = [x.wrong for x in self.streams if x.wrong]
        assert not wrong, f"{len(wrong)} streams: {wrong[0]}"

    def gaps_since(self, begin, end):
        wait_until("every stream goes on",
                   lambda: all(x.wrong or x.times[-1] > end
                               for x in self.streams))
        self.expect_right()
        return [x.longest(begin, end) for x in self.streams]

    def rest(self):
        """Until no request knows of a kill any more, and a moment longer."""
        begin = time.monotonic()
        wait_until("all requests are new ones",
                   lambda: all(x.wrong or x.began > begin
                               for x in self.streams))
        begin = time.monotonic()
        time.sleep(PAUSE)
        self.quiet += self.gaps_since(begin, time.monotonic())

    def kill(self, names):
        """Returns for how long the streams stood still."""
        self.rest()
        begin = time.monotonic()
        for name in names:
            self.nodes[name].kill()
            time.sleep(self.dice.uniform(0, 0.3) if len(names) > 1 else 0)
        gaps = self.gaps_since(begin, begin + WINDOW)
        for name in names:
            self.nodes[name] = self.nodes[name].again()
        self.front.expect_health()
        return gaps

    def finish(self):
        for x in self.streams:
            x.is_over = True
        for x in self.streams:
            x.join(LONG / 1000)
            assert not x.is_alive(), f"stream {x.number} has no end"
        self.expect_right()
        return sum(x.num_whole for x in self.streams)


def golden_of(show):
    process = Process([f"{show.binaries}/troupe", "serve", show.model, "--port",
                       "0", "--served-model-name", "nano", *FLAGS])
    try:
        port = int(process.wait_for("ready at").split(":")[2].split()[0])
        streams = [Stream(port, i) for i in range(STREAMS)]
        for x in streams:
            x.join()
            assert not x.wrong, x.wrong
        return [x.text for x in streams]
    finally:
        process.end()


def describe(what, seconds):
    ms = sorted(1000 * x for x in seconds if x is not None)
    at = lambda share: ms[min(len(ms) - 1, int(share * len(ms)))]
    return (f"{what:28} p50 {at(0.5):7.1f} ms  p99 {at(0.99):7.1f} ms  "
            f"max {ms[-1]:7.1f} ms  ({len(ms)})")


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        show = Show(folder)
        golden = golden_of(show)
        with show.cluster(OneMachine(), REPLICAS, WORKERS + RANKS, LONG,
                          FLAGS) as (front, nodes):
            front.expect_health()
            run = Run(front, nodes, golden, dice)
            found = {"a worker": [], "a rank": [], "both, one after the other": []}
            for i in range(kills):
                both = [dice.choice(WORKERS), dice.choice(RANKS)]
                dice.shuffle(both)
                found["a worker"] += run.kill([dice.choice(WORKERS)])
                found["a rank"] += run.kill([dice.choice(RANKS)])
                found["both, one after the other"] += run.kill(both)
                if i % 10 == 9 or i + 1 == kills:
                    print(f"{i + 1} of {kills} times three", flush=True)
            whole = run.finish()
            print(f"{whole} answers, all as of one process without faults; "
                  f"{front.metric('requests_moved_total')} moved")
            print(describe("without a kill, in 1 s", run.quiet))
            for what, gaps in found.items():
                print(describe(what, gaps))


if __name__ == "__main__":
    main()
