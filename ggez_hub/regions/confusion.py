"""Region ids that are also language codes, spelled out so that the two cannot be mistaken."""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.regions.catalogue import Region, catalogue

SHOWN = 3


@dataclass(frozen=True, slots=True)
class LanguageReading:
    """What a region's code means as a BCP 47 language.

    official_in has the countries where that language is official, most speakers first.
    """

    code: str
    language: str
    official_in: tuple[str, ...]


def language_reading(region: Region, asked: str | None = None) -> LanguageReading | None:
    """The language that the code of `region` also is, or None.

    `asked` is what the user wrote, where that is another code: `uk` finds the United Kingdom, and
    is Ukrainian. Computed from CLDR's languages and their official status.
    """
    if not region.is_country:
        return None
    from ggez_hub.regions.names import current_language, language_name
    from ggez_hub.regions.official import official_countries

    for code in ((asked or region.id).strip().lower(), region.id):
        language = language_name(code)
        if language is not None:
            return LanguageReading(code, language, official_countries(current_language(code)))
    return None


def spelled_out(region: Region, asked: str | None = None) -> str:
    """One line that says which region this is, and which language its code must not be taken for.

    The countries where that language is official are offered by their ids.
    """
    line = f"{region.id} is {region.name}"
    reading = language_reading(region, asked)
    if reading is None:
        return line
    language = f"the language {reading.code} is {reading.language}"
    if region.id in reading.official_in:
        return f"{line} ({language}, official there)"
    others = [f"{key} ({catalogue()[key].name})" for key in reading.official_in[:SHOWN]]
    return f"{line}, a region; {language}, official in {', '.join(others) or 'no country'}"
