"""`tune`: from a folder of pictures to a concept package, and to the center if asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from mos_protocol.names import parse_words

from mos_client.cli import tuning_options as options
from mos_client.cli.concepts import VisibilityOption
from mos_client.cli.invocation import (
    CenterOption,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.package_options import (
    ConsentOption,
    DescriptionOption,
    LicenceOption,
    OutOption,
    OverwriteOption,
    UploadOption,
)
from mos_client.cli.packages import finish
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tuning_base import (
    check_may_upload,
    check_places,
    check_words,
    load_prior,
    needs_center,
    registered_base,
)
from mos_client.cli.tuning_report import TuneReporter

if TYPE_CHECKING:
    from mos_client.tuning import LearningRates


def tune(
    context: typer.Context,
    data: options.DataArgument,
    base: options.BaseOption,
    name: options.NameOption,
    word: options.WordOption,
    class_word: options.ClassOption,
    method: options.MethodOption = options.Method.ED_LORA,
    as_published: options.PublishedOption = False,
    rank: options.RankOption = None,
    steps: options.StepsOption = None,
    batch_size: options.BatchOption = 4,
    lr_embedding: options.EmbeddingRateOption = None,
    lr_text_encoder: options.EncoderRateOption = None,
    lr_unet: options.UnetRateOption = None,
    noise_offset: options.NoiseOption = None,
    loss_weighting: options.WeightingOption = options.Weighting.EVEN,
    seed: options.SeedOption = 0,
    resolution: options.ResolutionOption = None,
    unmasked_weight: options.UnmaskedOption = 0.0,
    norm_stop: options.NormStopOption = None,
    flip: options.FlipOption = None,
    zoom: options.ZoomOption = None,
    moments: options.MomentsOption = None,
    precision: options.PrecisionOption = None,
    gradient_checkpointing: options.CheckpointingOption = False,
    device: options.DeviceOption = None,
    sample_every: options.SampleOption = 0,
    regularisation_images: options.ImagesOption = None,
    regularisation: options.RegularisationOption = None,
    layers: options.LayersOption = None,
    prior_penalty: options.PenaltyOption = None,
    prior: options.PriorOption = None,
    embedding_first: options.EmbeddingFirstOption = 0.0,
    kv_drop: options.DropOption = 0.0,
    moments_accuracy: options.AccuracyOption = 2e-4,
    activations: options.ActivationsOption = options.Activations.MOMENTS,
    out: OutOption = None,
    work: options.WorkOption = None,
    restart: options.RestartOption = False,
    overwrite: OverwriteOption = False,
    licence: LicenceOption = "",
    consent: ConsentOption = "",
    description: DescriptionOption = "",
    upload: UploadOption = False,
    visibility: VisibilityOption = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tune a concept on pictures that stay here. Run it again to resume."""
    call = invocation(context, center, token, as_json)
    check_words(name, word)
    check_places(call, data, base, upload=upload)
    if upload:
        check_may_upload(call, name)
    required = needs_center(upload, bool(prior_penalty), prior)
    # The same with and without --upload, so that adding it later goes on with the same tuning.
    usual = prior_penalty is None and not as_published and method is options.Method.ED_LORA
    registered = None
    if required or (usual and prior is None and call.has_center):
        registered = registered_base(call, base, required=required)

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_client.concept_builder import PackageOptions, tune_concept
    from mos_client.tuning import TuningSettings, default_prior_penalty

    chosen: dict[str, Any] = {
        "rank": rank,
        "steps": steps,
        "layers": layers.value if layers else None,
        "noise_offset": noise_offset,
        "flip": flip,
        "zoom": zoom,
        "regularisation_images": regularisation_images,
    }
    chosen = {setting: value for setting, value in chosen.items() if value is not None}
    if norm_stop is not None:
        chosen["embedding_norm_stop"] = norm_stop or None
    if prior_penalty is None:
        known = prior is not None or (registered is not None and bool(registered.prior))
        prior_penalty = default_prior_penalty(method.value, at_hand=known and not as_published)
    settings = TuningSettings.of(
        method.value,
        as_published=as_published,
        name=name,
        words=parse_words(word),
        class_word=class_word,
        base=base,
        base_name=registered.name if registered else None,
        batch_size=batch_size,
        learning_rates=_rates(
            method, embedding=lr_embedding, text_encoder=lr_text_encoder, unet=lr_unet
        ),
        unmasked_weight=unmasked_weight,
        loss_weighting=loss_weighting.value,
        prior_penalty=prior_penalty,
        embedding_first=embedding_first,
        kv_drop=kv_drop,
        resolution=resolution,
        seed=seed,
        mixed_precision=precision.value if precision else None,
        gradient_checkpointing=gradient_checkpointing,
        device=device,
        sample_every=sample_every,
        **chosen,
    )
    package = out or Path(name.replace("/", "-"))
    with ProgressLine("tuning") as line:
        tune_concept(
            settings,
            data,
            package,
            work or package.with_name(f"{package.name}.work"),
            prior=load_prior(call, registered, prior) if prior_penalty else None,
            on_progress=TuneReporter(line),
            regularisation=regularisation,
            options=PackageOptions(
                recording=moments.value if moments else None,
                activations=activations.value,
                accuracy=moments_accuracy,
                licence=licence,
                consent=consent,
                description=description,
                overwrite=overwrite,
            ),
            restart=restart,
        )
    finish(call, package, upload=upload, visibility=visibility)


def _rates(method: options.Method, **given: float | None) -> LearningRates:
    """The method's learning rates, but for those that are given."""
    from mos_client.tuning.defaults import DEFAULTS

    told = {group: rate for group, rate in given.items() if rate is not None}
    return replace(DEFAULTS[method.value].learning_rates, **told)
