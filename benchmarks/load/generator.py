"""Makes load from a process of its own: wrk where it suffices, else :mod:`benchmarks.load`."""

import contextlib
import json
import resource
import shutil
import subprocess
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load.contract import HOST, Load, Outcome, ordered
from shared.errors import ServiceError
from shared.processes.children import python_command
from shared.processes.parent import die_with_parent

_START_SECONDS = 30.0
_DRAWN_FOR_WRK = 100_000
"""Paths of a drawn order that wrk repeats: more than it asks in most runs."""

_WRK_SCRIPT = """
local requests, n, at = {}, 0, 0
function init(args)
  local formatted = {}
  for path in io.lines("paths") do
    formatted[path] = formatted[path] or wrk.format("GET", path)
    n = n + 1
    requests[n] = formatted[path]
  end
end
function request()
  at = at % n + 1
  return requests[at]
end
function done(summary, latency, all)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"microseconds":%d,"bytes":%d,"bad":%d,"errors":%d,'
    .. '"p50":%f,"p90":%f,"p99":%f,"max":%f}\\n',
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
"""


class LoadProcess:
    """A load generator that runs.

    Parameters
    ----------
    load : Load
        Its load; it begins at once.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self.process = subprocess.Popen(
            python_command("benchmarks.load"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its exit says more
            self.process.stdin.write(json.dumps(asdict(load)).encode())
            self.process.stdin.close()
        self.process.stdin = None

    def outcome(self) -> Outcome:
        """Wait for the end.

        Raises
        ------
        ServiceError
            If it failed or did not end in time.
        """
        delay = max(0.0, (self._load.start_at or 0.0) - time.time())
        seconds = delay + self._load.seconds + self._load.drain_seconds + _START_SECONDS
        try:
            output, errors = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise ServiceError(f"The load generator did not end within {seconds:.0f} s.") from None
        finally:
            self.stop()
        if self.process.returncode:
            raise ServiceError(f"The load generator failed:\n{errors.decode(errors='replace')[-2000:]}")
        return Outcome(**json.loads(output))

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def run_load(load: Load) -> Outcome:
    """Make load in a process of its own and return the outcome.

    Raises
    ------
    ServiceError
        If the generator failed.
    """
    return LoadProcess(load).outcome()


def find_wrk() -> str | None:
    """Return the path of wrk, None if it is not installed."""
    return shutil.which("wrk")


def run_hits(load: Load) -> Outcome:
    """Do the same as :func:`run_load`, with wrk if it is installed: it takes a third of the processor time.

    wrk ignores headers and distinguishes only good and bad statuses, which is enough for hits.

    Raises
    ------
    ServiceError
        If the generator failed.
    """
    wrk = find_wrk()
    return run_load(load) if wrk is None else _run_wrk(wrk, load)


def _run_wrk(wrk: str, load: Load) -> Outcome:
    n = len(load.paths) if load.order == "cycle" else _DRAWN_FOR_WRK
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory() as directory:
        paths = islice(ordered(load.paths, load), n)
        (Path(directory) / "paths").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        (Path(directory) / "load.lua").write_text(_WRK_SCRIPT, encoding="utf-8")
        options = [f"-c{load.connections}", f"-d{load.seconds:.0f}s", "-t1", "--timeout", "10s"]
        process = subprocess.Popen(
            [wrk, *options, "-s", "load.lua", f"http://{HOST}:{load.port}"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        try:
            _, output = process.communicate(timeout=load.seconds + _START_SECONDS)
        except subprocess.TimeoutExpired:
            raise ServiceError("wrk did not end in time.") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        found = json.loads(output.decode().splitlines()[-1])
    except (ValueError, IndexError):
        raise ServiceError(f"wrk failed: {output.decode(errors='replace')[-2000:]}") from None
    statuses = {"200": found["requests"] - found["bad"], "400 and above": found["bad"]}
    return Outcome(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        statuses={status: count for status, count in statuses.items() if count},
        latency_ms={name: found[name] / 1000 for name in ("p50", "p90", "p99", "max")},
        bytes_received=found["bytes"],
        connections=load.connections,
        connection_errors=found["errors"],
        elapsed_seconds=found["microseconds"] / 1e6,
        cpu_seconds=(after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime),
    )
