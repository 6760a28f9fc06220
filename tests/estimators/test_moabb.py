# License: BSD-3-Clause
"""In MOABB: Epochs reach the estimators with names and volts, and every subject gets a score."""

from __future__ import annotations

from functools import wraps

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from optional_library import import_or_skip
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mne_neurorvq import NeuroRVQClassifier, NeuroRVQTransformer

TINY = "neurorvq-eeg-tiny-random"
CHANNELS = tuple("FC3 FC4 C3 Cz C4 CP3 CP4 Pz".split())
SFREQ = 250.0
N_SUBJECTS, N_TRIALS = 3, 8

# MOABB creates a table of its results without saying of which type.
pytestmark = pytest.mark.filterwarnings("ignore:Creating a dataset without passing data or dtype")


def record(subject: int) -> mne.io.RawArray:
    """Alternate left and right, in volts, the right ones stronger over C3."""
    rng = np.random.default_rng(subject)
    onsets = 1.0 + 3.0 * np.arange(N_TRIALS)
    data = 2e-5 * rng.standard_normal((len(CHANNELS), int(SFREQ * (onsets[-1] + 3))))
    for onset in onsets[1::2]:
        data[2, int(SFREQ * onset) : int(SFREQ * (onset + 2))] *= 4
    info = mne.create_info(list(CHANNELS), SFREQ, "eeg")
    raw = mne.io.RawArray(data, info, verbose="error")
    sides = ["left_hand", "right_hand"] * (N_TRIALS // 2)
    return raw.set_annotations(mne.Annotations(onsets, 2.0, sides))


@pytest.fixture
def moabb():
    return import_or_skip("moabb")


@pytest.fixture
def dataset(moabb):
    """Three subjects in memory."""
    from moabb.datasets.base import BaseDataset

    class InMemory(BaseDataset):
        def __init__(self):
            super().__init__(
                subjects=list(range(1, N_SUBJECTS + 1)),
                sessions_per_subject=1,
                events={"left_hand": 1, "right_hand": 2},
                code="InMemory",
                interval=[0, 2],
                paradigm="imagery",
            )

        def _get_single_subject_data(self, subject):
            return {"0": {"0": record(subject)}}

        def data_path(self, *args, **kwargs):
            raise AssertionError("nothing is to be downloaded")

    return InMemory()


@pytest.fixture
def paradigm(moabb):
    """Left against right, in the model's band, two seconds without the sample after them."""
    from moabb.paradigms import LeftRightImagery

    return LeftRightImagery(fmin=0.5, fmax=44.5, tmax=2.0 - 1 / SFREQ)


@pytest.fixture
def evaluate(dataset, paradigm, tmp_path):
    """Evaluate pipelines across subjects; the results are kept for the next call."""
    from moabb.evaluations import CrossSubjectEvaluation

    def evaluate(**pipelines):
        evaluation = CrossSubjectEvaluation(
            paradigm, [dataset], hdf5_path=str(tmp_path), return_epochs=True, random_state=0
        )
        return evaluation.process(pipelines)

    return evaluate


@pytest.fixture
def seen(monkeypatch):
    """The trials that each fit was given."""
    trials = []

    def note(kind, name):
        fit = getattr(kind, name)

        @wraps(fit)
        def noted(self, X, *args, **kwargs):
            trials.append(X)
            return fit(self, X, *args, **kwargs)

        monkeypatch.setattr(kind, name, noted)

    note(NeuroRVQTransformer, "fit_transform")  # what a pipeline calls
    note(NeuroRVQClassifier, "fit")
    return trials


def embedding(**parameters):
    return make_pipeline(NeuroRVQTransformer(TINY, **parameters), LogisticRegression(max_iter=1000))


def classifier(**parameters):
    quick = dict(finetune="head", max_epochs=40, batch_size=8, lr=2e-3, random_state=0)
    return NeuroRVQClassifier(TINY, **quick | parameters)


def test_every_subject_gets_a_score_from_every_pipeline(evaluate):
    results = evaluate(embedding=embedding(), classifier=classifier())
    for _, found in results.groupby("pipeline"):
        assert sorted(found["subject"]) == ["1", "2", "3"]
        assert set(found["samples"]) == {(N_SUBJECTS - 1) * N_TRIALS}
        assert set(found["samples_test"]) == {N_TRIALS}
        assert set(found["channels"]) == {len(CHANNELS)}
        assert (found["score"] > 0.8).all()  # the amplitude over C3 tells the sides apart
    assert set(results["pipeline"]) == {"embedding", "classifier"}


@pytest.mark.parametrize("pipeline", [embedding(), classifier()], ids=["embedding", "classifier"])
def test_epochs_arrive_with_names_and_in_volts(pipeline, evaluate, paradigm, dataset, seen):
    evaluate(pipeline=pipeline)
    epochs, labels, metadata = paradigm.get_data(dataset, return_epochs=True)
    assert set(labels) == {"left_hand", "right_hand"}
    assert len(seen) == N_SUBJECTS
    seen = seen.copy()  # the transformers below are noted, too
    expected = NeuroRVQTransformer(TINY).fit_transform(epochs)
    for left_out, trials in zip("123", seen, strict=True):
        assert isinstance(trials, mne.BaseEpochs)
        assert trials.ch_names == list(CHANNELS)
        # Of the microvolts that were recorded, in volts.
        assert 1e-5 < trials.get_data(copy=False).std() < 6e-5
        train = metadata["subject"].astype(str).to_numpy() != left_out
        assert_array_equal(NeuroRVQTransformer(TINY).fit_transform(trials), expected[train])


def test_arrays_of_moabb_mean_the_same_as_its_epochs(paradigm, dataset):
    epochs, _, _ = paradigm.get_data(dataset, return_epochs=True)
    arrays, _, _ = paradigm.get_data(dataset)  # microvolts, without names
    named = NeuroRVQTransformer(TINY, ch_names=list(CHANNELS), sfreq=SFREQ)
    found = named.fit_transform(arrays)
    np.testing.assert_allclose(found, NeuroRVQTransformer(TINY).fit_transform(epochs), atol=1e-5)


def test_kept_results_are_not_taken_for_those_of_other_parameters(evaluate, seen):
    few = dict(max_epochs=1)
    for n_fits, pipeline in (
        (3, embedding()),
        (3, embedding()),  # nothing was computed again
        (6, embedding(pool="time")),
        (9, classifier(**few)),
        (9, classifier(**few)),
        (12, classifier(**few, finetune="full")),
    ):
        evaluate(pipeline=pipeline)
        assert len(seen) == n_fits
    with pytest.raises(ValueError, match="revision='other' is for models that are downloaded"):
        evaluate(pipeline=embedding(revision="other"))


def test_nothing_is_written_into_the_home(evaluate, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "_MNE_FAKE_HOME_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    evaluate(embedding=embedding(), classifier=classifier(max_epochs=1))
    assert list(home.rglob("*")) == []
