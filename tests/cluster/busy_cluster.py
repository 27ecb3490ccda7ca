"""A cluster of real processes, asked by many at once, to which something may be
done; and what is expected of every request then. For tests.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

NUM_REQUESTS = 8
MAX_TOKENS = 250
PATIENCE = 30  # s, for what takes a second or two on an idle machine
SHORT = 0.2  # s, well below the second after which a node counts as lost

NODES = ["left", "right", "experts"]
TOPOLOGY = """
model = "{model}"
controller = "{host}:0"
max_model_len = 512

[[nodes]]
name = "front"
gateway = true
controller = true

[[nodes]]
name = "left"
ranks = 1

[[nodes]]
name = "right"
ranks = 1

[[nodes]]
name = "experts"
workers = 2
"""


def endless_model(source, folder):
    """A model that never says its end token."""
    for name in os.listdir(source):
        if name not in ("config.json", "generation_config.json"):
            os.symlink(f"{source}/{name}", f"{folder}/{name}")
    with open(f"{source}/config.json") as file:
        config = json.load(file)
    del config["eos_token_id"]
    with open(f"{folder}/config.json", "w") as file:
        json.dump(config, file)
    return folder


def wait_until(what, holds, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)


# -- processes -----------------------------------------------------------------


class Process:
    """A process and the lines that it says on standard error."""

    def __init__(self, args, **options):
        self.handle = subprocess.Popen(args, stderr=subprocess.PIPE, text=True,
                                       **options)
        self.lines = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.handle.stderr:
            with self.news:
                self.lines.append(line)
                self.news.notify_all()

    def wait_for(self, words):
        """Returns the first line with these words."""
        found = lambda: [x for x in self.lines if words in x]
        with self.news:
            if not self.news.wait_for(found, 60):
                raise AssertionError(f"no '{words}' in {self.lines}")
            return found()[0]

    def state(self):
        with open(f"/proc/{self.handle.pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0]

    def stop(self):
        self.handle.send_signal(signal.SIGSTOP)
        wait_until("it is stopped", lambda: self.state() == "T")

    def go_on(self):
        assert self.state() == "T", "it did not stand still to the end"
        self.handle.send_signal(signal.SIGCONT)
        wait_until("it goes on", lambda: self.state() != "T")

    def again(self):
        """The same command, for one that is over."""
        self.reader.join()
        return Process(self.handle.args)

    def kill(self):
        self.handle.kill()
        assert self.handle.wait(PATIENCE) == -signal.SIGKILL

    def expect_end(self, status, words=""):
        got = self.handle.wait(PATIENCE)
        self.reader.join()
        assert got == status, f"it ended with status {got}: {self.lines}"
        assert words in str(self.lines), f"no '{words}' in {self.lines}"

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.handle.send_signal(signal.SIGCONT)
        self.handle.kill()
        self.handle.wait()
        self.reader.join()


class Front(Process):
    """The process that people ask."""

    def begin(self):
        line = self.wait_for("ready at")
        self.port = int(line.split(":")[2].split()[0])

    def health(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=PATIENCE)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def expect_trouble(self, name, serves=False):
        """`serves`: others do its work, and new requests are taken."""
        wait_until(f"/health names {name}",
                   lambda: name in self.health()[1].get("reason", ""))
        status, body = self.health()
        assert (status, body["status"]) == (
            (200, "degraded") if serves else (503, "unavailable")), body

    def expect_health(self):
        wait_until("all is well", lambda: self.health() == (200,
                                                            {"status": "ok"}))

    def metric(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=PATIENCE)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        return next(int(line.split()[1]) for line in text.splitlines()
                    if line.startswith(f"troupe_{name} "))

    def expect_clean_end(self):
        self.handle.terminate()
        self.expect_end(0)


# -- clients -------------------------------------------------------------------


class Client(threading.Thread):
    """One streamed request: the text so far, and how it ended."""

    words = 1  # Of the shortest prompt.

    def __init__(self, port, number):
        super().__init__(daemon=True)
        self.port, self.number = port, number
        self.text, self.num_pieces = "", 0
        self.end = None  # "whole", or a sentence
        self.start()

    def run(self):
        try:
            self.end = self.ask()
        except (OSError, http.client.HTTPException) as error:
            self.end = f"broken: {type(error).__name__}"

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=PATIENCE)
        body = {"model": "nano", "prompt": "Once " * (self.words + self.number),
                "max_tokens": MAX_TOKENS, "temperature": 1.5,
                "seed": self.number, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body))
        answer = connection.getresponse()
        if answer.status != 200:
            return json.loads(answer.read())["error"]["message"]
        for line in answer:
            line = line.decode().strip()
            if line == "data: [DONE]":
                return "whole"
            if not line:
                continue
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                return event["error"]["message"]
            self.text += event["choices"][0]["text"]
            self.num_pieces += 1
        return "broken: the stream has no end"


class Load:
    """Requests that are under way at once."""

    def __init__(self, port, golden=None):
        self.golden = golden
        self.clients = [Client(port, i) for i in range(NUM_REQUESTS)]

    def wait_until_busy(self):
        """Every request has begun, none is near its end."""
        wait_until("all are served",
                   lambda: all(x.num_pieces >= 3 for x in self.clients))
        done = [x.end for x in self.clients if x.end]
        assert not done, f"the fault came too late: {done}"
        return self

    def expect_ends(self, words=None):
        """Each has an end, whole or with these words. Returns how many were
        whole and how many were not."""
        whole, failed = 0, 0
        for x in self.clients:
            x.join(PATIENCE)
            expected = self.golden[x.number]
            if x.end == "whole":
                assert x.text == expected, (
                    f"request {x.number} has other tokens: {x.text}")
                whole += 1
            else:
                assert x.end, f"request {x.number} never ended"
                assert words and words in x.end, (
                    f"request {x.number} ended with: {x.end}")
                assert expected.startswith(x.text.rstrip("\ufffd")), (
                    f"request {x.number} began with other tokens: {x.text}")
                failed += 1
        return whole, failed

    def expect_whole(self):
        whole, failed = self.expect_ends()
        assert not failed, f"{whole} whole, {failed} failed"

    def expect_all_fail(self, words):
        whole, failed = self.expect_ends(words)
        assert not whole, f"{whole} whole, {failed} failed"


# -- places --------------------------------------------------------------------


class OneMachine:
    """All nodes on the loopback interface."""

    host = "127.0.0.1"

    def node(self, name, args):
        return Process(args + ["--listen", "127.0.0.1:0"])

    def close(self):
        pass


# -- clusters ------------------------------------------------------------------


class Show:
    """What all clusters of this test have in common."""

    def __init__(self, folder):
        source, self.folder = os.environ["SOURCE_DIR"], folder
        self.binaries = f"{os.environ['BINARY_DIR']}/deploy"
        os.mkdir(f"{folder}/model")
        self.model = endless_model(f"{source}/examples/nano/model",
                                   f"{folder}/model")
        self.secret = f"{folder}/secret"
        with open(self.secret, "w") as file:
            file.write("the show must go on\n")
        os.chmod(self.secret, 0o600)
        self.golden = None

    @contextlib.contextmanager
    def cluster(self, place, shape=TOPOLOGY, names=NODES, outage=500, flags=()):
        """Returns the front and the others by name, serving. A request waits
        for `outage` ms for a node that it cannot do without. `flags`: more of
        the front's."""
        topology = f"{self.folder}/cluster.toml"
        with open(topology, "w") as file:
            file.write(shape.format(model=self.model, host=place.host))
        common = ["--threads", "1", "--log-level", "info",
                  "--cluster-secret-file", self.secret]
        troupe = f"{self.binaries}/troupe"
        front = Front([troupe, "serve", "--topology", topology, "--port", "0",
                       "--outage-timeout-ms", str(outage),
                       "--served-model-name", "nano"] + common + list(flags))
        nodes = {}
        try:
            at = front.wait_for("nodes join at").split()[-1]
            for name in names:
                nodes[name] = place.node(name, [troupe, "node", "--join", at,
                                                "--name", name] + common)
            front.begin()
            yield front, nodes
        finally:
            for process in [front] + list(nodes.values()):
                process.end()
            place.close()

    def load(self, front):
        """Requests, of which it is known what they have to say."""
        if not self.golden:
            quiet = Load(front.port)
            for x in quiet.clients:
                x.join(PATIENCE)
                assert x.end == "whole", x.end
            self.golden = [x.text for x in quiet.clients]
        return Load(front.port, self.golden).wait_until_busy()


# -- cases ---------------------------------------------------------------------


def run(cases):
    num_wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        show = Show(folder)
        for case in cases:
            begin = time.monotonic()
            try:
                case(show)
                said = "held"
            except (AssertionError, subprocess.SubprocessError) as error:
                said = f"FAILED: {type(error).__name__}: {error}"
                num_wrong += 1
            print(f"{case.__name__}: {said} ({time.monotonic() - begin:.1f} s)",
                  flush=True)
    return 1 if num_wrong else 0
