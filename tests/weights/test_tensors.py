# License: BSD-3-Clause
"""Checkpoint files are read by what they contain, and each kind of damage is told apart."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mne_neurorvq.weights import CheckpointError, NotACheckpointError, TruncatedError
from mne_neurorvq.weights.tensors import check_finite, read_tensors

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])}


class _Planted:
    """Something that a pickle would call when it is read."""

    def __reduce__(self):
        return print, ("code ran",)


def _same(found, wanted=STATE):
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


@pytest.fixture(params=["zip", "legacy", "safetensors"])
def checkpoint(request, tmp_path):
    path = tmp_path / "model.anything"
    if request.param == "safetensors":
        save_file(STATE, path, metadata={"key": "value"})
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=request.param == "zip")
    return path


def test_the_content_of_a_file_decides_how_it_is_read(checkpoint):
    _same(read_tensors(checkpoint)[0])


def test_a_file_of_torch_may_have_the_name_of_the_other_format(tmp_path):
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.safetensors"
        torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
        _same(read_tensors(path)[0])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_is_refused(tmp_path, layout):
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)], layout=layout)
    torch.save({"a": nested}, tmp_path / "model.pt")
    with pytest.raises(NotACheckpointError, match=r"model\.pt"):
        read_tensors(tmp_path / "model.pt")


def test_metadata_of_safetensors_are_returned(tmp_path):
    save_file(STATE, tmp_path / "model.safetensors", metadata={"key": "value"})
    assert read_tensors(tmp_path / "model.safetensors")[1] == {"key": "value"}


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_file_that_ends_early_is_called_truncated(checkpoint, share):
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(TruncatedError, match=r"model\.anything is truncated.*Get it again"):
        read_tensors(checkpoint)


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "model.pt").touch()
    with pytest.raises(TruncatedError, match="is empty"):
        read_tensors(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><p>Not found", b"x", b"\x00" * 64, b"\xff" * 7 + b"\x7f{}", b"12345678{}"],
    ids=["html", "one byte", "zeros", "no header", "text"],
)
def test_a_file_that_never_was_a_checkpoint_is_called_that(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(NotACheckpointError, match="is not a checkpoint"):
        read_tensors(tmp_path / "model.pt")


def test_a_header_that_describes_no_tensors_is_no_checkpoint(tmp_path):
    header = b'{"a": 1}'
    (tmp_path / "model").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(NotACheckpointError):
        read_tensors(tmp_path / "model")


def test_an_archive_of_something_else_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "arrays.npz", "w") as archive:
        archive.writestr("a.npy", "text")
    with pytest.raises(NotACheckpointError, match=r"arrays\.npz is not a checkpoint"):
        read_tensors(tmp_path / "arrays.npz")


@pytest.mark.parametrize("content", [_Planted(), {"a": _Planted()}], ids=["alone", "in a dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, capsys, content, zipped):
    torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(NotACheckpointError, match="unpickling them could run any code"):
        read_tensors(tmp_path / "model.pt")
    assert "code ran" not in capsys.readouterr().out


def test_a_plain_pickle_is_refused(tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": np.zeros(3)}))
    with pytest.raises(NotACheckpointError):
        read_tensors(tmp_path / "model.pkl")


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1.0}, torch.zeros(3)])
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(NotACheckpointError, match=r"no tensors|is not a state dict"):
        read_tensors(tmp_path / "model.pt")


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "model_state_dict"])
def test_a_state_dict_beside_those_of_a_training_loop_is_found(tmp_path, wrapper):
    torch.save({"epoch": 3, wrapper: STATE, "optimizer": {"lr": 0.1}}, tmp_path / "model.pt")
    _same(read_tensors(tmp_path / "model.pt")[0])


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrapped_modules_are_taken_off(tmp_path, prefix):
    torch.save({f"{prefix}{name}": tensor for name, tensor in STATE.items()}, tmp_path / "model.pt")
    _same(read_tensors(tmp_path / "model.pt")[0])


def test_weights_that_are_not_numbers_are_named():
    tensors = {"good": torch.ones(2), "bad": torch.tensor([1.0, float("nan")])}
    with pytest.raises(CheckpointError, match=r"model\.pt has NaN or infinite values in bad"):
        check_finite(tensors, "model.pt")
