"""Computes rankings before somebody asks for them."""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import redis
from sqlalchemy import Engine
from threadpoolctl import threadpool_limits

from shared.artifacts.store import ArtifactStore
from shared.contract import keys
from shared.contract.kinds import RULES, Kind
from shared.contract.question import Question
from shared.database import queries
from shared.database.engine import open_database
from shared.errors import ArtifactError, ServiceError
from shared.progress import Progress, Step, silent
from shared.queue.connections import connect
from shared.settings import WorkerSettings
from worker.rankings import compute_rankings, stale
from worker.serving import Serving

BATCH = 256
"""Users whose scores are one matrix product; more gain nothing, and 256 users of ML-20M take 28 MB."""

_NICENESS = 15


class Scope(StrEnum):
    """Which rankings of a kind are warmed."""

    ALL = "all"
    ACTIVE = "active"
    """Those that were asked for, see :data:`shared.contract.keys.ASKED`."""
    NONE = "none"


@dataclass(frozen=True)
class Warmed:
    """What was done for one kind.

    Attributes
    ----------
    computed, fresh : int
        Rankings that were computed, and that were in the cache already.
    seconds : float
        What it took.
    """

    computed: int = 0
    fresh: int = 0
    seconds: float = 0.0


def asked_for(queue: redis.Redis, kind: Kind) -> list[int]:
    """Return the users or movies that were asked for in the last weeks, the most popular first."""
    members: list[bytes] = queue.zrevrange(keys.ASKED, 0, -1)  # type: ignore[assignment]  # no scores asked for
    questions = filter(None, map(keys.parse_asked, members))
    return [question.subject for question in questions if question.kind is kind]


def everything(engine: Engine, kind: Kind) -> list[int]:
    """Return all users with ratings, or all movies."""
    with engine.connect() as connection:
        if RULES[kind].owner == "user":
            return list(queries.all_users(connection))
        return [movie.movie_id for movie in queries.all_movies(connection)]


def warm(
    serving: Serving,
    cache: redis.Redis,
    kind: Kind,
    ids: Sequence[int],
    *,
    threads: int = 1,
    progress: Progress = silent,
) -> Warmed:
    """Compute what is not in the cache or not fresh, in large batches.

    Each batch is written when it is done, so that a run that was interrupted goes on where it was. A model
    that is published meanwhile is used from the next batch on.

    Parameters
    ----------
    serving : Serving
        With a model.
    cache : redis.Redis
        Of the rankings.
    kind : Kind
        Kind of the rankings.
    ids : sequence of int
        Users or movies.
    threads : int
        Batches at the same time.
    progress : callable
        Told after each batch.
    """

    def compute(batch: Sequence[int]) -> tuple[int, int]:
        serving.refresh()
        wanted = stale(serving, cache, [Question(kind, subject) for subject in batch])
        return len(batch) - len(wanted), len(compute_rankings(serving, cache, wanted))

    began = time.perf_counter()
    unit = RULES[kind].owner
    phase = f"warming {unit}s"
    done = computed = fresh = 0
    progress(Step(phase, 0, len(ids), unit))
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    pool = ThreadPoolExecutor(threads)
    try:
        for batch, (still_fresh, n) in zip(batches, pool.map(compute, batches), strict=True):
            done, computed, fresh = done + len(batch), computed + n, fresh + still_fresh
            progress(Step(phase, done, len(ids), unit))
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt, wait only for what is being computed
    return Warmed(computed, fresh, time.perf_counter() - began)


def run_warming(
    settings: WorkerSettings,
    *,
    users: Scope,
    movies: Scope,
    threads: int | None = None,
    progress: Progress = silent,
) -> str:
    """Warm the cache of the service that runs, in this process.

    Parameters
    ----------
    settings : WorkerSettings
        Where everything is.
    users, movies : Scope
        Which suggestions, and which similar movies.
    threads : int, optional
        To compute with; one a core if not given.
    progress : callable
        Told after each batch.

    Returns
    -------
    str
        What was done, for people.

    Raises
    ------
    ArtifactError
        If there is no model.
    ServiceError
        If database or Redis cannot be used.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)  # questions of users come first
    engine = open_database(settings.database)
    scopes = {kind: users if rule.owner == "user" else movies for kind, rule in RULES.items()}
    try:
        serving = Serving(ArtifactStore(settings.models), engine)
        serving.refresh()
        if serving.version is None:
            raise ArtifactError(f"There is no model in {settings.models}; train one: movierec train.")
        with (
            # Threads of our own, one batch each: those of the matrix library were started before this process
            # became polite, and wait for each other in loops, which halves the speed of a busy machine.
            threadpool_limits(1),
            connect(settings.cache) as cache,
            connect(settings.queue) as queue,
        ):
            wanted = {
                kind: asked_for(queue, kind) if scope is Scope.ACTIVE else everything(engine, kind)
                for kind, scope in scopes.items()
                if scope is not Scope.NONE
            }
            if not any(wanted.values()):
                return "Nothing was asked yet; use --users all."
            threads = threads or os.cpu_count() or 1
            return _report(
                {
                    kind: warm(serving, cache, kind, ids, threads=threads, progress=progress)
                    for kind, ids in wanted.items()
                }
            )
    except redis.RedisError as error:
        raise ServiceError(
            f"Redis does not answer any more: {error}. Run this again; it goes on where it was."
        ) from None
    finally:
        engine.dispose()


def _report(done: Mapping[Kind, Warmed]) -> str:
    computed = " and ".join(_count(part.computed, kind) for kind, part in done.items())
    fresh = " and ".join(_count(part.fresh, kind) for kind, part in done.items())
    seconds = sum(part.seconds for part in done.values())
    users = done.get(Kind.SUGGESTED, Warmed())
    rate = f" ({users.computed / users.seconds:,.0f} users/s)" if users.computed else ""
    return f"Computed {computed} in {seconds:.1f} s{rate}; {fresh} already fresh."


def _count(n: int, kind: Kind) -> str:
    return f"{n:,} {RULES[kind].owner}{'' if n == 1 else 's'}"
