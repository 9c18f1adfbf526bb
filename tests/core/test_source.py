"""Rules of CONTRIBUTING.md that can be read from the source: names, and what is private."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import ggez_hub

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
