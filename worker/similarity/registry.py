"""Lists the similarities. Each of them is fitted by every training, stored and loaded."""

from pathlib import Path

from worker.models.training_data import TrainingData
from worker.similarity.base import Similarity
from worker.similarity.genres import GenreSimilarity

SIMILARITIES: dict[str, type[Similarity]] = {similarity.name: similarity for similarity in (GenreSimilarity,)}

DEFAULT_SIMILARITY = GenreSimilarity.name
"""The one that answers when nothing else is asked for; without it a model version is not served."""


def fit_similarities(data: TrainingData) -> dict[str, Similarity]:
    """Fit all similarities."""
    return {name: similarity.fit(data) for name, similarity in SIMILARITIES.items()}


def load_similarities(directory: Path) -> dict[str, Similarity]:
    """Load the similarities that a model version has: the default one, and others if they are there.

    Raises
    ------
    ArtifactError
        If one of them cannot be used.
    UnreadableArtifactError
        If a file cannot be read.
    """
    return {
        name: similarity.load(directory)
        for name, similarity in SIMILARITIES.items()
        if name == DEFAULT_SIMILARITY or similarity.is_saved(directory)
    }
