#!/usr/bin/env python3
"""What is written for users and operators is true: every row of README's table
of features works as its command says; deploy/OPERATING.md has each flag and
each metric, and nothing else; dashboard, unit and image name what there is.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.environ.get("SOURCE_DIR", os.path.normpath(f"{HERE}/../.."))
BINARY = os.environ.get("BINARY_DIR", f"{SOURCE}/build/release")
TROUPE = f"{BINARY}/deploy/troupe"
OPERATING = "deploy/OPERATING.md"


def read(path):
    with open(f"{SOURCE}/{path}", encoding="utf-8") as file:
        return file.read()


def section(text, title):
    """What stands between one heading and the next."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text,
                      re.M | re.S)
    assert found, f"there is no section '{title}'"
    return found[1]


def rows(text):
    """The cells of each row of its table, but for the head."""
    lines = [x for x in text.splitlines() if x.startswith("|")][2:]
    return [[cell.strip() for cell in x.strip("|").split(" | ")]
            for x in lines]


def bare(cell):
    return cell.strip().strip("`")


# -- flags ---------------------------------------------------------------------

def flags_of(command):
    """Name -> (what --help says of it, its default or nothing)."""
    text = subprocess.run([TROUPE, command, "--help"], capture_output=True,
                          text=True, check=True).stdout
    out = {}
    for found in re.finditer(r"^  (?:-\w,)?(--[\w-]+)(.*\n(?: {9,}.*\n)*)", text,
                             re.M):
        about = " ".join(found[2].split())
        default = (re.match(r"(?:,--[\w-]+)? ?\S*?=(\S+)", about)
                   or re.search(r"\(default:? ([^),]+)", about)
                   or re.search(r"(\w+) \(the default\)", about))
        out[found[1]] = (about, default[1] if default else None)
    return out


def every_flag_has_a_row():
    text = read(OPERATING)
    for command in ("serve", "node"):
        known = flags_of(command)
        assert len(known) > 10, known
        written = {bare(x[0]): x for x in rows(
            section(text, f"Flags of `troupe {command}`"))}
        for flag, (about, default) in known.items():
            assert flag in written, (
                f"{flag} of 'troupe {command}' is not in {OPERATING}: add a "
                f"row like\n| `{flag}` | {default or 'none'} | {about} |")
            if default:
                assert bare(written[flag][1]) == default, (
                    f"{OPERATING} says that {flag} of 'troupe {command}' is "
                    f"{written[flag][1]} by default; it is {default}")
        for flag in written:
            assert flag in known, (
                f"{OPERATING} has a row for {flag}, which 'troupe {command}' "
                f"does not know (any more)")


def every_limit_has_a_name():
    about, _ = flags_of("serve")["--http-limit"]
    known = set(re.findall(r"[a-z-]+=\d\S*", about))
    assert len(known) > 20, about
    written = set(re.findall(r"`([a-z-]+=\d[^`]*)`", "".join(
        cell for row in rows(section(read(OPERATING), "Limits"))
        for cell in row)))
    assert known == written, (
        f"--http-limit knows {sorted(known - written)}, and {OPERATING} says "
        f"{sorted(written - known)} instead")


# -- metrics -------------------------------------------------------------------

def metrics_of(url):
    """Name -> kind."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def every_metric_has_a_row(url):
    known = metrics_of(url)
    assert len(known) > 20, known
    written = {bare(x[0]): bare(x[1])
               for x in rows(section(read(OPERATING), "Metrics"))}
    for name, kind in known.items():
        assert name in written, (
            f"{name} of /metrics is not in {OPERATING}: add a row like\n"
            f"| `{name}` | {kind} | what to make of it |")
        assert written[name] == kind, (
            f"{OPERATING} says that {name} is a {written[name]}; it is a {kind}")
    for name in written:
        assert name in known, (f"{OPERATING} has a row for {name}, which "
                               f"/metrics does not have (any more)")
    for name in set(re.findall(r"troupe_[a-z_]+[a-z]", read(OPERATING))):
        assert name in known, f"{OPERATING} speaks of {name}; there is none"


def the_dashboard_asks_for_what_there_is(url):
    known = metrics_of(url)
    board = json.loads(read("deploy/grafana.json"))
    asked = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"troupe_\w+", target["expr"]))
    for name in asked:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        is_part = known.get(base) == "histogram"
        assert name in known or is_part, (
            f"deploy/grafana.json asks for {name}, which /metrics does not have")
    shown = {re.sub(r"_bucket$", "", x) for x in asked}
    for name in known:
        # Counted once more elsewhere, or of interest to nobody all day long.
        if name in ("troupe_requests_accepted_total",
                    "troupe_http_connections_total"):
            continue
        assert name in shown, (f"deploy/grafana.json shows nothing of {name}: "
                               f"add it to a panel")


# -- files for operators -------------------------------------------------------

def flags_in(text):
    return set(re.findall(r"(?<= )--[a-z][\w-]*", text))


def unit_and_image_name_flags_that_there_are():
    known = set(flags_of("serve"))
    unit = read("deploy/troupe.service")
    start = re.search(r"^ExecStart=(.*)$", unit, re.M)[1]
    used = flags_in(start)
    assert used and used <= known, used - known
    assert "DynamicUser=yes" in unit and "NoNewPrivileges=yes" in unit
    drain = int(re.search(r"--drain-timeout (\d+)", start)[1])
    stop = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)[1])
    assert stop > drain + 5, "systemd would kill what still drains"

    image = read("deploy/Containerfile")
    entry = json.loads(re.search(r"^ENTRYPOINT (\[.*\])$",
                                 image.replace("\\\n", ""), re.M)[1])
    assert entry[1:] == ["serve", "/model"], "flags here could not be given again"
    env = set(re.findall(r"\bTROUPE_(\w+)=", image))
    used = {"--" + x.lower().replace("_", "-") for x in env}
    assert "--host" in used and used <= known, used - known
    user = re.findall(r"^USER (\S+)$", image, re.M)[-1]
    assert user.split(":")[0] not in ("0", "root"), user
    assert image.rindex("USER") > image.rindex("RUN"), "root would stay"
    assert not re.search(r"^(ENV|ARG) .*KEY", image, re.M), "a secret in an image"


def a_keys_file_as_the_image_says_is_read():
    """Its mode is the one that is refused otherwise."""
    mode = int(re.search(r"--secret keys,\S*mode=(\d+)",
                         read("deploy/Containerfile"))[1], 8)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/keys"
        with open(path, "w") as file:
            file.write("secret\n")
        for given, is_read in ((mode, True), (0o444, False)):
            os.chmod(path, given)
            done = subprocess.run(
                [TROUPE, "serve", f"{folder}/no-model", "--port", "0",
                 "--api-key-file", path], capture_output=True, text=True,
                timeout=60)
            refused = "holds a secret and is open to others" in done.stderr
            assert refused != is_read, f"{given:o}: {done.stderr}"


def images_are_built_from_sources_alone():
    ignored = read(".gitignore").splitlines()
    left_out = read(".dockerignore").splitlines()
    for x in ignored:
        assert {x, f"**/{x}"} & set(left_out), (
            f"git ignores {x}, and .dockerignore does not: an image would be "
            f"built with what was built here")


def an_image_is_built_as_everything_else_is():
    """Its first stage, without an engine: what it runs and copies is there."""
    image = read("deploy/Containerfile").replace("\\\n", " ")
    first, last = re.split(r"^FROM ", image, flags=re.M)[1:]
    base = re.match(r"\S*?(\w+):(\d+) AS build\n", first)
    assert f'"{base[1]} {base[2]}"' in read("deploy/install"), (
        "deploy/install does not take the image's base")
    assert re.search(r"^COPY \. \.$", first, re.M), "the sources"
    run = re.search(r"^RUN (.*)$", first, re.M)[1].split("&&")
    for command in run[:-1]:
        assert os.access(f"{SOURCE}/{command.split()[0]}", os.X_OK), command
    assert run[0].split() == ["deploy/install"], run
    preset, *targets = run[1].split()[1:]
    presets = json.loads(read("CMakePresets.json"))["configurePresets"]
    folder, = (x["binaryDir"] for x in presets if x["name"] == preset)
    folder = folder.replace("${sourceDir}/", "")
    assert targets == ["troupe"], targets
    built = f"{folder}/deploy/troupe"
    assert run[-1].split() == ["strip", built], run
    place = re.search(r"^WORKDIR (\S+)$", first, re.M)[1]
    taken = re.search(r"^COPY --from=build (\S+) (\S+)$", last, re.M)
    assert taken[1] == f"{place}/{built}", taken[0]
    assert f'ENTRYPOINT ["{taken[2]}",' in last, taken[0]


def packages_of(files):
    out = set()
    for x in files:
        for path in (x, f"/usr{x}"):
            found = subprocess.run(["dpkg", "-S", path], capture_output=True,
                                   text=True)
            if found.returncode == 0:
                out.add(found.stdout.split(":")[0])
                break
        else:
            raise AssertionError(f"{x} is in no package")
    return out


def the_image_has_the_libraries_of_the_program():
    """Those that it names itself; their packages bring what they need."""
    if not shutil.which("dpkg") or not shutil.which("readelf"):
        print("dpkg or readelf are not here: the image was not looked at")
        return
    image = read("deploy/Containerfile").replace("\\\n", " ")
    listed = set(re.search(r"--no-install-recommends (.*?)&&", image)[1].split())
    ldd = subprocess.run(["ldd", TROUPE], capture_output=True, text=True,
                         check=True).stdout
    places = dict(re.findall(r"^\s*(\S+) => (/\S+)", ldd, re.M))
    header = subprocess.run(["readelf", "-d", TROUPE], capture_output=True,
                            text=True, check=True).stdout
    named = [x for x in re.findall(r"NEEDED.*\[(.*)\]", header) if x in places]
    assert len(named) > 5, header
    everywhere = {"libc6", "libgcc-s1", "libstdc++6"}
    is_ours = re.compile(r"(?!lib(a|t|ub)san)").match  # of sanitized builds
    wanted = {x for x in packages_of(places[y] for y in named)
              if is_ours(x)} - everywhere
    assert wanted <= listed, f"the image lacks {wanted - listed}"
    used = packages_of(places.values())
    assert listed <= used, f"nothing needs {listed - used}"


def systemd_takes_the_unit():
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not here: the unit was not verified")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/troupe.service"
        with open(path, "w") as file:
            file.write(read("deploy/troupe.service").replace(
                "/usr/local/bin/troupe", os.path.realpath(TROUPE)))
        done = subprocess.run(["systemd-analyze", "verify", path],
                              capture_output=True, text=True)
        complaints = [x for x in done.stderr.splitlines()
                      if "troupe.service" in x]
        assert not complaints, done.stderr


# -- README --------------------------------------------------------------------

def every_feature_is_there(url):
    table = rows(section(read("README.md"), "What it can do"))
    assert len(table) >= 20, "README's table of features was not found"
    env = {**os.environ, "PATH": f"{BINARY}/deploy:{os.environ['PATH']}"}
    wrong = []
    for feature, command, has in table:
        line = bare(command).replace("http://127.0.0.1:8000", url)
        done = subprocess.run(["sh", "-c", line], cwd=SOURCE, env=env,
                              capture_output=True, text=True, timeout=120)
        wanted = bare(has)
        if done.returncode != 0 or wanted not in done.stdout:
            wrong.append(f"README, '{feature}': exit status "
                         f"{done.returncode}, no {has} in\n{done.stdout[-600:]}"
                         f"{done.stderr[-600:]}")
    print(f"{len(table)} features")
    assert not wrong, "\n".join(wrong)


def a_thought_is_printed_with_its_beginning():
    out = subprocess.run(
        [TROUPE, "generate", f"{SOURCE}/examples/nano/model", "--chat", "-p",
         "What is the capital of France?", "--temperature", "0"],
        capture_output=True, text=True, check=True, timeout=120).stdout
    assert out.startswith("<think>\n") and out.count("</think>") == 1, out


def with_server(*checks):
    server = subprocess.Popen(
        [TROUPE, "serve", f"{SOURCE}/examples/nano/model", "--port", "0",
         "--served-model-name", "nano", "--threads", "1"],
        stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.match(r"ready at (\S+):", line):
                break
        else:
            raise AssertionError("".join(said))
        # Some are there only once something was counted.
        body = json.dumps({"model": "nano", "prompt": "x", "max_tokens": 2})
        urllib.request.urlopen(urllib.request.Request(
            f"{found[1]}/v1/completions", body.encode(),
            {"Content-Type": "application/json"}), timeout=60).read()
        return [check for check in checks if not passes(check, found[1])]
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def passes(check, *args):
    try:
        check(*args)
        return True
    except AssertionError as error:
        print(f"{check.__name__.replace('_', ' ')}: {error}")
        return False


def main():
    failed = [check for check in (every_flag_has_a_row,
                                  every_limit_has_a_name,
                                  unit_and_image_name_flags_that_there_are,
                                  a_keys_file_as_the_image_says_is_read,
                                  images_are_built_from_sources_alone,
                                  an_image_is_built_as_everything_else_is,
                                  the_image_has_the_libraries_of_the_program,
                                  a_thought_is_printed_with_its_beginning,
                                  systemd_takes_the_unit) if not passes(check)]
    failed += with_server(every_metric_has_a_row,
                          the_dashboard_asks_for_what_there_is,
                          every_feature_is_there)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
