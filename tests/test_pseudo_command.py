"""`a2d pseudo` and `a2d distill --method seq`: a student that learns from its teacher's translations."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import KILL_AT_RENAME, Launcher, own_files, settings, write_language
from listener import Listener
from safetensors.torch import load_file, save_file

from a2d_cli.commands.pseudo import batched_for, tell_what_is_whole
from a2d_cli.config.schema import Decoding, Distillation
from a2d_cli.data.aligned_text import AlignedText, TextStamp
from a2d_cli.data.cleaning import normalise
from a2d_cli.data.corpus import ParallelCorpus
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.distillation.methods import parse_method
from a2d_cli.distillation.pseudo_corpus import Candidate, PseudoCorpus, PseudoIndex, PseudoOrigin, Shard
from a2d_cli.project.project import Project

QUICK = settings(
    {
        "student_training.max_updates": 3,
        "training.schedule": "inverse_sqrt",
        "training.decode_below_nll": 0,
        "training.average_last": 0,
    }
)
SHARDS = "from a2d_cli.distillation import pseudo_corpus; pseudo_corpus.SHARD_LINES = 53\n"
STOP = """
import os, signal
from a2d_cli.decoding.translator import Translator
translate, left = Translator.translate, [3]
def stopped(self, *args, **kwargs):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return translate(self, *args, **kwargs)
Translator.translate = stopped
"""


def test_a_gpu_translates_many_sentences_at_once():
    found = [
        batched_for(torch.device(device), Decoding(batch_sentences=size)).batch_sentences
        for device in ("cpu", "cuda:1")
        for size in (32, 1009)
    ]
    assert found == [32, 1009, 256, 1009]


@pytest.fixture(scope="module")
def small(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 211 pairs, some of them long, and a teacher of another one, which has another vocabulary."""
    text, folder = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("small")
    write_language(text, {"train": 211, "valid": 7, "test": 5})
    a2d.well(
        folder,
        "prepare",
        *own_files(text),
        "--pair",
        "de-en",
        *settings({"tokenizer.vocab_size": 72}),
        *shape("student"),
    )
    shutil.copytree(taught / "runs/teacher", folder / "runs/teacher")
    return folder


def shape(role: str) -> list[str]:
    sizes = {"d_model": 8, "num_heads": 2, "ffn_dim": 11, "encoder_layers": 1, "decoder_layers": 1}
    return settings({f"{role}.{key}": value for key, value in sizes.items()})


@pytest.fixture
def small_project(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "small"))


@pytest.fixture(scope="module")
def translated(a2d: Launcher, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its teacher's translations, and a student that has learned from the best."""
    folder = Path(shutil.copytree(small, tmp_path_factory.mktemp("translated") / "small"))
    a2d.well(folder, "pseudo", before=SHARDS)
    a2d.well(folder, "distill", "--method", "seq", *QUICK)
    return folder


def folder_of(project: Path) -> Path:
    (folder,) = (project / "pseudo").iterdir()
    return folder


def corpus_of(project: Path) -> PseudoCorpus:
    """The project's translations, read as whatever they are."""
    origin = json.loads((folder_of(project) / "pseudo.json").read_text(encoding="utf-8"))["origin"]
    text = AlignedText(*(Project(project).text_path("train", lang) for lang in ("de", "en")))
    return PseudoCorpus(folder_of(project), PseudoOrigin("", TextStamp(**origin["text"]), "", Decoding()), text, 0, 0)


def candidates_of(project: Path) -> list[list[Candidate]]:
    return [candidates for _, candidates in corpus_of(project).read()]


def lines(project: Path, name: str) -> list[str]:
    return (project / "data/text" / name).read_text(encoding="utf-8").split("\n")[:-1]


def ids_of(project: Path, run: str) -> list[tuple[list[int], list[int]]]:
    corpus = ParallelCorpus.open(project / "runs" / run / "pseudo", "train", "de", "en")
    return [(corpus.src(i).tolist(), corpus.tgt(i).tolist()) for i in range(len(corpus))]


def encode(project: Path, pairs: list[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    tokenizer = Tokenizer.load(project / "data")
    sources, targets = zip(*pairs, strict=True)
    return [*zip(tokenizer.encode_src(list(sources)), tokenizer.encode_tgt(list(targets)), strict=True)]


def whole_or(reference: str, candidate: Candidate) -> str:
    return candidate.text if candidate.state == "whole" else reference


@pytest.mark.parametrize(
    ("method", "name", "needs_teacher"),
    [
        ("seq", "seq", False),
        ("ce+seq", "seq", False),
        ("word+seq", "seq+word", True),
        ("seq+a2d", "seq+a2d-diagonal", True),
        ("seq+word+a2d-masked", "seq+a2d-masked", True),
        ("seq+ce+a2d-masked", "seq+ce+a2d-masked", True),
        ("seq+a2d-release", "seq+a2d-release", True),
    ],
)
def test_seq_says_where_the_text_comes_from_and_the_other_terms_what_is_learned_on_it(
    method: str, name: str, needs_teacher: bool
):
    parsed = parse_method(Distillation(method=method))
    assert (parsed.name, parsed.needs_teacher, parsed.seq) == (name, needs_teacher, True)


def test_a_student_learns_the_teachers_translations(translated: Path):
    held_out = {line.casefold() for name in ("valid", "test") for line in lines(translated, f"{name}.en")}
    pairs = [
        (src, whole_or(tgt, candidates[0]))
        for src, tgt, candidates in zip(
            lines(translated, "train.de"), lines(translated, "train.en"), candidates_of(translated), strict=True
        )
    ]
    assert ids_of(translated, "seq") == encode(
        translated, [pair for pair in pairs if pair[1].casefold() not in held_out]
    )
    assert (
        sum(tgt == reference for (_, tgt), reference in zip(pairs, lines(translated, "train.en"), strict=True)) > 100
    )  # it is a good teacher
    info = json.loads((translated / "runs/seq/run.json").read_text(encoding="utf-8"))
    assert (info["method"], info["settings"]["pseudo"]["choice"]) == ("seq", "best")
    assert folder_of(translated).name == f"{info['settings']['teacher'][:8]}-beam5"


def test_a_teacher_whose_translations_are_lost_is_warned_of():
    listener, shard = Listener(), Shard(50, 50, "", {"loop": 3, "cut": 2})
    tell_what_is_whole(PseudoIndex({}, 1, 50, {0: shard, 1: replace(shard, not_whole={"loop": 5})}), 100, listener)
    assert listener.lines == ["100 sentences with 1 translations each; of the best not whole: cut 2 · loop 8"]
    tell_what_is_whole(PseudoIndex({}, 1, 50, {0: shard, 1: replace(shard, not_whole={"empty": 6})}), 100, listener)
    assert listener.lines[-1].startswith(
        "warning: of 11 of 100 sentences the teacher's translation is empty, cut or a loop"
    )


def test_the_translations_are_those_of_translate(a2d: Launcher, translated: Path):
    sources = lines(translated, "train.de")[:61]
    told = a2d.well(
        translated, "translate", "--model", "teacher", stdin="".join(f"{line}\n" for line in sources).encode()
    )
    found = [candidates[0].text for candidates in candidates_of(translated)[:61]]
    assert found == [normalise(line) for line in told.out.split("\n")[:-1]]  # whose spaces are as the pieces have them


@pytest.mark.parametrize(("count", "before"), [(1, False), (2, True), (5, True)])
def test_killed_anywhere_the_same_command_goes_on_with_the_first_missing_shard(
    a2d: Launcher, translated: Path, small_project: Path, count: int, before: bool
):
    killed = a2d(
        small_project,
        "distill",
        "--method",
        "seq",
        *QUICK,
        before=SHARDS + KILL_AT_RENAME.format(count=count, before=before),
    )
    assert killed.code == -9
    shards = {path: path.stat().st_mtime_ns for path in sorted(folder_of(small_project).glob("*.gz"))}
    info = folder_of(small_project) / "pseudo.json"
    done = len(json.loads(info.read_text(encoding="utf-8"))["shards"]) if info.exists() else 0
    assert done == (count - 1 + (not before)) // 2
    ended = a2d.well(small_project, "distill", "--method", "seq", *QUICK, before=SHARDS)
    assert f"\n{211 - 53 * done} sentences translated in " in ended.err
    assert all(path.stat().st_mtime_ns == shards[path] for path in [*shards][:done])
    assert candidates_of(small_project) == candidates_of(translated)
    assert ids_of(small_project, "seq") == ids_of(translated, "seq")
    assert not list(small_project.rglob(".*.tmp"))


def test_stopped_it_tells_how_to_go_on(a2d: Launcher, translated: Path, small_project: Path):
    ended = a2d(small_project, "pseudo", "--threads", "1", before=SHARDS + STOP)
    assert ended.code == 128 + 15
    assert ended.err.endswith("stopped; what is saved goes on with: a2d pseudo --threads 1\n")
    ended = a2d.well(small_project, "pseudo", before=SHARDS)
    assert f"\n{211 - 2 * 53} sentences translated in " in ended.err
    assert ended.out == f"{folder_of(small_project)}\n"
    assert candidates_of(small_project) == candidates_of(translated)
    told = json.loads(a2d.well(small_project, "pseudo", "--json").out)
    assert (told["sentences"], told["nbest"], told["decoding"]["beam"]) == (211, 5, 5)


def test_the_same_translations_serve_every_student_and_none_is_made_twice(
    a2d: Launcher, translated: Path, tmp_path: Path
):
    project = Path(shutil.copytree(translated, tmp_path / "project"))
    before = candidates_of(project)
    references = lines(project, "train.en")
    both = ["--name", "both", "--set", "distillation.pseudo_references=true"]
    ended = a2d.well(project, "distill", "--method", "seq", "--seed", "3", *both, *QUICK)
    assert "sentences translated" not in ended.err
    not_whole = sum(candidates[0].state != "whole" for candidates in before)
    held_out = {line.casefold() for name in ("valid", "test") for line in lines(project, f"{name}.en")}
    leaks = sum(candidates[0].state == "whole" and candidates[0].text.casefold() in held_out for candidates in before)
    assert len(ids_of(project, "both")) == 2 * 211 - not_whole - leaks
    a2d.well(project, "distill", "--method", "seq", "--name", "near", "--set", "distillation.pseudo=closest", *QUICK)
    targets = [tgt for _, tgt in ids_of(project, "near")]
    found = [tgt for _, tgt in encode(project, [("", reference) for reference in references])]
    among = sum(
        reference in [each.text for each in candidates if each.state == "whole"]
        for reference, candidates in zip(references, before, strict=True)
    )
    assert sum(tgt in found for tgt in targets) >= among > 0
    shutil.rmtree(project / "pseudo")  # what was learned from stands in the run
    a2d.well(project, "distill", "--method", "seq", *QUICK, "--set", "student_training.max_updates=5")
    assert not (project / "pseudo").exists()


def test_the_other_terms_are_computed_on_the_teachers_translations(a2d: Launcher, taught_project: Path):
    for method in ("seq+word", "seq+a2d"):
        ended = a2d.well(
            taught_project,
            "distill",
            "--method",
            method,
            *QUICK,
            "--set",
            "distillation.pseudo_beam=1",
            "--set",
            "distillation.cache=states",
        )
    assert "sentences translated" not in ended.err
    assert folder_of(taught_project).name.endswith("-beam1")
    for run in ("seq+word", "seq+a2d-diagonal"):
        pairs = [
            (src, whole_or(tgt, candidates[0]))
            for src, tgt, candidates in zip(
                lines(taught_project, "train.de"),
                lines(taught_project, "train.en"),
                candidates_of(taught_project),
                strict=True,
            )
        ]
        held_out = {line.casefold() for name in ("valid", "test") for line in lines(taught_project, f"{name}.en")}
        assert ids_of(taught_project, run) == encode(
            taught_project, [pair for pair in pairs if pair[1].casefold() not in held_out]
        )
    rows = [
        json.loads(line)
        for line in (taught_project / "runs/seq+word/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert all("word" in row for row in rows if row["event"] == "train")


def test_both_engines_translate_alike_and_int8_has_a_folder_of_its_own(
    a2d: Launcher, translated: Path, small_project: Path
):
    a2d.well(small_project, "pseudo", "--engine", "torch", "--threads", "1")
    pairs = zip(candidates_of(small_project), candidates_of(translated), strict=True)
    assert sum(ours[0].text == theirs[0].text for ours, theirs in pairs) >= 209  # but for near-ties
    said = a2d.error(small_project, "pseudo", "--engine", "torch", "-q", "int8", code=2)
    assert "quantization int8 goes with the ct2 engine" in said
    shutil.rmtree(small_project / "pseudo")
    assert "(ct2, int8, cpu, " in a2d.well(small_project, "pseudo", "-q", "int8", "--nbest", "2").err
    assert folder_of(small_project).name.endswith("-beam5-int8") and len(candidates_of(small_project)[0]) == 2


def test_where_ctranslate2_is_missing_torch_translates(a2d: Launcher, small_project: Path):
    without = "import sys; sys.modules['ctranslate2'] = None\n"
    ended = a2d.well(small_project, "pseudo", "--beam", "1", before=without)
    assert (
        "torch translates: the ct2 engine needs the package ctranslate2" in ended.err
        and "(torch, float32, cpu, " in ended.err
    )
    assert "ct2 engine needs" in a2d.error(
        small_project, "pseudo", "--beam", "2", "--engine", "ct2", before=without, code=1
    )


def test_a_teacher_that_has_changed_translates_anew_and_teaches_no_old_run(
    a2d: Launcher, translated: Path, tmp_path: Path
):
    project = Path(shutil.copytree(translated, tmp_path / "project"))
    old = folder_of(project)
    path = project / "runs/teacher/best/model.safetensors"
    save_file({key: value * 1.01 for key, value in load_file(path).items()}, path)
    said = a2d.error(project, "distill", "--method", "seq", *QUICK, code=2)
    assert "error: run 'seq' exists with other settings: teacher: " in said
    a2d.well(project, "distill", "--method", "seq", "--name", "new", *QUICK)
    (new,) = {*(project / "pseudo").iterdir()} - {old}
    assert new.name.endswith("-beam5")


def test_translations_of_another_text_are_refused(a2d: Launcher, translated: Path, tmp_path: Path):
    project, text = Path(shutil.copytree(translated, tmp_path / "project")), tmp_path / "text"
    write_language(text, {"train": 223, "valid": 7, "test": 5})
    a2d.well(
        project,
        "prepare",
        *own_files(text),
        "--pair",
        "de-en",
        *settings({"tokenizer.vocab_size": 72}),
        *shape("student"),
        "--overwrite",
    )
    for command in (["pseudo"], ["distill", "--method", "seq", "--name", "new", *QUICK]):
        said = a2d.error(project, *command, code=2)
        assert f"error: {folder_of(project)} was made of another text or with other settings: text.digest: " in said
        assert "hint: ask for what it was made of, or translate anew with 'a2d pseudo --overwrite'" in said
    ended = a2d.well(project, "pseudo", "--overwrite")
    assert f"{len(lines(project, 'train.de'))} sentences translated" in ended.err


def test_what_cannot_be_is_told(a2d: Launcher, prepared: Path, translated: Path, tmp_path: Path):
    said = a2d.error(prepared, "pseudo", code=2)
    assert said.startswith("error: teacher: no run or folder 'teacher'\nhint: run 'a2d train-teacher' first")
    assert "teacher: no run or folder" in a2d.error(prepared, "distill", "--method", "seq", code=2)
    assert a2d.error(tmp_path, "pseudo", code=2).startswith(f"error: {tmp_path}: nothing is prepared here")
    said = a2d.error(translated, "pseudo", "--beam", "2", "--nbest", "3", code=2)
    assert "--nbest: 3 is more than pseudo_beam 2" in said
    said = a2d.error(
        translated,
        "distill",
        "--method",
        "seq",
        *settings({"distillation.pseudo": "closest", "distillation.pseudo_beam": 1}),
        code=2,
    )
    assert "distillation.pseudo: of one translation none is the closest" in said
    files = ["--pseudo", str(tmp_path / "src"), str(tmp_path / "hyp")]
    said = a2d.error(translated, "distill", "--method", "seq+word", *files, code=2)
    assert "--pseudo brings translations, seq+word lets the teacher translate" in said
    assert "--method: 'seq' stands twice" in a2d.error(translated, "distill", "--method", "seq+seq", code=2)
    assert "--engine: 'onnx' is none of auto, torch, ct2" in a2d.error(translated, "pseudo", "--engine", "onnx", code=2)
    said = a2d.error(translated, "distill", "--method", "seq+word", *QUICK, code=2)
    assert (
        "has another vocabulary" in said
        and "or let it teach by its translations (--method seq, or --pseudo SRC HYP)" in said
    )


def test_fewer_translations_than_are_asked_for_are_refused(a2d: Launcher, small_project: Path):
    a2d.well(small_project, "pseudo", "--nbest", "1", "--beam", "2")
    two = settings({"distillation.pseudo_beam": 2})
    a2d.well(small_project, "distill", "--method", "seq", *two, *QUICK)  # the best is there
    said = a2d.error(
        small_project,
        "distill",
        "--method",
        "seq",
        "--name",
        "near",
        *two,
        "--set",
        "distillation.pseudo=closest",
        *QUICK,
        code=2,
    )
    assert f"error: {folder_of(small_project)} holds 1 translations of each sentence, 2 are asked for" in said


def test_a_teacher_in_training_or_of_the_other_direction(a2d: Launcher, small_project: Path):
    path = small_project / "runs/teacher/run.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**info, "finished": False}), encoding="utf-8")
    ended = a2d.well(small_project, "pseudo", "--beam", "1")
    assert f"the training of {path.parent} has not ended; what it has so far will translate" in ended.err
    config = small_project / "runs/teacher/best/config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"de-en"', '"en-de"'), encoding="utf-8")
    said = a2d.error(small_project, "pseudo", "--beam", "2", code=2)
    assert "translates en-de, this project de-en\nhint: choose a teacher of the same direction" in said


def test_several_processes_do_not_wait_for_one_that_translates(a2d: Launcher, small_project: Path):
    ranks = "import os; os.environ.update(WORLD_SIZE='2', RANK='0')"
    said = a2d.error(small_project, "distill", "--method", "seq", *QUICK, before=ranks, code=2)
    assert said == (
        "error: seq: the teacher has not translated the whole training text, "
        "and 2 processes would wait while one does\n"
        "hint: let it translate first, with the same --teacher and --set: a2d pseudo\n"
    )
    assert not (small_project / "runs/seq").exists()
