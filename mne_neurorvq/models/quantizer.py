# License: BSD-3-Clause
"""Residual vector quantization: one class for all rules, codebooks searched together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .collectives import Share, all_sum, one_after_another, share_of, shared_generator
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


class _Tally(NamedTuple):
    """What a level learns from a batch: sums over its tokens, and the vectors looked up."""

    sums: Tensor
    counts: Tensor
    projection: Tensor
    searched: Tensor


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
        self._remembered: list[tuple[Tensor, Share]] = []

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
            searched = self._searched(residual)
            index = nearest_codes(searched.detach(), self.codebook[:, level])
            chosen = self._rows(level, index)
            if self.training:
                tallies.append(self._tally(level, searched.detach(), residual.detach(), index))
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
        if tallies:
            self._learn(tallies)
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
        """Keep what the k-means start will need, counting the tokens of all processes."""
        self._remembered.append((z, share_of(z.shape[1], z.device)))
        tokens = sum(share.n_total for _, share in self._remembered)
        while tokens - self._remembered[0][1].n_total >= self.config.kmeans_tokens:
            tokens -= self._remembered.pop(0)[1].n_total

    def start(self, z: Tensor, generator: torch.Generator | None = None) -> None:
        """Set all codebooks by k-means, level after level.

        Processes that train together all call it, each with its own sample.

        Parameters
        ----------
        z : Tensor, shape (n_codebooks, n_tokens, code_dim)
            Sample of vectors.
        generator : torch.Generator | None
            Source of the random starts, in the same state in all processes; None makes one from
            torch's global random state, that of the first process.
        """
        self._start(z, share_of(z.shape[1], z.device), generator)

    @torch.no_grad()
    def _start(self, z: Tensor, share: Share, generator: torch.Generator | None) -> None:
        config = self.config
        cosine = config.rule != "euclidean"
        generator = shared_generator(z.device) if generator is None else generator
        residual = z.detach().clone()
        for level in range(config.n_levels):
            for book in range(config.n_codebooks):
                means, counts = kmeans(
                    residual[book], config.n_codes, cosine=cosine, generator=generator, share=share
                )
                self.codebook[book, level] = means
                self.cluster_size[book, level] = counts
                self.start_size[book, level] = counts
            index = nearest_codes(self._searched(residual), self.codebook[:, level])
            if config.rule == "gain":
                (projection,) = all_sum(self._projection(level, residual, index))
                self.gain[:, level] = projection / share.n_total
            residual -= self._rows(level, index)
        self.started.fill_(True)

    def _projection(self, level: int, residual: Tensor, index: Tensor) -> Tensor:
        """Sum over the tokens of the residual's length along its code, ``(n_codebooks,)``."""
        books = torch.arange(len(index), device=index.device)[:, None]
        return (residual * self.codebook[books, level, index]).sum(-1).sum(-1)

    @torch.no_grad()
    def _tally(self, level: int, searched: Tensor, residual: Tensor, index: Tensor) -> _Tally:
        """Sum what the moving averages of a level will see."""
        sums, counts = sums_and_counts(searched, index, self.config.n_codes)
        projection = searched.new_zeros(len(index))
        if self.config.rule == "gain":
            projection = self._projection(level, residual, index)
        return _Tally(sums, counts, projection, searched)

    @torch.no_grad()
    def _learn(self, tallies: list[_Tally]) -> None:
        """One step of the moving averages of all levels, then their dead codes."""
        n_levels, keep = self.config.n_levels, self.config.decay
        parts = all_sum(*(part for tally in tallies for part in tally[:3]))
        for level in range(n_levels):
            sums, counts, projection = parts[3 * level : 3 * level + 3]
            if self.config.rule == "gain":
                projection = projection / counts.sum(-1)
                self.gain[:, level].mul_(keep).add_(projection, alpha=1 - keep)
            for book in range(self.config.n_codebooks):
                self._move(book, level, sums[book], counts[book])
        if self.config.dead_code_threshold:
            self._replace_dead([tally.searched for tally in tallies])

    def _move(self, book: int, level: int, sums: Tensor, counts: Tensor) -> None:
        """One step of the moving averages of a level of a codebook."""
        keep = self.config.decay
        size, codes = self.cluster_size[book, level], self.codebook[book, level]
        if self.config.rule == "euclidean":
            old = keep * size
            joined = (old + (1 - keep) * counts).clamp(min=1e-12)
            fresh = (old[:, None] * codes + (1 - keep) * sums) / joined[:, None]
        else:
            means = F.normalize(sums / counts.clamp(min=1)[:, None], dim=-1)
            fresh = F.normalize(keep * codes + (1 - keep) * means, dim=-1)
        codes.copy_(torch.where(counts[:, None] > 0, fresh, codes))
        size.mul_(keep).add_(counts, alpha=1 - keep)

    def _replace_dead(self, searched: list[Tensor]) -> None:
        """Give codes that hardly anything chooses the place of random vectors of the batch."""
        mean_use = self.cluster_size.mean(-1, keepdim=True)
        dead = self.cluster_size < self.config.dead_code_threshold * mean_use
        book, level, code = torch.nonzero(dead, as_tuple=True)
        # All processes count the same use: they come to the same answer, and to the messages below.
        if not len(book):
            return
        device = book.device
        share = share_of(searched[0].shape[1], device)
        generator = shared_generator(device)
        drawn = torch.randint(share.n_total, book.shape, generator=generator).to(device)
        vectors = searched[0].new_empty(len(book), self.config.code_dim)
        for this, rows in enumerate(searched):
            here = level == this
            vectors[here] = share.own_rows(rows, drawn[here], book[here])
        (vectors,) = all_sum(vectors)
        self.codebook[book, level, code] = vectors
        # At full mean use the moving average would hold the newcomer in place.
        self.cluster_size[book, level, code] = mean_use[book, level, 0]
