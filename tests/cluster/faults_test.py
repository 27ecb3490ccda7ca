#!/usr/bin/env python3
"""What befalls the processes of a busy cluster: kill -9, SIGSTOP, a link that
is cut, by hand and by a plan of faults.

Every request that was accepted has an end: the tokens of a run without faults,
or an error that names who was lost, after a beginning of those tokens. Requests
that do not need who was lost go on. /health says what is missing. Every fault
is seen to have happened. Links are cut within the processes here, by a plan;
cuts_test.py cuts them in the network.
"""

import sys
import time

from busy_cluster import (Front, Load, MAX_TOKENS, NUM_REQUESTS, OneMachine,
                          SHORT, run, wait_until)


def everyone_stands_still_for_a_moment_then_two_die(show):
    with show.cluster(OneMachine()) as (front, nodes):
        for who in [front, nodes["left"], nodes["experts"]]:
            load = show.load(front)
            who.stop()
            time.sleep(SHORT)
            who.go_on()
            load.expect_whole()
        assert front.health()[0] == 200
        load = show.load(front)
        nodes["right"].kill()
        load.expect_whole()  # they go on at the other rank
        front.expect_trouble("right", serves=True)
        load = show.load(front)  # the other rank takes all of them
        nodes["experts"].kill()
        load.expect_all_fail("experts")
        front.expect_trouble("experts")
        Load(front.port, show.golden).expect_all_fail("experts")
        front.expect_clean_end()
        nodes["left"].expect_end(0)


def nodes_stand_still_for_too_long(show):
    with show.cluster(OneMachine()) as (front, nodes):
        load = show.load(front)
        nodes["right"].stop()
        load.expect_whole()  # they go on at the other rank
        front.expect_trouble("right", serves=True)
        nodes["right"].go_on()
        nodes["right"].expect_end(1)
        load = show.load(front)
        nodes["experts"].stop()
        load.expect_all_fail("experts")
        front.expect_trouble("experts")
        nodes["experts"].go_on()
        nodes["experts"].expect_end(1)
        front.expect_clean_end()
        nodes["left"].expect_end(0)


def the_front_dies(show):
    with show.cluster(OneMachine()) as (front, nodes):
        load = show.load(front)
        front.kill()
        load.expect_all_fail("broken")
        for node in nodes.values():
            node.expect_end(1, "the controller is gone: node front")


def the_front_stands_still_for_too_long(show):
    with show.cluster(OneMachine()) as (front, nodes):
        load = show.load(front)
        front.stop()
        for node in nodes.values():
            node.expect_end(1, "the controller is gone: node front")
        front.go_on()
        load.expect_all_fail("node ")  # whichever it finds gone first
        front.expect_trouble("experts")
        front.expect_clean_end()


OF_A_LOAD = NUM_REQUESTS * MAX_TOKENS  # tokens, before the next one begins

PLAN = """
[[fault]]
pause = "attention-0"
on = { event = "token_emitted", nth = 40 }
for = "300ms"

[[fault]]
delay = ["attention-0", "experts-0"]
extra = "2ms"
class = "rows"
on = { event = "token_emitted", nth = 80 }
for = "300ms"

[[fault]]
cut = ["front", "attention-0"]
on = { event = "token_emitted", nth = 200 }
for = "300ms"

[[fault]]
kill = "experts-0"
on = { event = "token_emitted", nth = IN_THE_SECOND }
"""


def start_planned(show, plan, restarts=0, outage=500):
    path = f"{show.folder}/plan.toml"
    with open(path, "w") as file:
        file.write(plan.replace("IN_THE_SECOND", str(OF_A_LOAD + 100))
                   .replace("IN_THE_THIRD", str(2 * OF_A_LOAD + 200)))
    return Front([f"{show.binaries}/troupe_with_faults", "serve", show.model,
                  "--nodes", "3", "--data-parallel-size", "2",
                  "--expert-parallel-size", "2", "--threads", "1",
                  "--max-model-len", "512", "--port", "0",
                  "--served-model-name", "nano",
                  "--outage-timeout-ms", str(outage),
                  "--restart-limit", str(restarts), "--faults", path])


def a_plan_is_carried_out(show):
    front = start_planned(show, PLAN)
    try:
        front.begin()
        Load(front.port, show.golden).expect_whole()
        Load(front.port, show.golden).expect_all_fail("experts-0")
        for words in ["pause attention-0 for 300ms: its process is stopped",
                      "delay attention-0 experts-0, rows only for 300ms: ",
                      "cut front attention-0 for 300ms: ",
                      "kill experts-0: its process is gone"]:
            front.wait_for(f"fault verified: {words}")
        front.expect_trouble("experts-0")
        front.expect_clean_end()
    finally:
        front.end()


def who_is_killed_by_a_plan_comes_back_twice(show):
    """With its end of the channel by which it is told of faults."""
    front = start_planned(show, """
[[fault]]
kill = "experts-0"
on = { event = "token_emitted", nth = 100 }

[[fault]]
kill = "experts-0"
on = { event = "token_emitted", nth = IN_THE_SECOND }

[[fault]]
delay = ["experts-0", "attention-0"]
extra = "2ms"
class = "rows"
on = { event = "token_emitted", nth = IN_THE_THIRD }
for = "300ms"
""", restarts=5, outage=60_000)
    try:
        front.begin()
        for _ in range(3):
            Load(front.port, show.golden).expect_whole()
        for words in ["kill experts-0: its process is gone",
                      "delay experts-0 attention-0, rows only for 300ms: "]:
            front.wait_for(f"fault verified: {words}")
        front.expect_health()
        assert front.metric("nodes_came_back_total") == 2
        front.expect_clean_end()
    finally:
        front.end()


def a_plan_that_does_not_happen_is_a_failure(show):
    front = start_planned(show, """
[[fault]]
cut = ["front", "experts-0"]
at = "0s"
for = "1000s"
class = "bulk"

[[fault]]
kill = "experts-0"
at = "1000s"
""")
    try:
        front.begin()
        wait_until("/health shows the fault",
                   lambda: front.health()[1].get("faults")
                   == ["cut front experts-0, bulk only for 1000s"])
        assert front.health()[0] == 200
        front.handle.terminate()
        front.expect_end(1, "fault that has not happened: kill experts-0: its "
                            "time never came")
        assert "nothing shows that it did anything" in str(front.lines)
    finally:
        front.end()


def a_plan_that_cannot_happen_is_refused(show):
    for plan, words in [
            ('kill = "front"\nat = "1s"', "has not started that node"),
            ('corrupt = ["front", "experts-0"]\np = 0.5\nat = "1s"\nfor = "1s"',
             "only troupe simulate can do that"),
            ('client_vanish = 3\nat = "1s"',
             "only troupe simulate can do that"),
            ('kill = "nobody"\nat = "1s"', "which is no node")]:
        front = start_planned(show, "[[fault]]\n" + plan)
        try:
            front.expect_end(1, words)
        finally:
            front.end()


SIGNALS = [everyone_stands_still_for_a_moment_then_two_die,
           nodes_stand_still_for_too_long, the_front_dies,
           the_front_stands_still_for_too_long, a_plan_is_carried_out,
           who_is_killed_by_a_plan_comes_back_twice,
           a_plan_that_does_not_happen_is_a_failure,
           a_plan_that_cannot_happen_is_refused]


def main():
    return run(SIGNALS)


if __name__ == "__main__":
    sys.exit(main())
