#!/usr/bin/env python3
"""soak.py [SECONDS]: a server under load for so long (300), whose memory and
descriptors must not grow.

Rounds of `troupe bench serve` follow each other, texts and chats in turn, each
with new connections and beside it clients that go away early. After each round
the server is idle for a moment and is looked at: what it has then may not be
more than after the first third, but for a little.
"""

import http.client
import json
import os
import subprocess
import sys
import time

ROUND = 15  # s
STREAMS = 100
SLACK = 1.03  # of memory: allocators keep what they may need


def start(binary, model):
    server = subprocess.Popen(
        [f"{binary}/deploy/troupe", "serve", model, "--port", "0"]
        + ["--served-model-name", "nano", "--max-model-len", "1024"]
        + ["--max-num-seqs", "64"], stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if line.startswith("ready at "):
            return server, line.split()[2].rstrip(":")
    sys.exit("the server ended before it was ready")


def look(pid):
    """Resident KiB and descriptors."""
    with open(f"/proc/{pid}/status") as file:
        resident = next(int(x.split()[1]) for x in file if "VmRSS" in x)
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


def leave_early(url, until):
    """Clients that ask for much and go away with the first piece."""
    host = url.removeprefix("http://")
    body = {"model": "nano", "prompt": "Once", "max_tokens": 900,
            "ignore_eos": True, "stream": True}
    count = 0
    while time.monotonic() < until:
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(body))
        connection.getresponse().read1(1)
        connection.close()
        count += 1
        time.sleep(0.2)
    return count


def one_round(binary, url, number):
    kind = ["openai", "openai-chat"][number % 2]
    bench = subprocess.Popen(
        [f"{binary}/deploy/troupe", "bench", "serve", "--url", url, "--model",
         "nano", "--backend", kind, "--num-prompts", "100000", "--max-seconds",
         str(ROUND), "--max-concurrency", str(STREAMS), "--seed", str(number),
         "--random-input-len", "lognormal:60,0.7", "--random-output-len",
         "1-120", "--ignore-eos", "--json", "-", "--disable-progress"],
        stdout=subprocess.PIPE, text=True)
    gone = leave_early(url, time.monotonic() + ROUND)
    found = json.loads(bench.communicate()[0])
    assert found["failed"] == 0, found["errors"]
    return found, gone


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    here = os.path.dirname(os.path.realpath(__file__))
    source = os.environ.get("SOURCE_DIR", os.path.normpath(f"{here}/../.."))
    binary = os.environ.get("BINARY_DIR", f"{source}/build/release")
    server, url = start(binary, f"{source}/examples/nano/model")
    seen = []
    try:
        begin = time.monotonic()
        while time.monotonic() < begin + seconds or len(seen) < 6:
            found, gone = one_round(binary, url, len(seen))
            time.sleep(1)
            seen.append(look(server.pid))
            print(f"{time.monotonic() - begin:4.0f} s: {seen[-1][0]} KiB, "
                  f"{seen[-1][1]} descriptors; {found['completed']} requests, "
                  f"{found['total_output_tokens']} tokens, {gone} left early",
                  flush=True)
    finally:
        server.terminate()
        server.wait(60)
    early = seen[:len(seen) // 3]
    for i, what in enumerate(["KiB", "descriptors"]):
        most = max(x[i] for x in early)
        allowed = most * SLACK if i == 0 else most
        assert seen[-1][i] <= allowed, f"{what} grow: {most}, {seen[-1][i]}"
    print("nothing has grown")


if __name__ == "__main__":
    main()
