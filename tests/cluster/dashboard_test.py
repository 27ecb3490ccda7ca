#!/usr/bin/env python3
"""The page at /dashboard: it is there without a key, speaks to nobody but its
own server, and shows in a browser what /cluster says. Without a browser the
last is left out."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from busy_cluster import wait_until
from with_server import wait_until_ready

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.environ.get("SOURCE_DIR", os.path.normpath(f"{HERE}/../.."))
BINARY = os.environ.get("BINARY_DIR", f"{SOURCE}/build/release")
TROUPE = f"{BINARY}/deploy/troupe"
KEY = "sk-of-the-test"
SKIPPED = 77


def expect(what, truth):
    if not truth:
        sys.exit(f"dashboard_test: {what}")


def get(url, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    call = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(call, timeout=60)


def ask(url):
    body = json.dumps({"model": "nano", "prompt": "Once", "max_tokens": 40,
                       "ignore_eos": True}).encode()
    call = urllib.request.Request(
        f"{url}/v1/completions", body,
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(call, timeout=120) as answer:
        return json.load(answer)


def check_page(url):
    with get(f"{url}/dashboard") as answer:
        page, headers = answer.read().decode(), answer.headers
    expect("it is HTML", headers["Content-Type"].startswith("text/html"))
    policy = headers["Content-Security-Policy"]
    expect("nobody else may be asked", "default-src 'none'" in policy
           and "connect-src 'self'" in policy)
    expect("it names no other host", "//" not in re.sub(
        r"^\s*///?.*$| //.*$", "", page, flags=re.M))
    expect("it takes no markup from anybody", "innerHTML" not in page)
    try:
        get(f"{url}/cluster")
    except urllib.error.HTTPError as error:
        expect("what it shows needs a key", error.code == 401)
    else:
        expect("what it shows needs a key", False)


def shown_by(browser, url, profile):
    """The page as it is once its script has run, for somebody who has given
    the key."""
    return subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu",
         "--disable-dev-shm-usage", f"--user-data-dir={profile}",
         "--virtual-time-budget=6000", "--dump-dom", url],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        text=True, timeout=120).stdout


def cells(page, table):
    found = re.search(rf'<table id="{table}">(.*?)</table>', page, re.S)
    expect(f"there is a table of {table}", found)
    return [[re.sub(r"<[^>]*>", "", x) for x in
             re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
            for row in re.findall(r"<tr>(.*?)</tr>", found[1], re.S)]


def serve(folder, more):
    server = subprocess.Popen(
        [TROUPE, "serve", f"{SOURCE}/examples/nano/model", "--port", "0",
         "--served-model-name", "nano", "--nodes", "2",
         "--expert-parallel-size", "2", "--spare-expert-slots", "4",
         "--threads", "1"] + more, stderr=subprocess.PIPE, text=True)
    return server


def skewed_loads(path):
    """Experts 0 to 7, which are all on one worker, have most."""
    with open(path, "w") as file:
        file.write("source,layer," + ",".join(f"e{i}" for i in range(32)))
        for layer in range(1, 5):
            file.write(f"\nx,{layer}," + ",".join(
                str(1000 if i < 8 else 100) for i in range(32)))
        file.write("\n")
    return path


def check_in_browser(browser, url, folder):
    ask(url)
    wait_until("experts have moved", lambda: "balance" in json.load(
        get(f"{url}/cluster")) and json.load(
            get(f"{url}/cluster"))["balance"]["changes"] > 0)
    wait_until("both workers have told what they have done", lambda: len(
        json.load(get(f"{url}/cluster"))["workers"]) == 2)
    page = shown_by(browser, f"{url}/dashboard", f"{folder}/profile")
    told = json.load(get(f"{url}/cluster"))
    expect("no trouble is shown:\n" + page, re.search(
        r'<span id="trouble"[^>]*></span>', page))
    expect("it takes requests", "takes requests" in page)
    expect("all workers are shown", [x[0] for x in cells(page, "workers")[1:]]
           == [str(x["worker"]) for x in told["workers"]])
    expect("all nodes serve", [x[1:3] for x in cells(page, "nodes")[1:]]
           == [[x["name"], "serving"] for x in told["nodes"]])
    moves = cells(page, "moves")
    expect("moves have their reason and gain", len(moves) > 1
           and "times the mean" in moves[1][7] and "%" in moves[1][6])
    expect("the heat map is drawn", re.search(
        r'<canvas id="heat" width="\d{3,}"', page))


def main():
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        keys = f"{folder}/keys"
        with open(keys, "w") as file:
            file.write(KEY + "\n")
        os.chmod(keys, 0o600)
        loads = skewed_loads(f"{folder}/loads.csv")
        for more, check in (
                (["--api-key-file", keys], check_page),
                (["--balance-experts", "1s", "--expert-load", loads],
                 lambda url: check_in_browser(browser, url, folder))):
            if check is not check_page and not browser:
                sys.exit(SKIPPED)
            server = serve(folder, more)
            try:
                url = wait_until_ready(server)
                check(url)
                server.send_signal(signal.SIGTERM)
                expect("the server ends", server.wait(timeout=60) == 0)
            finally:
                server.kill()


if __name__ == "__main__":
    main()
