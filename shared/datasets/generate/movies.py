"""The movies of a generated data set, and what is true about them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.datasets.generate.titles import draw_titles
from shared.datasets.generate.words import TAGS
from shared.genres import NO_GENRES, join_genres

N_FACTORS = 8

# Shares of MovieLens 20M's movies.
_GENRE_SHARES = {
    "Action": 0.13,
    "Adventure": 0.09,
    "Animation": 0.04,
    "Children": 0.04,
    "Comedy": 0.31,
    "Crime": 0.11,
    "Documentary": 0.09,
    "Drama": 0.49,
    "Fantasy": 0.05,
    "Film-Noir": 0.012,
    "Horror": 0.10,
    "Musical": 0.04,
    "Mystery": 0.06,
    "Romance": 0.15,
    "Sci-Fi": 0.06,
    "Thriller": 0.15,
    "War": 0.04,
    "Western": 0.025,
}
GENRES = tuple(_GENRE_SHARES)
_N_GENRES_SHARES = (0.40, 0.34, 0.18, 0.06, 0.02)
_SHARE_WITHOUT_GENRES = 0.01

_FIRST_YEAR, _LAST_YEAR = 1902, 2015
_GENRE_WEIGHT = 0.75


@dataclass(frozen=True)
class GeneratedMovies:
    """Movies in the order of their ids; every array has one row a movie.

    Attributes
    ----------
    movie_ids : numpy.ndarray of int32
        Ascending, with gaps.
    titles, genres : list of str
        As in ``movies.csv``.
    ranks : numpy.ndarray of int64
        0 for the best known movie.
    factors : numpy.ndarray of float32, shape (n_movies, N_FACTORS)
        Latent factors of unit variance, drawn around those of the genres.
    biases, drifts : numpy.ndarray of float32
        How much better than average a movie is, and how that changes in ten years.
    tag_affinities : numpy.ndarray of float32, shape (len(TAGS), N_FACTORS)
        What each tag says about the factors.
    """

    movie_ids: npt.NDArray[np.int32]
    titles: list[str]
    genres: list[str]
    ranks: npt.NDArray[np.int64]
    factors: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]
    drifts: npt.NDArray[np.float32]
    tag_affinities: npt.NDArray[np.float32]


def draw_movies(n_movies: int, rng: np.random.Generator) -> GeneratedMovies:
    """Draw the movies of a data set."""
    gaps = rng.geometric(np.linspace(0.95, 0.15, n_movies))
    movie_ids = np.cumsum(gaps).astype(np.int32)
    # Movies that were added early are better known, as in MovieLens.
    position = np.arange(n_movies) / n_movies
    ranks = np.empty(n_movies, dtype=np.int64)
    ranks[np.argsort(rng.random(n_movies) + 0.6 * position)] = np.arange(n_movies)

    listed = _draw_genres(n_movies, rng)
    listed[(rng.random(n_movies) < _SHARE_WITHOUT_GENRES) & (ranks > n_movies // 3)] = False
    genres = [join_genres([GENRES[i] for i in np.flatnonzero(row)]) or NO_GENRES for row in listed]

    loadings = rng.standard_normal((len(GENRES), N_FACTORS))
    around = listed @ loadings / np.sqrt(np.maximum(listed.sum(axis=1), 1))[:, None]
    own = rng.standard_normal((n_movies, N_FACTORS))
    factors = np.sqrt(_GENRE_WEIGHT) * around + np.sqrt(1 - _GENRE_WEIGHT) * own

    fame = 1 - ranks / n_movies
    biases = 0.40 * rng.standard_normal(n_movies) + 0.5 * fame
    years = np.maximum(_LAST_YEAR - rng.exponential(20, n_movies).astype(np.int64), _FIRST_YEAR)
    return GeneratedMovies(
        movie_ids=movie_ids,
        titles=draw_titles(years, rng),
        genres=genres,
        ranks=ranks,
        factors=factors.astype(np.float32),
        biases=biases.astype(np.float32),
        drifts=(0.12 * rng.standard_normal(n_movies)).astype(np.float32),
        tag_affinities=rng.standard_normal((len(TAGS), N_FACTORS)).astype(np.float32)
        / np.float32(N_FACTORS**0.5),
    )


def draw_relevance(
    catalogue: GeneratedMovies, movies: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw the tag genome of some movies: how well each tag fits each of them.

    Returns
    -------
    numpy.ndarray of float64, shape (len(movies), len(TAGS))
        Between 0.0025 and 0.9975, in steps of 0.00025 as in MovieLens.
    """
    fit = 1.6 * catalogue.factors[movies] @ catalogue.tag_affinities.T - 1.8
    fit += 0.4 * rng.standard_normal(fit.shape, dtype=np.float32)
    relevance = 1 / (1 + np.exp(-fit.astype(np.float64)))
    clipped: npt.NDArray[np.float64] = np.clip(np.round(relevance * 4000), 10, 3990) / 4000
    return clipped


def _draw_genres(n_movies: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw one to five genres a movie, without replacement: the largest of perturbed log shares."""
    scores = np.log(list(_GENRE_SHARES.values())) + rng.gumbel(size=(n_movies, len(GENRES)))
    n_genres = rng.choice(np.arange(1, 6), size=n_movies, p=_N_GENRES_SHARES)
    placed = np.argsort(np.argsort(-scores, axis=1), axis=1)
    listed: npt.NDArray[np.bool_] = placed < n_genres[:, None]
    return listed
