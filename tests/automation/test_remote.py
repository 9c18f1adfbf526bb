"""evaluate.yml where a runner is too small: the job that HF Jobs would run, run as a process here."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi

from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore

from ..worlds import serving
from .conftest import card_of_th, new_registry
from .job_machine import job_runner
from .runner import PROJECT

pytestmark = pytest.mark.slow

CARD = "cards/th/embedding/clip-emoji-th.md"
RESULTS = "ggez-hub/evaluations"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A registry whose runners take nothing, its hub, and HF Jobs."""
    folder = tmp_path_factory.mktemp("registry")
    jobs = job_runner(tmp_path_factory.mktemp("jobs"))
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store)
        store.add_account("curator", orgs=["ggez-hub"])
        starter, results = (store.new_token("curator", "write") for _ in range(2))
        with serving(store, jobs=jobs) as endpoint, new_registry(folder, endpoint) as registry:
            registry.runner.secrets = {
                "HF_JOBS_TOKEN": starter,
                "HF_RESULTS_TOKEN": results,
                "HF_TOKEN": results,
            }
            (folder / "github" / "ggez-hub").mkdir(parents=True)
            (folder / "github" / "ggez-hub" / "ggez-hub").symlink_to(registry.origin)
            registry.runner.env["GITHUB_SERVER_URL"] = f"file://{folder}/github"
            budget(registry, "runner_gb: 0")
            # The hub's index has measured the demo's own card: this one is another's.
            text = card_of_th(endpoint).replace("published_by: ", "published_by: not-")
            registry.propose({CARD: text})
            yield registry, jobs, HfApi(endpoint)


def budget(registry, *lines):
    text = (PROJECT / ".github" / "budget.yaml").read_text()
    for line in lines:
        key = line.partition(":")[0]
        old = next(ln for ln in text.splitlines() if ln.startswith(f"{key}:"))
        text = text.replace(old, line)
    registry.accept({".github/budget.yaml": text})


def needs(registry):
    github = registry.github
    order = {"number": "1", "base": github.base, "head": github.head}
    return {"authorise": order}


def run(registry, job):
    (ran,) = registry.runner.run("evaluate.yml", job, {}, needs(registry))
    return ran


def test_over_the_budget_nothing_is_started(world):
    registry, jobs, _ = world
    before = len(jobs.jobs("ggez-hub"))
    budget(registry, "runner_gb: 0", "monthly_usd: 2")
    for job in ("plan", "submit"):
        ran = run(registry, job)
        assert ran.code == 3
        assert "up to $2.40 is needed, $2.00 of this month's $2.00 are left" in ran.stderr
    assert len(jobs.jobs("ggez-hub")) == before
    told = {**needs(registry), "plan": registry.runner.outputs()}
    (said,) = registry.runner.run("evaluate.yml", "answer", {}, told)
    assert said.code == 0, said.stderr
    (comment,) = registry.github.comments
    assert "It is not evaluated: `up to $2.40 is needed" in comment["body"]
    budget(registry, "runner_gb: 0")


@pytest.fixture(scope="module")
def submitted(world):
    """The plan of an evaluation, where it is to run, and its first submission, which delivers."""
    registry, _, _ = world
    planned = run(registry, "plan")
    where = registry.runner.outputs()["where"]
    return planned, where, run(registry, "submit")


def test_the_job_measures_delivers_and_is_not_started_twice(world, submitted):
    registry, jobs, api = world
    planned, where, first = submitted
    assert planned.code == 0, planned.stderr
    assert "on t4-small, " in planned.stdout
    assert "by arithmetic, not measured, at most 4 hours and $2.40" in planned.stdout
    assert where == "hf-jobs"
    (job,) = jobs.jobs("ggez-hub")
    assert first.code == 0, first.stderr + "\n".join(line for _, line in job.log)
    assert "gain: **pass**" in first.stdout
    assert "policy parity, beta 0.75" in first.stdout
    assert first.stderr.startswith("started http")
    assert job.order.environment["GGEZ_HEAD"] == registry.github.head
    assert job.order.secrets == {"HF_TOKEN": registry.runner.secrets["HF_RESULTS_TOKEN"]}
    assert registry.runner.secrets["HF_JOBS_TOKEN"] not in str(job.order.environment)
    second = run(registry, "submit")
    assert (second.code, second.stdout) == (0, first.stdout)
    assert len(jobs.jobs("ggez-hub")) == 1
    files = api.list_repo_files(RESULTS, repo_type="dataset")
    assert len([name for name in files if name.endswith("/predictions.parquet")]) == 1


def test_publishing_takes_what_was_delivered_for_this_very_card(world, submitted):
    registry, jobs, _ = world
    assert submitted[2].code == 0
    text = registry.runner.clone / CARD
    registry.accept({CARD: (registry.folder / "contributor" / CARD).read_text()})
    same, *_ = registry.runner.run("publish.yml", "publish", {})
    assert same.code == 0, same.stderr
    assert f"{CARD}: proven" in same.stdout
    # The budget gives this base to a larger machine.
    assert "`ggez-hub ci publish --large` on one" in same.stdout
    # A card that says anything else is another card: its evaluation is not this one's.
    registry.accept({CARD: text.read_text().replace("published_by: not-", "published_by: nor-")})
    other, *_ = registry.runner.run("publish.yml", "publish", {})
    assert other.code == 0, other.stderr
    assert "no evaluation of this card was delivered" in other.stdout
    assert len(jobs.jobs("ggez-hub")) == 1
