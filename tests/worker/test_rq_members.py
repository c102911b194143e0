"""What we override and call of RQ takes what it took: a new RQ shows at once what it changed."""

import inspect
from enum import IntEnum
from typing import Any

import pytest
import redis
from rq import Queue, SimpleWorker, Worker, registry, worker_registration
from rq.executions import Execution
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.worker import BaseWorker

from shared.contract.jobs import QueueName
from shared.queue.jobs import MovierecJob, open_queue
from shared.queue.rq_keys import SHARED_KEYS, queue_key
from worker.rq.base import QuietWorker
from worker.rq.failures import RefusingWorker
from worker.rq.maintenance import MaintainingWorker
from worker.rq.serve import ServeWorker
from worker.rq.train import TrainWorker

OURS = (QuietWorker, RefusingWorker, MaintainingWorker, ServeWorker, TrainWorker, MovierecJob)

OVERRIDDEN: dict[type, dict[str, str]] = {
    BaseWorker: {
        "__init__": "",  # we pass named arguments on
        "_install_signal_handlers": "(self)",
        "check_for_suspension": "(self, burst)",
        "clean_registries": "(self)",
        "dequeue_job_and_maintain_ttl": "(self, timeout, max_idle_time=None)",
        "dequeue_timeout": "property",
        "execute_job": "(self, job, queue)",
        "get_heartbeat_ttl": "(self, job, working_time=0.0)",
        "handle_exception": "(self, job, *exc_info)",
        "handle_execution_ended": "(self, job, queue, heartbeat_ttl)",
        "handle_job_failure": (
            "(self, job, queue, started_job_registry=None, exc_string='', execution=None)"
        ),
        "handle_job_success": "(self, job, queue, started_job_registry, execution)",
        "heartbeat": "(self, timeout=None, pipeline=None)",
        "main_work_horse": "(self, job, queue)",
        "prepare_execution": "(self, job)",
        "prepare_job_execution": "(self, job, remove_from_intermediate_queue=False)",
        "run_maintenance_tasks": "(self)",
        "set_state": "(self, state, pipeline=None)",
        "should_run_maintenance_tasks": "property",
        "teardown": "(self)",
        "unsubscribe": "(self)",
    },
    Job: {
        "_execute": "(self)",
        "func": "property",
        "restore": "(self, raw_data)",
    },
}

CALLED: dict[Any, dict[str, str]] = {
    BaseWorker: {
        "cleanup_execution": "(self, job, pipeline, execution=None)",
        "get_state": "(self)",
        "horse_pid": "property",
        "increment_successful_job_count": "(self, pipeline=None)",
        "increment_total_working_time": "(self, job_execution_time, pipeline)",
        "key": "property",
        "push_exc_handler": "(self, handler_func)",
        "serialize": "(self)",
    },
    SimpleWorker: {"execute_job": "(self, job, queue)"},
    Worker: {"execute_job": "(self, job, queue)", "kill_horse": "(self, sig=9)"},
    Job: {
        "_handle_success": (
            "(self, result_ttl, pipeline, worker_name='', execution_id=None, execution_started_at=None,"
            " execution_ended_at=None)"
        ),
        "args": "property",
        "cleanup": "(self, ttl=None, pipeline=None, remove_from_queue=True)",
        "func_name": "property",
        "get_meta": "(self, refresh=True)",
        "get_result_ttl": "(self, default_ttl)",
        "instance": "property",
        "key_for": "(cls, job_id)",
        "kwargs": "property",
        "prepare_for_execution": "(self, worker_name, pipeline)",
        "save_meta": "(self)",
        "should_retry": "property",
    },
    Queue: {
        "dequeue_any": (
            "(cls, queues, timeout, connection, job_class=None, serializer=None, death_penalty_class=None)"
        ),
        "intermediate_queue": "property",
        "intermediate_queue_key": "property",
        "key": "property",
        "registry_cleaning_key": "property",
    },
    Execution: {"create": "(cls, job, ttl, pipeline, worker_name='')"},
    IntermediateQueue: {"cleanup": "(self, worker, queue)"},
    registry: {"clean_registries": "(queue, exception_handlers=None)"},
    worker_registration: {
        "clean_worker_registry": "(queue)",
        "register": "(worker, pipeline=None)",
    },
}

WORKER_ATTRIBUTES = {
    "_exc_handlers",
    "_stop_requested",
    "_stopped_job_id",
    "connection",
    "death_penalty_class",
    "default_result_ttl",
    "executions",
    "job_class",
    "maintenance_interval",
    "name",
    "pubsub_thread",
    "queue_class",
    "queues",
    "serializer",
}

JOB_ATTRIBUTES = {
    "_failure_callback_name",
    "_result",
    "_stopped_callback_name",
    "_success_callback_name",
    "ended_at",
    "failure_ttl",
    "meta",
    "origin",
    "repeats_left",
    "result_ttl",
    "retries_left",
    "started_at",
    "timeout",
    "webhooks",
}

NAMED = [
    (owner, name, expected)
    for table in (OVERRIDDEN, CALLED)
    for owner, members in table.items()
    for name, expected in members.items()
]


def shape(owner: Any, name: str) -> str:
    """Return the parameters of a member and their defaults, without annotations."""
    member = inspect.getattr_static(owner, name)
    if isinstance(member, property):
        return "property"
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    signature = inspect.signature(member)
    parameters = [
        parameter.replace(
            annotation=inspect.Parameter.empty,
            default=int(parameter.default) if isinstance(parameter.default, IntEnum) else parameter.default,
        )
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize(
    ("owner", "name", "expected"), NAMED, ids=[f"{owner.__name__}.{name}" for owner, name, _ in NAMED]
)
def test_a_member_takes_what_it_took(owner: Any, name: str, expected: str) -> None:
    assert hasattr(owner, name)
    if expected:
        assert shape(owner, name) == expected


class Plain:
    """Has nothing but what Python itself puts into a class, which differs from version to version."""

    annotated: int


def test_the_list_names_all_that_we_override() -> None:
    found: dict[type, set[str]] = {BaseWorker: set(), Job: set()}
    for ours in OURS:
        base = Job if ours is MovierecJob else BaseWorker
        inherited = {
            name for theirs in ours.__mro__ if theirs.__module__.startswith("rq.") for name in vars(theirs)
        }
        found[base] |= {name for name in vars(ours) if name in inherited and name not in vars(Plain)}
    assert found == {owner: set(members) for owner, members in OVERRIDDEN.items()}


def test_a_worker_and_a_job_have_the_attributes_that_we_use(redis_client: redis.Redis) -> None:
    worker = SimpleWorker([open_queue(QueueName.SERVE, redis_client)], connection=redis_client)
    job = Job(id="a", connection=redis_client)
    assert {name for name in WORKER_ATTRIBUTES if not hasattr(worker, name)} == set()
    assert {name for name in JOB_ATTRIBUTES if not hasattr(job, name)} == set()


@pytest.mark.parametrize("name", list(QueueName))
def test_keys_are_named_as_rq_names_them(redis_client: redis.Redis, name: QueueName) -> None:
    queue = open_queue(name, redis_client)
    registries = [
        queue.started_job_registry,
        queue.finished_job_registry,
        queue.failed_job_registry,
        queue.deferred_job_registry,
        queue.scheduled_job_registry,
        queue.canceled_job_registry,
    ]
    assert queue.key == queue_key(name)
    assert {queue.key: "list", queue.intermediate_queue_key: "list"}.items() <= SHARED_KEYS.items()
    assert {found.key: "zset" for found in registries}.items() <= SHARED_KEYS.items()
    assert SHARED_KEYS[Queue.redis_queues_keys] == SHARED_KEYS[worker_registration.REDIS_WORKER_KEYS] == "set"
    assert SHARED_KEYS[worker_registration.WORKERS_BY_QUEUE_KEY % name.value] == "set"
