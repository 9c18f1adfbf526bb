"""Names of the registry's repository on a hub and of files in repositories and pulled folders."""

import os
from pathlib import Path

# A hub's accepted cards are a data set of this name: cards/<region>/<family>/<name>.md, each with
# the commit of its adapter, and beside them what `index build` makes of them. Another registry on the
# same hub has an index of its own.
INDEX_REPO = os.environ.get("GGEZ_INDEX") or "ggez-hub/index"
INDEX_FILE = "index.sqlite"
# In the folder of the user's embedded hub.
SIGNING_KEY, VERIFYING_KEY = "signing.pem", "signing.pub"
CARD_NAME = "README.md"
LOCK_NAME = "ggez.lock"


def policy_file() -> Path:
    """Where the user's own trust.yaml is: GGEZ_TRUST, or the folder of settings."""
    if named := os.environ.get("GGEZ_TRUST"):
        return Path(named)
    import platformdirs

    return platformdirs.user_config_path("ggez-hub") / "trust.yaml"
