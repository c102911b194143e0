"""The contract between benchmarks and the load generator: a load, its order, and the outcome."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, cycle
from typing import Literal, TypeVar

T = TypeVar("T")

HOST = "127.0.0.1"
_DRAWN_AT_ONCE = 1024


@dataclass(frozen=True)
class Load:
    """The requests of a run.

    Attributes
    ----------
    port : int
        Port of the server on loopback.
    paths : list of str
        Paths to request; for Zipf's law, the most popular first.
    seconds : float
        How long requests are sent.
    connections : int
        Number of connections of a closed loop; the limit of an open loop.
    rate : float or None
        Requests a second of an open loop; None for a closed one.
    spacing : {"poisson", "even"}
        Distribution of the requests of an open loop.
    order : {"cycle", "once", "zipf"}
        All paths again and again, each once, or drawn in proportion to ``1 / rank ** exponent``.
    exponent : float
        Exponent of Zipf's law.
    seed : int
        Seed of all random numbers.
    start_at : float or None
        Unix time of the first request; connections are open by then.
    drain_seconds : float
        Longest wait for late answers at the end.
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
    """The answers of a run.

    A closed loop counts answers that came while it lasted, an open loop those that were due while it lasted.

    Attributes
    ----------
    requests : int
        Number of answers.
    seconds : float
        Time in which they came; less than that of the load if each path was requested once.
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
        Size of all heads and bodies.
    connections : int
        Number of connections opened.
    connection_errors : int
        Connections that failed, were lost during a request, or sent a response that is not understood.
    unanswered : int
        Requests without an answer at the end, except those of failed connections.
    late_ms : float
        Delay between when a request was due and when the generator sent it (open loop, 99th percentile).
    elapsed_seconds : float
        Time from the first request to the end, including the wait for late answers.
    cpu_seconds : float
        Processor time of the generator in this time.
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
