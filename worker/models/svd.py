"""scikit-surprise's SVD: the reference that every other model is compared with."""

import contextlib
import io
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.algorithms import AlgorithmConfig, SvdConfig
from shared.progress import Progress, Step, silent
from worker.arrays import Layout, require_layouts
from worker.models.base import Model, Scale
from worker.models.ratings import RatingsBatch
from worker.models.training_data import TrainingData


class SvdModel(Model):
    """Biased matrix factorisation by stochastic gradient descent, as scikit-surprise computes it.

    A user who was trained on is looked up by id, whatever was rated since; any other user is folded in. Sums
    are in double precision, as in Surprise, so that estimates agree with its ``predict`` in every digit.

    Parameters
    ----------
    movie_ids, scale
        See :class:`~worker.models.base.Model`.
    user_ids : ndarray of int32, shape (n_users,)
        Ascending.
    user_factors : ndarray of float64, shape (n_users, n_factors)
    user_biases : ndarray of float64, shape (n_users,)
    item_factors : ndarray of float64, shape (n_movies, n_factors)
        Zero for movies that nobody rated, which leaves mean and user bias, as in Surprise.
    item_biases : ndarray of float64, shape (n_movies,)
    constants : ndarray of float64, shape (2,)
        Mean rating and L2 penalty.

    References
    ----------
    Koren, Bell, Volinsky: Matrix Factorization Techniques for Recommender Systems. Computer 42(8), 2009,
    equation 4.
    """

    algorithm = "svd"

    def __init__(
        self,
        movie_ids: NDArray[np.int32],
        scale: Scale | None,
        *,
        user_ids: NDArray[np.int32],
        user_factors: NDArray[np.float64],
        user_biases: NDArray[np.float64],
        item_factors: NDArray[np.float64],
        item_biases: NDArray[np.float64],
        constants: NDArray[np.float64],
    ) -> None:
        super().__init__(movie_ids, scale)
        self.user_ids = user_ids
        self.user_factors = user_factors
        self.user_biases = user_biases
        self.item_factors = item_factors
        self.item_biases = item_biases
        self.constants = constants

    @classmethod
    def fit(cls, data: TrainingData, config: AlgorithmConfig, progress: Progress = silent) -> Self:
        """Train with scikit-surprise; see :meth:`worker.models.base.Model.fit`."""
        # Training only: a serving worker never pays for them.
        import pandas as pd
        import surprise

        if not isinstance(config, SvdConfig):
            raise TypeError(f"svd takes an SvdConfig, not a {type(config).__name__}")
        progress(Step("training svd", 0, config.n_epochs, "epoch"))
        frame = pd.DataFrame({"user": data.users, "movie": data.movies, "rating": data.ratings})
        reader = surprise.Reader(rating_scale=data.scale)
        trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
        algorithm = surprise.SVD(
            n_factors=config.n_factors,
            n_epochs=config.n_epochs,
            lr_all=config.lr_all,
            reg_all=config.reg_all,
            random_state=config.seed,
            verbose=True,
        )
        with contextlib.redirect_stdout(_EpochListener(progress, config.n_epochs)):
            algorithm.fit(trainset)
        progress(Step("training svd", config.n_epochs, config.n_epochs, "epoch"))

        users = np.array([trainset.to_raw_uid(inner) for inner in trainset.all_users()])
        movies = np.array([trainset.to_raw_iid(inner) for inner in trainset.all_items()])
        n_users, n_movies = len(data.user_ids), len(data.catalogue.movie_ids)
        return cls(
            data.catalogue.movie_ids,
            data.scale,
            user_ids=data.user_ids,
            user_factors=_scatter(algorithm.pu, users, n_users),
            user_biases=_scatter(algorithm.bu, users, n_users),
            item_factors=_scatter(algorithm.qi, movies, n_movies),
            item_biases=_scatter(algorithm.bi, movies, n_movies),
            constants=np.array([trainset.global_mean, config.reg_all]),
        )

    def _solve(self, batch: RatingsBatch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return factors, shape (n_users, n_factors), and biases, shape (n_users,)."""
        places = np.minimum(np.searchsorted(self.user_ids, batch.user_ids), len(self.user_ids) - 1)
        known = self.user_ids[places] == batch.user_ids
        factors = np.where(known[:, None], self.user_factors[places], 0.0)
        biases = np.where(known, self.user_biases[places], 0.0)
        for row in np.flatnonzero(~known).tolist():
            factors[row], biases[row] = self._fold_in(batch, row)
        return factors, biases

    def _score(self, users: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
        return self._score_exactly(users, np.arange(len(self.movie_ids)))

    def _score_exactly(
        self, users: tuple[NDArray[np.float64], NDArray[np.float64]], columns: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        factors, biases = users
        everything = len(columns) == len(self.movie_ids)
        item_factors = self.item_factors if everything else self.item_factors[columns]
        scores: NDArray[np.float64] = factors @ item_factors.T
        scores += self.item_biases if everything else self.item_biases[columns]
        scores += self.constants[0] + biases[:, None]
        return scores

    def _fold_in(self, batch: RatingsBatch, row: int) -> tuple[NDArray[np.float64], float]:
        """Solve for one user with the movie side fixed: ridge regression with the training's penalty."""
        span = slice(batch.indptr[row], batch.indptr[row + 1])
        columns = self.columns(batch.movie_ids[span])
        ratings = batch.ratings[span][columns >= 0].astype(np.float64)
        columns = columns[columns >= 0]
        n_factors = self.item_factors.shape[1]
        if len(columns) == 0:
            return np.zeros(n_factors), 0.0
        mean, penalty = self.constants
        design = np.column_stack([self.item_factors[columns], np.ones(len(columns))])
        # Gradient descent applies the penalty once a rating; the floor keeps the system solvable at zero.
        ridge = max(penalty, 1e-6) * len(columns) * np.eye(n_factors + 1)
        weights = np.linalg.solve(
            design.T @ design + ridge, design.T @ (ratings - mean - self.item_biases[columns])
        )
        return weights[:-1], float(weights[-1])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what is stored; see :meth:`worker.models.base.Model.arrays`."""
        return {
            "user_ids": self.user_ids,
            "user_factors": self.user_factors,
            "user_biases": self.user_biases,
            "item_factors": self.item_factors,
            "item_biases": self.item_biases,
            "constants": self.constants,
        }

    @classmethod
    def from_arrays(
        cls, movie_ids: NDArray[np.int32], scale: Scale | None, arrays: dict[str, NDArray[np.generic]]
    ) -> Self:
        """Rebuild; see :meth:`worker.models.base.Model.from_arrays`.

        Raises
        ------
        ValueError
            If arrays do not fit each other.
        """
        n_movies, n_factors = arrays["item_factors"].shape
        n_users = len(arrays["user_ids"])
        require_layouts(
            arrays,
            {
                "user_ids": Layout((n_users,), ("int32",)),
                "user_factors": Layout((n_users, n_factors), ("float64",)),
                "user_biases": Layout((n_users,), ("float64",)),
                "item_factors": Layout((len(movie_ids), n_factors), ("float64",)),
                "item_biases": Layout((n_movies,), ("float64",)),
                "constants": Layout((2,), ("float64",)),
            },
        )
        if n_users == 0 or (np.diff(arrays["user_ids"].astype(np.int64)) <= 0).any():
            raise ValueError("user_ids do not ascend")
        return cls(movie_ids, scale, **arrays)  # type: ignore[arg-type]


def _scatter(values: NDArray[np.float64], places: NDArray[np.intp], size: int) -> NDArray[np.float64]:
    """Put rows of Surprise's order to their places in ours; the rest is zero."""
    result = np.zeros((size, *values.shape[1:]))
    result[places] = values
    return result


class _EpochListener(io.TextIOBase):
    """Turns the lines that Surprise prints at the start of each epoch into progress."""

    def __init__(self, progress: Progress, n_epochs: int) -> None:
        self._progress = progress
        self._n_epochs = n_epochs
        self._begun = 0

    def write(self, text: str) -> int:
        for _ in range(text.count("Processing epoch")):
            self._progress(Step("training svd", self._begun, self._n_epochs, "epoch"))
            self._begun += 1
        return len(text)
