# License: BSD-3-Clause
"""Scores as Markdown tables that state their protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from .._table import markdown_table
from .folds import FoldScores
from .scoring import CrossSubjectScores

_FOLDS = (
    "{n_subjects} subjects ({subjects}), {n_trials} trials. Folds: GroupKFold({n_folds}) over "
    "subjects, none in both training and test; fold seeds {seeds}."
)
_PROBE = (
    "Classifier: logistic regression on standardised columns, C chosen by GroupKFold "
    "within the training subjects (0.01 where there is only one). "
    "Rows 'standardised': standardised per subject first, without labels."
)
_SCORE_HEAD = ("balanced accuracy", "lowest-highest fold")
_SCORES = "Scores: balanced accuracy, mean and standard deviation over the {n} folds."


def report_table(
    results: Mapping[str, CrossSubjectScores], *, title: str, notes: Sequence[str] = ()
) -> str:
    """Write scores as a table that states its protocol.

    Parameters
    ----------
    results : dict of str to CrossSubjectScores
        Scores by name, on the same trials and folds.
    title : str
        Title of the table.
    notes : sequence of str
        Further remarks, such as which subjects a model was trained on.

    Returns
    -------
    str
        Markdown.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.benchmarks import compare_features
    >>> y, subjects = np.tile([0, 1], 20), np.repeat(["s1", "s2", "s3", "s5"], 10)
    >>> results = compare_features({"label": y[:, None]}, y, subjects, n_splits=2)
    >>> print(report_table(results, title="Odd against even"))  # doctest: +ELLIPSIS
    ### Odd against even
    <BLANKLINE>
    4 subjects (s1-s3, s5), 40 trials. Folds: GroupKFold(2) over subjects, ...
    <BLANKLINE>
    | features            | columns | balanced accuracy | lowest-highest fold |
    | :------------------ | ------: | ----------------: | ------------------: |
    | label               |       1 |     1.000 ± 0.000 |         1.000-1.000 |
    | label, standardised |       1 |     1.000 ± 0.000 |         1.000-1.000 |
    | chance              |       0 | ...
    """
    first = _common(results)
    rows = [
        (name, str(result.n_columns), *_score_cells(result)) for name, result in results.items()
    ]
    head = ("features", "columns", *_SCORE_HEAD)
    protocol = f"{_folds_text(first)} {_PROBE} {_SCORES.format(n=first.scores.size)}"
    table = markdown_table(head, rows, align="lrrr")
    return "\n\n".join([f"### {title}", protocol, table, *notes])


def _score_cells(result: FoldScores) -> tuple[str, str]:
    scores = result.scores
    return f"{result.mean:.3f} ± {result.spread:.3f}", f"{scores.min():.3f}-{scores.max():.3f}"


def _folds_text(result: FoldScores) -> str:
    return _FOLDS.format(
        n_subjects=result.n_subjects,
        subjects=name_ranges(result.subjects),
        n_trials=result.n_trials,
        n_folds=result.n_folds,
        seeds=", ".join(map(str, result.seeds)),
    )


def comparison(results: Mapping[str, FoldScores], name: str, other: str) -> str:
    """Compare two rows fold by fold.

    Parameters
    ----------
    results : dict of str to CrossSubjectScores
        Scores by name, on the same trials and folds.
    name, other : str
        The two rows.

    Returns
    -------
    str
        Mean difference, and number of folds in which the first is higher.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.benchmarks import compare_features
    >>> y, subjects = np.tile([0, 1], 20), np.repeat(list("abcd"), 10)
    >>> results = compare_features({"label": y[:, None]}, y, subjects, n_splits=2)
    >>> comparison(results, "label, standardised", "label")
    'label, standardised against label: +0.000, higher in 0 and lower in 0 of 2 folds.'
    """
    _common({name: results[name], other: results[other]})
    difference = results[name].scores - results[other].scores
    return (
        f"{name} against {other}: {difference.mean():+.3f}, higher in "
        f"{np.sum(difference > 0)} and lower in {np.sum(difference < 0)} of "
        f"{difference.size} folds."
    )


def _common(results: Mapping[str, FoldScores]) -> FoldScores:
    """Return the first result, if all were made on the same trials and folds."""
    if not results:
        raise ValueError("results is empty: there is nothing to report.")
    first = next(iter(results.values()))
    for name, result in results.items():
        for fact in ("seeds", "subjects", "classes", "n_trials", "n_folds"):
            if getattr(result, fact) != getattr(first, fact):
                raise ValueError(
                    f"{name!r} was scored on other trials or folds: its {fact} are "
                    f"{getattr(result, fact)}, those of the first row {getattr(first, fact)}."
                )
    return first


def name_ranges(names: Sequence[str]) -> str:
    """Join names by commas; three or more with consecutive numbers become a range.

    >>> name_ranges(["S001", "S002", "S003", "S007", "S008"])
    'S001-S003, S007, S008'
    """
    runs: list[list[str]] = []
    for name in sorted(names):
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    short = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs]
    return ", ".join(short)


def _follows(name: str, other: str) -> bool:
    """Whether two names differ only in their last number, by one."""
    pattern = re.compile(r"(.*?)(\d+)")
    first, second = pattern.fullmatch(name), pattern.fullmatch(other)
    if first is None or second is None or first[1] != second[1]:
        return False
    return int(second[2]) == int(first[2]) + 1
