# License: BSD-3-Clause
"""Files of amplifiers and of EEGLAB, which MNE reads but does not write, from the command line."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from optional_library import import_or_skip
from scipy.io import savemat

from mne_neurorvq import BioCodecTransformer, NeuroRVQTransformer, Tokens
from mne_neurorvq.cli import main
from mne_neurorvq.datasets import simulate_recordings

# What is written and what is read are compared as they are.
pytestmark = pytest.mark.filterwarnings("ignore:The Epochs hold")


def write_gdf(path: Path, raw: mne.io.BaseRaw) -> None:
    """Write GDF 1.25, one record a second, integers of 0.1 microvolts."""
    n, rate = len(raw.ch_names), round(raw.info["sfreq"])
    digital = _digital(raw)
    n_records = digital.shape[1] // rate
    header = b"GDF 1.25" + b"X X".ljust(80) + b"".ljust(80) + b"2020010112000000"
    header += np.int64(256 * (n + 1)).tobytes() + bytes(44)
    header += np.int64(n_records).tobytes() + np.array([1, 1, n], "<u4").tobytes()
    header += b"".join(name.encode().ljust(16) for name in raw.ch_names)
    header += bytes(80 * n) + b"uV".ljust(8) * n
    for limits in (np.full(n, -3276.8), np.full(n, 3276.7)):
        header += limits.astype("<f8").tobytes()
    for limits in (np.full(n, -32768), np.full(n, 32767)):
        header += limits.astype("<i8").tobytes()
    header += bytes(80 * n) + np.full(n, rate, "<i4").tobytes() + np.full(n, 3, "<i4").tobytes()
    header += bytes(32 * n)
    records = digital[:, : n_records * rate].reshape(n, n_records, rate).transpose(1, 0, 2)
    # A table of no events.
    path.write_bytes(header + records.astype("<i2").tobytes() + bytes([1, rate, 0, 0, 0, 0, 0, 0]))


def write_cnt(path: Path, raw: mne.io.BaseRaw) -> None:
    """Write Neuroscan's CNT, integers of 0.1 microvolts."""
    digital = _digital(raw)
    n, n_times = digital.shape
    header = bytearray(900 + 75 * n)

    def put(place: int, value: np.generic | bytes) -> None:
        data = value if isinstance(value, bytes) else value.tobytes()
        header[place : place + len(data)] = data

    put(225, b"01/01/20")
    put(235, b"12:00:00")
    put(370, np.uint16(n))
    put(376, np.uint16(round(raw.info["sfreq"])))
    put(864, np.int32(n_times))
    put(886, np.int32(len(header) + 2 * n * n_times))
    for i, name in enumerate(raw.ch_names):
        put(900 + 75 * i, name.encode()[:9])
        put(900 + 75 * i + 19, np.float32(i + 1))
        put(900 + 75 * i + 23, np.float32(2 * i + 1))
        put(900 + 75 * i + 59, np.float32(1.0))
        put(900 + 75 * i + 71, np.float32(20.48))
    table = bytes([1]) + bytes(8)  # of no events
    path.write_bytes(bytes(header) + digital.T.astype("<i2").tobytes() + table)


def write_egi(path: Path, raw: mne.io.BaseRaw) -> None:
    """Write EGI's simple binary format, microvolts in single precision."""
    n, n_times = len(raw.ch_names), raw.n_times
    header = np.array([4], ">i4").tobytes()
    header += np.array([2020, 1, 1, 12, 0, 0], ">i2").tobytes() + bytes(4)
    header += np.array([round(raw.info["sfreq"]), n, 0, 0, 0], ">i2").tobytes()
    header += np.array([n_times], ">i4").tobytes() + bytes(2)
    path.write_bytes(header + (1e6 * raw.get_data()).T.astype(">f4").tobytes())


def write_epoched_set(path: Path, epochs: mne.BaseEpochs) -> None:
    """Write Epochs in EEGLAB's format, in one file."""
    data = 1e6 * epochs.get_data()
    n_trials, n_channels, n_times = data.shape
    events = [
        {"type": "window", "latency": float(i * n_times + 1), "epoch": i + 1}
        for i in range(n_trials)
    ]
    savemat(
        path,
        {
            "EEG": {
                "setname": "test",
                "nbchan": n_channels,
                "trials": n_trials,
                "pnts": n_times,
                "srate": epochs.info["sfreq"],
                "xmin": 0.0,
                "xmax": epochs.times[-1],
                "data": data.transpose(1, 2, 0),
                "chanlocs": [{"labels": name} for name in epochs.ch_names],
                "event": events,
                "epoch": [
                    {"event": i + 1, "eventtype": "window", "eventlatency": 0.0}
                    for i in range(n_trials)
                ],
                "icawinv": [],
                "icaweights": [],
                "icasphere": [],
                "icaact": [],
            }
        },
    )


def _digital(raw: mne.io.BaseRaw) -> np.ndarray:
    """Signals as multiples of 0.1 microvolts, shape (n_channels, n_times)."""
    return np.round(1e7 * raw.get_data()).astype(int)


@pytest.fixture(scope="module")
def raw():
    return simulate_recordings(1, 2, verbose=False)[0].pick(["C3", "Cz", "C4"])


def tokenized(path, *arguments):
    out = path.parent / "out"
    assert main(["tokenize", str(path), "-o", str(out), "--no-filter", *arguments]) == 0
    return Tokens.load(out / f"{path.stem}-tokens.h5")


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.gdf", write_gdf), ("a.GDF", write_gdf), ("a.cnt", write_cnt), ("A.CNT", write_cnt)],
)
def test_recordings_of_amplifiers_are_tokenized(name, write, raw, tmp_path):
    write(tmp_path / name, raw)
    tokens = tokenized(tmp_path / name, "--pretrained", "neurorvq-eeg-tiny-random")
    assert tokens.ch_names == ("C3", "Cz", "C4")
    read = mne.io.read_raw(tmp_path / name, verbose="error")
    np.testing.assert_allclose(read.get_data()[:, :3000], raw.get_data()[:, :3000], atol=6e-8)
    epochs = mne.make_fixed_length_epochs(read, 4.0, preload=True, verbose="error")
    fitted = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs)
    np.testing.assert_array_equal(fitted.tokenize(epochs).codes, tokens.codes)


def test_the_simple_binary_format_of_egi_is_tokenized(raw, tmp_path):
    write_egi(tmp_path / "net.raw", raw)
    tokens = tokenized(tmp_path / "net.raw", "--pretrained", "biocodec-eeg-tiny-random")
    assert tokens.ch_names == ("E1", "E2", "E3")
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="error")
    epochs.rename_channels(dict(zip(epochs.ch_names, tokens.ch_names, strict=True)))
    fitted = BioCodecTransformer("biocodec-eeg-tiny-random").fit(epochs)
    assert np.mean(fitted.tokenize(epochs).codes == tokens.codes) > 0.99


def test_epochs_of_eeglab_are_tokenized_as_they_are(raw, tmp_path):
    pytest.importorskip("pymatreader", reason="MNE reads EEGLAB's files with it")
    epochs = mne.make_fixed_length_epochs(raw, 3.0, preload=True, verbose="error")
    write_epoched_set(tmp_path / "some.set", epochs)
    tokens = tokenized(tmp_path / "some.set", "--pretrained", "neurorvq-eeg-tiny-random")
    assert (len(tokens), tokens.n_times) == (len(epochs), 600)
    fitted = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs)
    np.testing.assert_array_equal(fitted.tokenize(epochs).codes, tokens.codes)


def test_records_of_physionet_become_tokens_and_another_kind_of_model_is_refused(
    tmp_path, shared, capsys
):
    import_or_skip("wfdb", "ecg")
    record = str(shared / "data/ecg_ptbxl/records500/00000/00001_hr.hea")
    arguments = ["tokenize", record, "-o", str(tmp_path), "--pretrained"]
    assert main([*arguments, "neurorvq-ecg-tiny-random"]) == 0
    tokens = Tokens.load(tmp_path / "00001_hr-tokens.h5")
    assert tokens.codes.shape[:3] == (2, 12, 20)  # 10 s in windows of 4 s, patches of 0.2 s
    assert main([*arguments, "neurorvq-eeg-tiny-random", "--overwrite"]) == 1
    said = capsys.readouterr().err
    assert "neurorvq-eeg-tiny-random reads EEG, of which there is no channel, only ECG" in said
