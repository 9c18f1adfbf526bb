"""The libraries and the commands that people push and load models and data with, as they are installed.

Nothing is set but the address of the hub and a token: large files go and come by Xet.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PUSH = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
folder, repo = Path(sys.argv[1]), sys.argv[2]

def push(**options):
    HfApi().create_repo(repo, **options)
    HfApi().upload_folder(folder_path=folder, repo_id=repo, **options)
"""
TRANSFORMERS = """
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizerFast
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "sabai"]
(folder / "vocab.txt").write_text("\\n".join(words))
tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
model = BertModel(BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=1,
                             num_attention_heads=2, intermediate_size=32))
model.push_to_hub(repo)
tokenizer.push_to_hub(repo)
loaded = AutoModel.from_pretrained(repo)
for name, tensor in model.state_dict().items():
    assert torch.equal(tensor, loaded.state_dict()[name]), name
assert AutoTokenizer.from_pretrained(repo)("hello sabai") == tokenizer("hello sabai")
"""
PIPELINE = """
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, pipeline
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "sabai"]
(folder / "vocab.txt").write_text("\\n".join(words))
BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
BertForMaskedLM(BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=1,
                           num_attention_heads=2, intermediate_size=32)).save_pretrained(folder)
push()
fill = pipeline(model=repo)
assert fill.task == "fill-mask"
assert len(fill("hello [MASK]", top_k=3)) == 3
"""
DIFFUSERS = """
import torch
from diffusers import DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel
unet = UNet2DModel(sample_size=8, block_out_channels=(32, 32), layers_per_block=1,
                   down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)
DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).push_to_hub(repo)
loaded = DiffusionPipeline.from_pretrained(repo)
assert isinstance(loaded, DDPMPipeline)
for name, tensor in unet.state_dict().items():
    assert torch.equal(tensor, loaded.unet.state_dict()[name]), name
"""
OPEN_CLIP = """
import open_clip, torch
from tests.models import open_clip_model, write_open_clip
write_open_clip(folder, torch.float32, buffer=False)
push()
loaded = open_clip.create_model(f"hf-hub:{repo}")
assert torch.equal(loaded.visual.proj, open_clip_model().visual.proj)
"""
PEFT = """
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tests.models import open_clip_model, write_lora
write_lora(folder, targets=["c_fc"])
push()
loaded = PeftModel.from_pretrained(open_clip_model(), repo).state_dict()
saved = load_file(folder / "adapter_model.safetensors")
assert saved
for name, tensor in saved.items():
    assert torch.equal(tensor, loaded[name.replace(".weight", ".default.weight")]), name
"""
DATASETS = """
from datasets import Dataset, DatasetDict, load_dataset
DatasetDict({
    split: Dataset.from_dict({"number": list(numbers), "text": [f"row {n}" for n in numbers]})
    for split, numbers in {"train": range(100), "test": range(7)}.items()
}).push_to_hub(repo)
data = load_dataset(repo)
assert {split: len(rows) for split, rows in data.items()} == {"train": 100, "test": 7}
assert data["train"][41] == {"number": 41, "text": "row 41"}
stream = load_dataset(repo, split="train", streaming=True)
assert [row["number"] for row in stream] == list(range(100))
assert next(iter(stream.skip(5))) == {"number": 5, "text": "row 5"}
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(TRANSFORMERS, id="transformers"),
        pytest.param(PIPELINE, id="pipeline"),
        pytest.param(DIFFUSERS, id="diffusers", marks=pytest.mark.slow),
        pytest.param(OPEN_CLIP, id="open_clip", marks=pytest.mark.slow),
        pytest.param(PEFT, id="peft", marks=pytest.mark.slow),
        pytest.param(DATASETS, id="datasets"),
    ],
)
def test_pushes_and_loads(hub, client, new_id, tmp_path, script):
    (tmp_path / "folder").mkdir()
    client(sys.executable, "-W", "ignore", "-c", PUSH + script, tmp_path / "folder", new_id())


@pytest.fixture
def client(hub, tmp_path):
    """Runs a command of a client in a process of its own; returns what it prints."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_XET"},
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.tokens["alice"],
        "HF_HOME": str(tmp_path / "home"),
    }
    environment.pop("HF_XET_CACHE", None)

    def run(*command):
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr[-3000:]
        return result.stdout

    return run


HF = "from huggingface_hub.cli.hf import main; main()"


def test_hf_upload_and_download(hub, client, new_id, tmp_path):
    repo, source = new_id(), tmp_path / "source"
    (source / "data").mkdir(parents=True)
    files = {
        "README.md": b"# Tiny\n",
        "a.bin": os.urandom(1_000_000),
        "data/b.bin": os.urandom(70_000),
    }
    for name, content in files.items():
        (source / name).write_bytes(content)

    def hf(*arguments):
        return client(sys.executable, "-c", HF, *arguments)

    hf("upload", repo, source)
    hf("download", repo, "--local-dir", tmp_path / "copy")
    files["data/b.bin"] += b"more"
    (source / "data" / "b.bin").write_bytes(files["data/b.bin"])
    hf("upload", repo, source)
    hf("download", repo, "--local-dir", tmp_path / "later")
    for name, content in files.items():
        assert (tmp_path / "later" / name).read_bytes() == content
    assert (tmp_path / "copy" / "data" / "b.bin").read_bytes() == files["data/b.bin"][:-4]
    digest = hashlib.sha256(files["a.bin"]).hexdigest()
    assert hub.store.xet.catalog.file(digest)
    assert not hub.store.lfs.path(digest).exists()
