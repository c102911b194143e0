"""Listens to the workers: what they answered, what changed, which of them come and go."""

import asyncio
import time
from collections.abc import Callable

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway.background_tasks import TaskSet
from gateway.http.problems import ComputationFailed
from gateway.load.workers import Workers
from gateway.rankings.claims import Collect
from gateway.rankings.kinds import ANSWERS
from gateway.rankings.pending import PendingQuestions
from shared.contract import keys
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question

log = structlog.get_logger(__name__)

_RECONNECT_DELAY_SECONDS = 0.5
_SILENCE_SECONDS = 1.0
"""Pause after which the connection for news is asked whether it lives; after twice that it is renewed."""


class NewsListener:
    """Listens to the workers, on one connection after the other.

    Parameters
    ----------
    queue : redis.asyncio.Redis
        Of the channels.
    pending : PendingQuestions
        What is waited for.
    workers : Workers
        Looks again when one comes, goes or switches to another model.
    collect : Collect
        Hands out what was written.
    forget : callable
        Told what has changed, and None when anything may have.
    tasks : TaskSet
        Runs what must not keep the next message waiting.

    Attributes
    ----------
    listening : asyncio.Event
        Set as soon as nothing that is published can be missed.
    """

    def __init__(
        self,
        queue: redis.asyncio.Redis,
        pending: PendingQuestions,
        workers: Workers,
        collect: Collect,
        forget: Callable[[News | None], None],
        tasks: TaskSet,
    ) -> None:
        self._queue = queue
        self._pending = pending
        self._workers = workers
        self._collect = collect
        self._forget = forget
        self._tasks = tasks
        self.listening = asyncio.Event()

    async def listen(self) -> None:
        """Hear the news for as long as this process lives."""
        while True:
            try:
                async with self._queue.pubsub() as pubsub:
                    await pubsub.subscribe(keys.ANSWERS_CHANNEL, keys.WORKERS_CHANNEL)
                    await self._hear(pubsub)
            except (RedisError, OSError) as error:
                log.warning("no news from the workers", reason=str(error))
            await asyncio.sleep(_RECONNECT_DELAY_SECONDS)

    async def _hear(self, pubsub: redis.asyncio.client.PubSub) -> None:
        last_heard = time.monotonic()
        while True:
            message = await pubsub.get_message(timeout=_SILENCE_SECONDS)
            now = time.monotonic()
            if message is None:
                if now - last_heard > 2 * _SILENCE_SECONDS:
                    raise redis.ConnectionError("the connection for news is silent")
                await pubsub.ping()
                continue
            last_heard = now
            if message["type"] == "subscribe" and message["channel"] == keys.ANSWERS_CHANNEL.encode():
                # Also when redis-py has renewed a lost connection, of which it says nothing else.
                await self._make_up()
            if message["type"] != "message":
                continue
            if message["channel"] == keys.WORKERS_CHANNEL.encode():
                self._tasks.spawn(self._workers.look())
            elif (news := News.from_text(message["data"].decode(errors="replace"))) is not None:
                self._handle(news)

    async def _make_up(self) -> None:
        """Make up for the news that were missed before the channel was heard."""
        self._forget(None)
        self.listening.set()
        await self._collect(list(self._pending), just_written=False)

    def _handle(self, news: News) -> None:
        if news.event is RankingEvent.CHANGED:
            self._forget(news)
            return
        awaited = [question for question in news.questions if question in self._pending]
        if news.event is RankingEvent.WRITTEN:
            # Beside what else is heard: under load the few turns of a round trip are long, and one batch
            # after the other would be slower than the workers.
            self._tasks.spawn(self._fetch(awaited))
            return
        unknown = news.event is RankingEvent.UNKNOWN
        for question in awaited:
            self._pending.resolve(
                self._pending[question],
                ANSWERS[question.kind].about.unknown(question.subject)
                if unknown
                else ComputationFailed("A worker could not compute this; its log says why."),
            )

    async def _fetch(self, questions: list[Question]) -> None:
        try:
            await self._collect(questions, just_written=True)
        except (RedisError, OSError) as error:  # they will be found to be lost, and looked for again
            log.warning("answers could not be read", reason=str(error), questions=len(questions))
        except Exception:
            log.exception("answers could not be read", questions=len(questions))
