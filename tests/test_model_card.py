"""The model card: its code runs as it stands, and it tells the hub and people what the manifest knows."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from small_tokenizers import KINDS, PAIRS, small_tokenizer
from tiny import tiny_model

from a2d_cli.config.schema import Decoding, ModelShape
from a2d_cli.data.batching import SpecialIds
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.decoding.translator import Translator
from a2d_cli.export.huggingface import write_huggingface
from a2d_cli.export.model_card import model_card, write_model_card
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.checkpoint import load_checkpoint
from a2d_cli.project.exported import Manifest
from a2d_cli.project.score_cache import Result, ScoreCache

SHAPE = ModelShape(d_model=10, num_heads=5, ffn_dim=13, encoder_layers=2, decoder_layers=3, max_positions=61)
DECODING = Decoding(beam=3, length_penalty=0.9, max_source_tokens=31)
MANIFEST = Manifest(
    to="hf",
    quantization="float32",
    created="2026-01-02T03:04:05+00:00",
    a2d="0.3.0",
    pair="de-dsb",
    name="a2d-diagonal",
    kind="student",
    method="a2d-diagonal",
    seed=7,
    parameters=5_310_000,
    weights_sha256="ab" * 32,
    tokenizer="0123456789abcdef",
    shape=asdict(SHAPE),
    decoding=asdict(DECODING),
    data={
        "recipe": "wmt22-dedsb",
        "licence": "CC BY-NC-SA 4.0",
        "training_pairs": 40194,
        "fingerprint": None,
    },
    teacher={"name": "teacher", "weights_sha256": "cd" * 32},
    checks={"checked": True, "max_log_prob_difference": 1.9073e-06, "gate": {"chrF2": [51.25, 51.0]}},
    files={"model.safetensors": "ef" * 32},
)
RESULT = Result(
    key="0",
    model="a2d-diagonal int8",
    test_set="wmt25_dev",
    translated_at="2026-01-02T03:04:05+00:00",
    hypotheses="h",
    hypotheses_sha256="",
    src_sha256="",
    tgt_sha256="",
    weights_sha256="ab" * 32,
    parameters=5_310_000,
    file_bytes=5_400_000,
    decoding=asdict(DECODING),
    sentences=2638,
    translation_s=13.19,
    machine="cpu, 2 threads",
    a2d="0.3.0",
    engine="ct2 4.8.5",
    scores=[
        {"name": "BLEU", "value": 41.237, "signature": "nrefs:1|case:mixed|tok:13a|version:2.6.0"},
        {"name": "chrF2", "value": 66.5, "signature": "nrefs:1|case:mixed|nc:6|version:2.6.0"},
    ],
)


def front_matter(card: str) -> dict:
    _, header, _ = card.split("---\n", 2)
    return yaml.safe_load(header)


def section(card: str, title: str) -> str:
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip()


def code_of(card: str) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return code


def run(code: str, lines: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path, capsys) -> list[str]:
    """What the code prints in the folder, for other lines than its own."""
    code, count = re.subn(r"^lines = \[\".*$", lambda _: f"lines = {lines!r}", code, flags=re.MULTILINE)
    assert count == 1 and "a2d" not in code
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    return capsys.readouterr().out.split("\n")[:-1]


# --- the code


@pytest.fixture(scope="module")
def teacher(taught: Path) -> tuple[Transformer, Tokenizer, list[str]]:
    """One that knows its language, and sentences of it."""
    found = load_checkpoint(taught / "runs" / "teacher")
    lines = (taught / "data" / "text" / "test.de").read_text(encoding="utf-8").splitlines()
    return found.model, found.tokenizer, lines[:23]


def translations(model: Transformer, tokenizer: Tokenizer, lines: list[str]) -> list[str]:
    engine = TorchEngine(model, SpecialIds.of(tokenizer))
    return [found[0].text for found in Translator(engine, tokenizer, DECODING).translate(lines)]


def test_the_code_for_transformers_translates_as_a2d_does(teacher, tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    model, tokenizer, lines = teacher
    write_huggingface(model, tokenizer, "de-en", tmp_path, DECODING)
    printed = run(code_of(model_card(MANIFEST, [])), lines, monkeypatch, tmp_path, capsys)
    expected = translations(model, tokenizer, lines)
    assert len(printed) == len(expected) and sum(map(str.__eq__, printed, expected)) >= len(lines) - 1


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_the_code_for_transformers_takes_lines_of_any_length(norm: str, tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    tokenizer = small_tokenizer("joint")
    model = tiny_model(replace(SHAPE, norm=norm), Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size))
    decoding = replace(DECODING, max_source_tokens=512)  # more than the model takes
    manifest = replace(MANIFEST, decoding=asdict(decoding))
    write_huggingface(model, tokenizer, "de-en", tmp_path, decoding)
    printed = run(code_of(model_card(manifest, [])), [PAIRS[0][0] * 40, "", "ab"], monkeypatch, tmp_path, capsys)
    assert len(printed) == 3


def ct2_manifest(model: Transformer, tokenizer: Tokenizer, folder: Path) -> Manifest:
    """After writing the export it speaks of."""
    from a2d_cli.export.ctranslate2 import write_ctranslate2

    files = [*write_ctranslate2(model, tokenizer, folder, "float32"), *tokenizer.save(folder)]
    return replace(MANIFEST, to="ct2", shape=asdict(model.shape), files={path.name: "" for path in files})


def test_the_code_for_ctranslate2_translates_as_a2d_does(teacher, tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("ctranslate2")
    model, tokenizer, lines = teacher
    card = model_card(ct2_manifest(model, tokenizer, tmp_path), [])
    printed = run(code_of(card), lines, monkeypatch, tmp_path, capsys)
    expected = translations(model, tokenizer, lines)
    assert len(printed) == len(expected) and sum(map(str.__eq__, printed, expected)) >= len(lines) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_for_ctranslate2_splits_and_joins_as_every_tokenizer_does(
    kind: str, tmp_path: Path, monkeypatch, capsys
):
    ctranslate2 = pytest.importorskip("ctranslate2")
    tokenizer = small_tokenizer(kind)
    sizes = Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size, tokenizer.joint)
    card = model_card(ct2_manifest(tiny_model(SHAPE, sizes), tokenizer, tmp_path), [])
    lines = [*(src for src, _ in PAIRS[:13]), "a\u0308 b", PAIRS[0][0] * 40]  # decomposed, and too long
    printed = run(code_of(card), lines, monkeypatch, tmp_path, capsys)
    # The same search of the same model, from ids to ids.
    pieces = [[tokenizer.src_pieces[i] for i in ids[:31]] for ids in tokenizer.encode_src(lines)]
    options = {"beam_size": 3, "length_penalty": 0.9, "max_decoding_length": 60}
    found = ctranslate2.Translator(str(tmp_path)).translate_batch(pieces, **options)
    ids = [[tokenizer.tgt_pieces.index(piece) for piece in each.hypotheses[0]] for each in found]
    assert printed == tokenizer.decode_tgt(ids)


# --- the rest


@pytest.mark.parametrize(
    ("to", "library", "tags"),
    [
        ("hf", "transformers", ["translation", "knowledge-distillation", "align-to-distill"]),
        ("ct2", "ctranslate2", ["translation", "knowledge-distillation", "align-to-distill", "int8"]),
    ],
)
def test_the_hub_can_read_it(to: str, library: str, tags: list[str]):
    quantization = "int8" if to == "ct2" else "float32"
    manifest = replace(MANIFEST, to=to, quantization=quantization, files={"spm.model": "", "model.bin": ""})
    assert front_matter(model_card(manifest, [RESULT])) == {
        "language": ["de", "dsb"],
        "license": "cc-by-nc-sa-4.0",
        "library_name": library,
        "pipeline_tag": "translation",
        "tags": tags,
        "metrics": ["bleu", "chrf"],
    }


def test_norwegian_is_a_language_and_not_false():
    assert front_matter(model_card(replace(MANIFEST, pair="no-en"), []))["language"] == ["no", "en"]


@pytest.mark.parametrize(
    ("licence", "identifier"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("CC BY 2.0 (tatoeba.org, manythings.org/anki)", "cc-by-2.0"),
        ("CC BY-NC-ND 4.0 (TED talks)", "cc-by-nc-nd-4.0"),
        ("training and validation none stated; test CC BY-NC-SA 4.0", "other"),
        ("not stated", "other"),
        ("yours", "other"),
    ],
)
def test_a_licence_that_is_one_of_the_hubs_is_told_so_and_always_as_it_is(licence: str, identifier: str):
    card = model_card(replace(MANIFEST, data={"licence": licence}), [])
    assert front_matter(card)["license"] == identifier
    assert f"- licence: {licence}\n" in section(card, "Data and licence")


def test_it_says_what_the_model_is_and_where_it_comes_from():
    card = model_card(MANIFEST, [])
    summary = card.partition("# a2d-diagonal: de to dsb\n")[2].partition("\n## ")[0]
    for fact in (
        "A small Transformer that translates de to dsb, in the format of transformers.",
        "5.31 million parameters, stored as float32: 2 encoder and 3 decoder layers (post-norm), width 10",
        f"the student of a teacher (name: teacher; weights sha256: {'cd' * 32})",
        "trained with a2d 0.3.0, method `a2d-diagonal`, seed 7.",
        "https://arxiv.org/abs/2403.01479",
    ):
        assert fact in summary
    data = section(card, "Data and licence")
    assert data.startswith("- recipe: wmt22-dedsb\n- licence: CC BY-NC-SA 4.0\n- training pairs: 40194\n\n")


def test_a_teacher_is_no_student():
    card = model_card(replace(MANIFEST, kind="teacher", method="", name="teacher", teacher=None), [])
    assert "student" not in card and "distillation" not in card and "method" not in card


def test_a_score_stands_with_its_signature_and_how_it_was_made():
    float_result = replace(RESULT, model="a2d-diagonal", engine="torch 2.13.0", scores=RESULT.scores[:1])
    told = section(model_card(MANIFEST, [RESULT, float_result]), "Scores")
    assert told.splitlines() == [
        "| model | test set | sentences | BLEU | chrF2 | beam | sentences/s | engine | on |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| a2d-diagonal int8 | wmt25_dev | 2638 | 41.24 | 66.50 | 3 | 200.0 | ct2 4.8.5 | cpu, 2 threads |",
        "| a2d-diagonal | wmt25_dev | 2638 | 41.24 | – | 3 | 200.0 | torch 2.13.0 | cpu, 2 threads |",
        "",
        "sacrebleu's signatures:",
        "",
        "- `BLEU|nrefs:1|case:mixed|tok:13a|version:2.6.0`",
        "- `chrF2|nrefs:1|case:mixed|nc:6|version:2.6.0`",
    ]


def test_without_scores_or_data_it_says_so():
    card = model_card(replace(MANIFEST, data={}, checks={}), [])
    assert section(card, "Scores") == "No test set was scored before this export."
    assert section(card, "Data and licence").startswith("Not known to a2d: ")
    assert section(card, "How this folder was checked").startswith("- nothing is recorded\n")
    assert "metrics" not in front_matter(card)


def test_it_says_how_the_folder_was_checked():
    manifest = replace(MANIFEST, alignment_head={"layer": 2, "head": 1}, versions={"transformers": "5.23.0"})
    assert section(model_card(manifest, []), "How this folder was checked").splitlines()[:7] == [
        "- checked: yes",
        "- max log prob difference: 1.907e-06",
        "- gate, chrF2: 51.25, 51",
        "- alignment head, layer: 2",
        "- alignment head, head: 1",
        "- versions, transformers: 5.23.0",
        "",
    ]


def test_its_limits_are_those_of_its_format():
    hf = section(model_card(MANIFEST, []), "Limits")
    ct2 = section(model_card(replace(MANIFEST, to="ct2", files={"spm.model": ""}), []), "Limits")
    many = section(model_card(replace(MANIFEST, to="ct2", files={"spm.model": "", "pieces.json": ""}), []), "Limits")
    assert all("at most 31 tokens" in text and "NFC" in text for text in (hf, ct2, many))
    assert [">>word<<" in text for text in (hf, ct2, many)] == [True, False, True]


def test_of_a_test_set_that_has_become_another_text_the_latest_scores_are_told(tmp_path: Path):
    cache = ScoreCache(tmp_path / "scores")
    for key, sentences, when in (("new", 1000, "2026-01-03"), ("old", 40, "2026-01-02")):
        cache.add(replace(RESULT, key=key, sentences=sentences, translated_at=when))
    write_model_card(tmp_path, MANIFEST, cache)
    rows = [line for line in (tmp_path / "README.md").read_text().splitlines() if "wmt25_dev |" in line]
    assert len(rows) == 1 and "| 1,000 |" in rows[0].replace("1000", "1,000")


def test_a_card_is_renewed_unless_somebody_has_edited_it(tmp_path: Path):
    cache, card = ScoreCache(tmp_path / "scores"), tmp_path / "README.md"
    assert write_model_card(tmp_path, MANIFEST, cache)
    before = card.read_text()
    cache.add(RESULT)
    assert write_model_card(tmp_path, MANIFEST, cache)
    assert before != card.read_text() and "<!-- by a2d" in card.read_text().splitlines()[-1]
    edited = card.read_text().replace("## Limits", "Ask me first.\n\n## Limits")
    card.write_text(edited)
    cache.add(replace(RESULT, key="another", test_set="another"))
    assert not write_model_card(tmp_path, MANIFEST, cache)
    assert card.read_text() == edited


def test_of_a_model_from_elsewhere_no_licence_is_claimed():
    unknown = replace(MANIFEST, data=dict.fromkeys(("recipe", "licence", "training_pairs", "fingerprint")))
    card = model_card(unknown, [])
    assert "license: other" in card and section(card, "Data and licence").startswith("Not known to a2d")
