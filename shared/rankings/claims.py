"""Claims: which job computes a ranking at this moment, so that no two do.

A gateway claims a question together with queuing its job. The worker settles the claim when the answer is
written, or frees it if there is none. A gateway gives a question up if workers die of it.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import redis.asyncio
from redis.client import Pipeline

from shared.contract import keys
from shared.contract.question import Question
from shared.lua import load_script

AnyPipeline = Pipeline | redis.asyncio.client.Pipeline

CLAIM_TTL = timedelta(seconds=10)
"""Time to live of a claim whose holder dies: twice the usual wait budget."""

SETTLED = b"settled"
"""In place of a job's id in a claim: the answer was written a moment ago."""

SETTLED_TTL = timedelta(seconds=2)
"""Longer than any gateway takes from a look into the cache to its claim."""

GIVEN_UP = b"given-up"
"""In place of a job's id in a claim: workers die of this question, so nobody asks it again for a while."""

GIVEN_UP_TTL = timedelta(minutes=1)

CLAIM_SCRIPT = load_script(__package__, "claim")
_SETTLE_SCRIPT = load_script(__package__, "settle")


def claim_arguments(
    questions: Iterable[Question], job_id: str, commands: Sequence[Sequence[Any]]
) -> tuple[list[str], list[Any]]:
    """Return keys and arguments of :data:`CLAIM_SCRIPT`.

    Parameters
    ----------
    questions : iterable of Question
        To be claimed.
    job_id : str
        Of the job that answers them.
    commands : sequence of sequences
        The Redis commands that queue this job, executed if all claims are ours.
    """
    words = [word for command in commands for word in (len(command), *command)]
    return _keys(questions), [job_id, _milliseconds(CLAIM_TTL), *words]


def take_claims(pipeline: AnyPipeline, questions: Iterable[Question], job_id: str) -> None:
    """Claim questions for a job, even if another one has them."""
    for key in _keys(questions):
        pipeline.set(key, job_id, px=CLAIM_TTL)


def give_up_claims(pipeline: AnyPipeline, questions: Iterable[Question]) -> None:
    """Keep everybody from asking questions again for a while."""
    for key in _keys(questions):
        pipeline.set(key, GIVEN_UP, px=GIVEN_UP_TTL)


def settle_claims(pipeline: AnyPipeline, questions: Iterable[Question]) -> None:
    """Note that the answers were written.

    The note is for a gateway that looked into the cache before that, and claims a question only now.
    """
    if names := _keys(questions):
        pipeline.eval(_SETTLE_SCRIPT, len(names), *names, SETTLED, _milliseconds(SETTLED_TTL))


def free_claims(pipeline: AnyPipeline, questions: Iterable[Question]) -> None:
    """Let anybody ask questions again that have no answer."""
    if names := _keys(questions):
        pipeline.delete(*names)


def _keys(questions: Iterable[Question]) -> list[str]:
    return [keys.claim(*question) for question in questions]


def _milliseconds(time_to_live: timedelta) -> int:
    return round(time_to_live.total_seconds() * 1000)
