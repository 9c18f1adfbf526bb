"""Rules of CONTRIBUTING.md that can be read from the source: names, and what is private."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import ggez_hub
from ggez_hub.cards import values
from ggez_hub.families import FAMILIES
from ggez_hub.plugins import NO_PLUGINS

ROOT = Path(ggez_hub.__file__).parent
TREES = {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def nodes(kind):
    return [
        (path, n) for path, tree in TREES.items() for n in ast.walk(tree) if isinstance(n, kind)
    ]


def test_no_class_name_is_used_three_times():
    counts = Counter(node.name for _, node in nodes(ast.ClassDef) if not node.name.startswith("_"))
    assert {name for name, count in counts.items() if count > 2} == set()


def test_nothing_private_is_imported_from_another_module():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {alias.name}"
        for path, node in nodes(ast.ImportFrom)
        if node.level or (node.module or "").startswith("ggez_hub")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert found == []


def test_no_private_attribute_of_a_class_of_ours_is_used_outside_its_module():
    owners: dict[str, set[Path]] = {}
    for path, node in nodes(ast.ClassDef):
        for inner in ast.walk(node):
            match inner:
                case ast.FunctionDef(name=name) | ast.Attribute(ast.Name("self"), attr=name):
                    owners.setdefault(name, set()).add(path)
                case ast.AnnAssign(target=ast.Name(name)):
                    owners.setdefault(name, set()).add(path)
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path, node in nodes(ast.Attribute)
        if node.attr.startswith("_") and not node.attr.startswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"})
        if node.attr in owners and path not in owners[node.attr]
    ]
    assert found == []


# Where the name of a family is data, or where the word means something else.
NAMED = {
    "cards/values.py": "the families that a card may name",
    "demo/": "the demo world has an adapter of each",
    "families/": "the declarations",
    "merging/extraction/": "layers of torch",
    "paper/": "the models of the paper",
}


def test_nothing_depends_on_the_name_of_a_family(monkeypatch):
    """What differs is a property of the family, which one of a plug-in has too."""
    monkeypatch.setenv(NO_PLUGINS, "1")
    assert tuple(FAMILIES) == values.FAMILIES
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno}: {node.value}"
        for path, node in nodes(ast.Constant)
        if node.value in values.FAMILIES
    ]
    assert [place for place in found if not place.startswith(tuple(NAMED))] == []
    assert [each for each in NAMED if not any(place.startswith(each) for place in found)] == []


def test_no_expression_takes_a_line_break_for_the_end():
    """`$` matches before one, too: "x.md\n" would pass for the name of a file."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, node in nodes(ast.Call)
        if isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "re"
        and node.args
        and ast.unparse(node.args[0]).rstrip("'\"").endswith("$")
        and "MULTILINE" not in ast.unparse(node)
    ]
    assert found == []
