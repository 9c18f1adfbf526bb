import pytest

from ggez_hub.regions import (
    UnknownRegion,
    fallback_chain,
    find_region,
    groups,
    language_reading,
    languages,
    spelled_out,
)
from ggez_hub.regions.catalogue import catalogue

# The countries that the paper names.
PAPERS_ELEVEN = {"bn", "id", "kh", "la", "mm", "my", "ph", "sg", "th", "tl", "vn"}


def test_southeast_asia_is_the_papers_eleven():
    region = find_region("southeast-asia")
    assert set(region.members) == PAPERS_ELEVEN
    assert region is find_region("sea") is find_region("m49-035")


def test_countries_are_iso_3166_1_and_kosovo():
    countries = {region.id for region in catalogue().values() if region.is_country}
    assert len(countries) == 249 + 1
    assert "xk" in countries
    # Reserved codes, obsolete codes and groupings of CLDR are no countries.
    assert countries.isdisjoint({"ac", "ea", "cq", "uk", "an", "su", "eu", "un", "qo"})


def test_every_country_is_in_the_world_and_in_one_continent():
    countries = {region.id for region in catalogue().values() if region.is_country}
    assert set(find_region("world").members) == countries
    continents = [
        find_region(f"m49-{code}").members for code in ("002", "009", "019", "142", "150")
    ]
    assert sorted(member for members in continents for member in members) == sorted(countries)


def test_world_bank_regions_say_that_their_members_are_unknown():
    unknown = {group.id for group in groups() if not group.members}
    assert unknown == {
        "east-asia-pacific",
        "europe-central-asia",
        "latin-america-caribbean",
        "middle-east-north-africa",
        "north-america",
        "south-asia",
        "sub-saharan-africa",
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("th", "th"),
        (" TH ", "th"),
        ("THA", "th"),
        ("Thailand", "th"),
        ("ไทย", "th"),
        ("Tailandia", "th"),
        ("Vietnam", "vn"),
        ("Viet Nam", "vn"),
        ("Việt Nam", "vn"),
        ("Laos", "la"),
        ("ລາວ", "la"),
        ("Burma", "mm"),
        ("Myanmar", "mm"),
        ("កម្ពុជា", "kh"),
        ("uk", "gb"),
        ("Southeast Asia", "southeast-asia"),
        ("South East Asia", "southeast-asia"),
        ("Europe & Central Asia", "europe-central-asia"),
        ("Asia", "m49-142"),
        ("142", "m49-142"),
        ("WORLD", "world"),
    ],
)
def test_regions_are_found_by_what_people_write(asked, found):
    assert find_region(asked).id == found


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("thailnd", "th"),
        ("Tailandya", "th"),
        ("south-east-asian", "southeast-asia"),
        ("DR Congo", "cd"),
        ("fil", "ph"),
        ("ko", "kr"),
        ("ja", "jp"),
    ],
)
def test_an_unknown_region_offers_what_is_near(asked, near):
    with pytest.raises(UnknownRegion) as caught:
        find_region(asked)
    assert near in caught.value.near
    assert near in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("asked", ["", "xx", "indiana", "Netherlands Antilles", "m49-999", "EU"])
def test_what_is_no_region_is_not_guessed(asked):
    with pytest.raises(UnknownRegion):
        find_region(asked)


@pytest.mark.parametrize(
    ("region", "meant"),
    [
        ("vi", "vn"),
        ("my", "mm"),
        ("tl", "ph"),
        ("km", "kh"),
        ("ms", "my"),
        ("sa", "in"),
        ("na", "nr"),
        ("sv", "se"),
        ("be", "by"),
    ],
)
def test_a_code_that_is_another_countrys_language_offers_that_country(region, meant):
    found = find_region(region)
    assert language_reading(found).official_in[0] == meant
    line = spelled_out(found)
    assert line.startswith(f"{region} is {found.name}, a region;")
    assert f"{meant} ({find_region(meant).name})" in line


def test_codes_that_cannot_be_mistaken_are_spelled_out_shortly():
    assert spelled_out(find_region("jp")) == "jp is Japan"
    assert spelled_out(find_region("th")) == (
        "th is Thailand (the language th is Thai, official there)"
    )
    assert spelled_out(find_region("la")).endswith(
        "the language la is Latin, official in no country"
    )
    assert "ua (Ukraine)" in spelled_out(find_region("uk"), "uk")


@pytest.mark.parametrize(
    ("region", "narrow", "wide"),
    [
        ("th", ["th", "southeast-asia"], ["m49-142", "world"]),
        ("southeast-asia", ["southeast-asia"], ["m49-142", "world"]),
        ("jp", ["jp"], ["m49-030", "m49-142", "world"]),
        ("ke", ["ke"], ["m49-014", "m49-202", "m49-002", "world"]),
        ("aq", ["aq"], ["m49-009", "world"]),
        ("south-asia", ["south-asia"], ["world"]),
        ("world", ["world"], []),
    ],
)
def test_the_fallback_chain_goes_outward(region, narrow, wide):
    assert [it.id for it in fallback_chain(region)] == narrow
    assert [it.id for it in fallback_chain(region, wide=True)] == narrow + wide


def test_languages_are_tags_with_shares():
    thai = languages("th")[0]
    assert (thai.tag, thai.name, thai.official_in) == ("th", "Thai", ("th",))
    assert 50 < thai.percent <= 100
    assert "zh-Hant" in {language.tag for language in languages("th")}
    assert {language.tag for language in languages("ph") if language.official_in} == {"en", "fil"}
    assert languages("south-asia") == ()


def test_the_share_in_a_group_is_weighted_by_population():
    share = next(it.percent for it in languages("sea") if it.tag == "vi")
    at_home = next(it.percent for it in languages("vn") if it.tag == "vi")
    assert 0.1 * at_home < share < 0.2 * at_home


def test_every_region_has_a_name_and_sound_languages():
    for region in catalogue().values():
        assert region.name
        assert region.name != region.id
        assert all(0 <= language.percent <= 100 for language in languages(region))
