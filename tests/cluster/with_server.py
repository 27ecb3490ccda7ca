"""with_server.py SCRIPT: runs SCRIPT against `troupe serve` on the nano model.

The server listens at a free port; SCRIPT gets --base-url and --model. Fails if
SCRIPT does, or if SIGTERM does not end the server cleanly.
"""

import os
import re
import signal
import subprocess
import sys


def wait_until_ready(server):
    for line in server.stderr:
        sys.stderr.write(line)
        found = re.match(r"ready at (http://\S+): ", line)
        if found:
            return found.group(1)
    sys.exit("the server ended before it was ready")


def main(script):
    here = os.path.dirname(os.path.realpath(__file__))
    source = os.environ.get("SOURCE_DIR", os.path.normpath(f"{here}/../.."))
    binary = os.environ.get("BINARY_DIR", f"{source}/build/release")
    model = f"{source}/examples/nano/model"
    server = subprocess.Popen(
        [f"{binary}/deploy/troupe", "serve", model, "--port", "0"]
        + ["--served-model-name", "nano", "--expert-parallel-size", "4"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = wait_until_ready(server)
        status = subprocess.call(
            [sys.executable, script, "--base-url", f"{url}/v1", "--model", "nano"]
        )
        server.send_signal(signal.SIGTERM)
        sys.stderr.write(server.stderr.read())
        ended = server.wait(timeout=30)
    finally:
        server.kill()
    if ended != 0:
        print(f"SIGTERM ended the server with status {ended}", file=sys.stderr)
    return status or ended


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
