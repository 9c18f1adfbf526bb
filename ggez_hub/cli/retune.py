"""`retune`: beta for another alpha, from the stored curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ggez_hub.cards import parse_card, render_card
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import ANYTHING, SHARE, policy_option
from ggez_hub.command_line import command_line
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub.pull_requests import Proposal, propose
from ggez_hub.hub_connection import connect
from ggez_hub.parity.betas import Beta, as_json, base_like, betas_of
from ggez_hub.parity.intervals import estimate_grp
from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.parity.policy import Policy
from ggez_hub.regions import Alpha, alpha, find_region
from ggez_hub.regions.kof import INTERPERSONAL
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.retune import (
    AlphaChoices,
    Retuned,
    alpha_choices,
    described,
    retune,
    retuned_card,
)
from ggez_hub.registry.stored_curve import stored_in

AVERAGES = {
    "mean": "mean, which alpha is",
    "median": "median",
    "population_weighted": "weighted by population",
}


@click.command("retune")
@click.argument("place", metavar="CARD_OR_DIR", type=ANYTHING)
@click.option("--region", help="Another region; as in `pull`.")
@click.option("--alpha", "given", type=SHARE, help="Your own.")
@click.option("--year", type=int, help="Of the KOF index.  [default: the latest]")
@click.option("--series", help="Of the KOF index.  [default: KOFIpGIdf]")
@click.option("--release", help="Of the KOF index; see `kof`.")
@policy_option("How beta is chosen.  [default: as before]")
@click.option("--publish", is_flag=True, help="Open a pull request with the new alpha.")
@click.option("--repo", metavar="REPO", help="Where to; the adapter's if it is known.")
@hub_option
@output_options
def retune_command(
    place: Path,
    region: str | None,
    given: float | None,
    year: int | None,
    series: str | None,
    release: str | None,
    policy: str | None,
    publish: bool,
    repo: str | None,
    hub: str,
    out: Output,
) -> None:
    """Choose beta again for another alpha, without evaluation.

    From an adapter's card, a pulled folder whose lock names it, or a sweep's results: what changes, and
    the exact range of alpha over which the choice stays. Of a composition from its joint curve. Beside it, what the
    mean, the median and the population-weighted mean of the index over the region's countries (of a country: of
    the group around it) would choose.
    """
    if given is not None and (year or series or release):
        raise UsageProblem(
            "--alpha is a value of your own; --year, --series and --release are KOF's"
        )
    if repo is not None and not publish:
        raise UsageProblem("--repo names where --publish proposes the card", "Add --publish.")
    with connect(hub, quiet=out.quiet) as server:
        stored = stored_in(place, server)
        wanted = find_region(region or stored.region)
        series = series or INTERPERSONAL
        factor = (
            alpha(wanted, year, series, release)
            if given is None
            else Alpha.from_user(given, wanted)
        )
        found = retune(stored, wanted, factor, Policy.parse(policy) if policy else None)
        choices = alpha_choices(wanted, found.chosen_at, year, series, release)
        published = _publish(found, repo, server) if publish else None
    _print_retuned(found, choices, published, out)


def _publish(found: Retuned, repo: str | None, hub: Hub) -> Proposal:

    if found.stored.card is None:
        raise UsageProblem(
            "there is no card to publish: this is not the curve of one adapter",
            "A card's alpha is that of its one adapter.",
        )
    target = repo or found.stored.repo
    if target is None:
        raise UsageProblem(
            "the card does not name the repository of its adapter", "Name it with --repo."
        )
    at = hub.at_commit(target, "main")
    document = parse_card(hub.read_text(target, at.revision, CARD_NAME), f"{CARD_NAME} of {target}")
    mine, theirs = found.stored.card, document.card
    if (theirs.curve, theirs.parity) != (mine.curve, mine.parity):
        raise UsageProblem(
            f"the card of {target} has another curve than the one that was read here",
            "Fetch its newest card and retune that.",
        )
    text = render_card(retuned_card(document, found))
    title = f"Set alpha to {found.alpha.value:.5f}: {found.alpha.source}"
    return propose(
        hub, target, {CARD_NAME: text.encode()}, title, described(found), parent=at.revision
    )


def _print_retuned(
    found: Retuned, choices: AlphaChoices | None, published: Proposal | None, out: Output
) -> None:

    stored, stays = found.stored, found.stays
    if len(stored.adapters) > 1:
        out.line(f"a point's betas are of {', '.join(stored.adapters)}, in this order")
    how = "given by hand" if stored.given else "chosen"
    out.line(
        f"before  alpha {stored.alpha.value:.5f} ({stored.alpha.source}), region "
        f"{stored.region}: beta {'none' if found.taken is None else format(found.taken, 'g')}, {how}"
    )
    out.line(
        f"now     alpha {found.alpha.value:.5f} ({found.alpha.source}), region "
        f"{found.region}: beta {found.beta:g}"
    )
    if found.after.curve.region != found.region:
        out.line(
            f"        by the items of {found.after.curve.region}: too few are of {found.region}"
        )
    verdict = "beta changes" if found.changed else "beta stays"
    out.line(
        f"{verdict}; {found.beta:g} is chosen for every alpha from {stays.low:.6f} to "
        f"{stays.high:.6f}"
    )
    out.line("")
    taken = () if found.taken is None else (found.taken,)
    betas = sorted({base_like(found.beta), *taken, found.beta})
    out.table(
        ("beta", "global", "regional", "GRP now", "GRP on test"),
        [_row(beta, found) for beta in betas],
        title=f"{found.after.curve.scale} on validation; GRP above chance, 95 % intervals",
    )
    for outcome in found.policies:
        out.line(outcome.line())
    out.line("")
    out.table(
        ("alpha from", "to", "beta"),
        [(f"{s.low:.6f}", f"{s.high:.6f}", f"{s.beta:g}") for s in found.ranges],
        title="Every alpha",
    )
    if choices is not None:
        out.line("")
        out.table(
            ("average", "alpha", "beta"),
            [(AVERAGES[c.average], f"{c.alpha:.6f}", f"{c.beta:g}") for c in choices.choices],
            title=f"With each average over the {len(choices.members)} countries of "
            f"{choices.region}, {choices.year}",
        )
    if found.changed and stored.lock is not None:
        options = {
            "--region": found.region,
            "--adapter": list(stored.adapters or filter(None, [stored.repo])),
            "--beta": list(betas_of(found.beta)),
            "--alpha": found.alpha.value if found.alpha.provenance == "user" else None,
            # It chose the beta that stands here.
            "--policy": None,
            "-o": f"{stored.lock.parent}-retuned",
        }
        out.line(f"\n{command_line('pull', options)}")
    if published is not None:
        out.line(
            f"\n{'opened' if published.state == 'opened' else 'is open already:'} {published.url}"
        )
    out.document(_as_json(found, choices, published))


def _row(beta: Beta, found: Retuned) -> tuple[str, ...]:
    curve = found.after.curve
    index, test = curve.index(beta), found.test(beta)
    if index is None:
        return f"{beta:g}", "not measured", "", "", ""
    return (
        f"{beta:g}",
        f"{curve.moments.scores[GLOBAL, index]:.2f}",
        f"{curve.moments.scores[REGIONAL, index]:.2f}",
        estimate_grp(curve.moments, found.alpha.value, index).text(),
        "not measured" if test is None else test.text(),
    )


def _as_json(
    found: Retuned, choices: AlphaChoices | None, published: Proposal | None
) -> dict[str, Any]:
    curve = found.after.curve
    taken = None if found.taken is None else curve.index(found.taken)
    return {
        "region": found.region,
        "alpha_before": found.stored.alpha.model_dump(mode="json"),
        "alpha": found.alpha.model_dump(mode="json"),
        "beta_before": None if found.taken is None else as_json(found.taken),
        "beta": as_json(found.beta),
        "changed": found.changed,
        "stays": {"from": found.stays.low, "to": found.stays.high},
        "ranges": [{"beta": as_json(s.beta), "from": s.low, "to": s.high} for s in found.ranges],
        "averages": choices and choices.as_dict(),
        "by_items_of": found.after.curve.region,
        "policy": str(found.after.policy),
        "policies": {str(outcome.policy): outcome.as_dict() for outcome in found.policies},
        "grp_before": None if taken is None else curve.grp(taken, found.alpha.value),
        "grp": found.after.grp,
        "pull_request": None if published is None else published.url,
    }
