"""Checkpoints and training states: read back as written, or refused with a reason."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Launcher, settings
from safetensors.torch import load_file, save_file

from a2d_cli.config.schema import ModelShape
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.checkpoint import load_checkpoint, save_checkpoint, weights_hash, weights_of
from a2d_cli.project.run import Run

SHAPE = ModelShape(d_model=10, num_heads=5, ffn_dim=13, encoder_layers=2, decoder_layers=3)


@pytest.fixture
def run(taught: Path, tmp_path: Path) -> Path:
    """A run folder alone, away from its project."""
    return Path(shutil.copytree(taught / "runs" / "teacher", tmp_path / "elsewhere"))


def edit_config(run: Path, **changes: object) -> None:
    path = run / "best" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


@pytest.mark.parametrize("joint", [True, False])
def test_what_is_written_is_read(prepared: Path, tmp_path: Path, joint: bool):
    model_file = (prepared / "data" / "spm.model").read_bytes()
    tokenizer = Tokenizer(model_file) if joint else Tokenizer(model_file, model_file)
    sizes = Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size, joint)
    model = Transformer(SHAPE, sizes)
    save_checkpoint(tmp_path / "best", model, weights_of(model), "de-en", tokenizer, update=7)
    tokenizer.save(tmp_path)
    for path in (tmp_path, tmp_path / "best"):
        found = load_checkpoint(path)
        assert (found.folder, found.pair, found.config["update"]) == (tmp_path / "best", "de-en", 7)
        assert weights_hash(found.model) == weights_hash(model) and not found.model.training
        assert found.tokenizer.fingerprint == tokenizer.fingerprint
    assert len(load_file(tmp_path / "best" / "model.safetensors")) == len(list(model.parameters()))  # a tied table once


def test_the_hash_of_weights_tells_which_tensor_is_which():
    one = torch.nn.ModuleDict({name: torch.nn.Linear(3, 5) for name in "ab"})
    swapped = torch.nn.ModuleDict({"a": one["b"], "b": one["a"]})
    same = torch.nn.ModuleDict({"b": one["b"], "a": one["a"]})
    renamed = torch.nn.ModuleDict({"c": one["a"], "d": one["b"]})  # in the same order
    assert weights_hash(one) == weights_hash(same)
    assert len({weights_hash(each) for each in (one, swapped, renamed)}) == 3


def test_best_comes_before_last_and_either_will_do(run: Path):
    assert load_checkpoint(run).folder == run / "best"
    assert load_checkpoint(run / "last").folder == run / "last"
    shutil.rmtree(run / "best")
    with pytest.raises(A2DError, match="run 'elsewhere' is finished, but its weights are gone"):
        load_checkpoint(run)
    Run(run).record(finished=False)  # still in training, and never validated
    assert load_checkpoint(run).folder == run / "last"


def test_a_weights_file_cut_anywhere_is_refused(run: Path):
    path = run / "best" / "model.safetensors"
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 1009, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            A2DError, match=r"best/model.safetensors: cut short or not written by a2d .*copy the file again"
        ):
            load_checkpoint(run)
    path.unlink()
    with pytest.raises(A2DError, match=r"best: no checkpoint here .*expected config.json and model.safetensors"):
        load_checkpoint(run)


def test_weights_of_another_model_are_refused(run: Path):
    path = run / "best" / "model.safetensors"
    weights = load_file(path)
    name = "decoder_layers.1.feed_forward.fc1.weight"
    save_file({key: value for key, value in weights.items() if key != name}, path)
    with pytest.raises(A2DError, match=rf"weights do not fit the model: '{name}' stands on one side only"):
        load_checkpoint(run)
    save_file({**weights, name: weights[name][:, :17].contiguous()}, path)
    with pytest.raises(A2DError, match=rf"best: '{name}' has shape \[48, 17\], the model \[48, 32\]"):
        load_checkpoint(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a checkpoint config of a2d: Expecting value"),
        ('{"format": 1, "pair": "de', "not a checkpoint config of a2d: Unterminated string"),
        ("[1]", "not a checkpoint config of a2d: no JSON object"),
        ("\udcff", "not a checkpoint config of a2d: 'utf-8' codec can't decode byte 0xff"),
        ('{"architectures": ["MarianMTModel"]}', "no format number: not written by a2d"),
        ('{"format": 1}', "not a checkpoint config of a2d: Object missing required field `pair`"),
        ('{"format": 2}', r"config.json: format 2 is newer than this a2d reads \(up to 1\) .*pip install -U a2d-cli"),
    ],
)
def test_a_config_that_is_not_ours_is_refused(run: Path, text: str, message: str):
    (run / "best" / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(A2DError, match=message):
        load_checkpoint(run)


@pytest.mark.parametrize("shape", [{"d_model": 33}, {"num_heads": 5}, {"d_model": "wide"}, {"depth": 3}])
def test_a_shape_that_cannot_be_is_refused(run: Path, shape: dict[str, object]):
    config = json.loads((run / "best" / "config.json").read_text(encoding="utf-8"))
    edit_config(run, shape={**config["shape"], **shape})
    with pytest.raises(A2DError, match="best/config.json: (not a checkpoint config of a2d|d_model): "):
        load_checkpoint(run)


def test_a_checkpoint_needs_the_tokenizer_it_was_trained_with(run: Path):
    edit_config(run, tokenizer="0123456789abcdef")
    with pytest.raises(
        A2DError, match=r"is not the one it was trained with \(0123456789abcdef\) .*copy the whole run folder"
    ):
        load_checkpoint(run)
    (run / "spm.model").unlink()
    with pytest.raises(A2DError, match="spm.model: no such tokenizer file"):
        load_checkpoint(run)


def test_a_folder_without_checkpoint_is_refused(tmp_path: Path):
    with pytest.raises(A2DError, match=r"no checkpoint here .*expected config.json and model.safetensors"):
        load_checkpoint(tmp_path)


class Attack:
    """What a pickle could do to whoever reads it."""

    def __reduce__(self):
        return (os.mkdir, ("attacked",))


def test_a_training_state_that_is_not_ours_is_refused(a2d: Launcher, project: Path):
    command = ["train-teacher", *settings({"training.max_updates": 2, "training.decode_below_nll": 0})]
    a2d.well(project, *command)
    path, more = project / "runs/teacher/training_state.pt", [*command, "--name", "teacher"]
    info = project / "runs/teacher/run.json"
    info.write_text(info.read_text(encoding="utf-8").replace('"finished": true', '"finished": false'), encoding="utf-8")
    whole = path.read_bytes()
    state = torch.load(path, weights_only=True)

    def refusal() -> str:
        return a2d.error(project, *more, code=1)

    for broken in (b"", whole[:1009], whole[: len(whole) - 5], b"PK\x03\x04 of someone else", pickle.dumps(Attack())):
        path.write_bytes(broken)
        said = refusal()
        assert "training_state.pt: cut short or not a training state of a2d (" in said
        assert "hint: begin the run anew with --overwrite, or take its weights from " in said
    assert not (project / "attacked").exists()
    for changed in (
        {},
        {"format": 1},
        {**state, "optimizer": {}},
        {**state, "state": {"epoch": 3}},
        {**state, "objective": 7},
    ):
        torch.save(changed, path)
        assert "cut short or not a training state of a2d (" in refusal()
    torch.save({**state, "objective": {**state["objective"], "surplus": torch.zeros(1)}}, path)
    assert "weights do not fit the model: 'surplus' stands on one side only" in refusal()
    torch.save({**state, "format": 2}, path)
    assert (
        "training_state.pt: format 2 is newer than this a2d reads (up to 1)\nhint: upgrade: pip install -U a2d-cli"
        in refusal()
    )
    path.write_bytes(whole)
    a2d.well(project, *more)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("project.json", ["status"]),
        ("runs/teacher/run.json", ["train-teacher"]),
        ("runs/teacher/best/config.json", ["translate"]),
        ("runs/teacher/recipe.yaml", ["translate"]),
        ("a2d.yaml", ["train-teacher"]),
    ],
)
def test_files_of_a_later_version_are_refused_by_name(
    a2d: Launcher, taught_project: Path, name: str, command: list[str]
):
    path = taught_project / name
    text = path.read_text(encoding="utf-8")
    newer = (
        text.replace('"format": 1', '"format": 99')
        if path.suffix == ".json"
        else text.replace("format: 1", "format: 99", 1)
    )
    assert newer != text
    path.write_text(newer, encoding="utf-8")
    said = a2d.error(taught_project, *command, code=2 if path.suffix == ".yaml" else 1)
    assert path.name in said and "99 is newer than this a2d reads" in said
    assert "hint: upgrade: pip install -U a2d-cli" in said
