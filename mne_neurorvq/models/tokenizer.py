# License: BSD-3-Clause
"""The NeuroRVQ tokenizer: four temporal scales, decoded together to a spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .encoder import each_scale, make_trunk, scale_norms, through_trunk
from .neurorvq_config import NEURORVQ_EEG, NeuroRVQConfig
from .patch_tokenizer import PatchTokenizer, tanh_layers
from .spectrum import Spectrum, analyse, reconstruction_losses, synthesise


class NeuroRVQTokenizer(PatchTokenizer[Spectrum]):
    """Tokenizer: encoder, residual quantizer of four temporal scales, decoder.

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
    config : NeuroRVQConfig | None
        Structure; None takes the published one for EEG.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQTokenizer, QuantizerConfig
    >>> small = replace(NEURORVQ_EEG, depth=1, decoder_depth=1,
    ...                 quantizer=QuantizerConfig(n_codes=16, code_dim=8))
    >>> model = NeuroRVQTokenizer(chs_info=[{"ch_name": "Cz"}], config=small).eval()
    >>> codes, side = model.encode(torch.randn(2, 1, 400))
    >>> codes.shape, side.shape
    (torch.Size([2, 1, 2, 4, 8]), torch.Size([2, 2]))
    >>> model.decode_codes(codes, side).shape
    torch.Size([2, 1, 400])
    """

    published = NEURORVQ_EEG
    _n_side_axes = 1

    config: NeuroRVQConfig

    def _make_decoder(self) -> None:
        config, width = self.config, self.config.feature_dim
        dim, size = config.embed_dim, config.patch_size
        self.from_code = nn.ModuleList(
            nn.Linear(config.quantizer.code_dim, dim) for _ in config.scales
        )
        self.decoder = make_trunk(config, config.decoder_depth, config.tokenizer_style)
        self.decoder_norms = scale_norms(config)
        self.to_amplitude = nn.Sequential(nn.Linear(width, dim), nn.GELU(), nn.Linear(dim, size))
        self.to_sin, self.to_cos = (
            tanh_layers(width, dim, size).append(nn.Tanh()) for _ in range(2)
        )

    def from_vectors(self, vectors: Tensor, side: Tensor, channel_ids: Tensor) -> Spectrum:
        """Decode quantized vectors to a spectrum.

        Parameters
        ----------
        vectors : Tensor, shape (n_codebooks, batch * n_chans * n_patches, code_dim)
            Quantized vectors.
        side : Tensor, shape (batch, 2)
            Mean and standard deviation of the log amplitude.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows, of all windows or of each.

        Returns
        -------
        Spectrum
            Predicted spectrum of every patch.
        """
        x = each_scale(self.from_code, vectors).unflatten(1, (len(side), -1))
        x = each_scale(self.decoder_norms, through_trunk(self.decoder, x, channel_ids))
        x = x.permute(1, 2, 0, 3).flatten(2).unflatten(1, (channel_ids.shape[-1], -1))
        return Spectrum(
            self.to_amplitude(x).float(), self.to_sin(x).float(), self.to_cos(x).float(), side
        )

    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(sides), dim=1)

    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        return side.unbind(1)

    def _analyse(self, patches: Tensor) -> Spectrum:
        return analyse(patches)

    def _synthesise(self, view: Spectrum) -> Tensor:
        return synthesise(view)

    def _compare(self, target: Spectrum, predicted: Spectrum, patches: Tensor) -> dict[str, Tensor]:
        return reconstruction_losses(target, predicted, patches)
