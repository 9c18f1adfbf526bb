"""Work on daemon threads: results in order, so many at once, and nothing after an error."""

from __future__ import annotations

import threading
import time

import pytest

from ggez_hub.daemon_threads import map_at_once


def test_results_come_in_the_order_of_the_items():
    all_begun = threading.Barrier(3)

    def work(item):
        all_begun.wait(timeout=30)
        return 10 * item

    assert map_at_once(work, range(6), 3) == [0, 10, 20, 30, 40, 50]


def test_after_an_error_those_under_way_end_and_none_is_begun():
    both, begun, ended = threading.Barrier(2), [], []

    def work(item):
        begun.append(item)
        both.wait(timeout=30)
        if item == 0:
            raise ValueError(item)
        time.sleep(0.1)  # the other one has raised
        ended.append(item)

    with pytest.raises(ValueError, match="0"):
        map_at_once(work, range(9), 2)
    assert sorted(begun) == [0, 1]
    assert ended == [1]
