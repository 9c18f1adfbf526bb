"""Where things lie: the registry on a hub, the lock in a pulled folder."""

# A hub's accepted cards are a data set of this name: cards/<region>/<family>/<name>.md, each with
# the commit of its adapter, and beside them what `index build` makes of them.
INDEX_REPO = "ggez-hub/index"
INDEX_FILE = "index.sqlite"
CARD_NAME = "README.md"
LOCK_NAME = "ggez.lock"
