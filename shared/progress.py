"""How long work tells where it is, without knowing who listens.

A terminal shows a bar, a log file lines, a job its ``progress``; each is a :data:`Progress` callable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """Where a piece of work is.

    Attributes
    ----------
    phase : str
        What is being done, in words a user understands, e.g. ``"training svd"``.
    done, total : int or None
        Units finished and units in all; ``total`` is None when nobody can know.
    unit : str
        Of what, e.g. ``"epoch"`` or ``"rating"``.
    metrics : mapping of str to float
        Figures of this step, e.g. ``{"rmse": 0.87}``.
    """

    phase: str
    done: int
    total: int | None = None
    unit: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Listen to nothing: the default of everything that reports progress."""
