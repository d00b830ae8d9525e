"""`a2d import`: a Marian model in Hugging Face form is the same function here, or is refused with a reason."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from conftest import Launcher, own_files, settings, write_language
from safetensors.torch import load_file, save_file

from a2d_cli.config.schema import Decoding
from a2d_cli.data.batching import SpecialIds, pad_batch
from a2d_cli.distillation.teachers import keep_rows
from a2d_cli.errors import A2DError
from a2d_cli.export.huggingface import write_huggingface
from a2d_cli.files import write_json
from a2d_cli.model.transformer import Transformer, sinusoids
from a2d_cli.project.checkpoint import load_checkpoint, weights_hash
from a2d_cli.project.marian import read_marian

D_MODEL, HEADS, FFN, ENCODER_LAYERS, DECODER_LAYERS, POSITIONS = 12, 3, 17, 2, 1, 211
CODE = ">>xx<<"
SPM_SIZE = 41  # with its <s>, </s> and <unk>


@dataclass(frozen=True)
class Form:
    """What may differ from one Marian folder to the next."""

    joint: bool = True
    special_ids: tuple[int, int, int] = (0, 1, -1)  # of </s>, <unk>, <pad>; negative: from the end
    activation: str = "swish"
    bias: bool = True
    half: bool = False
    file: str = "model.safetensors"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    write_language(folder, {"train": 503, "valid": 29, "test": 37})
    return folder


@pytest.fixture(scope="module")
def spm(text: Path) -> dict[str, bytes]:
    """SentencePiece models with their trainer's own numbering and normaliser, as OPUS-MT has them."""
    models = {}
    for lang in ("de", "en"):
        model = io.BytesIO()
        lines = (text / f"train.{lang}").read_text(encoding="utf-8").splitlines()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, vocab_size=SPM_SIZE, minloglevel=2
        )
        models[lang] = model.getvalue()
    return models


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, spm: dict[str, bytes]) -> Write:
    def write_form(form: Form = Form(), name: str = "opus") -> Path:
        return write_marian(tmp_path / name, form, spm)

    return write_form


def write_marian(folder: Path, form: Form, spm: dict[str, bytes]) -> Path:
    """A random model; every weight is away from its even start, and padding has a zero row."""
    folder.mkdir()
    known = {lang: pieces_of(model) for lang, model in spm.items()}
    if form.joint:
        vocabularies = [number([*dict.fromkeys([*known["de"], *known["en"], CODE])], form)]
    else:  # the two may only differ in what their ids mean: Marian has one id of padding
        vocabularies = [number(sorted(known["de"]), form), number(sorted(known["en"], reverse=True), form)]
    for path, vocabulary in zip(("vocab.json", "target_vocab.json"), vocabularies, strict=False):
        (folder / path).write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "source.spm").write_bytes(spm["de"])
    (folder / "target.spm").write_bytes(spm["en"])
    rows, pad = len(vocabularies[0]), vocabularies[0]["<pad>"]
    config = {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "d_model": D_MODEL,
        "encoder_layers": ENCODER_LAYERS,
        "decoder_layers": DECODER_LAYERS,
        **{f"{side}_attention_heads": HEADS for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": FFN for side in ("encoder", "decoder")},
        "activation_function": form.activation,
        "scale_embedding": True,
        "static_position_embeddings": True,
        "normalize_before": False,
        "normalize_embedding": False,
        "max_position_embeddings": POSITIONS,
        "vocab_size": rows,
        "decoder_vocab_size": rows,
        "share_encoder_decoder_embeddings": form.joint,
        "eos_token_id": vocabularies[0]["</s>"],
        "pad_token_id": pad,
        "decoder_start_token_id": pad,
        "forced_eos_token_id": vocabularies[0]["</s>"],
    }
    about = {
        "source_lang": "de",
        "target_lang": "en",
        "separate_vocabs": not form.joint,
        "tokenizer_class": "MarianTokenizer",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    weights = random_weights(rows, pad, form)
    if form.file.endswith(".safetensors"):
        save_file(weights, folder / form.file, metadata={"format": "pt"})
    else:
        torch.save(weights, folder / form.file)
    return folder


def pieces_of(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = processor.id_to_piece(list(range(processor.get_piece_size())))
    return [piece for piece in pieces if piece not in ("<unk>", "<s>", "</s>")]


def number(ordinary: list[str], form: Form) -> dict[str, int]:
    size = len(ordinary) + 3
    ids = {piece: i % size for piece, i in zip(("</s>", "<unk>", "<pad>"), form.special_ids, strict=True)}
    free = [i for i in range(size) if i not in ids.values()]
    random.Random(5).shuffle(free)
    return dict(zip(ordinary, free, strict=True)) | ids


def random_weights(rows: int, pad: int, form: Form) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> torch.Tensor:
        tensor = 0.4 * torch.randn(shape, generator=generator)
        return tensor.half() if form.half else tensor

    def linear(name: str, size_in: int, size_out: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": draw(size_out, size_in), f"{name}.bias": draw(size_out)}

    def norm(name: str) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + draw(D_MODEL), f"{name}.bias": draw(D_MODEL)}

    names = ["model.shared"] if form.joint else ["model.encoder.embed_tokens", "model.decoder.embed_tokens"]
    weights = {f"{name}.weight": draw(rows, D_MODEL) for name in names}
    for table in weights.values():
        table[pad] = 0.0
    for side, layers in (("encoder", ENCODER_LAYERS), ("decoder", DECODER_LAYERS)):
        for layer in range(layers):
            place = f"model.{side}.layers.{layer}"
            for attention in ("self_attn", "encoder_attn") if side == "decoder" else ("self_attn",):
                for projection in "qkv":
                    weights |= linear(f"{place}.{attention}.{projection}_proj", D_MODEL, D_MODEL)
                weights |= linear(f"{place}.{attention}.out_proj", D_MODEL, D_MODEL) | norm(
                    f"{place}.{attention}_layer_norm"
                )
            weights |= linear(f"{place}.fc1", D_MODEL, FFN) | linear(f"{place}.fc2", FFN, D_MODEL)
            weights |= norm(f"{place}.final_layer_norm")
    if form.bias:
        weights["final_logits_bias"] = draw(1, rows)
    return weights


def change_json(path: Path, **changes: Any) -> None:
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}), encoding="utf-8")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


# --- the same function


@pytest.mark.parametrize(
    "form",
    [
        Form(),
        Form(special_ids=(7, 0, 3), activation="relu", file="pytorch_model.bin"),
        Form(special_ids=(-1, -2, 0), activation="gelu", bias=False),
        Form(joint=False, activation="silu", half=True),
        Form(joint=False, special_ids=(2, -3, 5), activation="gelu", half=True, file="pytorch_model.bin"),
    ],
    ids=repr,
)
@torch.no_grad()
def test_the_scores_are_those_of_marian(write: Write, form: Form):
    transformers = pytest.importorskip("transformers")
    folder = write(form)
    theirs = transformers.MarianMTModel.from_pretrained(folder, dtype=torch.float32).eval()
    found = read_marian(folder)
    assert found.pair == "de-en" and found.starts_from_zero
    assert found.model.shape.output_bias == form.bias
    tokenizer, id_of = found.tokenizer, [json.loads((folder / "vocab.json").read_text(encoding="utf-8"))]
    id_of.append(id_of[0] if form.joint else json.loads((folder / "target_vocab.json").read_text(encoding="utf-8")))
    # By the names of the pieces, ours in rows of theirs; padding last.
    src_rows, tgt_rows = (
        torch.tensor([ids[piece] for piece in (*pieces, "<pad>")])
        for ids, pieces in zip(id_of, (tokenizer.src_pieces, tokenizer.tgt_pieces), strict=True)
    )
    generator = torch.Generator().manual_seed(3)
    sides = [
        [torch.randint(1, len(rows) - 1, (n,), generator=generator).numpy() for n in lengths]
        for rows, lengths in ((src_rows, (5, 2, 13)), (tgt_rows, (3, 17, 7)))
    ]
    batch = pad_batch(*sides, SpecialIds(tokenizer.src_pad, tokenizer.tgt_pad, tokenizer.eos))
    output = theirs(
        input_ids=src_rows[batch.src],
        attention_mask=(batch.src != tokenizer.src_pad).long(),
        decoder_input_ids=tgt_rows[batch.tgt_in],
    )
    expected = output.logits[..., tgt_rows[:-1]]
    for need_maps in (False, True):
        ours = found.model.logits(found.model(batch.src, batch.tgt_in, need_maps).states)
        torch.testing.assert_close(ours[batch.tgt_mask], expected[batch.tgt_mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", [Form(special_ids=(3, 0, 7)), Form(joint=False)], ids=repr)
def test_text_gets_the_pieces_that_marian_gives_it(write: Write, text: Path, form: Form):
    transformers = pytest.importorskip("transformers")
    folder = write(form)
    theirs, ours = transformers.MarianTokenizer.from_pretrained(folder), read_marian(folder).tokenizer
    sources, targets = ((text / f"valid.{lang}").read_text(encoding="utf-8").splitlines() for lang in ("de", "en"))
    sources += ["", targets[0], "½ 的 ba", "</s> bo", f"{CODE} {sources[0]}" if form.joint else "ba"]
    for name, lines, encode, pieces in (
        ("text", sources, ours.encode_src, ours.src_pieces),
        ("text_target", targets, ours.encode_tgt, ours.tgt_pieces),
    ):
        for line, ids in zip(lines, encode(lines), strict=True):
            if "</s>" in line:  # theirs ends there
                assert ours.eos not in ids
                continue
            numbers = theirs(**{name: [line]})["input_ids"][0]
            id_of = theirs.target_encoder if name == "text_target" and not form.joint else theirs.encoder
            assert [id_of[pieces[i]] for i in (*ids, ours.eos)] == numbers
    assert ours.decode_tgt(ours.encode_tgt(["", *targets])) == ["", *targets]


def test_a_language_code_is_one_piece_in_front(write: Write):
    tokenizer = read_marian(write()).tokenizer
    (ids, plain) = tokenizer.encode_src([f"{CODE} ba bo", "ba bo"])
    assert ids == [tokenizer.src_pieces.index(CODE), *plain]
    (unknown,) = tokenizer.encode_src([">>yy<< ba bo"])
    assert len(unknown) > len(ids)  # text like any other


def test_the_source_models_pieces_can_be_written_too(write: Write):
    tokenizer = read_marian(write()).tokenizer
    (ids,) = tokenizer.encode_src(["babo bebi"])
    assert tokenizer.decode_tgt([ids]) == ["babo bebi"]


def test_our_own_table_of_positions_may_stand_in_the_file(write: Write):
    folder = write()
    table = sinusoids(POSITIONS, D_MODEL)
    names = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")
    change_weights(folder, lambda weights: weights.update({name: table.half() for name in names}))
    read_marian(folder)
    change_weights(folder, lambda weights: weights.update({names[0]: table.roll(2, 0)}))
    with pytest.raises(A2DError, match=r"'model\.encoder\.embed_positions\.weight' is not Marian's table of sinusoids"):
        read_marian(folder)


def test_padding_may_be_forbidden_by_its_bias(write: Write):
    folder = write()
    pad = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))["<pad>"]

    def forbid(weights: dict[str, torch.Tensor], row: int = pad) -> None:
        weights["final_logits_bias"][0, row] = float("-inf")

    before = read_marian(folder).model.output_bias
    change_weights(folder, forbid)
    torch.testing.assert_close(read_marian(folder).model.output_bias, before)
    change_weights(folder, lambda weights: forbid(weights, pad - 1))
    with pytest.raises(A2DError, match="'final_logits_bias' holds numbers that are not finite"):
        read_marian(folder)


@pytest.mark.parametrize("form", [Form(special_ids=(3, 0, 7)), Form(joint=False)], ids=repr)
def test_what_is_exported_is_read_back(write: Write, tmp_path: Path, form: Form):
    found = read_marian(write(form))
    write_huggingface(found.model, found.tokenizer, "de-en", tmp_path / "exported", Decoding())
    again = read_marian(tmp_path / "exported")
    assert (again.pair, again.model.shape) == ("de-en", found.model.shape)
    assert weights_hash(again.model) == weights_hash(found.model)
    assert again.tokenizer.fingerprint == found.tokenizer.fingerprint


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "m2m_100"}, 'model_type is "m2m_100": only models with "marian" can be imported'),
        ({"normalize_before": True}, "normalize_before is true: only models with false can be imported"),
        ({"normalize_embedding": True}, "normalize_embedding is true: only models with false can be imported"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm is true: only models with false can be imported"),
        ({"scale_embedding": False}, "scale_embedding is false: only models with true can be imported"),
        ({"scale_embedding": None}, "scale_embedding is false: only models with true can be imported"),
        (
            {"static_position_embeddings": False},
            "static_position_embeddings is false: only models with true can be imported",
        ),
        (
            {"activation_function": "gelu_new"},
            "activation_function is 'gelu_new': only relu, gelu, swish, silu can be imported",
        ),
        ({"decoder_ffn_dim": 19}, "encoder_ffn_dim is 17, decoder_ffn_dim 19: they must be the same"),
        (
            {"decoder_attention_heads": 2},
            "encoder_attention_heads is 3, decoder_attention_heads 2: they must be the same",
        ),
        ({"d_model": "12"}, 'd_model: expected a whole number from 1, got "12"'),
        ({"encoder_layers": None}, "encoder_layers: expected a whole number from 1, got null"),
        ({"d_model": 15}, "d_model 15 is not an even multiple of 3 heads"),
        ({"decoder_start_token_id": 0}, "decoder_start_token_id is 0, but '<pad>' is "),
        ({"eos_token_id": 2}, "eos_token_id is 2, but '</s>' is 0 in vocab.json"),
    ],
)
def test_a_configuration_that_is_not_of_this_form(write: Write, changes: dict[str, Any], message: str):
    folder = write()
    change_json(folder / "config.json", **changes)
    with pytest.raises(A2DError) as error:
        read_marian(folder)
    assert error.value.message.startswith(f"{folder / 'config.json'}: {message}")
    assert error.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "no config.json"),
        ("source.spm", "no source.spm"),
        ("vocab.json", "no vocab.json"),
        ("model.safetensors", "no model.safetensors or pytorch_model.bin"),
    ],
)
def test_a_file_that_is_missing(write: Write, name: str, message: str):
    folder = write()
    (folder / name).unlink()
    with pytest.raises(A2DError) as error:
        read_marian(folder)
    assert error.value.message == f"{folder}: not a whole Marian model in Hugging Face form: {message}"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\n", b""])
def test_weights_that_cannot_be_read(write: Write, name: str, content: bytes):
    folder = write(Form(file=name))
    (folder / name).write_bytes(content)
    with pytest.raises(A2DError, match=f"{name}: cut short, or no file of weights .*download the folder again"):
        read_marian(folder)


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json", "config.json"])
def test_a_file_cut_short(write: Write, name: str):
    folder = write()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(A2DError, match=f"{name}: (cut short, or no SentencePiece model|cannot be read)"):
        read_marian(folder)


def drop(name: str) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda weights: weights.pop(name)


def put(**tensors: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda weights: weights.update({name.replace("__", "."): tensor for name, tensor in tensors.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            put(lm_head__weight=torch.zeros(115, D_MODEL)),
            "'model.shared.weight' and 'lm_head.weight' differ: only models that tie",
        ),
        (
            put(model__encoder__layernorm_embedding__bias=torch.zeros(1)),
            "'model.encoder.layernorm_embedding.bias' has no place in",
        ),
        (
            put(model__decoder__layers__0__fc1__bias=torch.zeros(19)),
            "'model.decoder.layers.0.fc1.bias' has shape [19], by config",
        ),
        (
            put(model__decoder__layers__0__fc1__bias=torch.full([17], torch.nan)),
            "'model.decoder.layers.0.fc1.bias' holds numbers",
        ),
        (
            put(model__shared__weight=torch.zeros(115, 7)),
            "'model.shared.weight' has shape [115, 7], by config.json [V, 12]",
        ),
        (put(final_logits_bias=torch.zeros(1, 7)), "'final_logits_bias' has shape [1, 7], the embedding "),
        (
            drop("model.encoder.layers.1.self_attn.q_proj.weight"),
            "no 'model.encoder.layers.1.self_attn.q_proj.weight', which",
        ),
        (drop("model.shared.weight"), "no 'model.shared.weight'"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration(
    write: Write, change: Callable[[dict[str, torch.Tensor]], None], message: str
):
    folder = write()
    change_weights(folder, change)
    with pytest.raises(A2DError) as error:
        read_marian(folder)
    assert error.value.message.startswith(f"{folder / 'model.safetensors'}: {message}")


def test_a_vocabulary_that_is_not_the_models(write: Write):
    folder = write()
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    number_of_one = vocabulary.pop(CODE)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    with pytest.raises(
        A2DError, match=rf"vocab\.json: its {len(vocabulary)} ids are not those of the {len(vocabulary) + 1} rows"
    ):
        read_marian(folder)
    del vocabulary["<unk>"]
    more = {CODE: number_of_one, "one more": 1}
    (folder / "vocab.json").write_text(json.dumps(vocabulary | more), encoding="utf-8")
    with pytest.raises(A2DError, match=r"vocab\.json: no piece '<unk>'"):
        read_marian(folder)


def test_two_vocabularies_with_one_embedding_are_refused(write: Write):
    folder = write()
    change_json(folder / "tokenizer_config.json", separate_vocabs=True)
    with pytest.raises(A2DError, match="two vocabularies .* but config.json shares one embedding between them"):
        read_marian(folder)


# --- the command, and what comes after it

QUICK = settings(
    {
        "training.max_updates": 3,
        "training.schedule": "inverse_sqrt",
        "training.decode_below_nll": 0,
        "training.average_last": 0,
        "student.d_model": 8,
        "student.num_heads": 2,
        "student.ffn_dim": 11,
        "student.encoder_layers": 1,
        "student.decoder_layers": 1,
    }
)


@pytest.fixture(scope="module")
def imported(a2d: Launcher, text: Path, spm: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that a teacher was imported into, and that has its tokenizer, trimmed."""
    folder = tmp_path_factory.mktemp("imported")
    opus = write_marian(folder / "opus", Form(), spm)
    said = a2d.well(folder, "-C", "project", "import", str(opus)).out
    assert said.splitlines() == [
        f"teacher: de-en, 0.0 M parameters, from {opus}",
        "next: a2d -C project prepare RECIPE --tokenizer-from teacher",
    ]
    files = own_files(text)
    train = [folder / f"few.{lang}" for lang in ("de", "en")]
    for few, whole in zip(train, files[1:3], strict=True):  # text that does not use all pieces
        lines = Path(whole).read_text(encoding="utf-8").splitlines(keepends=True)
        few.write_text("".join(lines[:7]), encoding="utf-8")
    options = ["--train", *map(str, train), *files[3:], "--pair", "de-en", "--tokenizer-from", "teacher", "--trim"]
    said = a2d.well(folder, "-C", "project", "prepare", *options).out
    assert "joint, taken from teacher" in said and said.endswith("next: a2d -C project distill\n")
    return folder / "project"


def sizes(folder: Path) -> list[int]:
    report = json.loads((folder / "data/report.json").read_text(encoding="utf-8"))
    return report["steps"]["tokenizer"]["vocab_size"]


def test_an_imported_teacher_is_a_finished_run_that_translates(
    a2d: Launcher, imported: Path, text: Path, tmp_path: Path
):
    run = shutil.copytree(imported / "runs/teacher", tmp_path / "moved")
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert (info["kind"], info["method"], info["finished"], info["pair"]) == ("teacher", "imported", True, "de-en")
    lines = (text / "valid.de").read_bytes()
    said = a2d.well(tmp_path, "translate", "--model", str(run), "--beam", "1", stdin=lines).out
    assert len(said.splitlines()) == 29
    shown = a2d.well(imported, "status").out
    assert "teacher" in shown and "imported from" in shown


def test_what_is_prepared_with_a_tokenizer_is_remembered(a2d: Launcher, imported: Path):
    recipe = (imported / "a2d.yaml").read_text(encoding="utf-8")
    assert "taken_from: teacher" in recipe and "trim: true" in recipe
    assert "vocabulary" in a2d.well(imported, "prepare").out  # nothing to do
    (size,) = sizes(imported)
    whole = load_checkpoint(imported / "runs/teacher")
    own = load_checkpoint(imported / "runs/teacher").tokenizer.__class__.load(imported / "data")
    assert size % 8 == 0 and size == own.src_vocab_size < whole.tokenizer.src_vocab_size
    assert own.rows_in(whole.tokenizer) and whole.tokenizer.rows_in(own) is None


def test_an_imported_teacher_teaches_words_and_attention(a2d: Launcher, imported: Path, tmp_path: Path):
    project = shutil.copytree(imported, tmp_path / "project")
    a2d.well(project, "distill", *QUICK)
    a2d.well(project, "distill", "--method", "word", *QUICK)
    student = load_checkpoint(project / "runs/a2d-diagonal")
    assert student.model.vocabularies.src_size == sizes(project)[0]
    assert student.tokenizer.encode_src(["ba"])  # its own files
    said = a2d.error(project, "prepare", "--set", "tokenizer.trim=false", code=2)
    assert "changes its tokenizer, and these runs were trained on the old one: a2d-diagonal, word" in said


def test_a_cut_teacher_is_the_whole_one_renormalised(imported: Path):
    whole = load_checkpoint(imported / "runs/teacher")
    own = whole.tokenizer.load(imported / "data")
    src_rows, tgt_rows = own.rows_in(whole.tokenizer)
    cut = keep_rows(whole.model, src_rows, tgt_rows)
    lines = ["babo", "duna bebi", "ki"]
    ids = SpecialIds(own.src_pad, own.tgt_pad, own.eos)
    targets = [line.upper() for line in lines]
    batch = pad_batch(
        *(list(map(torch.tensor, side)) for side in (own.encode_src(lines), own.encode_tgt(targets))), ids
    )
    rows = [torch.tensor(each) for each in (src_rows, tgt_rows)]
    kept = scores(cut, batch.src, batch.tgt_in).log_softmax(-1)
    all_pieces = scores(whole.model, rows[0][batch.src], rows[1][batch.tgt_in]).log_softmax(-1)
    expected = all_pieces[..., rows[1][:-1]]
    assert (expected.exp().sum(-1) < 0.99).all()  # something was cut away
    torch.testing.assert_close(kept, expected - expected.logsumexp(-1, keepdim=True), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def scores(model: Transformer, src: torch.Tensor, tgt_in: torch.Tensor) -> torch.Tensor:
    return model.logits(model(src, tgt_in).states)


def test_a_tokenizer_as_it_is(a2d: Launcher, text: Path, write: Write, tmp_path: Path):
    a2d.well(tmp_path, "-C", "elsewhere", "import", str(write(Form(joint=False))), "--name", "opus")
    options = [*own_files(text), "--pair", "de-en", "--tokenizer-from", "elsewhere/runs/opus"]
    said = a2d.well(tmp_path, "-C", "p", "prepare", *options).out
    assert said.endswith(f"next: a2d -C p distill --teacher {tmp_path / 'elsewhere/runs/opus'}\n")
    assert sizes(tmp_path / "p") == [SPM_SIZE, SPM_SIZE]  # without spm's <s>, with our pad
    assert f"taken_from: {tmp_path / 'elsewhere/runs/opus'}" in (tmp_path / "p/a2d.yaml").read_text(encoding="utf-8")
    teacher = ["--teacher", "elsewhere/runs/opus"]
    a2d.well(tmp_path, "-C", "p", "distill", *teacher, *QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--tokenizer-from", "nobody"],
            "tokenizer.taken_from: no run or folder 'nobody'\nhint: a tokenizer is taken from a model",
        ),
        (
            ["--tokenizer-from", "{opus}"],
            "tokenizer.taken_from: {opus} is no model of a2d\nhint: import it first: 'a2d import",
        ),
        (["--tokenizer-from", "{run}"], "tokenizer.taken_from: {run} translates de-en, the recipe's text is en-de"),
        (["--trim"], "tokenizer.trim: a tokenizer that is trained here has nothing to trim"),
        (
            ["--tokenizer-from", "{run}", "--set", "tokenizer.vocab_size=80"],
            "tokenizer.vocab_size: 80, but the vocabulary is taken from {run} as it is",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_taken(
    a2d: Launcher, imported: Path, text: Path, tmp_path: Path, options: list[str], message: str
):
    places = {"opus": imported.parent / "opus", "run": imported / "runs/teacher"}
    given = [option.format(**places) for option in options]
    files = own_files(text)
    swapped = [word for i in range(0, len(files), 3) for word in (files[i], files[i + 2], files[i + 1])]
    said = a2d.error(tmp_path, "-C", "p", "prepare", *swapped, "--pair", "en-de", *given, code=2)
    assert message.format(**places) in said


def test_a_teacher_with_other_pieces_can_still_teach_by_its_translations(a2d: Launcher, prepared: Path, imported: Path):
    said = a2d.error(prepared, "distill", "--teacher", str(imported / "runs/teacher"), code=2)
    assert "has another vocabulary" in said and "--tokenizer-from" in said and "--pseudo SRC HYP" in said


def test_a_prepared_project_takes_the_tokenizer_of_an_imported_run(a2d: Launcher, imported: Path, project: Path):
    a2d.well(project, "import", str(imported.parent / "opus"), "--name", "opus")
    a2d.well(project, "prepare", "--tokenizer-from", "opus")  # no run was trained on the old one
    assert "taken_from: opus" in (project / "a2d.yaml").read_text(encoding="utf-8")


def test_the_languages_are_said_by_the_folder_or_the_command(a2d: Launcher, write: Write, tmp_path: Path):
    folder = write()
    (folder / "tokenizer_config.json").unlink()
    said = a2d.error(tmp_path, "import", str(folder), code=2)
    told = (
        f"{folder / 'tokenizer_config.json'} does not say which languages the model translates\n"
        "hint: say it, for example --pair"
    )
    assert told in said
    (folder / "tokenizer_config.json").write_text('{"source_lang": "en", "target_lang": "ROMANCE"}', encoding="utf-8")
    said = a2d.error(tmp_path, "import", str(folder), code=2)
    assert "tokenizer_config.json: pair: expected SRC-TGT, got 'en-ROMANCE'\nhint: say which languages" in said
    assert "--pair: pair: expected SRC-TGT, got 'german'" in a2d.error(
        tmp_path, "import", str(folder), "--pair", "german", code=2
    )
    assert a2d.well(tmp_path, "import", str(folder), "--pair", "en-fr").out.startswith("teacher: en-fr, ")


def test_a_run_is_replaced_only_when_asked(a2d: Launcher, write: Write, tmp_path: Path):
    folder = str(write())
    a2d.well(tmp_path, "import", folder)
    said = a2d.error(tmp_path, "import", folder, code=2)
    assert said.startswith("error: run 'teacher' exists\nhint: choose another --name, or --overwrite to replace it")
    a2d.well(tmp_path, "import", folder, "--overwrite")
    a2d.well(tmp_path, "import", folder, "--name", "second")
    write_json(tmp_path / "runs/ce/run.json", {"format": 1, "kind": "student"})
    said = a2d.error(tmp_path, "import", folder, "--name", "ce", "--overwrite", code=2)
    assert said == "error: run 'ce' is a student: no teacher takes its place\nhint: choose another --name\n"


def test_an_imported_teacher_is_not_trained(a2d: Launcher, imported: Path):
    said = a2d.error(imported, "train-teacher", code=2)
    assert said == (
        "error: run 'teacher' was imported, and is trained already\n"
        "hint: choose another --name, or --overwrite to train a new 'teacher' in its place\n"
    )


def test_a_folder_that_is_not_there(a2d: Launcher, tmp_path: Path):
    said = a2d.error(tmp_path, "import", "Helsinki-NLP/opus-mt-de-en", code=2)
    assert "error: Helsinki-NLP/opus-mt-de-en: no such folder\nhint: name a local folder" in said


def test_a_start_that_is_not_zero_is_told(a2d: Launcher, write: Write, tmp_path: Path):
    folder = write()

    def fill(weights: dict[str, torch.Tensor]) -> None:
        weights["model.shared.weight"][-1] = 0.5

    change_weights(folder, fill)
    assert "from which the decoder starts, is not zero" in a2d.well(tmp_path, "import", str(folder)).err
