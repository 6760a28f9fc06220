# License: BSD-3-Clause
"""Pipelines as files, in MOABB's format, and each that has a model with several models."""

from __future__ import annotations

import runpy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib import resources
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import yaml
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline, make_pipeline

from .._optional import optional
from ..weights.loading import find_config
from ..weights.registry import registered
from ..weights.systems import SYSTEMS
from .features import untrained_twin


class NotAtHand(RuntimeError):
    """What a pipeline needs cannot be had: it is not run, which is no failure."""


class NotOffered(ValueError):
    """A model lacks what a file asks for."""


class PipelineFile(NamedTuple):
    """What a file has: the pipeline, signals it is for, whether it downloads weights.

    ``seen`` are the people whose recordings these had seen, by data set; None if nobody knows.
    """

    pipeline: BaseEstimator
    signals: tuple[str, ...]
    download: bool
    seen: Mapping[str, Sequence[str]] | None


MODELS = ("neurorvq-eeg-small", "brainrvq-eeg-small", "biocodec-eeg-small")


def pipeline_files(folder: Path | None = None) -> dict[str, Path]:
    """Files of pipelines by name: those of the package, and those of a folder."""
    folders = [Path(str(resources.files(__package__))) / "pipelines"]
    folders += [] if folder is None else [folder]
    found: dict[str, Path] = {}
    for place in folders:
        for path in sorted(place.iterdir()):
            if path.suffix in (".py", ".yml", ".yaml") and not path.name.startswith("_"):
                if path.stem in found:
                    raise ValueError(
                        f"{path} has the name of another pipeline, {found[path.stem]}: rename it."
                    )
                found[path.stem] = path
    return found


def read_pipeline(path: Path) -> PipelineFile:
    """Make the pipeline of a file of MOABB's format, which may have three keys more.

    ``signals`` and ``seen`` count for pipelines without a model; by default these are for EEG and
    have seen nobody. What has ``download`` is run where it is named only.
    """
    ours = path == pipeline_files().get(path.stem)
    # What a file of one's own lacks is not for this package to install.
    missing = optional(f"the pipeline {path.stem}", "benchmark") if ours else nullcontext()
    with missing, warnings.catch_warnings():
        # What a file imports warns of its own dependencies.
        warnings.simplefilter("ignore")
        if path.suffix == ".py":
            content = runpy.run_path(str(path)).get("PIPELINE", {})
            pipeline = content.get("pipeline")
        else:
            from moabb.pipelines.utils import create_pipeline_from_config

            content = yaml.safe_load(path.read_text())
            pipeline = create_pipeline_from_config(content["pipeline"])
    if not isinstance(pipeline, BaseEstimator):
        raise ValueError(f"{path} defines no PIPELINE with a scikit-learn 'pipeline' in it.")
    if not isinstance(pipeline, Pipeline):
        pipeline = make_pipeline(pipeline)
    signals = tuple(content.get("signals", ["eeg"]))
    download = bool(content.get("download", False))
    return PipelineFile(pipeline, signals, download, content.get("seen", {}))


def with_models(
    name: str,
    pipeline: BaseEstimator,
    models: Sequence[str],
    leave_out: Callable[[str, str], None] = lambda what, why: None,
) -> Iterator[tuple[str, str | None, BaseEstimator]]:
    """Give a pipeline with each model and its twin of random weights: name, model and pipeline.

    A pipeline without a model is given as it is. A model that does not fit is left out, and so is
    a twin that there is not; ``leave_out`` is called with what and why.
    """
    place = _place_of_model(pipeline)
    if place is None:
        yield name, None, pipeline
        return
    for model in models:
        twin = untrained_twin(model)
        if twin is None and getattr(registered(model), "seed", None) is None:
            leave_out(f"the twin of {model}", "there is none of random weights")
        for pretrained in filter(None, (model, twin)):
            try:
                made = _with_model(pipeline, place, pretrained)
            except NotOffered as reason:
                leave_out(f"{name} with {pretrained}", str(reason))
            else:
                yield f"{name}:{pretrained}", pretrained, made


def _place_of_model(pipeline: BaseEstimator) -> str | None:
    """Name of the parameter that is one of this package's estimators."""
    for name, value in pipeline.get_params().items():
        if isinstance(value, BaseEstimator) and "pretrained" in value.get_params(deep=False):
            return name
    return None


def _with_model(pipeline: BaseEstimator, place: str, pretrained: str) -> BaseEstimator:
    """Set the model, in the estimator of its system, if that has what the file asks for."""
    old = pipeline.get_params()[place]
    system = SYSTEMS[find_config(pretrained).system]
    make = resolve_name(system.transformer if hasattr(old, "transform") else system.classifier)
    usual, known = signature(type(old)).parameters, signature(make).parameters
    asked = {
        parameter: value
        for parameter, value in old.get_params(deep=False).items()
        if parameter != "pretrained" and value != usual[parameter].default
    }
    # Where nothing but a head is trained, there is no parameter to say so.
    if "finetune" in usual and "finetune" not in known:
        if old.finetune != "head":
            raise NotOffered(f"of {system.title}, only a head is trained")
        # Nor, without early stopping, anything to watch other people for.
        asked = {
            parameter: value
            for parameter, value in asked.items()
            if parameter in known and parameter != "validation_fraction"
        }
    if absent := set(asked) - set(known):
        raise NotOffered(f"{make.__name__} has no {', '.join(sorted(absent))}")
    output = asked.get("output", "embedding")
    if not _gives(pretrained, output):
        raise NotOffered(f"the model gives no {output}")
    new = make(pretrained, **asked)
    if hasattr(old, "_metadata_request"):
        new._metadata_request = old._metadata_request
    return clone(pipeline).set_params(**{place: new})


def _gives(pretrained: str, output: str) -> bool:
    """Whether a model has an output; physiology is what those of this package have learned."""
    entry = registered(pretrained)
    learned = entry is None or entry.source == "bundled"
    system = SYSTEMS[find_config(pretrained).system]
    return output in system.gives and (learned or output != "physiology")
