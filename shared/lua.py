"""Lua scripts that Redis runs: each is a file beside the module that uses it."""

from importlib import resources


def load_script(package: str, name: str) -> str:
    """Return a script of a package, without the comments on top: workers send it with each job.

    Parameters
    ----------
    package : str
        Dotted name, e.g. ``shared.rankings``.
    name : str
        Of the file, without ``.lua``.
    """
    text = resources.files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("--"))
