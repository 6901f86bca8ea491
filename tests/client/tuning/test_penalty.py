"""The prior penalty is the equation in its docstring, and tuning obeys it."""

from __future__ import annotations

import pytest
import torch
from mos_client.tuning import tune
from mos_client.tuning.penalty import PriorPenalty, prior_digest
from mos_diffusion.base_model import bare_linear, blocks, find_layer
from mos_diffusion.edlora import new_concept
from mos_protocol.errors import InvalidRequest


@pytest.fixture(scope="module")
def prior(tiny_base):
    """Random positive definite moments for every input of the base."""
    generator = torch.Generator().manual_seed(7)

    def moment(width):
        rows = torch.randn(3 * width, width, generator=generator, dtype=torch.float64)
        return rows.T @ rows / len(rows)

    return {
        block.name: {item.name: moment(item.width) for item in block.inputs}
        for block in blocks(tiny_base)
    }


@torch.no_grad()
def dense_penalty(base, factors, prior) -> float:
    moments = {name: moment for block in prior.values() for name, moment in block.items()}
    shares = []
    for block in blocks(base):
        for layer in block.layers:
            if layer.name in factors:
                delta = (factors[layer.name].up @ factors[layer.name].down).double()
                weight = bare_linear(find_layer(base, layer.name)).weight.double()
                moment = moments[layer.input]
                change = torch.trace(delta @ moment @ delta.T)
                shares.append(change / torch.trace(weight @ moment @ weight.T))
    return float(torch.stack(shares).mean())


@pytest.mark.parametrize("layers", ["all", "cross"])
def test_the_penalty_is_the_mean_relative_change_of_generic_outputs(tiny_base, prior, layers):
    with new_concept(tiny_base, ["<p1>"], "dog", rank=3, layers=layers, seed=0) as concept:
        factors = concept.lora_factors()
        for layer in factors.values():
            torch.nn.init.normal_(layer.up, std=0.1, generator=torch.Generator().manual_seed(1))

        penalty = PriorPenalty(tiny_base, factors, prior)()
        penalty.backward()

        assert penalty.item() == pytest.approx(dense_penalty(tiny_base, factors, prior), rel=1e-4)
        assert all(layer.up.grad.abs().sum() > 0 for layer in factors.values())


def test_tuning_with_the_penalty_changes_generic_outputs_less(
    tiny_base, prior, make_settings, photos, tmp_path
):
    changes = []
    for weight in (0.0, 100.0):
        settings = make_settings(prior_penalty=weight, steps=8)
        tuned = tune(settings, photos, tmp_path / str(weight), base=tiny_base, prior=prior)
        changes.append(dense_penalty(tiny_base, tuned.weights.lora, prior))

    assert changes[1] < 0.5 * changes[0]


def test_a_penalty_without_a_prior_is_refused(make_settings, photos, tmp_path):
    with pytest.raises(InvalidRequest, match="prior moments"):
        tune(make_settings(prior_penalty=0.1), photos, tmp_path / "work")


def test_a_prior_that_lacks_an_input_is_refused(tiny_base, prior):
    lacking = {name: moments for name, moments in prior.items() if name != "unet.mid_block"}

    with (
        new_concept(tiny_base, ["<p1>"], "dog", rank=1, seed=0) as concept,
        pytest.raises(InvalidRequest, match=r"nothing for unet\.mid_block"),
    ):
        PriorPenalty(tiny_base, concept.lora_factors(), lacking)


def test_the_digest_of_a_prior_covers_its_values(prior):
    changed = {block: dict(moments) for block, moments in prior.items()}
    name = next(iter(changed["unet.mid_block"]))
    changed["unet.mid_block"][name] = changed["unet.mid_block"][name] * 1.01

    assert prior_digest(changed) != prior_digest(prior)
    assert prior_digest(dict(reversed(prior.items()))) == prior_digest(prior)
