"""`ggez-hub train` that waits to be killed after its third step, in each of its processes."""

from __future__ import annotations

import sys
import time
from unittest.mock import patch

from ggez_hub.cli.main import main
from ggez_hub.training.loop import StepReport


def halt(_, stage, report: StepReport):
    while report.step == 3:
        time.sleep(1)


if __name__ == "__main__":
    sys.argv[0] = "ggez-hub"
    with patch("ggez_hub.cli.train._StageProgress.update", halt):
        main()
