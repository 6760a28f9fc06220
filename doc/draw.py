# License: BSD-3-Clause
"""The drawn figures of these pages, made while they are built.

``python doc/draw.py`` redraws README's.

A scene is a list of boxes and arrows in centimetres; what is measured is drawn from the numbers
that the page beside it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.45"
INK = "0.15"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.hashsalt": "mne-neurorvq",  # the same file for the same drawing
    "axes.spines.top": False,
    "axes.spines.right": False,
}
RNG = np.random.default_rng


def scene(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure whose unit is a centimetre."""
    figure = Figure(figsize=(width / 2.54, height / 2.54))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    return figure, ax


def box(ax: Axes, x: float, y: float, w: float, h: float, text: str, colour: str = BLUE) -> None:
    """Draw a box with words; ``x`` and ``y`` are its centre."""
    ax.add_patch(
        FancyBboxPatch(
            (x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=0.15",
            facecolor=mpl.colors.to_rgba(colour, 0.12), edgecolor=colour, lw=1.2,
        )
    )  # fmt: skip
    ax.text(x, y, text, ha="center", va="center", color=INK, fontsize=8, linespacing=1.35)


def arrow(ax: Axes, *points: tuple[float, float], text: str = "") -> None:
    """Draw an arrow through points, with words above its middle."""
    xs, ys = zip(*points, strict=True)
    ax.plot(xs[:-1], ys[:-1], color=GREY, lw=1.2)
    ax.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.2}
    )
    if text:
        ax.text(np.mean(xs), max(ys) + 0.12, text, ha="center", va="bottom", color=GREY, fontsize=8)


def wave(ax: Axes, x: float, y: float, w: float, h: float, colour: str, seed: int = 0) -> None:
    """Draw a signal about ``y``."""
    times = np.linspace(0, 1, 240)
    noise = np.convolve(RNG(seed).standard_normal(300), np.hanning(9), "valid")[:240]
    signal = 1.5 * np.sin(2 * np.pi * 10 * times) * np.sin(np.pi * times) + 0.5 * noise
    ax.plot(x + w * times, y + h * signal / np.abs(signal).max() / 2, color=colour, lw=1)


def note(ax: Axes, x: float, y: float, text: str, **kwargs: object) -> None:
    """Write small grey words."""
    ax.text(x, y, text, **{"ha": "center", "va": "center", "color": GREY, "fontsize": 8} | kwargs)


def cells(ax: Axes, x: float, y: float, codes: np.ndarray, size: float) -> None:
    """Draw codes as cells in colours without order, from the upper left corner ``x, y``."""
    palette = mpl.colormaps["tab20"]
    for row, line in enumerate(codes):
        for column, code in enumerate(line):
            ax.add_patch(
                mpl.patches.Rectangle(
                    (x + column * size, y - (row + 1) * size), size, size,
                    facecolor=palette(int(code) % 20), edgecolor="white", lw=0.5,
                )
            )  # fmt: skip


def neurorvq() -> Figure:
    """One window through the tokenizer of NeuroRVQ."""
    figure, ax = scene(18, 9.1)
    wave(ax, 0.3, 5, 2.2, 1.6, INK)
    note(ax, 1.4, 3.6, "1 s of a channel,\n200 samples")
    for i, width in enumerate((21, 15, 9, 5)):
        y = 7.4 - 1.6 * i
        arrow(ax, (2.6, 5), (3.1, 5), (3.1, y), (3.6, y))
        box(ax, 4.7, y, 2.2, 1.0, f"convolutions\n{width} samples")
        arrow(ax, (5.8, y), (6.6, y))
        arrow(ax, (9.2, y), (10.0, y))
        cells(ax, 10.1, y + 0.17, RNG(i).integers(20, size=(1, 8)), 0.34)
        arrow(ax, (12.9, y), (13.5, y))
    box(
        ax,
        7.9,
        5,
        2.5,
        6.2,
        "transformer\nover channels\nand seconds\n\n(the same\nfor all scales)",
        GREEN,
    )
    note(ax, 11.5, 8.5, "residual quantizer:\n8 codes a scale")
    note(ax, 4.7, 8.5, "four time scales,\nfrom slow to fast")
    box(ax, 14.55, 5, 2.0, 6.2, "decoder:\namplitude\nand phase\nof each\nfrequency", GREEN)
    arrow(ax, (15.6, 5), (16.1, 5))
    wave(ax, 16.15, 5, 1.7, 1.6, ORANGE)
    note(ax, 17.0, 3.6, "1 s in volts")
    beside = "mean and deviation of the log amplitude of the segment, and the scale of each channel"
    note(ax, 9, 0.9, f"beside the codes: {beside}")
    return figure


def brainrvq() -> Figure:
    """One window through the tokenizer of BrainRVQ."""
    figure, ax = scene(18, 6.4)
    wave(ax, 0.3, 3.6, 2.2, 1.6, INK)
    note(ax, 1.4, 2.2, "1 s of a channel,\n200 samples")
    arrow(ax, (2.6, 3.6), (3.3, 3.6))
    box(ax, 4.9, 3.6, 3.1, 2.6, "convolutions and\ntransformer over\nchannels and\nseconds", GREEN)
    for i, name in enumerate(("waveform", "spectrum")):
        y = 4.9 - 2.6 * i
        arrow(ax, (6.5, 3.6), (7.0, 3.6), (7.0, y), (7.6, y))
        cells(ax, 7.7, y + 0.25, RNG(i + 5).integers(20, size=(1, 3)), 0.5)
        note(ax, 8.45, y + 0.62, f"{name}: 3 codes")
        arrow(ax, (9.3, y), (10.2, y))
    box(ax, 11.6, 4.9, 2.7, 1.4, "decoder:\nwaveform", GREEN)
    box(ax, 11.6, 2.3, 2.7, 1.4, "decoder: amplitude\nand phase", GREEN)
    arrow(ax, (13.0, 4.9), (13.8, 4.9))
    wave(ax, 13.9, 4.9, 2, 1.4, ORANGE)
    note(ax, 14.9, 3.85, "1 s in volts")
    arrow(ax, (13.0, 2.3), (13.8, 2.3))
    note(ax, 13.9, 2.3, "only trained on: signals are\ndecoded from the waveform", ha="left")
    note(ax, 9, 0.6, "beside the codes: mean and deviation of each second and channel")
    return figure


def biocodec() -> Figure:
    """One channel through BioCodec."""
    figure, ax = scene(18, 5.2)
    wave(ax, 0.3, 3, 2.4, 1.6, INK)
    note(ax, 1.6, 1.5, "one channel,\nany length,\n250 Hz")
    arrow(ax, (2.8, 3), (3.4, 3))
    box(ax, 4.7, 3, 2.5, 1.8, "median 0,\ninterquartile\nrange 1")
    arrow(ax, (6.0, 3), (6.6, 3))
    box(ax, 7.9, 3, 2.5, 1.8, "convolutions\nand LSTM", GREEN)
    arrow(ax, (9.2, 3), (9.8, 3))
    cells(ax, 9.9, 3.9, RNG(9).integers(20, size=(6, 8)), 0.3)
    note(ax, 11.1, 1.6, "6 codes each 48 ms")
    arrow(ax, (12.4, 3), (13.0, 3))
    box(ax, 14.2, 3, 2.3, 1.8, "LSTM and\nconvolutions", GREEN)
    arrow(ax, (15.4, 3), (15.9, 3))
    wave(ax, 15.9, 3, 2, 1.6, ORANGE)
    note(ax, 16.9, 1.6, "in volts")
    note(ax, 9, 0.5, "beside the codes: median and interquartile range of each channel and trial")
    return figure


def residual() -> Figure:
    """A vector, the code nearest to it, what is left, and so on: in two dimensions."""
    figure = Figure(figsize=(7.1, 2.9), layout="constrained")
    axes = figure.subplots(1, 3)
    rest = np.array([0.62, 0.38])
    for level, ax in enumerate(axes):
        codes = RNG(20 + level).uniform(-1, 1, size=(8, 2)) * 0.45**level
        nearest = codes[np.linalg.norm(codes - rest, axis=1).argmin()]
        ax.scatter(*codes.T, s=18, color="0.7", label="codes")
        ax.scatter(*nearest, s=40, color=BLUE, label="chosen code")
        ax.scatter(*rest, s=40, color=ORANGE, marker="x", label="to be coded")
        ax.annotate("", rest, nearest, arrowprops={"arrowstyle": "->", "color": GREY})
        limit = 1.15 * 0.5**level
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        ax.locator_params(nbins=4)
        ax.set_title(f"level {level}: {np.linalg.norm(rest - nearest):.2f} is left", fontsize=9)
        rest = rest - nearest
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    return figure


def rate_distortion() -> Figure:
    """Error against bits, level by level: the tables of `analysis`."""
    figure = Figure(figsize=(7.1, 3.3), layout="constrained")
    ax = figure.subplots()
    curves = {
        "neurorvq-eeg-small": (
            BLUE, "o", [48, 88, 128, 168, 208, 248, 288, 328],
            [0.386, 0.221, 0.141, 0.097, 0.070, 0.054, 0.045, 0.039],
        ),
        "biocodec-eeg-small": (
            GREEN, "s", [184, 352, 520, 688, 856, 1024],
            [0.522, 0.260, 0.115, 0.040, 0.015, 0.006],
        ),
        "brainrvq-eeg-small": (ORANGE, "D", [86, 108, 130], [0.273, 0.187, 0.160]),
    }  # fmt: skip
    for name, (colour, marker, bits, error) in curves.items():
        ax.plot(bits, error, color=colour, marker=marker, ms=5, label=name)
    bound = {33: 0.163, 66: 0.091, 97: 0.057, 130: 0.035, 320: 0.002}
    ax.plot(*zip(*bound.items(), strict=True), "--", color=GREY, label="bound")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="bits per second and channel, with side information",
        ylabel="squared error / variance",
    )
    ax.set_xticks([30, 100, 300, 1000], ["30", "100", "300", "1,000"])
    ax.set_yticks([0.003, 0.01, 0.03, 0.1, 0.3], ["0.3 %", "1 %", "3 %", "10 %", "30 %"])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8)
    return figure


def measured(table: str, row: str) -> np.ndarray:
    """Scores and ends of their intervals in a row of a table of `benchmark`."""
    page = (Path(__file__).parent / "benchmark.rst").read_text(encoding="utf-8")
    found = re.search(rf"(?sm)^.. table:: {table}\n.*?^ +{row} {{2,}}(.*?)$", page)
    assert found, f"{row} is not in the table {table}"
    return np.array(re.findall(r"(\d?\.\d+) \[(\d?\.\d+), (\d?\.\d+)\]", found[1]), dtype=float)


def eyes() -> Figure:
    """Left against right fist as published, without the eyes, from the eyes alone."""
    figure = Figure(figsize=(7.1, 2.9), layout="constrained")
    ax = figure.subplots()
    rows = {"slow potentials": GREY, "BrainRVQ, physiology": ORANGE, "band power": INK}
    for i, (row, colour) in enumerate(rows.items()):
        score, low, high = measured("imagined left against right fist", row).T
        ax.errorbar(
            np.arange(3) + 0.18 * (i - 1),
            score,
            (score - low, high - score),
            fmt="osD"[i],
            ms=6,
            color=colour,
            label=row,
        )
    ax.axhline(0.5, color=GREY, lw=1, ls="--")
    note(ax, 2.45, 0.49, "chance", ha="right", va="top")
    ax.set_xticks(
        range(3), ["task as published", "eye movements removed", "frontal channels alone"]
    )
    ax.set(ylabel="balanced accuracy", ylim=(0.4, 1.0), xlim=(-0.5, 2.5))
    ax.legend(frameon=False, loc="upper center", ncols=3)
    return figure


def folds() -> Figure:
    """People in a cross-validation: whoever is tested is in no training set of the fold."""
    figure, ax = scene(18, 5.6)
    for fold in range(4):
        note(ax, 1.3, 4.4 - fold, f"fold {fold + 1}", color=INK)
        for person in range(8):
            tested = person // 2 == fold
            colour = ORANGE if tested else BLUE
            box(
                ax, 3.2 + 1.25 * person, 4.4 - fold, 1.1, 0.7, "test" if tested else "train", colour
            )
    for person in range(8):
        note(ax, 3.2 + 1.25 * person, 5.15, f"person {person + 1}", fontsize=7)
    words = "Nobody is on both sides.\nEach trial goes through\nthe frozen model once."
    ax.text(13.4, 2.9, words, va="center", color=INK, linespacing=1.4)
    note(ax, 7.6, 0.5, "GroupKFold(4): folds are of people, not of trials")
    return figure


def reuse() -> Figure:
    """Draw the figures of `scaling`: ten folds in passes over all trials."""
    figure = Figure(figsize=(7.1, 1.9), layout="constrained")
    ax = figure.subplots()
    passes = {"one pass": 1.0, "memory=None": 14.0, 'memory="auto"': 2.8, "a folder": 3.7}
    colours = (GREY, ORANGE, BLUE, BLUE)
    bars = ax.barh(list(passes), list(passes.values()), color=colours, height=0.6)
    ax.bar_label(bars, padding=4, fmt="%.1f")
    ax.invert_yaxis()
    ax.set(xlabel="time of ten folds, in passes over all trials", xlim=(0, 15))
    return figure


def levels() -> Figure:
    """Draw the share of equal codes by level of `analysis`."""
    figure = Figure(figsize=(7.1, 2.9), layout="constrained")
    ax = figure.subplots()
    shares = {
        "any gain": (GREEN, [1.0] * 8),
        "noise, 30 dB": (BLUE, [0.857, 0.720, 0.579, 0.450, 0.332, 0.238, 0.159, 0.100]),
        "noise, 20 dB": (ORANGE, [0.635, 0.410, 0.236, 0.129, 0.065, 0.033, 0.015, 0.008]),
        "noise, 10 dB": (GREY, [0.303, 0.111, 0.036, 0.013, 0.006, 0.004, 0.003, 0.002]),
    }
    for name, (colour, values) in shares.items():
        ax.plot(values, "o-", color=colour, label=name)
    ax.set(xlabel="level", ylabel="share of equal codes", ylim=(0, 1.03))
    ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def adapting() -> Figure:
    """How a recording is brought to a model and back."""
    figure, ax = scene(18, 5.4)
    steps = [
        ("names\nmatched", "unknown names:\nwarned of,\nor an error"),
        ("unit\nµV", "wrong unit:\nan error with\nthe factor"),
        ("rate\n200 Hz", "resampled,\nsamples keep\ntheir times"),
        ("reference", "recorded,\naverage or\nLaplacian"),
        ("segments\nof patches", "the last one\noverlaps"),
        ("model", ""),
        ("length,\nrate, volts\nrestored", ""),
    ]
    wave(ax, 0.2, 3.2, 1.7, 1.4, INK)
    note(ax, 1.05, 2.0, "mne.Epochs:\nany montage,\nrate, length")
    for i, (step, remark) in enumerate(steps):
        x = 3.2 + 2.05 * i
        arrow(ax, (x - 1.2, 3.2), (x - 0.87, 3.2))
        box(ax, x, 3.2, 1.75, 1.7, step, GREEN if step == "model" else BLUE)
        note(ax, x, 1.45, remark, fontsize=7.5)
    arrow(ax, (16.4, 3.2), (16.75, 3.2))
    wave(ax, 16.8, 3.2, 1.1, 1.4, ORANGE)
    words = "every difference is removed and restored, or is an error that names channel or trial"
    note(ax, 9, 4.7, words)
    return figure


def tuning() -> Figure:
    """What each mode of fine-tuning trains."""
    figure, ax = scene(18, 5.6)
    modes = {"head": (GREY, GREY, BLUE), "lora": (GREY, GREEN, BLUE), "full": (BLUE, BLUE, BLUE)}
    ax.set_ylim(-0.4, 5.2)
    for i, (mode, colours) in enumerate(modes.items()):
        x = 3.2 + 5.8 * i
        ax.text(x, 4.7, f'finetune="{mode}"', ha="center", color=INK, weight="bold")
        adapters = "\n+ adapters of low rank" if mode == "lora" else ""
        box(ax, x, 3.7, 4.6, 0.9, "head", colours[2])
        box(ax, x, 2.3, 4.6, 1.3, f"blocks of the transformer{adapters}", colours[1])
        box(ax, x, 0.9, 4.6, 0.9, "convolutions", colours[0])
    note(ax, 9, -0.0, "blue: trained    green: frozen, with trained adapters    grey: frozen")
    return figure


def training() -> Figure:
    """From recordings to a model."""
    figure, ax = scene(18, 4.6)
    steps = [
        ("recordings:\nBIDS, EDF,\nFIF, …", GREY, ""),
        ("corpus:\nchecked windows\nof named people", BLUE, "prepare"),
        ("tokenizer:\nsignal → codes\n→ signal", GREEN, "pretrain tokenizer"),
        ("foundation model:\nhidden patches\nfrom visible ones", GREEN, "pretrain foundation"),
        ("a folder with\nweights and card", ORANGE, "export"),
    ]
    for i, (text, colour, command) in enumerate(steps):
        x = 1.8 + 3.6 * i
        box(ax, x, 2.5, 3.0, 1.9, text, colour)
        if command:
            arrow(ax, (x - 2.1, 2.5), (x - 1.5, 2.5))
            note(ax, x, 3.85, command, family="DejaVu Sans Mono", color=INK)
    note(
        ax,
        9,
        0.6,
        "each step is one command; one that was stopped goes on where it was when it is repeated",
    )
    return figure


def overview() -> Figure:
    """README's figure: simulated EEG, its codes, and the signal that they decode to."""
    from mne_neurorvq import NeuroRVQTransformer, datasets
    from mne_neurorvq.signals import set_reference

    names = ["Fz", "C3", "Pz", "O1"]
    epochs = datasets.simulate_epochs(n_subjects=1, n_trials=4, verbose=False)
    model = NeuroRVQTransformer(verbose=False).fit(epochs)
    tokens = model.tokenize(epochs)
    before = 1e6 * set_reference(epochs, model.reference_).get_data(picks=names)[0]
    after = 1e6 * model.detokenize(tokens).get_data(picks=names)[0]
    rows = [list(tokens.ch_names).index(name) for name in names]
    figure = Figure(figsize=(9.2, 2.9), layout="constrained", facecolor="white")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
    offsets = -np.arange(len(names))[:, None] * 1.15 * np.ptp(before)
    for ax in (left, right):
        ax.plot(
            epochs.times[::2],
            (before + offsets)[:, ::2].T,
            color="0.35" if ax is left else "0.65",
            lw=1,
        )
        ax.set_yticks(offsets[:, 0], names if ax is left else [""] * 4)
        ax.set(xlabel="time (s)", xlim=(0, 4))
    left.set_title("signal", fontsize=10)
    right.plot(epochs.times[::2], (after + offsets)[:, ::2].T, color=ORANGE, lw=0.8)
    r = np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(before, after, strict=True)])
    right.set_title(f"signal from the codes alone (r = {r:.2f})", fontsize=10)
    low = offsets[-1, 0] - 1.0 * np.ptp(before)
    left.plot([0.1, 0.1], [low, low + 50], color=INK, lw=2)
    note(left, 0.17, low + 25, "50 µV", ha="left", color=INK)
    left.set_ylim(low)
    right.set_ylim(left.get_ylim())
    # A block of each channel and second: four scales below each other, eight levels side by side.
    block = np.full((len(names) * 5 - 1, 4 * 9 - 1), -1)
    for i, row in enumerate(rows):
        for patch in range(4):
            block[5 * i : 5 * i + 4, 9 * patch : 9 * patch + 8] = tokens.codes[0, row, patch]
    shown = mpl.colormaps["tab20"](block % 20)
    shown[block < 0] = 1
    middle.imshow(
        shown, aspect="auto", interpolation="nearest", extent=(0, 35, len(names) * 5 - 1, 0)
    )
    middle.set_xticks([4 + 9 * patch for patch in range(4)], [f"{p}–{p + 1}" for p in range(4)])
    middle.set_yticks([2 + 5 * i for i in range(len(names))], names)
    middle.tick_params(length=0)
    middle.spines[:].set_visible(False)
    middle.set(xlabel="time (s)")
    middle.set_title("tokens: 4 scales × 8 levels a second", fontsize=10)
    return figure


SCENES: tuple[Callable[[], Figure], ...] = (
    adapting, biocodec, brainrvq, eyes, folds, levels, neurorvq, rate_distortion, residual, reuse,
    training, tuning,
)  # fmt: skip


def draw_all(folder: Path) -> None:
    """Write every figure but README's as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for scene_of in SCENES:
            scene_of().savefig(folder / f"{scene_of.__name__}.svg", metadata={"Date": None})


if __name__ == "__main__":
    with mpl.rc_context(STYLE):
        target = Path(__file__).parent / "_static" / "overview.svg"
        overview().savefig(target, metadata={"Date": None})
    # One line for each path, not for each of its points.
    target.write_text(
        re.sub(r" *\n(?=[LMzC] |z)", " ", target.read_text(encoding="utf-8")), encoding="utf-8"
    )
