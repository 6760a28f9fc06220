# License: BSD-3-Clause
"""Simulated recordings, trials of several people, and the loader of PhysioNet motor imagery."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq.datasets import (
    epochs_from_recordings,
    load_eegbci,
    simulate_epochs,
    simulate_recordings,
    trial_column,
)

CORE = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()


@pytest.fixture(scope="module")
def recordings() -> list[mne.io.RawArray]:
    """Six simulated people."""
    return simulate_recordings(n_subjects=6, n_trials=10, verbose=False)


def power(data: np.ndarray, sfreq: float, low: float, high: float) -> np.ndarray:
    """Power of each channel in a band."""
    frequencies = np.fft.rfftfreq(data.shape[-1], 1 / sfreq)
    spectrum = np.abs(np.fft.rfft(data * np.hanning(data.shape[-1]))) ** 2
    return spectrum[..., (frequencies >= low) & (frequencies < high)].mean(axis=-1)


def recording(
    names: str = "Fz Cz Pz",
    *,
    subject: str | None = "anna",
    sfreq: float = 100.0,
    onsets: tuple[float, ...] = (1.0, 3.0, 5.0),
    descriptions: tuple[str, ...] = ("a", "b", "a"),
    first_samp: int = 0,
) -> mne.io.RawArray:
    """Ten seconds in which the value of each sample says its time and channel."""
    info = mne.create_info(names.split(), sfreq, "eeg")
    if subject is not None:
        info["subject_info"] = {"his_id": subject}
    times = np.arange(round(10 * sfreq)) / sfreq
    data = 1e-6 * (times + 100 * np.array([[len(n) + ord(n[0])] for n in names.split()]))
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    return raw.set_annotations(mne.Annotations(onsets, 1.0, descriptions))


class TestSimulatedRecordings:
    """They are like EEG, unlike each other, repeatable, and say what they are."""

    def test_they_say_that_they_are_simulated(self, recordings: list[mne.io.RawArray]) -> None:
        assert all("SIMULATED" in raw.info["description"] for raw in recordings)
        with mne.utils.catch_logging() as log:
            simulate_recordings(n_subjects=1, n_trials=2, random_state=3, verbose="info")
        text = log.getvalue()
        assert "SIMULATED 1 EEG recordings" in text
        assert "random_state=3" in text

    def test_subjects_conditions_and_montages(self, recordings: list[mne.io.RawArray]) -> None:
        subjects = [raw.info["subject_info"]["his_id"] for raw in recordings]
        assert subjects == [f"sim-{number:02d}" for number in range(1, 7)]
        assert [len(raw.ch_names) for raw in recordings] == [32, 21, 19] * 2
        for raw in recordings:
            assert set(CORE) <= set(raw.ch_names)
            assert np.isfinite([ch["loc"][:3] for ch in raw.info["chs"]]).all()
            counts = {
                c: list(raw.annotations.description).count(c) for c in raw.annotations.count()
            }
            assert counts == {"rest": 10, "left": 5, "right": 5}

    def test_trials_lie_within_the_recording_and_do_not_overlap(
        self, recordings: list[mne.io.RawArray]
    ) -> None:
        annotations = recordings[0].annotations
        ends = annotations.onset + annotations.duration
        assert (annotations.onset[1:] >= ends[:-1]).all()
        assert ends[-1] < recordings[0].times[-1]

    def test_amplitudes_are_those_of_scalp_eeg(self, recordings: list[mne.io.RawArray]) -> None:
        for raw in recordings:
            std = 1e6 * raw.get_data().std(axis=1)
            assert std.min() > 5
            assert 9 < np.median(std) < 40
            assert std.max() < 80
            assert np.abs(raw.get_data()).max() < 500e-6

    def test_power_falls_with_frequency_and_peaks_at_alpha(
        self, recordings: list[mne.io.RawArray]
    ) -> None:
        occipital = [power(r.get_data(picks=["O1", "O2"]), 200.0, 5, 15) for r in recordings]
        for raw in recordings:
            data = raw.get_data()
            slow, fast = (power(data, 200.0, *band).mean() for band in ((1, 4), (30, 40)))
            assert slow > 10 * fast
        beside = [power(r.get_data(picks=["O1", "O2"]), 200.0, 13, 16) for r in recordings]
        assert (np.array(occipital) > 3 * np.array(beside)).all()

    def test_people_differ_in_alpha_peak_and_scale(self) -> None:
        people = simulate_recordings(n_subjects=12, n_trials=4, verbose=False)
        peaks, scales = [], []
        for raw in people:
            data = raw.get_data(picks=["O1", "O2"])
            spectrum = (np.abs(np.fft.rfft(data)) ** 2).mean(axis=0)
            frequencies = np.fft.rfftfreq(data.shape[1], 1 / 200.0)
            inside = (frequencies > 7) & (frequencies < 13)
            peaks.append(np.average(frequencies[inside], weights=spectrum[inside]))
            scales.append(raw.get_data(picks=CORE).std())
        assert np.ptp(peaks) > 1
        assert max(scales) > 1.5 * min(scales)

    def test_neighbouring_electrodes_are_correlated(
        self, recordings: list[mne.io.RawArray]
    ) -> None:
        raw = recordings[0].copy().filter(1, 7, verbose="error")
        position = raw.get_montage().get_positions()["ch_pos"]
        r = np.corrcoef(raw.get_data())
        pairs = list(combinations(range(len(raw.ch_names)), 2))
        names = raw.ch_names
        distance = [np.linalg.norm(position[names[i]] - position[names[j]]) for i, j in pairs]
        order = np.argsort(distance)
        r_of_pairs = np.array([r[pair] for pair in pairs])[order]
        assert r_of_pairs[:30].mean() > r_of_pairs[-200:].mean() + 0.3
        assert r_of_pairs[:30].mean() < 0.99

    def test_they_repeat_and_leave_the_global_random_state_alone(
        self, recordings: list[mne.io.RawArray]
    ) -> None:
        state = np.random.get_state()  # noqa: NPY002
        again = simulate_recordings(n_subjects=2, n_trials=10, verbose=False)
        other = simulate_recordings(n_subjects=1, n_trials=10, random_state=1, verbose=False)
        for before, after in zip(state, np.random.get_state(), strict=True):  # noqa: NPY002
            assert_array_equal(before, after)
        # The same people, though fewer of them are asked for.
        for raw, same in zip(recordings[:2], again, strict=True):
            assert_array_equal(raw.get_data(), same.get_data())
            assert list(raw.annotations.description) == list(same.annotations.description)
        assert not np.allclose(recordings[0].get_data(), other[0].get_data())

    def test_nothing_is_simulated_below_the_stated_high_pass(
        self, recordings: list[mne.io.RawArray]
    ) -> None:
        raw = recordings[2]
        assert raw.info["highpass"] == 0.5
        slow, band = (power(raw.get_data(), 200.0, *edges).mean() for edges in ((0, 0.4), (0.5, 2)))
        assert slow < 0.01 * band

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n_subjects": 0}, "n_subjects must be at least 1, got 0"),
            ({"n_trials": 3}, "n_trials must be even and at least 2, got 3"),
            ({"trial_duration": 0.5}, "trial_duration must be at least 1 s, got 0.5"),
            ({"sfreq": 50}, "sfreq must be at least 100 Hz, got 50"),
        ],
    )
    def test_impossible_settings_raise(self, arguments: dict[str, float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            simulate_recordings(**arguments)


class TestSimulatedEpochs:
    """One object for several people, with a class difference of a realistic size."""

    def test_trials_have_labels_and_groups(self) -> None:
        epochs = simulate_epochs(n_subjects=3, n_trials=4, verbose=False)
        assert epochs.ch_names == CORE
        assert epochs.get_data(copy=False).shape == (12, 19, 800)
        assert epochs.event_id == {"left": 1, "right": 2}
        table = epochs.metadata
        assert table["subject"].tolist() == ["sim-01"] * 4 + ["sim-02"] * 4 + ["sim-03"] * 4
        assert table["recording"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
        codes = table["condition"].map(epochs.event_id)
        assert codes.tolist() == epochs.events[:, 2].tolist()
        assert "SIMULATED" in epochs.info["description"]

    @pytest.mark.parametrize("n_subjects", [1, 2])
    def test_channels_do_not_depend_on_the_number_of_people(self, n_subjects: int) -> None:
        epochs = simulate_epochs(n_subjects=n_subjects, n_trials=2, verbose=False)
        three = simulate_epochs(n_subjects=3, n_trials=2, verbose=False)
        assert epochs.ch_names == three.ch_names == CORE
        np.testing.assert_array_equal(epochs.get_data(), three[: len(epochs)].get_data())

    def test_rest_can_be_asked_for(self) -> None:
        epochs = simulate_epochs(
            n_subjects=1, n_trials=4, conditions=["rest", "left"], trial_duration=2, verbose=False
        )
        assert sorted(trial_column(epochs, "condition").tolist()) == ["left"] * 2 + ["rest"] * 4
        assert len(epochs.times) == 400

    @pytest.mark.parametrize("conditions", [("left", "foot"), (), "left"])
    def test_unknown_conditions_raise(self, conditions: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match="conditions must be some of"):
            simulate_epochs(conditions=conditions)

    @pytest.mark.parametrize("conditions", [("left", "right"), ("rest", "left", "right")])
    def test_people_never_seen_are_classified_above_chance_and_below_certainty(
        self, conditions: tuple[str, ...]
    ) -> None:
        epochs = simulate_epochs(conditions=conditions, verbose=False)
        mu = power(epochs.get_data(copy=False), 200.0, 8, 13)
        labels = trial_column(epochs, "condition") == conditions[0]
        scores = cross_val_score(
            make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
            np.log(mu),
            labels,
            groups=trial_column(epochs, "subject"),
            cv=GroupKFold(4),
            scoring="balanced_accuracy",
        )
        assert 0.62 < scores.mean() < 0.9

    def test_the_mu_rhythm_is_suppressed_opposite_to_the_hand(self) -> None:
        epochs = simulate_epochs(conditions=("rest", "left", "right"), verbose=False)
        mu = np.log(power(epochs.get_data(picks=["C3", "C4"]), 200.0, 8, 13))
        condition = trial_column(epochs, "condition")
        c3, c4 = {}, {}
        for name in ("rest", "left", "right"):
            c3[name], c4[name] = mu[condition == name].mean(axis=0)
        assert c3["right"] < c3["left"] < c3["rest"]
        assert c4["left"] < c4["right"] < c4["rest"]


class TestEpochsFromRecordings:
    """Trials are where the annotations are, on what the recordings have in common."""

    def test_trials_hold_the_samples_at_their_annotations(self) -> None:
        epochs = epochs_from_recordings([recording(first_samp=50)], tmin=-0.5, tmax=1.0)
        raw = recording()
        assert epochs.get_data(copy=False).shape == (3, 3, 151)
        assert epochs.tmin == -0.5
        for trial, onset in enumerate((1.0, 3.0, 5.0)):
            start = round((onset - 0.5) * 100)
            expected = raw.get_data(start=start, stop=start + 151)
            assert_allclose(epochs[trial].get_data(copy=False)[0], expected)
        assert epochs.event_id == {"a": 1, "b": 2}
        assert epochs.events[:, 2].tolist() == [1, 2, 1]

    def test_only_the_channels_in_common_are_kept_in_the_order_of_the_first(self) -> None:
        several = [recording("Fz Cz Pz Oz"), recording("Oz Pz Fz", subject="ben")]
        with pytest.warns(UserWarning, match=r"3 channels are in all .* left out: Cz\. picks="):
            epochs = epochs_from_recordings(several, 0.0, 1.0)
        assert epochs.ch_names == ["Fz", "Pz", "Oz"]
        own = epochs[trial_column(epochs, "subject") == "anna"]
        assert_allclose(own.get_data(copy=False)[0], epochs.get_data(copy=False)[3])

    def test_picks_are_a_type_or_names(self) -> None:
        raw = recording("Fz Cz EOG").set_channel_types({"EOG": "eog"})
        assert epochs_from_recordings([raw], 0.0, 1.0).ch_names == ["Fz", "Cz"]
        assert epochs_from_recordings([raw], 0.0, 1.0, picks="eog").ch_names == ["EOG"]
        assert epochs_from_recordings([raw], 0, 1, picks=["EOG", "Fz"]).ch_names == ["EOG", "Fz"]

    def test_event_id_chooses_annotations_and_codes(self) -> None:
        epochs = epochs_from_recordings([recording()], 0.0, 1.0, {"b": 7})
        assert epochs.event_id == {"b": 7}
        assert trial_column(epochs, "condition").tolist() == ["b"]

    def test_events_of_several_recordings_stay_apart(self) -> None:
        several = [recording(), recording(subject="ben", first_samp=300), recording()]
        epochs = epochs_from_recordings(several, 0.0, 1.0)
        assert (np.diff(epochs.events[:, 0]) > 0).all()
        assert trial_column(epochs, "recording").tolist() == [0] * 3 + [1] * 3 + [2] * 3
        assert trial_column(epochs, "subject").tolist() == ["anna"] * 3 + ["ben"] * 3 + ["anna"] * 3

    def test_bad_and_incomplete_trials_are_left_out_and_logged(self) -> None:
        raw = recording(onsets=(1.0, 3.0, 9.0, 3.5), descriptions=("a", "b", "a", "BAD_move"))
        with mne.utils.catch_logging() as log:
            epochs = epochs_from_recordings([raw, recording(subject="ben")], 0.0, 1.0, verbose=True)
        assert trial_column(epochs, "subject").tolist() == ["anna"] + ["ben"] * 3
        assert "2 of 6 trials left out" in log.getvalue()
        assert_allclose(epochs.get_data(copy=False)[1], epochs.get_data(copy=False)[0])

    def test_a_channel_bad_in_one_recording_is_marked_bad(self) -> None:
        several = [recording(), recording(subject="ben")]
        several[1].info["bads"] = ["Cz"]
        epochs = epochs_from_recordings(several, 0.0, 1.0)
        assert epochs.info["bads"] == ["Cz"]
        assert several[0].info["bads"] == []

    def test_info_says_nothing_that_holds_for_one_recording_only(self) -> None:
        several = [recording(), recording(subject="ben")]
        several[0].info["description"] = "first"
        with several[1].info._unlock():
            several[1].info["lowpass"] = 40.0
        several[0].set_meas_date(0)
        epochs = epochs_from_recordings(several, 0.0, 1.0)
        assert epochs.info["subject_info"] is None
        assert epochs.info["description"] is None
        assert epochs.info["meas_date"] is None
        assert epochs.info["lowpass"] == 50.0
        alone = epochs_from_recordings(several[:1], 0.0, 1.0).info
        assert alone["subject_info"]["his_id"] == "anna"
        assert alone["description"] == "first"

    def test_differing_rates_raise_until_one_is_chosen(self) -> None:
        several = [recording(), recording(subject="ben", sfreq=200.0)]
        with pytest.raises(ValueError, match=r"rates of \[100.0, 200.0\] Hz: pass sfreq="):
            epochs_from_recordings(several, 0.0, 1.0)
        epochs = epochs_from_recordings(several, 0.0, 1.0, sfreq=100.0)
        assert epochs.info["sfreq"] == 100
        data = epochs.get_data(copy=False)
        assert_allclose(data[3:], data[:3], atol=2e-8)  # seconds, in microvolts: up to 20 ms
        assert several[1].info["sfreq"] == 200

    @pytest.mark.parametrize("first", [(8.0, 30.0), (0.5, 30.0)])
    def test_recordings_filtered_differently_cause_one_warning(
        self, first: tuple[float, float]
    ) -> None:
        several = [recording(subject=name) for name in ("anna", "ben", "cleo")]
        for raw, band in zip(several, (first, (0.5, 44.5), (8.0, 44.5)), strict=True):
            with raw.info._unlock():
                raw.info["highpass"], raw.info["lowpass"] = band
        with pytest.warns(UserWarning, match="recording 0 was .*-30 Hz, others to 0.5-44.5") as got:
            epochs = epochs_from_recordings(several, 0.0, 1.0)
        assert len(got) == 1
        assert (epochs.info["highpass"], epochs.info["lowpass"]) == (0.5, 44.5)

    def test_a_long_annotation_gives_as_many_trials_as_fit(self) -> None:
        raw = recording(onsets=(1.0, 5.0), descriptions=("a", "b"))
        raw.annotations.set_durations(2.5)
        epochs = epochs_from_recordings([raw], 0.0, 0.99, chunk_duration=1.0)
        assert trial_column(epochs, "condition").tolist() == ["a", "a", "b", "b"]
        assert_allclose(epochs.events[:, 0] / 100, [1, 2, 5, 6])

    def test_rates_that_are_one_need_no_resampling(self) -> None:
        several = [recording(), recording(subject="ben", sfreq=100.00005)]
        epochs = epochs_from_recordings(several, 0.0, 1.0)
        assert_allclose(epochs[3].get_data(copy=False), epochs[0].get_data(copy=False))
        with pytest.raises(ValueError, match=r"rates of \[100.0, 100.01\] Hz: pass sfreq="):
            epochs_from_recordings([recording(), recording(sfreq=100.01)], 0.0, 1.0)

    def test_resampling_leaves_a_marked_gap_where_it_is(self) -> None:
        raw = recording(sfreq=200.0, onsets=(1.0, 5.0), descriptions=("a", "b"))
        raw._data[1, 700:760] = np.nan
        with pytest.raises(ValueError, match=r"'Cz' .* from 3\.500 to 3\.800 s"):
            epochs_from_recordings([raw], 0.0, 1.0, sfreq=100.0)
        raw.annotations.append(3.5, 0.3, "BAD_gap")
        epochs = epochs_from_recordings([raw], 0.0, 1.0, sfreq=100.0)
        whole = recording(sfreq=200.0, onsets=(1.0, 5.0), descriptions=("a", "b"))
        expected = epochs_from_recordings([whole], 0.0, 1.0, sfreq=100.0)
        data, truth = epochs.get_data(copy=False), expected.get_data(copy=False)
        assert_allclose(data, truth, atol=2e-9)

    @pytest.mark.parametrize(
        ("several", "arguments", "message"),
        [
            ([], {}, "recordings is empty"),
            ([recording(subject=None)], {}, "recording 0 does not say whose it is"),
            (
                [recording(), recording("O1 O2")],
                {},
                "no channel of type 'eeg' in common: set picks=",
            ),
            ([recording()], {"picks": "emg"}, "no channel of type 'emg' in common"),
            ([recording()], {"picks": ["Fz", "X"]}, r"recording 0 has no channels \['X'\]"),
            (
                [recording(), recording(descriptions=("c",) * 3)],
                {"event_id": {"a": 1}},
                r"recording 1 has none of the annotations \['a'\]; it has \['c'\]",
            ),
            (
                [recording(), recording(onsets=(), descriptions=())],
                {},
                r"recording 1 has no annotations to cut at: raw.set_annotations\(",
            ),
            (
                [recording(descriptions=("BAD",) * 3)],
                {},
                "recording 0 has no annotations to cut at",
            ),
            ([recording()], {"event_id": {"a": 1, "b": 1}}, "its own code"),
            ([recording()], {"tmax": 9.5}, "no trial from 0 to 9.5 s lies within"),
        ],
    )
    def test_what_cannot_be_cut_raises(
        self, several: list[mne.io.RawArray], arguments: dict[str, object], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            epochs_from_recordings(several, **({"tmin": 0.0, "tmax": 1.0} | arguments))


class TestTrialColumn:
    """Groups and labels are had with and without pandas."""

    def test_an_absent_column_raises_and_names_those_there(self) -> None:
        epochs = epochs_from_recordings([recording()], 0.0, 1.0)
        with pytest.raises(KeyError, match=r"'age', only .*'subject', 'recording', 'condition'"):
            trial_column(epochs, "age")
        epochs.metadata = None
        with pytest.raises(KeyError, match="subject"):
            trial_column(epochs, "subject")

    def test_trials_are_made_without_pandas(self, tmp_path: Path) -> None:
        script = (
            "import importlib.abc, sys\n"
            "class NoPandas(importlib.abc.MetaPathFinder):\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.partition('.')[0] == 'pandas': raise ModuleNotFoundError(name)\n"
            "sys.meta_path.insert(0, NoPandas())\n"
            "from mne_neurorvq.datasets import simulate_epochs, trial_column\n"
            "epochs = simulate_epochs(n_subjects=2, n_trials=2, verbose=False)\n"
            "print(*trial_column(epochs[1:], 'subject'))\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert result.stdout.split() == ["sim-01", "sim-02", "sim-02"]


class TestEEGBCI:
    """Real recordings are read without a network and without touching MNE's configuration."""

    @pytest.mark.parametrize("where", ["data", "data/MNE-eegbci-data"])
    @pytest.mark.parametrize("by_environment", [True, False])
    def test_either_folder_is_found(
        self, shared: Path, monkeypatch: pytest.MonkeyPatch, where: str, by_environment: bool
    ) -> None:
        folder = shared / where
        monkeypatch.delenv("MNE_DATASETS_EEGBCI_PATH", raising=False)
        if by_environment:
            monkeypatch.setenv("MNE_DATASETS_EEGBCI_PATH", str(folder))
        config = Path(mne.get_config_path())
        before = config.read_text() if config.exists() else None
        (raw,) = load_eegbci(1, 4, path=None if by_environment else str(folder), verbose=False)
        assert raw.n_times == 20_000
        assert (config.read_text() if config.exists() else None) == before

    def test_recordings_are_named_placed_and_labelled(self, shared: Path) -> None:
        several = load_eegbci([3, 15], runs=[1, 2, 12], path=shared / "data", verbose=False)
        assert [raw.info["subject_info"]["his_id"] for raw in several] == ["S003"] * 3 + [
            "S015"
        ] * 3
        labels = [set(raw.annotations.description) for raw in several[:3]]
        assert labels == [{"eyes_open"}, {"eyes_closed"}, {"rest", "left", "right"}]
        assert several[2].info["description"] == "PhysioNet eegmmidb, run 12"
        # The scores of a demo would not tell whether left and right are exchanged.
        codes = mne.read_annotations(several[2].filenames[0]).description
        meaning = {"T0": "rest", "T1": "left", "T2": "right"}
        assert several[2].annotations.description.tolist() == [meaning[code] for code in codes]
        for raw in several:
            assert len(raw.ch_names) == 64
            assert {*CORE, "FCz", "Iz"} <= set(raw.ch_names)
            assert np.isfinite([ch["loc"][:3] for ch in raw.info["chs"]]).all()
            assert not raw.preload

    def test_trials_of_several_people_are_cut(self, shared: Path) -> None:
        several = load_eegbci([1, 2], runs=[4, 8], path=shared / "data", verbose=False)
        epochs = epochs_from_recordings(
            several, 0.0, 4 - 1 / 160, {"left": 1, "right": 2}, verbose=False
        )
        assert epochs.get_data(copy=False).shape == (60, 64, 640)
        groups, counts = np.unique(trial_column(epochs, "subject"), return_counts=True)
        assert (groups.tolist(), counts.tolist()) == (["S001", "S002"], [30, 30])
        std = epochs.get_data(copy=False).std(axis=-1)
        assert 5e-6 < np.median(std) < 1e-4
        start = several[0].annotations.onset[1]
        first = several[0].get_data(start=round(start * 160), stop=round(start * 160) + 640)
        assert_allclose(epochs.get_data(copy=False)[0], first)

    def test_an_absent_folder_raises_instead_of_being_made(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"absent for the EEGBCI data does not exist"):
            load_eegbci(1, path=tmp_path / "absent")
        assert not (tmp_path / "absent").exists()

    @pytest.mark.parametrize(
        ("subjects", "runs", "message"),
        [
            (0, 4, r"subjects must be from 1 to 109, got \[0\]"),
            ([], 4, "subjects must be from 1 to 109, got none"),
            (1, [4, 15], r"runs must be from 1 to 14, got \[15\]"),
        ],
    )
    def test_numbers_that_do_not_exist_raise(
        self, subjects: object, runs: object, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            load_eegbci(subjects, runs)
