"""The unchanged `hf` program and `from_pretrained` against a center that listens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from cutting_proxy import CuttingProxy
from hub_model import BIG, HF, Tools, member_token, point
from mos_center.domain.access import LOCAL
from mos_center.service.center import Center


async def test_hf_download_brings_a_version_byte_for_byte(
    tools: Tools, files: dict[str, bytes]
) -> None:
    ran = await tools.hf("download", "mos/demo", "--revision", "v1", "--local-dir", "here")

    assert ran.status == 0, ran.said
    assert read_folder(tools.home / "here") == files


async def test_every_name_of_a_version_brings_the_same_folder(
    tools: Tools, demo: Any, center: Center
) -> None:
    await point(demo, center, "champion", 2)
    folders = set()
    for revision in ("v2", "2", "latest", "champion", None):
        named = ("--revision", revision) if revision else ()
        ran = await tools.hf("download", "mos/demo", "README.md", *named, "--format", "json")
        assert ran.status == 0, ran.said
        folders.add(json.loads(ran.said.strip().splitlines()[-1])["path"])

    assert len(folders) == 1


async def test_hf_tells_whose_token_it_uses_and_lists_models(tools: Tools) -> None:
    who = await tools.hf("auth", "whoami")
    listed = await tools.hf("models", "ls")

    assert "ada" in who.said
    assert "mos/demo" in listed.said


async def test_a_broken_connection_goes_on_where_it_broke(tools: Tools) -> None:
    async with CuttingProxy(tools.endpoint, cut_after=15 << 20).open() as proxy:
        through = Tools(tools.home, proxy.url, tools.token)
        ran = await through.hf("download", "mos/demo", "extra/big.bin", "--local-dir", "here")

    assert ran.status == 0, ran.said
    assert (tools.home / "here" / "extra" / "big.bin").read_bytes() == BIG
    first, second = proxy.fetched()
    assert first[1] == ""
    assert int(second[1].removeprefix("bytes=").rstrip("-")) >= 10 << 20


async def test_a_killed_download_fetches_only_what_is_missing(
    tools: Tools, files: dict[str, bytes]
) -> None:
    command = ("download", "mos/demo", "--local-dir", "here", "--max-workers", "1")
    async with CuttingProxy(tools.endpoint, cut_after=12 << 20, stalls=True).open() as proxy:
        through = Tools(tools.home, proxy.url, tools.token)
        process = await through.start(HF, *command)
        await asyncio.wait_for(proxy.broken.wait(), 60)
        process.kill()
        await process.communicate()
        done = {path for path, content in read_folder(tools.home / "here").items() if content}
        proxy.asked.clear()
        ran = await through.hf(*command)

    assert ran.status == 0, ran.said
    assert read_folder(tools.home / "here") == {**files, "extra/big.bin": BIG}
    fetched = {path.rpartition("/resolve/")[2].partition("/")[2] for path, _ in proxy.fetched()}
    assert "extra/big.bin" in fetched
    assert not fetched & done


async def test_without_a_token_hf_says_what_is_needed(tools: Tools) -> None:
    anonymous = Tools(tools.home, tools.endpoint, None)

    ran = await anonymous.hf("download", "mos/demo")

    assert ran.status != 0
    assert "This center needs a token." in ran.said
    loaded = await anonymous.python(
        "from diffusers import DiffusionPipeline; DiffusionPipeline.from_pretrained('mos/demo')"
    )
    assert "This center needs a token." in loaded.said


async def test_hf_tells_what_is_not_there(tools: Tools, center: Center) -> None:
    stranger = Tools(tools.home, tools.endpoint, member_token(center, "bob"))

    for who, wanted, said in (
        (tools, ("mos/other",), "Model 'mos/other' not found"),
        (stranger, ("mos/demo",), "Model 'mos/demo' not found"),
        (tools, ("mos/demo", "--revision", "v9"), "Revision not found in model 'mos/demo'"),
        (tools, ("mos/demo", "nothing.bin"), "File not found in model 'mos/demo'"),
    ):
        ran = await who.hf("download", *wanted)
        assert (ran.status, said in ran.said) == (1, True), ran.said


async def test_a_withdrawn_version_is_refused_with_its_reason(tools: Tools, center: Center) -> None:
    center.models.tombstone("demo", "2", "Ada wants her face back.", caller=LOCAL)

    ran = await tools.python(
        "import huggingface_hub; huggingface_hub.snapshot_download('mos/demo', revision='v2')"
    )

    assert ran.status == 1
    assert "Ada wants her face back." in ran.said


async def test_pipelines_and_their_parts_load_by_name(tools: Tools) -> None:
    ran = await tools.python(LOADS)

    assert ran.status == 0, ran.said
    told = json.loads(ran.said.strip().splitlines()[-1])
    assert told["pipeline"] == "StableDiffusionPipeline"
    assert told["same"]
    assert told["picture"] == [32, 32]
    # What the pipeline does not read is not fetched: no big file, no model card.
    folders = ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]
    assert told["fetched"] == ["model_index.json", *folders]


LOADS = """
import json, torch
from pathlib import Path
from diffusers import DiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel
pipeline = DiffusionPipeline.from_pretrained("mos/demo", revision="v2", safety_checker=None)
unet = UNet2DConditionModel.from_pretrained("mos/demo", revision="v1", subfolder="unet")
CLIPTextModel.from_pretrained("mos/demo", revision="v1", subfolder="text_encoder")
picture = pipeline("a cat", num_inference_steps=1, output_type="pil").images[0]
folder = Path(DiffusionPipeline.download("mos/demo", revision="v2"))
print(json.dumps({
    "pipeline": type(pipeline).__name__,
    "same": all(torch.equal(a, b) for a, b in zip(unet.parameters(), pipeline.unet.parameters())),
    "picture": list(picture.size),
    "fetched": sorted(p.name for p in folder.iterdir()),
}))
"""


def read_folder(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }
