# License: BSD-3-Clause
"""Which people of a study a model had seen in its pretraining."""

from __future__ import annotations

from ..benchmarks.tables import name_ranges
from ..weights.provenance import pretraining_subjects
from .studies import Study


def seen_subjects(pretrained: str, study: Study) -> set[str] | None:
    """Subjects of the study that the model was trained on; None if it is not known."""
    if study.data_set == "simulated":
        return set()
    known = pretraining_subjects(pretrained)
    if known is None or (known and study.data_set is None):
        return None
    return set(known.get(study.data_set or "", ())) & set(study.subjects.tolist())


def seen_sentence(pretrained: str, study: Study, seen: set[str] | None) -> str:
    """Say whom a model had seen, or that it is not known."""
    if study.data_set == "simulated":
        return "No model was trained on these recordings."
    known = pretraining_subjects(pretrained)
    if known is None:
        return f"It is not known which subjects {pretrained} was trained on."
    if not known:
        return f"{pretrained} is untrained: it has seen no subject."
    if seen is None:
        whose = "; ".join(f"{name}: {name_ranges(people)}" for name, people in known.items())
        return (
            f"{pretrained} was trained, without labels, on recordings of {whose}. Whether these "
            "files are theirs is not known."
        )
    unseen = sorted(set(study.subjects.tolist()) - seen)
    never = f"it had never seen {name_ranges(unseen)}" if unseen else "that is all of them"
    return (
        f"In its training {pretrained} had seen recordings, without labels, of "
        f"{name_ranges(sorted(seen)) or 'none of these subjects'}; {never}."
    )
