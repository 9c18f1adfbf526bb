"""Files of SEA-HELM in exactly its shapes, as they were read in aisingapore/SEA-HELM.

seahelm_tasks/vision at 3780e96 (xm3600's config.yaml at cc8e95a); runs as src/seahelm_evaluation.py at
36a4d92 writes them, with the rows that src/aggregation/file_utils.py at 0621b36 reads.
"""

from __future__ import annotations

import json

import datasets
import yaml

from tests.evaluation.benchmarks import CVQA, TEXT, TEXTS, WHOLE, cvqa_rows, image, png, write

CVQA_ID = """\
cvqa:
  metadata:
    version: 1
  name: cvqa
  competency: vision
  task_modality: vision
  metric_file: src/metrics/f1_acc_metric.py
  metric_class: F1AccMetric
  dataloader_file: seahelm_tasks/vision/cvqa/cvqa_dataloader.py
  dataloader_class: CVQADataloader
  metric: normalized_accuracy
  fewshot_num_examples:
    instruct: 0
    base:
  languages:
    tl:
      filepath: afaji/cvqa
      example_filepath:
      max_tokens: 32
      prompt_template:
        preamble: |-
          Sumagot gamit ang sumusunod na format:
          "{answer_tag} ANSWER"
          Palitan ang ANSWER ng napiling sagot. Gumamit lang ng titik A, B, C, o D sa sagot mo.
        task_template: |-
          Tanong: {question}
          A: {option_a}
          B: {option_b}
          C: {option_c}
          D: {option_d}
        answer_template: |-
          {answer_tag} {label}
        answer_tag: "Sagot:"
"""
CUISINES = """\
world_cuisine_task1:
  metadata:
    version: 1
  name: world_cuisine_task1
  competency: vision
  metric_class: F1AccMetric
  aggregation_group: world_cuisine
  metric: normalized_accuracy
  languages:
    id:
      filepath: worldcuisines/vqa-v1.1
      example_filepath:
      max_tokens: 32
      prompt_template:
        preamble: |-
          Jawablah hanya dengan menggunakan format berikut ini:
          "{answer_tag} ANSWER"
        task_template: |-
          Pertanyaan: {question}
          A: {option_a}
          B: {option_b}
          C: {option_c}
          D: {option_d}
          E: {option_e}
        answer_template: |-
          {answer_tag} {label}
        answer_tag: "Jawaban:"
"""
MARVL = """\
marvl:
  metadata:
    version: 1
  name: marvl
  competency: vision
  metric_class: F1AccMetric
  metric: normalized_accuracy
  languages:
    # en: is commented out there
    id:
      filepath: floschne/marvl
      example_filepath:
      max_tokens: 1024
      prompt_template:
        preamble: |-
          Berdasarkan gambar-gambar ini, apakah hipotesis yang diberikan Benar atau Salah?

          Berikan jawaban Anda menggunakan format berikut:
          "{answer_tag} ANSWER"
          Ganti ANSWER dengan Benar atau Salah.
        task_template: |-
          Hipotesis:
          {hypothesis}
        answer_template: |-
          {answer_tag} {label}
        answer_tag: "Jawaban:"
"""
XM3600 = """\
xm3600:
  metadata:
    version: 1
  name: xm3600
  competency: vision
  metric_class: RefClipScoreMetric
  metric: normalized_refclipscore
  use_judges: true
  judge:
    judge_model_name: laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k
    judge_model_type: openclip
  languages:
    tl:
      filepath: floschne/xm3600
      example_filepath:
      max_tokens: 1024
      prompt_template:
        preamble: |-
          Gumawa ng image caption na isang pangungusap lamang para sa ibinigay na lawaran.
        task_template: ""
        answer_template: |-
          {answer_tag} {label}
        answer_tag: "Caption:"
"""
CONFIGS = {"cvqa": CVQA_ID, "world_cuisine": CUISINES, "marvl": MARVL, "xm3600": XM3600}
V1_1 = {
    **dict.fromkeys(("qa_id", "lang", "food_id", "prompt_id"), TEXT), "prompt_type": WHOLE,
    **dict.fromkeys(("image_url", "task", "lang_status", "image_path", "question"), TEXT),
    "options": TEXTS, "mcq_answer_index": WHOLE, "answer": TEXT,
}  # fmt: skip
PICTURES = ("left_img", "right_img", "resized_left_img", "resized_right_img",
            "vertically_stacked_img", "horizontally_stacked_img")  # fmt: skip
PAIRS = {
    "id": TEXT, "language": TEXT, "chapter": TEXT, "concept": TEXT, "hypothesis": TEXT,
    "hypo_en": TEXT, "label": datasets.Value("bool"), "left_img_id": TEXT, "right_img_id": TEXT,
    **dict.fromkeys(PICTURES, datasets.Image()),
}  # fmt: skip


def write_task_files(folder):
    """seahelm_tasks/vision, with a loader in Python that is never run."""
    for name, text in CONFIGS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.yaml").write_text(text)
        (folder / name / f"{name}_dataloader.py").write_text("raise SystemExit")
    return folder


def write_data(folder):
    """The data sets, as OWNER/NAME."""
    path = folder / "afaji" / "cvqa" / "data" / "test-00000-of-00001.parquet"
    write(path, CVQA, cvqa_rows(30))
    cuisines = folder / "worldcuisines" / "vqa-v1.1"
    rows = [
        {
            "qa_id": f"qa{row}", "lang": "id_formal" if row < 20 else "th", "food_id": f"f{row // 2}",
            "prompt_id": "p", "prompt_type": (1, 2, 3, 4)[row // 5 % 4], "image_url": "https://x/",
            "task": "task1", "lang_status": "main", "image_path": f"images/{row}.png",
            "question": f"Apa nama hidangan {row}?", "options": [f"{row} {o}" for o in "abcde"],
            "mcq_answer_index": row % 5, "answer": f"{row} {'abcde'[row % 5]}",
        }
        for row in range(25)
    ]  # fmt: skip
    write(cuisines / "task1" / "test_large-00000-of-00001.parquet", V1_1, rows)
    (cuisines / "images").mkdir()
    for row in range(25):
        (cuisines / "images" / f"{row}.png").write_bytes(png(row))
    rows = [
        {
            "id": f"id-{row}", "language": "id", "chapter": "Music", "concept": f"gong {row // 2}",
            "hypothesis": f"Ada {row} gong.", "hypo_en": f"There are {row} gongs.",
            "label": row % 5 == 0, "left_img_id": "a", "right_img_id": "b",
            **dict.fromkeys(PICTURES, image(row)),
        }
        for row in range(12)
    ]  # fmt: skip
    write(folder / "floschne" / "marvl" / "data" / "id-00000-of-00001.parquet", PAIRS, rows)
    return folder


def run_rows(name, language, number, n=40):
    """Rows as a run writes them; whether one is right follows from its place and the run."""
    rows = []
    for place in range(n):
        label = "ABCD"[place % 4]
        right = (place * 7 + number * (1 + place % 3)) % 5 < 3
        reply = (
            f"Sagot: {label}" if right else ("Sagot: " + "BCDA"[place % 4] if place % 2 else None)
        )
        row = {
            "id": f"{1000 + place // 2}_{place % 2}",
            "label": label,
            "metadata": {"category": "Cooking and food", "language": language},
            "prompts": [{"question": f"Ano ito, {place}?", "option_a": "a"}],
            "conversations": [{"role": "user", "content": [{"type": "image_url", "image_url": "IMAGE"}]}],
            "responses": [reply],
            "errors": [None],
            "cleaned_responses": label if right else "null",
            "individual_scores": {"normalized_accuracy": int(right)},
        }  # fmt: skip
        if name == "world_cuisine_task1":
            row |= {"id": f"qa{place}", "metadata": {"food_id": f"f{place // 2}", "prompt_type": 1}}
        if name == "xm3600":
            del row["label"]
            score = 30.0 + place % 11 + number
            row |= {"id": f"pic{place}", "responses": ["Caption: isang pusa"],
                    "captions": ["Isang pusa."], "individual_scores": {"refclipscore": score}}  # fmt: skip
        rows.append(row)
    return rows


def write_runs(folder, count=8, names=("cvqa", "world_cuisine", "xm3600"), bonus=0, n=40):
    """OUTPUT_DIR/MODEL; `bonus` are rows from the first that are right in every run."""
    tasks = {}
    for name in names:
        tasks |= yaml.safe_load(CONFIGS[name])
    # A text task of every real run, and a probing one that is not read.
    tasks["sentiment"] = {
        "competency": "nlu",
        "metric": "normalized_accuracy",
        "languages": {"th": {}},
    }
    for number in range(count):
        run = folder / f"run_{number}"
        for part in ("inferences", "results", "configs", "logs"):
            (run / part).mkdir(parents=True)
        config = {
            "tasks": tasks, "seed": 1234 + number, "run_number": number,
            "run_env": {"env_info": "Python 3.12", "seahelm_git_hash": "6844e6c"},
            "run_args": {"model_name": f"org/{folder.name}", "skip_task": [], "limit": None},
        }  # fmt: skip
        place = (
            run / "configs" / f"{folder.name}_run_config_2026-01-0{number + 1}T10:00:00.000001.yaml"
        )
        place.write_text(yaml.safe_dump(config, allow_unicode=True))
        for name, entry in tasks.items():
            for language in entry["languages"] if name != "sentiment" else ():
                rows = run_rows(name, language, number, n)
                for row in rows[:bonus]:
                    row["individual_scores"] = dict.fromkeys(
                        row["individual_scores"], 1 if "label" in row else 90.0
                    )
                place = run / "inferences" / language / entry.get("aggregation_group", name)
                place.mkdir(parents=True, exist_ok=True)
                text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                (place / f"{folder.name}_{name}_{language}.jsonl").write_text(text)
    return folder
