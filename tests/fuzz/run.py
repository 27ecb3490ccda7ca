#!/usr/bin/env python3
"""Lets libFuzzer try the targets of build/fuzz, each from its kept corpus on.

    deploy/build fuzz troupe_fuzz
    tests/fuzz/run.py [--seconds N] [--jobs N] [--keep N] [TARGET...]

What breaks a target is written to build/fuzz/found; copy it to the target's
corpus once it is mended. --keep adds the fewest new inputs that reach something
new to the corpus, at most N files altogether.
"""

import argparse
import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.path.normpath(f"{HERE}/../..")
BUILD = f"{SOURCE}/build/fuzz"
PROGRAM = f"{BUILD}/tests/fuzz/troupe_fuzz"
MAX_SECONDS_OF_ONE = 10  # on a busy machine
MAX_MEMORY = 1024  # MiB
MAX_KEPT_BYTES = 8 << 10


def targets():
    """Name -> bytes that are worth trying."""
    lines = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return {x.split()[0]: int(x.split()[1]) for x in lines}


def call(name, length, *args):
    os.makedirs(f"{BUILD}/found", exist_ok=True)
    env = {**os.environ, "SOURCE_DIR": SOURCE,
           "UBSAN_OPTIONS": "print_stacktrace=1"}
    return subprocess.run(
        [PROGRAM, f"--target={name}", f"-max_len={length}",
         f"-timeout={MAX_SECONDS_OF_ONE}", f"-rss_limit_mb={MAX_MEMORY}",
         f"-artifact_prefix={BUILD}/found/{name}-", *args],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace")


def run(name, length, seconds):
    """Returns what is to be said, and whether it broke."""
    grown, kept = f"{BUILD}/corpus/{name}", f"{HERE}/corpus/{name}"
    os.makedirs(grown, exist_ok=True)
    done = call(name, length, f"-max_total_time={seconds}",
                "-print_final_stats=1", grown, kept)
    count = re.search(r"number_of_executed_units:\s*(\d+)", done.stdout)
    cover = re.findall(r"cov: (\d+)", done.stdout)
    said = (f"{name}: {count[1] if count else 0} executions, "
            f"{cover[-1] if cover else 0} edges")
    if done.returncode != 0:
        said += f", BROKEN\n{done.stdout[-4000:]}"
    return said, done.returncode != 0


def keep(name, length, most):
    """Of what was grown, the fewest files that reach what all of them reach."""
    grown, kept = f"{BUILD}/corpus/{name}", f"{HERE}/corpus/{name}"
    small = f"{BUILD}/small/{name}"
    shutil.rmtree(small, ignore_errors=True)
    os.makedirs(small)
    call(name, length, "-set_cover_merge=1", small, kept, grown)
    known = {open(f"{kept}/{x}", "rb").read() for x in os.listdir(kept)}
    found = sorted((open(f"{small}/{x}", "rb").read()
                    for x in os.listdir(small)), key=len)
    for data in found:
        if len(os.listdir(kept)) >= most:
            break
        if data not in known and len(data) <= MAX_KEPT_BYTES:
            name_of = hashlib.sha256(data).hexdigest()[:12]
            with open(f"{kept}/{name_of}", "wb") as file:
                file.write(data)


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--seconds", type=int, default=2)
    flags.add_argument("--jobs", type=int, default=os.cpu_count())
    flags.add_argument("--keep", type=int, default=0)
    flags.add_argument("target", nargs="*")
    options = flags.parse_args()
    known = targets()
    names = options.target or list(known)
    broken = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as crowd:
        for said, is_broken in crowd.map(
                lambda x: run(x, known[x], options.seconds), names):
            print(said, flush=True)
            broken += is_broken
        if options.keep:
            list(crowd.map(lambda x: keep(x, known[x], options.keep), names))
    print(f"{len(names)} targets, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
