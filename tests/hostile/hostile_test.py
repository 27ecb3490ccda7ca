#!/usr/bin/env python3
"""Exchanges that no honest client has, with a real server over real sockets.
After each of them the server lives, another stream is undisturbed, nobody holds
a block of the cache, and no descriptor is open that was not open before.

    hostile_test.py [--only WORD] [--list]

What is sent stands in shapes.py (bytes) and bodies.py (JSON).
"""

import argparse
import json
import re
import socket
import sys
import threading
import time

import bodies
import shapes
from watched_server import PATIENCE, Client, Server

MIN_EXCHANGES = 200
MAX_GROWTH = 128  # MiB, from the second round on: caches are full after one
MAX_COMPUTED = 10  # s of the server's, for one exchange and the stream beside


class Wrong(Exception):
    pass


def statuses(data):
    """Of all answers in it, but for those that say to go on."""
    out = [int(x) for x in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]
    return [x for x in out if x != 100]


def expect(data, allowed):
    got = statuses(data)
    if len(got) > 1:
        raise Wrong(f"answered {got}: one request became several")
    if not got or got[0] not in allowed:
        raise Wrong(f"answered {got}, not {sorted(allowed)}: {data[-300:]!r}")


def send_all(port, data, allowed):
    with Client(port) as client:
        client.send(data)
        expect(client.to_end(), allowed)


def post(route, body):
    return (f"POST {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def is_json(body):
    try:
        json.loads(body, parse_constant=lambda _: 1 / 0)
        return b"1e400" not in body
    except (ValueError, ArithmeticError):
        return False


def send_body(port, route, body, allowed, field=""):
    with Client(port) as client:
        client.send(post(route, body))
        data = client.to_end()
    expect(data, allowed)
    if statuses(data) == [400]:
        error = json.loads(data.split(b"\r\n\r\n", 1)[1])["error"]
        if not error["message"]:
            raise Wrong("refused without a sentence")
        said = f"{error['param']} {error['message']}"
        if field and is_json(body) and field not in said:
            raise Wrong(f"refused without naming {field}: {error}")


# -- where the network cuts, and who goes away ---------------------------------

def cut(port, at):
    with Client(port) as client:
        client.send(shapes.GOOD[:at])
        client.send(shapes.GOOD[at:])
        expect(client.to_end(), {200})


def byte_by_byte(port):
    with Client(port) as client:
        for i in range(len(shapes.GOOD)):
            client.send(shapes.GOOD[i:i + 1])
        expect(client.to_end(), {200})


def pipelined(port, first, count, wanted):
    close = shapes.get(b"Host: x\r\n", b"Connection: close\r\n")
    with Client(port) as client:
        client.send(first * count + close)
        got = statuses(client.to_end())
    if got != [wanted] * count + [200]:
        raise Wrong(f"answered {got}")


def half_open(port, data):
    """No more will come, and what came is not all."""
    with Client(port) as client:
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        if 200 in statuses(client.to_end()):
            raise Wrong("half a request was answered")


def leaves(port, data, received):
    client = Client(port)
    client.send(data)
    if received:
        client.socket.recv(received)
    client.reset()


def crowd(port, data):
    """Fifty who leave one after the other."""
    clients = [Client(port) for _ in range(50)]
    for x in clients:
        x.send(data)
    for x in clients:
        x.reset()


def long_stream():
    body = {"model": "nano", "prompt": "Once", "stream": True, "n": 8,
            "max_tokens": 400, "ignore_eos": True, "temperature": 1.5}
    return post(bodies.TEXT, json.dumps(body).encode())


def partings():
    whole = shapes.GOOD
    body_at = whole.index(b"{")
    for i in range(1, len(whole)):
        yield f"cut at byte {i}", lambda port, i=i: cut(port, i)
    yield "byte by byte", byte_by_byte
    keep = whole.replace(b"Connection: close\r\n", b"")
    for count in (1, 2, 50):
        yield (f"{count} early ones",
               lambda port, n=count: pipelined(port, shapes.HIDDEN, n, 200))
    yield "early ones with bodies", lambda port: pipelined(port, keep, 5, 200)
    for size in (0, 1, 9, body_at - 2, body_at, len(whole) - 1):
        part = whole[:size]
        yield f"half open at {size}", lambda port, x=part: half_open(port, x)
        yield f"a reset at {size}", lambda port, x=part: leaves(port, x, 0)
    yield "a reset while it computes", lambda port: leaves(port, long_stream(), 0)
    yield "a reset in a stream", lambda port: leaves(port, long_stream(), 900)
    yield "fifty resets", lambda port: crowd(port, b"")
    yield "fifty halves", lambda port: crowd(port, whole[:-1])
    yield "fifty requests without a reader", lambda port: crowd(port, whole)
    yield "fifty streams without a reader", lambda port: crowd(port,
                                                               long_stream())


def exchanges():
    yield from partings()
    for kind in (shapes.smuggling, shapes.chunks, shapes.oversize,
                 shapes.others):
        for name, data, allowed in kind():
            yield (f"{kind.__name__}: {name}",
                   lambda port, d=data, a=allowed: send_all(port, d, a))
    for name, *what in bodies.all_bodies():
        yield name, lambda port, x=what: send_body(port, *x)


# -- those who take their time -------------------------------------------------

def drip(port, data, wanted):
    """A byte now and then, until the other side has had enough."""
    begin = time.monotonic()
    with Client(port) as client:
        client.socket.settimeout(0.25)
        got = b""
        for i in range(len(data)):
            client.send(data[i:i + 1])
            try:
                piece = client.socket.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            got += piece
            if not piece:
                break
        else:
            raise Wrong(f"was heard for {time.monotonic() - begin:.0f} s")
    if statuses(got) != [wanted]:
        raise Wrong(f"answered {statuses(got)}")


def slow_reader(port):
    """Asks for more than the network keeps, and does not read on."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port))
        client.sendall(long_stream())
        client.recv(100)
        time.sleep(12)
        client.recv(100)


def slow_ones():
    head = shapes.GOOD[:shapes.GOOD.index(b"{")]
    large = head.replace(b"Length: %d" % len(shapes.BODY), b"Length: 8000000")
    long = shapes.get(b"Host: x\r\n", *[b"X: y\r\n"] * 50)
    for i in range(4):
        yield f"slow head {i}", lambda port: drip(port, long, 408)
        yield (f"slow body {i}",
               lambda port: (drip_body(port, large)))
        yield f"slow reader {i}", slow_reader


def drip_body(port, head):
    with Client(port) as client:
        client.send(head)
        client.socket.settimeout(0.25)
        begin = time.monotonic()
        got = b""
        while time.monotonic() - begin < PATIENCE:
            client.send(b" ")
            try:
                piece = client.socket.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            got += piece
            if not piece:
                break
        else:
            raise Wrong("was heard for too long")
    if statuses(got) != [408]:
        raise Wrong(f"answered {statuses(got)}")


# -- all of it -----------------------------------------------------------------

class Run:
    def __init__(self):
        self.num_exchanges, self.wrong = 0, []
        self.lock = threading.Lock()

    def one(self, name, what, port):
        trouble = ""
        try:
            what(port)
        except (Wrong, OSError) as error:
            trouble = str(error) or repr(error)
        with self.lock:
            self.num_exchanges += 1
            if trouble:
                self.wrong.append(f"{name}: {trouble}")

    def one_by_one(self, all_of_them):
        server = Server()
        try:
            memory = [server.memory()]
            again = [x for x in all_of_them if not x[0].startswith("cut at")]
            for some in (all_of_them, again):
                self.round(some, server)
                memory.append(server.memory())
            self.end(server, f"memory before and after each round: {memory} MiB")
            if memory[2] - memory[1] > MAX_GROWTH:
                self.wrong.append(f"memory grows: {memory} MiB")
        finally:
            server.kill()

    def round(self, all_of_them, server):
        for name, what in all_of_them:
            if self.wrong and server.process.poll() is not None:
                return
            before = server.computed()
            self.one(name, what, server.port)
            if (took := server.computed() - before) > MAX_COMPUTED:
                self.wrong.append(f"{name}: {took:.1f} s were computed")
            if trouble := server.why_disturbed():
                self.wrong.append(f"after {name}: {trouble}")

    def at_once(self, all_of_them):
        """A server of their own for those who take their time."""
        server = Server()
        try:
            threads = [threading.Thread(target=self.one,
                                        args=(name, what, server.port))
                       for name, what in all_of_them]
            for x in threads:
                x.start()
            for x in threads:
                x.join()
            if trouble := server.why_disturbed():
                self.wrong.append(f"after the slow ones: {trouble}")
            self.end(server, "slow ones")
        finally:
            server.kill()

    def end(self, server, what):
        if server.process.poll() is None and (trouble := server.end()):
            self.wrong.append(trouble)
        print(f"{what}; {server.stream.num_answers} answers beside it",
              flush=True)
        if server.stream.num_answers == 0:
            self.wrong.append("nobody streamed meanwhile")


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--only", default="")
    flags.add_argument("--list", action="store_true")
    options = flags.parse_args()
    fast = [x for x in exchanges() if options.only in x[0]]
    slow = [x for x in slow_ones() if options.only in x[0]]
    if options.list:
        print("\n".join(name for name, _ in fast + slow))
        return 0
    run = Run()
    beside = threading.Thread(target=run.at_once, args=(slow,))
    begin = time.monotonic()
    if slow:
        beside.start()
    if fast:
        run.one_by_one(fast)
    if slow:
        beside.join()
    print(f"{run.num_exchanges} exchanges in {time.monotonic() - begin:.0f} s")
    if not options.only and run.num_exchanges < MIN_EXCHANGES:
        run.wrong.append("too few exchanges")
    for x in run.wrong:
        print(x)
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
