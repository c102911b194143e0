"""Logging, in the same form in every process."""

import contextlib
import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog

from shared.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Write all log lines, including those of libraries, to standard error in one form."""
    shared_processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderers: list[structlog.types.Processor]
    if settings.log_format == "json":
        renderers = [structlog.processors.JSONRenderer(serializer=_json)]
    else:
        renderers = [_escape, structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else _plain_line]
    structlog.configure(
        processors=[*shared_processors, *renderers],
        wrapper_class=_never_raising(getattr(logging, settings.log_level)),
        # Directly to the file: through the standard library's loggers, a line takes three times as long.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.raiseExceptions = False  # likewise, the standard library's handlers must not raise
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # They log every job and every request, for which there are lines of our own.
    for name in ("rq.worker", "rq.job", "rq.queue", "httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _never_raising(level: int) -> type:
    """Return a logger class that drops lines that cannot be rendered or written, instead of raising.

    A full disk or a closed standard error must not end the work that logs.
    """
    base: Any = structlog.make_filtering_bound_logger(level)

    class NeverRaising(base):  # type: ignore[misc]  # structlog creates the class at run time
        def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: Any, **kw: Any) -> Any:
            with contextlib.suppress(Exception):
                return super()._proxy_to_logger(method_name, event, *args, **kw)

    return NeverRaising


def _json(event: Mapping[str, Any], **options: Any) -> str:
    try:
        line = orjson.dumps(event, default=str).decode()
    except TypeError:  # an unpaired surrogate, as in a file name that is not UTF-8
        return json.dumps(event, default=str)
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in line)


def _escape(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape characters that are not printable, since much of what is logged was sent by strangers.

    These are control characters, line ends, and characters that change the direction of writing, which a
    terminal or a reader of lines would obey. A traceback keeps its lines, indented so that none looks like
    an event.
    """
    for name, value in list(event.items()):
        if name == "exception" and value:
            event[name] = "\n".join(f"    {_printable(line)}" for line in str(value).split("\n"))
        elif not isinstance(value, int | float):
            text = str(value)
            event[name] = _printable(text.rstrip("\n") if name == "event" else text)
        if not name.isprintable():
            event[_printable(name)] = event.pop(name)
    return event


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _plain_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """Return the line of structlog's console renderer without colours, in a fifth of its time."""
    timestamp, level, what = (event.pop(name, "") for name in ("timestamp", "level", "event"))
    trace = event.pop("exception", None)
    fields = " ".join(
        f"{name}={value!r}" if isinstance(value, str) and " " in value else f"{name}={value}"
        for name, value in event.items()
        if not name.startswith("_")
    )
    line = f"{timestamp} [{level:<8}] {what:<30} {fields}".rstrip()
    return f"{line}\n{trace}" if trace else line
