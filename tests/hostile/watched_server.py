"""A server on the nano model that is looked after: somebody streams from it all
the time, and after each exchange it must be as it was before.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time

NUM_BLOCKS = 64
WATCHED_TOKENS = 150
WATCHED_BLOCKS = 3  # of 64 tokens: prompt and answer
PATIENCE = 30  # s, for what takes milliseconds on an idle machine


class Server:
    """A process, its log, and a stream that is undisturbed."""

    def __init__(self, flags=()):
        here = os.path.dirname(os.path.realpath(__file__))
        source = os.environ.get("SOURCE_DIR",
                                os.path.normpath(f"{here}/../.."))
        binary = os.environ.get("BINARY_DIR", f"{source}/build/release")
        self.process = subprocess.Popen(
            [f"{binary}/deploy/troupe", "serve",
             f"{source}/examples/nano/model", "--port", "0", "--threads", "1",
             "--served-model-name", "nano", "--max-model-len", "512",
             "--num-kv-blocks", str(NUM_BLOCKS), "--max-num-seqs", "16",
             *flags], stderr=subprocess.PIPE, text=True)
        self.lines, self.port = [], None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.match(r"ready at http://\S+:(\d+): ", line):
                self.port = int(found[1])
                break
        assert self.port, "".join(self.lines)
        self.reader = threading.Thread(target=self.read_on, daemon=True)
        self.reader.start()
        self.side = http.client.HTTPConnection("127.0.0.1", self.port,
                                               timeout=PATIENCE)
        self.stream = Stream(self.port)
        self.metrics()  # opens the connection that is asked from now on
        self.num_descriptors = self.descriptors()

    def read_on(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """MiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) // 1024 for line in file
                        if line.startswith("VmRSS"))

    def computed(self):
        """Seconds of processors."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                words = file.read().rsplit(")", 1)[1].split()
        except OSError:
            return 0  # it has ended, which others notice
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self):
        self.side.request("GET", "/metrics")
        answer = self.side.getresponse()
        assert answer.status == 200, answer.status
        lines = answer.read().decode().splitlines()
        words = [x.split() for x in lines if x and "{" not in x and x[0] != "#"]
        return {x[0].removeprefix("troupe_"): float(x[1]) for x in words}

    def why_disturbed(self):
        """Nothing, if nobody has noticed anything, or notices it no more."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if self.process.poll() is not None:
                return f"the server has ended: {self.lines[-20:]}"
            if self.stream.wrong:
                return self.stream.wrong
            try:
                now = self.metrics()
            except (OSError, http.client.HTTPException) as error:
                return f"the server does not answer: {error!r}"
            trouble = self.trouble(now)
            if not trouble or time.monotonic() > deadline:
                return trouble
            time.sleep(0.005)

    def trouble(self, now):
        taken = NUM_BLOCKS - now["kv_blocks_free"]
        if taken > WATCHED_BLOCKS:
            return f"{taken:g} blocks of the cache are taken"
        if now["requests_running"] + now["requests_waiting"] > 1:
            return f"{now['requests_running']:g} requests run"
        if self.descriptors() > self.num_descriptors:
            return (f"{self.descriptors()} descriptors are open, not "
                    f"{self.num_descriptors}")
        return ""

    def end(self):
        """Returns what is wrong in the end."""
        self.stream.stop()
        deadline = time.monotonic() + PATIENCE
        while (self.metrics()["kv_blocks_free"] < NUM_BLOCKS
               and time.monotonic() < deadline):
            time.sleep(0.01)
        now = self.metrics()
        self.side.close()
        self.process.terminate()
        status = self.process.wait(timeout=PATIENCE)
        self.reader.join()
        if now["kv_blocks_free"] != NUM_BLOCKS:
            return "not all blocks are free in the end"
        if status != 0:
            return f"it ended with status {status}: {self.lines[-5:]}"
        return self.stream.wrong

    def kill(self):
        self.process.kill()
        self.process.wait()


def what_is_said(status, text):
    """What a stream says, however its tokens were packed into events."""
    data = [x.removeprefix("data: ") for x in text.split("\n\n") if x]
    try:
        chunks = [json.loads(x)["choices"][0] for x in data[:-1]]
        said = "".join(x["text"] for x in chunks)
        ends = [x["finish_reason"] for x in chunks if x["finish_reason"]]
        return f"{status}: {said!r}, {', '.join(ends)}, {data[-1]}"
    except (ValueError, LookupError):
        return f"{status}: {text[-300:]}"


class Stream(threading.Thread):
    """Asks for the same again and again, over one connection."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", port,
                                                     timeout=120)
        self.wrong, self.num_answers, self.ending = "", 0, False
        self.expected = self.ask()
        assert self.expected.endswith("length, [DONE]"), self.expected[-300:]
        self.start()

    def ask(self):
        body = {"model": "nano", "prompt": "The fox", "stream": True,
                "max_tokens": WATCHED_TOKENS, "ignore_eos": True, "seed": 5,
                "temperature": 0.7}
        self.connection.request("POST", "/v1/completions", json.dumps(body),
                                {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return what_is_said(answer.status, answer.read().decode())

    def run(self):
        while not self.ending and not self.wrong:
            try:
                text = self.ask()
            except (OSError, http.client.HTTPException) as error:
                text = repr(error)
            if text != self.expected:
                self.wrong = f"another stream was disturbed: {text[-300:]}"
            self.num_answers += 1

    def stop(self):
        self.ending = True
        self.join(timeout=120)
        self.connection.close()


class Client:
    """A socket, and everything that comes back on it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port),
                                               timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Returns whether the other side takes it."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def to_end(self):
        """All bytes until the other side closes, however it does."""
        data = bytearray()
        try:
            while piece := self.socket.recv(65536):
                data += piece
        except ConnectionError:
            pass
        return bytes(data)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               b"\1\0\0\0\0\0\0\0")
        self.socket.close()
