# License: BSD-3-Clause
"""Label-free standardisation within groups, such as subjects."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from .._fitting import all_or_nothing
from .._warnings import warn

_FLOATS = (np.float64, np.float32)


class GroupStandardScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise features within each group, without labels.

    Every group is centred and scaled by its own mean and standard deviation, which removes what
    distinguishes subjects from one another (gain, impedance, anatomy) and leaves what
    distinguishes their trials. Nothing is learned from one group for another, so transforming
    all subjects before a subject-wise cross-validation leaks nothing from the training subjects
    to the test subjects. It is transductive: a test subject's own unlabelled trials are used.

    Without groups this is :class:`sklearn.preprocessing.StandardScaler`: statistics of the
    training trials serve all, and a warning says so. scikit-learn hands groups to a step of a
    pipeline only where they are routed: see the last example.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen by :meth:`fit`.
    scaler_ : StandardScaler | None
        What standardises trials without groups; None if :meth:`fit` was given groups.

    Notes
    -----
    A feature that is constant within a group becomes zero there, and so does a group of one
    trial altogether.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0], [3.0], [10.0], [30.0]])
    >>> GroupStandardScaler().fit_transform(X, groups=["a", "a", "b", "b"]).ravel()
    array([-1.,  1., -1.,  1.])

    Groups reach the scaler within a pipeline, and within cross-validation, in four lines:

    >>> import sklearn
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GroupKFold, cross_validate
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y = np.tile(X, (2, 1)), [0, 1] * 4
    >>> groups = ["a", "a", "b", "b", "c", "c", "d", "d"]
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     scaler = GroupStandardScaler()
    ...     scaler.set_fit_request(groups=True).set_transform_request(groups=True)
    ...     scores = cross_validate(make_pipeline(scaler, LogisticRegression()), X, y,
    ...                             cv=GroupKFold(2), params={"groups": groups})
    GroupStandardScaler()
    >>> scores["test_score"]
    array([1., 1.])
    """

    @all_or_nothing
    def fit(self, X: ArrayLike, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Compute the statistics that trials without groups need.

        Parameters
        ----------
        X : array-like, shape (n_trials, n_features)
            Features.
        y : None
            Ignored.
        groups : array-like, shape (n_trials,) | None
            Group of each trial.

        Returns
        -------
        GroupStandardScaler
            Itself.

        Warns
        -----
        UserWarning
            If there are no groups.
        """
        X = validate_data(self, X, dtype=_FLOATS)
        check_consistent_length(X, groups)
        self.scaler_ = None
        if groups is None:
            warn(
                "GroupStandardScaler was fitted without groups, and so standardises all trials "
                "together, as StandardScaler does. Pass groups to fit_transform before a "
                "cross-validation, or route them: set enable_metadata_routing=True, call "
                "scaler.set_fit_request(groups=True).set_transform_request(groups=True), and pass "
                "params={'groups': groups} to cross_validate."
            )
            self.scaler_ = StandardScaler().fit(X)
        return self

    @all_or_nothing
    def fit_transform(
        self, X: ArrayLike, y: Any = None, groups: ArrayLike | None = None
    ) -> NDArray[np.floating]:
        """Fit and standardise.

        Parameters
        ----------
        X : array-like, shape (n_trials, n_features)
            Features.
        y : None
            Ignored.
        groups : array-like, shape (n_trials,) | None
            Group of each trial.

        Returns
        -------
        ndarray, shape (n_trials, n_features)
            Standardised features.
        """
        return self.fit(X, groups=groups).transform(X, groups=groups)

    def transform(self, X: ArrayLike, groups: ArrayLike | None = None) -> NDArray[np.floating]:
        """Standardise each group by its own mean and standard deviation.

        Parameters
        ----------
        X : array-like, shape (n_trials, n_features)
            Features.
        groups : array-like, shape (n_trials,) | None
            Group of each trial, which need not have been seen by :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials, n_features)
            Standardised features.

        Raises
        ------
        ValueError
            If :meth:`fit` was given groups and this call is not, or a trial has no group.
        """
        check_is_fitted(self)
        data: NDArray[np.floating] = validate_data(self, X, reset=False, dtype=_FLOATS, copy=True)
        check_consistent_length(data, groups)
        if groups is None:
            if self.scaler_ is None:
                raise ValueError(
                    "groups is missing: GroupStandardScaler was fitted with groups. Standardise "
                    "before the cross-validation, or route groups to transform "
                    "(set_transform_request(groups=True))."
                )
            scaled: NDArray[np.floating] = self.scaler_.transform(data)
            return scaled
        members = _members(groups)
        for member in range(members.max() + 1):
            rows = members == member
            data[rows] = StandardScaler().fit_transform(data[rows])
        return data


def _members(groups: ArrayLike) -> NDArray[np.intp]:
    """Give each trial the number of its group."""
    labels = column_or_1d(groups)
    for trial, label in enumerate(labels.tolist()):
        if label is None or label != label:  # NaN is the only value unequal to itself
            raise ValueError(f"groups has no group for trial {trial}: {label!r}.")
    members: NDArray[np.intp] = np.unique(labels, return_inverse=True)[1]
    return members
