"""Every command line and Python block of README and docs runs, and prints what the page shows."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib

import click
import pytest

from ggez_hub.cli.main import cli

from .pages import PAGES, ROOT, blocks, matches

RUN = {
    page: found
    for page in PAGES
    if (found := [b for b in blocks(page) if b.language in {"console", "python"} or b.file])
}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
GOALS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def name_of(page):
    return str(page.relative_to(ROOT))


# A minute each: from a corpus to an own adapter, and the formats of other programs.
SLOW = {ROOT / "docs" / name for name in ("tutorial.md", "other-harnesses.md", "python-api.md")}


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else []) for page in RUN],
    ids=name_of,
)
def test_a_page_does_what_it_shows(page, tmp_path):
    for block in RUN[page]:
        where = f"{name_of(page)}:{block.line}"
        if block.file:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "python" and not block.not_run:
            run([sys.executable, "-c", block.text], tmp_path, where)
        elif block.language == "python":
            compile(block.text, where, "exec")
        else:
            for command in block.commands():
                if block.not_run or command.words[0] != "ggez-hub":
                    check(command.words, where)
                    continue
                done = run([sys.executable, "-m", "ggez_hub", *command.words[1:]], tmp_path, where)
                if command.shown:
                    shown = "\n".join(command.shown)
                    same = matches(command.shown, done, any_figures=bool(block.figures))
                    assert same, f"{where}\nshown:\n{shown}\nprinted:\n{done}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_stands_outside_a_console_block(page):
    inside = {line for b in blocks(page) if b.language == "console" for line in b.text.splitlines()}
    typed = re.compile(r"^\s*(\$ )?(ggez-hub|hf|pip|make) \S")
    # Usage lines of the command reference are text.
    shown = [block for block in blocks(page) if block.language != "text"]
    fenced = [line for b in shown for line in b.text.splitlines() if typed.match(line)]
    indented = [
        line for line in page.read_text().splitlines() if re.match(r"^    (\$ )?ggez-hub \S", line)
    ]
    assert [line for line in (*fenced, *indented) if line not in inside] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = page if not place else (page.parent / place)
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def run(command, folder, where):
    """What the command printed; it has a home of its own and no way to the real Hub."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{where}: {command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check(words, where):
    """Whether there is such a command with such options, an extra, a goal of make, a module."""
    match words:
        case ["ggez-hub", *rest]:
            parse(rest, where)
        case ["pip", "install", *packages]:
            for extra in re.findall(r"ggez-hub\[([\w,]+)\]", " ".join(packages)):
                assert set(extra.split(",")) <= set(EXTRAS), where
        case ["make", goal, *_]:
            assert goal in GOALS, where
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), where


def parse(words, where):
    command, context = cli, click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{where}: no command {words[0]}"
        command, words = found, words[1:]
    context = click.Context(command)
    try:
        command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        raise AssertionError(f"{where}: {error.message}") from error
