# License: BSD-3-Clause
"""Residual vector quantization: one class for all rules, codebooks searched together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .codebooks import Codebooks
from .collectives import one_after_another
from .search import nearest_codes

# Weight of NeuroRVQ's term that pulls a chosen code towards the residual it leaves.
_RESIDUAL_WEIGHT = 0.4


class Quantized(NamedTuple):
    """What :class:`ResidualVQ` returns.

    Parameters
    ----------
    vectors : Tensor, shape (n_codebooks, n_tokens, input_dim)
        Sum of the chosen codes over the levels, with straight-through gradient in training.
    codes : Tensor of int64, shape (n_codebooks, n_tokens, n_levels)
        Chosen codes; ``n_levels`` is 0 while training has not yet started to quantize.
    loss : Tensor, shape ()
        Commitment loss: sum over codebooks; over levels the mean, under the rule "detached" the
        sum.
    residual_norms : Tensor, shape (n_codebooks, n_levels + 1)
        Mean norm of the residual before the first and after each level.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import QuantizerConfig, ResidualVQ
    >>> quantizer = ResidualVQ(QuantizerConfig(n_levels=2, n_codes=16, code_dim=8)).eval()
    >>> quantizer(torch.randn(4, 10, 8)).residual_norms.shape
    torch.Size([4, 3])
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor
    residual_norms: Tensor


class ResidualVQ(Codebooks):
    """Residual vector quantizer over several codebooks.

    Parameters
    ----------
    config : QuantizerConfig
        Sizes, residual rule and training policy.

    Attributes
    ----------
    codebook : Tensor, shape (n_codebooks, n_levels, n_codes, code_dim)
        Codes; unit vectors but under the rule "euclidean".
    gain : Tensor, shape (n_codebooks, n_levels)
        Length of a code when it is subtracted and summed; 1 except under the rule "gain".
    cluster_size : Tensor, shape (n_codebooks, n_levels, n_codes)
        Moving average of how often a code is chosen in training.
    moving_sum : Tensor, shape (n_codebooks, n_levels, n_codes, code_dim)
        Under the rule "cosine", the moving sum of the vectors that chose a code, whose direction
        the code is.
    start_size : Tensor, shape (n_codebooks, n_levels, n_codes)
        Counts of the k-means start.
    started : Tensor of bool, shape ()
        Whether the codebooks hold more than random numbers.
    to_code, from_code : Module
        With ``config.input_dim``, the linear maps of each level to the codes and back.

    Notes
    -----
    With ``config.input_dim`` vectors and residuals have that dimension, otherwise ``code_dim``;
    both are called ``input_dim`` below.

    The codebook learns by exponential moving averages, in training mode only: evaluation changes
    nothing. Codes are looked up before the update and the next level sees the residual that the
    old code left, so one step is a function of the state before it.

    The first training step after ``config.warmup_steps`` unquantized ones sets every level by
    k-means on the tokens of the last of those steps.

    Processes that train together (``torch.distributed``) learn as one with the joined batch, and
    hold the same numbers to the last bit; batches may differ in size, and ``kmeans_tokens``
    counts those of all processes. Each step sums
    ``4 * n_codebooks * n_levels * (n_codes * (code_dim + 1) + 1)`` bytes over the processes in
    one message, whatever the batch: 135 MB at the published size. A step that replaces codes sums
    ``4 * code_dim`` bytes more for each of them. The k-means start sums the first figure about
    eleven times. DistributedDataParallel needs no ``broadcast_buffers``, which would send as much
    again in every step.

    References
    ----------
    Barmpas et al., "NeuroRVQ: Multi-Scale EEG Tokenization for Generative Large Brainwave
    Models" (2025), for the "unit" rule; BioCodec (2025, arXiv 2510.09095) for the "cosine" rule
    with maps of each level; van den Oord et al., "Neural Discrete Representation
    Learning" (2017), appendix A.1, for the moving averages.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import QuantizerConfig, ResidualVQ
    >>> config = QuantizerConfig(n_levels=2, n_codes=16, code_dim=8, rule="euclidean")
    >>> quantizer = ResidualVQ(config).eval()
    >>> codes = quantizer.encode(torch.randn(4, 10, 8))
    >>> codes.shape, quantizer.decode(codes).shape
    (torch.Size([4, 10, 2]), torch.Size([4, 10, 8]))
    """

    def forward(self, z: Tensor) -> Quantized:
        """Quantize vectors; in training, also update the codebooks.

        Parameters
        ----------
        z : Tensor, shape (n_codebooks, n_tokens, input_dim)
            Vectors of each codebook's branch.

        Returns
        -------
        Quantized
            Sum of codes, codes, loss and residual norms.
        """
        if self.training and not self.started:
            self._remember(z.detach())
            if self.warmup_left > 0:
                self.warmup_left -= 1
                norms = z.detach().norm(dim=-1).mean(-1, keepdim=True)
                codes = z.new_zeros((*z.shape[:2], 0), dtype=torch.int64)
                return Quantized(z, codes, z.new_zeros(()), norms)
            parts, shares = zip(*self._remembered, strict=True)
            self._start(torch.cat(parts, dim=1), one_after_another(shares), None)
            self._remembered = []
        return self._quantize(z)

    def _quantize(self, z: Tensor) -> Quantized:
        config = self.config
        residual, total = z, torch.zeros_like(z)
        codes, losses, norms = [], [], [z.detach().norm(dim=-1).mean(-1)]
        tallies = []
        for level in range(config.n_levels):
            vectors = self.to_code(residual, level)
            searched = self._searched(vectors)
            index = nearest_codes(searched.detach(), self.codebook[:, level])
            chosen = self._rows(level, index)
            if self.training:
                tallies.append(self._tally(level, searched.detach(), vectors.detach(), index))
            if config.rule == "unit":
                # Straight through: the value of the code, the gradient of the direction.
                code = searched + (chosen - searched).detach()
                residual = residual - code
                pulled = F.mse_loss(code, residual.detach())
                losses.append(F.mse_loss(searched, chosen) + _RESIDUAL_WEIGHT * pulled)
            elif config.rule in ("detached", "cosine"):
                learns = searched if config.rule == "detached" else vectors
                code = self.from_code(learns + (chosen - learns).detach(), level)
                residual = residual - code.detach()
                losses.append(F.mse_loss(learns, chosen))
            else:
                code = chosen
                losses.append(F.mse_loss(residual, code))
                residual = residual - code
            total = total + code
            codes.append(index)
            norms.append(residual.detach().norm(dim=-1).mean(-1))
        if tallies:
            self._learn(tallies)
        if config.rule in ("euclidean", "gain"):
            total = z + (total - z).detach()
        # mse_loss above averages over the codebooks too; the loss is their sum.
        by_level = torch.stack(losses)
        loss = by_level.sum() if config.rule == "detached" else by_level.mean()
        return Quantized(
            total, torch.stack(codes, -1), loss * config.n_codebooks, torch.stack(norms, -1)
        )

    def encode(self, z: Tensor) -> Tensor:
        """Look up the codes, without loss and without update.

        Parameters
        ----------
        z : Tensor, shape (n_codebooks, n_tokens, input_dim)
            Vectors of each codebook's branch.

        Returns
        -------
        Tensor of int64, shape (n_codebooks, n_tokens, n_levels)
            Chosen codes.
        """
        residual = z.clone()
        codes = []
        for level in range(self.config.n_levels):
            vectors = self.to_code(residual, level)
            index = nearest_codes(self._searched(vectors), self.codebook[:, level])
            residual -= self.from_code(self._rows(level, index), level)
            codes.append(index)
        return torch.stack(codes, -1)

    def level_vectors(self) -> list[Tensor]:
        """Vectors that the codes of each level stand for, ``(n_codebooks, n_codes, input_dim)``."""
        every = torch.arange(self.config.n_codes, device=self.codebook.device)
        index = every.expand(self.config.n_codebooks, -1)
        return [
            self.from_code(self._rows(level, index), level) for level in range(self.config.n_levels)
        ]

    def decode(self, codes: Tensor) -> Tensor:
        """Sum the codes over the levels.

        Parameters
        ----------
        codes : Tensor of int64, shape (n_codebooks, n_tokens, n_levels)
            Codes of the first levels; fewer than all of them give a coarser vector.

        Returns
        -------
        Tensor, shape (n_codebooks, n_tokens, input_dim)
            Quantized vectors.
        """
        width = self.config.input_dim or self.config.code_dim
        total = self.codebook.new_zeros(*codes.shape[:2], width)
        for level in range(codes.shape[-1]):
            total += self.from_code(self._rows(level, codes[..., level]), level)
        return total
