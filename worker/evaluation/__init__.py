"""Measures how good models are, on the same folds for every algorithm."""

from worker.evaluation.cross_validation import cross_validate
from worker.evaluation.reports import render_table, write_results
from worker.evaluation.results import Contender, Evaluation, FoldResult, Split

__all__ = [
    "Contender",
    "Evaluation",
    "FoldResult",
    "Split",
    "cross_validate",
    "render_table",
    "write_results",
]
