#!/usr/bin/env python3
"""A node that need not be there at the start: the cluster serves without it, and
it joins while requests run, gets experts and requests, and may leave, die and
come back as any other. Every request is answered with the same tokens.
"""

import subprocess
import sys

from busy_cluster import NODES, PATIENCE, Process, run, wait_until
from leaving_test import Admin, Company

LONG = 60_000  # ms
GROWING = """
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
workers = 1

[[nodes]]
name = "new"
ranks = 1
workers = 1
later = true

[[units]]
name = "main"
ranks = 3
workers = 2
num_redundant_experts = 32
spare_expert_slots = 32
"""


def begin_new(company):
    """The command of another node, under its name."""
    args = ["new" if x == "left" else x
            for x in company.nodes["left"].handle.args]
    company.nodes["new"] = Process(args)


def wait_until_it_is(company, state):
    wait_until(f"new is {state}", lambda: company.state_of("new") == state)


def expect_absence(company):
    """It is not here yet, and nobody misses it."""
    assert company.state_of("new") == "later", company.ask("/cluster")
    company.front.expect_health()
    for name, count in [("nodes", 4), ("nodes_later", 1), ("nodes_lost", 0),
                        ("nodes_left", 0)]:
        assert company.front.metric(name) == count, name
    assert {x for layer in company.holders() for held in layer
            for x in held} == {0}


def work_of_new(company):
    """Tokens of its rank, rows of its worker."""
    body = company.ask("/cluster")
    node = next(x["node"] for x in body["nodes"] if x["name"] == "new")
    return [sum(x[what] for x in body[parts] if x["node"] == node)
            for parts, what in [("ranks", "tokens"), ("workers", "rows")]]


def expect_work(show, company):
    """It is asked by ranks and by the gateway from now on."""
    assert {x for layer in company.holders() for held in layer
            for x in held} == {0, 1}
    before = work_of_new(company)

    # Counts of a process that is over stand until the next one has told its own.
    def works():
        show.load(company.front).expect_whole()
        return all(0 < x != y for x, y in zip(work_of_new(company), before))

    wait_until("the new node works", works)


def joins_while_requests_run(show):
    with Company(show, shape=GROWING, names=NODES, outage=LONG) as company:
        expect_absence(company)
        load = show.load(company.front)
        begin_new(company)
        wait_until_it_is(company, "serving")
        load.expect_whole()
        expect_work(show, company)
        assert company.front.metric("nodes_later") == 0
        assert company.front.metric("nodes") == 5
        assert company.front.metric("nodes_came_back_total") == 0
        load = show.load(company.front)
        company.nodes["new"].kill()
        company.expect_gone("new", "lost")
        company.expect_back("new")
        load.expect_whole()
        expect_work(show, company)
        load = show.load(company.front)
        company.expect_left("new")
        company.expect_back("new")
        load.expect_whole()
        expect_work(show, company)
        assert company.front.metric("requests_failed_total") == 0
        company.front.expect_clean_end()


def has_a_part_in_a_placement_that_came_before_it(show):
    """Also in one that outlives all processes."""
    state = f"{show.folder}/state"
    options = {"shape": GROWING, "outage": LONG, "flags": ["--state-dir", state]}
    with Company(show, names=NODES, **options) as company:
        status, said = company.drain("experts")
        assert status == 1 and "no room" in said, said
        begin_new(company)
        wait_until_it_is(company, "serving")
        company.expect_left("experts")
        show.load(company.front).expect_whole()
        company.expect_back("experts")
        company.expect_left("new")
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()
    with Company(show, names=NODES, **options) as company:
        expect_absence(company)
        show.load(company.front).expect_whole()
        load = show.load(company.front)
        begin_new(company)
        wait_until_it_is(company, "serving")
        load.expect_whole()
        expect_work(show, company)
        company.front.expect_clean_end()


GUESTS = GROWING.replace('name = "new"', "").replace("later = true",
                                                     "open = true")
BRINGS = ["--ranks", "1", "--workers", "1", "--unit", "main"]


def begin_guest(company, name, *brings):
    args = [name if x == "left" else x
            for x in company.nodes["left"].handle.args] + list(brings)
    company.nodes[name] = Process(args)


def expect_refusal(company, name, brings, words):
    """Whoever has that name stays."""
    known = company.nodes.get(name)
    begin_guest(company, name, *brings)
    company.nodes[name].expect_end(1, words)
    if known:
        company.nodes[name] = known


def a_name_that_is_not_in_the_topology_comes_to_an_open_place(show):
    state = f"{show.folder}/guests"
    options = {"shape": GUESTS, "outage": LONG, "flags": ["--state-dir", state]}
    with Company(show, names=NODES, **options) as company:
        for name, brings, words in [
                ("eve", [], "says what it brings"),
                ("eve", ["--ranks", "2"], "no free place for node eve with 2 "
                 "ranks and 0 workers"),
                ("eve", BRINGS[:-1] + ["other"], "has no unit other"),
                ("right", BRINGS, "node right is of 1 rank and 0 workers")]:
            expect_refusal(company, name, brings, words)
        load = show.load(company.front)
        begin_guest(company, "alice", *BRINGS)
        wait_until("alice serves", lambda: any(
            x["name"] == "alice" and x["state"] == "serving"
            for x in company.ask("/cluster")["nodes"]))
        load.expect_whole()
        expect_refusal(company, "bob", BRINGS, "no free place for node bob")
        load = show.load(company.front)
        company.nodes["alice"].kill()
        company.expect_gone("alice", "lost")
        company.expect_back("alice")
        load.expect_whole()
        company.expect_left("alice")
        company.expect_back("alice")
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()
    with Company(show, names=NODES, **options) as company:
        assert company.state_of("alice") == "later", company.ask("/cluster")
        begin_guest(company, "alice", *BRINGS)
        wait_until("alice serves",
                   lambda: company.state_of("alice") == "serving")
        show.load(company.front).expect_whole()
        company.front.expect_clean_end()


def who_comes_too_early_waits_for_the_start(show):
    with Company(show, shape=GROWING, names=["left"] + ["new"] + NODES[1:],
                 outage=LONG) as company:
        wait_until_it_is(company, "serving")
        expect_work(show, company)
        company.front.expect_health()
        company.front.expect_clean_end()


def what_could_not_start_is_refused(show):
    for change, words in [
            (("num_redundant_experts = 32", "num_redundant_experts = 16"),
             "without the nodes that come later workers have room for 24 of 32 "
             "experts: num_redundant_experts has to be at least 32"),
            (("workers = 1\n\n[[nodes]]\nname = \"new\"", "\n[[nodes]]\nname = "
              "\"new\""), "no worker but on nodes that come later")]:
        shape = GROWING.replace(*change)
        if "no worker" in words:
            shape = shape.replace("workers = 2", "workers = 1")
        path = f"{show.folder}/wrong.toml"
        with open(path, "w") as file:
            file.write(shape.format(model=show.model, host="127.0.0.1"))
        done = subprocess.run(
            [f"{show.binaries}/troupe", "serve", "--topology", path, "--port",
             "0"], stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        assert done.returncode == 1 and words in done.stderr, done.stderr


def main():
    return run([joins_while_requests_run,
                has_a_part_in_a_placement_that_came_before_it,
                a_name_that_is_not_in_the_topology_comes_to_an_open_place,
                who_comes_too_early_waits_for_the_start,
                what_could_not_start_is_refused])


if __name__ == "__main__":
    sys.exit(main())
