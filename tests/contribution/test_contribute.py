"""`contribute` over HTTP: from an adapter to a pull request that, merged, is pulled."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from ggez_hub.cards import parse_card
from ggez_hub.cli.main import cli
from ggez_hub.digests import sha256_file
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import resolve

from ..faults import NotedClock, wire
from .conftest import CLIP, INDEX, SDXL, card_at, pulls


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    NotedClock.of_clients(monkeypatch)


def merged(place, number=1):
    """The maintainers accept a proposal."""
    place.store.add_account("maintainer", orgs=["ggez-hub"])
    token = place.store.new_token("maintainer", "write")
    place.tokens["maintainer"] = token
    place.api("maintainer").merge_pull_request(INDEX, number, repo_type="dataset")


def test_a_file_without_a_word(place, ana, lora):
    done = ana("contribute", lora, "--region", "ph", "--base", SDXL, "--license", "cc-by-4.0",
               "--summary", "Jeepneys and markets of Manila.")  # fmt: skip
    assert done.exit_code == 0, done.output
    (pull,) = pulls(place)
    assert pull.author == "ana"
    assert f"opened: {place.endpoint}/datasets/{INDEX}/discussions/{pull.num}" in done.stdout
    document = card_at(place, "cards/ph/diffusion/jeepney-v2.md", f"refs/pr/{pull.num}")
    card = document.card
    assert (card.level, card.published_by, card.registered_by) == ("declared", "ana", "ana")
    assert card.adapter.repo == "ana/jeepney-v2"
    assert card.adapter.revision == place.hub().at_commit("ana/jeepney-v2", "v1").revision
    assert card.summary == {"en": "Jeepneys and markets of Manila."}
    # The repository carries the same card, which cannot name its own commit.
    theirs = card_at(place, "README.md", "main", "ana/jeepney-v2", "model").card
    assert theirs == card.model_copy(update={"adapter": None})

    merged(place, pull.num)
    resolution = resolve(Request("ph", family="diffusion", beta=0.7), place.hub()).resolution
    (adapter,) = resolution.adapters
    assert adapter.source.repo == "ana/jeepney-v2"
    assert adapter.source.weights == {lora.name: sha256_file(lora)}
    assert resolution.base.repo == SDXL


def test_what_was_contributed_is_pulled(place, ana, lora, tmp_path):
    done = ana("contribute", lora, "--region", "ph", "--base", SDXL, "--license", "cc-by-4.0")
    assert done.exit_code == 0, done.output
    merged(place)
    pulled = ana(
        "pull", "--region", "ph", "--family", "diffusion", "--beta", "0.5", "-o", tmp_path / "out"
    )
    assert pulled.exit_code == 0, pulled.output
    assert (tmp_path / "out" / "diffusion" / "model_index.json").is_file()


def test_a_file_that_speaks_needs_a_region_alone(place, ana, lora_told):
    done = ana("contribute", lora_told, "--region", "ph", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["card_path"] == "cards/ph/diffusion/jeepney.md"
    document = parse_card(answer["card"])
    assert document.license == "cc-by-4.0"
    assert document.card.base.repo == SDXL
    assert document.card.trained_on == "base"
    assert document.card.training.seed == 42


def test_a_peft_folder(place, ana, peft):
    done = ana("contribute", peft, "--region", "th", "--license", "apache-2.0", "--languages", "th",
               "--repo", "manila/thai-names")  # fmt: skip
    assert done.exit_code == 0, done.output
    (pull,) = pulls(place)
    document = card_at(place, "cards/th/embedding/thai-names.md", f"refs/pr/{pull.num}")
    card = document.card
    assert (card.published_by, card.registered_by) == ("manila", "ana")
    assert (card.adapts, card.languages) == (["prompt_language"], ["th"])
    assert card.base.repo == CLIP
    files = {f.path for f in place.hub().at_commit("manila/thai-names", "main").files}
    assert files == {
        ".gitattributes",
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "bom.cdx.json",
    }
    # What lies on the disk is as it was.
    assert "ggez:" not in (peft / "README.md").read_text()


def test_a_repository_of_somebody_else(place, ana, lora_told):
    boo = place.api("boo")
    boo.create_repo("boo/jeepney")
    boo.upload_file(
        path_or_fileobj=lora_told, path_in_repo="jeepney.safetensors", repo_id="boo/jeepney"
    )
    readme = b"---\nlicense: cc-by-sa-4.0\ntags:\n- lora\n---\n# Boo's own words\n<b>hi</b>\n"
    boo.upload_file(path_or_fileobj=readme, path_in_repo="README.md", repo_id="boo/jeepney")
    before = place.hub().at_commit("boo/jeepney", "main").revision
    done = ana("contribute", "boo/jeepney", "--region", "ph")
    assert done.exit_code == 0, done.output
    assert "left as it is" in done.stdout
    (pull,) = pulls(place)
    document = card_at(place, "cards/ph/diffusion/jeepney.md", f"refs/pr/{pull.num}")
    assert (document.card.published_by, document.card.registered_by) == ("boo", "ana")
    assert document.license == "cc-by-sa-4.0"
    assert (document.card.adapter.repo, document.card.adapter.revision) == ("boo/jeepney", before)
    assert "<b>" not in document.prose
    assert place.hub().at_commit("boo/jeepney", "main").revision == before
    assert pulls(place, repo_type="model", repo="boo/jeepney") == []
    merged(place, pull.num)
    adapter = resolve(Request("ph", family="diffusion", beta=0.7), place.hub()).resolution.adapters[
        0
    ]
    assert adapter.source.repo == "boo/jeepney"


def test_again_is_the_same_pull_request(place, ana, lora):
    arguments = ("contribute", lora, "--region", "ph", "--base", SDXL, "--license", "mit")
    assert ana(*arguments).exit_code == 0
    again = ana(*arguments)
    assert again.exit_code == 0, again.output
    assert "there already" in again.stdout
    assert "unchanged: " in again.stdout
    changed = ana(*arguments, "--summary", "Other words.")
    assert "pushed as v2" in changed.stdout
    assert "updated: " in changed.stdout
    (pull,) = pulls(place)
    card = card_at(place, "cards/ph/diffusion/jeepney-v2.md", f"refs/pr/{pull.num}").card
    assert card.summary == {"en": "Other words."}
    merged(place, pull.num)
    done = ana(*arguments, "--summary", "Other words.")
    assert "accepted: " in done.stdout
    assert pulls(place) == []


def test_a_name_that_is_taken(place, ana, lora, lora_told):
    ana("contribute", lora, "--region", "ph", "--base", SDXL, "--license", "mit", "--repo", "ana/x")
    merged(place)
    done = ana("contribute", lora_told, "--region", "ph", "--repo", "manila/x", "--json")
    assert json.loads(done.stdout)["card_path"] == "cards/ph/diffusion/manila--x.md"


@pytest.mark.parametrize(
    "cut", [b"/api/repos/create", b"/preupload/", b"PUT /", b"POST /api/models/ana/jeepney-v2/commit",
            b"/tag/", b"/discussions?", b"POST /api/datasets/ggez-hub/index/commit"],
)  # fmt: skip
def test_killed_anywhere_the_next_run_completes_it(place, ana, lora, monkeypatch, cut):
    sent = bytearray()

    def upstream(data):
        sent.extend(data)
        return None if cut in sent else data

    arguments = ("contribute", lora, "--region", "ph", "--base", SDXL, "--license", "mit")
    with wire(place.endpoint, lambda data: data, upstream) as line, monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", line.endpoint)
        done = ana(*arguments)
    assert done.exit_code == 1
    assert cut in sent
    assert done.stderr.startswith("error: ")
    assert pulls(place) == []
    done = ana(*arguments)
    assert done.exit_code == 0, done.output
    assert "opened: " in done.stdout
    assert len(pulls(place)) == 1


def test_a_lost_answer_opens_no_second_pull_request(place, ana, lora, monkeypatch):
    def lose(data):
        return None if b"pullRequestUrl" in data else data

    arguments = ("contribute", lora, "--region", "ph", "--base", SDXL, "--license", "mit")
    with wire(place.endpoint, lose) as line, monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", line.endpoint)
        assert ana(*arguments).exit_code == 1
    assert len(pulls(place)) == 1
    done = ana(*arguments)
    assert "unchanged: " in done.stdout
    assert len(pulls(place)) == 1


def test_what_is_missing_is_named(ana, lora):
    done = ana("contribute", lora)
    assert done.exit_code == 2
    assert "this needs --region, --base, --license" in done.stderr


def test_print_sends_nothing(place, ana, lora, lora_told):
    done = ana("contribute", lora, "--region", "ph", "--base", SDXL, "--license", "mit", "--print")
    assert done.exit_code == 0, done.output
    assert parse_card(done.stdout.rstrip("\n") + "\n").card.region == "ph"
    assert "Nothing was sent" in done.stderr
    assert not place.api("ana").repo_exists("ana/jeepney-v2")
    assert pulls(place) == []


def test_without_a_token_a_repository_is_printed(place, lora_told):
    place.api("boo").create_repo("boo/jeepney")
    place.api("boo").upload_file(
        path_or_fileobj=lora_told, path_in_repo="jeepney.safetensors", repo_id="boo/jeepney"
    )
    done = CliRunner().invoke(cli, ["contribute", "boo/jeepney", "--region", "ph"])
    assert done.exit_code == 0, done.output
    assert "Save what follows as cards/ph/diffusion/jeepney.md" in done.stderr
    card = parse_card(done.stdout).card
    assert (card.adapter.repo, card.registered_by) == ("boo/jeepney", "unknown")
    assert pulls(place) == []


def test_scores_of_the_registry_are_the_registrys(place, ana, world):
    folder = world / "embedding" / "th"
    done = ana("contribute", folder, "--repo", "ana/th")
    assert done.exit_code == 1
    assert "`measured_by: registry` that the registry did not write" in done.stderr
    assert not place.api("ana").repo_exists("ana/th")


def test_the_core_is_enough(place, lora):
    """In a process where torch and everything of the extras cannot be imported."""
    extras = ("torch", "transformers", "diffusers", "peft", "mergekit", "open_clip", "datasets",
              "accelerate", "torchvision", "pyarrow", "matplotlib", "PIL")  # fmt: skip
    code = (
        f"import sys\nfor name in {extras!r}: sys.modules[name] = None\n"
        "from ggez_hub.cli.main import main\nmain()"
    )
    environment = os.environ | {
        "HF_ENDPOINT": place.endpoint, "HF_TOKEN": place.tokens["ana"],
    }  # fmt: skip
    arguments = ["contribute", str(lora), "--region", "ph", "--base", SDXL, "--license", "mit"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "opened: " in done.stdout
    assert done.stderr == ""


def test_five_questions_on_a_terminal(place, lora_told, tmp_path):
    from safetensors.torch import load_file, save_file

    # Text encoder and UNet: what it adapts cannot be told. Only the architecture is named.
    tensors = load_file(lora_told)
    part = next(key for key in tensors if key.endswith("lora_down.weight"))
    te = {f"lora_te1_text_model_encoder_layers_0_mlp_fc1.{end}": tensors[f"{part.partition('.')[0]}.{end}"].clone()
          for end in ("lora_down.weight", "lora_up.weight", "alpha")}  # fmt: skip
    path = tmp_path / "mystery.safetensors"
    save_file(tensors | te, path, metadata={"ss_base_model_version": "sdxl_base_v1-0"})

    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "ggez_hub", "contribute", str(path)],
        stdin=follower, stdout=follower, stderr=follower, close_fds=True,
        env=os.environ | {"HF_ENDPOINT": place.endpoint, "HF_TOKEN": place.tokens["ana"]},
    )  # fmt: skip
    os.close(follower)
    # An answer that is none is asked for again; an empty one takes what is likely.
    script = [("Which country", "Atlantis"), ("Which country", "Pilipinas"), ("Which base", ""),
              ("Under which licence", "mit"), ("What does it change", "content"),
              ("What does it do", "")]  # fmt: skip
    for question, answer in script:
        read_until(leader, question)
        os.write(leader, f"{answer}\n".encode())
    read_until(leader, "opened: ")
    assert child.wait(timeout=120) == 0
    os.close(leader)
    (pull,) = pulls(place)
    card = card_at(place, "cards/ph/diffusion/mystery.md", f"refs/pr/{pull.num}").card
    assert (card.region, card.base.repo, card.adapts) == ("ph", SDXL, ["content"])
    assert card.summary["en"].startswith("A LoRA for ")


def read_until(leader, text):
    """Wait until the terminal shows `text` and the prompt behind it."""
    seen, deadline = b"", time.monotonic() + 120
    while text.encode() not in seen or (
        not seen.rstrip(b" ").endswith((b":", b"]")) and "opened" not in text
    ):
        assert time.monotonic() < deadline, seen.decode(errors="replace")
        if select.select([leader], [], [], 1)[0]:
            try:
                seen += os.read(leader, 4096)
            except OSError:
                break


def test_how_to_sign_in_depends_on_the_hub(place, ana, lora, monkeypatch):
    given = ("--region", "ph", "--base", SDXL, "--license", "mit", "--print")
    # Who is signed in needs no advice; a token is sent to the hub of HF_ENDPOINT alone.
    assert "hf auth login" not in ana("contribute", lora, *given).stderr
    monkeypatch.delenv("HF_TOKEN")
    assert "hf auth login" in ana("contribute", lora, *given).stderr
    other = place.endpoint.replace("127.0.0.1", "localhost")
    said = ana("contribute", lora, *given, "--hub", other).stderr
    assert "hf auth login" not in said
    assert f"export HF_ENDPOINT={other} HF_TOKEN=" in said


def test_a_base_on_somebodys_disk(place, ana, peft):
    path = peft / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"base_model_name_or_path": "/home/ana/clip"}))
    done = ana("contribute", peft, "--region", "th", "--base", CLIP, "--license", "mit")
    assert done.exit_code == 1
    assert f'Write "base_model_name_or_path": "{CLIP}" there' in done.stderr
    assert "/home/ana" not in done.stderr
    assert not place.api("ana").repo_exists("ana/thai-names")


def test_a_hub_without_an_index(place, ana, lora):
    place.store.add_account("maintainer", orgs=["ggez-hub"])
    place.tokens["maintainer"] = place.store.new_token("maintainer", "write")
    place.api("maintainer").delete_repo(INDEX, repo_type="dataset")
    given = ("--region", "ph", "--base", SDXL, "--license", "mit")
    done = ana("contribute", lora, *given)
    assert done.exit_code == 1
    assert f"has no index ({INDEX}) to propose the adapter to: nothing was sent" in done.stderr
    assert not place.api("ana").repo_exists("ana/jeepney-v2")
    printed = ana("contribute", lora, *given, "--print")
    assert printed.exit_code == 0, printed.output
    assert parse_card(printed.stdout).card.region == "ph"
    # Only what can be done on this hub is advised.
    assert "hf auth login" not in printed.stderr
    folder = lora.parent / "alone"
    folder.mkdir()
    (folder / lora.name).write_bytes(lora.read_bytes())
    (folder / "README.md").write_text(printed.stdout)
    (publish,) = [line for line in printed.stderr.splitlines() if "ggez-hub publish" in line]
    sent = ana(*publish.replace("FOLDER", str(folder)).split()[1:])
    assert sent.exit_code == 0, sent.output
    assert "Register it" not in sent.stdout
    (listed,) = [line for line in printed.stderr.splitlines() if " --print" in line]
    for_github = ana(*listed.split()[1:])
    assert parse_card(for_github.stdout).card.adapter.repo == "ana/jeepney-v2"
    assert ana(*listed.replace(" --print", "").split()[1:]).exit_code == 1


def test_options_that_a_card_of_its_own_contradicts(ana, place, peft):
    assert ana("card", "init", peft, "--region", "th", "--base", CLIP, "--license", "mit",
               "--summary", "Names of things.").exit_code == 0  # fmt: skip
    other = ana("contribute", peft, "--region", "ph", "--license", "apache-2.0",
                "--summary", "Something else.", "--base", CLIP)  # fmt: skip
    assert other.exit_code == 2
    for said in ("--region (its card: th)", "--license (its card: mit)",
                 "--summary (its card: Names of things.)"):  # fmt: skip
        assert said in other.stderr
    assert "--base" not in other.stderr
    assert not place.api("ana").repo_exists("ana/thai-names")
    same = ana("contribute", peft, "--region", "Thailand", "--license", "mit", "--base", CLIP)
    assert same.exit_code == 0, same.output


def test_a_repository_with_a_card_for_another_region_is_not_registered_again(ana, peft):
    """The world's adapter is accepted for th."""
    (peft / "README.md").unlink(missing_ok=True)
    other = ana("contribute", peft, "--region", "ph", "--base", CLIP, "--license", "mit",
                "--repo", f"{CLIP}-th")  # fmt: skip
    assert other.exit_code == 1
    card = "cards/th/embedding/clip-emoji-th.md"
    assert f"{CLIP}-th speaks for the same adapter as {card}" in other.stderr


def test_a_revision_that_is_none(ana):
    done = ana("contribute", f"{CLIP}-th@v9", "--region", "th")
    assert done.exit_code == 1
    assert f"{CLIP}-th has no revision 'v9'" in done.stderr


def test_what_plain_peft_writes_is_refused_with_the_way_out(place, ana, peft):
    path = peft / "adapter_config.json"
    left = {"base_model_class": "CLIP", "parent_library": "open_clip.model"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_mapping": left}))
    given = ("--region", "th", "--base", CLIP, "--license", "mit")
    for more in ((), ("--print",)):
        refused = ana("contribute", peft, *given, *more)
        assert refused.exit_code == 1
        assert "set it to null" in refused.stderr
        assert "or name the task type" in refused.stderr
    assert not place.api("ana").repo_exists("ana/thai-names")
    done = ana("contribute", peft, *given, "--drop-auto-mapping")
    assert done.exit_code == 0, done.output
    assert f"auto_mapping is null now in {path}" in done.stderr
    assert json.loads(path.read_text())["auto_mapping"] is None
    nothing = ana("contribute", peft.parent, *given, "--drop-auto-mapping")
    assert nothing.exit_code == 2


def test_the_command_that_print_offers_keeps_what_was_given(place, ana, lora):
    given = ("--region", "ph", "--base", SDXL, "--license", "mit", "--adapts", "content",
             "--summary", "Jeepneys & more.", "--repo", "manila/jeepneys", "--private",
             "--hub", place.endpoint)  # fmt: skip
    printed = ana("contribute", lora, *given, "--print")
    assert printed.exit_code == 0, printed.output
    (line,) = [
        line
        for line in printed.stderr.splitlines()
        if "contribute" in line and "--print" not in line
    ]
    assert shlex.split(line)[:3] == ["ggez-hub", "contribute", str(lora)]
    assert sorted(shlex.split(line)[3:]) == sorted(given)


def test_metadata_that_are_none(ana, tmp_path):
    import struct

    header = {"__metadata__": {"ss_seed": 3}, "x.lora_down.weight": {
        "dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}}  # fmt: skip
    raw = json.dumps(header).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * 4)
    done = ana("contribute", path, "--region", "ph", "--base", SDXL, "--license", "mit")
    assert done.exit_code == 1
    assert "the metadata are not a mapping of strings" in done.stderr
