# License: BSD-3-Clause
"""Residual vector quantization: one class for all rules, codebooks searched together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import QuantizerConfig
from .search import kmeans, nearest_codes, sums_and_counts

# Weight of the authors' term that pulls a chosen code towards the residual it leaves.
_RESIDUAL_WEIGHT = 0.4


class Quantized(NamedTuple):
    """What :class:`ResidualVQ` returns.

    Parameters
    ----------
    vectors : Tensor, shape (n_codebooks, n_tokens, code_dim)
        Sum of the chosen codes over the levels, with straight-through gradient in training.
    codes : Tensor of int64, shape (n_codebooks, n_tokens, n_levels)
        Chosen codes; ``n_levels`` is 0 while training has not yet started to quantize.
    loss : Tensor, shape ()
        Commitment loss: mean over levels, sum over codebooks.
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


class ResidualVQ(nn.Module):
    """Residual vector quantizer over several codebooks.

    Parameters
    ----------
    config : QuantizerConfig
        Sizes, residual rule and training policy.

    Attributes
    ----------
    codebook : Tensor, shape (n_codebooks, n_levels, n_codes, code_dim)
        Codes; unit vectors under the rules "unit" and "gain".
    gain : Tensor, shape (n_codebooks, n_levels)
        Length of a code when it is subtracted and summed; 1 except under the rule "gain".
    cluster_size : Tensor, shape (n_codebooks, n_levels, n_codes)
        Moving average of how often a code is chosen in training.
    start_size : Tensor, shape (n_codebooks, n_levels, n_codes)
        Counts of the k-means start.
    started : Tensor of bool, shape ()
        Whether the codebooks hold more than random numbers.

    Notes
    -----
    The codebook learns by exponential moving averages, in training mode only: evaluation changes
    nothing. Codes are looked up before the update and the next level sees the residual that the
    old code left, so one step is a function of the state before it.

    The first training step after ``config.warmup_steps`` unquantized ones sets every level by
    k-means on the tokens of the last of those steps.

    References
    ----------
    Barmpas et al., "NeuroRVQ: Multi-Scale EEG Tokenization for Generative Large Brainwave
    Models" (2025), for the "unit" rule; van den Oord et al., "Neural Discrete Representation
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

    codebook: Tensor
    gain: Tensor
    cluster_size: Tensor
    start_size: Tensor
    started: Tensor
    warmup_left: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.n_codebooks, config.n_levels, config.n_codes)
        codebook = torch.randn(*shape, config.code_dim)
        self.register_buffer("codebook", F.normalize(codebook, dim=-1))
        self.register_buffer("gain", torch.ones(shape[:2]))
        self.register_buffer("cluster_size", torch.zeros(shape))
        self.register_buffer("start_size", torch.zeros(shape))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("warmup_left", torch.tensor(config.warmup_steps))
        self._remembered: list[Tensor] = []

    def forward(self, z: Tensor) -> Quantized:
        """Quantize vectors; in training, also update the codebooks.

        Parameters
        ----------
        z : Tensor, shape (n_codebooks, n_tokens, code_dim)
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
            self.start(torch.cat(self._remembered, dim=1))
            self._remembered = []
        return self._quantize(z)

    def _quantize(self, z: Tensor) -> Quantized:
        config = self.config
        residual, total = z, torch.zeros_like(z)
        codes, losses, norms = [], [], [z.detach().norm(dim=-1).mean(-1)]
        for level in range(config.n_levels):
            searched = self._searched(residual)
            index = nearest_codes(searched.detach(), self.codebook[:, level])
            chosen = self._rows(level, index)
            if self.training:
                self._update(level, searched.detach(), residual.detach(), index)
            if config.rule == "unit":
                # Straight through: the value of the code, the gradient of the direction.
                code = searched + (chosen - searched).detach()
                residual = residual - code
                pulled = F.mse_loss(code, residual.detach())
                losses.append(F.mse_loss(searched, chosen) + _RESIDUAL_WEIGHT * pulled)
            else:
                code = chosen
                losses.append(F.mse_loss(residual, code))
                residual = residual - code
            total = total + code
            codes.append(index)
            norms.append(residual.detach().norm(dim=-1).mean(-1))
        if config.rule != "unit":
            total = z + (total - z).detach()
        # mse_loss above averages over the codebooks too; the loss is their sum.
        loss = torch.stack(losses).mean() * config.n_codebooks
        return Quantized(total, torch.stack(codes, -1), loss, torch.stack(norms, -1))

    def encode(self, z: Tensor) -> Tensor:
        """Look up the codes, without loss and without update.

        Parameters
        ----------
        z : Tensor, shape (n_codebooks, n_tokens, code_dim)
            Vectors of each codebook's branch.

        Returns
        -------
        Tensor of int64, shape (n_codebooks, n_tokens, n_levels)
            Chosen codes.
        """
        residual = z.clone()
        codes = []
        for level in range(self.config.n_levels):
            index = nearest_codes(self._searched(residual), self.codebook[:, level])
            residual -= self._rows(level, index)
            codes.append(index)
        return torch.stack(codes, -1)

    def decode(self, codes: Tensor) -> Tensor:
        """Sum the codes over the levels.

        Parameters
        ----------
        codes : Tensor of int64, shape (n_codebooks, n_tokens, n_levels)
            Codes of the first levels; fewer than all of them give a coarser vector.

        Returns
        -------
        Tensor, shape (n_codebooks, n_tokens, code_dim)
            Quantized vectors.
        """
        total = torch.zeros_like(self._rows(0, codes[..., 0]))
        for level in range(codes.shape[-1]):
            total += self._rows(level, codes[..., level])
        return total

    def _searched(self, residual: Tensor) -> Tensor:
        """Return what a level looks up: the residual, or its direction among unit codes."""
        return residual if self.config.rule == "euclidean" else F.normalize(residual, dim=-1)

    def _rows(self, level: int, index: Tensor) -> Tensor:
        """Codes as they are subtracted and summed, ``(n_codebooks, n_tokens, code_dim)``."""
        books = torch.arange(len(index), device=index.device)[:, None]
        rows = self.codebook[books, level, index]
        if self.config.rule == "gain":
            rows = rows * self.gain[:, level, None, None]
        return rows

    def _remember(self, z: Tensor) -> None:
        self._remembered.append(z)
        tokens = sum(part.shape[1] for part in self._remembered)
        while tokens - self._remembered[0].shape[1] >= self.config.kmeans_tokens:
            tokens -= self._remembered.pop(0).shape[1]

    @torch.no_grad()
    def start(self, z: Tensor, generator: torch.Generator | None = None) -> None:
        """Set all codebooks by k-means, level after level.

        Parameters
        ----------
        z : Tensor, shape (n_codebooks, n_tokens, code_dim)
            Sample of vectors.
        generator : torch.Generator | None
            Source of the random starts; None takes torch's global one.
        """
        config = self.config
        cosine = config.rule != "euclidean"
        residual = z.detach().clone()
        for level in range(config.n_levels):
            for book in range(config.n_codebooks):
                means, counts = kmeans(
                    residual[book], config.n_codes, cosine=cosine, generator=generator
                )
                self.codebook[book, level] = means
                self.cluster_size[book, level] = counts
                self.start_size[book, level] = counts
            index = nearest_codes(self._searched(residual), self.codebook[:, level])
            if config.rule == "gain":
                self.gain[:, level] = 1.0
                self.gain[:, level] = (residual * self._rows(level, index)).sum(-1).mean(-1)
            residual -= self._rows(level, index)
        self.started.fill_(True)

    @torch.no_grad()
    def _update(self, level: int, searched: Tensor, residual: Tensor, index: Tensor) -> None:
        """One step of the moving averages of a level, then its dead codes."""
        config, keep = self.config, self.config.decay
        if config.rule == "gain":
            books = torch.arange(len(index), device=index.device)[:, None]
            projection = (residual * self.codebook[books, level, index]).sum(-1).mean(-1)
            self.gain[:, level].mul_(keep).add_(projection, alpha=1 - keep)
        for book in range(config.n_codebooks):
            sums, counts = sums_and_counts(searched[book], index[book], config.n_codes)
            size, codes = self.cluster_size[book, level], self.codebook[book, level]
            if config.rule == "euclidean":
                old = keep * size
                fresh = (old[:, None] * codes + (1 - keep) * sums) / (
                    old + (1 - keep) * counts
                ).clamp(min=1e-12)[:, None]
            else:
                means = F.normalize(sums / counts.clamp(min=1)[:, None], dim=-1)
                fresh = F.normalize(keep * codes + (1 - keep) * means, dim=-1)
            codes.copy_(torch.where(counts[:, None] > 0, fresh, codes))
            size.mul_(keep).add_(counts, alpha=1 - keep)
            if config.dead_code_threshold:
                self._replace_dead(codes, size, searched[book])

    def _replace_dead(self, codes: Tensor, size: Tensor, searched: Tensor) -> None:
        """Give codes that hardly anything chooses the place of random vectors of the batch."""
        mean_use = size.mean()
        dead = torch.nonzero(size < self.config.dead_code_threshold * mean_use)[:, 0]
        if len(dead):
            drawn = torch.randint(len(searched), (len(dead),), device=searched.device)
            codes[dead] = searched[drawn]
            # At full mean use the moving average would hold the newcomer in place.
            size[dead] = mean_use
