"""Lists models, and trains a new one."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.context import GatewayContext, context_of, current_version
from gateway.http import urls
from gateway.http.accepted import accepted
from gateway.http.problems import (
    BodyTooLarge,
    InvalidRequest,
    NoModel,
    QueueFull,
    QueueUnreachable,
    TrainingRuns,
    Unauthorized,
    WritingDisabled,
    documented,
)
from gateway.http.responses import json_answer
from gateway.http.security import AdminRoute, bearer
from gateway.training_jobs import start_training
from shared.algorithms import CONFIGS, DEFAULT_ALGORITHM, parse_config
from shared.artifacts.store import Manifest
from shared.errors import ArtifactError, ConfigurationError

router = APIRouter(prefix="/models", tags=["models"])
writing = APIRouter(prefix="/models", tags=["models"], route_class=AdminRoute, dependencies=[Depends(bearer)])
"""Routes for the administrator only."""

_VERSION_EXAMPLE = "20261122T201530Z-svd-1f3c9a"


class ModelVersion(BaseModel):
    """A trained model."""

    version: str = Field(examples=[_VERSION_EXAMPLE])
    algorithm: str
    parameters: dict[str, Any]
    data: dict[str, Any]
    metrics: dict[str, float]
    created_at: str
    current: bool = Field(description="Whether workers are to serve it.")
    workers: int = Field(description="Live workers that serve it now.")


class ModelVersions(BaseModel):
    """All trained models that are kept, newest first."""

    models: list[ModelVersion]


def _name_parameters(schema: dict[str, Any]) -> None:
    """Describe a training of each algorithm, with its own parameters."""
    del schema["properties"], schema["additionalProperties"]
    schema["oneOf"] = [
        {
            "title": config.title,
            "type": "object",
            "properties": {
                "algorithm": {"type": "string", "enum": [name]},
                "parameters": config.model_json_schema(),
            },
            "required": [] if name == DEFAULT_ALGORITHM else ["algorithm"],
            "additionalProperties": False,
        }
        for name, config in CONFIGS.items()
    ]


class TrainingRequest(BaseModel):
    """What to train."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_name_parameters)

    algorithm: str = Field(default=DEFAULT_ALGORITHM, description=f"One of: {', '.join(sorted(CONFIGS))}.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Of the algorithm; its defaults are used for what is missing."
    )


class TrainingAccepted(BaseModel):
    """A training was queued."""

    job: str = Field(examples=[urls.job("0a1b2c3d4e5f60718293a4b5c6d7e8f9")])


def _describe_version(manifest: Manifest, current: str | None, context: GatewayContext) -> dict[str, Any]:
    return {
        **manifest.model_dump(mode="json", include={"version", "algorithm", "parameters", "data", "metrics"}),
        "created_at": manifest.created_at.isoformat(timespec="seconds"),
        "current": manifest.version == current,
        "workers": sum(worker.model_version == manifest.version for worker in context.workers.serving),
    }


@router.get("", summary="All models", response_model=ModelVersions)
def list_models(request: Request, context: Annotated[GatewayContext, Depends(context_of)]) -> Response:
    """Models that are kept, newest first, and how many workers serve each."""
    current = current_version(context.store)
    versions = [_describe_version(manifest, current, context) for manifest in context.store.versions()]
    return json_answer(request, orjson.dumps({"models": versions}), version=current)


@router.get(
    "/current", summary="The current model", response_model=ModelVersion, responses=documented(NoModel)
)
def current_model(request: Request, context: Annotated[GatewayContext, Depends(context_of)]) -> Response:
    """The model that workers are to serve; right after a training some may still hold the one before."""
    current = current_version(context.store)
    if current is None:
        raise NoModel("No model was trained yet: POST /api/v1/models, or run: movierec train.")
    try:
        manifest = context.store.manifest(current)
    except ArtifactError as error:
        raise NoModel(str(error)) from None
    return json_answer(request, orjson.dumps(_describe_version(manifest, current, context)), version=current)


@writing.post(
    "",
    summary="Train a model",
    status_code=202,
    response_model=TrainingAccepted,
    responses={
        202: {"description": "Queued. `Location` is the job, which shows progress and result."},
        **documented(
            Unauthorized,
            WritingDisabled,
            TrainingRuns,
            InvalidRequest,
            BodyTooLarge,
            QueueFull,
            QueueUnreachable,
        ),
    },
)
def train(
    body: TrainingRequest, request: Request, context: Annotated[GatewayContext, Depends(context_of)]
) -> Response:
    """Train on what the database holds now. When it is done, workers switch to the new model.

    While many questions of users wait, it is refused: they come first.
    """
    context.admission.admit_training()
    try:
        config = parse_config(body.algorithm, body.parameters, strict=True)
    except ConfigurationError as error:
        raise InvalidRequest(str(error)) from None
    prefix = request.scope["root_path"]
    job_id = start_training(
        context.jobs,
        body.algorithm,
        config.model_dump(mode="json"),
        timeout_seconds=request.app.state.settings.train_timeout.total_seconds(),
        prefix=prefix,
    )
    return accepted(job_id, prefix, retry_after=2)
