#!/usr/bin/env python3
"""--trace from outside: one file of all nodes, which others can open, with the
times of the run, and a picture of it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
import xml.etree.ElementTree

from with_server import wait_until_ready

SOURCE, BINARY = os.environ["SOURCE_DIR"], os.environ["BINARY_DIR"]
PROGRAM = f"{BINARY}/deploy/troupe"
NUM_TOKENS = 12


def run(*args):
    ended = subprocess.run([PROGRAM, *args], capture_output=True, text=True,
                           timeout=120)
    if ended.returncode != 0:
        sys.exit(f"{args}: {ended.returncode}\n{ended.stderr}")
    return ended.stdout


def generate(file, *more):
    out = run("generate", f"{SOURCE}/examples/nano/model", "--token-ids",
              "5,6,7,8", "--max-tokens", str(NUM_TOKENS), "--ignore-eos",
              "--json", *more, *(["--trace", file] if file else []))
    return json.loads(out)["token_ids"]


def check(condition, what):
    if not condition:
        sys.exit(f"{what} does not hold")


def check_events(path):
    with open(path) as file:
        events = json.load(file)["traceEvents"]
    names = {(x["pid"], x["args"]["name"]) for x in events
             if x["name"] == "process_name"}
    check(len(names) == 3, f"three nodes have names: {names}")
    spans = [x for x in events if x["ph"] == "X"]
    steps = [x for x in spans if x["name"].startswith("step")]
    check(len(steps) >= NUM_TOKENS, f"a step a token: {len(steps)}")
    of_number = {x["args"]["step"]: x for x in steps}
    check(sorted(of_number) == list(range(1, len(steps) + 1)),
          f"steps are counted from 1: {sorted(of_number)}")
    for x in spans:
        if x["name"].startswith("attention"):
            step = of_number[x["args"]["step"]]
            check(step["ts"] <= x["ts"] and x["ts"] + x["dur"]
                  <= step["ts"] + step["dur"], f"{x} is part of {step}")
    check({x["pid"] for x in spans} == {1, 2}, "the front computes nothing")
    flights = [x for x in events if x["ph"] == "b"]
    check(flights, "rows were on their way")
    sent = {x["id"] for x in events if x["ph"] == "s"}
    landed = {x["id"] for x in events if x["ph"] == "f"}
    check(sent and sent == landed, "each dispatch has come back")
    check(all(len(x) == 16 and int(x, 16) >= 0 for x in sent),
          "arrows have numbers that Perfetto reads")


def figures(path, *more):
    """Of rank 0, as troupe trace prints them."""
    lines = run("trace", path, *more).splitlines()
    check(lines[0].split()[0] == "rank", lines[0])
    words = lines[1].replace(" %", "").replace(" s", "").split()
    names = ["rank", "node", "steps", "out", "busy", "waiting", "experts",
             "communication", "hidden", "exposed"]
    return dict(zip(names, map(float, words)))


def check_virtual(folder):
    """A seed has one trace, in which two micro-batches hide more than one."""
    def simulate(name, lanes):
        run("simulate", f"{SOURCE}/examples/nano/model", "--nodes", "3",
            "--expert-parallel-size", "2", "--micro-batches", lanes,
            "--no-arithmetic", "--trace", f"{folder}/{name}")
        return f"{folder}/{name}"

    def content(path):
        with open(path) as file:
            return file.read()

    one, two = simulate("one", "1"), simulate("two", "2")
    check(content(two) == content(simulate("again", "2")), "one trace a seed")
    before, after = figures(one), figures(two, "--svg", f"{folder}/two.svg")
    check(after["hidden"] > before["hidden"], f"{before} {after}")
    check("DISPATCH 1" in content(f"{folder}/two.svg"), "a second lane")


def check_requests(folder):
    """Requests of a server stand there by the names that clients know."""
    path = f"{folder}/served.json"
    server = subprocess.Popen(
        [PROGRAM, "serve", f"{SOURCE}/examples/nano/model", "--port", "0",
         "--served-model-name", "nano", "--trace", path],
        stderr=subprocess.PIPE, text=True)
    try:
        url = wait_until_ready(server)
        names = []
        for mine in ("mine \"7\"", "mine-8", None):
            body = json.dumps({"model": "nano", "prompt": "Once", "seed": 1,
                               "max_tokens": 5, "ignore_eos": True}).encode()
            headers = {"Content-Type": "application/json"}
            if mine:
                headers["X-Request-Id"] = mine
            asked = urllib.request.Request(f"{url}/v1/completions", body,
                                           headers)
            with urllib.request.urlopen(asked, timeout=60) as answer:
                answer.read()
                names.append(answer.headers["X-Request-Id"])
        server.send_signal(signal.SIGTERM)
        server.stderr.read()
        check(server.wait(timeout=60) == 0, "the server ends in peace")
    finally:
        server.kill()
    check(names[1] == "mine-8", f"a client's own name: {names}")
    with open(path) as file:
        events = [x for x in json.load(file)["traceEvents"]
                  if x.get("cat") == "requests"]
    for name in names:
        begins = [x for x in events if x["ph"] == "b" and x["name"] == name]
        check(len(begins) == 1, f"{name} began once: {begins}")
        check(begins[0]["args"]["answer"] == 5, f"five tokens: {begins}")
        of_it = [x for x in events if x["id"] == begins[0]["id"]]
        said = [x["name"] for x in sorted(of_it, key=lambda x: x["ts"])]
        check(said == [name, "rank 0", "first token", name], f"{said}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        path, svg = f"{folder}/trace.json", f"{folder}/layer.svg"
        spread = ["--nodes", "3", "--expert-parallel-size", "2",
                  "--emulate-link", "latency=5ms"]
        tokens = generate(path, *spread)
        check(tokens == generate(None, *spread), "tokens are the same without")
        check(os.listdir(folder) == ["trace.json"], "no part is left")
        check_events(path)
        x = figures(path, "--svg", svg)
        check(abs(x["busy"] + x["waiting"] - 100) < 0.2, f"two parts: {x}")
        check(abs(x["hidden"] + x["exposed"] - 100) < 0.2, f"two parts: {x}")
        # Each step waits twice for each of its four layers with experts.
        check(x["out"] > NUM_TOKENS * 0.04, f"the links were slow: {x}")
        check(x["exposed"] > 0, f"one lane cannot hide all: {x}")
        tree = xml.etree.ElementTree.parse(svg)
        titles = [t.text for t in tree.iter("{http://www.w3.org/2000/svg}title")]
        for name in ("PREPARE 0", "ATTENTION 0", "DISPATCH 0", "COMBINE 0"):
            check(any(t.startswith(name + ":") for t in titles), name)
        generate(path)
        x = figures(path)
        check(x["communication"] == 0, f"one node has no links: {x}")
        check_virtual(folder)
        check_requests(folder)
    print("traces hold")


main()
