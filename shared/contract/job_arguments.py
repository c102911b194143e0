"""The arguments that jobs may have."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.contract.jobs import BATCH_LIMIT, TRAIN_JOB
from shared.contract.kinds import MAX_CHANGES, MAX_ID, MIN_ID

_Id = Annotated[int, Field(ge=MIN_ID, le=MAX_ID)]
_Count = Annotated[int, Field(ge=0, le=MAX_CHANGES)]


class _Arguments(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class RankingArguments(_Arguments):
    """Arguments of a job for rankings; see :mod:`worker.jobs`."""

    ids: list[_Id] = Field(min_length=1, max_length=BATCH_LIMIT)
    deadline: float
    changes: Annotated[list[_Count], Field(max_length=BATCH_LIMIT)] | None = None

    @model_validator(mode="after")
    def _one_count_each(self) -> Self:
        if self.changes is not None and len(self.changes) != len(self.ids):
            raise ValueError("changes and ids differ in length")
        return self


class TrainingArguments(_Arguments):
    """Arguments of a training; the parameters are checked when it begins."""

    algorithm: str = Field(max_length=100)
    parameters: dict[str, Any]


def complaint(function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the arguments of a job, None if nothing is.

    Parameters
    ----------
    function : str
        One of :data:`shared.contract.jobs.ALLOWED_JOBS`.
    args : sequence
        There must be none: we name all arguments.
    kwargs : mapping
        The named ones.
    """
    if args:
        return "arguments without names"
    try:
        (TrainingArguments if function == TRAIN_JOB else RankingArguments).model_validate(kwargs)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))[:80] or 'arguments'}: {first['msg']}"
    return None
