#!/usr/bin/env python3
"""A cluster in which one rank prefills and another one decodes, and one of the
two is killed, again and again, while requests go from one to the other.

Every request is answered with the tokens of a run without faults.
"""

import random
import sys
import time

from busy_cluster import Client, Load, OneMachine, run, wait_until

NUM_KILLS = 12
NAMES = ["prefill", "decode", "experts"]
SHAPE = """
model = "{model}"
controller = "{host}:0"
max_model_len = 512

[[nodes]]
name = "front"
gateway = true
controller = true

[[nodes]]
name = "prefill"
ranks = 1

[[nodes]]
name = "decode"
ranks = 1

[[nodes]]
name = "experts"
workers = 2

[[units]]
name = "first"
role = "prefill"
ranks = 1
workers = 1

[[units]]
name = "then"
role = "decode"
ranks = 1
workers = 1
"""
LONG = 60_000  # ms


def requests_go_with_their_blocks(show):
    with show.cluster(OneMachine(), SHAPE, NAMES, LONG) as (front, _):
        show.load(front).expect_whole()
        wait_until("all are counted", lambda: front.metric(
            "requests_handed_over_total") == 16)
        # The second time those who prefill, and those who decode, have them.
        wait_until("blocks came", lambda: front.metric(
            "handed_blocks_total") >= 8 * 3)
        assert front.metric("requests_moved_total") == 0
        assert 0 < front.metric(
            "handed_early_bytes_total") <= front.metric("handed_bytes_total")


def whoever_dies_in_a_hand_over_changes_no_token(show):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with show.cluster(OneMachine(), SHAPE, NAMES, LONG) as (front, nodes):
        show.load(front).expect_whole()
        for i in range(NUM_KILLS):
            name = NAMES[i % 2]
            load = Load(front.port, show.golden)
            time.sleep(chance.random() * 0.4)
            nodes[name].kill()
            front.expect_trouble(name, serves=True)
            load.expect_whole()
            nodes[name] = nodes[name].again()
            front.expect_health()
        show.load(front).expect_whole()
        front.expect_clean_end()


if __name__ == "__main__":
    Client.words = 70  # 210 tokens
    sys.exit(run([requests_go_with_their_blocks,
                  whoever_dies_in_a_hand_over_changes_no_token]))
