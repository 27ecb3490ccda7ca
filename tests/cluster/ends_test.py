#!/usr/bin/env python3
"""Ends of a server that is busy: SIGTERM and SIGINT at random moments, without
time to drain.

Every stream that is open ends with an event, every whole answer with an error,
and the exit status is 0; in one process and with local nodes.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from busy_cluster import endless_model

NUM_STREAMS, NUM_WHOLE = 20, 4
MAX_TOKENS = 1900


class Client(threading.Thread):
    """One request. `begun` is set with its first byte, `wrong` is why its end
    is none."""

    def __init__(self, port, number, is_stream):
        super().__init__()
        self.port, self.number, self.is_stream = port, number, is_stream
        self.begun = threading.Event()
        self.wrong = "it was never begun"

    def run(self):
        try:
            self.wrong = self.ask()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.wrong = f"{type(error).__name__}: {error}"
        self.begun.set()

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=60)
        body = {"model": "nano", "prompt": "Once " * (1 + self.number),
                "max_tokens": MAX_TOKENS, "temperature": 1.5,
                "seed": self.number, "stream": self.is_stream}
        connection.request("POST", "/v1/completions", json.dumps(body))
        answer = connection.getresponse()
        if not self.is_stream:
            error = json.loads(answer.read()).get("error")
            return None if answer.status == 503 and error else "no error"
        text = b""
        while piece := answer.read1(65536):
            text += piece
            self.begun.set()
        last = [x for x in text.decode().split("\n\n") if x][-1]
        ended = last == "data: [DONE]" or "error" in json.loads(last[6:])
        return None if ended else f"it ended with {last}"


def start(binary, model, flags):
    server = subprocess.Popen(
        [f"{binary}/deploy/troupe", "serve", model, "--port", "0"]
        + ["--served-model-name", "nano", "--max-model-len", "2048"]
        + ["--data-parallel-size", "2", "--expert-parallel-size", "4"]
        + ["--threads", "1"] + flags, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if line.startswith("ready at "):
            port = int(line.split("http://127.0.0.1:")[1].split(":")[0])
            return server, port
    sys.exit("the server ended before it was ready")


def num_accepted(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    for line in connection.getresponse().read().decode().splitlines():
        if line.startswith("troupe_requests_accepted_total"):
            return int(line.split()[-1])
    return 0


def one_end(binary, model, flags, which, delay):
    """Returns what was wrong."""
    server, port = start(binary, model, flags)
    clients = [Client(port, i, i >= NUM_WHOLE)
               for i in range(NUM_WHOLE + NUM_STREAMS)]
    try:
        for client in clients:
            client.start()
        for client in clients[NUM_WHOLE:]:
            client.begun.wait(60)
        deadline = time.monotonic() + 60
        while num_accepted(port) < len(clients):
            if time.monotonic() > deadline:
                return ["not all requests were accepted"]
        time.sleep(delay)
        server.send_signal(which)
        said = server.stderr.read()
        status = server.wait(timeout=60)
    finally:
        server.kill()
        for client in clients:
            client.join()
    wrong = [x.wrong for x in clients if x.wrong]
    if status != 0:
        wrong.append(f"the exit status was {status}: {said}")
    return wrong


def main():
    source, binary = os.environ["SOURCE_DIR"], os.environ["BINARY_DIR"]
    chance = random.Random(1)
    num_wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        model = endless_model(f"{source}/examples/nano/model", folder)
        for i in range(10):
            flags = ["--nodes", "4"] if i % 5 == 4 else []
            flags = flags + ["--drain-timeout", "0"]
            which = signal.SIGINT if i % 2 else signal.SIGTERM
            wrong = one_end(binary, model, flags, which, chance.random() * 0.3)
            for x in wrong:
                print(f"try {i}, {which.name} {' '.join(flags)}: {x}")
            num_wrong += len(wrong)
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
