# License: BSD-3-Clause
"""What is in a corpus, on which side of the split, and what is not and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from ..._table import markdown_table
from .format import Entry, Recording, window_starts

SPLITS = ("train", "validation")
_SHOWN_FAILURES = 20


def split_subjects(
    subjects: Sequence[str],
    *,
    fraction: float,
    named: Sequence[str] | None,
    seed: int,
    before: Mapping[str, str],
) -> dict[str, str]:
    """Put every subject on one side.

    Each goes where the hash of their name puts them, so that new data move nobody. If a side were
    empty, the new one whose hash is nearest to it goes there; a single subject is trained on.
    """
    everyone = sorted(set(subjects))
    if named is not None:
        return {name: SPLITS[name in named] for name in everyone}
    place = {name: _place(name, seed) for name in everyone}
    by_hash = {name: "validation" if place[name] < fraction else "train" for name in everyone}
    sides = {**by_hash, **{name: before[name] for name in everyone if name in before}}
    new = [name for name in everyone if name not in before]
    if new and "train" not in sides.values():
        sides[max(new, key=place.__getitem__)] = "train"
    elif new and fraction > 0 and len(everyone) > 1 and "validation" not in sides.values():
        sides[min(new, key=place.__getitem__)] = "validation"
    return sides


def _place(subject: str, seed: int) -> float:
    """Give a name a number from 0 to 1 for good."""
    digest = blake2b(f"{seed}:{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def make_index(
    entries: Sequence[Entry], sides: Mapping[str, str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Say in little space what training has to know: see ``dataset.py``."""
    montages: dict[tuple[int, ...], int] = {}
    recordings = []
    for entry in sorted(entries, key=lambda entry: entry.id):
        montage = montages.setdefault(entry.rows, len(montages))
        recordings.append(
            Recording(
                entry.id,
                entry.subject,
                montage,
                entry.n_patches,
                sorted(entry.left_out),
                entry.files,
                entry.checksums,
            )
        )
    return {
        **{k: v for k, v in settings.items() if k not in ("channels", "preprocessing", "limits")},
        "subjects": dict(sides),
        "montages": [list(rows) for rows in montages],
        "recordings": recordings,
    }


def summarise(
    entries: Sequence[Entry],
    sides: Mapping[str, str],
    settings: Mapping[str, Any],
    not_searched: Mapping[str, str],
) -> dict[str, Any]:
    """Count what is in the corpus and what is not."""
    done = [entry for entry in entries if entry.status == "done"]
    window = settings["window_patches"]
    patch_seconds = settings["patch_size"] / settings["sfreq"]
    counts = {side: Counter[str]() for side in SPLITS}
    for entry in done:
        starts = window_starts(entry.n_patches, window, entry.left_out)
        patches = sum(min(window, entry.n_patches - start) for start in starts)
        counts[sides[entry.subject]].update(
            recordings=1, windows=len(starts), seconds=patches * patch_seconds
        )
    n_channels = sorted(len(entry.rows) for entry in done)
    vocabulary = settings["channels"]
    return {
        **{
            side: {
                "subjects": sum(where == side for where in sides.values()),
                "recordings": counts[side]["recordings"],
                "windows": counts[side]["windows"],
                "hours": round(counts[side]["seconds"] / 3600, 4),
            }
            for side in SPLITS
        },
        "channels": {
            "fewest": n_channels[0] if done else 0,
            "median": n_channels[len(done) // 2] if done else 0,
            "most": n_channels[-1] if done else 0,
            "names": sorted(
                {vocabulary[row] for entry in done for row in entry.rows}
                if vocabulary
                else {name for entry in done for name in entry.names}
            ),
        },
        "bytes": sum(sum(entry.files.values()) for entry in done),
        "rejected": {
            "recordings": [
                {"path": entry.path, "reason": entry.reason}
                for entry in entries
                if entry.status != "done"
            ]
            + [{"path": path, "reason": reason} for path, reason in not_searched.items()],
            "channels": _count_all(entry.dropped for entry in done),
            "windows": _count_all(entry.lost for entry in done),
        },
        "subjects_by": dict(Counter(entry.rule for entry in done)),
        "subjects": {
            side: [name for name, where in sides.items() if where == side] for side in SPLITS
        },
    }


def _count_all(groups: Any) -> dict[str, int]:
    total = Counter[str]()
    for group in groups:
        total.update({reason: len(members) for reason, members in group.items()})
    return dict(sorted(total.items()))


def summary_text(summary: Mapping[str, Any]) -> str:
    """Write a summary as a table and remarks, to be printed."""
    columns = ("subjects", "recordings", "windows", "hours")
    rows = [
        [
            side,
            *(
                f"{summary[side][c]:.2f}" if c == "hours" else str(summary[side][c])
                for c in columns
            ),
        ]
        for side in SPLITS
    ]
    channels, rejected = summary["channels"], summary["rejected"]
    windows = sum(summary[side]["windows"] for side in SPLITS)
    lines = [
        markdown_table(["", *columns], rows, align="lrrrr"),
        "",
        f"channels of a recording: {channels['fewest']} to {channels['most']} (median "
        f"{channels['median']}), {len(channels['names'])} sites in all",
        f"on disk: {summary['bytes'] / 1e6:.1f} MB, {summary['bytes'] / max(windows, 1):.0f} bytes "
        "a window",
    ]
    for what in ("channels", "windows"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected[what].items())
        lines.append(f"{what} left out: {reasons or 'none'}")
    by_file = summary["subjects_by"].get("file name", 0)
    if by_file > 1:
        lines.append(
            f"{by_file} recordings say nothing about whose they are: each counts as another "
            "subject (--subject-from tells better)"
        )
    if not summary["validation"]["subjects"]:
        lines.append("nobody is on the validation side: name some with --validation-subjects")
    failures = rejected["recordings"]
    if failures:
        lines.append(f"{len(failures)} files or folders left out:")
        lines += [f"  {one['path']}: {one['reason']}" for one in failures[:_SHOWN_FAILURES]]
        if len(failures) > _SHOWN_FAILURES:
            lines.append(f"  ... and {len(failures) - _SHOWN_FAILURES} more in the summary")
    return "\n".join(lines)
