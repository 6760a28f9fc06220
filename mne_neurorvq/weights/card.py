# License: BSD-3-Clause
"""Cards of models: the head that the Hugging Face Hub reads, and a text where there is none."""

from __future__ import annotations

from .systems import SYSTEMS, Config

_LIBRARY = "mne-neurorvq"
_REFERENCE = """Reference of what it is given, unless a user chooses another: {reference}, computed
from all good EEG channels of a recording. Figures of reconstruction below are of signals as
recorded.

"""
_TEXT = """A {title} model of {modality} at {sfreq:g} Hz, saved with mne_neurorvq, which reads
recordings of any montage, unit and rate:

```python
from mne_neurorvq import load_pretrained

load_pretrained("hf://{name}")
```

Not said yet: on what it was trained, on whose recordings it was measured, and what it cannot do.
"""


def make_card(config: Config, name: str, licence: str, text: str | None = None) -> str:
    """Write a card: YAML, a title, and the text or what can be said of any model.

    A text that has YAML at its head already is the card.
    """
    if text is not None and text.startswith("---\n"):
        return text
    if text is None:
        text = _TEXT.format(
            title=SYSTEMS[config.system].title,
            modality=config.modality.upper(),
            sfreq=config.sfreq,
            name=name,
        )
    return f"{card_head(config, name, licence)}{text}"


def card_head(config: Config, name: str, licence: str) -> str:
    """Write the YAML and the title of a card, and in which reference the model is given signals."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=licence,
        library_name=_LIBRARY,
        tags=[config.modality, config.system, "residual-vector-quantization"],
    )
    reference = ""
    if config.reference != "recorded":
        reference = _REFERENCE.format(reference=config.reference)
    return f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{reference}"
