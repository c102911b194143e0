"""The stages at which a process may die, and the orders to do so."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.contract import keys
from tests.conftest import PROJECT
from tests.processes import wait_for


@dataclass(frozen=True)
class Stage:
    """A moment in the life of a job.

    Attributes
    ----------
    role : str
        Queue of the worker that is to die there, or ``gateway``.
    when : str
        ``before`` a step, or ``after`` it: then the process dies when it is about to take the next step.
    words : tuple of str
        What must all occur in the step: commands sent to Redis in one go, or ``rename to <path>``.
    where : str
        ``parent``, ``child`` or ``parent child``: which of the processes of a worker takes the step.
    """

    role: str
    when: str
    words: tuple[str, ...]
    where: str = "parent child"


SERVING = {
    "dequeued": Stage("serve", "after", ("LMOVE", "rq:queue:serve")),
    "marked as started": Stage("serve", "after", ("HSET", "rq:job:", "\r\nstarted\r\n")),
    "computed": Stage("serve", "before", ("movierec:user:", "\r\nsuggested\r\n")),
    "written to the cache": Stage("serve", "before", ("PUBLISH", keys.ANSWERS_CHANNEL)),
    "published": Stage("serve", "after", ("PUBLISH", keys.ANSWERS_CHANNEL)),
}
"""The stages of a question, in a serving worker; two are one where cache and queue are the same Redis."""

TRAINING = {
    "training": Stage("train", "after", ("HSET", "rq:job:", '"phase": "training')),
    "renamed": Stage("train", "before", ("rename to ", "/model/current")),
    "published": Stage("train", "after", ("rename to ", "/model/current")),
}
"""The stages of a training, in the trainer's child."""

TRAINER_DEQUEUED = Stage("train", "after", ("LMOVE", "rq:queue:train"))
TRAINER_REGISTERED = Stage("train", "after", ("ZADD", "rq:wip:train"), where="parent")
TRAINER_LOOKS_AROUND = Stage("train", "after", ("\r\nSET\r\n", "rq:clean_registries:train"))
ANSWERS_13 = Stage("serve", "before", ("movierec:user:13\r\n",))


class Orders:
    """Orders to processes, which ``orders/sitecustomize.py`` carries out inside of them.

    Parameters
    ----------
    directory : Path
        Made for the orders.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        self._given = 0
        self.environment = {
            "PYTHONPATH": f"{Path(__file__).parent / 'orders'}:{PROJECT}",
            "MOVIEREC_TEST_ORDERS": str(directory),
        }

    @contextmanager
    def die(self, stage: Stage, *, victim: str = "self", every_time: bool = False) -> Iterator["Death"]:
        """Let the first process that gets there die, or every one, until the context ends."""
        self._given += 1
        name = f"{self._given}"
        order = {
            "role": stage.role,
            "when": stage.when,
            "words": stage.words,
            "where": stage.where,
            "victim": victim,
            "every_time": every_time,
        }
        draft = self._directory / f"{name}.draft"
        draft.write_text(json.dumps(order), encoding="utf-8")
        path = draft.rename(self._directory / f"{name}.order")
        try:
            yield Death(self._directory / f"{name}.deaths")
        finally:
            path.unlink()

    @contextmanager
    def clock(self, pid: int, seconds: float) -> Iterator[None]:
        """Set the clock of a process forward or back by some seconds, and right again at the end."""
        self._write(f"clock-{pid}", seconds)
        try:
            yield
        finally:
            (self._directory / f"clock-{pid}").unlink()

    @contextmanager
    def later(self, pid: int) -> Iterator[Callable[[float], None]]:
        """Let a process believe that time has passed: as much as is said to what this gives."""
        try:
            yield lambda seconds: self._write(f"later-{pid}", seconds)
        finally:
            (self._directory / f"later-{pid}").unlink(missing_ok=True)

    def _write(self, name: str, seconds: float) -> None:
        draft = self._directory / "seconds.draft"
        draft.write_text(str(seconds), encoding="utf-8")
        draft.rename(self._directory / name)

    @contextmanager
    def file_size(self, size: int) -> Iterator[None]:
        """Let no file of a model grow beyond a size in bytes."""
        path = self._directory / "file-size"
        path.write_text(str(size), encoding="utf-8")
        try:
            yield
        finally:
            path.unlink()


class Death:
    """Who died at an order.

    Parameters
    ----------
    path : Path
        Where they leave a note.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def notes(self) -> list[dict[str, Any]]:
        """``pid`` and ``parent`` of each that died, and the ``step`` at which it did."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.split("\n")[:-1]]  # the last may still be written

    def wait(self) -> dict[str, Any]:
        """Return the note of the first one, when there is one."""
        return wait_for(lambda: self.notes, "somebody dies as ordered", 30)[0]
