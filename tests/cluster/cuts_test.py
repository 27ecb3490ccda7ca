#!/usr/bin/env python3
"""Links of a busy cluster are cut in the network: every node has a network
namespace of its own, and all are joined by a bridge.

What must hold is what faults_test.py says. Every cut is seen to have happened:
the link has no carrier, and a datagram no longer gets through. Where there are
no namespaces for us, the test says so and is skipped.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time

from busy_cluster import Load, NODES, PATIENCE, Process, run, wait_until

SKIPPED = 77  # as tests/CMakeLists.txt has it
MOMENT = 0.15  # s; what TCP sends again is late by less than a verdict

# -- namespaces ----------------------------------------------------------------

# Everything that is made within goes with the last process and descriptor that
# is there. /sys is mounted anew because it shows the interfaces of the
# namespace in which it was mounted.
APART = ["unshare", "--net", "--mount"]
WAYS = [APART, APART + ["--map-root-user"]]
BEGIN = "set -e; mount -t sysfs sys /sys; ip link set lo up; "

# As `sh -c … INTERFACE HOST COMMAND…`, once the interface is there.
BEGIN_NODE = BEGIN + """echo there; read go
ip addr add $1/24 dev $0; ip link set $0 up
until grep -q up /sys/class/net/$0/operstate; do sleep 0.01; done
shift; exec "$@" """

# Nobody has it: what is sent there is lost.
NOBODY = "02:00:00:00:00:77"

HEAR = """import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.settimeout(1)
print(s.getsockname()[1], flush=True)
s.recv(1)"""

SAY = """import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        s.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
    except OSError:
        pass
    time.sleep(0.02)"""


def ip(line, prefix=()):
    subprocess.run([*prefix, "ip"] + line.split(), check=True)


class Street:
    """Nodes in namespaces, each behind a link that ends in a bridge of ours.
    The first node lives with us, behind a link like the others'."""

    def __init__(self):
        self.hosts, self.spaces = {}, {}
        ip("link add street type bridge")
        ip("link set street arp off up")  # it is not to answer for the front
        self.host = self.plug("front", os.getpid())
        ip(f"addr add {self.host}/24 dev front")
        ip("link set front up")
        wait_until("the link is there", lambda: self.carries("front"))

    def plug(self, name, pid):
        self.spaces[name] = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        self.hosts[name] = f"10.77.0.{1 + len(self.hosts)}"
        ip(f"link add {name}-end type veth peer name {name} netns {pid}")
        ip(f"link set {name}-end master street up")
        return self.hosts[name]

    def node(self, name, args):
        host = f"10.77.0.{1 + len(self.hosts)}"
        node = Process(APART + ["sh", "-c", BEGIN_NODE, name, host] + args
                       + ["--listen", f"{host}:0"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert node.handle.stdout.readline() == "there\n", node.lines
        self.plug(name, node.handle.pid)
        node.handle.stdin.write("go\n")
        node.handle.stdin.close()
        return node

    def within(self, name):
        """To begin a command with that is for the namespace of a node, which
        may be gone."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.spaces[name]}"]

    @staticmethod
    def carries(name):
        with open(f"/sys/class/net/{name}-end/operstate") as file:
            return file.read() == "up\n"

    def passes(self, source, target):
        """Whether a datagram gets from one node to another."""
        host = self.hosts[target]
        hear = subprocess.Popen(
            self.within(target) + [sys.executable, "-c", HEAR, host],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = hear.stdout.readline().strip()
        assert port, f"nobody can listen at {target}"
        say = subprocess.Popen(
            self.within(source) + [sys.executable, "-c", SAY, host, port])
        heard = hear.wait(PATIENCE) == 0
        say.kill()
        say.wait()
        return heard

    @staticmethod
    def num_lost(name):
        """Packets that have come out at the end of a link."""
        with open(f"/sys/class/net/{name}-end/statistics/rx_packets") as file:
            return int(file.read())

    def expect_passage(self, source, target):
        wait_until(f"{source} is heard by {target}",
                   lambda: self.passes(source, target))

    def expect_none(self, source, target):
        assert not self.passes(source, target), f"{source} reaches {target}"

    @contextlib.contextmanager
    def loose(self, name):
        """The link of a node ends nowhere, and the node cannot see it: once a
        carrier is back a node asks again where the others are, and that only
        once a second."""
        ip(f"link set {name}-end nomaster")
        before = self.num_lost(name)
        yield
        assert self.num_lost(name) > before, f"{name} sent nothing"
        ip(f"link set {name}-end master street")

    @contextlib.contextmanager
    def down(self, name):
        """The link of a node has no carrier."""
        other = "left" if name == "front" else "front"
        assert self.carries(name)
        ip(f"link set {name}-end down")
        yield
        assert not self.carries(name)
        self.expect_none(name, other)
        self.expect_none(other, name)
        ip(f"link set {name}-end up")
        self.expect_passage(name, other)

    @contextlib.contextmanager
    def unheard(self, source, target):
        """What a node sends to another is lost, but not what it gets."""
        to = f"{self.hosts[target]} dev {source}"
        ip(f"neigh replace {to} lladdr {NOBODY} nud permanent",
           self.within(source))
        yield
        self.expect_none(source, target)
        self.expect_passage(target, source)
        ip(f"neigh del {to}", self.within(source))
        self.expect_passage(source, target)

    def close(self):
        for name in [f"{x}-end" for x in self.hosts] + ["street"]:
            ip(f"link del {name}")
        for space in self.spaces.values():
            os.close(space)


# -- what befalls the links ----------------------------------------------------


def links_are_loose_for_a_moment(show):
    street = Street()
    with show.cluster(street) as (front, nodes):
        for name in ["front"] + NODES:
            load = show.load(front)
            with street.loose(name):
                time.sleep(MOMENT)
            load.expect_whole()
        assert front.health()[0] == 200
        front.expect_clean_end()
        for node in nodes.values():
            node.expect_end(0)


def links_of_nodes_are_down(show):
    street = Street()
    with show.cluster(street) as (front, nodes):
        load = show.load(front)
        with street.down("right"):
            load.expect_whole()  # they go on at the other rank
            front.expect_trouble("right", serves=True)
            nodes["right"].expect_end(1, "the controller is gone: node front")
        load = show.load(front)  # the other rank takes all of them
        with street.down("experts"):
            load.expect_all_fail("experts")
            front.expect_trouble("experts")
            nodes["experts"].expect_end(1, "the controller is gone: node front")
        Load(front.port, show.golden).expect_all_fail("experts")
        front.expect_clean_end()
        nodes["left"].expect_end(0)


def the_link_of_the_front_is_down(show):
    street = Street()
    with show.cluster(street) as (front, nodes):
        load = show.load(front)
        with street.down("front"):
            load.expect_all_fail("node ")  # whichever it finds gone first
            front.expect_trouble("experts")
            for node in nodes.values():
                node.expect_end(1, "the controller is gone: node front")
        front.expect_clean_end()


def one_way_is_cut(show):
    for who, source, target in [("right", "right", "front"),
                                ("right", "front", "right"),
                                ("experts", "experts", "front"),
                                ("experts", "front", "experts")]:
        street = Street()
        with show.cluster(street) as (front, nodes):
            load = show.load(front)
            with street.unheard(source, target):
                if who == "right":
                    load.expect_whole()
                else:  # the ranks go on with them until the verdict
                    load.expect_ends(who)
                front.expect_trouble(who, serves=who == "right")
                nodes[who].expect_end(1)
            load = Load(front.port, show.golden)
            if who == "right":
                load.expect_whole()
            else:
                load.expect_all_fail(who)
            front.expect_clean_end()
            nodes["left"].expect_end(0)


def two_nodes_cannot_talk(show):
    """The first one hears both, and gives up whom the other has named."""
    for source, target in [("experts", "right"), ("right", "experts")]:
        street = Street()
        with show.cluster(street) as (front, nodes):
            load = show.load(front)
            with street.unheard(source, target):
                wait_until("one is lost",
                           lambda: front.health()[1]["status"] != "ok")
                reason = front.health()[1]["reason"]
                lost = source if f"node {source}" in reason else target
                assert f"node {lost} was lost" in reason, reason
                if lost == "right":
                    load.expect_whole()
                else:
                    load.expect_ends("node ")
                nodes[lost].expect_end(1, "the controller gave up this node")
            front.expect_clean_end()
            for name in set(NODES) - {lost}:
                nodes[name].expect_end(0)


# -- places where UCX would reach nobody ---------------------------------------


class Told(Exception):
    pass


class Apart(Street):
    """A street in which a node listens where nobody can come from the first."""

    def node(self, name, args):
        node = Process(args + ["--listen", "127.0.0.1:0"])
        node.expect_end(1, "only one of them is a loopback address")
        raise Told


def a_node_that_cannot_be_reached_says_why(show):
    with contextlib.suppress(Told):
        with show.cluster(Apart()):
            raise AssertionError("it was reached")
    node = [f"{show.binaries}/troupe", "node", "--join", "10.78.0.9:1",
            "--name", "right", "--cluster-secret-file", show.secret,
            "--listen", "10.78.0.1:0"]
    make = "ip link add spare type veth peer name end; ip link set end up; "
    for begin, words in [
            ("ip addr add 10.78.0.1 dev spare", "is down"),
            ("ip addr add 10.78.0.1 dev spare label spare:0", "has a label"),
            ("ip addr add 10.78.0.1 dev spare; ip link set spare up; "
             "until ip link show spare | grep -q 'state UP'; do sleep 0.01; "
             "done",
             "interface spare, which is not in /sys/class/net")]:
        process = Process(["unshare", "--net", "sh", "-ec",
                           make + begin + '; exec "$@"', "sh"] + node)
        try:
            process.expect_end(1, words)
        finally:
            process.end()


CASES = [links_are_loose_for_a_moment, links_of_nodes_are_down,
         the_link_of_the_front_is_down, one_way_is_cut, two_nodes_cannot_talk,
         a_node_that_cannot_be_reached_says_why]


def way_in():
    """How to get a namespace of our own; none if there is no way."""
    why = "there is no unshare, nsenter or ip"
    if all(map(shutil.which, ["unshare", "nsenter", "ip"])):
        for way in WAYS:
            tried = subprocess.run(
                way + ["sh", "-c", BEGIN + "ip link add one type veth peer "
                       "name two; ip link add street type bridge"],
                capture_output=True, text=True)
            if tried.returncode == 0:
                return way
            why = tried.stderr.strip()
    print(f"skipped, no network namespaces for us: {why}")
    return None


def main():
    if sys.argv[1:] == ["--within"]:
        return run(CASES)
    way = way_in()
    if not way:
        return SKIPPED
    return subprocess.call(way + ["sh", "-c", BEGIN + 'exec "$@"', "sh",
                                  sys.executable, "-B", __file__, "--within"])


if __name__ == "__main__":
    sys.exit(main())
