#!/usr/bin/env python3
"""A thousand streams at once: each says the tokens that the same request says
alone, each token once and in order; and who goes away leaves nothing behind.
"""

import asyncio
import http.client
import json
import os
import resource
import subprocess
import sys
import time

NUM_STREAMS, NUM_KINDS = 1000, 50
WHOLE = 8  # tokens of a stream that is read to its end
ALONE = 24  # of a request alone, of which the others are the beginning
ENDLESS = 400


def start(binary, model):
    server = subprocess.Popen(
        [f"{binary}/deploy/troupe", "serve", model, "--port", "0"]
        + ["--served-model-name", "nano", "--max-model-len", "512"]
        + ["--max-num-seqs", "1024", "--max-num-batched-tokens", "2048"],
        stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if line.startswith("ready at "):
            return server, int(line.split("http://127.0.0.1:")[1].split(":")[0])
    sys.exit("the server ended before it was ready")


def metric(port, name):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    for line in connection.getresponse().read().decode().splitlines():
        if line.split(" ")[0].split("{")[0] == name:
            return float(line.split()[-1])
    raise AssertionError(f"there is no {name}")


class Stream:
    """One request of a kind; `tokens` are those that have come."""

    def __init__(self, port, kind, max_tokens):
        self.port, self.kind, self.max_tokens = port, kind, max_tokens
        self.tokens, self.finish, self.usage = [], None, None
        self.is_whole, self.wrong = False, None

    async def run(self, told=lambda: None):
        body = json.dumps({
            "model": "nano", "prompt": f"Once {'upon a time ' * (self.kind % 4)}",
            "max_tokens": self.max_tokens, "temperature": 1.2, "logprobs": 0,
            "seed": self.kind, "ignore_eos": True, "stream": True,
            "stream_options": {"include_usage": True}})
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            # With HTTP/1.0 the body is what comes until the end.
            writer.write(f"POST /v1/completions HTTP/1.0\r\nContent-Length: "
                         f"{len(body)}\r\n\r\n{body}".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0] + b" ":
                self.wrong = (head + await reader.read()).decode()
                return
            async for line in reader:
                self.take(line.decode().strip())
                told()
        finally:
            writer.close()

    def take(self, line):
        if line == "data: [DONE]":
            self.is_whole = True
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            if "error" in event:
                self.wrong = event["error"]["message"]
            self.usage = event.get("usage") or self.usage
            for choice in event.get("choices", []):
                if choice.get("logprobs"):
                    self.tokens += choice["logprobs"]["tokens"]
                self.finish = choice["finish_reason"] or self.finish


async def ask_alone(port):
    """What each kind says when nobody else asks."""
    out = []
    for kind in range(NUM_KINDS):
        x = Stream(port, kind, ALONE)
        await x.run()
        assert x.is_whole and len(x.tokens) == ALONE, (
            f"kind {kind} alone: {x.wrong}, {len(x.tokens)} tokens")
        out.append(x.tokens)
    assert len({tuple(x) for x in out}) == NUM_KINDS, "kinds are the same"
    return out


async def all_are_whole(port, alone):
    streams = [Stream(port, i % NUM_KINDS, WHOLE) for i in range(NUM_STREAMS)]
    await asyncio.gather(*(x.run() for x in streams))
    for i, x in enumerate(streams):
        assert x.wrong is None, f"stream {i}: {x.wrong}"
        assert x.is_whole and x.finish == "length", f"stream {i}: {x.finish}"
        assert x.tokens == alone[x.kind][:WHOLE], (
            f"stream {i} says {x.tokens}, alone {alone[x.kind][:WHOLE]}")
        assert x.usage["completion_tokens"] == WHOLE, f"stream {i}: {x.usage}"


async def are_measured(port, alone):
    """By the client that is there to measure: it sees all, and says so."""
    del alone
    for flags in (["--max-concurrency", "64"], ["--request-rate", "200"]):
        for more, completed in (([], 200), (["--extra-body", '{"n": 99}'], 0)):
            told = subprocess.run(
                [f"{os.environ['BINARY_DIR']}/deploy/troupe", "bench", "serve"]
                + ["--url", f"http://127.0.0.1:{port}/v1", "--model", "nano"]
                + ["--num-prompts", "200", "--random-input-len", "10-30"]
                + ["--random-output-len", "4", "--ignore-eos", "--json", "-"]
                + ["--disable-progress"] + flags + more,
                capture_output=True, text=True, check=False)
            if completed == 0:
                assert told.returncode == 1 and "status 400" in told.stderr, told
                continue
            assert told.returncode == 0, told
            found = json.loads(told.stdout)
            assert found["completed"] == completed, found
            assert found["total_output_tokens"] == 4 * completed, found
            assert found["num_uncounted"] == 0, found
            mean = found["total_input_tokens"] / completed
            assert 15 < mean < 25, f"prompts have {mean} tokens, not 20"


async def all_are_open_at_once(port, alone):
    """None ends before all have some tokens; then all clients go away."""
    streams = [Stream(port, i % NUM_KINDS, ENDLESS) for i in range(NUM_STREAMS)]
    missing = set(range(NUM_STREAMS))
    enough = asyncio.Event()

    async def run(i):
        def told():
            if len(streams[i].tokens) >= WHOLE:
                missing.discard(i)
                if not missing:
                    enough.set()
        await streams[i].run(told)
        enough.set()  # it has an end: too early

    tasks = [asyncio.create_task(run(i)) for i in range(NUM_STREAMS)]
    await enough.wait()
    most_open = metric(port, "troupe_http_connections")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ended = [(i, x.wrong or x.finish) for i, x in enumerate(streams)
             if x.wrong or x.is_whole]
    assert not missing, f"{len(missing)} had no tokens when ended: {ended[:3]}"
    assert most_open >= NUM_STREAMS, f"{most_open} connections were open"
    for i, x in enumerate(streams):
        some = min(len(x.tokens), ALONE)
        assert some >= WHOLE and x.tokens[:some] == alone[x.kind][:some], (
            f"stream {i} says {x.tokens[:some]}")


def wait_until_idle(port):
    deadline = time.monotonic() + 60
    names = ["troupe_requests_running", "troupe_http_connections"]
    while True:
        running, connections = (metric(port, x) for x in names)
        if running == 0 and connections <= 1:  # our own
            return
        assert time.monotonic() < deadline, (
            f"clients are gone, but {running} requests run and {connections} "
            "connections are open")
        time.sleep(0.05)


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    source, binary = os.environ["SOURCE_DIR"], os.environ["BINARY_DIR"]
    server, port = start(binary, f"{source}/examples/nano/model")
    num_wrong = 0
    try:
        alone = asyncio.run(ask_alone(port))
        for test in (all_are_whole, all_are_open_at_once, all_are_whole,
                     are_measured):
            begin = time.monotonic()
            try:
                asyncio.run(test(port, alone))
                wait_until_idle(port)
                said = "passed"
            except AssertionError as error:
                said = f"FAILED: {error}"
                num_wrong += 1
            print(f"{test.__name__}: {said} ({time.monotonic() - begin:.1f} s)",
                  flush=True)
        server.terminate()
        status = server.wait(timeout=60)
        assert status == 0, f"the exit status was {status}"
    finally:
        server.kill()
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
