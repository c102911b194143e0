"""How long jobs take."""


class Pace:
    """Average time that a job takes; the latest count most.

    One thread measures, others read; a float is replaced as a whole, so no lock is needed.

    Attributes
    ----------
    seconds : float
        A job; 0 before the first.
    """

    _WEIGHT = 0.1

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Take another job into account."""
        self.seconds += (seconds - self.seconds) * (self._WEIGHT if self.seconds else 1.0)
