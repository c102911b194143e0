"""The load generator as a process."""

import gc
import json
import resource
import sys
from dataclasses import asdict

import uvloop

from benchmarks.load.contract import Load
from benchmarks.load.loops import generate


def main() -> None:
    """Read a load from standard input, make it, and write the outcome to standard output."""
    load = Load(**json.load(sys.stdin))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # its pauses would count as the server's, and we do not live long
    json.dump(asdict(uvloop.run(generate(load))), sys.stdout)


if __name__ == "__main__":
    main()
