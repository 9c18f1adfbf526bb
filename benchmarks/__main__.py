"""`python -m benchmarks [NAME ...]`: every module here that has a `main`, or those named."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def run(names: list[str]) -> None:
    """Run the benchmarks called `names`, or all of them."""
    found = [
        m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")
    ]
    if unknown := sorted(set(names) - set(found)):
        raise SystemExit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(found)}")
    for name in names or found:
        module = importlib.import_module(f"benchmarks.{name}")
        if hasattr(module, "main"):
            print(f"== {name}", flush=True)
            module.main()


if __name__ == "__main__":
    run(sys.argv[1:])
