"""``make profile``: a flame graph of a running gateway or worker, or of a command, by py-spy."""

import argparse
import shlex
import subprocess
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).parent.parent
SUFFIXES = {"flamegraph": ".svg", "speedscope": ".speedscope.json", "raw": ".txt"}

_RIGHTS = """
py-spy reads the memory of a process, which takes the right to trace it (ptrace). One of these gives it:
  sudo make profile ...                              as root
  sudo sysctl kernel.yama.ptrace_scope=0             for all of your own processes, until the next boot
  docker run --cap-add SYS_PTRACE ...                in a container
  make profile COMMAND="movierec ..."                none is needed for what py-spy starts itself
"""


def find_processes(name: str) -> dict[int, str]:
    """Return the running gateways or workers with their command lines, the oldest first."""
    found = {}
    for path in sorted(Path("/proc").glob("[0-9]*/cmdline"), key=lambda path: int(path.parent.name)):
        try:
            words = path.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:  # it has ended
            continue
        if is_ours(words, name):
            found[int(path.parent.name)] = shlex.join(words)
    return found


def is_ours(words: list[str], name: str) -> bool:
    """Tell whether a command line runs this command of ``movierec``, by this environment's Python."""
    if words[0] != sys.executable:
        return False
    return any(
        (word == "cli.main" or Path(word).name == "movierec") and words[place + 1 : place + 2] == [name]
        for place, word in enumerate(words)
    )


def main() -> int:
    """Profile; return the exit code."""
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__)
    parser.add_argument("--pid", type=int, help="process to look at")
    parser.add_argument("--name", choices=["gateway", "worker"], help="look at the first of these")
    parser.add_argument("--duration", type=int, default=30, help="seconds; a command is watched to its end")
    parser.add_argument("--format", choices=sorted(SUFFIXES), default="flamegraph")
    parser.add_argument("command", nargs="*", help="command to run and look at")
    options = parser.parse_args()
    if [bool(options.pid), bool(options.name), bool(options.command)].count(True) != 1:
        parser.error("say one of NAME=gateway, NAME=worker, PID=n and COMMAND='movierec ...'")

    name, pid = options.name or "process", options.pid
    if options.name:
        found = find_processes(options.name)
        if not found:
            parser.error(f"no {options.name} runs here; start one with make up or make dev")
        pid = next(iter(found))
        for other, command in found.items():
            print("->" if other == pid else "  ", other, command, file=sys.stderr)
    scripts = Path(sysconfig.get_path("scripts"))
    if options.command:
        program = scripts / options.command[0]
        target = ["--", str(program) if program.exists() else options.command[0], *options.command[1:]]
        name = Path(options.command[0]).name
    else:
        target = ["--duration", str(options.duration), "--pid", str(pid)]

    now = datetime.now(UTC)
    output = PROJECT / "data" / "profiles" / f"{name}-{now:%Y%m%dT%H%M%SZ}{SUFFIXES[options.format]}"
    output.parent.mkdir(parents=True, exist_ok=True)
    record = [str(scripts / "py-spy"), "record", "--format", options.format, "--output", str(output)]
    code = subprocess.run([*record, *target], check=False).returncode
    if code != 0 and not output.exists():
        print(_RIGHTS, file=sys.stderr)
        return code
    print(f"Written to {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
