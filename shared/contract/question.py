"""What can be asked of the workers."""

from typing import NamedTuple

from shared.contract.kinds import Kind


class Question(NamedTuple):
    """What is to be ranked: for which user, or movies like which one."""

    kind: Kind
    subject: int
