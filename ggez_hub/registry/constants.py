"""Names of the registry's repository on a hub and of files in repositories and pulled folders."""

# A hub's accepted cards are a data set of this name: cards/<region>/<family>/<name>.md, each with
# the commit of its adapter, and beside them what `index build` makes of them.
INDEX_REPO = "ggez-hub/index"
INDEX_FILE = "index.sqlite"
CARD_NAME = "README.md"
LOCK_NAME = "ggez.lock"
