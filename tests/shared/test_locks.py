"""Locks between real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from shared.errors import BusyError, ServiceError
from shared.processes.locks import ProcessLock
from tests.conftest import PROJECT

_HOLD = """
import sys
from pathlib import Path
from shared.processes.locks import ProcessLock
with ProcessLock(Path(sys.argv[1]), "taken", "advice").held():
    print("held", flush=True)
    sys.stdin.read()
"""

_COUNT = """
import sys
from pathlib import Path
from shared.processes.locks import ProcessLock
lock, counter = ProcessLock(Path(sys.argv[1]), "taken", "advice"), Path(sys.argv[2])
import shared.processes.locks
shared.processes.locks._POLL_SECONDS = 0
for _ in range(200):
    with lock.held(lambda holder: None):
        counter.write_text(str(int(counter.read_text(encoding="ascii")) + 1), encoding="ascii")
"""


def start(program: str, *arguments: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )


@contextmanager
def held_elsewhere(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with start(_HOLD, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


@pytest.fixture
def lock(tmp_path: Path) -> ProcessLock:
    return ProcessLock(tmp_path / "new" / "lock", "Somebody is at it", "Wait.")


def test_who_comes_second_is_told_who_came_first(lock: ProcessLock) -> None:
    with (
        held_elsewhere(lock.path) as process,
        pytest.raises(BusyError, match=rf"^Somebody is at it: pid {process.pid}, since 2.* UTC\. Wait\.$"),
    ):
        lock.acquire()


def test_the_lock_of_a_killed_process_is_free(lock: ProcessLock) -> None:
    with held_elsewhere(lock.path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lock.path.exists()
        with lock.held():
            assert f"pid {os.getpid()}" in lock.holder()
    assert not lock.path.exists()


def test_another_machine_is_named(lock: ProcessLock) -> None:
    with held_elsewhere(lock.path) as process:
        noted = json.loads(lock.path.read_text(encoding="utf-8"))
        assert (noted["pid"], noted["host"]) == (process.pid, socket.gethostname())
        lock.path.write_text(json.dumps(noted | {"host": "elsewhere"}), encoding="utf-8")
        with pytest.raises(BusyError, match=f"pid {process.pid} on elsewhere, since"):
            lock.acquire()


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"pid": null}'])
def test_a_note_that_cannot_be_read_does_no_harm(lock: ProcessLock, content: str) -> None:
    with held_elsewhere(lock.path):
        lock.path.write_text(content, encoding="utf-8")
        with pytest.raises(BusyError, match="another process"):
            lock.acquire()


def test_who_waits_is_told_for_whom_and_gets_it(lock: ProcessLock) -> None:
    told = []
    with held_elsewhere(lock.path) as process:

        def waiting(holder: str) -> None:
            told.append(holder)
            process.kill()

        with lock.held(waiting):
            assert f"pid {os.getpid()}" in lock.holder()
    assert f"pid {process.pid}" in told[0]


def test_a_child_with_the_descriptor_keeps_the_lock(lock: ProcessLock) -> None:
    other = ProcessLock(lock.path, "taken", "advice")
    lock.acquire()
    with subprocess.Popen(["sleep", "60"], pass_fds=[lock.descriptor()]) as child:
        lock.note(child.pid)
        os.close(lock.descriptor())  # what the kernel does when we die
        with pytest.raises(BusyError, match=f"pid {child.pid}"):
            other.acquire()
        child.kill()
    with other.held():
        pass


def test_two_never_have_it_at_once(lock: ProcessLock, tmp_path: Path) -> None:
    """The file comes and goes with the lock, so that two could lock two files of one name."""
    counter = tmp_path / "counter"
    counter.write_text("0", encoding="ascii")
    with ExitStack() as stack:
        processes = [stack.enter_context(start(_COUNT, lock.path, counter)) for _ in range(3)]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert counter.read_text(encoding="ascii") == "600"


def test_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ServiceError, match=r"file/lock cannot be written"):
        ProcessLock(tmp_path / "file" / "lock", "taken", "advice").acquire()
