#!/usr/bin/env python3
"""Runs the tests of GoogleTest binaries, many in one process: under a sanitizer
the start of a process takes longer than most tests.

    tests/run_together.py [--without PATTERN] BINARY...
                                        SOURCE_DIR and BINARY_DIR as ctest has them

A test that ends its process has failed, and those behind it run in another
one. Says what failed, and last "N passed, N failed".
"""

import argparse
import os
import queue
import re
import subprocess
import sys
import threading

TOGETHER = 30  # tests
TIMEOUT = 600  # s, of so many
OUTPUT = 40  # lines that are shown of a test that failed

BEGUN = re.compile(r"\[ RUN      \] (\S+)$")
ENDED = re.compile(r"\[ {2}(?:     OK|FAILED |SKIPPED) \] (\S+?)(?:, where .*)? "
                   r"\(\d+ ms\)")


def tests_of(binary):
    """The names of all tests, in their order."""
    out = subprocess.run([binary, "--gtest_list_tests"], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    names, suite = [], ""
    for line in out.splitlines():
        name = line.split("#")[0].rstrip()
        if not name.startswith(" "):
            suite = name
        else:
            names.append(suite + name.strip())
    return names


class Tally:
    """What has been found so far; of several threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.skipped = self.failed = 0

    def add(self, passed, skipped, failed):
        """`failed`: (test, lines that it said)"""
        with self.lock:
            self.passed += passed
            self.skipped += skipped
            self.failed += len(failed)
            for name, lines in failed:
                print(f"FAILED: {name}")
                print("".join(f"  {x}\n" for x in lines[-OUTPUT:]), flush=True)


def run(binary, names, tally):
    """Returns the names that are still to be run."""
    command = [binary, "--gtest_filter=" + ":".join(names)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, errors="replace",
                              stderr=subprocess.STDOUT, timeout=TIMEOUT)
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        status = f"stopped after {TIMEOUT} s"
    said, passed, skipped, failed, ended = [], 0, 0, [], set()
    running = None
    for line in output.splitlines():
        if found := BEGUN.search(line):
            running, said = found[1], []
        elif running and (found := ENDED.search(line)) and found[1] == running:
            ended.add(running)
            if "OK" in found[0][:12]:
                passed += 1
            elif "SKIPPED" in found[0][:12]:
                skipped += 1
            else:
                failed.append((running, said))
            running, said = None, []
        else:
            said.append(line)
    left = [x for x in names if x not in ended and x != running]
    if running:
        failed.append((running, said + [f"its process ended: {status}"]))
    elif left:
        failed.append((names[0], said + [f"nothing ran: {status}"]))
        left = []
    elif status and not failed:
        failed.append((f"{names[0]} to {names[-1]}",
                       said + [f"status {status} at the end"]))
    tally.add(passed, skipped, failed)
    return left


def main():
    flags = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    flags.add_argument("--without", default="(?!)", metavar="PATTERN",
                       type=re.compile, help="tests that are left out")
    flags.add_argument("binaries", nargs="+", metavar="BINARY")
    asked = flags.parse_args()
    work, tally = queue.Queue(), Tally()
    for binary in asked.binaries:
        names = [x for x in tests_of(binary) if not asked.without.search(x)]
        for i in range(0, len(names), TOGETHER):
            work.put((binary, names[i:i + TOGETHER]))

    def go_on():
        while True:
            try:
                binary, names = work.get_nowait()
            except queue.Empty:
                return
            while names:
                names = run(binary, names, tally)

    threads = [threading.Thread(target=go_on)
               for _ in range(os.cpu_count() or 1)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    if tally.skipped:
        print(f"{tally.skipped} skipped")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return tally.failed > 0


if __name__ == "__main__":
    sys.exit(main())
