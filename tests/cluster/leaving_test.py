#!/usr/bin/env python3
"""Nodes that leave in peace while requests run, and come back.

Whoever leaves gives what it has to others first: every request is answered with
the tokens of a run in which nobody left, and the node ends with status 0. What
cannot leave stays, and a sentence says why.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys

from busy_cluster import (Front, NODES, OneMachine, PATIENCE, TOPOLOGY, run,
                          wait_until)

LONG = 60_000  # ms
SPACIOUS = TOPOLOGY.replace("workers = 2", "workers = 1") + """
[[nodes]]
name = "more"
workers = 1

[[units]]
name = "main"
ranks = 2
workers = 2
spare_expert_slots = 32
"""


class Admin(http.client.HTTPConnection):
    """The admin socket of a front."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        self.request(method, path, body and json.dumps(body), headers)
        answer = self.getresponse()
        return answer.status, json.loads(answer.read())


class Company:
    """A cluster whose nodes may be told to leave."""

    def __init__(self, show, flags=(), **options):
        self.show = show
        self.socket = f"{show.folder}/admin"
        self.flags = list(flags)
        self.options = options

    def __enter__(self):
        self.place = self.show.cluster(
            OneMachine(), flags=["--admin-socket", self.socket] + self.flags,
            **self.options)
        self.front, self.nodes = self.place.__enter__()
        return self

    def __exit__(self, *why):
        return self.place.__exit__(*why)

    def drain(self, name, *flags):
        """Status and words of the command."""
        done = subprocess.run(
            [f"{self.show.binaries}/troupe", "node", "--drain", name,
             "--admin-socket", self.socket, *flags],
            stderr=subprocess.PIPE, text=True, timeout=2 * PATIENCE)
        return done.returncode, done.stderr

    def undrain(self, name):
        done = subprocess.run(
            [f"{self.show.binaries}/troupe", "node", "--undrain", name,
             "--admin-socket", self.socket],
            stderr=subprocess.PIPE, text=True, timeout=2 * PATIENCE)
        return done.returncode, done.stderr

    def expect_left(self, name):
        status, words = self.drain(name)
        assert status == 0, words
        assert f"node {name} has left" in words, words
        self.nodes[name].expect_end(0)
        self.expect_gone(name, "left")
        self.front.expect_health()  # it is not missed

    def expect_gone(self, name, state):
        """Left or lost. The gateway hears of it after the controller."""
        wait_until(f"{name} is {state}", lambda: self.state_of(name) == state)
        assert self.front.metric(f"nodes_{state}") == 1
        other = "lost" if state == "left" else "left"
        assert self.front.metric(f"nodes_{other}") == 0

    def begin_to_drain(self, name):
        status, answer = Admin(self.socket).ask(
            "POST", "/cluster/drain", {"node": name, "timeout_s": 30})
        assert status == 202, answer

    def progress(self):
        return self.ask("/cluster/drain")["drain"]

    def expect_back(self, name):
        self.nodes[name] = self.nodes[name].again()
        wait_until(f"{name} serves again",
                   lambda: self.state_of(name) == "serving")
        assert self.front.metric("nodes_left") == 0

    def ask(self, path):
        return Admin(self.socket).ask("GET", path)[1]

    def holders(self):
        """Of each layer and expert, the workers that have it."""
        return [[sorted(worker for worker, slot in replicas)
                 for replicas in layer["replicas"]]
                for layer in self.ask("/cluster/experts")["layers"]]

    def state_of(self, name):
        body = self.ask("/cluster")
        return next(x["state"] for x in body["nodes"] if x["name"] == name)


def ranks_and_workers_leave_and_come_back(show):
    names = NODES + ["more"]
    with Company(show, shape=SPACIOUS, names=names, outage=LONG) as company:
        for name in ["right", "experts", "left", "more"]:
            load = show.load(company.front)
            company.expect_left(name)
            load.expect_whole()
            show.load(company.front).expect_whole()
            load = show.load(company.front)
            company.expect_back(name)
            load.expect_whole()
        assert company.front.metric("requests_moved_total") > 0
        assert company.front.metric("requests_failed_total") == 0
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()


def what_cannot_leave_stays(show):
    """Experts without room elsewhere, the first node, strangers."""
    with Company(show, outage=LONG) as company:
        load = show.load(company.front)
        for name, words in [("experts", "have no room for the"),
                            ("front", "is the first one"),
                            ("nobody", "no node named nobody")]:
            status, said = company.drain(name)
            assert status == 1 and words in said, said
        assert company.progress()["state"] == "stays"
        assert Admin(company.socket).ask(
            "POST", "/cluster/drain", {"node": "front"})[0] == 409
        load.expect_whole()
        company.expect_left("left")
        status, said = company.drain("right")
        assert status == 1 and "no other node than right has" in said, said
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()


def who_is_killed_on_its_way_out(show):
    """Lost, unless it was told to end. A node that stands still cannot say that
    nobody uses its experts any more, but gives its requests away."""
    moments = [("experts", "lost", lambda x: x["experts"] > 0),
               ("more", "lost",  # it has all that the first one had
                lambda x: 0 < x["experts"] == x["experts_moved"]),
               ("right", "left", lambda x: x["state"] == "ending")]
    with Company(show, shape=SPACIOUS, names=NODES + ["more"],
                 outage=LONG) as company:
        for name, state, is_there in moments:
            load = show.load(company.front)
            company.nodes[name].stop()
            company.begin_to_drain(name)

            def has_come():  # or has been given up for its silence
                now = company.progress()
                return is_there(now) or now["state"] == state

            wait_until(f"{name} is about to leave", has_come)
            company.nodes[name].kill()
            company.expect_gone(name, state)
            assert company.progress()["state"] == state
            load.expect_whole()
            company.expect_back(name)
            company.front.expect_health()
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()


def who_is_leaving_may_stay(show):
    """As long as it was not told to end."""
    with Company(show, shape=SPACIOUS, names=NODES + ["more"],
                 outage=LONG) as company:
        status, said = company.undrain("experts")
        assert status == 1 and "experts is not leaving" in said, said
        load = show.load(company.front)
        for _ in range(10):
            company.nodes["experts"].stop()  # it cannot say that it is empty
            company.begin_to_drain("experts")
            status, answer = Admin(company.socket).ask(
                "DELETE", "/cluster/drain")
            company.nodes["experts"].go_on()
            if status == 200:
                break
            company.nodes["experts"].kill()  # it stood still for too long
            company.expect_gone("experts", "lost")
            company.expect_back("experts")
        assert answer["drain"]["state"] == "stays", answer
        assert "that it was to leave" in company.progress()["sentence"]
        load.expect_whole()
        assert company.state_of("experts") == "serving"
        company.expect_left("experts")
        status, said = company.undrain("experts")
        assert status == 1 and "no node is leaving" in said, said
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()


def child_of(front, name):
    """The number of the process of --nodes that is this node."""
    parent = front.handle.pid
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        for child in file.read().split():
            with open(f"/proc/{child}/cmdline") as line:
                words = line.read().split("\0")
            if words[words.index("--name") + 1] == name:
                return int(child)
    raise AssertionError(f"there is no {name}")


def children_begin_anew_unless_they_have_left(show):
    """Also if a signal has asked them to end, as the cluster has not."""
    path = f"{show.folder}/admin2"
    troupe = f"{show.binaries}/troupe"
    front = Front([troupe, "serve", show.model, "--nodes", "4", "--port", "0",
                   "--data-parallel-size", "1", "--expert-parallel-size", "2",
                   "--spare-expert-slots", "32", "--threads", "1",
                   "--served-model-name", "nano", "--admin-socket", path])
    try:
        front.begin()
        load = show.load(front)
        done = subprocess.run([troupe, "node", "--drain", "experts-1",
                               "--admin-socket", path],
                              stderr=subprocess.PIPE, text=True,
                              timeout=2 * PATIENCE)
        assert done.returncode == 0, done.stderr
        front.wait_for("node experts-1 was told to end, and is not started")
        load.expect_whole()
        show.load(front).expect_whole()
        assert front.metric("nodes_left") == 1
        load = show.load(front)
        os.kill(child_of(front, "experts-0"), signal.SIGTERM)
        front.wait_for("node experts-0 is started again")
        load.expect_whole()
        front.expect_health()
        front.expect_clean_end()
    finally:
        front.end()


def a_placement_outlives_all_processes(show):
    """What others have got from who has left they have after a restart of the
    whole cluster, which begins with the epoch behind."""
    state = f"{show.folder}/state"
    options = {"shape": SPACIOUS, "names": NODES + ["more"], "outage": LONG,
               "flags": ["--state-dir", state]}
    with Company(show, **options) as company:
        company.expect_left("experts")
        epochs, holders = company.ask("/cluster")["epochs"], company.holders()
        assert epochs == [2], epochs
        company.front.expect_clean_end()
    with Company(show, **options) as company:
        assert company.ask("/cluster")["epochs"] == [3]
        assert company.holders() == holders
        show.load(company.front).expect_whole()
        company.expect_left("experts")  # it has nothing
        assert company.ask("/cluster")["epochs"] == [3]
        company.expect_back("experts")
        company.expect_left("more")
        company.expect_back("more")
        show.load(company.front).expect_whole()
        holders = company.holders()
        company.front.kill()
    with Company(show, **options) as company:
        assert company.holders() == holders, "nobody could say farewell"
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()


def a_placement_that_does_not_fit_is_not_taken(show):
    state = f"{show.folder}/other"
    options = {"names": NODES + ["more"], "outage": LONG,
               "flags": ["--state-dir", state]}
    with Company(show, shape=SPACIOUS, **options) as company:
        company.expect_left("experts")
        company.front.expect_clean_end()
    crowded = SPACIOUS.replace("spare_expert_slots = 32", "")
    with Company(show, shape=crowded, **options) as company:
        company.front.wait_for("is not taken, experts are placed as by the "
                               "topology")
        assert company.ask("/cluster")["epochs"] == [3]
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()


def main():
    return run([ranks_and_workers_leave_and_come_back,
                what_cannot_leave_stays,
                who_is_killed_on_its_way_out,
                who_is_leaving_may_stay,
                children_begin_anew_unless_they_have_left,
                a_placement_outlives_all_processes,
                a_placement_that_does_not_fit_is_not_taken])


if __name__ == "__main__":
    sys.exit(main())
