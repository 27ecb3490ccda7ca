#!/usr/bin/env python3
"""Processes that are killed under load and come back under their names.

Every request that was accepted is answered with the tokens of a run without
faults, whoever dies meanwhile, and who has come back works.
"""

import sys
import time

from busy_cluster import Load, NODES, OneMachine, TOPOLOGY, run, wait_until

REPLICAS = TOPOLOGY.replace("workers = 2", "workers = 1") + """
[[nodes]]
name = "more"
workers = 1

[[units]]
name = "main"
ranks = 2
workers = 2
num_redundant_experts = 32
"""
LONG = 60_000  # ms


def replaced(front, nodes, name):
    """Another process of a node that is lost; serving."""
    nodes[name] = nodes[name].again()
    front.expect_health()


def a_rank_and_then_workers_die_and_come_back(show):
    """No expert and not every rank is away at any time."""
    names = NODES + ["more"]
    with show.cluster(OneMachine(), REPLICAS, names, LONG) as (front, nodes):
        for name in ["experts", "right", "more", "left", "experts"]:
            load = show.load(front)
            nodes[name].kill()
            front.expect_trouble(name, serves=True)
            replaced(front, nodes, name)
            front.expect_health()
            load.expect_whole()
            show.load(front).expect_whole()
        assert front.metric("requests_moved_total") > 0
        assert front.metric("attention_ranks_used") == 2
        assert front.metric("expert_workers_used") == 2, "who is back works"
        front.expect_clean_end()
        for node in nodes.values():
            node.expect_end(0)


def requests_wait_for_the_only_experts(show):
    with show.cluster(OneMachine(), outage=LONG) as (front, nodes):
        load = show.load(front)
        nodes["experts"].kill()
        front.expect_trouble("experts")
        refused = Load(front.port, show.golden)
        refused.expect_all_fail("experts")
        assert not any(x.end for x in load.clients), "they wait"
        replaced(front, nodes, "experts")
        load.expect_whole()
        show.load(front).expect_whole()
        front.expect_health()
        front.expect_clean_end()


def a_node_that_bounces_does_not_lose_its_place(show):
    with show.cluster(OneMachine(), outage=LONG) as (front, nodes):
        load = show.load(front)
        for pause in [0, 0.05, 0.2, 0.4]:
            nodes["experts"].kill()
            nodes["experts"] = nodes["experts"].again()
            time.sleep(pause)  # wherever it is by then
        nodes["experts"].kill()
        nodes["experts"] = nodes["experts"].again()
        front.expect_health()
        load.expect_whole()
        front.expect_clean_end()


def a_second_process_of_a_living_name_disturbs_nobody(show):
    with show.cluster(OneMachine()) as (front, nodes):
        load = show.load(front)
        second = nodes["experts"].__class__(nodes["experts"].handle.args)
        second.expect_end(1, "is here already, as another process; it stays")
        load.expect_whole()
        assert front.health()[0] == 200
        front.expect_clean_end()


def main():
    return run([a_rank_and_then_workers_die_and_come_back,
                requests_wait_for_the_only_experts,
                a_node_that_bounces_does_not_lose_its_place,
                a_second_process_of_a_living_name_disturbs_nobody])


if __name__ == "__main__":
    sys.exit(main())
