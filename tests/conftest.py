# License: BSD-3-Clause
"""What every test shares: a quiet, offline, repeatable process and the folder of recordings."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a worker: read when NumPy and torch are imported, hence before any test is.
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "Agg"
# scikit-learn skips its checks of array API input without it; read when SciPy is imported.
os.environ["SCIPY_ARRAY_API"] = "1"

# Examples are drawn from a fixed seed: a failure in CI is the same failure everywhere.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("repeatable")

_HOMES = pytest.StashKey[str]()
_LOCAL = ("127.0.0.1", "::1", "localhost", "")


def pytest_configure(config: pytest.Config) -> None:
    """Give MNE and the Hugging Face cache an empty home, so that no test sees the user's."""
    home = tempfile.mkdtemp(prefix="mne_neurorvq_tests_")
    config.stash[_HOMES] = home
    os.environ["_MNE_FAKE_HOME_DIR"] = home
    os.environ["HF_HOME"] = str(Path(home) / "huggingface")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that home."""
    shutil.rmtree(config.stash[_HOMES], ignore_errors=True)


def pytest_report_header() -> str:
    """Say which copy of the package is tested."""
    import mne_neurorvq

    return f"mne_neurorvq: {mne_neurorvq.__version__} from {Path(mne_neurorvq.__file__).parent}"


@pytest.fixture(autouse=True)
def _nothing_said() -> Iterator[None]:
    """Let each test hear what is said once in a process."""
    from mne_neurorvq import _warnings

    _warnings._said_for_good.clear()
    yield
    _warnings._said_for_good.clear()


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines; a server on this one may be talked to."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOCAL:
            raise OSError(f"a test without the marker 'network' tried to reach {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the recordings and the recorded outputs of the authors' code."""
    folder = Path(
        os.environ.get("MNE_NEURORVQ_SHARED", Path(__file__).resolve().parents[2] / "shared")
    )
    if not folder.is_dir():
        pytest.skip(f"needs the shared folder: {folder} is absent (set MNE_NEURORVQ_SHARED)")
    return folder


@pytest.fixture
def close_figures() -> Iterator[None]:
    """Close every figure that a test opened."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
