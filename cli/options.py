"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from shared.algorithms import CONFIGS

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Directory or zip of a MovieLens data set, in any format."),
]
Algorithm = Annotated[
    str | None,
    typer.Option("--algorithm", "-a", metavar="NAME", help=f"One of: {', '.join(sorted(CONFIGS))}."),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read, and count them.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")]
