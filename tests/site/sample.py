"""A site by hand, as the data's contract has it: every state of a country, hostile text, many rows."""

from __future__ import annotations

import json

from PIL import Image

from ggez_hub.charts import site_files

HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    "<svg onload='window.hacked = 1'></svg></script>\u202eabc\u2066 {{ 7 * 7 }} " + "w" * 300
)
PICTURE = "pictures/dot.png"
WORDS, OTHER = "a1" * 8, "b2" * 8
DIGEST = "0f" * 32
# Thailand is better, Laos worse, in Brunei the interval includes 0, Singapore was asked another suite,
# in Timor-Leste an adapter is declared.
PLACES = {
    "th": ("764", "gain", 5.4, WORDS),
    "la": ("418", "loss", -2.5, WORDS),
    "bn": ("096", "no_difference", 0.4, WORDS),
    "sg": ("702", "gain", 3.0, OTHER),
    "tl": ("626", "declared", None, None),
    "us": ("840", None, None, None),
}
NAMES = {
    "th": "Thailand",
    "la": "Laos",
    "bn": "Brunei",
    "sg": "Singapore",
    "tl": "Timor-Leste",
    "us": "United States",
}
GOOD, OTHERS_SUITE, DECLARED, EVIL = "th.vlm.good", "sg.vlm.other", "tl.vlm.declared", "th.vlm.evil"


def curve(suite, split, shift=0.0):
    betas = [0.0, 0.25, 0.5, 0.75, 1.0]
    world = [50 + shift, 49.5, 48, 44, 38]
    region = [20.0, 26, 31, 34, 35]
    spread = {
        f"{end}_{side}": [value + sign * 2 for value in values]
        for side, values in (("global", world), ("regional", region))
        for end, sign in (("low", -1), ("high", 1))
    }
    return {
        "suite": suite, "suite_name": f"suite of {split}" if split == HOSTILE else "words", "split": split,
        "region": "th", "measured_by": "registry", "scale": "choice_4", "betas": betas,
        "q_global": world, "q_regional": region, "q_others": world,
        "error_global": [1.0] * 5, "error_regional": [1.0] * 5, **spread, "covariance": [0.1] * 5,
        "parity_allowed": [True] * 5, "keep_allowed": [True, True, False, False, False],
        "undetermined": {"parity": None, "keep": None}, "excluded": [],
    }  # fmt: skip


def adapter(slug, suite, text="plain"):
    part = {
        "beta": 0.75,
        "score": 40.0,
        "base": 30.0,
        "gain": 5.0,
        "low": 1.0,
        "high": 9.0,
        "n": 400,
    }
    rater = {"value": 60.0, "low": 50.0, "high": 70.0, "undetermined": False}
    return {
        "slug": slug, "title": text, "repo": f"org/{text}", "commit": "c" * 40, "page": "javascript:alert(1)",
        "family": "vlm", "kind": "lora", "base": {"repo": text, "revision": None, "weights": {text: DIGEST}},
        "region": "th", "regions": ["th"], "languages": ["th"], "license": text,
        "licences": [{"role": "data", "what": text, "license": text, "link": "javascript:alert(1)"}],
        "level": "measured", "status": "yanked" if text == HOSTILE else "active", "reason": text, "policy": "parity",
        "alpha": 0.374, "alpha_source": text, "summary": {"en": text}, "runtimes": [text], "bytes": 1000, "card_url": None,
        "gates": [{"name": n, "outcome": n, "text": text} for n in ("pass", "fail", "undetermined")],
        "curves": [curve(suite, "validation"), curve(suite, "test", 1.0)] if suite else [],
        "countries": [{"id": "th", "name": "Thailand", **part}],
        "languages_measured": [{"id": "th", "name": text, **part}],
        "controls": [{"name": text, "text": text, "value": 1.0, "low": 0.5, "high": 1.5}],
        "people": [{"measure": text, "grp": rater}],
        "samples": [{"text": text, "picture": None if text == HOSTILE else PICTURE, "prompt": text, "base_answer": text, "merged_answer": text, "license": text}],
        "provenance": {"files": {text: {"size": 1000, "sha256": DIGEST}}, "data": [{"repo": text}], "filter": {text: [text]}},
        "lock": text, "pull": {"parity": f"ggez-hub pull {text}", "keep": None}, "affected": text,
    }  # fmt: skip


def overview(tables):
    countries, layer = [], {}
    for code, (numeric, state, gain, suite) in PLACES.items():
        country = {
            "id": code, "name": NAMES[code], "numeric": numeric, "alpha": 0.4, "alpha_from": None,
            "chain": [code, "southeast-asia"], "adapters": int(state is not None),
            "languages": [{"id": "th", "name": "Thai", "speakers": 56_000_000}],
            "wanted": {"language": "tts", "name": "Isan", "speakers": 17_000_000},
        }  # fmt: skip
        countries.append(country)
        if state:
            ends = (None, None) if gain is None else (gain - 1, gain + 1)
            layer[code] = {
                "adapter": GOOD, "title": "good", "beta": 0.75, "suite": suite, "measured_by": "registry",
                "gain": gain, "low": ends[0], "high": ends[1], "state": state,
            }  # fmt: skip
    return {
        "version": "1", "built": "2026-01-01", "hub": "hf",
        "index": {"repo": "org/index", "commit": "d" * 40, "number": 7, "date": "2026-01-01", "expires": None, "shipped": None},
        "families": [{"id": "vlm", "name": "vision-language model"}], "policies": ["parity", "keep"],
        "countries": countries,
        "regions": [{"id": "southeast-asia", "name": "Southeast Asia", "alpha": 0.43, "members": ["bn", "la", "sg", "th", "tl"]}],
        "suites": [{"id": WORDS, "name": "words", "family": "vlm", "countries": 3}, {"id": OTHER, "name": "others", "family": "vlm", "countries": 1}],
        "layers": [{"family": "vlm", "policy": policy, "countries": layer} for policy in ("parity", "keep")],
        "tables": tables, "files": [],
    }  # fmt: skip


def country_page(code):
    text = HOSTILE if code == "la" else "plain"
    rows = [
        {
            "slug": slug, "title": text, "family": "vlm", "region": "th", "level": "measured", "license": text, "gated": True,
            "bytes": 1000, "runtimes": [text], "status": "active", "policy": "parity", "suite": WORDS, "measured_by": "registry",
            "gates": [{"name": "gain", "outcome": "pass", "text": text}], "pull": {"parity": f"ggez-hub pull --region {code}", "keep": None},
            "beta": {"parity": 0.75, "keep": 0.25}, "gain": 5.4, "low": 3.7, "high": 7.1,
        }
        for slug in (GOOD, EVIL)
    ]  # fmt: skip
    command = "ggez-hub contribute ADAPTER.safetensors"
    return {
        "id": code,
        "adapters": [] if code == "us" else rows,
        "wanted": {"text": text, "command": command},
    }


def table(rows):
    """Columns of the adapters above and of so many others."""
    named = [GOOD, OTHERS_SUITE, DECLARED, EVIL, *(f"th.vlm.a{n}" for n in range(rows))][:rows]
    spread = {
        "regions": [["th"], ["ph", "southeast-asia"], ["la"]],
        "languages": [["th"], ["fil"], ["lo"]],
        "scripts": [["Thai"], ["Latn"]],
        "family": ["vlm", "embedding", "diffusion"],
        "base": [f"org/base-{n}" for n in range(40)],
        "license": ["mit", "apache-2.0", "cc-by-4.0"],
        "level": ["declared", "measured", "reproducible"],
        "bytes": [10**6, 10**8 + 1, 10**9, None],
        "runtimes": [["peft"], ["peft", "merged"]],
        "gain": [None, 1.5, None],
        "status": ["active"],
    }
    return {
        "slug": named,
        "title": [HOSTILE if slug == EVIL else slug for slug in named],
        "repo": [f"org/{slug}" for slug in named],
        **{name: [values[n % len(values)] for n in range(rows)] for name, values in spread.items()},
    }


def write_site(folder, rows=8):
    """A site in `folder`, which its script shows."""
    every = table(rows)
    parts = [{n: c[at : at + 2000] for n, c in every.items()} for at in range(0, rows, 2000)]
    alpha = {
        "years": list(range(1970, 2024)), "countries": {code: [0.4] * 54 for code in ("th", "la")},
        "series": "KOFIpGIdf", "release": "2025",
    }  # fmt: skip
    data = {
        "overview": overview(len(parts)),
        "alpha": alpha,
        **{f"countries/{code}": country_page(code) for code in PLACES},
        **{f"adapters/table-{n}": part for n, part in enumerate(parts)},
        f"adapters/th/{GOOD}": adapter(GOOD, WORDS),
        f"adapters/th/{EVIL}": adapter(EVIL, WORDS, HOSTILE),
        f"adapters/sg/{OTHERS_SUITE}": adapter(OTHERS_SUITE, OTHER, "other"),
        f"adapters/tl/{DECLARED}": adapter(DECLARED, None, "declared"),
    }
    for path, content in site_files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / PICTURE).parent.mkdir()
    Image.new("RGB", (64, 64), "teal").save(folder / PICTURE)
    for key, value in data.items():
        path = folder / "data" / f"{key}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value).replace("<", "\\u003c")
        path.write_text(f"ggezData({json.dumps(key)},{text});\n")
    return folder
