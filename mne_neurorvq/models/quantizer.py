# License: BSD-3-Clause
"""Residual vector quantization.

A vector is approximated by a sum of codes: each level looks up the code that is nearest to what
the levels before it have left, and subtracts it. What the systems do differently is in
:mod:`~mne_neurorvq.models.rules`: what is looked up, what is subtracted (with which gradient and
loss), and how codes learn from the vectors that chose them.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .collectives import Share, all_sum, one_after_another, share_of, shared_generator
from .config import QuantizerConfig
from .rules import RULES, Averages, Batch
from .search import kmeans, nearest_codes, sums_and_counts


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


class LevelProjections(nn.Module):
    """A linear map for every codebook and level."""

    def __init__(self, n_codebooks: int, n_levels: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_codebooks, n_levels, n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_codebooks, n_levels, n_out))
        with torch.no_grad():
            for book, level in product(range(n_codebooks), range(n_levels)):
                layer = nn.Linear(n_in, n_out)
                self.weight[book, level].copy_(layer.weight)
                self.bias[book, level].copy_(layer.bias)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Map ``(n_codebooks, n_tokens, n_in)`` to ``(n_codebooks, n_tokens, n_out)``."""
        # The precision of the trunk must not choose the code.
        with torch.autocast(x.device.type, enabled=False):
            return torch.baddbmm(self.bias[:, level, None], x.float(), self.weight[:, level].mT)


class _Unprojected(nn.Module):
    """Stands for the projections where vectors are quantized as they are."""

    def forward(self, x: Tensor, level: int) -> Tensor:
        return x


class _Statistics(NamedTuple):
    """What a level learns from a batch: sums over its tokens, and what was looked up."""

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

    codebook: Tensor
    gain: Tensor
    cluster_size: Tensor
    start_size: Tensor
    started: Tensor
    warmup_left: Tensor
    moving_sum: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.rule = RULES[config.rule]
        books = (config.n_codebooks, config.n_levels)
        codebook = torch.empty(*books, config.n_codes, config.code_dim)
        # On a meta tensor, normal_ would import a second's worth of Python.
        if not codebook.is_meta:
            codebook = F.normalize(codebook.normal_(), dim=-1)
        self.register_buffer("codebook", codebook)
        self.register_buffer("gain", torch.ones(books))
        self.register_buffer("cluster_size", torch.zeros(*books, config.n_codes))
        self.register_buffer("start_size", torch.zeros(*books, config.n_codes))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("warmup_left", torch.tensor(config.warmup_steps))
        if self.rule.keeps_sums:
            self.register_buffer("moving_sum", torch.zeros(codebook.shape))
        self.to_code: LevelProjections | _Unprojected = _Unprojected()
        self.from_code: LevelProjections | _Unprojected = _Unprojected()
        if config.input_dim is not None:
            self.to_code = LevelProjections(*books, config.input_dim, config.code_dim)
            self.from_code = LevelProjections(*books, config.code_dim, config.input_dim)
        self._remembered: list[tuple[Tensor, Share]] = []

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
            searched = self.rule.look_up(self.to_code(residual, level))
            index = nearest_codes(searched, self.codebook[:, level])
            residual -= self.from_code(self._rows(level, index), level)
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
        Tensor, shape (n_codebooks, n_tokens, input_dim)
            Quantized vectors.
        """
        width = self.config.input_dim or self.config.code_dim
        total = self.codebook.new_zeros(*codes.shape[:2], width)
        for level in range(codes.shape[-1]):
            total += self.from_code(self._rows(level, codes[..., level]), level)
        return total

    def level_vectors(self) -> list[Tensor]:
        """Return the vectors that the codes of each level stand for.

        Returns
        -------
        list of Tensor, each of shape (n_codebooks, n_codes, input_dim)
            Vectors of each level.
        """
        every = torch.arange(self.config.n_codes, device=self.codebook.device)
        index = every.expand(self.config.n_codebooks, -1)
        return [
            self.from_code(self._rows(level, index), level) for level in range(self.config.n_levels)
        ]

    def forward(self, z: Tensor) -> Quantized:
        """Quantize vectors; in training, also update the codebooks.

        Parameters
        ----------
        z : Tensor, shape (n_codebooks, n_tokens, input_dim)
            Vectors, as in :meth:`encode`.

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
        rule = self.rule
        residual, total = z, torch.zeros_like(z)
        codes, losses, norms = [], [], [z.detach().norm(dim=-1).mean(-1)]
        statistics = []
        for level in range(self.config.n_levels):
            vectors = self.to_code(residual, level)
            searched = rule.look_up(vectors)
            index = nearest_codes(searched.detach(), self.codebook[:, level])
            chosen, learns = self._rows(level, index), rule.learns_from(vectors, searched)
            if self.training:
                statistics.append(self._measure(level, vectors, searched, learns, index))
            code, residual, loss = rule.subtract(
                residual, chosen, learns, partial(self.from_code, level=level)
            )
            total = total + code
            codes.append(index)
            losses.append(loss)
            norms.append(residual.detach().norm(dim=-1).mean(-1))
        if statistics:
            self._learn(statistics)
        output = rule.output(z, total)
        # mse_loss averages over the codebooks too; the loss is their sum.
        loss = rule.loss(torch.stack(losses)) * self.config.n_codebooks
        return Quantized(output, torch.stack(codes, -1), loss, torch.stack(norms, -1))

    def _rows(self, level: int, index: Tensor) -> Tensor:
        """Codes as a level subtracts them, ``(n_codebooks, n_tokens, code_dim)``."""
        books = torch.arange(len(index), device=index.device)[:, None]
        rows = self.codebook[books, level, index]
        return rows * self.gain[:, level, None, None] if self.rule.learns_gain else rows

    # --- Learning

    @torch.no_grad()
    def _measure(
        self, level: int, vectors: Tensor, searched: Tensor, learns: Tensor, index: Tensor
    ) -> _Statistics:
        """Sum what the moving averages of a level need."""
        sums, counts = sums_and_counts(learns.detach(), index, self.config.n_codes)
        projection = searched.new_zeros(len(index))
        if self.rule.learns_gain:
            projection = self._projection(level, vectors.detach(), index)
        return _Statistics(sums, counts, projection, searched.detach())

    def _projection(self, level: int, vectors: Tensor, index: Tensor) -> Tensor:
        """Sum over the tokens of a vector's length along its code, ``(n_codebooks,)``."""
        books = torch.arange(len(index), device=index.device)[:, None]
        return (vectors * self.codebook[books, level, index]).sum(-1).sum(-1)

    @torch.no_grad()
    def _learn(self, statistics: list[_Statistics]) -> None:
        """One step of the moving averages of all levels, then their dead codes."""
        n_levels, keep = self.config.n_levels, self.config.decay
        parts = all_sum(*(part for of_level in statistics for part in of_level[:3]))
        for level in range(n_levels):
            sums, counts, projection = parts[3 * level : 3 * level + 3]
            if self.rule.learns_gain:
                projection = projection / counts.sum(-1)
                self.gain[:, level].mul_(keep).add_(projection, alpha=1 - keep)
            # Book by book: there are gigabytes of codes in all.
            for book in range(self.config.n_codebooks):
                here = (book, level)
                codes, size = self.codebook[here], self.cluster_size[here]
                moving_sum = self.moving_sum[here] if self.rule.keeps_sums else None
                old = Averages(codes, size, moving_sum, keep)
                moved = self.rule.move(old, Batch(sums[book], counts[book]))
                codes.copy_(torch.where(counts[book, :, None] > 0, moved, codes))
                size.mul_(keep).add_(counts[book], alpha=1 - keep)
        if self.config.dead_code_threshold:
            self._replace_dead([of_level.searched for of_level in statistics])

    def _replace_dead(self, searched: list[Tensor]) -> None:
        """Replace codes that hardly anything chooses by random vectors of the batch."""
        mean_use = self.cluster_size.mean(-1, keepdim=True)
        dead = self.cluster_size < self.config.dead_code_threshold * mean_use
        book, level, code = torch.nonzero(dead, as_tuple=True)
        # All processes count the same use: they agree here, and so on the messages below.
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
        if self.rule.keeps_sums:
            self.moving_sum[book, level, code] = vectors * mean_use[book, level]

    # --- The start of the codebooks

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
        config, rule = self.config, self.rule
        generator = shared_generator(z.device) if generator is None else generator
        residual = z.detach().clone()
        for level in range(config.n_levels):
            vectors = self.to_code(residual, level)
            for book in range(config.n_codebooks):
                means, counts = kmeans(
                    vectors[book],
                    config.n_codes,
                    cosine=rule.unit_codes,
                    generator=generator,
                    share=share,
                )
                self.codebook[book, level] = means
                self.cluster_size[book, level] = counts
                self.start_size[book, level] = counts
                if rule.keeps_sums:
                    self.moving_sum[book, level] = means * counts.clamp(min=1)[:, None]
            index = nearest_codes(rule.look_up(vectors), self.codebook[:, level])
            if rule.learns_gain:
                (projection,) = all_sum(self._projection(level, vectors, index))
                self.gain[:, level] = projection / share.n_total
            residual -= self.from_code(self._rows(level, index), level)
        self.started.fill_(True)
