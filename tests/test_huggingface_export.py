"""A Hugging Face folder: the same function as the model, or a refusal that says why."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_tokenizers import KINDS, PAIRS, over_lists, small_tokenizer
from tiny import tiny_model

from a2d_cli.config.schema import Decoding, ModelShape
from a2d_cli.data.batching import SpecialIds
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.decoding.translator import Translator
from a2d_cli.errors import A2DError
from a2d_cli.export.huggingface import check_huggingface, write_huggingface
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.checkpoint import load_checkpoint, weights_of
from a2d_cli.project.marian import read_marian

SHAPE = ModelShape(
    d_model=10, num_heads=5, ffn_dim=13, encoder_layers=2, decoder_layers=3, dropout=0.0, max_positions=41
)
DECODING = Decoding(beam=3, max_source_tokens=29)
LINES = [
    *PAIRS[:11],
    ("", ""),
    ("漢 ab", "AB 字"),
    (PAIRS[0][0] * 40, "A"),
]  # unknown characters, and far too long


def model_for(tokenizer: Tokenizer, **changes: object) -> Transformer:
    sizes = Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size, tokenizer.joint)
    return tiny_model(replace(SHAPE, **changes), sizes)


def written(folder: Path, kind: str = "joint", **changes: object) -> tuple[Transformer, Tokenizer, Path]:
    tokenizer = small_tokenizer(kind)
    model = model_for(tokenizer, **changes)
    write_huggingface(model, tokenizer, "de-en", folder, DECODING)
    return model, tokenizer, folder


def edit(path: Path, **changes: object) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, **changes}), encoding="utf-8")


@given(
    st.sampled_from([*((kind, "post") for kind in KINDS), ("joint", "pre"), ("one list", "pre")]),
    st.sampled_from(["relu", "gelu", "silu"]),
    st.booleans(),
    st.integers(1, 3),
    st.integers(1, 3),
)
@settings(max_examples=10, deadline=None)
def test_what_is_written_is_the_same_function_in_transformers(
    tmp_path_factory, kind_and_norm, activation, output_bias, encoder_layers, decoder_layers
):
    pytest.importorskip("transformers")
    kind, norm = kind_and_norm
    model, tokenizer, folder = written(
        tmp_path_factory.mktemp("hf"),
        kind,
        norm=norm,
        activation=activation,
        output_bias=output_bias,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
    )
    facts = check_huggingface(folder, model, tokenizer, LINES)
    assert facts["checked"] and facts["max_log_prob_difference"] < 1e-5
    assert facts["lines"] == facts["same_token_ids"] == facts["same_greedy"] == len(LINES)
    # An unknown character is ⁇ in our text and nothing in theirs.
    ids = tokenizer.encode_tgt([tgt for _, tgt in LINES])
    assert facts["same_text"] == sum(tokenizer.unk not in line for line in ids) > 0


def test_beam_search_in_transformers_finds_the_translations_of_a2d(taught: Path, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    found = load_checkpoint(taught / "runs" / "teacher")
    lines = (taught / "data" / "text" / "test.de").read_text(encoding="utf-8").splitlines()
    decoding = Decoding(beam=3)
    write_huggingface(found.model, found.tokenizer, found.pair, tmp_path, decoding)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert (type(model).__name__, type(tokenizer).__name__) == ("MarianMTModel", "MarianTokenizer")
    theirs = []
    for line in lines:
        output = model.generate(**tokenizer(line, truncation=True, return_tensors="pt"))
        theirs.append(tokenizer.decode(output[0], skip_special_tokens=True))
    engine = TorchEngine(found.model, SpecialIds.of(found.tokenizer))
    ours = [each[0].text for each in Translator(engine, found.tokenizer, decoding).translate(lines)]
    assert len(ours) > 30
    assert sum(map(str.__eq__, ours, theirs)) >= len(ours) - 1  # a tie may fall either way


@pytest.mark.parametrize("kind", ["joint", "one list"])
def test_what_is_exported_can_be_imported(tmp_path: Path, kind: str):
    model, tokenizer, folder = written(tmp_path, kind, output_bias=True)
    found = read_marian(folder)
    assert found.pair == "de-en" and found.tokenizer.src_pieces == tokenizer.src_pieces
    ours, theirs = weights_of(model), weights_of(found.model)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_those_returned_and_number_the_pieces_as_the_model_does(tmp_path: Path, kind: str):
    tokenizer = small_tokenizer(kind)
    files = write_huggingface(model_for(tokenizer), tokenizer, "de-en", tmp_path, DECODING)
    expected = {
        *("model.safetensors", "config.json", "generation_config.json", "tokenizer_config.json"),
        *("vocab.json", "source.spm", "target.spm"),
        *(() if tokenizer.joint else ("target_vocab.json",)),
    }
    assert {path.name for path in files} == {path.name for path in tmp_path.iterdir()} == expected
    for name, pieces in (("vocab.json", tokenizer.src_pieces), ("target_vocab.json", tokenizer.tgt_pieces)):
        if name in expected:
            numbers = json.loads((tmp_path / name).read_text(encoding="utf-8"))
            pad = numbers.pop("<pad>")
            assert numbers == {piece: i for i, piece in enumerate(pieces)}
            assert pad == max(tokenizer.src_pad, tokenizer.tgt_pad)  # theirs has one for both sides


def test_padding_has_no_probability_and_tied_tables_stand_there_once(tmp_path: Path):
    model, tokenizer, folder = written(tmp_path, output_bias=True)
    weights = load_file(folder / "model.safetensors")
    bias = weights["final_logits_bias"]
    assert bias.shape == (1, tokenizer.tgt_vocab_size) and bias[0, -1] == float("-inf")
    assert torch.equal(bias[0, :-1], model.output_bias)
    assert [name for name in weights if "embed" in name or "shared" in name] == ["model.shared.weight"]
    assert sum(weight.numel() for weight in weights.values()) == model.num_parameters + 1  # pad's bias


def test_the_decoding_settings_become_transformers_own(tmp_path: Path):
    tokenizer = small_tokenizer("joint")
    model = model_for(tokenizer, max_positions=61)
    decoding = Decoding(
        beam=7,
        length_penalty=0.6,
        no_repeat_ngram=4,
        max_source_tokens=20,
        max_length_ratio=1.5,
        max_length_extra=3,
    )
    write_huggingface(model, tokenizer, "de-dsb", tmp_path, decoding)
    generation = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["num_beams"] == 7 and generation["length_penalty"] == 0.6
    assert generation["no_repeat_ngram_size"] == 4
    assert generation["max_length"] == 20 * 1.5 + 3 + 1  # the start mark counts
    about = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert about["model_max_length"] == 21  # the end mark counts
    assert (about["source_lang"], about["target_lang"]) == ("de", "dsb")


# --- the check


def test_without_transformers_a_folder_is_written_and_the_check_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "transformers", None)
    model, tokenizer, folder = written(tmp_path)
    facts = check_huggingface(folder, model, tokenizer, LINES)
    assert facts == {"checked": False, "why": "transformers is not installed: pip install 'a2d-cli[hf]'"}


@pytest.mark.parametrize(("norm", "change"), [("post", 0.1), ("pre", 0.1), ("post", float("nan"))])
def test_other_weights_are_found(tmp_path: Path, norm: str, change: float):
    pytest.importorskip("transformers")
    model, tokenizer, folder = written(tmp_path, norm=norm)
    with torch.no_grad():
        model.decoder_layers[0].cross_attention.v_proj.weight[3] += change
    with pytest.raises(A2DError, match=r"log-probabilities of transformers .* differ from a2d's by .*1e-04") as error:
        check_huggingface(folder, model, tokenizer, LINES)
    assert "--to ct2" in str(error.value)


def test_another_start_of_the_search_is_found(tmp_path: Path):
    pytest.importorskip("transformers")
    model, tokenizer, folder = written(tmp_path)
    edit(folder / "generation_config.json", decoder_start_token_id=2)  # forced scores do not read it
    with pytest.raises(A2DError, match="differ from a2d's"):
        check_huggingface(folder, model, tokenizer, LINES)


def test_other_token_ids_are_found(tmp_path: Path):
    pytest.importorskip("transformers")
    model, tokenizer, folder = written(tmp_path)
    piece, other = (tokenizer.src_pieces[i] for i in tokenizer.encode_src([LINES[1][0]])[0][:2])
    numbers = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    edit(folder / "vocab.json", **{piece: numbers[other], other: numbers[piece]})
    with pytest.raises(A2DError, match=r"transformers .* splits '.*' into other tokens than a2d"):
        check_huggingface(folder, model, tokenizer, LINES)


def test_a_line_with_a_mark_of_marians_own_may_have_other_token_ids(tmp_path: Path):
    pytest.importorskip("transformers")
    model, tokenizer, folder = written(tmp_path)
    lines = [*LINES[:5], (">>de<< abe", "ABE")]
    facts = check_huggingface(folder, model, tokenizer, lines)
    assert (facts["lines"], facts["same_token_ids"], facts["same_greedy"]) == (6, 5, 6)


def test_the_check_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    pytest.importorskip("transformers")
    model, tokenizer, folder = written(tmp_path, norm="pre")
    check_huggingface(folder, model, tokenizer, LINES[:3])
    assert capfd.readouterr() == ("", "")


# --- refusals


def with_row(model: Transformer, row: int, value: float) -> Transformer:
    with torch.no_grad():
        model.tgt_embedding.weight[row] = value
    return model


JOINT, SEPARATE = small_tokenizer("joint"), small_tokenizer("separate")
PADDED = over_lists(["</s>", "<unk>", "<pad>", "a", "b"])


@pytest.mark.parametrize(
    ("model", "tokenizer", "message", "hint"),
    [
        (model_for(SEPARATE, norm="pre"), SEPARATE, "norm: pre with two vocabularies", "--to ct2"),
        (
            model_for(JOINT),
            SEPARATE,
            "the source vocabulary has 41 pieces, the model 71",
            "use the tokenizer",
        ),
        (
            tiny_model(SHAPE, Vocabularies(42, 42)),
            over_lists(SEPARATE.src_pieces, SEPARATE.tgt_pieces[:41]),
            "the model has one vocabulary for both languages, the tokenizer two",
            "use the tokenizer",
        ),
        (model_for(PADDED), PADDED, "or has a piece '<pad>'", "--to ct2"),
        (
            with_row(model_for(JOINT), -1, 0.1),
            JOINT,
            "embedding of padding, from which the decoder starts",
            "distil",
        ),
        (
            with_row(model_for(JOINT), 3, float("nan")),
            JOINT,
            "'tgt_embedding.weight' holds numbers that",
            "another",
        ),
    ],
    ids=["pre-norm", "sizes", "two lists", "pad piece", "pad row", "nan"],
)
def test_what_no_folder_can_hold_is_refused_before_a_file_is_written(
    tmp_path: Path, model: Transformer, tokenizer: Tokenizer, message: str, hint: str
):
    with pytest.raises(A2DError) as error:
        write_huggingface(model, tokenizer, "de-en", tmp_path, DECODING)
    assert message in error.value.message and hint in error.value.hint
    assert not list(tmp_path.iterdir())
