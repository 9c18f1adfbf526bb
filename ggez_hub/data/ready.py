"""Mappings of well-known corpora and benchmarks, by name.

SEA-VL: https://huggingface.co/datasets/SEACrowd/sea-vl_crowdsourcing and .../sea-vl_crawling;
CulturalGround: neulab/CulturalGround; CVQA: afaji/cvqa; WorldCuisines: worldcuisines/vqa and
worldcuisines/vqa-v1.1.
"""

from __future__ import annotations

from types import MappingProxyType

from ggez_hub.data.mapping import Choice, Constant, Mapping, View

READY = MappingProxyType(
    {
        "sea-vl-crowdsourcing": Mapping(
            id="id",
            picture="image",
            country="culture_relevant_loc",
            location="culture_relevant_loc",
            scores={
                "cultural_relevance": "avg_cultural_relevance",
                "caption_fit": "avg_caption_fit",
                "image_quality": "avg_img_quality",
            },
            examples=[
                View(format="caption", name="en", answer="caption", language=Constant(value="en")),
                View(
                    format="caption",
                    name="native",
                    answer="caption_native_lang",
                    language="native_lang",
                ),
            ],
        ),
        # Neither an id nor a country: the crawl is of the region as a whole.
        "sea-vl-crawling": Mapping(
            picture="image",
            category="category",
            examples=[
                View(format="caption", answer="caption", each=True, language=Constant(value="en"))
            ],
        ),
        # The language does not tell the country: pictures lie in a folder for each country.
        "cultural-ground": Mapping(
            id="id",
            picture="image",
            country_in_path="image",
            path="image",
            examples=[View(format="chat", turns="conversations", language="language")],
        ),
        "cvqa": Mapping(
            id="ID",
            picture="image",
            country="Subset",
            category="Category",
            examples=[
                View(
                    format="multiple_choice",
                    name="local",
                    question="Question",
                    options="Options",
                    choice=Choice(column="Label", base=0),
                    language="Subset",
                ),
                View(
                    format="multiple_choice",
                    name="en",
                    question="Translated Question",
                    options="Translated Options",
                    choice=Choice(column="Label", base=0),
                    language=Constant(value="en"),
                ),
            ],
        ),
        "world-cuisines": Mapping(
            id="qa_id",
            picture="image_url",
            category=Constant(value="cuisine"),
            examples=[
                View(
                    format="multiple_choice",
                    question="multi_choice_prompt",
                    choice=Choice(column="multi_choice_answer", base=1, count=5),
                    language="lang",
                ),
                View(
                    format="open_ended",
                    question="open_ended_prompt",
                    answer="answer",
                    language="lang",
                ),
            ],
        ),
        "world-cuisines-1.1": Mapping(
            picture="image_path",
            category=Constant(value="cuisine"),
            examples=[
                View(
                    format="multiple_choice",
                    question="question",
                    options="options",
                    choice=Choice(column="mcq_answer_index", base=0),
                )
            ],
        ),
    }
)
