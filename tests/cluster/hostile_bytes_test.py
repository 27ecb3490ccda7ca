#!/usr/bin/env python3
"""Hostile bytes at every listening port of a cluster of four processes that
serves: nobody ends, every answer stays what it was, streams go on.

    hostile_bytes_test.py [--seconds N] [--seed N] [--address HOST:PORT]...

Without addresses all ports are found at which the cluster listens; only those of
127.0.0.1 are ever used. What is sent depends on the seed, when on the machine.
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

NUM_ATTACKERS, NUM_CLIENTS, MAX_HELD = 8, 3, 64
PROMPTS = ["Once upon a time", "The lamp was", "A long road " * 12]


# -- the cluster ---------------------------------------------------------------

class Cluster:
    def __init__(self, binary, model):
        self.binary = f"{binary}/deploy/troupe"
        self.process = subprocess.Popen(
            [self.binary, "serve", model, "--nodes", "4", "--port", "0",
             "--served-model-name", "nano", "--max-model-len", "512",
             "--data-parallel-size", "2", "--expert-parallel-size", "4",
             "--threads", "1", "--log-level", "info"],
            stderr=subprocess.PIPE, text=True)
        self.lines, self.door = [], None
        for line in self.process.stderr:
            self.lines.append(line)
            if "nodes join at" in line:
                self.door = address_of(line.split()[-1])
            if line.startswith("ready at "):
                self.port = int(line.split("127.0.0.1:")[1].split(":")[0])
                break
        else:
            sys.exit(f"the cluster ended before it was ready: {self.lines}")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.nodes = self.children()

    def read(self):
        for line in self.process.stderr:
            self.lines = self.lines[-200:] + [line]

    def children(self):
        """Those that live."""
        out = []
        pid = self.process.pid
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                out += [int(x) for x in file.read().split()]
        return sorted(x for x in out if state_of(x) not in "ZX")

    def addresses(self):
        """Where its processes listen."""
        inodes = set()
        for pid in [self.process.pid] + self.nodes:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                try:
                    inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
                except OSError:
                    pass
        out = []
        with open("/proc/net/tcp") as file:
            for line in list(file)[1:]:
                word = line.split()
                host, port = word[1].split(":")
                if word[3] == "0A" and f"socket:[{word[9]}]" in inodes:
                    host = socket.inet_ntoa(struct.pack("<I", int(host, 16)))
                    out.append((host, int(port, 16)))
        return sorted(out)

    def ask(self, number):
        """The whole text of one answer, from its stream; nothing if the front had
        no room for one more connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=120)
        body = {"model": "nano", "prompt": PROMPTS[number % len(PROMPTS)],
                "max_tokens": 120, "temperature": 0.8, "seed": number,
                "stream": True}
        try:
            connection.request("POST", "/v1/completions", json.dumps(body))
            answer = connection.getresponse()
        except ConnectionError:
            return None
        if answer.status in (429, 503):
            return None
        events = answer.read().decode().split("\n\n")
        connection.close()
        events = [x[len("data: "):] for x in events if x]
        if answer.status != 200 or events[-1] != "[DONE]":
            return f"status {answer.status}, last {events[-1:]}"
        return "".join(json.loads(x)["choices"][0]["text"]
                       for x in events[:-1])

    def ask_until_answered(self, number):
        for _ in range(1000):
            if (text := self.ask(number)) is not None:
                return text
            time.sleep(0.02)
        return None

    def dropped(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=60)
        connection.request("GET", "/metrics")
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith("troupe_strangers_dropped"):
                return int(float(line.split()[-1]))
        return 0

    def end(self):
        """Returns the exit status after an orderly end."""
        try:
            self.process.send_signal(signal.SIGTERM)
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.process.wait()


def address_of(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


# -- what is sent --------------------------------------------------------------

def recorded_hellos(cluster):
    """What a process says that knows the secret, but has no place."""
    said = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        node = subprocess.Popen(
            [cluster.binary, "node", "--name", "stranger", "--join",
             f"127.0.0.1:{listener.getsockname()[1]}"],
            stderr=subprocess.DEVNULL)
        near, _ = listener.accept()
    with near, socket.create_connection(cluster.door, timeout=30) as far:
        near.settimeout(30)
        for _ in range(2):  # greeting and challenge, proof and refusal
            for source, target in (near, far), (far, near):
                data = source.recv(65536)
                if source is near:
                    said += data
                target.sendall(data)
    node.wait(timeout=30)
    return bytes(said)


class Attacker(threading.Thread):
    def __init__(self, seed, addresses, replay, end):
        super().__init__()
        self.chance = random.Random(seed)
        self.addresses, self.replay, self.end = addresses, replay, end
        self.held, self.counts = [], {}
        self.kinds = [self.noise, self.zeros, self.plausible, self.truncated,
                      self.changed, self.replayed, self.slow, self.half_open,
                      self.flood]

    def run(self):
        while time.monotonic() < self.end:
            kind = self.chance.choice(self.kinds)
            try:
                kind(self.chance.choice(self.addresses))
            except OSError:
                pass  # a door that closes is what is wanted
            name = kind.__name__
            self.counts[name] = self.counts.get(name, 0) + 1
        for x in self.held:
            x.close()

    def connect(self, address):
        # Ports of the data interface do not even answer.
        return socket.create_connection(address, timeout=0.2)

    def send(self, address, data):
        with self.connect(address) as x:
            if self.chance.random() < 0.3:  # ends with a reset
                x.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
            x.sendall(data)
            if self.chance.random() < 0.5:
                x.recv(4096)

    def size(self):
        return self.chance.choice([1, 4, 17, 64, 500, 4096, 5000, 70000])

    def noise(self, address):
        self.send(address, self.chance.randbytes(self.size()))

    def zeros(self, address):
        self.send(address, bytes(self.size()))

    def plausible(self, address):
        size = self.chance.randrange(1, 4097)
        self.send(address, struct.pack("<I", size)
                  + self.chance.randbytes(size))

    def truncated(self, address):
        self.send(address, self.replay[:self.chance.randrange(
            1, len(self.replay))])

    def changed(self, address):
        data = bytearray(self.replay)
        for _ in range(self.chance.randrange(1, 8)):
            data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
        self.send(address, data)

    def replayed(self, address):
        self.send(address, self.replay)

    def slow(self, address):
        with self.connect(address) as x:
            for byte in self.replay[:self.chance.randrange(40)]:
                x.sendall(bytes([byte]))
                time.sleep(0.005)

    def half_open(self, address):
        x = self.connect(address)
        x.sendall(self.replay[:self.chance.randrange(30)])
        self.held.append(x)
        if len(self.held) > MAX_HELD / NUM_ATTACKERS:
            self.held.pop(0).close()

    def flood(self, address):
        crowd = []
        try:
            for _ in range(100):
                crowd.append(self.connect(address))
        finally:
            for x in crowd:
                x.close()


# -- who must not notice -------------------------------------------------------

class Client(threading.Thread):
    def __init__(self, cluster, number, expected, end):
        super().__init__()
        self.cluster, self.number = cluster, number
        self.expected, self.end = expected, end
        self.num_answers, self.num_turned_away, self.wrong = 0, 0, []

    def run(self):
        while time.monotonic() < self.end and len(self.wrong) < 5:
            which = (self.number + self.num_answers) % len(self.expected)
            try:
                text = self.cluster.ask(which)
            except (OSError, http.client.HTTPException, ValueError) as error:
                text = f"{type(error).__name__}: {error}"
            if text is None:
                self.num_turned_away += 1
                continue
            self.num_answers += 1
            if text != self.expected[which]:
                self.wrong.append(f"answer {which} became {text!r}")


def attack(cluster, options):
    """Returns what was wrong."""
    expected = [cluster.ask(i) for i in range(6)]
    addresses = ([address_of(x) for x in options.address]
                 or cluster.addresses())
    if any(host != "127.0.0.1" for host, _ in addresses):
        sys.exit(f"only 127.0.0.1 is attacked, not {addresses}")
    replay = recorded_hellos(cluster)
    end = time.monotonic() + options.seconds
    attackers = [Attacker(options.seed * 1000 + i, addresses, replay, end)
                 for i in range(NUM_ATTACKERS)]
    clients = [Client(cluster, i, expected, end) for i in range(NUM_CLIENTS)]
    for x in attackers + clients:
        x.start()
    for x in attackers + clients:
        x.join()
    counts = {}
    for x in attackers:
        for kind, n in x.counts.items():
            counts[kind] = counts.get(kind, 0) + n
    num_answers = sum(x.num_answers for x in clients)
    turned_away = sum(x.num_turned_away for x in clients)
    print(f"{options.seconds} s, seed {options.seed}, {len(addresses)} ports, "
          f"{len(replay)} bytes replayed: {counts}; {cluster.dropped()} "
          f"strangers dropped; {num_answers} answers, {turned_away} times there "
          f"was no room for a client", flush=True)
    wrong = [w for x in clients for w in x.wrong]
    if num_answers < NUM_CLIENTS or not counts:
        wrong.append("nothing happened")
    if cluster.children() != cluster.nodes or len(cluster.nodes) != 3:
        wrong.append(f"nodes have ended: {cluster.lines}")
    if [cluster.ask_until_answered(i) for i in range(6)] != expected:
        wrong.append("answers after the attack are others")
    return wrong


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--seconds", type=float, default=6)
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--address", action="append", default=[])
    options = flags.parse_args()
    here = os.path.dirname(os.path.realpath(__file__))
    source = os.environ.get("SOURCE_DIR", os.path.normpath(f"{here}/../.."))
    binary = os.environ.get("BINARY_DIR", f"{source}/build/release")
    cluster = Cluster(binary, f"{source}/examples/nano/model")
    try:
        wrong = attack(cluster, options)
    finally:
        status = cluster.end()
    if status != 0:
        wrong.append(f"it ended with status {status}: {cluster.lines}")
    for x in wrong:
        print(x)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
