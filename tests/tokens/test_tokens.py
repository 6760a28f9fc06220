# License: BSD-3-Clause
"""Tokens: agreement of the parts, selection of trials, files, tables."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mne_neurorvq import Tokens
from mne_neurorvq.tokens.file import bit_width, pack, unpack


def make_tokens(
    n_trials: int = 5,
    n_channels: int = 3,
    segments: tuple[int, ...] = (3, 2),
    n_codebooks: int = 4,
    n_levels: int = 8,
    n_codes: int = 512,
    seed: int = 0,
    **changes: Any,
) -> Tokens:
    """Tokens of trials of sum(segments) patches, the last overlapping by 40 samples."""
    rng = np.random.default_rng(seed)
    shape = (n_trials, n_channels, sum(segments), n_codebooks, n_levels)
    parts: dict[str, Any] = {
        "codes": rng.integers(0, n_codes, shape),
        "side": rng.normal(size=(n_trials, len(segments), 2)),
        "n_codes": n_codes,
        "model": "neurorvq-eeg-tiny-random",
        "revision": "main",
        "ch_names": tuple(f"EEG {i}" for i in range(n_channels)),
        "channel_rows": tuple(range(7, 7 + n_channels)),
        "sfreq": 160.0,
        "n_times": (sum(segments) * 200 - 40) * 160 // 200,
        "model_sfreq": 200.0,
        "patch_size": 200,
        "segments": segments,
        "overlap": 40,
        "tmin": -0.5,
        "events": np.c_[np.arange(n_trials) * 700, np.zeros(n_trials), np.arange(n_trials) % 2 + 1],
        "event_id": {"left": 1, "right": 2},
        "metadata": pd.DataFrame(
            {
                "subject": [f"S{i // 2:03d}" for i in range(n_trials)],
                "block": np.arange(n_trials, dtype=np.int32),
                "score": np.linspace(0, 1, n_trials) if n_trials else np.empty(0),
                "good": np.arange(n_trials) % 2 == 0,
            }
        ),
        "left_out": ("EOG",),
    }
    parts["events"] = parts["events"].astype(int)
    return Tokens(**(parts | changes))


class TestParts:
    """Parts that do not agree never become tokens."""

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"codes": np.zeros((5, 3, 5, 4), int)}, ValueError, "codes must have the axes"),
            ({"codes": np.zeros((5, 0, 5, 4, 8), int)}, ValueError, "codes must have the axes"),
            ({"codes": np.zeros((5, 3, 5, 4, 8))}, TypeError, "codes must be integers.*float64"),
            ({"side": np.zeros((5, 1, 2))}, ValueError, r"n_segments=2, n_s.*got \(5, 1, 2\)"),
            ({"side": np.full((5, 2, 2), np.nan)}, ValueError, "in trial 0, segment 0"),
            ({"side": np.full((5, 2, 2), 1e39)}, ValueError, "in trial 0, segment 0"),
            ({"codes": np.zeros((5, 3, 6, 4, 8), int)}, ValueError, "5 patches, but codes have 6"),
            ({"segments": (5, 0)}, ValueError, "segments must be at least 1, got 0"),
            ({"ch_names": ("a", "b")}, ValueError, "ch_names has 2 entries.* 3 channels"),
            ({"ch_names": ("a", "b", "a")}, ValueError, "ch_names must differ"),
            ({"ch_names": "abc"}, TypeError, "ch_names must be a sequence of strings"),
            ({"channel_rows": (1, 2)}, ValueError, "channel_rows has 2 entries"),
            ({"channel_rows": (1, 2, 2)}, ValueError, "channel_rows must differ"),
            ({"channel_rows": (1, 2, -3)}, ValueError, "channel_rows must be at least 0, got -3"),
            ({"channel_rows": (1, 2, 3.5)}, TypeError, "channel_rows must be an integer, got 3.5"),
            ({"n_codes": 512.0}, TypeError, "n_codes must be an integer, got 512.0"),
            ({"patch_size": 0}, ValueError, "patch_size must be at least 1, got 0"),
            ({"sfreq": 0}, ValueError, "sfreq must be a positive finite number, got 0"),
            ({"tmin": np.inf}, ValueError, "tmin must be a finite number, got inf"),
            ({"overlap": 200}, ValueError, "overlap must be smaller than patch_size=200, got 200"),
            ({"n_times": 640}, ValueError, "cover 960 samples .* n_times=640 .* are 800"),
            ({"model_sfreq": 160.0}, ValueError, "the patches cover 960 samples"),
            ({"events": np.zeros((4, 3), int)}, ValueError, r"events must .*shape \(4, 3\)"),
            ({"events": np.zeros((5, 3))}, ValueError, "events must be integers.*float64"),
            ({"event_id": {"left": "1"}}, TypeError, r"event_id\['left'\] must be an integer"),
            ({"metadata": pd.DataFrame({"a": [1]})}, ValueError, "metadata has 1 rows.* 5 trials"),
            ({"metadata": {"a": [1] * 5}}, TypeError, "metadata must be a pandas DataFrame"),
        ],
    )
    def test_disagreement_raises_and_names_the_part(
        self, changes: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            make_tokens(**changes)

    @pytest.mark.parametrize("code", [-1, 512])
    def test_a_code_outside_the_codebook_raises_and_is_located(self, code: int) -> None:
        codes = np.zeros((5, 3, 5, 4, 8), int)
        codes[1, 2, 0, 3, 4] = code
        place = f"got {code} at trial 1, channel 2, patch 0, codebook 3, level 4"
        with pytest.raises(ValueError, match=place):
            make_tokens(codes=codes)

    @pytest.mark.parametrize(("n_codes", "dtype"), [(2, "i2"), (2**15, "i2"), (2**15 + 1, "i4")])
    def test_codes_are_held_as_the_narrowest_signed_integers(
        self, n_codes: int, dtype: str
    ) -> None:
        codes = np.full((5, 3, 5, 4, 8), n_codes - 1, np.uint64)
        tokens = make_tokens(n_codes=n_codes, codes=codes)
        assert tokens.codes.dtype == dtype
        assert (tokens.codes == n_codes - 1).all()

    def test_axes_name_the_shape(self) -> None:
        tokens = make_tokens()
        assert tokens.axes == ("trial", "channel", "patch", "codebook", "level")
        assert tokens.shape == (5, 3, 5, 4, 8)
        assert len(tokens) == 5

    def test_the_last_patch_starts_earlier_by_the_overlap(self) -> None:
        np.testing.assert_allclose(make_tokens().patch_times, [-0.5, 0.5, 1.5, 2.5, 3.3])

    def test_bits_per_second_count_codes_and_side_information(self) -> None:
        tokens = make_tokens()
        codes = 5 * 4 * 8 * 9  # patches, codebooks, levels, bits of 512 codes
        side = 2 * 2 * 32 / 3  # segments, floats, bits, shared by three channels
        assert tokens.bits_per_second == pytest.approx((codes + side) / (768 / 160))
        assert tokens[:0].bits_per_second == tokens.bits_per_second

    @pytest.mark.parametrize("shape", [(5, 3, 2), (5, 3, 5, 2)], ids=["channels", "patches"])
    def test_side_information_of_channels_and_patches_stays_with_its_trials(
        self, shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        tokens = make_tokens(side=np.random.default_rng(1).normal(size=shape))
        codes = 5 * 4 * 8 * 9
        side = 32 * np.prod(shape[1:]) / 3
        assert tokens.bits_per_second == pytest.approx((codes + side) / (768 / 160))
        assert_array_equal(tokens[[3, 1]].side, tokens.side[[3, 1]])
        tokens.save(tmp_path / "tokens.h5")
        assert Tokens.load(tmp_path / "tokens.h5") == tokens

    def test_broken_side_information_of_a_channel_is_located(self) -> None:
        side = np.zeros((5, 3, 2))
        side[4, 1, 0] = np.inf
        with pytest.raises(ValueError, match="in trial 4, channel 1"):
            make_tokens(side=side)

    def test_repr_fits_on_a_line(self) -> None:
        assert repr(make_tokens(n_trials=1)) == (
            "<Tokens | neurorvq-eeg-tiny-random | 1 trial × 3 channels × 5 patches × 4 codebooks "
            "× 8 levels | 512 codes>"
        )

    def test_pickles(self) -> None:
        tokens = make_tokens()
        assert pickle.loads(pickle.dumps(tokens)) == tokens


class TestEquality:
    """Tokens are equal when everything is."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"seed": 1},
            {"side": np.zeros((5, 2, 2))},
            {"n_codes": 513},
            {"revision": None},
            {"tmin": 0.0},
            {"events": None},
            {"event_id": {"left": 1, "right": 3}},
            {"metadata": None},
            {"metadata": pd.DataFrame({"subject": list("abcde")})},
            {"metadata": [{"subject": "a"}] * 5},
            {"left_out": ()},
        ],
    )
    def test_one_differing_part_makes_tokens_differ(self, changes: dict[str, Any]) -> None:
        codes = make_tokens().codes
        changed = make_tokens(**({} if "seed" in changes else {"codes": codes}) | changes)
        assert make_tokens() != changed

    def test_the_type_of_a_metadata_column_counts(self) -> None:
        ints, floats = (pd.DataFrame({"a": np.arange(5, dtype=d)}) for d in ("i8", "f8"))
        assert make_tokens(metadata=ints) != make_tokens(metadata=floats)

    def test_equal_parts_make_equal_tokens(self) -> None:
        assert make_tokens() == make_tokens()
        assert make_tokens() != "tokens"

    def test_tokens_have_no_hash(self) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(make_tokens())


class TestSelection:
    """Tokens are indexed like an array of trials."""

    @pytest.mark.parametrize(
        "item",
        [
            slice(1, 4),
            slice(None, None, -2),
            [3, 1, 1],
            np.array([-1, 0], np.int8),
            [True, False, False, True, False],
            np.zeros(5, bool),
            [],
            range(2),
        ],
        ids=str,
    )
    def test_everything_that_has_trials_is_selected_alike(self, item: Any) -> None:
        tokens = make_tokens()
        chosen = tokens[item]
        rows = np.arange(5)[np.array(item, int) if isinstance(item, list) and not item else item]
        assert_array_equal(chosen.codes, tokens.codes[rows])
        assert_array_equal(chosen.side, tokens.side[rows])
        assert tokens.events is not None
        assert_array_equal(chosen.events, tokens.events[rows])
        expected = tokens.metadata.iloc[rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(chosen.metadata, expected)
        assert chosen.ch_names == tokens.ch_names

    @pytest.mark.parametrize("trial", [0, -1, np.int64(3), np.array(2)])
    def test_an_integer_selects_tokens_of_one_trial(self, trial: Any) -> None:
        tokens = make_tokens()
        assert tokens[trial] == tokens[[int(trial)]]
        assert len(tokens[trial]) == 1

    def test_iteration_gives_every_trial_once(self) -> None:
        tokens = make_tokens()
        assert [trial.events[0, 0] for trial in tokens] == tokens.events[:, 0].tolist()

    @pytest.mark.parametrize(
        "item",
        [5, -6, 1.0, "left", True, None, (0, 1), [1.5], [[0, 1]], [True, False], [7], np.ones(5)],
        ids=str,
    )
    def test_anything_else_raises(self, item: Any) -> None:
        with pytest.raises(IndexError):
            make_tokens()[item]

    def test_rows_of_a_list_of_dicts_follow(self) -> None:
        tokens = make_tokens(metadata=[{"subject": i} for i in range(5)])
        assert tokens[[4, 0]].metadata == [{"subject": 4}, {"subject": 0}]


class TestPacking:
    """Codes are packed at their true bit width."""

    @given(data=st.data(), bits=st.integers(1, 20))
    def test_unpacking_undoes_packing_in_the_fewest_bytes(
        self, data: st.DataObject, bits: int
    ) -> None:
        codes = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1))), np.int32)
        packed = pack(codes, bits)
        assert packed.nbytes == -(-codes.size * bits // 8)
        assert_array_equal(unpack(packed, bits, codes.size), codes)

    @given(n_codes=st.integers(2, 2**20))
    def test_the_bit_width_is_the_smallest_that_holds_every_code(self, n_codes: int) -> None:
        bits = bit_width(n_codes)
        assert 2 ** (bits - 1) < n_codes <= 2**bits

    def test_bits_are_in_writing_order(self) -> None:
        assert pack(np.array([0b101, 0b001, 0b110]), 3).tolist() == [0b10100111, 0b00000000]


class TestFiles:
    """Files hold everything, are small, and are never half written."""

    @given(
        sizes=st.tuples(*[st.integers(1, 4)] * 4),
        n_trials=st.integers(0, 4),
        n_codes=st.integers(1, 70_000),
        seed=st.integers(0, 10),
        bare=st.booleans(),
    )
    def test_loading_gives_back_what_was_saved(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        sizes: tuple[int, int, int, int],
        n_trials: int,
        n_codes: int,
        seed: int,
        bare: bool,
    ) -> None:
        n_channels, n_segments, n_codebooks, n_levels = sizes
        nothing = {"revision": None, "events": None, "event_id": None, "metadata": None}
        tokens = make_tokens(
            n_trials,
            n_channels,
            tuple(range(1, n_segments + 1)),
            n_codebooks,
            n_levels,
            n_codes,
            seed,
            **(nothing | {"left_out": ()} if bare else {}),
        )
        path = tmp_path_factory.mktemp("tokens") / "tokens.h5"
        tokens.save(str(path))
        loaded = Tokens.load(path)
        assert loaded == tokens
        assert loaded.codes.dtype == tokens.codes.dtype
        assert loaded.side.dtype == np.float32

    def test_more_codes_than_one_block_survive(self, tmp_path: Path) -> None:
        tokens = make_tokens(n_trials=700, n_codes=8192)
        assert tokens.codes.size > 2**18
        tokens.save(tmp_path / "tokens.h5")
        assert Tokens.load(tmp_path / "tokens.h5") == tokens

    @pytest.mark.parametrize("n_codes", [512, 8192])
    def test_the_file_is_within_five_percent_of_its_codes(
        self, tmp_path: Path, n_codes: int
    ) -> None:
        tokens = make_tokens(100, 19, (4,), n_codes=n_codes)
        path = tmp_path / "tokens.h5"
        tokens.save(path)
        assert path.stat().st_size <= 1.05 * tokens.codes.size * bit_width(n_codes) / 8

    def test_an_existing_file_is_replaced_only_when_asked(self, tmp_path: Path) -> None:
        path = tmp_path / "tokens.h5"
        make_tokens().save(path)
        with pytest.raises(FileExistsError, match=r"tokens\.h5 exists.*overwrite=True"):
            make_tokens(seed=1).save(path)
        assert Tokens.load(path) == make_tokens()
        make_tokens(seed=1).save(path, overwrite=True)
        assert Tokens.load(path) == make_tokens(seed=1)
        assert os.listdir(tmp_path) == ["tokens.h5"]

    def test_a_place_that_cannot_be_written_raises(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"folder .*absent.* does not exist"):
            make_tokens().save(tmp_path / "absent" / "tokens.h5")
        with pytest.raises(IsADirectoryError, match="is a folder"):
            make_tokens().save(tmp_path, overwrite=True)

    @pytest.mark.parametrize("name", ["x.fif", "x-tokens.npz", "x", "x.h5.gz"])
    def test_an_ending_that_promises_another_format_is_refused(
        self, name: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match=rf"{name} does not end in \.h5 or \.hdf5.*'x.*\.h5'"):
            make_tokens().save(tmp_path / name)
        assert not any(tmp_path.iterdir())
        make_tokens().save(tmp_path / "x.HDF5")

    def test_a_name_as_long_as_the_file_system_allows_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / f"{'x' * 252}.h5"
        make_tokens().save(path)
        assert Tokens.load(path) == make_tokens()

    @pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
    def test_a_killed_save_leaves_the_existing_file(self, tmp_path: Path) -> None:
        path = tmp_path / "tokens.h5"
        tokens = make_tokens(n_trials=2000, n_codes=8192)
        tokens.save(path)
        script = (
            "import sys; from mne_neurorvq import Tokens\n"
            "tokens = Tokens.load(sys.argv[1]); print('ready', flush=True)\n"
            "while True: tokens.save(sys.argv[1], overwrite=True)"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, cwd=tmp_path
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            deadline = time.monotonic() + 10
            while not list(tmp_path.glob(".*.part")) and time.monotonic() < deadline:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert list(tmp_path.glob(".*.part")), "the save was not interrupted"
        assert Tokens.load(path) == tokens
        tokens.save(path, overwrite=True)
        assert os.listdir(tmp_path) == ["tokens.h5"]


def rewrite_header(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the header of a file, and its checksum with it."""
    with h5py.File(path, "r+") as file:
        header = change(json.loads(zlib.decompress(file["header"][()].tobytes())))
        packed = np.frombuffer(zlib.compress(json.dumps(header).encode()), np.uint8)
        del file["header"]
        file["header"] = packed
        parts = packed, file["side"][()], file["codes"][()]
        digest = hashlib.sha256(b"".join(part.tobytes() for part in parts))
        file.attrs["sha256"] = np.bytes_(digest.hexdigest())


class TestBadFiles:
    """A file that is not whole never becomes tokens."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        path = tmp_path / "tokens.h5"
        make_tokens(n_trials=2, n_levels=2).save(path)
        return path

    def test_any_changed_byte_raises_or_is_harmless(self, saved: Path) -> None:
        whole, tokens = saved.read_bytes(), Tokens.load(saved)
        messages = []
        for position in np.random.default_rng(0).permutation(len(whole))[:400]:
            damaged = bytearray(whole)
            damaged[position] ^= 0xFF
            saved.write_bytes(damaged)
            try:
                assert Tokens.load(saved) == tokens
            except ValueError as error:
                messages.append(str(error))
        assert len(messages) > 20
        assert all(str(saved) in message for message in messages)

    @pytest.mark.parametrize("name", ["codes", "side", "header"])
    def test_changed_content_raises(self, saved: Path, name: str) -> None:
        with h5py.File(saved, "r+") as file:
            changed = file[name][()]
            changed.flat[0] += 1
            file[name][...] = changed
        with pytest.raises(ValueError, match=r"tokens\.h5 is damaged or incomplete"):
            Tokens.load(saved)

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
    def test_a_truncated_file_raises(self, saved: Path, share: float) -> None:
        whole = saved.read_bytes()
        saved.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=r"tokens\.h5 is damaged or incomplete"):
            Tokens.load(saved)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 something else"])
    def test_another_kind_of_file_raises(self, saved: Path, content: bytes) -> None:
        saved.write_bytes(content)
        with pytest.raises(ValueError, match=r"tokens\.h5 is not a file of tokens"):
            Tokens.load(saved)

    def test_random_damage_is_never_another_type_of_error(self, saved: Path) -> None:
        whole, tokens = saved.read_bytes(), Tokens.load(saved)
        rng = np.random.default_rng(1)
        for _ in range(200):
            damaged = bytearray(whole)
            start = int(rng.integers(len(whole)))
            damaged[start : start + int(rng.integers(1, 40))] = rng.bytes(int(rng.integers(0, 40)))
            saved.write_bytes(damaged)
            with contextlib.suppress(ValueError):
                assert Tokens.load(saved) == tokens

    @pytest.mark.parametrize("name", ["codes", "side", "header"])
    @pytest.mark.parametrize(
        "options",
        [{"compression": "gzip"}, {"compression": "lzf"}, {"chunks": True}, {"fletcher32": True}],
        ids=str,
    )
    def test_packed_data_raise_before_they_are_unpacked(
        self, saved: Path, name: str, options: dict[str, Any]
    ) -> None:
        with h5py.File(saved, "r+") as file:
            data = file[name][()]
            del file[name]
            file.create_dataset(name, data=data, **options)
        with pytest.raises(ValueError, match=rf"damaged or incomplete \('{name}' is packed"):
            Tokens.load(saved)

    @pytest.mark.parametrize("name", ["codes", "side", "header"])
    @pytest.mark.parametrize("kind", ["external link", "soft link", "group", "file", "virtual"])
    def test_data_that_lie_elsewhere_raise(self, saved: Path, name: str, kind: str) -> None:
        other = saved.with_name("other.h5")
        other.write_bytes(saved.read_bytes())
        with h5py.File(saved, "r+") as file:
            data = file[name][()]
            file.move(name, "moved")
            if kind == "external link":
                file[name] = h5py.ExternalLink(str(other), name)
            elif kind == "soft link":
                file[name] = h5py.SoftLink("/moved")
            elif kind == "group":
                file[name] = file["/"]  # of which it is a part
            elif kind == "file":
                raw = saved.with_name("raw")
                raw.write_bytes(data.tobytes())
                place = [(str(raw), 0, data.nbytes)]
                file.create_dataset(name, data.shape, data.dtype, external=place)
            else:
                layout = h5py.VirtualLayout(data.shape, data.dtype)
                layout[...] = h5py.VirtualSource(str(other), name, data.shape)
                file.create_virtual_dataset(name, layout)
        with pytest.raises(ValueError, match=f"'{name}' is (not a data set|packed, or lies)"):
            Tokens.load(saved)

    @pytest.mark.parametrize(
        ("name", "dtype"),
        [
            ("codes", "i8"),
            ("codes", "u2"),
            ("side", "f8"),
            ("side", "i4"),
            ("header", "i1"),
            ("header", h5py.string_dtype()),
            ("side", np.dtype([("a", "f4")])),
            ("codes", h5py.ref_dtype),
        ],
        ids=str,
    )
    def test_data_of_another_type_raise(self, saved: Path, name: str, dtype: Any) -> None:
        with h5py.File(saved, "r+") as file:
            shape = file[name].shape
            del file[name]
            file.create_dataset(name, shape, dtype)
        with pytest.raises(ValueError, match=f"'{name}' is of type"):
            Tokens.load(saved)

    def test_data_that_were_never_written_raise(self, saved: Path) -> None:
        with h5py.File(saved, "r+") as file:
            shape = file["codes"].shape
            del file["codes"]
            file.create_dataset("codes", shape, np.uint8)
        with pytest.raises(ValueError, match="'codes' was never written"):
            Tokens.load(saved)

    def test_more_data_than_the_file_has_raise(self, saved: Path) -> None:
        with h5py.File(saved, "r+") as file:
            del file["side"]
            file.create_dataset("side", (10**9, 1, 2), np.float32)
        with pytest.raises(ValueError, match=r"'side' claims 8000000000 of"):
            Tokens.load(saved)

    def test_a_header_that_unpacks_to_gigabytes_raises_before_it_does(self, saved: Path) -> None:
        bomb = zlib.compressobj()
        zeros = b" " * 2**20
        packed = b"".join(bomb.compress(zeros) for _ in range(300)) + bomb.flush()
        assert len(packed) < 2**20
        with h5py.File(saved, "r+") as file:
            del file["header"]
            file["header"] = np.frombuffer(packed, np.uint8)
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"unpacks to more than \d+ bytes"):
            Tokens.load(saved)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 40 * 2**20

    def test_padding_does_not_let_a_header_unpack_further(self, saved: Path) -> None:
        text = b'{"x": [' + b"[]," * 2**20 + b"0]}"
        with h5py.File(saved, "r+") as file:
            del file["header"]
            file["header"] = np.frombuffer(zlib.compress(text, 9), np.uint8)
            file["padding"] = np.zeros(3_000_000, np.uint8)
        with pytest.raises(ValueError, match=r"holds 1 more than codes, header, side"):
            Tokens.load(saved)
        with h5py.File(saved, "r+") as file:
            del file["padding"]
        with pytest.raises(ValueError, match=r"unpacks to more than 1\d{6} bytes"):
            Tokens.load(saved)

    def test_metadata_that_repeat_themselves_are_no_bomb(self, tmp_path: Path) -> None:
        metadata = [{"text": "x" * 50_000}] * 200
        tokens = make_tokens(200, 1, (1,), 1, 1, n_codes=2, metadata=metadata, left_out=())
        tokens.save(tmp_path / "tokens.h5")
        assert Tokens.load(tmp_path / "tokens.h5") == tokens

    @pytest.mark.parametrize("name", ["format", "version", "sha256"])
    @pytest.mark.parametrize(
        "value",
        [b"x" * 60_000, "text", [1, 2], np.zeros(1000), np.array(["a" * 1000] * 60, object), None],
        ids=lambda value: type(value).__name__,
    )
    def test_attributes_of_any_kind_raise(self, saved: Path, name: str, value: Any) -> None:
        with h5py.File(saved, "r+") as file:
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value
        with pytest.raises(ValueError, match=r"tokens\.h5 (is|has version)"):
            Tokens.load(saved)

    @pytest.mark.parametrize(
        "change",
        [
            {"shape": [-1, 3, 5, 4, 2]},
            {"shape": [10**30, 3, 5, 4, 2]},
            {"shape": [0, 10**30, 5, 4, 2]},
            {"shape": [2, 3]},
            {"shape": "23542"},
            {"shape": [2.0, 3, 5, 4, 2]},
            {"shape": None},
            {"n_codes": 0},
            {"n_codes": -512},
            {"n_codes": 2**40},
            {"n_codes": 10**4000},
            {"n_codes": 511.5},
            {"n_times": 10**400},
            {"n_times": float("nan")},
            {"sfreq": 10**400},
            {"sfreq": float("inf")},
            {"sfreq": None},
            {"tmin": float("nan")},
            {"patch_size": 0},
            {"ch_names": "abc"},
            {"ch_names": [["a"], "b", "c"]},
            {"channel_rows": [0, 1, 10**30]},
            {"channel_rows": {"a": 1}},
            {"segments": 5},
            {"segments": [10**12]},
            {"revision": {}},
            {"fingerprint": 7},
            {"events": [[0.5, 0, 1], [1, 0, 2]]},
            {"events": [[0, 0, 10**30], [1, 0, 2]]},
            {"events": [1, 2, 3]},
            {"events": "none"},
            {"event_id": ["left"]},
            {"event_id": {"left": "one"}},
            {"metadata": 3},
            {"metadata": {}},
            {"metadata": {"columns": [], "n_rows": 10**12}},
            {"metadata": {"columns": [], "n_rows": None}},
            {"metadata": {"rows": [{"a": [1]}, {}]}},
            {"metadata": {"rows": "ab"}},
            {"unknown": 1},
            {"patch_size": ...},
            {"metadata": ...},
            *(
                {"metadata": {"columns": [{"name": "a", "dtype": t, "values": v}], "n_rows": 2}}
                for t, v in [
                    ("S1000000000", ["a", "b"]),
                    ("U1000000000", ["a", "b"]),
                    ("datetime64[ns]", [1, 2]),
                    ("f8,f8", [1.0, 2.0]),
                    ("category", ["a", "b"]),
                    ("int64", ["1", "2"]),
                    ("int64", [1.5, 2]),
                    ("uint8", [300, 1]),
                    ("bool", ["x", ""]),
                    ("float64", [None, 1.0]),
                    ("object", [[1], 2]),
                    ("str", [1, 2]),
                    ("int64", [1]),
                    (["int64"], [1, 2]),
                ]
            ),
        ],
        ids=lambda change: str(change)[:40],
    )
    def test_an_impossible_header_raises_the_documented_error(
        self, saved: Path, change: dict[str, Any]
    ) -> None:
        def changed(header: Any) -> Any:
            both = {**header, **change}
            return {name: value for name, value in both.items() if value is not ...}

        rewrite_header(saved, changed)
        with pytest.raises(ValueError, match=r"tokens\.h5 is damaged or incomplete"):
            Tokens.load(saved)

    @pytest.mark.parametrize("header", [[], None, 3, "text"])
    def test_a_header_that_is_no_object_raises(self, saved: Path, header: Any) -> None:
        rewrite_header(saved, lambda _: header)
        with pytest.raises(ValueError, match="its header is a"):
            Tokens.load(saved)

    @pytest.mark.parametrize("text", [b"[" * 10**6, b"{", b"\xff", b'{"n_codes": 1' + b"0" * 5000])
    def test_a_header_that_is_no_json_raises(self, saved: Path, text: bytes) -> None:
        with h5py.File(saved, "r+") as file:
            del file["header"]
            file["header"] = np.frombuffer(zlib.compress(text), np.uint8)
        with pytest.raises(ValueError, match=r"tokens\.h5 is damaged or incomplete"):
            Tokens.load(saved)

    def test_side_information_that_is_not_finite_raises(self, saved: Path) -> None:
        with h5py.File(saved, "r+") as file:
            file["side"][1, 0, 0] = np.nan
        rewrite_header(saved, lambda header: header)
        with pytest.raises(ValueError, match=r"side has a NaN or infinite value .* in trial 1"):
            Tokens.load(saved)

    def test_codes_beyond_the_codebook_raise(self, saved: Path) -> None:
        rewrite_header(saved, lambda header: {**header, "n_codes": 300})  # of nine bits as well
        with pytest.raises(ValueError, match=r"codes must be from 0 to 299 .*, got"):
            Tokens.load(saved)

    @pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
    def test_pipes_and_devices_are_refused_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.h5")
        for path in (tmp_path / "pipe.h5", Path("/dev/zero")):
            with pytest.raises(ValueError, match="is a pipe or a device: copy what it gives"):
                Tokens.load(path)

    def test_a_foreign_hdf5_file_raises(self, saved: Path) -> None:
        with h5py.File(saved, "w") as file:
            file["codes"] = np.arange(3)
        with pytest.raises(ValueError, match=r"tokens\.h5 is an HDF5 file, but not one of tokens"):
            Tokens.load(saved)

    def test_a_later_version_raises(self, saved: Path) -> None:
        with h5py.File(saved, "r+") as file:
            file.attrs["version"] = 2
        with pytest.raises(ValueError, match=r"version 2 .* update mne_neurorvq"):
            Tokens.load(saved)

    def test_an_absent_file_raises(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "absent.h5"))):
            Tokens.load(tmp_path / "absent.h5")


class TestMetadataInFiles:
    """Metadata are plain data in a file, and the same again when loaded."""

    @pytest.mark.parametrize(
        "values",
        [
            np.array([1, -2, 2**62]),
            np.array([0, 255, 3], np.uint8),
            np.array([0, 2**64 - 1, 1], np.uint64),
            np.array([0.1, np.nan, -np.inf]),
            np.array([0.1, 1e30, -0.0], np.float32),
            np.array([True, False, True]),
            pd.array(["a", "ü", None], dtype="string"),
            ["a", 'quote " and \n', "c"],
            ["a", None, "c"],
            pd.Series(["a", None, 3], dtype=object),
            pd.Series([1.5, float("nan"), True], dtype=object),
        ],
        ids=str,
    )
    def test_a_column_keeps_values_and_type(self, tmp_path: Path, values: Any) -> None:
        metadata = pd.DataFrame({"column": values})
        make_tokens(n_trials=3, metadata=metadata).save(tmp_path / "tokens.h5")
        loaded = Tokens.load(tmp_path / "tokens.h5").metadata
        pd.testing.assert_frame_equal(loaded, metadata)

    def test_rows_without_columns_survive(self, tmp_path: Path) -> None:
        tokens = make_tokens(n_trials=3, metadata=pd.DataFrame(index=[4, 5, 6]))
        tokens.save(tmp_path / "tokens.h5")
        assert Tokens.load(tmp_path / "tokens.h5") == tokens

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            (pd.DataFrame({"when": pd.date_range("2020", periods=3)}), "'when' has dtype datetime"),
            (pd.DataFrame({"kind": pd.Categorical(list("abc"))}), "'kind' has dtype category"),
            (pd.DataFrame({"z": [1j, 2j, 3j]}), "'z' has dtype complex"),
            (pd.DataFrame({"x": ["a", [1], "c"]}), "'x' holds a list in row 1"),
            (pd.DataFrame({"x": pd.Series([1, np.int8(1), 1], dtype=object)}), "int8 in row 1"),
            (pd.DataFrame({7: [1, 2, 3]}), "names .* must be strings .* got 7"),
            ([{"x": 1}, {"x": (1,)}, {"x": 2}], "'x' holds a tuple in row 1"),
        ],
    )
    def test_what_cannot_be_saved_raises_before_anything_is_written(
        self, tmp_path: Path, metadata: Any, message: str
    ) -> None:
        path = tmp_path / "tokens.h5"
        make_tokens().save(path)
        with pytest.raises(TypeError, match=message):
            make_tokens(n_trials=3, metadata=metadata).save(path, overwrite=True)
        assert Tokens.load(path) == make_tokens()
        assert os.listdir(tmp_path) == ["tokens.h5"]

    def test_two_columns_of_one_name_raise(self, tmp_path: Path) -> None:
        metadata = pd.DataFrame([[1, 2]] * 5, columns=["a", "a"])
        with pytest.raises(ValueError, match="2 columns named 'a'"):
            make_tokens(metadata=metadata).save(tmp_path / "tokens.h5")

    def test_a_list_of_dicts_survives(self, tmp_path: Path) -> None:
        rows = [{"subject": "a", "score": 0.5}, {"subject": "b", "score": None}]
        make_tokens(n_trials=2, metadata=rows).save(tmp_path / "tokens.h5")
        assert Tokens.load(tmp_path / "tokens.h5").metadata == rows

    def test_without_pandas_a_table_is_loaded_as_a_list_of_dicts(self, tmp_path: Path) -> None:
        tokens = make_tokens()
        tokens.save(tmp_path / "tokens.h5")
        (tmp_path / "run.py").write_text(
            "import importlib.abc, sys\n"
            "class NoPandas(importlib.abc.MetaPathFinder):\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.partition('.')[0] == 'pandas':\n"
            "            raise ModuleNotFoundError(name, name=name)\n"
            "sys.meta_path.insert(0, NoPandas())\n"
            "from mne_neurorvq import Tokens\n"
            "tokens = Tokens.load('tokens.h5')\n"
            "print(tokens.metadata[3])\n"
            "try: tokens.to_dataframe()\n"
            "except ImportError as error: print(error)\n"
        )
        result = subprocess.run(
            [sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        row, error = result.stdout.splitlines()
        assert row == str(tokens.metadata.to_dict("records")[3])
        assert "needs pandas, which is not installed: python -m pip install" in error


class TestDataFrame:
    """The long table has one row for each trial, channel and patch."""

    def test_every_code_is_in_its_row_and_column(self) -> None:
        tokens = make_tokens()
        table = tokens.to_dataframe()
        assert len(table) == 5 * 3 * 5
        for trial, channel, patch, codebook, level in [(0, 0, 0, 0, 0), (4, 2, 4, 3, 7)]:
            where = (table.trial == trial) & (table.ch_name == f"EEG {channel}")
            row = table[where & (table.patch == patch)].squeeze()
            code = tokens.codes[trial, channel, patch, codebook, level]
            assert row[f"codebook{codebook}_level{level}"] == code
            assert row["time"] == tokens.patch_times[patch]
            assert row["event"] == ("left", "right")[trial % 2]

    def test_rows_are_in_the_order_of_the_codes(self) -> None:
        tokens = make_tokens()
        table = tokens.to_dataframe()
        codes = table.filter(like="codebook").to_numpy().reshape(tokens.shape)
        assert_array_equal(codes, tokens.codes)

    def test_events_without_a_name_keep_their_number(self) -> None:
        table = replace(make_tokens(), event_id={"left": 1}).to_dataframe()
        assert set(table.event) == {"left", "2"}

    def test_without_events_there_is_no_event_column(self) -> None:
        assert "event" not in make_tokens(events=None).to_dataframe()


def test_trials_are_selected_by_a_comparison_of_metadata():
    tokens = make_tokens()
    some = tokens[tokens.metadata["subject"] == "S001"]
    assert some == tokens[[2, 3]]


class TestXarray:
    @pytest.fixture(autouse=True)
    def _needs_xarray(self):
        pytest.importorskip("xarray", reason="labelled arrays are made with it")

    def test_axes_channels_times_events_and_metadata_have_their_names(self):
        tokens = make_tokens()
        codes = tokens.to_xarray()
        assert codes.dims == tokens.axes
        assert_array_equal(codes.sel(channel="EEG 1", level=0), tokens.codes[:, 1, :, :, 0])
        assert_array_equal(codes.time, tokens.patch_times)
        assert codes.time.attrs["units"] == "s"
        assert codes.event.values.tolist() == ["left", "right", "left", "right", "left"]
        assert codes.subject.values.tolist() == ["S000", "S000", "S001", "S001", "S002"]
        assert codes.attrs["n_codes"] == 512

    def test_trials_are_grouped_by_a_column_of_the_metadata(self):
        counts = make_tokens().to_xarray().groupby("subject").count()
        assert counts.sel(subject="S001")[0, 0, 0, 0] == 2

    def test_metadata_as_a_list_of_dicts_and_none_at_all_are_taken(self):
        tokens = make_tokens(n_trials=2, metadata=[{"a": 1}, {"a": 2}], events=None)
        assert tokens.to_xarray().a.values.tolist() == [1, 2]
        assert make_tokens(n_trials=0, metadata=[], events=None).to_xarray().shape[0] == 0
        bare = make_tokens(n_trials=2, metadata=None, events=None, event_id=None).to_xarray()
        assert "event" not in bare.coords

    def test_a_column_with_the_name_of_an_axis_is_refused(self):
        tokens = make_tokens(n_trials=1, metadata=pd.DataFrame({"level": [1]}))
        with pytest.raises(ValueError, match="column 'level', which is the name of an axis"):
            tokens.to_xarray()
