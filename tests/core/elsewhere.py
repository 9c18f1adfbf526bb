"""Python as it is on a machine that is no Linux and has no torch: put first on PYTHONPATH.

It is imported as `sitecustomize` by every Python that a test starts, the hub's server included.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

ABSENT = (
    "copy_file_range", "pwrite", "pwritev", "pread", "preadv", "posix_fadvise", "posix_fallocate",
    "sched_getaffinity", "fork", "mkfifo", "memfd_create",
)  # fmt: skip
EXTRAS = {
    "torch",
    "transformers",
    "mergekit",
    "peft",
    "diffusers",
    "open_clip",
    "pyarrow",
    "github",
}


class WithoutExtras(MetaPathFinder):
    """The finder of installed packages, which does not find what only the extras bring."""

    find_distributions = staticmethod(PathFinder.find_distributions)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            return None
        return PathFinder.find_spec(name, path, target)


def no_links(*arguments, **options):
    raise OSError(1314, "A required privilege is not held by the client")


for name in ABSENT:
    if hasattr(os, name):
        delattr(os, name)
# As Python's own os.py has it there, since 3.13.
os.process_cpu_count = os.cpu_count
os.symlink = os.link = no_links
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras()
