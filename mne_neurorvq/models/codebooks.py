# License: BSD-3-Clause
"""The codebooks of a residual quantizer: what a level looks up, and how its codes are learnt."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .collectives import Share, all_sum, share_of, shared_generator
from .config import QuantizerConfig
from .projections import LevelProjections
from .search import kmeans, nearest_codes, sums_and_counts


class _Tally(NamedTuple):
    """What a level learns from a batch: sums over its tokens, and the vectors looked up."""

    sums: Tensor
    counts: Tensor
    projection: Tensor
    searched: Tensor


class _Unprojected(nn.Module):
    """What stands for projections where vectors are quantized as they are."""

    def forward(self, x: Tensor, level: int) -> Tensor:
        return x


class Codebooks(nn.Module):
    """Codes of every codebook and level, and how they are learnt.

    Parameters
    ----------
    config : QuantizerConfig
        Sizes, residual rule and training policy.
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
        shape = (config.n_codebooks, config.n_levels, config.n_codes)
        codebook = torch.empty(*shape, config.code_dim)
        # For what has no memory, torch would import a second of Python.
        if not codebook.is_meta:
            codebook = F.normalize(codebook.normal_(), dim=-1)
        self.register_buffer("codebook", codebook)
        self.register_buffer("gain", torch.ones(shape[:2]))
        self.register_buffer("cluster_size", torch.zeros(shape))
        self.register_buffer("start_size", torch.zeros(shape))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("warmup_left", torch.tensor(config.warmup_steps))
        if config.rule == "cosine":
            self.register_buffer("moving_sum", torch.zeros(codebook.shape))
        self.to_code: LevelProjections | _Unprojected = _Unprojected()
        self.from_code: LevelProjections | _Unprojected = _Unprojected()
        if config.input_dim is not None:
            books = (config.n_codebooks, config.n_levels)
            self.to_code = LevelProjections(*books, config.input_dim, config.code_dim)
            self.from_code = LevelProjections(*books, config.code_dim, config.input_dim)
        self._remembered: list[tuple[Tensor, Share]] = []

    def _searched(self, vectors: Tensor) -> Tensor:
        """Return what a level looks up: its vectors, or their directions among unit codes."""
        return vectors if self.config.rule == "euclidean" else F.normalize(vectors, dim=-1)

    def _rows(self, level: int, index: Tensor) -> Tensor:
        """Codes as a level gives them, ``(n_codebooks, n_tokens, code_dim)``."""
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
            vectors = self.to_code(residual, level)
            for book in range(config.n_codebooks):
                means, counts = kmeans(
                    vectors[book], config.n_codes, cosine=cosine, generator=generator, share=share
                )
                self.codebook[book, level] = means
                self.cluster_size[book, level] = counts
                self.start_size[book, level] = counts
                if config.rule == "cosine":
                    self.moving_sum[book, level] = means * counts.clamp(min=1)[:, None]
            index = nearest_codes(self._searched(vectors), self.codebook[:, level])
            if config.rule == "gain":
                (projection,) = all_sum(self._projection(level, vectors, index))
                self.gain[:, level] = projection / share.n_total
            residual -= self.from_code(self._rows(level, index), level)
        self.started.fill_(True)

    def _projection(self, level: int, vectors: Tensor, index: Tensor) -> Tensor:
        """Sum over the tokens of a vector's length along its code, ``(n_codebooks,)``."""
        books = torch.arange(len(index), device=index.device)[:, None]
        return (vectors * self.codebook[books, level, index]).sum(-1).sum(-1)

    @torch.no_grad()
    def _tally(self, level: int, searched: Tensor, vectors: Tensor, index: Tensor) -> _Tally:
        """Sum what the moving averages of a level will see."""
        seen = vectors if self.config.rule == "cosine" else searched
        sums, counts = sums_and_counts(seen, index, self.config.n_codes)
        projection = searched.new_zeros(len(index))
        if self.config.rule == "gain":
            projection = self._projection(level, vectors, index)
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
        elif self.config.rule == "cosine":
            moving = self.moving_sum[book, level].mul_(keep).add_(sums, alpha=1 - keep)
            fresh = F.normalize(moving, dim=-1)
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
        if self.config.rule == "cosine":
            self.moving_sum[book, level, code] = vectors * mean_use[book, level]
