"""Shows what is in a data set, as text and as plots.

``explore_movies`` and ``explore_ratings`` count (``movie_statistics``, ``rating_statistics``), write it
down (``report`` on ``text``), draw it (``plots`` on ``panels``) and store both.
"""

from pathlib import Path

from shared.datasets.model import Dataset
from shared.result_files import write_files
from worker.exploration.movie_statistics import movie_statistics
from worker.exploration.panels import png
from worker.exploration.plots import plot_movies, plot_ratings
from worker.exploration.rating_statistics import rating_statistics
from worker.exploration.report import movie_report, rating_report

__all__ = ["explore_movies", "explore_ratings"]


def explore_movies(dataset: Dataset, results: Path) -> list[Path]:
    """Write what is in the movies of a data set: years, genres, genres that go together.

    Parameters
    ----------
    dataset : Dataset
        With at least one movie.
    results : Path
        Directory of the results, created if it is missing.

    Returns
    -------
    list of Path
        ``output_explore_dataset_movies.txt`` and ``.png``.

    Raises
    ------
    ConfigurationError
        If the directory cannot be written to.
    """
    statistics = movie_statistics(dataset)
    return write_files(
        results,
        {
            "output_explore_dataset_movies.txt": movie_report(dataset, statistics).encode(),
            "output_explore_dataset_movies.png": png(plot_movies(dataset, statistics)),
        },
    )


def explore_ratings(dataset: Dataset, results: Path) -> list[Path]:
    """Write what is in the ratings of a data set: values, votes per user and movie, best and worst movies.

    Parameters
    ----------
    dataset : Dataset
        With at least one rating, and with every rated movie among its movies.
    results : Path
        Directory of the results, created if it is missing.

    Returns
    -------
    list of Path
        ``output_explore_dataset_ratings.txt`` and ``.png``.

    Raises
    ------
    ConfigurationError
        If the directory cannot be written to.
    """
    statistics = rating_statistics(dataset)
    return write_files(
        results,
        {
            "output_explore_dataset_ratings.txt": rating_report(dataset, statistics).encode(),
            "output_explore_dataset_ratings.png": png(plot_ratings(dataset, statistics)),
        },
    )
