"""Ctrl-C and SIGTERM keep what is done; what the command says before, while and after."""

from __future__ import annotations

import gc
import json
import os
import signal
from contextlib import ExitStack

import pytest
from click.testing import CliRunner

from ggez_hub import progress
from ggez_hub.cli.main import cli
from ggez_hub.cli.train import _StageProgress
from ggez_hub.errors import GgezError
from ggez_hub.progress import show_progress
from ggez_hub.training.checkpoint import Interrupted
from ggez_hub.training.loop import StepReport
from ggez_hub.training.run import train
from tests.training.material import job, write_recipe

pytestmark = pytest.mark.slow

LORA = {"r": 2, "alpha": 4, "dropout": 0.2}


@pytest.fixture(autouse=True)
def heard():
    """Ctrl-C is heard, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=["ctrl-c", "sigterm"],
)
def test_it_ends_with_its_step_and_goes_on_from_there(material, tmp_path, number):
    """Between two states that are due: no step is lost, and the record is that of one run."""
    path = write_recipe(material / "stopped.yaml", lora=LORA, checkpoint_every=4)
    whole = train(job(path), tmp_path / "whole").out

    def stopping(stage, report):
        if report.step == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match="stopped after step 3 of 6"):
        train(job(path), tmp_path / "out", on_step=stopping)
    assert signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}
    seen = []
    out = train(job(path), tmp_path / "out", on_step=lambda s, r: seen.append(r.step)).out
    assert seen == [4, 5, 6]
    for file in ("adapter_model.safetensors", "training.json"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()


def test_a_signal_that_was_ignored_stays_so(material, tmp_path):
    """As for what runs in the background: Ctrl-C means what is in front."""
    path = write_recipe(material / "ignored.yaml", lora=LORA)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seen = []

    def stopping(stage, report):
        seen.append(report.step)
        os.kill(os.getpid(), signal.SIGINT)

    train(job(path), tmp_path / "out", on_step=stopping)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_who_asks_twice_is_not_kept_waiting(material, tmp_path):
    path = write_recipe(material / "twice-stopped.yaml", lora=LORA)

    def stopping(stage, report):
        if report.step == 3:
            # Where garbage is due a signal comes while it is collected, and what is raised there is lost.
            gc.disable()
            try:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                gc.enable()

    with pytest.raises(Interrupted, match=r"^stopped$"):
        train(job(path), tmp_path / "out", on_step=stopping)
    seen = []
    train(job(path), tmp_path / "out", on_step=lambda s, r: seen.append(r.step))
    assert seen == [3, 4, 5, 6]


def test_a_gradient_that_is_no_number_stops_it(material, tmp_path):
    """The factors' product is zero at first, so that the loss of the last step is as ever."""
    path = write_recipe(material / "inf.yaml", lora={"r": 1, "alpha": 1e30}, max_steps=1)
    with pytest.raises(GgezError, match="the norm of the gradient is inf in step 1"):
        train(job(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def run(path, out, *more):
    return CliRunner().invoke(cli, ["train", str(path), "-o", str(out), *more])


def test_what_it_will_cost_is_said_before_it_begins(material, tmp_path):
    keys = {"region": "vi", "validation": {"share": 0.2}, "max_steps": None}
    path = write_recipe(material / "said.yaml", **keys)
    planned = run(path, tmp_path / "out", "--plan").stdout
    done = run(path, tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    for said in (planned, done.stderr):
        assert said.startswith("vi is U.S. Virgin Islands, a region; the language vi is Vietnamese")
        assert "tune: 24 examples, 5 of them held out, 2 steps of 8" in said
        assert "AdamW" in said
        assert "GB free" in said
        assert "fits: yes" in said
    assert not run(path, tmp_path / "quiet", "--quiet").stderr


def test_it_says_whether_it_goes_on(material, tmp_path):
    """After a stop; and that it does not where recipe or data have changed since."""
    path = write_recipe(material / "changed.yaml")

    def stopping(stage, report):
        if report.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(job(path), tmp_path / "out", on_step=stopping)
    other = write_recipe(material / "changed-too.yaml", seed=1)
    said = run(other, tmp_path / "out")
    assert "starting again: the kept state is of another recipe" in said.stderr
    with pytest.raises(Interrupted):
        train(job(path), tmp_path / "again", on_step=stopping)
    said = run(path, tmp_path / "again")
    assert "going on after step 3 of tune" in said.stderr


def test_each_stage_is_a_task_of_its_own(monkeypatch):
    """The time to go of the second is not that of a task that is done."""
    written = []
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with show_progress(written.append), ExitStack() as opened:
        shown = _StageProgress(opened)
        for stage, step in (("cpt", 1), ("cpt", 2), ("tune", 1)):
            shown.update(stage, StepReport(step, 2, 0.5, 0.1, 0.25 if stage == "cpt" else None))
    assert [line.partition(", about")[0] for line in written] == [
        "cpt, loss 0.5, validation 0.25: 1 of 2 (50 %)",
        "cpt, loss 0.5, validation 0.25: 2 of 2 (100 %)",
        "tune, loss 0.5: 1 of 2 (50 %)",
    ]


def test_a_log_file_has_lines_and_the_end_both_losses(material, tmp_path, monkeypatch):
    """No checkpoint falls between the first step and the last."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    path = write_recipe(material / "logged.yaml", lora=LORA, max_steps=50, checkpoint_every=500)
    done = run(path, tmp_path / "out", "--hub", "http://127.0.0.1:9")
    assert done.exit_code == 0, done.output
    losses = json.loads((tmp_path / "out" / "training.json").read_text())["losses"]
    assert [step for step, _ in losses] == [*range(3, 50, 3), 50]
    assert (
        f"loss {losses[0][1]:.4g} (mean of the first 3 steps) to {losses[-1][1]:.4g} (of the last 2)"
        in done.stdout
    )
    assert "tune, loss" in done.stderr
    assert ": 25 of 50 (50 %)" in done.stderr
    # What comes next is asked of the same hub.
    assert "  ggez-hub sweep RECIPE.yaml -o RESULTS --hub http://127.0.0.1:9\n" in done.stdout
    out = tmp_path / "out"
    assert f"  ggez-hub card measure RESULTS {out}\n" in done.stdout
    assert f"  ggez-hub publish {out} --repo ORG/NAME --hub http://127.0.0.1:9\n" in done.stdout
