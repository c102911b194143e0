"""The ``movierec`` command."""

import os
import sys

import typer

from cli.caches import keep_caches_in_data_dir
from cli.commands import bench, data, explore
from cli.commands.evaluate import evaluate
from cli.commands.gateway import gateway
from cli.commands.train import train
from cli.commands.up import up
from cli.commands.warm import warm
from cli.commands.worker import worker
from cli.console import replace_what_cannot_be_shown, status
from shared.errors import MovierecError

# What only one command needs is imported when it runs: every command waits for the imports here.
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
    Movie recommendations over MovieLens data, behind an HTTP API.

    [bold]movierec up[/bold] starts everything on this machine: Redis, workers, gateway; on its first start it
    also imports data and trains a model.

    Settings come from the environment or from a file [bold].env[/bold] here; .env.example lists all of them.
    The most important: DATA_DIR (default: data), DATABASE_URL (SQLite in DATA_DIR), QUEUE_URL and CACHE_URL
    (Redis), ADMIN_TOKEN (for writing requests).

    [bold]Examples[/bold]

    movierec up --data ml-20m --workers 2\n
    movierec evaluate --data ml-latest-small --algorithm svd --folds 5\n
    movierec data demo --ratings 1000000 --users 7000 --movies 5000 --out demo
    """,
)

app.command(rich_help_panel="Run")(up)
app.command(rich_help_panel="Run")(gateway)
app.command(rich_help_panel="Run")(worker)
app.command(rich_help_panel="Run")(warm)
app.command(rich_help_panel="Models")(train)
app.command(rich_help_panel="Models")(evaluate)
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
app.add_typer(explore.app, name="explore")


def _open_standard_files() -> None:
    """Open the standard files of a process that was started without them.

    Otherwise the first file or socket that it opens would take the place of standard error.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def main() -> None:
    """Run the command, and print errors as one message instead of a traceback."""
    # Libraries start interpreters of their own (joblib, multiprocessing), which must not look for modules in
    # the current folder either.
    os.environ["PYTHONSAFEPATH"] = "1"
    _open_standard_files()
    replace_what_cannot_be_shown()
    keep_caches_in_data_dir()
    try:
        app()
    except MovierecError as error:
        status.print(f"[bold red]error:[/bold red] {_escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        status.print("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a directory that cannot be written, a full disk
        where = f": {error.filename}" if error.filename else ""
        status.print(f"[bold red]error:[/bold red] {_escape(f'{error.strerror or error}{where}')}")
        sys.exit(1)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
