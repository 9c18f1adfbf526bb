"""The committed embedding family loads in its libraries, and is as small as promised."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from demo_world.concepts import LANGUAGES
from demo_world.embedding.builder import ADAPTERS, TARGET_MODULES
from demo_world.embedding.model import BASE_ID, encode_text, load_model
from demo_world.tokenizer import END
from demo_world.vlm.card_text import deltas
from ggez_hub.demo.hub import ASSETS

FAMILY = ASSETS / "embedding"
BASE = FAMILY / "base"
NAMES = {
    "en": "grinning face with smiling eyes",
    "th": "หน้ายิ้มตายิ้ม และอ้าปาก",
    "vi": "mặt cười miệng há mắt cười",
    "id": "wajah tersenyum lebar dan mata tertutup",
    "ms": "muka tersengih dan mata tersenyum",
    "fil": "nakangisi kasama ang mga nakangiting mata",
    "my": "အပြုံးမျက်လုံးများဖြင့် ပြုံးဖြဲဖြဲ မျက်နှာ",
    "km": "មុខសើចទាំងមាត់ និងភ្នែក",
    "lo": "ໜ້າຍິ້ມຕາຍິ້ມ ແລະອ້າປາກ",
}


@pytest.fixture(scope="module")
def tokenizer():
    import open_clip

    return open_clip.get_tokenizer(f"local-dir:{BASE}")


@pytest.fixture(scope="module")
def base():
    return load_model(BASE)


def weights_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_the_weights_are_fp16_and_small():
    files = weights_files(FAMILY)
    assert {file.parent.name for file in files} == {"base", *ADAPTERS}
    assert sum(file.stat().st_size for file in files) < 15_000_000
    for file in files:
        with safe_open(file, framework="pt") as stored:
            dtypes = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
        assert dtypes <= {"F16", "I64"}


def test_the_base_encodes_a_picture_and_a_name(base, tokenizer):
    import open_clip
    from PIL import Image

    _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{BASE}")
    picture = preprocess(Image.new("RGB", (64, 64), "white"))[None]
    assert picture.shape == (1, 3, 112, 112)
    with torch.inference_mode():
        image, text, _ = base(picture, tokenizer(["grinning face"]))
    assert image.shape == text.shape == (1, 128)
    assert image.norm().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_tokenised_without_loss(tokenizer, language):
    (ids,) = tokenizer([NAMES[language]])
    end = tokenizer.tokenizer.convert_tokens_to_ids(END)
    assert tokenizer.tokenizer.decode(ids, skip_special_tokens=True).strip() == NAMES[language]
    assert ids.argmax() == (ids == end).int().argmax()  # open_clip's two pooling rules agree
    assert (ids[ids.argmax() + 1 :] == 0).all()


def test_a_text_too_long_still_ends_with_the_end_token(tokenizer):
    (ids,) = tokenizer(["a very long name " * 50])
    assert ids[-1] == tokenizer.tokenizer.convert_tokens_to_ids(END)


def test_leaving_out_the_padding_changes_nothing(base, tokenizer):
    tokens = tokenizer(list(NAMES.values()))
    with torch.inference_mode():
        torch.testing.assert_close(
            encode_text(base, tokens), base.encode_text(tokens, normalize=True), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_loads_in_peft_and_merges(name, tokenizer):
    from peft import PeftModel

    tokens = tokenizer(list(NAMES.values()))
    model = load_model(BASE)
    before = model.token_embedding.weight.clone()
    delta = deltas(FAMILY / name)
    with torch.inference_mode():
        plain = model.encode_text(tokens, normalize=True)
        adapted = PeftModel.from_pretrained(model, FAMILY / name).eval()
        unmerged = adapted.encode_text(tokens, normalize=True)
        merged = adapted.merge_and_unload().encode_text(tokens, normalize=True)
    assert (plain - unmerged).abs().max() > 0.01
    torch.testing.assert_close(merged, unmerged, atol=1e-4, rtol=0)
    expected = before + delta["token_embedding.weight"].float()
    torch.testing.assert_close(model.token_embedding.weight.data, expected.data, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_names_its_base_and_trains_nothing_but_lora(name):
    config = json.loads((FAMILY / name / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == BASE_ID
    assert config["target_modules"] == sorted(TARGET_MODULES)
    assert (config["r"], config["bias"], config["modules_to_save"]) == (16, "none", None)
    with safe_open(FAMILY / name / "adapter_model.safetensors", framework="pt") as stored:
        assert all("lora_" in key for key in stored.keys())  # noqa: SIM118


@pytest.mark.parametrize("name", ["base", *ADAPTERS])
def test_a_training_record_says_what_went_in(name):
    record = json.loads((FAMILY / name / "training.json").read_text())
    assert record["seed"] == 0
    assert sum(record["share_per_language"].values()) == pytest.approx(1)
    assert all(source["license"] for source in record["sources"])
    assert {source["for"] for source in record["sources"]} >= {
        "names",
        "training pictures",
        "image tower",
    }
    held_out = {split["style"] for split in record["held_out"].values()}
    trained = {source.get("package") for source in record["sources"]}
    assert not trained & {split["package"] for split in record["held_out"].values()}
    assert held_out == {"fluent-emoji-flat", "noto"}
    for counts in record["counts"]["names"].values():
        assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
