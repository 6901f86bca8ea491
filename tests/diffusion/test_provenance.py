from __future__ import annotations

import pytest
from mos_diffusion.provenance import KEY, SOURCE_TYPE, Provenance, read_provenance, save_picture
from mos_diffusion.published_identity import PublishedIdentity
from mos_protocol.errors import InvalidRequest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

PICTURE = Image.new("RGB", (48, 32), "teal")
IDENTITY = PublishedIdentity("0123456789abcdef" * 4, ("ada/potter@1", "ben/cat@2"))
MADE = Provenance.of(IDENTITY, "demo@1").model_copy(
    update={
        "prompt": "a <potter1> <potter2> „am Strand“ 海",
        "negative_prompt": "blurry",
        "regions": ("a <cat1>",),
        "seeds": (7,),
        "steps": 20,
        "guidance": 7.5,
    }
)


def test_what_is_written_is_read_back(tmp_path):
    save_picture(PICTURE, tmp_path / "new/a.png", MADE)
    found = read_provenance(tmp_path / "new/a.png")
    assert found == MADE.model_copy(update={"width": 48, "height": 32})
    assert found.tool.startswith("mos-federation ")
    assert (found.digest, found.concepts) == (IDENTITY.build, IDENTITY.concepts)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_platforms_are_told_that_a_model_made_it(tmp_path):
    save_picture(PICTURE, tmp_path / "a.png", MADE)
    with Image.open(tmp_path / "a.png") as picture:
        packet = picture.text["XML:com.adobe.xmp"]
    assert f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"' in packet
    assert SOURCE_TYPE.endswith("/trainedAlgorithmicMedia")


def test_the_same_picture_is_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        save_picture(PICTURE, tmp_path / name, MADE)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_prompts_can_be_left_out(tmp_path):
    save_picture(PICTURE, tmp_path / "a.png", MADE.without_prompts())
    assert (tmp_path / "a.png").read_bytes().find(b"potter1") == -1
    found = read_provenance(tmp_path / "a.png")
    assert (found.prompt, found.negative_prompt, found.regions) == (None, None, ())
    assert found.seeds == (7,)


@pytest.mark.parametrize("text", ["{", "[]", '{"seeds": "many"}', '{"digest": "abc"}', "\x00"])
def test_what_others_wrote_badly_is_nothing(text, tmp_path):
    information = PngInfo()
    information.add_itxt(KEY, text)
    PICTURE.save(tmp_path / "a.png", pnginfo=information)
    assert read_provenance(tmp_path / "a.png") is None


def test_what_others_wrote_steers_no_terminal(tmp_path):
    information = PngInfo()
    information.add_itxt(KEY, '{"prompt": "a\\u001b[2Jcat"}')
    PICTURE.save(tmp_path / "a.png", pnginfo=information)
    assert read_provenance(tmp_path / "a.png").prompt == "a\ufffd[2Jcat"


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_picture_of_others_says_nothing(ending, tmp_path):
    PICTURE.save(tmp_path / f"a.{ending}")
    assert read_provenance(tmp_path / f"a.{ending}") is None


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(InvalidRequest, match="no picture"):
        read_provenance(tmp_path / "a.png")
    with pytest.raises(InvalidRequest, match="No such file"):
        read_provenance(tmp_path / "b.png")
