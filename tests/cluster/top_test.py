#!/usr/bin/env python3
"""/cluster and `troupe top` of a company of several processes under load, and
after one of them was killed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request

from busy_cluster import wait_until
from with_server import wait_until_ready

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.environ.get("SOURCE_DIR", os.path.normpath(f"{HERE}/../.."))
BINARY = os.environ.get("BINARY_DIR", f"{SOURCE}/build/release")
TROUPE = f"{BINARY}/deploy/troupe"


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def ask(url, number):
    body = json.dumps({"model": "nano", "prompt": f"Once {number}",
                       "max_tokens": 40, "ignore_eos": True}).encode()
    call = urllib.request.Request(f"{url}/v1/completions", body,
                                  {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=120) as answer:
        return json.load(answer)["usage"]


def expect(what, truth):
    if not truth:
        sys.exit(f"top_test: {what}")


def is_whole(x):
    rows = sum(y["rows"] for y in x["layers"])
    return rows == sum(y["rows"] for y in x["workers"]) > 0


def check_quiet(url):
    asked = [threading.Thread(target=ask, args=(url, i)) for i in range(4)]
    for x in asked:
        x.start()
    for x in asked:
        x.join()
    # Each node tells its loads once a second at most, and after silence.
    wait_until("all tokens are told",
               lambda: sum(x["tokens"]
                           for x in get(f"{url}/cluster")["ranks"]) == 160)
    wait_until("all rows are told", lambda: is_whole(get(f"{url}/cluster")))
    x = get(f"{url}/cluster")
    expect("all nodes serve", [y["state"] for y in x["nodes"]]
           == ["serving"] * 3)
    expect("requests are taken", x["takes_requests"])
    expect("a view has a number", x["view"] >= 1)
    expect("every expert is somewhere, once or twice",
           all(y["replicas"] == 2 * y["experts"] for y in x["layers"]))
    expect("rows that chose are rows that were run", is_whole(x))
    experts = get(f"{url}/cluster/experts")
    expect("the experts' rows add up to their layers'",
           [sum(y["rows"]) for y in experts["layers"]]
           == [y["rows"] for y in x["layers"]])


def check_top(url):
    shown = subprocess.run([TROUPE, "top", "--url", url, "--once",
                            "--interval", "100ms"], stdout=subprocess.PIPE,
                           check=True, text=True, timeout=60).stdout
    for word in ("serving", "requests run", "rank  node", "worker  node",
                 "most asked"):
        expect(f"top shows '{word}':\n{shown}", word in shown)
    wrong = subprocess.run([TROUPE, "top", "--url", f"{url}/v1", "--once"],
                           stderr=subprocess.PIPE, text=True, timeout=60)
    expect("a wrong address is told in one line", wrong.returncode == 1
           and wrong.stderr.count("\n") == 1)


def check_record(url, folder):
    """What experts were asked is a file that `troupe balance` plans by."""
    text = subprocess.run([TROUPE, "balance", "record", "--url", url],
                          stdout=subprocess.PIPE, check=True, text=True,
                          timeout=60).stdout
    told = get(f"{url}/cluster")["layers"]
    rows = [x.split(",") for x in text.splitlines()]
    expect("each layer has a row", [int(x[1]) for x in rows[1:]]
           == [x["layer"] for x in told])
    expect("it has what was told", [sum(map(int, x[2:])) for x in rows[1:]]
           == [x["rows"] for x in told])
    with open(f"{folder}/loads.csv", "w") as file:
        file.write(text)
    subprocess.run([TROUPE, "balance", f"{folder}/loads.csv", "--slots", "64",
                    "--gpus", "2"], stdout=subprocess.PIPE, check=True,
                   timeout=60)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(x) for x in file.read().split()]


def check_loss(url, server):
    os.kill(children_of(server.pid)[-1], signal.SIGKILL)
    wait_until("a node is lost",
               lambda: any(x["state"] != "serving"
                           for x in get(f"{url}/cluster")["nodes"]))
    x = get(f"{url}/cluster")
    gone = [y for y in x["nodes"] if y["state"] != "serving"]
    expect("one node is lost, and it is said why", len(gone) == 1)


def main():
    server = subprocess.Popen(
        [TROUPE, "serve", f"{SOURCE}/examples/nano/model", "--port", "0",
         "--served-model-name", "nano", "--nodes", "3",
         "--expert-parallel-size", "2", "--num-redundant-experts", "32",
         "--threads", "1"], stderr=subprocess.PIPE, text=True)
    try:
        url = wait_until_ready(server)
        threading.Thread(target=lambda: server.stderr.read(),
                         daemon=True).start()
        check_quiet(url)
        check_top(url)
        with tempfile.TemporaryDirectory() as folder:
            check_record(url, folder)
        check_loss(url, server)
        server.send_signal(signal.SIGTERM)
        expect("the server ends", server.wait(timeout=60) == 0)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
