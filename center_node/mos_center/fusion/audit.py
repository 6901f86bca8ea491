"""Recording a concept's moments again, as far as a center can, and comparing them with its own.

Only the concept's words and weights are at hand: templates with its words are sampled.
"""

from __future__ import annotations

from mos_diffusion.base_model import load_base
from mos_diffusion.comparison import Difference, difference
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import Moments
from mos_diffusion.prompts import layerwise
from mos_diffusion.recording import record_templates

from mos_center.fusion.parallel import compute_device
from mos_center.fusion.sources import BaseSource, ConceptSource
from mos_center.fusion.verdict import judge

SEED = 0x5EED
"""Another than that of clients: on the same noise, honest templates would look too good."""


def audit_concept(base: BaseSource, concept: ConceptSource) -> dict[str, object]:
    """Record on the base with the concept attached; return the verdict as plain data."""
    model = load_base(base.folder, device=compute_device())
    weights = concept.load()
    with attach_concept(model, weights):
        recorded = record_templates(
            model, layerwise(model), concept.manifest.trigger, seed=SEED, layers=base.layer_map
        )
    differences = compare(concept, recorded)
    return judge(differences, base.layer_map, concept.manifest.moments.recording)


def compare(concept: ConceptSource, recorded: Moments) -> dict[str, Difference]:
    """The differences by input, of what the concept's package has moments of."""
    found = {}
    for block, moments in recorded.items():
        with concept.moments(block) as own:
            if own is not None:
                for name, moment in moments.items():
                    found[name] = difference(own.read(name), moment.double().cpu())
    return found
