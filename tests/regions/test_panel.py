import math

import pytest

from ggez_hub.errors import UsageProblem
from ggez_hub.regions import Alpha, UnknownRegion, alpha, find_region
from ggez_hub.regions.cldr import supplement
from ggez_hub.regions.globalisation import Averages, averages
from ggez_hub.regions.kof import load_series
from ggez_hub.regions.kof_import import import_release
from ggez_hub.regions.panel import panel


def year_of(found, year):
    return next(it for it in found.years if it.year == year)


def test_brunei_moves_southeast_asia_and_no_country_of_the_panel_does():
    found = panel("southeast-asia")
    assert found.partial == ("bn", "tl")
    assert found.missing == ()
    assert len(found.members) == 9
    before, entry = year_of(found, 1983), year_of(found, 1984)
    assert (round(before.alpha, 3), round(entry.alpha, 3)) == (0.282, 0.338)
    assert (entry.entered, entry.left) == (("bn",), ())
    # The nine others went down, while the mean went up by 56 thousandths.
    assert entry.panel < before.panel
    assert entry.continuing == entry.panel
    assert before.panel == before.alpha
    assert [b.year for _, b in found.breaks] == [1984, 2002]


def test_every_year_is_what_alpha_gives():
    for region in ("southeast-asia", "world", "m49-150", "south-asia"):
        for year in panel(region, 1999, 2003).years:
            assert year.alpha == pytest.approx(alpha(region, year.year).value, abs=1e-12)


def test_the_panel_is_that_of_the_span():
    assert "bn" in panel("sea", 1984, 2023).members
    assert panel("sea", 1984, 2001).breaks == ()
    assert panel("sea", 1984, 2001).missing == ("tl",)
    late = panel("sea", 2002)
    assert (len(late.members), late.partial, late.missing) == (11, (), ())
    assert all(year.panel == pytest.approx(year.alpha) for year in late.years)


def test_who_leaves_is_marked(user_data, kof_file):
    rows = [
        ("THA", "Thailand", 2021, 30), ("BRN", "Brunei", 2021, 90),
        ("THA", "Thailand", 2022, 40), ("BRN", "Brunei", 2022, ""), ("VNM", "Vietnam", 2022, 20),
    ]  # fmt: skip
    import_release(kof_file(rows), "small")
    found = panel("sea", release="small")
    first, second = found.years
    assert (second.entered, second.left) == (("vn",), ("bn",))
    assert (first.alpha, second.alpha) == (pytest.approx(0.6), pytest.approx(0.3))
    assert (second.continuing, second.panel) == (pytest.approx(0.4), pytest.approx(0.4))
    assert found.members == ("th",)
    assert found.partial == ("bn", "vn")
    assert len(found.missing) == 8


def test_no_group_stands_in_for_a_year_without_a_value():
    found = panel("tl", 2000, 2003)
    assert [year.alpha is None for year in found.years] == [True, True, False, False]
    assert (found.members, found.partial) == ((), ("tl",))
    assert all(year.panel is None for year in found.years)


def test_a_row_of_kofs_has_no_panel():
    found = panel("south-asia", 1990, 1991)
    assert (found.members, found.partial, found.missing) == ((), (), ())
    assert all(year.panel is None and year.median is None for year in found.years)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("sea", 2001, 2000), UsageProblem),
        (("sea", 1969, 2000), UsageProblem),
        (("sea", 2000, 2024), UsageProblem),
        (("kp",), UsageProblem),
        (("nowhere",), UnknownRegion),
    ],
)
def test_what_has_no_series(arguments, kind):
    with pytest.raises(kind):
        panel(*arguments)


def test_the_averages_of_southeast_asia_in_2023():
    found = averages(alpha("southeast-asia"))
    table, people = load_series(), supplement().populations
    values = {key: table.value(key, 2023) for key in find_region("sea").members}
    assert round(found.median, 3) == 0.349
    assert found.median == values["la"] / 100
    total = sum(people[key] for key in values)
    weighted = sum(values[key] * people[key] for key in values) / total / 100
    assert found.population_weighted == pytest.approx(weighted, abs=1e-12)
    # Indonesia has two fifths of the people and the lowest value of all.
    assert min(values, key=values.get) == "id"
    assert found.population_weighted < found.median < alpha("sea").value


def test_averages_of_plain_numbers():
    people = supplement().populations
    found = Averages.of({"th": 10.0, "vn": 30.0})
    share = people["vn"] / (people["th"] + people["vn"])
    assert found.median == pytest.approx(0.2)
    assert found.population_weighted == pytest.approx(0.1 + 0.2 * share)
    assert math.isclose(Averages.of({"th": 37.0}).population_weighted, 0.37)
    # No population, no weight: the others are not weighed without it.
    assert Averages.of({"th": 10.0, "zz": 30.0}).population_weighted is None


def test_averages_of_a_fallback_and_of_a_users_value():
    assert averages(alpha("kp")).members == averages(alpha("m49-030")).members
    assert averages(Alpha.from_user(0.5, "sea")) is None
    assert averages(alpha("south-asia")) is None
    # KOF's row for the world is a mean over countries that are known.
    assert len(averages(alpha("world")).members) > 190
