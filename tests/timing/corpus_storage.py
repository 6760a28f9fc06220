# License: BSD-3-Clause
"""Windows per second from a corpus in Zarr and in other libraries' formats.

    python tests/timing/corpus_storage.py [--json FILE] [--recordings SOURCE...] [--windows N]

Compared is what is installed of zarr (the package's own corpus), litdata, webdataset and datasets
(Hugging Face), beside one ``.npy`` file mapped into memory for each recording. All store the same
16-bit windows of 12 s, those of 40 minutes in a recording, and give them in shuffled order as
float32 microvolts. Every reading is a process of its own with one thread.

- ``B/window``: size of the files over the number of windows.
- ``cold/s``, ``warm/s``: windows per second of wall time, the first after the pages of the files
  were dropped from the page cache (a virtual disk may still have them in its host's).
- ``per CPU s``: windows per second of processor time, warm: what a busy machine cannot distort.
- ``raw/s``: windows per second if all bytes are read in sequence, warm.
- ``mixed``: recordings among 16 successive windows, 16 at best.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import facts, report

from mne_neurorvq._sealed import seal
from mne_neurorvq._writing import write_json
from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.training import CorpusDataset, prepare_corpus
from mne_neurorvq.training.corpus.format import INDEX, Entry, window_starts
from mne_neurorvq.training.corpus.storage import CorpusFolder
from mne_neurorvq.training.corpus.summary import make_index
from mne_neurorvq.training.corpus.zarr_arrays import checksum, to_text, write_array

_PATCHES, _PER_RECORDING, _SEED = 12, 200, 0
_TIMES = _PATCHES * NEURORVQ_EEG.patch_size
_STEP = np.float32(0.05)

# Number of the recording, counts (n_channels, n_times) in steps, vocabulary rows.
Stored = tuple[int, np.ndarray, np.ndarray]
Read = Iterator[tuple[int, np.ndarray]]


def stored_windows(sources: list[Path], n_windows: int, folder: Path) -> Iterator[Stored]:
    """Windows of a prepared corpus, again and again, in long recordings of one montage."""
    prepare_corpus(sources, folder / "prepared", validation_fraction=0)
    windows = CorpusDataset(folder / "prepared", "train")
    by_montage: dict[int, list[int]] = {}
    for number in np.flatnonzero(windows.n_patches == _PATCHES).tolist():
        by_montage.setdefault(int(windows.n_channels[number]), []).append(number)
    montages = list(by_montage.values())
    for k in range(n_windows):
        recording = k // _PER_RECORDING
        numbers = montages[recording % len(montages)]
        window = windows[numbers[k % len(numbers)]]
        yield recording, np.rint(window.data / _STEP).astype(np.int16), window.rows


def _recordings(windows: Iterator[Stored]) -> Iterator[Stored]:
    """Join the windows of each recording."""
    parts: list[Stored] = []
    for window in windows:
        if parts and parts[0][0] != window[0]:
            yield parts[0][0], np.concatenate([p[1] for p in parts], axis=1), parts[0][2]
            parts = []
        parts.append(window)
    yield parts[0][0], np.concatenate([p[1] for p in parts], axis=1), parts[0][2]


def _volts(counts: np.ndarray) -> np.ndarray:
    return np.multiply(counts, _STEP, dtype=np.float32)


def write_npy(windows: Iterator[Stored], folder: Path) -> None:
    for recording, counts, _ in _recordings(windows):
        np.save(folder / f"{recording}.npy", counts)


def read_npy(folder: Path) -> Read:
    arrays = {int(path.stem): np.load(path, mmap_mode="r") for path in folder.iterdir()}
    places = [(r, s) for r, array in arrays.items() for s in range(0, array.shape[1], _TIMES)]
    for number in np.random.default_rng(_SEED).permutation(len(places)):
        recording, start = places[number]
        yield recording, _volts(arrays[recording][:, start : start + _TIMES])


def write_zarr(windows: Iterator[Stored], folder: Path) -> None:
    entries, corpus = [], CorpusFolder(folder)
    for recording, counts, rows in _recordings(windows):
        name, n_patches = f"{recording:04d}", counts.shape[1] // NEURORVQ_EEG.patch_size
        ids = tuple(rows.tolist())
        files = write_array(corpus.array(name), counts, _TIMES, {"rows": list(ids)})
        starts = [200 * start for start in window_starts(n_patches, _PATCHES, set())]
        sums = to_text([checksum(counts[:, start : start + _TIMES]) for start in starts])
        entry = Entry("", "", "done", subject="S", id=name, rows=ids, n_patches=n_patches)
        entries.append(replace(entry, files=files, checksums=sums))
    settings = {"patch_size": 200, "window_patches": _PATCHES, "step": float(_STEP)}
    write_json(folder / INDEX, seal(make_index(entries, {"S": "train"}, settings)))


def read_zarr(folder: Path) -> Read:
    windows = CorpusDataset(folder, "train")
    for number in np.random.default_rng(_SEED).permutation(len(windows)):
        window = windows[number]
        yield int(window.id.partition(":")[0]), window.data


def write_litdata(windows: Iterator[Stored], folder: Path) -> None:
    from litdata.streaming.cache import Cache

    cache = Cache(str(folder), chunk_bytes="64MB")
    for i, (recording, counts, rows) in enumerate(windows):
        cache[i] = {"recording": recording, "counts": counts, "rows": rows}
    cache.done()
    cache.merge(1)


def read_litdata(folder: Path) -> Read:
    from litdata import StreamingDataset

    # By default it unpacks 256 windows for one: 20 times slower.
    for item in StreamingDataset(str(folder), shuffle=True, seed=_SEED, batch_decode=0):
        yield item["recording"], _volts(item["counts"])


def write_webdataset(windows: Iterator[Stored], folder: Path) -> None:
    from webdataset import ShardWriter

    with ShardWriter(f"{folder}/%05d.tar", maxsize=64e6, verbose=0) as shards:
        for i, (recording, counts, rows) in enumerate(windows):
            shards.write({"__key__": f"{recording}-{i}", "npy": counts, "rows.npy": rows})


def read_webdataset(folder: Path) -> Read:
    from webdataset import WebDataset

    shards = sorted(map(str, folder.glob("*.tar")))
    for item in WebDataset(shards, shardshuffle=100, seed=_SEED).shuffle(500).decode():
        yield int(item["__key__"].partition("-")[0]), _volts(item["npy"])


def write_datasets(windows: Iterator[Stored], folder: Path) -> None:
    import datasets

    def rows() -> Iterator[dict[str, Any]]:
        for recording, counts, ids in windows:
            yield {"recording": recording, "counts": counts.tobytes(), "rows": ids.tolist()}

    datasets.disable_progress_bars()
    features = {
        "recording": datasets.Value("int64"),
        "counts": datasets.Value("binary"),
        "rows": datasets.Sequence(datasets.Value("int64")),
    }
    with tempfile.TemporaryDirectory(dir=folder.parent) as cache:
        table = datasets.Dataset.from_generator(
            rows, features=datasets.Features(features), cache_dir=cache, writer_batch_size=50
        )
        table.save_to_disk(str(folder), max_shard_size="64MB")


def read_datasets(folder: Path) -> Read:
    import datasets

    table = datasets.load_from_disk(str(folder)).with_format("arrow")
    for number in np.random.default_rng(_SEED).permutation(len(table)).tolist():
        row = table[number]
        counts = np.frombuffer(row["counts"][0].as_buffer(), np.int16)
        yield row["recording"][0].as_py(), _volts(counts.reshape(-1, _TIMES))


_STORES: dict[str, tuple[str, Callable[[Iterator[Stored], Path], None], Callable[[Path], Read]]] = {
    "zarr": ("zarr", write_zarr, read_zarr),
    "litdata": ("litdata", write_litdata, read_litdata),
    "webdataset": ("webdataset", write_webdataset, read_webdataset),
    "datasets": ("datasets", write_datasets, read_datasets),
    "npy, mapped": ("numpy", write_npy, read_npy),
}


def read_all(store: str, folder: Path) -> None:
    """Read a store once and print what it took; to be called in a fresh process."""
    windows = _STORES[store][2](folder)
    next(windows)  # what is imported and opened first counts for none
    wall, cpu = time.perf_counter(), time.process_time()
    order = [recording for recording, _ in windows]
    took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    groups = [order[i : i + 16] for i in range(0, len(order) - 15, 16)]
    mixed = float(np.mean([len(set(group)) for group in groups]))
    print(json.dumps({**took, "n": len(order), "mixed": mixed}))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _forget(folder: Path) -> None:
    """Drop the pages of a folder's files from the page cache (Linux)."""
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _in_sequence(folder: Path) -> float:
    start = time.perf_counter()
    for path in _files(folder):
        with path.open("rb", buffering=0) as file:
            while file.read(4 << 20):
                pass
    return time.perf_counter() - start


def measure(store: str, folder: Path, repeats: int) -> dict[str, float]:
    """Read a store cold and warm; of the warm readings the fastest counts."""

    def read() -> dict[str, float]:
        command = [sys.executable, __file__, "--read", store, str(folder)]
        environment = {**os.environ, "LITDATA_DISABLE_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, check=True, env=environment, stdout=subprocess.PIPE, text=True
        )
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures

    _forget(folder)
    cold = read()
    warm = [read() for _ in range(repeats)]
    sequence = min(_in_sequence(folder) for _ in range(repeats))
    size, n = sum(path.stat().st_size for path in _files(folder)), cold["n"] + 1
    return {
        "bytes_per_window": size / n,
        "cold": cold["n"] / cold["wall"],
        "warm": max(one["n"] / one["wall"] for one in warm),
        "per_cpu_second": max(one["n"] / one["cpu"] for one in warm),
        "raw": n / sequence,
        "mixed": cold["mixed"],
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--recordings", type=Path, nargs="+", help="default: simulated ones")
    parser.add_argument("--windows", type=int, default=4800, help="windows to store (4800)")
    parser.add_argument("--repeats", type=int, default=3, help="warm readings (3)")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read_all(args.read[0], Path(args.read[1]))
        return
    machine = facts(threads=1)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sources = args.recordings or [root / "simulated"]
        if not args.recordings:
            sources[0].mkdir()
            for i, raw in enumerate(simulate_recordings(6, 14, verbose=False)):
                raw.save(sources[0] / f"{i}_raw.fif", verbose=False)
        windows = list(stored_windows(sources, args.windows, root))
        for store, (package, write, _) in _STORES.items():
            if importlib.util.find_spec(package) is None:
                print(f"{store}: {package} is not installed")
                continue
            folder = root / package
            folder.mkdir()
            write(iter(windows), folder)
            figures[store] = measure(store, folder, args.repeats)
    table = [("store", "B/window", "cold/s", "warm/s", "per CPU s", "raw/s", "mixed")]
    for store, row in figures.items():
        *numbers, mixed = row.values()
        table.append((store, *(f"{number:.0f}" for number in numbers), f"{mixed:.1f}"))
    shape = f"{len(windows)} windows, {np.mean([len(w[2]) for w in windows]):.0f} channels"
    print(f"{shape} on average, {_PATCHES} s, best of {args.repeats} warm readings")
    report({"machine": machine, "stores": figures}, table, args.json)


if __name__ == "__main__":
    main()
