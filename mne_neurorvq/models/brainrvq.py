# License: BSD-3-Clause
"""BrainRVQ: one feature quantized for the waveform and for the spectrum, predicted level by level.

What it shares with NeuroRVQ is in the modules of those names; here is what differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .brainrvq_config import BRAINRVQ_EEG, BrainRVQConfig
from .dual import DualView, analyse_dual, dual_losses, synthesise_dual
from .encoder import make_trunk
from .foundation import FoundationModel
from .patch_tokenizer import PatchTokenizer, tanh_layers


class Decoder(nn.Module):
    """From the quantized vectors of a domain to embeddings of patches.

    Parameters
    ----------
    config : BrainRVQConfig
        Structure.
    """

    def __init__(self, config: BrainRVQConfig) -> None:
        super().__init__()
        self.from_code = nn.Linear(config.quantizer.code_dim, config.embed_dim)
        self.trunk = make_trunk(config, config.decoder_depth, config.tokenizer_style)
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.tokenizer_style.norm_eps)

    def forward(self, vectors: Tensor, channel_ids: Tensor) -> Tensor:
        """Map ``(batch, n_tokens, code_dim)`` to ``(batch, n_tokens, embed_dim)``."""
        return self.norm(self.trunk(self.from_code(vectors), channel_ids))


class BrainRVQTokenizer(PatchTokenizer[DualView]):
    """Tokenizer: one encoder, a residual quantizer and a decoder for each of two domains.

    Parameters
    ----------
    n_outputs : None
        Not used; part of braindecode's common signature.
    n_chans : int | None
        Number of channels.
    chs_info : sequence of mapping | None
        MNE's ``info["chs"]``: the channel names, resolved here so that ``model(x)`` is enough.
    n_times : int | None
        Samples of a window, a multiple of the patch size.
    input_window_seconds : float | None
        Duration of a window.
    sfreq : float | None
        Sampling rate in Hz; must be the model's.
    config : BrainRVQConfig | None
        Structure; None takes the published one.

    Notes
    -----
    Codebook 0 is that of the time domain, codebook 1 that of the frequency domain. A signal is
    decoded from the codes of the time domain and the mean and standard deviation of each patch;
    the codes of the frequency domain describe its spectrum. A model of the frequency domain alone
    is decoded through amplitude and phase.

    References
    ----------
    BrainRVQ, https://github.com/keqicmz/BrainRVQ. This is an independent implementation.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, BrainRVQTokenizer
    >>> small = replace(BRAINRVQ_EEG, depth=1, decoder_depth=1,
    ...                 quantizer=replace(BRAINRVQ_EEG.quantizer, n_codes=16, code_dim=8))
    >>> model = BrainRVQTokenizer(chs_info=[{"ch_name": "Cz"}], config=small).eval()
    >>> codes, side = model.encode(torch.randn(2, 1, 400))
    >>> codes.shape, side.shape
    (torch.Size([2, 1, 2, 2, 3]), torch.Size([2, 1, 2, 2]))
    >>> model.decode_codes(codes, side).shape
    torch.Size([2, 1, 400])
    """

    published = BRAINRVQ_EEG
    _n_side_axes = 3
    _init_convolutions = False

    config: BrainRVQConfig

    def _make_decoder(self) -> None:
        config = self.config
        dim, size = config.embed_dim, config.patch_size
        self.decoders = nn.ModuleDict({domain: Decoder(config) for domain in config.domains})
        if "time" in config.domains:
            self.to_waveform = tanh_layers(dim, dim, size)
        if "frequency" in config.domains:
            self.to_amplitude = tanh_layers(dim, dim, size)
            n_numbers = 2 * size if config.phase == "circular" else size
            self.to_phase = tanh_layers(dim, dim, n_numbers)

    def from_vectors(self, vectors: Tensor, side: Tensor, channel_ids: Tensor) -> DualView:
        """Decode quantized vectors to both domains.

        Parameters
        ----------
        vectors : Tensor, shape (n_codebooks, batch * n_chans * n_patches, code_dim)
            Quantized vectors.
        side : Tensor, shape (batch, n_chans, n_patches, 2)
            Mean and standard deviation of each patch.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows, of all windows or of each.

        Returns
        -------
        DualView
            What is predicted of every patch.
        """
        decoded = {
            domain: decoder(book.unflatten(0, (len(side), -1)), channel_ids).view(
                *side.shape[:3], -1
            )
            for (domain, decoder), book in zip(self.decoders.items(), vectors, strict=True)
        }
        waveform = amplitude = phase = None
        if "time" in decoded:
            waveform = self.to_waveform(decoded["time"]).float()
        if "frequency" in decoded:
            amplitude = self.to_amplitude(decoded["frequency"]).float()
            phase = self.to_phase(decoded["frequency"]).float()
            if self.config.phase == "circular":
                phase = phase.unflatten(-1, (-1, 2))
        return DualView(waveform, amplitude, phase, side)

    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(sides), dim=2)

    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        if side.shape[2] != sum(segments):
            raise ValueError(
                f"side must hold {sum(segments)} patches of each channel, got shape "
                f"{tuple(side.shape)}."
            )
        return side.split(segments, dim=2)

    def _analyse(self, patches: Tensor) -> DualView:
        return analyse_dual(patches, self.config)

    def _synthesise(self, view: DualView) -> Tensor:
        return synthesise_dual(view)

    def _compare(self, target: DualView, predicted: DualView, patches: Tensor) -> dict[str, Tensor]:
        return dual_losses(target, predicted)


class BrainRVQ(FoundationModel):
    """Foundation model: the BrainRVQ encoder with optional heads.

    Parameters
    ----------
    n_outputs : int | None
        Size of the classification head ``final_layer``; None leaves it out.
    n_chans : int | None
        Number of channels.
    chs_info : sequence of mapping | None
        MNE's ``info["chs"]``: the channel names, resolved here so that ``model(x)`` is enough.
    n_times : int | None
        Samples of a window, a multiple of the patch size.
    input_window_seconds : float | None
        Duration of a window.
    sfreq : float | None
        Sampling rate in Hz; must be the model's.
    config : BrainRVQConfig | None
        Structure; None takes that of ``pretrained``, or the published one.
    masked_token_heads : bool
        Whether to have the heads of the pretraining task.
    head : "mean" | "flatten" | "cls"
        Whether ``final_layer`` sees the mean over channels and patches, all of them in a row, or
        the class token.
    pretrained : BrainRVQ | None
        A loaded model, ``load_pretrained(name).foundation``, to start from. Its structure and the
        weights of its encoder are copied; its heads, channels and window are not. It is neither
        changed nor shared.

    Raises
    ------
    TypeError
        If ``pretrained`` is no BrainRVQ, for example a name.
    ValueError
        If ``config`` is not that of ``pretrained``, if a channel is not in the vocabulary, or if
        the rate, the lengths or the numbers of channels contradict the model or each other.

    Notes
    -----
    The parameters of the trunk start with ``encoder.``, those of the head with ``final_layer.``.

    References
    ----------
    BrainRVQ, https://github.com/keqicmz/BrainRVQ. This is an independent implementation.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, BrainRVQ
    >>> model = BrainRVQ(n_outputs=3, chs_info=[{"ch_name": "C3"}, {"ch_name": "FP1-F7"}],
    ...                  config=replace(BRAINRVQ_EEG, depth=1)).eval()
    >>> x = torch.randn(2, 2, 400)
    >>> model(x).shape
    torch.Size([2, 3])
    >>> found = model(x, return_features=True)
    >>> found["features"].shape, found["cls_token"].shape
    (torch.Size([2, 2, 2, 200]), torch.Size([2, 200]))
    """

    published = BRAINRVQ_EEG
    head_kinds = ("mean", "flatten", "cls")
    _init_convolutions = False

    config: BrainRVQConfig

    def _features(self, embeddings: Tensor, channel_ids: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder.trunk(embeddings[0], channel_ids, keep_class=True)
        return tokens[:, 1:], tokens[:, 0]

    def _hidden_features(self, embeddings: Tensor, channel_ids: Tensor) -> Tensor:
        released = self.config.class_place == "first channel"
        class_channel = channel_ids[..., :1] if released else None
        tokens = self.encoder.trunk(embeddings[0], channel_ids, class_channel=class_channel)
        return tokens.expand(self.config.quantizer.n_codebooks, -1, -1, -1)
