"""The model card of an export folder: a README.md that a stranger and the Hugging Face hub understand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from a2d_cli.config.schema import Decoding, ModelShape
from a2d_cli.files import fingerprint, write_text
from a2d_cli.project.exported import MANIFEST, Manifest
from a2d_cli.project.score_cache import Result, ScoreCache

CARD = "README.md"
MARK = "\n<!-- by a2d, and renewed by 'a2d score' as long as nobody edits it: {digest} -->\n"
PAPER = "https://arxiv.org/abs/2403.01479"
LIBRARIES = {"ct2": "CTranslate2", "hf": "transformers"}
HUB_METRICS = {"BLEU": "bleu", "chrF2": "chrf", "chrF2++": "chrf", "TER": "ter"}
# The hub's identifiers of licences that corpora have.
HUB_LICENCES = {
    *("apache-2.0", "mit", "odbl", "odc-by", "cc0-1.0"),
    *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}
PIECES = "pieces.json"  # of a tokenizer whose pieces are not numbered by SentencePiece

CT2_NEEDS = "`pip install ctranslate2 sentencepiece`, then:"
CT2_CODE = """\
import unicodedata

import ctranslate2
import sentencepiece

folder = "."  # where this file lies
src = sentencepiece.SentencePieceProcessor(model_file=folder + "/{src}")
tgt = sentencepiece.SentencePieceProcessor(model_file=folder + "/{tgt}")
translator = ctranslate2.Translator(folder)

lines = ["Put your sentences here.", "One by one."]
pieces = src.encode([unicodedata.normalize("NFC", line) for line in lines], out_type=str)
limit = min(int({ratio} * max(map(len, pieces))) + {extra}, {longest})
results = translator.translate_batch(pieces, {options}, max_decoding_length=limit)
for result in results:
    print(tgt.decode(result.hypotheses[0]){rest})"""

HF_NEEDS = "`pip install transformers torch sentencepiece`, then:"
HF_CODE = """\
import unicodedata

from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

folder = "."  # where this file lies, or its name on the hub
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSeq2SeqLM.from_pretrained(folder)

lines = ["Put your sentences here.", "One by one."]
lines = [unicodedata.normalize("NFC", line) for line in lines]
batch = tokenizer(lines, padding=True, truncation=True, return_tensors="pt")
limit = min(int({ratio} * batch["input_ids"].shape[1]) + {extra}, {longest})
results = model.generate(**batch, max_length=limit + 2)  # with the start and the end mark
for translation in tokenizer.batch_decode(results, skip_special_tokens=True):
    print(translation)"""


def write_model_card(folder: Path, manifest: Manifest, cache: ScoreCache) -> bool:
    """README.md of an export folder, with the scores of these weights that were translated with its settings.

    Returns:
        Whether it is up to date: one that somebody has edited is left as it is.
    """
    latest: dict[tuple[str, str], Result] = {}  # of a model and a test set: the text may have been another once
    for result in sorted(cache.of_weights(manifest.weights_sha256), key=lambda each: each.translated_at):
        if result.decoding == manifest.decoding:
            latest[result.model, result.test_set] = result
    text = model_card(manifest, list(latest.values()))
    path = folder / CARD
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == (text := f"{text}{_mark(text)}"):
        return True
    own, _, _ = found.rpartition(MARK.partition("{")[0])
    if found and found != f"{own}{_mark(own)}":
        return False
    write_text(path, text)
    return True


def _mark(text: str) -> str:
    """Invisible where the card is shown, it tells whether the text above is still a2d's own."""
    return MARK.format(digest=fingerprint(text))


def model_card(manifest: Manifest, scores: Sequence[Result]) -> str:
    """The text of README.md.

    Args:
        manifest: what its `data`, `teacher` and `checks` hold is told under the names it has there; the
            `licence` in `data` also to the hub.
        scores: of this model.
    """
    sections = {
        "Use": _use(manifest),
        "Data and licence": _data(manifest.data),
        "Scores": _scores(scores),
        "How this folder was checked": _checks(manifest),
        "Limits": _limits(manifest),
    }
    title = f"# {manifest.name}: {manifest.pair.replace('-', ' to ')}"
    texts = [_front_matter(manifest, scores), title, _summary(manifest)]
    texts += [f"## {heading}\n\n{text}" for heading, text in sections.items()]
    return "\n\n".join(texts) + "\n"


def _front_matter(manifest: Manifest, scores: Sequence[Result]) -> str:
    tags = {
        "knowledge-distillation": bool(manifest.teacher),
        "align-to-distill": "a2d" in manifest.method,
        manifest.quantization: manifest.to == "ct2",
    }
    metrics = {HUB_METRICS[score["name"]] for result in scores for score in result.scores}
    values = {
        "language": manifest.pair.split("-"),
        "license": _hub_licence(manifest.data.get("licence") or ""),
        "library_name": LIBRARIES[manifest.to].lower(),
        "pipeline_tag": "translation",
        "tags": ["translation", *(tag for tag, holds in tags.items() if holds)],
        **({"metrics": sorted(metrics)} if metrics else {}),
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---"


def _hub_licence(licence: str) -> str:
    """`CC BY 2.0 (tatoeba.org)` -> `cc-by-2.0`; what is not one licence of the hub's list -> `other`."""
    identifier = "-".join(licence.partition("(")[0].lower().split())
    return identifier if identifier in HUB_LICENCES else "other"


def _summary(manifest: Manifest) -> str:
    shape = ModelShape(**manifest.shape)
    what = "A small Transformer" if manifest.kind == "student" else "A Transformer"
    direction, library = manifest.pair.replace("-", " to "), LIBRARIES[manifest.to]
    size = (
        f"{manifest.parameters / 1e6:.2f} million parameters, stored as {manifest.quantization}: "
        f"{shape.encoder_layers} encoder and {shape.decoder_layers} decoder layers ({shape.norm}-norm), "
        f"width {shape.d_model}, {shape.num_heads} heads, feed-forward width {shape.ffn_dim}"
    )
    sentences = [f"{what} that translates {direction}, in the format of {library}.", f"It has {size}."]
    if manifest.teacher:
        sentences.append(f"It is the student of a teacher ({'; '.join(_facts(manifest.teacher))}).")
    if manifest.method:
        seed = "" if manifest.seed is None else f", seed {manifest.seed}"
        sentences.append(f"It was trained with a2d {manifest.a2d}, method `{manifest.method}`{seed}.")
    if "a2d" in manifest.method:
        sentences.append(f"Its attention was aligned with the teacher's ([Align-to-Distill]({PAPER})).")
    return " ".join(sentences)


def _use(manifest: Manifest) -> str:
    decoding = Decoding(**manifest.decoding)
    limits = {
        "ratio": decoding.max_length_ratio,
        "extra": decoding.max_length_extra,
        "longest": manifest.shape["max_positions"] - 1,
    }
    if manifest.to == "hf":
        return f"{HF_NEEDS}\n\n```python\n{HF_CODE.format(**limits)}\n```"
    src, *others = sorted(name for name in manifest.files if name.startswith("spm."))
    options = {
        "beam_size": decoding.beam,
        "length_penalty": decoding.length_penalty,
        "no_repeat_ngram_size": decoding.no_repeat_ngram,
        "max_input_length": _longest_source(manifest) + 1,  # with the end mark, which CTranslate2 adds
    }
    code = CT2_CODE.format(
        **limits,
        src=src,
        tgt=others[0] if others else src,
        options=", ".join(f"{name}={value}" for name, value in options.items()),
        # Some pieces of a list are unknown to tgt, which leaves them as they are.
        rest='.replace("\\u2581", " ").strip()' if PIECES in manifest.files else "",
    )
    return f"{CT2_NEEDS}\n\n```python\n{code}\n```"


def _longest_source(manifest: Manifest) -> int:
    """Tokens, without the end mark."""
    return min(manifest.decoding["max_source_tokens"], manifest.shape["max_positions"] - 1)


def _data(data: Mapping[str, Any]) -> str:
    if not any(data.values()):
        return "Not known to a2d: the model was not trained in the project that it was exported from."
    return (
        f"{_list(data)}\n\n"
        "The licence named here is that of the training text; a2d adds no condition of its own. Whether it "
        "allows what you do with a model made from that text is for you to see to."
    )


def _scores(scores: Sequence[Result]) -> str:
    if not scores:
        return "No test set was scored before this export."
    names = list(dict.fromkeys(score["name"] for result in scores for score in result.scores))
    rows = [["model", "test set", "sentences", *names, "beam", "sentences/s", "engine", "on"]]
    for result in scores:
        values = {score["name"]: f"{score['value']:.2f}" for score in result.scores}
        cells = [result.model, result.test_set, result.sentences]
        cells += [values.get(name, "–") for name in names]
        cells += [result.decoding["beam"], result.speed_text, result.engine, result.machine]
        rows.append([str(cell) for cell in cells])
    rows.insert(1, ["---"] * len(rows[0]))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    signatures = dict.fromkeys(
        f"- `{score['name']}|{score['signature']}`" for result in scores for score in result.scores
    )
    return f"{table}\n\nsacrebleu's signatures:\n\n" + "\n".join(signatures)


def _checks(manifest: Manifest) -> str:
    facts = {**manifest.checks, "alignment head": manifest.alignment_head, "versions": manifest.versions}
    return f"{_list(facts)}\n\n`{MANIFEST}` holds the SHA-256 of every file and of the exported weights."


def _limits(manifest: Manifest) -> str:
    limits = [
        f"One sentence at a time, of at most {_longest_source(manifest)} tokens; what is longer is cut.",
        "Names, numbers and text unlike that named above may come out wrong or repeated, or be left out.",
        "The scores hold for the test sets they name.",
        "Text must be as in training: Unicode NFC, no invisible characters. `a2d translate` sees to that.",
        "`a2d translate` limits a translation's length by its own sentence, the code above by the longest one.",
    ]
    if manifest.to == "hf":
        limits.append(
            "Marian's tokenizer leaves out what it does not know, where `a2d translate` prints ⁇, and takes "
            "`>>word<<` at the start of a line for a language."
        )
    elif PIECES in manifest.files:
        limits.append("A `>>word<<` at the start of a line names a language in `a2d translate`, not in the code above.")
    return "\n".join(f"- {limit}" for limit in limits)


def _list(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"- {fact}" for fact in _facts(facts)) or "- nothing is recorded"


def _facts(values: Mapping[str, Any]) -> Iterator[str]:
    """One `name: value` each but of None; of what is nested, the names one after the other."""
    for key, value in values.items():
        if value is None:
            continue
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            yield from (f"{name}, {fact}" for fact in _facts(value))
        elif isinstance(value, (list, tuple)):
            yield f"{name}: {', '.join(map(_shown, value))}"
        else:
            yield f"{name}: {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
