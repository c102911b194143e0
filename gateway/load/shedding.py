"""Rejects questions early when overloaded."""

import asyncio
from collections.abc import Collection
from typing import Protocol

from shared.contract.question import Question

_LOOK_SECONDS = 0.05
_BEHIND_SECONDS = 0.25
_CAUGHT_UP_SECONDS = 0.1

_WORTHWHILE = 0.1
"""Part of the questions that the cache has to answer for the others to be worth the look."""

_SAMPLE = 64
"""While few are worth it, one in so many is looked at, to notice when that changes."""


class Demand(Protocol):
    """How much there is to do, as :class:`gateway.load.admission.Admission` knows it."""

    found_share: float
    """Part of the latest questions that the cache had the answer to."""

    def is_full(self, under_way: int) -> bool:
        """Tell whether the workers have all the questions that they can answer in time."""


class LoadShedder:
    """Rejects questions before they become requests, which costs a tenth of an answer or less.

    That is done in two cases. When the event loop runs late, the process is asked more than its core can
    handle, and would answer everybody, later and later. And when the workers have all they can do: to read
    from Redis that a question would have to be computed, only to refuse it then, takes time from the cores
    that the answers need. Answers from memory are not concerned.

    Parameters
    ----------
    demand : Demand
        How much there is to do.
    under_way : collection of Question
        What is being computed.

    Attributes
    ----------
    behind : bool
        Whether the event loop runs late.
    shed : int
        How many questions were rejected; the reader of this number resets it.
    """

    def __init__(self, demand: Demand, under_way: Collection[Question]) -> None:
        self._demand = demand
        self._under_way = under_way
        self._looked_at = 0
        self.behind = False
        self.shed = 0

    def sheds(self, question: Question) -> bool:
        """Tell whether to reject a question."""
        return self.behind or (self._demand.is_full(len(self._under_way)) and self._is_hopeless(question))

    def _is_hopeless(self, question: Question) -> bool:
        if question in self._under_way or self._demand.found_share >= _WORTHWHILE:
            return False
        self._looked_at += 1
        return self._looked_at % _SAMPLE != 0

    async def watch(self) -> None:
        """Watch for as long as this process lives how late the event loop runs what is due."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            lag = loop.time() - due
            # Two thresholds, so that it does not flicker between them.
            self.behind = lag > (_CAUGHT_UP_SECONDS if self.behind else _BEHIND_SECONDS)
