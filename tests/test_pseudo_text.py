"""`a2d distill --pseudo`: learning from lines and their translations, whoever made them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Launcher, settings

from a2d_cli.data.corpus import ParallelCorpus
from a2d_cli.data.tokenizer import Tokenizer

QUICK = settings(
    {
        "training.max_updates": 3,
        "training.schedule": "inverse_sqrt",
        "training.decode_below_nll": 0,
        "training.average_last": 0,
    }
)


def write(path: Path, lines: list[str]) -> str:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def pseudo(prepared: Path, tmp_path: Path) -> list[str]:
    """17 pairs with one empty line on each side, a validation source, and a test target in other case."""
    sources = [*read(prepared, "train.de")[:17], "", "babo", read(prepared, "valid.de")[3], "ba be bi"]
    translations = [*read(prepared, "train.en")[:17], "BA", " ", "BE", read(prepared, "test.en")[5].lower()]
    return ["--pseudo", write(tmp_path / "src", sources), write(tmp_path / "hyp", translations)]


def read(project: Path, name: str) -> list[str]:
    return (project / "data/text" / name).read_text(encoding="utf-8").split("\n")[:-1]


def test_the_pairs_take_the_place_of_the_training_text(a2d: Launcher, project: Path, pseudo: list[str]):
    ended = a2d.well(project, "distill", "--method", "ce", *pseudo, *QUICK)
    assert "pseudo text: 17 of 21 pairs; dropped: empty 2 · valid 1 · test 1" in ended.err
    assert "M parameters, 17 pairs (0 over" in ended.err
    run = project / "runs/ce-pseudo"
    corpus, tokenizer = ParallelCorpus.open(run / "pseudo", "train", "de", "en"), Tokenizer.load(run)
    assert len(corpus) == 17
    for i, (src, hyp) in enumerate(zip(read(project, "train.de"), read(project, "train.en"), strict=True)):
        if i < 17:
            np.testing.assert_array_equal(corpus.src(i), tokenizer.encode_src([src])[0])
            np.testing.assert_array_equal(corpus.tgt(i), tokenizer.encode_tgt([hyp])[0])
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["method"] == "ce-pseudo"


def test_every_method_learns_from_them(a2d: Launcher, taught_project: Path, pseudo: list[str]):
    for options, name in (
        ([], "a2d-diagonal-pseudo"),
        (["--method", "word", "--seed", "3"], "word-pseudo-seed3"),
        (["--method", "a2d-release", "--name", "mine"], "mine"),
    ):
        a2d.well(taught_project, "distill", *pseudo, *options, *QUICK)
        assert (taught_project / "runs" / name / "best/model.safetensors").is_file()


def test_the_same_files_go_on_and_other_files_do_not(a2d: Launcher, project: Path, pseudo: list[str], tmp_path: Path):
    command = ["distill", "--method", "ce", "--set", "student_training.schedule=inverse_sqrt"]
    a2d.well(project, *command, *pseudo, *QUICK)
    moved = ["--pseudo", *(str(shutil.copy(path, f"{path}.copy")) for path in pseudo[1:])]
    ended = a2d.well(project, *command, *moved, *QUICK, "--set", "training.max_updates=5")
    assert "pseudo text" not in ended.err and "resuming ce-pseudo at update 3" in ended.err  # encoded once
    write(Path(pseudo[2]), [*Path(pseudo[2]).read_text(encoding="utf-8").split("\n")[:-2], "other"])
    said = a2d.error(project, *command, *pseudo, *QUICK, "--set", "training.max_updates=5", code=2)
    assert said.startswith("error: run 'ce-pseudo' exists with other settings: pseudo: ")
    a2d.well(project, *command, *pseudo, *QUICK, "--overwrite")


def test_files_that_cannot_be_used_leave_no_run(a2d: Launcher, project: Path, tmp_path: Path):
    src = write(tmp_path / "src", ["ba", "be", "bi"])
    command = ["distill", "--method", "ce", *QUICK, "--pseudo", src]
    hyp = tmp_path / "hyp"
    said = a2d.error(project, *command, str(hyp), code=2)
    assert f"--pseudo: no such file: {hyp}\nhint: the current folder is" in said
    write(hyp, ["BA", "BE"])
    said = a2d.error(project, *command, str(hyp), code=1)
    assert f"the two sides differ: {src} has 3 lines, {hyp} has 2" in said
    hyp.write_bytes(b"BA\nB\xe4\nBI\n")
    assert f"{hyp}: line 2 is not UTF-8 (byte 2 is 0xe4)" in a2d.error(project, *command, str(hyp), code=1)
    write(hyp, ["BA", "", "  "])
    write(Path(src), [read(project, "valid.de")[0], "be", "bi"])
    said = a2d.error(project, *command, str(hyp), code=1)
    assert f"{src} and {hyp}: none of 3 pairs is left (2 with an empty side, 1 in a held-out set)" in said
    assert not (project / "runs/ce-pseudo/run.json").exists()
    write(hyp, ["BA", "BE", "BI"])
    a2d.well(project, *command, str(hyp))
