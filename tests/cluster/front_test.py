#!/usr/bin/env python3
"""What whoever puts a server in front of users relies on: real processes, real
sockets, clients that go away or do not read, and settings from everywhere.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from busy_cluster import endless_model, wait_until

MAX_TOKENS = 1900


def nano():
    return os.environ["SOURCE_DIR"] + "/examples/nano/model"


class Server:
    """A server process, with its log."""

    def __init__(self, flags, env=None, model=None):
        binary = os.environ["BINARY_DIR"]
        self.process = subprocess.Popen(
            [f"{binary}/deploy/troupe", "serve", model or nano(),
             "--port", "0", "--threads", "1",
             "--served-model-name", "nano"] + flags,
            stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.lines, self.host, self.port = [], None, None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.match(r"ready at https?://(\S+):(\d+): ", line):
                self.host, self.port = found[1], int(found[2])
                break
        assert self.port, "".join(self.lines)
        self.reader = threading.Thread(target=self.read_on)
        self.reader.start()

    def read_on(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()

    def get(self, path, headers=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def metric(self, name):
        for line in self.get("/metrics")[1].splitlines():
            if line.split()[0] == f"troupe_{name}":
                return int(line.split()[1])
        raise AssertionError(f"there is no troupe_{name}")

    def begin(self, body, receive_buffer=None):
        """A socket on which a completion has been asked for."""
        text = json.dumps({"model": "nano", "temperature": 1.5, **body})
        to = socket.socket()
        if receive_buffer:
            to.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        to.settimeout(60)
        to.connect((self.host, self.port))
        to.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                   f"Connection: close\r\n"
                   f"Content-Length: {len(text)}\r\n\r\n{text}".encode())
        return to


def all_of(to):
    text = b""
    while piece := to.recv(65536):
        text += piece
    return text.decode()


def clients_that_leave_free_their_blocks():
    flags = ["--max-model-len", "2048", "--num-kv-blocks", "256"]
    with tempfile.TemporaryDirectory() as folder, \
            Server(flags, model=endless_model(nano(), folder)) \
            as server:
        prompt = [3 + i * 7 % 1800 for i in range(1900)]
        for body in ({"prompt": prompt, "max_tokens": 100, "stream": True},
                     {"prompt": prompt, "max_tokens": 100},
                     {"prompt": "Once", "max_tokens": MAX_TOKENS,
                      "stream": True}):
            before = server.metric("requests_accepted_total")
            clients = [server.begin(body) for _ in range(12)]
            wait_until("all are accepted",
                       lambda: server.metric("requests_accepted_total")
                       == before + 12, 60)
            wait_until("blocks are taken",
                       lambda: server.metric("kv_blocks_free") < 256, 60)
            for client in clients:
                client.close()
            wait_until(f"all blocks are free again after {str(body)[-60:]}",
                       lambda: server.metric("kv_blocks_free") == 256, 60)
            assert server.metric("requests_running") == 0


def who_does_not_read_holds_up_nobody():
    with tempfile.TemporaryDirectory() as folder, \
            Server(["--max-model-len", "2048"],
                   model=endless_model(nano(), folder)) as server:
        body = {"prompt": "Once", "max_tokens": MAX_TOKENS, "stream": True}
        idle = [server.begin({**body, "seed": i}, receive_buffer=4096)
                for i in range(8)]
        wait_until("all are accepted",
                   lambda: server.metric("requests_accepted_total") == 8, 60)
        short = {"prompt": "Once", "max_tokens": 20, "stream": True}
        for _ in range(5):
            text = all_of(server.begin(short))
            assert text.count("[DONE]") == 1, text[-300:]
        wait_until("what nobody reads comes to its end, too",
                   lambda: server.metric("requests_running") == 0, 60)
        for client in idle:
            client.close()


def the_key_is_not_in_the_list_of_processes():
    with Server(["--api-key", "hush-1", "--api-key=hush-2"]) as server:
        with open(f"/proc/{server.process.pid}/cmdline") as file:
            line = file.read()
        assert "hush" not in line and "--api-key" in line, line
        for key in ("hush-1", "hush-2"):
            status, _ = server.get("/v1/models",
                                   {"Authorization": f"bearer {key}"})
            assert status == 200, status
        assert server.get("/v1/models")[0] == 401
        assert server.get("/metrics")[0] == 401


def a_name_is_listened_at():
    with Server(["--host", "localhost"]) as server:
        assert server.host == "localhost"
        for family, _, _, _, address in socket.getaddrinfo(
                "localhost", server.port, type=socket.SOCK_STREAM):
            with socket.socket(family, socket.SOCK_STREAM) as to:
                to.connect(address)


def a_dead_child_is_told_of():
    with Server(["--nodes", "3", "--restart-limit", "0"]) as server:
        assert server.metric("nodes") == 3
        children = subprocess.run(["pgrep", "-P", str(server.process.pid)],
                                  capture_output=True, text=True).stdout.split()
        assert len(children) == 2, children
        os.kill(int(children[1]), signal.SIGKILL)
        wait_until("one is missing", lambda: server.metric("nodes") == 2, 60)
        assert server.metric("nodes_lost") == 1
        assert server.get("/health/ready")[0] == 503
        assert server.get("/health/live")[0] == 200
        for said in (f"({children[1]}) was ended by signal 9",
                     "is not started again: --restart-limit is 0"):
            wait_until(said, lambda: any(said in x for x in server.lines), 60)


def a_dead_child_is_started_again():
    with Server(["--nodes", "3"]) as server:
        children = subprocess.run(["pgrep", "-P", str(server.process.pid)],
                                  capture_output=True, text=True).stdout.split()
        os.kill(int(children[1]), signal.SIGKILL)
        wait_until("one is missing", lambda: server.metric("nodes") == 2, 60)
        wait_until("it is back", lambda: server.metric("nodes") == 3, 60)
        assert server.get("/health/ready")[0] == 200
        said = "is started again in 500 ms"
        wait_until(said, lambda: any(said in x for x in server.lines), 60)


def the_state_of_a_cluster_outlives_its_processes():
    with tempfile.TemporaryDirectory() as folder:
        state = ["--state-dir", f"{folder}/of/troupe"]
        for view in (1, 2, 3):
            with Server(state) as server:  # which ends by kill -9
                assert json.loads(server.get("/cluster")[1])["view"] == view
        with open(f"{folder}/other.toml", "w") as file:
            file.write('cluster = "other"\nmax_model_len = 512\n\n'
                       '[[nodes]]\nname = "all"\ngateway = true\n'
                       'controller = true\nranks = 1\nworkers = 1\n')
        run = subprocess.run(
            [os.environ["BINARY_DIR"] + "/deploy/troupe", "serve", nano(),
             "--port", "0", "--topology", f"{folder}/other.toml"] + state,
            capture_output=True, text=True, timeout=60)
        assert run.returncode == 1, run.stderr
        assert "holds the state of cluster troupe, not of other" in run.stderr


def settings_come_from_everywhere():
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write('max-model-len = "2k"\nserved-model-name = "of the file"\n'
                   'metrics-without-key = true\n'
                   '[serve]\nmax-num-seqs = 3\nnum-kv-blocks = 99\n'
                   '[node]\nthreads = 7\n')
        file.flush()
        with Server(["--config", file.name],
                    {"TROUPE_API_KEY": "k",
                     "TROUPE_HTTP_LIMIT": "headers=8,n=2",
                     "TROUPE_NUM_KV_BLOCKS": "100"}) as server:
            many = {f"X-{i}": "" for i in range(9)}
            assert server.get("/v1/models", many)[0] == 431
            status, text = server.get("/v1/models",
                                      {"Authorization": "Bearer k"})
            assert status == 200, text
            model = json.loads(text)["data"][0]
            assert model["id"] == "nano", "the command line wins"
            assert model["max_model_len"] == 2000, model
            wait_until("what the environment says",
                       lambda: server.metric("kv_blocks") == 100, 60)


def what_no_source_may_say_is_refused():
    binary = os.environ["BINARY_DIR"]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write('api-key = "hush"\n')
        file.flush()
        for flags, words in (
                (["--config", file.name],
                 "'api-key' is no flag that a file may set"),
                (["--config", "/nowhere.toml"], "/nowhere.toml"),
                (["--max-model-len", "2q"], "--max-model-len"),
                (["--trusted-proxies", "10.0.0.0/33"],
                 "'10.0.0.0/33' is no IP address")):
            run = subprocess.run(
                [f"{binary}/deploy/troupe", "serve", nano(), "--port", "0"]
                + flags,
                capture_output=True, text=True, timeout=60)
            assert run.returncode in (1, 2), (flags, run.returncode)
            assert words in run.stderr, (flags, run.stderr)
            assert "hush" not in run.stderr


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def what_needs_an_admin_is_on_a_socket_of_its_own():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/admin"
        with Server(["--admin-socket", path], {"TROUPE_API_KEY": "k"}) as server:
            assert os.stat(path).st_mode & 0o777 == 0o600

            def ask(method, route, body=None):
                connection = UnixConnection(path)
                connection.request(method, route, body)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            key = {"Authorization": "Bearer k"}
            for route in ("/faults", "/log-level"):
                assert ask("GET", route)[0] == 200, route
                assert server.get(route)[0] == 401, route
                assert server.get(route, key)[0] == 404, route
            assert "troupe_kv_blocks" in ask("GET", "/metrics")[1]
            nodes = json.loads(ask("GET", "/cluster")[1])["nodes"]
            assert [x["state"] for x in nodes] == ["serving"], nodes
            assert server.get("/cluster")[0] == 401
            assert server.get("/cluster", key)[0] == 200
            assert not any('"GET /version"' in x for x in server.lines)
            assert ask("PUT", "/log-level", '{"level": "info"}')[0] == 200
            assert server.get("/version", key)[0] == 200
            wait_until("the level holds", lambda: any(
                '"GET /version"' in x for x in server.lines), 60)
            server.process.terminate()
            assert server.process.wait(60) == 0
            assert not os.path.exists(path)


def a_log_is_read_by_machines():
    with Server(["--log-format", "json", "--log-level", "info"],
                {"TROUPE_API_KEY": "hush"}) as server:
        connection = http.client.HTTPConnection(server.host, server.port)
        connection.request(
            "POST", "/v1/completions?a=b",
            json.dumps({"model": "nano", "prompt": "sesame", "max_tokens": 5,
                        "ignore_eos": True}),
            {"Authorization": "Bearer hush", "X-Request-Id": "name-1"})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
        assert answer.headers["X-Request-Id"] == "name-1"

        def told():
            lines = [json.loads(x) for x in list(server.lines)
                     if x.startswith("{")]
            return [x for x in lines if x.get("request_id") == "name-1"]
        wait_until("it is told of", told, 60)
        line = told()[0]
        assert line["method"] == "POST" and line["status"] == 200, line
        assert line["path"] == "/v1/completions", line
        assert line["completion_tokens"] == 5 and line["prompt_tokens"] > 0
        assert line["bytes"] > 100 and line["ms"] > 0 and line["time"], line
        whole = "".join(server.lines)
        assert "hush" not in whole and "sesame" not in whole


def keys_have_limits_and_are_read_again():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/keys.toml"

        def write(text):
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o600)
        write('[[key]]\nkey = "one"\nname = "a"\nrequests-per-minute = 1\n'
              '[[key]]\nkey = "two"\n')

        def ask(server, key):
            connection = http.client.HTTPConnection(server.host, server.port)
            connection.request(
                "POST", "/v1/completions",
                json.dumps({"model": "nano", "prompt": "x", "max_tokens": 1}),
                {"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            return answer
        with Server(["--api-key-file", path]) as server:
            first = ask(server, "one")
            assert first.status == 200
            assert first.headers["x-ratelimit-limit-requests"] == "1"
            late = ask(server, "one")
            assert late.status == 429, late.status
            assert 1 <= int(late.headers["Retry-After"]) <= 60
            assert all(ask(server, "two").status == 200 for _ in range(3))
            write('[[key]]\nkey = "one"\nname = "a"\n'
                  'requests-per-minute = 1\n[[key]]\nkey = "three"\n')
            server.process.send_signal(signal.SIGHUP)
            wait_until("the new key opens",
                       lambda: ask(server, "three").status == 200, 60)
            assert ask(server, "two").status == 401
            assert ask(server, "one").status == 429, "the quota began anew"
            write("nothing")
            server.process.send_signal(signal.SIGHUP)
            wait_until("it is refused",
                       lambda: any("the old keys stay" in x
                                   for x in server.lines), 60)
            assert ask(server, "three").status == 200


def every_number_has_a_default():
    binary = os.environ["BINARY_DIR"]
    for command in ("serve", "node"):
        text = subprocess.run([f"{binary}/deploy/troupe", command, "--help"],
                              capture_output=True, text=True).stdout
        entries = re.findall(r"^  (-\S.*(?:\n {10,}.*)*)", text, re.MULTILINE)
        numbers = [x for x in entries if re.search(r" (UINT|INT|FLOAT)\b", x)]
        assert numbers, text
        for entry in numbers:
            assert re.search(r"=\d+\b|\(default", entry), entry


def try_all(tests):
    """Returns the exit status."""
    num_wrong = 0
    for test in tests:
        try:
            test()
            print(f"{test.__name__}: passed", flush=True)
        except (AssertionError, OSError) as error:
            print(f"{test.__name__}: {type(error).__name__} {error}", flush=True)
            num_wrong += 1
    return 1 if num_wrong else 0


def main():
    tests = [clients_that_leave_free_their_blocks,
             who_does_not_read_holds_up_nobody,
             the_key_is_not_in_the_list_of_processes, a_name_is_listened_at,
             a_dead_child_is_told_of,
             a_dead_child_is_started_again,
             the_state_of_a_cluster_outlives_its_processes,
             settings_come_from_everywhere,
             what_no_source_may_say_is_refused,
             what_needs_an_admin_is_on_a_socket_of_its_own,
             a_log_is_read_by_machines, keys_have_limits_and_are_read_again,
             every_number_has_a_default]
    return try_all(tests)


if __name__ == "__main__":
    sys.exit(main())
