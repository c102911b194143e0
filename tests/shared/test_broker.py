"""Connections to Redis."""

import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from shared.queue.connections import connect_async


@given(
    name=st.sampled_from(["GET", b"EVALSHA", "CLIENT SETINFO", b"CONFIG GET"]),
    arguments=st.lists(st.text() | st.binary() | st.integers() | st.floats()),
)
def test_hiredis_packs_what_redis_py_would(
    name: str | bytes, arguments: list[str | bytes | int | float]
) -> None:
    pool = connect_async("redis://localhost", 1).connection_pool
    assert isinstance(pool, redis.asyncio.BlockingConnectionPool)
    ours, theirs = pool.make_connection(), redis.asyncio.Connection()
    assert type(ours) is not type(theirs)
    command = name, *arguments
    assert b"".join(ours.pack_command(*command)) == b"".join(theirs.pack_command(*command))
