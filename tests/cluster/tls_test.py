#!/usr/bin/env python3
"""A server under TLS: real processes, real sockets, certificates of openssl(1).
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

from busy_cluster import wait_until
from front_test import Server, try_all


def make_certificate(folder, name):
    """A certificate for localhost, which vouches for itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
        check=True, capture_output=True)
    with open(f"{folder}/cert.pem") as file:
        return ssl.create_default_context(cadata=file.read())


def flags(folder):
    return ["--ssl-certfile", f"{folder}/cert.pem",
            "--ssl-keyfile", f"{folder}/key.pem", "--host", "localhost"]


def ask_over_tls(server, context, path, body=None):
    """Status and text of an answer on a connection of its own."""
    connection = http.client.HTTPSConnection("localhost", server.port,
                                             timeout=60, context=context)
    connection.request("POST" if body else "GET", path,
                       body and json.dumps(body),
                       {"Content-Type": "application/json",
                        "Connection": "close"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def is_trusted(server, context):
    try:
        return ask_over_tls(server, context, "/health")[0] == 200
    except ssl.SSLCertVerificationError:
        return False


def tls_is_served_and_its_certificate_reloaded():
    with tempfile.TemporaryDirectory() as folder:
        first = make_certificate(folder, "first")
        with Server(flags(folder)) as server:
            body = {"model": "nano", "prompt": "Once", "max_tokens": 50,
                    "temperature": 0}
            _, whole = ask_over_tls(server, first, "/v1/completions", body)
            _, stream = ask_over_tls(server, first, "/v1/completions",
                                     {**body, "stream": True})
            pieces = [json.loads(x[6:])["choices"][0]["text"]
                      for x in stream.split("\n\n")
                      if x.startswith("data: {")]
            assert "".join(pieces) == json.loads(whole)["choices"][0]["text"]
            try:
                server.get("/health")
                raise AssertionError("clear text is answered")
            except (http.client.HTTPException, OSError):
                pass
            # A client that stays on its connection sees nothing of it all.
            old = http.client.HTTPSConnection("localhost", server.port,
                                              timeout=60, context=first)
            old.request("GET", "/health")
            assert old.getresponse().read()
            second = make_certificate(folder, "second")
            assert is_trusted(server, first) and not is_trusted(server, second)
            server.process.send_signal(signal.SIGHUP)
            wait_until("it is read again",
                       lambda: is_trusted(server, second), 60)
            assert not is_trusted(server, first)
            old.request("GET", "/health")
            assert old.getresponse().status == 200
            with open(f"{folder}/cert.pem", "w") as file:
                file.write("no certificate")
            server.process.send_signal(signal.SIGHUP)
            wait_until("it is refused",
                       lambda: any("the old certificate stays" in x
                                   for x in server.lines), 60)
            assert is_trusted(server, second)


def a_load_is_measured_over_tls():
    binary = os.environ["BINARY_DIR"]
    with tempfile.TemporaryDirectory() as folder:
        make_certificate(folder, "bench")
        with Server(flags(folder)) as server:
            def bench(*more):
                return subprocess.run(
                    [f"{binary}/deploy/troupe", "bench", "serve", "--url",
                     f"https://localhost:{server.port}", "--model", "nano",
                     "--num-prompts", "8", "--max-concurrency", "4",
                     "--random-input-len", "8", "--random-output-len", "8",
                     "--disable-progress", "--json", f"{folder}/out.json", *more],
                    capture_output=True, text=True, timeout=120)
            done = bench("--ssl-ca-certs", f"{folder}/cert.pem")
            assert done.returncode == 0, done
            with open(f"{folder}/out.json") as file:
                assert json.load(file)["completed"] == 8
            assert bench().returncode != 0, "a stranger was trusted"
            assert bench("--insecure").returncode == 0


def status_of_whole_body(server, context, size):
    """Of a request whose body is sent to its end, whatever comes meanwhile."""
    to = socket.create_connection((server.host, server.port), timeout=60)
    with context.wrap_socket(to, server_hostname="localhost") as client:
        client.sendall(
            f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
            f"Content-Type: application/json\r\n"
            f"Content-Length: {size}\r\n\r\n".encode() + b" " * size)
        return int(client.recv(65536).split()[1])


def a_refusal_is_heard_by_who_sends_the_body_all_the_same():
    with tempfile.TemporaryDirectory() as folder:
        context = make_certificate(folder, "refusals")
        with Server(flags(folder) + ["--api-key", "secret"]) as server:
            for size in (64 << 10, 4 << 20, 12 << 20):
                for _ in range(5):
                    status = status_of_whole_body(server, context, size)
                    assert status == 401, (size, status)


def main():
    return try_all([tls_is_served_and_its_certificate_reloaded,
                    a_load_is_measured_over_tls,
                    a_refusal_is_heard_by_who_sends_the_body_all_the_same])


if __name__ == "__main__":
    sys.exit(main())
