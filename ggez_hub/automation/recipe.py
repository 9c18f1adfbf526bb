"""The merge of an accepted card as a recipe: what anybody can make who may not be given the result."""

from __future__ import annotations

import yaml

from ggez_hub.automation.evaluate import Evaluated
from ggez_hub.hub import Hub
from ggez_hub.parity.choice import choose_for
from ggez_hub.registry.local.recipe import MergeRecipe

HEAD = """\
# {path} at the beta that its curve gives for alpha {alpha:.5f}.
#   ggez-hub merge --recipe THIS_FILE -o OUT
"""


def recipe_of(found: Evaluated, hub: Hub) -> str:
    """YAML of `kind: merge` with every repository at its commit; raises what the hub raises."""
    card = found.document.card
    location = card.adapter
    assert location is not None  # noqa: S101 - check_card has asked for it
    base = hub.at_commit(card.base.repo, card.base.revision)
    adapter = hub.at_commit(location.repo, location.revision)
    # As a pull chooses it.
    beta = choose_for(card).beta
    recipe = MergeRecipe.model_validate(
        {
            "kind": "merge",
            "region": card.region,
            "family": card.family,
            "base": f"{base.repo}@{base.revision}",
            "adapters": [{"adapter": f"{adapter.repo}@{adapter.revision}", "beta": beta}],
        }
    )
    head = HEAD.format(path=found.path, alpha=card.alpha.value)
    return head + yaml.safe_dump(recipe.model_dump(exclude_defaults=True), sort_keys=False)
