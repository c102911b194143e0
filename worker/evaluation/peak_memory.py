"""Measures how much memory a piece of work takes at its peak."""

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
"""What to write to ``clear_refs`` so that the kernel forgets the peak, see ``man 5 proc``."""


class PeakMemory:
    """Context manager that measures the growth of this process to its peak (Linux).

    Attributes
    ----------
    megabytes : float
        Peak above the memory at the start; 0 where the system does not tell.
    """

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._before = 0.0

    def __enter__(self) -> "PeakMemory":
        try:
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="utf-8")
            self._before = _megabytes("VmRSS")
        except OSError:
            self._before = float("inf")
        return self

    def __exit__(self, *error: object) -> None:
        if self._before != float("inf"):
            self.megabytes = max(0.0, _megabytes("VmHWM") - self._before)


def _megabytes(field: str) -> float:
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0
