#!/usr/bin/env python3
"""What moving experts is worth while a company serves: tokens a second and
balance (mean over largest rows of a worker) without it, and with it before,
during and after the moves. Run by hand.

The skew is made: the nano model with more on the numbers that its router adds
to the scores of experts 0 to 7 of each layer to choose by. Four workers in four
processes and one rank in a fifth; links of those processes are emulated, so that
the fullest worker is what a step waits for, as on real ones. With and without in
turn (ABBA), since the machine may do other things, too."""

import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.path.normpath(f"{HERE}/../..")
TROUPE = f"{SOURCE}/build/release/deploy/troupe"
WORKERS = [f"w{i}" for i in range(4)]
NUM_CLIENTS = 32


def skewed_model(folder, more):
    """A copy that never ends an answer by itself."""
    shutil.copytree(f"{SOURCE}/examples/nano/model", folder)
    path = f"{folder}/model.safetensors"
    with open(path, "rb") as file:
        data = bytearray(file.read())
    length = struct.unpack("<Q", data[:8])[0]
    for name, tensor in json.loads(data[8:8 + length]).items():
        if not name.endswith("gate.e_score_correction_bias"):
            continue
        first = 8 + length + tensor["data_offsets"][0]
        for at in range(first, first + 4 * 8, 4):
            bias = struct.unpack("<f", data[at:at + 4])[0] + more
            data[at:at + 4] = struct.pack("<f", bias)
    with open(path, "wb") as file:
        file.write(data)
    with open(f"{folder}/config.json") as file:
        config = json.load(file)
    del config["eos_token_id"]
    with open(f"{folder}/config.json", "w") as file:
        json.dump(config, file)
    os.remove(f"{folder}/generation_config.json")
    return folder


def write_topology(path, model):
    text = f"""
model = "{model}"
controller = "127.0.0.1:0"
max_model_len = 512
[[nodes]]
name = "front"
gateway = true
controller = true
[[nodes]]
name = "rank"
ranks = 1
"""
    for name in WORKERS:
        text += f'[[nodes]]\nname = "{name}"\nworkers = 1\n'
    text += """
[[units]]
name = "main"
ranks = 1
workers = 4
num_redundant_experts = 8
spare_expert_slots = 2
"""
    with open(path, "w") as file:
        file.write(text)
    return path


class Company:
    """Serving, until it is closed."""

    def __init__(self, topology, rate, more):
        links = ["--emulate-link", f"latency=100us,rate={rate}"]
        self.front = subprocess.Popen(
            [TROUPE, "serve", "--topology", topology, "--port", "0",
             "--served-model-name", "nano", "--threads", "1", "--max-num-seqs",
             str(NUM_CLIENTS), "--log-level", "info"] + links + more,
            stderr=subprocess.PIPE, text=True)
        self.others = []
        for line in self.front.stderr:
            if found := re.search(r"nodes join at (\S+)", line):
                self.others = [subprocess.Popen(
                    [TROUPE, "node", "--join", found[1], "--name", name,
                     "--threads", "1", "--log-level", "error"] + links,
                    stderr=subprocess.DEVNULL) for name in ["rank"] + WORKERS]
            if found := re.search(r"ready at (\S+?):\s", line):
                self.url = found[1]
                break
        else:
            sys.exit("it did not start")
        threading.Thread(target=self.front.stderr.read, daemon=True).start()
        self.is_over = False
        self.clients = [threading.Thread(target=self.ask_on, args=(i,),
                                         daemon=True)
                        for i in range(NUM_CLIENTS)]
        for x in self.clients:
            x.start()

    def ask_on(self, number):
        asked = 0
        while not self.is_over:
            asked += 1
            body = {"model": "nano", "prompt": f"Once {number} upon {asked}",
                    "max_tokens": 120, "temperature": 0.8,
                    "seed": 1000 * number + asked}
            call = urllib.request.Request(
                f"{self.url}/v1/completions", json.dumps(body).encode(),
                {"Content-Type": "application/json"})
            urllib.request.urlopen(call, timeout=120).read()

    def look(self):
        """Tokens and each worker's rows so far, the epoch."""
        with urllib.request.urlopen(f"{self.url}/cluster") as answer:
            x = json.load(answer)
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            tokens = re.search(r"^troupe_generated_tokens_total (\d+)$",
                               answer.read().decode(), re.M)[1]
        return (time.monotonic(), int(tokens),
                [y["rows"] for y in x["workers"]], x["epochs"][0],
                x.get("balance"))

    def close(self):
        self.is_over = True
        for x in self.clients:
            x.join(60)
        self.front.terminate()
        self.front.wait(60)
        for x in self.others:
            x.wait(60)


def between(first, then):
    """Tokens a second, and balance."""
    rows = [b - a for a, b in zip(first[2], then[2])]
    balance = sum(rows) / len(rows) / max(rows) if any(rows) else 0
    return (then[1] - first[1]) / (then[0] - first[0]), balance


def run(topology, options, balances):
    """One run: what it gave before the first move, while experts moved, and
    in its second half."""
    more = ["--balance-experts", f"{options.seconds / 4}s"] if balances else []
    company = Company(topology, options.rate, more)
    looks = []
    end = time.monotonic() + options.seconds
    try:
        while time.monotonic() < end:
            looks.append(company.look())
            time.sleep(1)
    finally:
        company.close()
    start = next(i for i, x in enumerate(looks) if x[1] > 0)
    out = {"after": between(looks[len(looks) // 2], looks[-1])}
    moved = [i for i, x in enumerate(looks) if x[3] > 1]
    if moved:
        first = moved[0]
        out["before"] = between(looks[start], looks[first - 1])
        out["during"] = between(looks[first - 1],
                                looks[min(first + 2, len(looks) - 1)])
        out["did"] = looks[-1][4]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skew", type=float, default=1.0,
                        help="what is added to the router's numbers")
    parser.add_argument("--rate", default="10mbit", help="of each link")
    parser.add_argument("--seconds", type=int, default=40, help="of each run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = skewed_model(f"{folder}/model", options.skew)
        topology = write_topology(f"{folder}/cluster.toml", model)
        runs = [(x, run(topology, options, x))
                for x in (False, True, True, False)]
    for balances, out in runs:
        print("with" if balances else "without", end=":")
        for phase in ("before", "during", "after"):
            if phase in out:
                print(f" {phase} {out[phase][0]:.0f} tokens/s, balance "
                      f"{out[phase][1]:.2f};", end="")
        print("", out.get("did", ""))
    rate = {x: sum(out["after"][0] for b, out in runs if b == x) / 2
            for x in (True, False)}
    print(f"with / without: {rate[True] / rate[False]:.2f}")


if __name__ == "__main__":
    main()
