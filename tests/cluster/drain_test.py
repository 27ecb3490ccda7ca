#!/usr/bin/env python3
"""How a server ends that is asked to: by SIGTERM, with requests under way.

It takes no request any more, says so to who asks how it is, and finishes what
it has begun; what takes longer
than --drain-timeout, or a second signal, ends with a sentence. The exit status
is 0.
"""

import http.client
import json
import os
import signal
import sys
import tempfile
import threading
import time

from busy_cluster import endless_model, wait_until
import ends_test

NUM_CLIENTS = 16


class Client(threading.Thread):
    """One request, and what came of it: status and text."""

    def __init__(self, port, number, max_tokens):
        super().__init__()
        self.port, self.number, self.max_tokens = port, number, max_tokens
        self.is_stream = number % 2 == 0
        self.status, self.text = None, ""

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=60)
        body = {"model": "nano", "prompt": f"Once {self.number}",
                "max_tokens": self.max_tokens, "temperature": 1.5,
                "seed": self.number, "stream": self.is_stream}
        connection.request("POST", "/v1/completions", json.dumps(body))
        answer = connection.getresponse()
        self.text = answer.read().decode()
        self.status = answer.status

    def is_whole(self):
        if self.is_stream:
            return self.text.endswith("data: [DONE]\n\n")
        return self.status == 200 and '"finish_reason":"length"' in self.text

    def error(self):
        """What it was told instead of the end of its answer."""
        last = self.text.split("data: ")[-1] if self.is_stream else self.text
        return json.loads(last).get("error", {}).get("message", "")


def asked(port, path, body=None):
    """What a path answers: status and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST" if body else "GET", path, body)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers


def is_leaving(port):
    """Whether it says that it is not ready, or has ended: there was nothing to
    finish any more."""
    try:
        return asked(port, "/health/ready")[0] == 503
    except (ConnectionError, http.client.HTTPException):
        return True


def says_how_it_is(port):
    """To the end, and nothing else."""
    for path, wanted in {"/health/ready": 503, "/health/live": 200,
                         "/metrics": 200, "/v1/models": 503}.items():
        status, _ = asked(port, path)
        assert status == wanted, f"{path}: {status}"
    status, headers = asked(port, "/v1/completions",
                            '{"model": "nano", "prompt": "Once"}')
    assert (status, headers["Retry-After"]) == (503, "1"), (status, headers)


def one_end(binary, model, flags, max_tokens, act):
    """Starts a server and clients, does `act`, and returns the clients."""
    server, port = ends_test.start(binary, model, flags)
    clients = [Client(port, i, max_tokens) for i in range(NUM_CLIENTS)]
    try:
        for client in clients:
            client.start()
        wait_until("all requests are accepted",
                   lambda: ends_test.num_accepted(port) == NUM_CLIENTS, 60)
        server.send_signal(signal.SIGTERM)
        wait_until("nothing is taken any more", lambda: is_leaving(port), 60)
        act(server, port)
        status = server.wait(timeout=60)
    finally:
        server.kill()
        for client in clients:
            client.join()
    assert status == 0, f"the exit status was {status}: {server.stderr.read()}"
    return clients


def finishes_what_it_has_begun(binary, model, flags):
    clients = one_end(binary, model, flags, 400, lambda server, port: None)
    for x in clients:
        assert x.is_whole(), f"{x.number}: {x.status} {x.text[-200:]}"


def ends_what_takes_too_long(binary, model, flags):
    flags = flags + ["--drain-timeout", "1"]
    clients = one_end(binary, model, flags, ends_test.MAX_TOKENS, lambda server, port: None)
    for x in clients:
        assert "has waited for this request as long as it may (1 s)" \
            in x.error(), f"{x.number}: {x.status} {x.text[-200:]}"


def ends_at_once_when_told_twice(binary, model, flags):
    flags = flags + ["--drain-timeout", "3600"]
    def look_and_tell(server, port):
        says_how_it_is(port)
        server.send_signal(signal.SIGINT)

    clients = one_end(binary, model, flags, ends_test.MAX_TOKENS, look_and_tell)
    for x in clients:
        assert x.error() == "the server was told to end at once", \
            f"{x.number}: {x.status} {x.text[-200:]}"


def main():
    source, binary = os.environ["SOURCE_DIR"], os.environ["BINARY_DIR"]
    num_wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        model = endless_model(f"{source}/examples/nano/model", folder)
        for flags in ([], ["--nodes", "3"]):
            for test in (finishes_what_it_has_begun, ends_what_takes_too_long,
                         ends_at_once_when_told_twice):
                name = f"{test.__name__} {' '.join(flags)}"
                try:
                    test(binary, model, flags)
                    print(f"{name}: passed", flush=True)
                except AssertionError as error:
                    print(f"{name}: {error}", flush=True)
                    num_wrong += 1
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
