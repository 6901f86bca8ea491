"""Fusion as Custom Diffusion does it: rows that are held exactly, and least change elsewhere.

    minimise tr(D G₀ Dᵀ)   such that   D cᵢ = αᵢ ΔWᵢ cᵢ   for the rows cᵢ of every concept i

    D = V (d Cᵀ)⁻¹ d,   d = C G₀⁻¹           (Kumari et al., Multi-Concept Customization, 3.2)

Rows are what a concept's own words and the end token send into keys and values, in the prompts of
the paper's recording, which are those that the method's public code takes. With G₀ = L Lᵀ
this is V (L⁻¹Cᵀ)⁺ L⁻¹, which holds contradictory rows as nearly as can be. Other parts stay as they
are: the method changes keys and values alone.

Legend: C (n, d) rows of all concepts, V (R, n) what is asked of them, R columns of the basis.
"""

from __future__ import annotations

import torch
from mos_protocol.errors import InvalidRequest, JobFailed
from mos_protocol.layer_map import Part
from torch import Tensor

from mos_center.fusion.problem import InputProblem, LayerProblem

# What coding leaves in directions that no row has is below 1e-6 of the largest eigenvalue, and the
# faintest of real rows above 1e-4.
_CUT = 1e-5
# The coding of moments is faithful down to this share of the mean diagonal.
_LEAST = 1e-3
# Rows of two concepts that differ by less than coding blurs them are one row.
_BLUR = 1e-3


def rows_of(moment: Tensor) -> Tensor:
    """An orthonormal basis (n, d) of the rows that a moment (d, d) was recorded of."""
    values, vectors = torch.linalg.eigh(moment)
    rows: Tensor = vectors[:, values > _CUT * values[-1].clamp(min=0)].T
    return rows


def combine(problem: InputProblem) -> list[Tensor]:
    """E (R, d) that holds every concept's rows, per layer; raises `InvalidRequest`, `JobFailed`."""
    if problem.part is not Part.CROSS_KV:
        return [_unchanged(layer) for layer in problem.layers]
    if problem.generic is None:
        raise InvalidRequest(
            f"The fuse method custom-diffusion needs the base's prior moments of {problem.name}.",
            hint="Give the base a prior, or choose another fuse method.",
        )
    held = [(concept, rows) for concept, rows in problem.rows.items() if len(rows)]
    if not held:
        return [torch.zeros_like(layer.average) for layer in problem.layers]
    curvature = problem.generic.clone()
    curvature.diagonal().add_(_LEAST * float(curvature.diagonal().mean()))
    factor, failed = torch.linalg.cholesky_ex(curvature)
    if bool(failed) or not float(curvature.diagonal().max()):
        raise JobFailed(
            f"The base's prior moments of {problem.name} could not be factorised.",
            hint="Record the base's prior again.",
        )
    rows = torch.cat([own for _, own in held])
    whitened = torch.linalg.solve_triangular(factor, rows.T, upper=False)
    inverse = torch.linalg.pinv(whitened, rtol=_BLUR)
    solution = torch.linalg.solve_triangular(factor.T, inverse.T, upper=True).T
    return [_asked(layer, held) @ solution for layer in problem.layers]


def _asked(layer: LayerProblem, held: list[tuple[int, Tensor]]) -> Tensor:
    """V (R, n): what every concept wants of its rows; 0 of one that leaves the layer alone."""
    shares = {share.concept: share for share in layer.shares}
    columns = []
    for concept, rows in held:
        if concept in shares:
            columns.append(shares[concept].up @ (shares[concept].down @ rows.T))
        else:
            columns.append(rows.new_zeros(layer.basis.shape[1], len(rows)))
    return torch.cat(columns, dim=1)


def _unchanged(layer: LayerProblem) -> Tensor:
    if bool(layer.average.any()):
        raise InvalidRequest(
            f"A concept changes {layer.layer.name}; the fuse method custom-diffusion fuses keys "
            "and values of cross-attention alone.",
            hint="Choose gradient or weight-average.",
        )
    return torch.zeros_like(layer.average)
