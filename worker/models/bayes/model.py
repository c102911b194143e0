"""Bayesian matrix factorisation of which only the movie side is kept.

A rating is ``mean + user bias + movie bias + user factors . movie factors + noise``, the noise with one
precision per user. Everything has a prior whose parameters are drawn along; the posterior is sampled by
block Gibbs (:mod:`worker.models.bayes.chain`). Some samples of the movie side are kept; a user is worked
out from ratings when asked for (:mod:`worker.models.bayes.posterior`), so new ratings count at once and a
model does not grow with its users.

Nothing here compiles or imports the sampler before :meth:`BayesModel.fit` is called.

References
----------
Salakhutdinov, R. and Mnih, A. (2008). Bayesian Probabilistic Matrix Factorization using Markov Chain Monte
Carlo. ICML.
Rendle, S., Zhang, L. and Koren, Y. (2019). On the Difficulty of Evaluating Baselines. arXiv:1905.01395.
"""

from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from shared.algorithms import AlgorithmConfig, BayesConfig
from shared.progress import Progress, silent
from worker.arrays import Layout, require_layouts
from worker.models.base import Model, Scale
from worker.models.bayes import posterior, scoring, sessions
from worker.models.bayes.posterior import MovieSamples, Ratings, Users
from worker.models.candidates import Bounds
from worker.models.ratings import RatingsBatch
from worker.models.training_data import TrainingData


class BayesModel(Model):
    """Samples of the movie side, and users from their ratings."""

    algorithm = "bayes"

    def __init__(self, movie_ids: NDArray[np.int32], scale: Scale | None, samples: MovieSamples) -> None:
        super().__init__(movie_ids, scale)
        self.samples = samples

    @classmethod
    def fit(cls, data: TrainingData, config: AlgorithmConfig, progress: Progress = silent) -> Self:
        """Sample the posterior.

        The result depends on data and config, not on the number of threads.

        Raises
        ------
        DataError
            If the ratings lead to numbers that are not finite.
        """
        from worker.models.bayes.training import sample

        samples = sample(data, cast(BayesConfig, config), progress)
        return cls(data.catalogue.movie_ids, data.scale, samples)

    def score_std(self, batch: RatingsBatch, columns: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """Return the posterior standard deviation of scores, in stars.

        Of the expected rating: the noise of a single rating is not in it.

        Parameters
        ----------
        batch : RatingsBatch
        columns : ndarray of intp, shape (n_columns,), optional
            Columns of the model's movies; all if not given.

        Returns
        -------
        ndarray of float32, shape (n_users, n_columns)
        """
        if columns is None:
            columns = np.arange(len(self.movie_ids))
        return scoring.deviations(self.samples, self._solve(batch), columns)

    def offsets_at(
        self, batch: RatingsBatch, rows: NDArray[np.intp], timestamps: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return what to add to scores of users at given times.

        People rate higher on some days than on others. The offset is the mean residual of what the user
        rated on that day (UTC), drawn towards zero; 0 on a day without ratings, hence for any future day. It
        is the same for all movies, so it never changes an order.

        Parameters
        ----------
        batch : RatingsBatch
        rows : ndarray of intp, shape (n,)
            Users, as rows of the batch.
        timestamps : ndarray of int64, shape (n,)
            Seconds since 1970, UTC.

        Returns
        -------
        ndarray of float32, shape (n,)
        """
        if batch.timestamps is None:
            raise ValueError("the times of the ratings themselves are needed")
        ratings, known = self._ratings(batch)
        users = posterior.fold_in(self.samples, ratings)
        return sessions.session_offsets(
            self.samples, users, ratings, batch.timestamps[known], rows, timestamps
        )

    def contributions(
        self, batch: RatingsBatch, row: int, columns: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Divide some scores of one user among the ratings behind them.

        Parameters
        ----------
        batch : RatingsBatch
        row : int
            The user.
        columns : ndarray of intp, shape (n_columns,)
            Movies whose scores are explained.

        Returns
        -------
        base : ndarray of float32, shape (n_columns,)
            The score without any star given.
        parts : ndarray of float32, shape (n_columns, n_ratings)
            Stars that each rating of the user added, 0 for movies the model does not know;
            ``base + parts.sum(axis=1)`` is the score.
        """
        one = batch.select([row])
        ratings, known = self._ratings(one)
        users = posterior.fold_in(self.samples, ratings)
        base, known_parts = scoring.contributions(
            self.samples, users, 0, ratings.columns, ratings.values, columns
        )
        parts = np.zeros((len(columns), len(one.movie_ids)), dtype=np.float32)
        parts[:, known] = known_parts
        return base, parts

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the samples by name."""
        s = self.samples
        return {
            "scalars": np.array([s.global_mean, s.noise_shape, s.noise_rate, s.session_prior]),
            "draws": s.draws,
            "means": s.means,
            "weights": s.weights,
            "precisions": s.precisions,
            "basis": s.basis,
            "directions": s.directions,
            "bounds": s.bounds,
        }

    @classmethod
    def from_arrays(
        cls, movie_ids: NDArray[np.int32], scale: Scale | None, arrays: dict[str, NDArray[np.generic]]
    ) -> Self:
        """Rebuild a model from :meth:`arrays`, which may be memory-mapped and read-only.

        Raises
        ------
        ValueError
            If arrays do not fit each other.
        """
        n_movies, n_samples, d = arrays["means"].shape
        n_features, n_directions = arrays["weights"].shape[1], arrays["directions"].shape[1]
        require_layouts(
            arrays,
            {
                "scalars": Layout((4,), ("float64",)),
                "draws": Layout((len(movie_ids), n_samples, d + 1), ("float32",)),
                "means": Layout((n_movies, n_samples, d), ("float32",)),
                "weights": Layout((n_samples, n_features, d), ("float32",)),
                "precisions": Layout((n_samples, d), ("float64",)),
                "basis": Layout((n_movies, n_features - 1), ("float16", "float32")),
                "directions": Layout((n_samples * d, n_directions), ("float32",)),
                "bounds": Layout((n_movies, n_directions + 1), ("float32",)),
            },
        )
        global_mean, noise_shape, noise_rate, session_prior = (float(x) for x in arrays["scalars"])
        if min(n_samples, noise_shape, noise_rate, arrays["precisions"].min()) <= 0:
            raise ValueError("there are no samples, or precisions that are not positive")
        samples = MovieSamples(
            global_mean=global_mean,
            draws=cast(NDArray[np.float32], arrays["draws"]),
            means=cast(NDArray[np.float32], arrays["means"]),
            weights=cast(NDArray[np.float32], arrays["weights"]),
            precisions=cast(NDArray[np.float64], arrays["precisions"]),
            noise_shape=noise_shape,
            noise_rate=noise_rate,
            session_prior=session_prior,
            basis=cast(NDArray[np.floating], arrays["basis"]),
            directions=cast(NDArray[np.float32], arrays["directions"]),
            bounds=cast(NDArray[np.float32], arrays["bounds"]),
        )
        return cls(movie_ids, scale, samples)

    def _ratings(self, batch: RatingsBatch) -> tuple[Ratings, NDArray[np.bool_]]:
        """Leave out movies that the model does not know; the mask says which ratings are kept."""
        columns = self.columns(batch.movie_ids)
        known = columns >= 0
        ends = np.concatenate([[0], np.cumsum(known)])
        return Ratings(ends[batch.indptr], columns[known], batch.ratings[known]), known

    def _solve(self, batch: RatingsBatch) -> Users:
        return posterior.fold_in(self.samples, self._ratings(batch)[0])

    def _score(self, users: Users) -> NDArray[np.float32]:
        return scoring.score(self.samples, users)

    def _bounds(self, users: Users) -> Bounds:
        lower, widths = scoring.score_bounds(self.samples, users)
        # Side by side, since each user of the batch goes through all of them.
        return Bounds(lower, widths, np.ascontiguousarray(self.samples.bounds[:, -1]))

    def _score_exactly(self, users: Users, columns: NDArray[np.intp]) -> NDArray[np.float64]:
        return scoring.score_exactly(self.samples, users, columns)
