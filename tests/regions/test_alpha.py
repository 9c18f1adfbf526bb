import pytest

from ggez_hub.errors import UsageProblem
from ggez_hub.regions import Alpha, alpha, find_region
from ggez_hub.regions.kof import load_series

TEN = ("bn", "id", "kh", "la", "mm", "my", "ph", "sg", "th", "vn")

# Columns of the paper's table 16 by what they are here; SEA is the mean of ten.
TABLE_16 = {
    "EAP": "east-asia-pacific",
    "ECA": "europe-central-asia",
    "LAC": "latin-america-caribbean",
    "MENA": "middle-east-north-africa",
    "NA": "north-america",
    "SA": "south-asia",
    "SSA": "sub-saharan-africa",
    "World": "world",
}


def mean_of_ten(year):
    table = load_series()
    return sum(table.value(key, year) for key in TEN) / len(TEN)


def test_the_papers_ten_and_our_eleven():
    assert round(mean_of_ten(2023), 4) == 43.4014
    factor = alpha("southeast-asia")
    assert (factor.year, factor.series, factor.release) == (2023, "KOFIpGIdf", "2025")
    assert round(100 * factor.value, 2) == 43.37
    assert set(factor.members) == {*TEN, "tl"}
    assert (factor.missing, factor.fallback, factor.provenance) == ((), None, "kof")


def test_thailand():
    factor = alpha("th")
    assert round(factor.value, 5) == 0.37397
    assert factor.members == ("th",)


def test_alpha_moves_with_the_year():
    assert round(100 * alpha("sea", 1993).value, 2) == 36.04
    assert round(100 * alpha("sea", 2018).value, 2) == 46.21
    assert "tl" in alpha("sea", 1993).missing


def test_table_16_follows_from_the_shipped_table_in_all_cells(paper_tables):
    table = paper_tables["16"]
    cells = 0
    for year, row in table["rows"].items():
        for column, printed in zip(table["columns"], row, strict=True):
            if column == "SEA":
                ours = mean_of_ten(int(year))
            else:
                ours = 100 * alpha(TABLE_16[column], int(year)).value
            assert ours == pytest.approx(printed, abs=0.00501), (year, column)
            cells += 1
    assert cells == 279


@pytest.mark.parametrize(
    ("region", "kofs_value"),
    [("ro", 60.326), ("cd", 15.1517), ("ad", 96.6893), ("tl", 43.0556), ("ps", 62.0025)],
)
def test_countries_under_outdated_codes_are_found(region, kofs_value):
    assert alpha(region).value == pytest.approx(kofs_value / 100)
    assert alpha(region).fallback is None


@pytest.mark.parametrize(
    ("region", "group"),
    [("kp", "m49-030"), ("so", "m49-014"), ("tm", "m49-143"), ("tw", "m49-030"), ("xk", "m49-039")],
)
def test_a_country_without_a_value_takes_the_nearest_groups(region, group):
    factor = alpha(region)
    assert factor.fallback == group
    assert factor.region == region
    assert region in factor.missing
    assert region not in factor.members
    assert factor.value == alpha(group).value


def test_in_southeast_asia_the_fallback_is_southeast_asia():
    assert alpha("tl", 1993).fallback == "southeast-asia"


def test_the_world_is_kofs_row_and_the_mean_over_all_countries():
    factor = alpha("world")
    table = load_series()
    values = [table.value(key, 2023) for key in find_region("world").members]
    known = [value for value in values if value is not None]
    assert (factor.members, factor.missing) == ((), ())
    assert factor.value == pytest.approx(sum(known) / len(known) / 100, abs=1e-6)


def test_another_series():
    assert alpha("th", series="KOFGI").value != alpha("th").value


@pytest.mark.parametrize(
    "arguments",
    [{"year": 1969}, {"year": 2024}, {"series": "KOFXX"}, {"release": "1999"}],
)
def test_what_is_not_there_is_refused(arguments):
    with pytest.raises(UsageProblem):
        alpha("th", **arguments)


def test_a_users_own_value():
    factor = Alpha.from_user(0.5, "Thailand")
    assert (factor.value, factor.region, factor.provenance) == (0.5, "th", "user")
    assert factor.series is None
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageProblem):
            Alpha.from_user(wrong, "th")


def test_the_json_has_the_promised_keys():
    assert list(alpha("th").as_dict()) == [
        "region",
        "alpha",
        "year",
        "series",
        "release",
        "members",
        "missing",
        "fallback",
    ]
