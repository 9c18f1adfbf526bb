"""Pictures with captions, for retrieval: XM3600, Flickr30k, and any data set of that shape.

The parts of `files` are languages, each with its files, as XM3600 has a split for each.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ggez_hub.evaluation.benchmarks.loaders.base import (
    Captioned,
    Loader,
    Options,
    Source,
    embedded,
    texts,
)


class CaptionOptions(Options):
    """The columns; the captions are a text or a list of them. Without `id` the picture tells.

    `only`: column -> the value that the rows have which are read.
    """

    image: str = "image"
    captions: str = "captions"
    id: str | None = None
    only: dict[str, str] = Field(default_factory=dict)


def _read(source: Source, options: CaptionOptions) -> Iterator[Captioned]:
    columns = {options.image: "image", options.captions: "text or texts"}
    if options.id:
        columns[options.id] = "text or whole"
    columns |= dict.fromkeys(options.only, "text")
    for language in source.parts:
        for row in source.rows(language, columns):
            if any(row[name] != value for name, value in options.only.items()):
                continue
            image, picture = embedded(row[options.image], source)
            own = str(row[options.id]) if options.id else image
            if not own:
                raise row.off(options.image, "has neither bytes nor a path")
            yield Captioned(
                id=f"{language}/{own}",
                image=image or own,
                picture=picture,
                country=None,
                language=language,
                category=None,
                captions=texts(row[options.captions]),
            )


LOADER = Loader("captions", CaptionOptions, _read)
