"""RQ's Redis keys that we read or mend ourselves."""

from shared.contract.jobs import QueueName


def queue_key(queue: QueueName) -> str:
    """Return the key of the list of jobs that wait."""
    return f"rq:queue:{queue.value}"


SHARED_KEYS = {
    "rq:queues": "set",
    "rq:workers": "set",
    "rq:suspended": "string",
    **{
        key: redis_type
        for queue in QueueName
        for key, redis_type in {
            queue_key(queue): "list",
            f"{queue_key(queue)}:intermediate": "list",
            f"rq:workers:{queue.value}": "set",
            f"rq:wip:{queue.value}": "zset",
            f"rq:finished:{queue.value}": "zset",
            f"rq:failed:{queue.value}": "zset",
            f"rq:deferred:{queue.value}": "zset",
            f"rq:scheduled:{queue.value}": "zset",
            f"rq:canceled:{queue.value}": "zset",
        }.items()
    },
}
"""Those that all jobs depend on, with their Redis types."""
