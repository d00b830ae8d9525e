"""`a2d export`: a folder that is the model, is complete, and is refused where it would be worse."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Launcher, edit
from listener import Listener
from safetensors.torch import load_file, save_file

from a2d_cli.commands.export import _data, _open_job, warn_of_loops
from a2d_cli.commands.opened_model import open_export
from a2d_cli.errors import A2DError
from a2d_cli.export.verification import Gate, require_passed
from a2d_cli.files import sha256_file, write_json
from a2d_cli.json_files import read_json
from a2d_cli.project.exported import exports_named, list_exports, read_export
from a2d_cli.project.project import Project
from a2d_cli.reporting import Reporter

FOLDER = "exports/teacher-ct2-int8"


@pytest.fixture(scope="module")
def exported(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose teacher is exported. Read it."""
    folder = tmp_path_factory.mktemp("exported") / "project"
    shutil.copytree(taught, folder)
    ended = a2d.well(folder, "export", "teacher")
    assert ended.out == f"{folder / FOLDER}\n" and ended.err.endswith(
        "next: a2d translate --model teacher < input.txt\n"
    )
    return folder


@pytest.fixture
def project(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "project"))


def translate(a2d: Launcher, folder: Path, *options: str) -> list[str]:
    lines = (folder / "data/text/test.de").read_bytes()
    return a2d.well(folder, "translate", *options, stdin=lines).out.split("\n")


def test_the_manifest_tells_what_the_folder_is_and_how_it_was_proved(exported):
    manifest = read_json(exported / FOLDER / "a2d.json")
    weights = exported / "runs/teacher/best/model.safetensors"
    assert manifest["weights_sha256"] == sha256_file(weights)
    assert (manifest["to"], manifest["quantization"], manifest["kind"]) == ("ct2", "int8", "teacher")
    assert manifest["checks"]["exactness"]["max_difference_nats"] < 1e-4
    assert manifest["checks"]["gate"]["sentences"] == 29
    assert manifest["files"] == {
        name: sha256_file(exported / FOLDER / name)
        for name in ("config.json", "model.bin", "shared_vocabulary.json", "spm.model")
    }
    assert {path.name for path in (exported / FOLDER).iterdir()} == {*manifest["files"], "a2d.json", "README.md"}
    assert manifest["data"]["training_pairs"] == 2500


def test_the_data_are_those_of_the_run_and_not_of_the_project_as_it_is_now(project: Path):
    edit(project / "project.json", lambda values: values["prepared"].update(data_fingerprint="of another text"))
    recipe = project / "runs/teacher/recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("licence: yours", "licence: research only"))
    job = _open_job(Project(project), project / "runs/teacher", Reporter())
    found = _data(job)
    assert (found["licence"], found["training_pairs"]) == ("research only", None)
    assert found["fingerprint"] == read_json(project / "runs/teacher/run.json")["settings"]["data"]
    (project / "runs/teacher/run.json").unlink()  # a checkpoint from elsewhere
    assert set(_data(_open_job(Project(project), project / "runs/teacher/best", Reporter())).values()) == {None}


def test_translate_takes_the_export_by_itself_and_says_the_same(a2d, exported):
    by_itself, by_ct2, by_torch = (
        translate(a2d, exported, *options) for options in ((), ("--engine", "ct2"), ("--engine", "torch"))
    )
    assert by_itself == by_ct2
    same = sum(one == other for one, other in zip(by_itself, by_torch, strict=True))
    assert same > 0.6 * len(by_torch)  # a model so small is much the worse for int8


def test_the_command_that_export_ends_with_translates_with_that_very_export(a2d, project):
    """Whatever else was exported before, and from wherever the project is named."""
    for options, place in (
        (["-q", "float32"], "exports/teacher-ct2-float32"),
        (["-o", "my model"], "my model"),
        (["--overwrite"], FOLDER),
    ):
        said = a2d.well(project.parent, "-C", project.name, "export", "teacher", *options).err
        place = place if options[0] == "-o" else f"project/{place}"
        a2d_, *command = shlex.split(said.splitlines()[-1].removeprefix("next: ").removesuffix(" < input.txt"))
        told = a2d.well(project.parent, *command, "--verbose", stdin=b"x\n").err
        assert (
            a2d_ == "a2d"
            and told
            == f"translating with {place} (teacher in {'float32' if 'float32' in place else 'int8'}, ctranslate2)\n"
        )
    assert command == ["-C", "project", "translate", "--model", "teacher"]


def test_an_export_of_the_last_weights_is_no_export_of_the_run(a2d, project):
    shutil.rmtree(project / "exports")
    weights = project / "runs/teacher/last/model.safetensors"
    save_file({name: 1.01 * values for name, values in load_file(weights).items()}, weights)
    a2d.well(project, "export", "runs/teacher/last", "-q", "float32")
    (found,) = (each for each in list_exports(Project(project)) if each.folder.name == "teacher-last-ct2-float32")
    assert found.manifest.name == "teacher-last"
    said = a2d.error(project, "translate", "--model", "runs/teacher/best", "--engine", "ct2", stdin=b"x\n", code=2)
    assert "no CTranslate2 export of 'teacher' as it is now\nhint: a2d export teacher\n" in said


def test_a_broken_manifest_is_in_nobodys_way(a2d, exported, tmp_path):
    project = Path(shutil.copytree(exported, tmp_path / "project"))
    broken = project / "exports/foo-ct2-int8/a2d.json"
    broken.parent.mkdir()
    broken.write_text("{", encoding="utf-8")
    assert translate(a2d, project) == translate(a2d, exported)
    assert [each.manifest.name for each in exports_named(Project(project), "teacher")] == ["teacher"]


def test_ones_own_broken_manifest_is_told(a2d, project):
    (project / FOLDER / "a2d.json").write_text("{", encoding="utf-8")
    ended = a2d.well(project, "translate", "--verbose", stdin=b"x\n")
    assert f"warning: an export is left out: {project / FOLDER}/a2d.json: not a manifest" in ended.err
    assert "(torch)" in ended.err
    said = a2d.error(project, "translate", "--engine", "ct2", stdin=b"x\n", code=2)
    assert "(broken: " in said and said.rstrip().endswith("hint: a2d export teacher --overwrite")
    a2d.well(project, *said.rstrip().rpartition("hint: a2d ")[2].split())


def test_the_folder_needs_nothing_else(a2d, exported, tmp_path):
    alone = shutil.copytree(exported / FOLDER, tmp_path / "elsewhere" / "model")
    text = (exported / "data/text/test.de").read_bytes()
    out = a2d.well(tmp_path, "translate", "--model", str(alone), stdin=text).out
    assert out.split("\n") == translate(a2d, exported)


def test_a_float_export_says_the_very_same_as_torch(a2d, project):
    a2d.well(project, "export", "teacher", "-q", "float32", "-o", "float")
    found, expected = (
        translate(a2d, project, "--format", "jsonl", *options)
        for options in (("--model", "float"), ("--engine", "torch"))
    )
    for one, other in zip(found[:-1], expected[:-1], strict=True):
        one, other = json.loads(one), json.loads(other)
        assert one["score"] == pytest.approx(other["score"], abs=2e-4)
        assert one["translation"] == other["translation"]


def test_links_between_words_come_with_both_engines(a2d, exported):
    """The invented language turns the order round: the first word belongs to the last."""
    lines = translate(a2d, exported, "--alignment", "--engine", "torch")[:-1]
    links = [line.split(" ||| ")[1].split() for line in lines]
    sources = (exported / "data/text/test.de").read_text().split("\n")[:-1]
    right = total = 0
    for source, found in zip(sources, links, strict=True):
        last = len(source.split()) - 1
        right += sum(link == f"{i}-{last - i}" for link in found for i in [int(link.split("-")[0])])
        total += len(found)
    assert right > 0.35 * total  # by chance: one in four
    by_ct2 = translate(a2d, exported, "--alignment")[:-1]
    assert sum(one == other for one, other in zip(by_ct2, lines, strict=True)) > 0.7 * len(lines)


def test_links_have_their_place_in_every_format(a2d, exported):
    text = (exported / "data/text/test.de").read_bytes().split(b"\n")[0] + b"\n\n"
    plain, tsv, jsonl = (
        a2d.well(exported, "translate", "--alignment", "--format", form, stdin=text).out.split("\n")
        for form in ("text", "tsv", "jsonl")
    )
    links = plain[0].split(" ||| ")[1]
    assert plain[1] == " ||| "
    assert tsv[0].split("\t")[3] == json.loads(jsonl[0])["alignment"] == links
    assert tsv[1].split("\t")[3] == json.loads(jsonl[1])["alignment"] == ""


def test_score_shows_the_int8_model_beside_the_float_one(a2d, exported):
    rows = json.loads(a2d.well(exported, "score", "--json").out)["rows"]
    teacher, int8 = rows
    assert [teacher["model"], int8["model"]] == ["teacher", "teacher int8"]
    assert int8["file_bytes"] == (exported / FOLDER / "model.bin").stat().st_size != teacher["file_bytes"]
    assert abs(int8["scores"][0]["score"] - teacher["scores"][0]["score"]) < 5
    assert int8["engine"].startswith("ctranslate2 ") and teacher["engine"].startswith("torch ")


def test_the_model_card_tells_the_scores_as_soon_as_there_are_some(a2d, project):
    card = project / FOLDER / "README.md"
    shutil.rmtree(project / "scores", ignore_errors=True)
    a2d.well(project, "export", "teacher", "--overwrite")
    assert "No test set was scored before this export." in card.read_text(encoding="utf-8")
    a2d.well(project, "score", "-b", "1")
    assert "No test set was scored" in card.read_text(encoding="utf-8")  # with other settings than the export's
    a2d.well(project, "score")
    told = card.read_text(encoding="utf-8")
    assert "| teacher | test | 37 |" in told and "| teacher int8 | test | 37 |" in told
    manifest = project / FOLDER / "a2d.json"
    card.write_text("old")
    card.chmod(0o400)
    manifest.write_text("{")
    ended = a2d.well(project, "score", "--model", "teacher")
    assert f"warning: an export is left out: {manifest}: " in ended.err
    ended = a2d.well(project, "score")
    assert f"warning: an export is left out: {manifest}: " in ended.err and "next: a2d distill\n" in ended.err


def test_a_folder_for_transformers_says_itself_how_it_is_used(a2d: Launcher, taught: Path, tmp_path: Path):
    project = Path(shutil.copytree(taught, tmp_path / "project"))
    said = a2d.well(project, "export", "teacher", "--to", "hf").err
    assert said.endswith("next: exports/teacher-hf/README.md says how to use it\n")
    assert "AutoModelForSeq2SeqLM" in (project / "exports/teacher-hf/README.md").read_text(encoding="utf-8")


def test_an_export_that_is_being_written_is_not_seen(a2d, project):
    (whole,) = list_exports(Project(project))
    shutil.copytree(whole.folder, whole.folder.parent / f".{whole.folder.name}.x.tmp")
    assert [each.folder for each in list_exports(Project(project))] == [whole.folder]
    assert a2d.well(project, "status").out.count(whole.folder.name) == 1


def test_status_names_the_export(a2d, exported):
    out = a2d.well(exported, "status").out
    assert "export of teacher" in out and FOLDER in out


def test_no_torch_is_loaded_to_translate_with_an_export(a2d, exported):
    ended = a2d(exported, "translate", stdin=b"x\n", before="import sys; sys.modules['torch'] = None")
    assert ended.code == 0, ended.err


def test_torch_keeps_its_threads_beside_ctranslate2(exported):
    """They share one OpenMP, whose number of threads CTranslate2 sets."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        open_export(read_export(exported / FOLDER), "cpu", threads=1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


# What is refused


def test_a_folder_that_is_not_empty_is_kept(a2d, project):
    before = (project / FOLDER / "a2d.json").read_bytes()
    said = a2d.error(project, "export", "teacher", code=2)
    assert "exports/teacher-ct2-int8 is not empty" in said and "--overwrite" in said
    assert (project / FOLDER / "a2d.json").read_bytes() == before
    (project / "mine").mkdir()
    (project / "mine" / "thesis.txt").write_text("all of it")
    said = a2d.error(project, "export", "teacher", "-o", "mine", "--overwrite", code=2)
    assert "mine is no export" in said and (project / "mine" / "thesis.txt").exists()


def test_an_export_is_replaced_if_asked(a2d, project):
    created = read_json(project / FOLDER / "a2d.json")["created"]
    (project / FOLDER / "extra").write_text("")
    a2d.well(project, "export", "teacher", "--overwrite")
    assert read_json(project / FOLDER / "a2d.json")["created"] >= created
    assert not (project / FOLDER / "extra").exists()
    assert not [*(project / "exports").glob(".*")]


def test_of_a_deleted_run_its_export_is_named(a2d, project):
    shutil.rmtree(project / "runs/teacher")
    said = a2d.error(project, "translate", "--model", "teacher", stdin=b"x\n", code=2)
    assert said == (
        f"error: no run or folder 'teacher'\nhint: what was exported of it is still there: --model {FOLDER}\n"
    )
    assert a2d.well(project, "translate", "--model", FOLDER, stdin=b"x\n").out.count("\n") == 1


def test_a_run_in_training_is_refused(a2d, project):
    info = project / "runs/teacher/run.json"
    write_json(info, {**read_json(info), "finished": False})
    said = a2d.error(project, "export", "teacher", "--overwrite", code=2)
    assert "run 'teacher' is still in training" in said


def test_a_model_without_its_tokenizer_is_refused(a2d, project):
    (project / "runs/teacher/spm.model").unlink()
    said = a2d.error(project, "export", "teacher", "--overwrite", code=1)
    assert "spm.model: no such tokenizer file" in said
    assert (project / FOLDER / "model.bin").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nobody"], "no run or folder 'nobody'"),
        (["--to", "onnx"], "--to: 'onnx' is none of ct2, hf"),
        (["-q", "int3"], "--quantization: 'int3' is none of float32"),
        (["--to", "hf", "-q", "int8"], "--quantization int8 goes with --to ct2"),
        ([FOLDER], "is an export itself"),
    ],
)
def test_what_cannot_be_is_named(a2d, exported, options, words):
    assert words in a2d.error(exported, "export", *options, code=2)


def test_a_missing_engine_names_its_package(a2d, exported):
    gone = "import sys; sys.modules['ctranslate2'] = None"
    for command in (["export", "teacher", "--overwrite"], ["translate"]):
        said = a2d.error(exported, *command, before=gone, code=1)
        assert "needs the package ctranslate2" in said and "pip install" in said
    assert (exported / FOLDER / "model.bin").exists()


def test_an_export_that_lost_a_file_is_named(a2d, project):
    (project / FOLDER / "model.bin").unlink()
    said = a2d.error(project, "translate", stdin=b"x\n", code=1)
    assert "'model.bin' is missing" in said and "a2d export" in said


def test_a_damaged_export_translates_nothing(a2d, project):
    path = project / FOLDER / "model.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    path.write_bytes(data)
    said = a2d.error(project, "translate", stdin=b"x\n", code=1)
    assert "'model.bin' is not as it was exported: damaged, or edited" in said and "a2d export" in said


def test_a_broken_export_is_no_matter_of_other_models(a2d, project):
    other = shutil.copytree(project / FOLDER, project / "exports/other")
    edit(other / "a2d.json", lambda values: values.update(name="other", weights_sha256="0" * 64))
    (other / "model.bin").unlink()
    assert "(teacher in int8, ctranslate2)" in a2d.well(project, "translate", "-v", stdin=b"x\n").err
    assert "no run or folder 'gone'" in a2d.error(project, "translate", "--model", "gone", stdin=b"x\n", code=2)


def test_an_export_of_other_weights_is_not_used(a2d, project):
    manifest = project / FOLDER / "a2d.json"
    write_json(manifest, {**read_json(manifest), "weights_sha256": "0" * 64})
    ended = a2d.well(project, "translate", stdin=b"x\n")
    assert "is of other weights than it has now" in ended.err and "export teacher --overwrite" in ended.err
    assert "no CTranslate2 export of 'teacher'" in a2d.error(
        project, "translate", "--engine", "ct2", stdin=b"x\n", code=2
    )


def gate(**changes: float) -> Gate:
    values = {
        "sentences": 100,
        "beam": 5,
        "chrf_float": 50.0,
        "chrf_quantised": 49.8,
        "bleu_float": 30.0,
        "bleu_quantised": 29.0,
    }
    return Gate(**{**values, "equal": 0.9, "loops_float": 0, "loops_quantised": 0, **changes})


def test_the_gate_lets_a_good_model_through():
    require_passed(gate(), "int8")
    require_passed(gate(chrf_quantised=49.5), "int8")
    require_passed(gate(loops_float=9, loops_quantised=15), "int8")  # 9 + 2 · 3
    require_passed(gate(sentences=400, loops_quantised=2), "int8")


def test_a_model_that_repeats_itself_before_it_is_quantised_is_warned_of():
    listener = Listener()
    warn_of_loops(gate(loops_float=10, loops_quantised=12), listener)
    assert not listener.lines
    warn_of_loops(gate(loops_float=11), listener)
    assert listener.lines[0].startswith(
        "warning: the model repeats itself in 11 of 100 validation sentences in float32 "
    )


def test_the_gate_says_by_how_much_a_model_is_worse():
    with pytest.raises(
        A2DError, match=r"int8 is refused: on 100 .* chrF2 falls by 0.62, from 50.00 to 49.38 \(at most 0.5"
    ):
        require_passed(gate(chrf_quantised=49.38), "int8")
    with pytest.raises(A2DError, match="1 translations repeat themselves, with float32 0 do"):
        require_passed(gate(loops_quantised=1), "int8")
    with pytest.raises(A2DError, match="3 translations repeat themselves, with float32 0 do"):
        require_passed(gate(sentences=400, loops_quantised=3), "int8")
    with pytest.raises(A2DError, match="16 translations repeat themselves, with float32 9 do"):
        require_passed(gate(loops_float=9, loops_quantised=16), "int8")


def test_a_refused_model_leaves_nothing_behind(a2d, project):
    strict = "import a2d_cli.export.verification as v; v.MAX_CHRF_LOSS = -99.0"
    said = a2d.error(project, "export", "teacher", "-o", "refused", before=strict, code=1)
    assert "int8 is refused" in said and "--quantization float32" in said
    assert not (project / "refused").exists() and not [*project.glob(".refused*")]
