"""Loads a model version and checks it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.artifacts.store import ArtifactStore, Manifest
from shared.errors import ArtifactError, ConfigurationError
from worker.models.base import Model
from worker.models.registry import model_class
from worker.serving.identity import load_identities
from worker.similarity.base import Similarity
from worker.similarity.registry import load_similarities


@dataclass(frozen=True)
class LoadedModel:
    """One version, ready to answer.

    Attributes
    ----------
    manifest : Manifest
        Describes the version.
    model : Model
        Estimates ratings.
    similarities : dict of str to Similarity
        Find similar movies, by name; their movies are in the model's order. The default one is always there,
        others may be missing in a version of an older release.
    identities : ndarray of uint64, shape (n_movies,), or None
        What tells each movie from others of the same id; None in a version of a release that saved none.
    """

    manifest: Manifest
    model: Model
    similarities: dict[str, Similarity]
    identities: NDArray[np.uint64] | None

    @classmethod
    def load(cls, store: ArtifactStore, version: str) -> "LoadedModel":
        """Check a version's files and map them.

        Raises
        ------
        ArtifactError
            If it is not complete and unchanged, is of an algorithm that this release does not know, or has
            something in it that movies cannot be ranked with.
        UnreadableArtifactError
            If it cannot be read.
        """
        manifest = store.verify(version)
        directory = store.path(version)
        try:
            algorithm = model_class(manifest.algorithm)
        except ConfigurationError as error:
            raise ArtifactError(f"Model version {version} is of another release: {error}") from None
        model, similarities = algorithm.load(directory), load_similarities(directory)
        if model.scale is None:
            raise ArtifactError(f"Model version {version} estimates no stars, which suggestions show.")
        n_movies = len(model.movie_ids)
        for name, similarity in similarities.items():
            if similarity.n_movies != n_movies:
                raise ArtifactError(
                    f"Model version {version} has {n_movies} movies, and {name} of {similarity.n_movies}."
                )
        return cls(manifest, model, similarities, load_identities(directory, n_movies))
