"""Prints results on standard output, and progress and errors on standard error."""

import contextlib
import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from shared.progress import Progress, Step

output = Console(highlight=False, soft_wrap=True)
status = Console(stderr=True, highlight=False, soft_wrap=True)

_LINE_INTERVAL_SECONDS = 5.0


def replace_what_cannot_be_shown() -> None:
    """Print a question mark for characters that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def tell(text: str, console: Console = status) -> None:
    """Print, and ignore a full disk or a closed terminal, which must not end a service."""
    with contextlib.suppress(OSError, ValueError):
        console.print(text, markup=False)


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show progress as bars on a terminal, and as occasional lines elsewhere."""
    if not status.is_terminal:
        yield _Lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[metrics]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=status) as bars:
        tasks: dict[str, int] = {}

        def show(step: Step) -> None:
            if step.phase not in tasks:
                for task in tasks.values():
                    bars.stop_task(task)  # type: ignore[arg-type]  # rich's TaskID is an int
                tasks[step.phase] = bars.add_task(step.phase, total=step.total, metrics="")
            bars.update(
                tasks[step.phase],  # type: ignore[arg-type]
                completed=step.done,
                total=step.total,
                metrics=_metrics(step),
            )

        yield show


class _Lines:
    """Prints plain lines: the first and last step of a phase, and one every few seconds."""

    def __init__(self) -> None:
        self._phase = ""
        self._shown = 0.0
        self._started: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if step.done <= self._done.get(step.phase, step.done):  # a new phase, or one that starts again
            self._started[step.phase] = now
        self._done[step.phase] = step.done
        if step.phase != self._phase:
            self._phase = step.phase
        elif now - self._shown < _LINE_INTERVAL_SECONDS and step.done != step.total:
            return
        self._shown = now
        count = f" {step.done:,}/{step.total:,} {step.unit}s" if step.total else ""
        left = ""
        if step.total and 0 < step.done < step.total:
            seconds = (now - self._started[step.phase]) / step.done * (step.total - step.done)
            left = f", {seconds:.0f} s left"
        metrics = _metrics(step)
        status.print(f"{step.phase}{count}{', ' + metrics if metrics else ''}{left}", markup=False)


def _metrics(step: Step) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in step.metrics.items())
