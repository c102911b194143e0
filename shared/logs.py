"""Log lines, for people or for machines, in every process alike."""

import contextlib
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog

from shared.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Send everything that is logged, also by libraries, to standard error in one form."""
    shared_processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor
    if settings.log_format == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_json)
    else:
        renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else _plain_line
    structlog.configure(
        processors=[*shared_processors, renderer],
        wrapper_class=_never_raising(getattr(logging, settings.log_level)),
        # Straight to the file: by way of the standard library's loggers a line takes three times as long.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.raiseExceptions = False  # the standard library's way to say the same of its handlers
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # They tell of every job and every request; we log our own line for each.
    for name in ("rq.worker", "rq.job", "rq.queue", "httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _never_raising(level: int) -> type:
    """Return a logger's class for which a line that cannot be written or rendered is lost, and no more.

    A full disk or a closed standard error must not end the work that the line was about.
    """
    base: Any = structlog.make_filtering_bound_logger(level)

    class NeverRaising(base):  # type: ignore[misc]  # structlog makes the class at run time
        def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: Any, **kw: Any) -> Any:
            with contextlib.suppress(Exception):
                return super()._proxy_to_logger(method_name, event, *args, **kw)

    return NeverRaising


def _json(event: Mapping[str, Any], **options: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def _plain_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """Return what structlog's renderer for a console would, without colours, in a fifth of the time."""
    timestamp, level, what = (event.pop(name, "") for name in ("timestamp", "level", "event"))
    trace = event.pop("exception", None)
    fields = " ".join(
        f"{name}={value!r}" if isinstance(value, str) and " " in value else f"{name}={value}"
        for name, value in event.items()
        if not name.startswith("_")
    )
    line = f"{timestamp} [{level:<8}] {what:<30} {fields}".rstrip()
    return f"{line}\n{trace}" if trace else line
