# License: BSD-3-Clause
"""The interface of all tokenizers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .hub import HubMixin
from .quantizer import Quantized, ResidualVQ


class Tokenizer(HubMixin, nn.Module):
    """Interface of the tokenizers of all systems: from windows to codes and back."""

    quantizer: ResidualVQ

    def encode(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn windows into codes.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate; for BioCodec scaled and of any length.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
            Vocabulary rows, of all windows or of each; None takes those of ``chs_info``. BioCodec
            does not use them, here and below.

        Returns
        -------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels)
            Codes.
        side : Tensor, shape (batch, n_side), (batch, n_chans, n_patches, 2) or (batch, n_chans, 2)
            What decoding needs besides: for NeuroRVQ mean and standard deviation of the log
            amplitude of a window, then the scales of its input where that is scaled; for BrainRVQ
            mean and standard deviation of each patch; for BioCodec centre and scale of each
            channel: 0 and, without normalisation, 1. A caller who has scaled the windows puts in
            its own.
        """
        raise NotImplementedError

    def decode_codes(
        self, codes: Tensor, side: Tensor, channel_ids: Tensor | None = None
    ) -> Tensor:
        """Turn codes and side information back into windows.

        Parameters
        ----------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels)
            Codes; fewer levels than the model has give a coarser signal.
        side : Tensor
            Side information, as :meth:`encode` gives it.
        channel_ids : Tensor of int64 | None
            As in :meth:`encode`.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        """
        raise NotImplementedError

    def encode_segments(self, segments: Sequence[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch of prepared trials.

        Parameters
        ----------
        segments : sequence of Tensor
            The segments of the trials, each ``(batch, n_chans, n_times)``. For BioCodec, which
            cuts nothing, their scaled signals, and the centre and scale of each channel by which
            they were scaled, ``(batch, n_chans, 2)``.
        rows : Tensor of int64, shape (n_chans,)
            Vocabulary rows.

        Returns
        -------
        codes : Tensor of ``config.code_dtype``, shape (batch, n_chans, n_patches, n_codebooks, \
n_levels)
            Codes of all segments in a row.
        side : Tensor, shape (batch, ...)
            Their side information, of the shape ``config.side_shape``.
        """
        raise NotImplementedError

    def decode_segments(
        self, codes: Tensor, side: Tensor, rows: Tensor, segments: tuple[int, ...]
    ) -> list[Tensor]:
        """Invert :meth:`encode_segments`.

        Parameters
        ----------
        codes, side : Tensor
            What :meth:`encode_segments` gave; codes may have fewer levels.
        rows : Tensor of int64, shape (n_chans,)
            Vocabulary rows.
        segments : tuple of int
            Patches of each segment.

        Returns
        -------
        list of Tensor, each of shape (batch, n_chans, patches * patch_size)
            Signals of each segment.
        """
        raise NotImplementedError

    def forward(
        self, x: Tensor, channel_ids: Tensor | None = None, return_features: bool = False
    ) -> Tensor | dict[str, Tensor | None]:
        """Reconstruct windows through the codes, or give the features of the encoder.

        Parameters
        ----------
        x, channel_ids
            As in :meth:`encode`.
        return_features : bool
            Whether to return features instead of a reconstruction.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times) | dict
            Reconstruction in the unit of ``x``; or ``"features"``, shape ``(batch, n_chans,
            n_patches, n_features)``, and ``"cls_token"``, always None. Features are what is
            quantized; for NeuroRVQ and BrainRVQ before it is projected to code vectors, the
            scales in a row.
        """
        raise NotImplementedError

    def losses(
        self, x: Tensor, channel_ids: Tensor | None = None, clean: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Quantized]:
        """Training losses, each unweighted; in training mode the codebooks learn.

        Parameters
        ----------
        x, channel_ids
            As in :meth:`encode`.
        clean : Tensor | None
            Windows that are to be restored from ``x``, of its shape; None takes ``x`` itself.

        Returns
        -------
        losses : dict of str to Tensor
            ``code`` (commitment) and, for NeuroRVQ, the terms of
            :func:`~mne_neurorvq.models.reconstruction_losses`, of which ``code + amplitude +
            phase + signal`` is the published objective; for BrainRVQ, whose objective is the sum
            of all, those of :func:`~mne_neurorvq.models.dual_losses`; for BioCodec, which weights
            them with :data:`~mne_neurorvq.models.BIOCODEC_LOSS_WEIGHTS`, those of
            :func:`~mne_neurorvq.models.biocodec_losses`.
        quantized : Quantized
            Output of the quantizer, for its usage and residual norms.
        """
        _, losses, quantized = self.assess(x, channel_ids, clean)
        return losses, quantized

    def assess(
        self, x: Tensor, channel_ids: Tensor | None = None, clean: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Quantized]:
        """Reconstruct windows and compare with the input, in one pass.

        Parameters
        ----------
        x, channel_ids, clean
            As in :meth:`losses`.

        Returns
        -------
        rebuilt : Tensor, shape (batch, n_chans, n_times)
            Reconstruction, as the model gives it when it is called.
        losses : dict of str to Tensor
            As :meth:`losses` gives them.
        quantized : Quantized
            Output of the quantizer.
        """
        raise NotImplementedError
