# License: BSD-3-Clause
"""The search in bfloat16: the codes of exact arithmetic, and when it is not used."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mne_neurorvq.models import fast, nearest_codes


@pytest.fixture(autouse=True)
def ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank on every processor, and for codebooks of a testable size."""
    monkeypatch.setattr(fast, "_ranking_pays", lambda codebook: True)


def exact_distances(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Half of the squared distances in float64, less the vectors' own part."""
    z, codes = vectors.double(), codebook.double()
    return 0.5 * codes.square().sum(-1)[:, None] - z @ codes.mT


def assert_exact(vectors: Tensor, codebook: Tensor) -> None:
    distances = exact_distances(vectors, codebook)
    found = nearest_codes(vectors, codebook)
    least = distances.min(-1).values
    # The reference sums in another order: what it tells apart, the search must too.
    chosen = distances.gather(2, found[..., None])[..., 0]
    torch.testing.assert_close(chosen, least, rtol=0, atol=1e-14)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_codes=st.sampled_from([64, 512]),
    dim=st.sampled_from([8, 64]),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    n_tokens=st.integers(1, 130),
)
def test_codes_are_those_of_exact_arithmetic(
    seed: int, n_codes: int, dim: int, scale: float, n_tokens: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    codebook = F.normalize(torch.randn(2, n_codes, dim, generator=generator), dim=-1)
    assert_exact(scale * torch.randn(2, n_tokens, dim, generator=generator), codebook)


def test_near_ties_that_float32_cannot_tell_apart_are_settled_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    codebook = F.normalize(torch.randn(1, 512, 64, generator=generator), dim=-1)
    between = F.normalize(codebook[:, :256] + codebook[:, 256:], dim=-1)
    assert_exact(between, codebook)


def test_of_equal_codes_the_first_is_found() -> None:
    codebook = F.normalize(torch.randn(1, 128, 16, generator=torch.manual_seed(1)), dim=-1)
    codebook[0, 100] = codebook[0, 7]
    assert nearest_codes(codebook[:, 100:101], codebook).tolist() == [[7]]


def test_a_code_does_not_depend_on_what_it_is_searched_with() -> None:
    generator = torch.Generator().manual_seed(2)
    codebook = F.normalize(torch.randn(1, 512, 32, generator=generator), dim=-1)
    vectors = F.normalize(torch.randn(1, 200, 32, generator=generator), dim=-1)
    together = nearest_codes(vectors, codebook)
    apart = torch.cat([nearest_codes(part, codebook) for part in vectors.split(1, 1)], 1)
    assert torch.equal(together, apart)


@pytest.mark.parametrize("case", ["zero", "different lengths", "nan"])
def test_where_bfloat16_leaves_too_many_candidates_the_search_is_in_float32(case: str) -> None:
    generator = torch.Generator().manual_seed(3)
    codebook = F.normalize(torch.randn(1, 128, 16, generator=generator), dim=-1)
    vectors = torch.randn(1, 9, 16, generator=generator)
    if case == "zero":
        vectors[0, 4] = 0
    elif case == "different lengths":
        codebook *= torch.rand(1, 128, 1, generator=generator)
    else:
        vectors[0, 4] = torch.nan
    in_float32 = torch.empty(9, dtype=torch.int64)
    half_norm = 0.5 * codebook[0].square().sum(-1)
    fast._search(vectors[0], codebook[0], half_norm, in_float32)
    finite = torch.isfinite(vectors[0]).all(-1)
    assert torch.equal(nearest_codes(vectors, codebook)[0][finite], in_float32[finite])


def test_products_in_bfloat16_alone_would_give_other_codes() -> None:
    # What the tests above would not see if it were never otherwise.
    generator = torch.Generator().manual_seed(4)
    codebook = F.normalize(torch.randn(1, 512, 64, generator=generator), dim=-1)
    vectors = F.normalize(torch.randn(1, 500, 64, generator=generator), dim=-1)
    rounded = (vectors.bfloat16() @ codebook.bfloat16().mT).argmax(-1)
    assert (rounded != nearest_codes(vectors, codebook)).any()
