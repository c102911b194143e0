"""What the bench and its load generator promise each other: a load, its order, and what came back."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, cycle
from typing import Literal, TypeVar

T = TypeVar("T")

_DRAWN_AT_ONCE = 1024


@dataclass(frozen=True)
class Load:
    """What to ask.

    Attributes
    ----------
    port : int
        On loopback.
    paths : list of str
        What is asked; for Zipf's law, the most wanted first.
    seconds : float
        How long requests are sent.
    connections : int
        Of a closed loop; the most that an open one opens.
    rate : float or None
        Requests a second of an open loop; None for a closed one.
    spacing : {"poisson", "even"}
        Of the requests of an open loop.
    order : {"cycle", "once", "zipf"}
        All paths again and again, each once, or drawn in proportion to ``1 / rank ** exponent``.
    exponent : float
        Of Zipf's law.
    seed : int
        Of all that is drawn.
    start_at : float or None
        Unix time of the first request, for which the connections are open by then.
    drain_seconds : float
        How long answers are waited for at the end.
    """

    port: int
    paths: list[str]
    seconds: float
    connections: int = 32
    rate: float | None = None
    spacing: Literal["poisson", "even"] = "poisson"
    order: Literal["cycle", "once", "zipf"] = "cycle"
    exponent: float = 1.0
    seed: int = 0
    start_at: float | None = None
    drain_seconds: float = 10.0


@dataclass(frozen=True)
class Outcome:
    """What came back.

    A closed loop counts what was answered while it lasted, an open one all that was due while it lasted.

    Attributes
    ----------
    requests : int
        Answers.
    seconds : float
        Time in which they came; less than asked for if all paths were asked once.
    statuses : dict of str to int
        Answers of each status.
    latency_ms : dict of str to float
        ``p50``, ``p90``, ``p99`` and ``max``; empty without answers.
    since_sent_ms : dict of str to float
        The same from when a request was sent: the difference is what it waited for a free connection.
    slowest_ms : dict of str to float
        Slowest answer of each status.
    cache : dict of str to int
        Answers of each ``X-Cache``.
    versions : list of str
        Different values of ``X-Model-Version``.
    ok_per_second : list of int
        Answers with 200 in each second.
    bytes_received : int
        Heads and bodies.
    connections : int
        That were opened.
    connection_errors : int
        Connections that failed, were lost with a request under way, or said what is not understood.
    unanswered : int
        Requests without an answer at the end, those of failed connections not among them.
    late_ms : float
        By how much the generator itself sent later than due (open loop, 99th percentile).
    elapsed_seconds : float
        From the first request to the end, with the time that was waited for late answers.
    cpu_seconds : float
        That the generator used in this time.
    """

    requests: int
    seconds: float
    statuses: dict[str, int]
    latency_ms: dict[str, float]
    since_sent_ms: dict[str, float] = field(default_factory=dict)
    slowest_ms: dict[str, float] = field(default_factory=dict)
    cache: dict[str, int] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    ok_per_second: list[int] = field(default_factory=list)
    bytes_received: int = 0
    connections: int = 0
    connection_errors: int = 0
    unanswered: int = 0
    late_ms: float = 0.0
    elapsed_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def ok_rate(self) -> float:
        """Answers with 200 a second."""
        return self.statuses.get("200", 0) / self.seconds if self.seconds else 0.0


def zipf(n: int, exponent: float, seed: int) -> Iterator[int]:
    """Draw from ``range(n)`` without end, number ``i`` in proportion to ``1 / (i + 1) ** exponent``."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, n + 1)))
    rng = random.Random(seed)
    while True:
        yield from rng.choices(range(n), cum_weights=weights, k=_DRAWN_AT_ONCE)


def ordered(things: Sequence[T], load: Load) -> Iterator[T]:
    """Yield things, one for each path of a load, in the order in which the paths are asked."""
    if load.order == "zipf":
        return (things[i] for i in zipf(len(things), load.exponent, load.seed))
    return iter(things) if load.order == "once" else cycle(things)


def percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """Return ``p50``, ``p90``, ``p99`` and ``max``, in the unit of the latencies; empty without any."""
    values = sorted(latencies)
    if not values:
        return {}
    ranks = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: values[math.ceil(part * len(values)) - 1] for name, part in ranks.items()}
