# License: BSD-3-Clause
"""Windows are read from a disk or a server, each once in an epoch, from any position on."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from torch.utils.data import DataLoader

from mne_neurorvq.training import CorpusDataset


class _Ranges(SimpleHTTPRequestHandler):
    """A server of parts of files, as buckets are."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if wanted is None or not os.path.isfile(path):
            return super().do_GET()
        size = os.path.getsize(path)
        first, last = wanted.groups()
        start = int(first) if first else max(0, size - int(last))
        stop = min(int(last) + 1, size) if first and last else size
        with open(path, "rb") as file:
            file.seek(start)
            part = file.read(stop - start)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None


@pytest.fixture
def url(corpus):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=corpus))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def same(one, other):
    return (
        (one.id, one.subject) == (other.id, other.subject)
        and np.array_equal(one.data, other.data)
        and np.array_equal(one.rows, other.rows)
    )


def test_sizes_are_known_without_reading(corpus):
    windows = CorpusDataset(corpus, "train")
    assert not windows._arrays
    for number, window in enumerate(windows[i] for i in range(len(windows))):
        patches = windows.n_patches[number]
        assert window.data.shape == (windows.n_channels[number], 200 * patches)
        assert window.rows.shape == (windows.n_channels[number],)
        assert window.subject == windows.subjects[number]
    assert set(windows.n_channels) == {10, 21, 32}
    assert {2, 6} <= set(windows.n_patches)
    assert windows.hours == windows.n_patches.sum() / 3600


def test_a_server_gives_what_the_disk_gives(corpus, url):
    here, there = CorpusDataset(corpus, "train"), CorpusDataset(url, "train")
    assert len(here) == len(there)
    for one, other in zip(here.read(range(len(here))), there.read(range(len(there))), strict=True):
        assert same(one, other)


def test_options_reach_the_server(corpus):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(corpus), "/bucket", recursive=True)
    options = {"skip_instance_cache": True}
    there = CorpusDataset("memory://bucket", "validation", storage_options=options)
    here = CorpusDataset(corpus, "validation")
    assert all(same(here[i], there[i]) for i in range(len(here)))
    with pytest.raises(TypeError, match="no_such_option"):
        CorpusDataset(
            "http://127.0.0.1:1", "train", storage_options={"client_kwargs": {"no_such_option": 1}}
        )


def test_what_is_no_corpus_says_how_one_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.json is not there: .*prepare SOURCE"):
        CorpusDataset(tmp_path)


def test_windows_can_be_numbered_from_the_end_and_no_further(corpus):
    windows = CorpusDataset(corpus, "train")
    assert same(windows[-1], windows[len(windows) - 1])
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_a_data_set_travels_to_other_processes_without_its_open_files(corpus):
    windows = CorpusDataset(corpus, "train")
    first = windows[0]
    assert windows._arrays
    copy = pickle.loads(pickle.dumps(windows))
    assert not copy._arrays
    assert same(copy[0], first)


def test_few_arrays_stay_open(corpus, monkeypatch):
    monkeypatch.setattr("mne_neurorvq.training.corpus.dataset._OPEN", 2)
    windows = CorpusDataset(corpus, "train")
    for number in range(len(windows)):
        assert windows[number].id.endswith(f":{windows.starts[number]}")
        assert len(windows._arrays) <= 2


def test_a_corpus_can_be_moved(corpus, tmp_path):
    moved = shutil.copytree(corpus, tmp_path / "elsewhere")
    assert same(CorpusDataset(moved, "train")[3], CorpusDataset(corpus, "train")[3])


@pytest.mark.parametrize("n_workers", [0, 1, 2])
def test_workers_change_neither_windows_nor_order(corpus, n_workers):
    windows = CorpusDataset(corpus, "train")
    order = np.random.default_rng(5).permutation(len(windows)).tolist()
    loader = DataLoader(
        windows, batch_size=3, sampler=order, num_workers=n_workers, collate_fn=list
    )
    read = [window.id for batch in loader for window in batch]
    assert read == [windows[number].id for number in order]
