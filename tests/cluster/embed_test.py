#!/usr/bin/env python3
"""What `cmake --install` puts somewhere is enough for a program of one's own:
of a project that says nothing but find_package(troupe), and as examples/embed
has it."""

import os
import shutil
import subprocess
import sys
import tempfile

SOURCE, BINARY = os.environ["SOURCE_DIR"], os.environ["BINARY_DIR"]
PLAIN = """cmake_minimum_required(VERSION 3.25)
project(plain CXX)
find_package(troupe REQUIRED)
add_executable(embed embed_main.cpp)
target_link_libraries(embed PRIVATE troupe::troupe)
"""


def run(*command, **more):
    ended = subprocess.run(command, capture_output=True, text=True,
                           timeout=300, **more)
    if ended.returncode != 0:
        sys.exit(f"{command}: {ended.returncode}\n{ended.stdout[-2000:]}\n"
                 f"{ended.stderr[-3000:]}")
    return ended.stdout


def build(project, prefix, folder):
    run("cmake", "-S", project, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", folder)


def main():
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"{folder}/prefix"
        run("cmake", "--install", BINARY, "--prefix", prefix, "--strip")
        said = run(f"{prefix}/bin/troupe", "--version")
        assert said.strip(), said
        plain = f"{folder}/plain"
        os.mkdir(plain)
        with open(f"{plain}/CMakeLists.txt", "w") as file:
            file.write(PLAIN)
        shutil.copy(f"{SOURCE}/examples/embed/embed_main.cpp", plain)
        build(plain, prefix, f"{plain}/build")
        told = run(f"{plain}/build/embed", f"{SOURCE}/examples/nano/model")
        assert told.strip(), "it answers"
        # The example asks for no more than that.
        run("cmake", "-S", f"{SOURCE}/examples/embed", "-B",
            f"{folder}/embed", f"-DCMAKE_PREFIX_PATH={prefix}")
    print("a program of one's own holds")


main()
