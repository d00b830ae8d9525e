"""`prepare`: each step once, nothing leaked, nothing repeated, nothing lost, and clear words on failure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from listener import Listener

from a2d_cli.commands import prepare as prepare_module
from a2d_cli.commands.prepare import prepare
from a2d_cli.commands.status import project_status
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import (
    Cleaning,
    CorpusFiles,
    Data,
    Download,
    Generated,
    Recipe,
    Split,
    Tokenizer,
)
from a2d_cli.data import workers
from a2d_cli.data.corpus import ParallelCorpus
from a2d_cli.data.decontamination import normal_form
from a2d_cli.data.report import STEPS
from a2d_cli.data.tokenizer import Tokenizer as LoadedTokenizer
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter

MIRROR = Path(os.environ.get("A2D_TEST_MIRROR") or Path(__file__).parents[2] / "shared" / "mirror")
needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="real corpora: no A2D_TEST_MIRROR, no ../shared/mirror")
FROM_TOKENIZER = STEPS[2:]


def sentences(first, last):
    words = ["Hund", "Mann", "Baum", "Vogel", "Zug", "Kühlschrank", "Straße"]
    return [
        (
            f"der {words[i % 7]} sieht {i * 31} mal den {words[i % 5]} .",
            f"the {words[i % 7].lower()} sees {i * 31} times .",
        )
        for i in range(first, last)
    ]


def write_pairs(folder, name, pairs):
    for side, lang in enumerate(("de", "en")):
        (folder / f"{name}.{lang}").write_text("".join(pair[side] + "\n" for pair in pairs), encoding="utf-8")
    return (CorpusFiles(str(folder / f"{name}.de"), str(folder / f"{name}.en")),)


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
    """No test here pulls the plug, and a slow disk makes each of some thousand calls wait."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def own(tmp_path):
    """A recipe for files of one's own: 211 training pairs, 13 valid, 17 test."""
    folder = tmp_path / "own"
    folder.mkdir()
    data = Data(
        train=write_pairs(folder, "train", sentences(0, 211)),
        valid=write_pairs(folder, "valid", sentences(300, 313)),
        tests={"mytest": write_pairs(folder, "test", sentences(400, 417))},
        licence="mine",
    )
    return Recipe(name="own", pair="de-en", data=data, tokenizer=Tokenizer(vocab_size=96))


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


def run(project, recipe, mirror=None, overwrite=False, reporter=None):
    return prepare(project, recipe, mirror=mirror, reporter=reporter or Reporter(), overwrite=overwrite)


def with_vocab(recipe, size):
    return replace(recipe, tokenizer=Tokenizer(vocab_size=size))


def with_data(recipe, **changes):
    return replace(recipe, data=replace(recipe.data, **changes))


def read(project, name):
    sides = [project.text_path(name, lang).read_text(encoding="utf-8").split("\n")[:-1] for lang in ("de", "en")]
    return list(zip(*sides, strict=True))


def snapshot(project):
    """Everything that lies in the project, with its times."""
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert files
    return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}


def count_leaks(project, src_lang="de", tgt_lang="en"):
    leaks = 0
    for lang in (src_lang, tgt_lang):
        files = {
            path.stem: path.read_text(encoding="utf-8").splitlines() for path in project.text_dir.glob(f"*.{lang}")
        }
        train = {normal_form(line) for line in files.pop("train")}
        assert len(files) >= 2
        leaks += sum(normal_form(line) in train for lines in files.values() for line in lines)
    return leaks


# ── what it makes ───────────────────────────────────────────────────────────────────────────────────────────


def test_from_files_to_ids(project, own):
    dirty = [
        ("", "a"),
        sentences(400, 401)[0],
        ("der  Baum\ufeff .", "the tree ."),
        ("der Baum .", "the tree ."),
        ("a", "a"),
    ]
    own = with_data(own, train=write_pairs(project.folder.parent / "own", "train", sentences(0, 211) + dirty))
    done = run(project, own)

    assert done.steps_done == STEPS
    assert read(project, "train") == [*sentences(0, 211), ("der Baum .", "the tree .")]
    assert read(project, "valid") == sentences(300, 313)
    assert read(project, "mytest") == sentences(400, 417)

    report = json.loads(project.report_path.read_text(encoding="utf-8"))
    (train,) = [source for source in report["steps"]["clean"]["sources"] if source["set"] == "train"]
    assert (train["read"], train["kept"]) == (216, 213)
    assert train["dropped"] == {"empty": 1, "duplicate": 1, "identical": 1}
    assert train["samples"]["duplicate"] == [["der Baum .", "the tree ."]]
    assert report["steps"]["decontaminate"]["leaks"]["train"]["dropped"] == {"mytest": 1}
    assert report["licence"] == "mine"

    tokenizer = LoadedTokenizer.load(project.data_dir)
    assert tokenizer.src_vocab_size == 96
    corpus = ParallelCorpus.open(project.data_dir, "train", "de", "en")
    assert len(corpus) == 212
    assert tokenizer.decode_tgt([corpus.tgt(211).tolist()]) == ["the tree ."]
    lengths = report["steps"]["ids"]["lengths"]["train"]["de"]
    assert lengths["max"] == corpus.src_lengths.max()
    assert lengths["mean"] == pytest.approx(corpus.src_lengths.mean(), abs=0.01)

    state = project.state()
    assert state["recipe"] == "own"
    assert state["prepared"]["tests"] == ["mytest"]
    assert state["prepared"]["tokenizer_fingerprint"] == tokenizer.fingerprint
    assert read_project_recipe(project.recipe_path) == own
    project.require_prepared()


def test_the_summary_says_it_all(project, own):
    rows = dict(run(project, own).summary_rows())
    assert rows["read"] == "211 training pairs"
    assert rows["dropped by cleaning"] == "nothing"
    assert rows["mytest"] == "17 pairs"
    assert rows["vocabulary"] == "96 joint"
    assert rows["licence"] == "mine"
    again = run(project, own)
    assert "ids unchanged" in dict(again.summary_rows())["steps"]
    assert dict(again.summary_rows())["mytest"] == "17 pairs"


def test_two_vocabularies(project, own):
    done = run(project, replace(own, tokenizer=Tokenizer(vocab_size=56, joint=False)))
    assert dict(done.summary_rows())["vocabulary"] == "56 + 56"
    assert not LoadedTokenizer.load(project.data_dir).joint
    assert run(project, own).steps_done == FROM_TOKENIZER
    assert not (project.data_dir / "spm.src.model").exists()


def test_a_test_set_can_give_way(project, own):
    own = with_data(own, tests={"mytest": write_pairs(project.folder.parent / "own", "test", sentences(205, 310))})
    run(project, with_data(own, reduce_tests=("mytest",)))
    assert len(read(project, "train")) == 211
    assert read(project, "valid") == sentences(300, 313)
    assert read(project, "mytest") == sentences(211, 300)
    run(project, own)
    assert read(project, "train") == sentences(0, 205)
    assert read(project, "valid") == sentences(310, 313)
    assert count_leaks(project) == 0


def test_training_text_alone_is_split(project, own):
    heard = Listener()
    run(project, with_data(own, valid=(), tests={}), reporter=heard)
    assert any("10 for valid and 10 for test" in line for line in heard.lines)
    assert len(read(project, "valid")) == len(read(project, "test")) == 10
    assert sorted(read(project, "train") + read(project, "valid") + read(project, "test")) == sorted(sentences(0, 211))
    assert count_leaks(project) == 0


def test_only_what_is_missing_is_split_off(project, own):
    run(project, with_data(own, tests={}))
    assert read(project, "valid") == sentences(300, 313)
    assert len(read(project, "test")) == 10


def test_every_nth_pair_goes_to_valid(project, own):
    run(project, with_data(own, valid=(), split=Split("every", every=23)))
    assert read(project, "valid") == [sentences(i - 1, i)[0] for i in range(23, 211, 23)]
    assert len(read(project, "train")) == 211 - 9
    assert len(read(project, "mytest")) == 17


def test_the_demo_corpus_takes_the_same_path(project):
    recipe = Recipe(
        name="demo",
        pair="en-de",
        data=Data(generated=Generated(train_pairs=300, valid_pairs=20, test_pairs=20)),
        tokenizer=Tokenizer(vocab_size=200),
    )
    done = run(project, recipe)
    assert done.values["tests"] == ["test"]
    assert count_leaks(project) == 0
    english = project.text_path("test", "en").read_text(encoding="utf-8").split()
    assert {"the", "The"} & set(english)
    with pytest.raises(ConfigError, match="German and English, not de-fr"):
        run(project, replace(recipe, pair="de-fr"))


# ── what it does again, and what not ────────────────────────────────────────────────────────────────────────


def test_nothing_is_repeated(project, own):
    run(project, own)
    before = snapshot(project)
    assert run(project, own).steps_done == ()
    after = snapshot(project)
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed <= {"report.json", "project.json"}
    assert before.keys() == after.keys()


def test_a_changed_option_redoes_what_depends_on_it(project, own):
    run(project, own)
    text = project.text_path("train", "de").stat().st_mtime_ns
    assert run(project, with_vocab(own, 88)).steps_done == FROM_TOKENIZER
    assert project.text_path("train", "de").stat().st_mtime_ns == text
    assert ParallelCorpus.open(project.data_dir, "train", "de", "en").index.tokenizer == (
        LoadedTokenizer.load(project.data_dir).fingerprint
    )
    assert run(project, replace(own, cleaning=Cleaning(max_words=99))).steps_done == STEPS
    training = replace(own.training, lr=0.5)
    assert run(project, replace(own, cleaning=Cleaning(max_words=99), training=training)).steps_done == ()
    assert read_project_recipe(project.recipe_path).training.lr == 0.5
    assert run(project, with_data(own, tests={}, split=Split("components", test_pairs=7))).steps_done == STEPS
    assert run(project, with_data(own, tests={}, split=Split("components", test_pairs=9))).steps_done == STEPS[1:]
    # What the older recipe had made is not left to be taken for this one's.
    assert sorted(path.name for path in project.text_dir.iterdir()) == [
        "test.de", "test.en", "train.de", "train.en", "valid.de", "valid.en",
    ]  # fmt: skip


def test_content_counts_not_time_or_place(project, own, tmp_path):
    run(project, own)
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "own", moved)
    data = Data(
        train=(CorpusFiles(str(moved / "train.de"), str(moved / "train.en")),),
        valid=(CorpusFiles(str(moved / "valid.de"), str(moved / "valid.en")),),
        tests={"mytest": (CorpusFiles(str(moved / "test.de"), str(moved / "test.en")),)},
        licence="mine",
    )
    assert run(project, replace(own, data=data)).steps_done == ()
    write_pairs(moved, "train", sentences(0, 210))
    assert run(project, replace(own, data=data)).steps_done == STEPS


def test_files_that_nobody_needs_may_be_deleted(project, own):
    run(project, own)
    shutil.rmtree(project.data_dir / "cleaned")
    assert run(project, with_vocab(own, 88)).steps_done == FROM_TOKENIZER
    project.text_path("valid", "en").unlink()
    assert run(project, with_vocab(own, 88)).steps_done == STEPS
    (project.data_dir / "train.de.ids").unlink()
    assert run(project, with_vocab(own, 88)).steps_done == ("ids",)


def test_what_several_processes_make_is_what_one_makes(own, tmp_path, monkeypatch):
    dirty = [
        ("", "a"),
        sentences(400, 401)[0],
        ("der  Baum\ufeff .", "the tree ."),
        ("der Baum .", "the tree ."),
        ("a", "a"),
    ]
    pairs = [*sentences(0, 150), *dirty, *sentences(90, 211), *dirty]
    own = with_data(own, train=write_pairs(tmp_path / "own", "train", pairs))
    start, started = workers._workers, []

    def noted(function, number):
        started.append(number)
        return start(function, number)

    monkeypatch.setattr(workers, "_workers", noted)
    monkeypatch.setattr(workers, "CHUNK_PAIRS", 17)
    monkeypatch.setattr(workers, "ALONE_PAIRS", 51)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(workers, "num_cores", lambda cores=cores: cores)
        project = Project(tmp_path / f"by-{cores}")
        run(project, own)
        files = {
            path.relative_to(project.folder): path.read_bytes()
            for path in project.data_dir.rglob("*")
            if path.is_file()
        }
        report = json.loads(files.pop(Path("data/report.json")))
        for section in report["steps"].values():
            del section["duration_s"]
        found.append((files, json.dumps(report)))
    assert found[0] == found[1]
    assert len(found[0][0]) > 20
    assert started == [3, 3, 3]  # clean, decontaminate, ids


@pytest.mark.parametrize("broken_step", ["clean_held_out", "Decontamination", "train_tokenizer", "write_corpus"])
def test_an_interrupted_step_is_the_first_of_the_next_call(project, own, monkeypatch, broken_step):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, broken_step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(project, own)
    with pytest.raises(ConfigError, match="nothing is prepared here"):
        project.require_prepared()
    expected = dict(
        zip(["clean_held_out", "Decontamination", "train_tokenizer", "write_corpus"], range(4), strict=True)
    )
    assert run(project, own).steps_done == STEPS[expected[broken_step] :]
    assert len(read(project, "train")) == 211


KILLED = """
import os, signal, sys
from pathlib import Path
from a2d_cli.commands import prepare as module
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter

class Killer(module.Decontamination):
    def filter(self, train):
        for i, pair in enumerate(super().filter(train)):
            if i == 101:
                os.kill(os.getpid(), signal.SIGKILL)
            yield pair

module.Decontamination = Killer
recipe = read_project_recipe(Path(sys.argv[2]))
module.prepare(Project(Path(sys.argv[1])), recipe, mirror=None, reporter=Reporter())
"""


def test_killed_in_the_middle_it_goes_on(project, own, tmp_path):
    run(Project(tmp_path / "whole"), own)
    recipe_path = tmp_path / "whole" / "a2d.yaml"
    root = str(Path(prepare_module.__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(project.folder), str(recipe_path)],
        env={**os.environ, "PYTHONPATH": root},
        check=False,
    )
    assert killed.returncode == -9
    assert list(project.text_dir.glob(".*.tmp"))
    assert run(project, own).steps_done == STEPS[1:]
    assert not list(project.folder.rglob("*.tmp"))
    for name in ("data/train.de.ids", "data/text/train.en", "data/spm.model"):
        assert (project.folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_size_that_the_text_does_not_allow_leaves_what_was_prepared_as_it_was(project, own):
    run(project, own)
    state, before = project.state(), snapshot(project)
    with pytest.raises(
        ConfigError, match=r"vocab_size: 8000 is more than this corpus allows.*--set tokenizer.vocab_size="
    ):
        run(project, with_vocab(own, 8000))
    assert project.state() == state
    assert {path for path, time in snapshot(project).items() if before.get(path) != time} <= {project.state_path}
    assert run(project, own).steps_done == ()


def test_a_change_that_fails_after_it_has_written_does_not_count_as_prepared(project, own):
    run(project, own)
    leaking = with_data(own, valid=own.data.train)
    with pytest.raises(A2DError, match=r"data\.train: none of 211 pairs"):
        prepare(project, leaking, mirror=None, reporter=Reporter(), command="a2d prepare other")
    assert "prepared" not in project.state()
    told = "'a2d prepare other' has not ended .* run it again, or 'a2d .*prepare' for what a2d.yaml says"
    with pytest.raises(ConfigError, match=told):
        project.require_prepared()
    assert run(project, own).steps_done == STEPS
    assert "replaced" not in project.state()


def test_a_source_that_cannot_be_read_leaves_what_was_prepared_as_it_was(project, own, tmp_path):
    run(project, own)
    state, before = project.state(), snapshot(project)
    (tmp_path / "broken.de").write_bytes(b"\xff\n")
    broken = with_data(own, train=(replace(own.data.train[0], src=str(tmp_path / "broken.de")),))
    with pytest.raises(A2DError, match="line 1 is not UTF-8"):
        run(project, broken)
    project.require_prepared()
    assert project.state() == state
    changed = {path for path, time in snapshot(project).items() if before.get(path) != time}
    assert changed - {project.state_path, project.report_path} <= set((project.data_dir / "cleaned").iterdir())
    report = run(project, own)
    assert report.steps_done == ()  # nothing that is needed was lost
    assert dict(report.summary_rows())["train"] == "211 pairs"
    # What the broken text's cleaning had begun is not taken for this text's.
    assert run(project, with_data(own, split=Split("components", test_pairs=7))).steps_done == STEPS
    assert len(read(project, "train")) == 204


def test_a_preparation_that_was_killed_while_it_cleaned_is_told_and_goes_on(project, own, monkeypatch):
    run(project, own)
    other = with_data(own, valid=own.data.tests["mytest"], tests={"mytest": own.data.valid})

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "clean_held_out", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(project, other, mirror=None, reporter=Reporter(), command="a2d prepare other")
    told = project_status(project)
    assert told.rows()[0][1] == "prepared: own; not ended: a2d prepare other"
    assert told.next_command == "a2d prepare other"
    run_of_ones_own = Run(project.runs_dir / "teacher")
    run_of_ones_own.folder.mkdir(parents=True)
    run_of_ones_own.record(kind="teacher", finished=True, stop_reason="", updates=1, elapsed_s=1.0)
    assert project_status(project).next_command.endswith("distill")  # with a run the other is refused
    shutil.rmtree(run_of_ones_own.folder)
    with project.lock("a2d prepare"):
        told = project_status(project)
    assert told.rows()[0][1].startswith("prepared: own; being prepared anew (process ")
    assert told.note.startswith("next, when it is prepared: a2d ") and told.note.endswith("train-teacher")
    assert run(project, other).steps_done == STEPS
    assert project_status(project).rows()[0][1] == "prepared: own"


def test_a_text_that_changes_while_it_is_read_is_not_taken(project, own, monkeypatch):
    clean = prepare_module.Cleaner.clean

    def changing(self, pairs, tally):
        yield from clean(self, pairs, tally)
        write_pairs(Path(own.data.train[0].src).parent, "train", sentences(600, 700))

    monkeypatch.setattr(prepare_module.Cleaner, "clean", changing)
    with pytest.raises(A2DError, match="a source was changed while it was read"):
        run(project, own)
    monkeypatch.undo()
    run(project, own)
    assert len(read(project, "train")) == 100


# ── what it protects ────────────────────────────────────────────────────────────────────────────────────────


def test_runs_are_not_made_worthless_by_accident(project, own):
    run(project, own)
    for name, file in (("teacher", "spm.model"), ("never-begun", ".lock")):
        (project.runs_dir / name).mkdir(parents=True)
        (project.runs_dir / name / file).touch()
    assert run(project, own).steps_done == ()
    before = snapshot(project)
    with pytest.raises(ConfigError, match=r"changes its tokenizer, and these runs [^:]*: teacher \| .*--overwrite"):
        run(project, with_vocab(own, 88))
    other = replace(with_data(own, valid=own.data.train), name="other")
    with pytest.raises(ConfigError, match=r"prepared with recipe 'own'; preparing 'other' .* its text and tokenizer"):
        run(project, other)
    after = snapshot(project)
    assert {path for path in before if before[path] != after[path]} <= {
        project.report_path,
        project.state_path,
    }
    assert run(project, with_vocab(own, 88), overwrite=True).steps_done == FROM_TOKENIZER
    assert (project.runs_dir / "teacher").is_dir()


def test_another_sentencepiece_is_noticed_where_runs_exist(project, own):
    run(project, own)
    for name, file in (("teacher", "spm.model"), ("never-begun", ".lock")):
        (project.runs_dir / name).mkdir(parents=True)
        (project.runs_dir / name / file).touch()
    state = project.state()
    project.record(prepared={**state["prepared"], "tokenizer_fingerprint": "of-an-older-version"})
    (project.data_dir / "spm.model").unlink()
    for _ in range(2):  # not only the first time
        with pytest.raises(ConfigError, match=r"another vocabulary than before.*: teacher .*spm\.model"):
            run(project, own)
    assert not (project.data_dir / "spm.model").exists()
    with pytest.raises(ConfigError, match="changes its tokenizer, and these runs"):
        run(project, with_vocab(own, 88))


@pytest.mark.parametrize("lost", ["prepared", "project.json"])
def test_runs_are_protected_where_the_report_alone_knows_what_they_were_trained_on(project, own, lost):
    run(project, own)
    (project.runs_dir / "teacher").mkdir(parents=True)
    (project.runs_dir / "teacher/spm.model").touch()
    if lost == "prepared":
        project.record(prepared=None)
    else:
        project.state_path.unlink()
    with pytest.raises(ConfigError, match="these runs were trained on the old one: teacher"):
        run(project, with_vocab(own, 88))


@pytest.mark.parametrize("place", ["text", "cleaned"])
def test_a_text_of_ones_own_is_never_written_over(project, own, place):
    folder = project.data_dir / place
    folder.mkdir(parents=True)
    train = write_pairs(folder, "train", sentences(0, 211))
    with pytest.raises(ConfigError, match=rf"{place}/train\.de lies where 'a2d prepare' writes .*another folder"):
        run(project, with_data(own, train=train))
    assert (folder / "train.de").read_text(encoding="utf-8").count("\n") == 211


def test_a_recipe_that_cannot_be_read_is_told_before_the_work(project, own):
    project.folder.mkdir()
    project.recipe_path.write_bytes("# für später\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"a2d\.yaml: not UTF-8 text: byte 3"):
        run(project, own)
    assert not project.text_dir.exists()


def test_edited_text_is_not_overwritten(project, own):
    run(project, own)
    path = project.text_path("train", "de")
    original = path.read_text(encoding="utf-8")
    path.write_text(original + "mehr\n", encoding="utf-8")
    with pytest.raises(
        A2DError, match=r"train\.de: [\d,]+ bytes where 'a2d prepare' wrote [\d,]+: cut short or edited"
    ):
        run(project, own)
    path.write_text(original.replace("Hund", "Bund"), encoding="utf-8")  # of the same size
    with pytest.raises(A2DError, match=r"train\.de and train\.en are not as 'a2d prepare' wrote them"):
        run(project, with_vocab(own, 88))
    path.unlink()
    run(project, with_vocab(own, 88))
    assert path.read_text(encoding="utf-8") == original


def test_an_edited_recipe_keeps_its_comments_or_is_kept_beside(project, own):
    run(project, own)
    with_comment = "# my notes\n" + project.recipe_path.read_text(encoding="utf-8")
    project.recipe_path.write_text(with_comment, encoding="utf-8")
    run(project, own)
    assert project.recipe_path.read_text(encoding="utf-8") == with_comment
    heard = Listener()
    run(project, with_vocab(own, 88), reporter=heard)
    kept = project.folder / "a2d.yaml.old"
    assert kept.read_text(encoding="utf-8") == with_comment
    (said,) = [line for line in heard.lines if "a2d.yaml" in line]
    assert said.startswith(
        "a2d.yaml now holds the recipe as prepared; yours is kept as a2d.yaml.old: tokenizer.vocab_size: "
    )
    other = "# other notes\n" + project.recipe_path.read_text(encoding="utf-8")
    project.recipe_path.write_text(other, encoding="utf-8")
    run(project, own)
    assert kept.read_text(encoding="utf-8") == with_comment
    (second,) = project.folder.glob("a2d.yaml.old2")
    assert second.read_text(encoding="utf-8") == other
    second.unlink()
    run(project, with_vocab(own, 88))
    assert not second.exists()  # what prepare wrote itself needs no copy


def test_a_recipe_that_changes_with_the_command_is_told_in_one_line(project, own):
    run(project, own)
    heard = Listener()
    changed = replace(
        own, training=replace(own.training, lr=1.0), student_training=replace(own.student_training, lr=1.0)
    )
    run(project, changed, reporter=heard)
    lr = own.training.lr
    assert [line for line in heard.lines if "a2d.yaml" in line] == [
        f"a2d.yaml now holds the recipe as prepared: training.lr: {lr} -> 1.0"
    ]
    heard = Listener()
    run(project, changed, reporter=heard)
    assert not any("a2d.yaml" in line for line in heard.lines)


def test_one_process_at_a_time(project, own):
    with project.lock("distill"), pytest.raises(A2DError, match="in use by .*distill"):
        run(project, own)


# ── what it says when it cannot go on ───────────────────────────────────────────────────────────────────────


def test_sides_of_different_length(project, own, tmp_path):
    (tmp_path / "own" / "train.de").write_text("eins\nzwei\n", encoding="utf-8")
    with pytest.raises(A2DError, match=r"train\.de has 2 .*train\.en has 211\b"):
        run(project, own)


def test_missing_file(project, own):
    with pytest.raises(A2DError, match=r"/nowhere/train\.de: no such file"):
        run(project, with_data(own, train=(CorpusFiles("/nowhere/train.de", "/nowhere/train.en"),)))


def test_no_training_text(project, own):
    with pytest.raises(ConfigError, match=r"data\.train: no training text"):
        run(project, with_data(own, train=()))


def test_a_size_that_is_no_multiple_of_8(project, own):
    with pytest.raises(ConfigError, match=r"vocab_size.*multiple of 8.*got 100.*96 or 104"):
        run(project, with_vocab(own, 100))


def test_empty_after_cleaning(project, own):
    with pytest.raises(A2DError) as error:
        run(project, replace(own, cleaning=Cleaning(max_words=3)))
    assert "data.train: none of 211 pairs is left after cleaning: too_long 211" in str(error.value)
    assert "--set cleaning." in error.value.hint


def test_empty_after_decontamination(project, own):
    with pytest.raises(A2DError, match=r"data\.valid: none of 13 pairs is left .*they stand in: mytest 13"):
        run(project, with_data(own, tests={"mytest": own.data.valid}))
    with pytest.raises(A2DError, match=r"mytest: none of 13 .*valid 13.*data\.reduce_tests"):
        run(project, with_data(own, tests={"mytest": own.data.valid}, reduce_tests=("mytest",)))
    with pytest.raises(A2DError, match=r"data\.train: none of 211 pairs .*valid 211"):
        run(project, with_data(own, valid=own.data.train))


def test_no_validation_pairs(project, own):
    with pytest.raises(A2DError, match=r"data\.valid: no pairs .*data\.split"):
        run(project, with_data(own, valid=(), tests={}, split=Split("components", test_pairs=5)))


def optional_sources(own, folder):
    """A second training text on the web, which is in the mirror or cannot be had."""
    downloads = {f"more.{lang}": Download(f"http://127.0.0.1:9/more.{lang}") for lang in ("de", "en")}
    more = CorpusFiles("more.de", "more.en", optional=True)
    mirror = folder / "mirror"
    (mirror / "127.0.0.1:9").mkdir(parents=True)
    return with_data(own, downloads=downloads, train=(*own.data.train, more)), mirror


def test_two_pairs_are_too_few(project, own, tmp_path):
    few = with_data(own, train=write_pairs(tmp_path, "few", sentences(0, 2)), valid=(), tests={})
    with pytest.raises(A2DError, match=r"of 2 pairs none is left once validation and test pairs .*--valid SRC TGT"):
        run(project, few)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(project, own):
    Path(own.data.train[0].src).chmod(0)
    with pytest.raises(A2DError, match=r"train\.de: cannot be read: permission denied .*chmod"):
        run(project, own)


def test_a_rule_that_drops_much_of_the_text_is_told(project, own, tmp_path):
    long = [(f"{src} {src}", tgt[:4]) for src, tgt in sentences(0, 60)]
    train = write_pairs(tmp_path, "mixed", [*sentences(0, 150), *long])
    heard = Listener()
    run(project, with_data(own, train=train), reporter=heard)
    (told,) = [line for line in heard.lines if "dropped" in line]
    assert told == (
        "warning: cleaning: 'ratio' dropped 60 of 210 training pairs (samples are in report.json); "
        "if those are good pairs, relax it: max_ratio, under cleaning in a2d.yaml"
    )


def test_an_optional_test_set_that_cannot_be_had_is_no_reason_to_split_one_off(project, own):
    missing = CorpusFiles("/nowhere/news.de", "/nowhere/news.en", optional=True)
    run(project, with_data(own, tests={"news": (missing,)}))
    assert project.state()["prepared"]["tests"] == []
    assert len(read(project, "train")) == 211


def test_an_optional_source_may_be_missing(project, own, tmp_path):
    own, mirror = optional_sources(own, tmp_path)
    heard = Listener()
    rows = dict(run(project, own, str(mirror), reporter=heard).summary_rows())
    told = [line for line in heard.lines if "more.de" in line or "mirror" in line]
    assert told == ["warning: left out: more.de (optional, cannot be had now)"]
    assert rows["left out"].startswith("train (why: report.json")
    assert rows["train"] == "211 pairs"

    write_pairs(mirror / "127.0.0.1:9", "more", sentences(500, 523))
    assert run(project, own, str(mirror)).steps_done == ()  # what is done stays done ...
    report = run(project, own, str(mirror), overwrite=True)  # ... until it is asked for
    rows = dict(report.summary_rows())
    assert "left out" not in rows
    assert rows["train"] == "234 pairs"
    assert report.values["steps"]["clean"]["downloads"]["more.de"]["from_mirror"]


def test_what_is_left_out_takes_nothing_else_with_it(project, own, tmp_path):
    """A test set whose second references cannot be had keeps its first, and a wrong file is no missing one."""
    own, mirror = optional_sources(own, tmp_path)
    (test,) = own.data.tests.values()
    more = replace(test[0], tgt="more.en", optional=True)
    report = run(
        project, with_data(own, train=own.data.train[:1], tests={"mytest": test, "again": (more,)}), str(mirror)
    )
    assert [each["set"] for each in report.values["steps"]["clean"]["left_out"]] == ["again"]
    assert len(read(project, "mytest")) == 17

    write_pairs(mirror / "127.0.0.1:9", "more", sentences(500, 523))
    changed = {name: replace(each, sha256="0" * 64) for name, each in own.data.downloads.items()}
    with pytest.raises(A2DError, match="SHA-256 is .* expected 0000"):
        run(project, with_data(own, downloads=changed), str(mirror))


def test_a_training_text_of_which_every_source_is_left_out_says_why(project, own, tmp_path):
    own, mirror = optional_sources(own, tmp_path)
    own = with_data(own, train=(own.data.train[1],))
    with pytest.raises(
        A2DError, match=r"data\.train: every source is left out: http://127\.0\.0\.1:9/more\.de: .* --mirror"
    ):
        run(project, own, str(mirror))


def test_a_source_that_is_not_optional_stops_it(project, own, tmp_path):
    own, mirror = optional_sources(own, tmp_path)
    own = with_data(own, train=(replace(own.data.train[1], optional=False),))
    with pytest.raises(A2DError, match=r"127\.0\.0\.1:9/more\.de.*mirror"):
        run(project, own, str(mirror))


def test_an_optional_file_of_ones_own(project, own):
    missing = CorpusFiles("/nowhere/more.de", "/nowhere/more.en", optional=True)
    done = run(project, with_data(own, train=(*own.data.train, missing)))
    (left_out,) = done.values["steps"]["clean"]["left_out"]
    assert left_out == {"set": "train", "src": "/nowhere/more.de", "reason": "/nowhere/more.de: no such file"}


# ── real corpora ────────────────────────────────────────────────────────────────────────────────────────────

GITHUB = "https://raw.githubusercontent.com"
SMALL = Tokenizer(vocab_size=1000, max_training_sentences=4000)  # what is tested here is the text


@needs_mirror
def test_multi30k(project):
    base = f"{GITHUB}/multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw"
    names = ("train", "val", "test_2016_flickr")
    downloads = {f"{name}.{lang}": Download(f"{base}/{name}.{lang}.gz") for name in names for lang in ("de", "en")}
    train, valid, test = ((CorpusFiles(f"{name}.de", f"{name}.en"),) for name in names)
    data = Data(downloads, train=train, valid=valid, tests={"test_2016_flickr": test})
    run(project, Recipe("multi30k", "de-en", data=data, tokenizer=SMALL), str(MIRROR))
    assert 28_900 < len(read(project, "train")) < 29_000
    assert len(read(project, "valid")) == 1014
    assert len(read(project, "test_2016_flickr")) == 1000
    assert count_leaks(project) == 0


@needs_mirror
def test_wmt22_german_lower_sorbian(project):
    old = f"{GITHUB}/mariondimarco/WMT22_UnsupVeryLowResMT_Data/3c71b5147b52adb9c2c8ab752babe53fa6690d5b"
    new = f"{GITHUB}/TUM-NLP/llms-limited-resources2025/913d1d3f359a748f53148ca3a860d08b48f992d0/Sorbian/dsb/MT"
    downloads = {
        f"{name}.{lang}": Download(url.format(lang=lang))
        for name, url in {
            "train": f"{old}/40194_train_dsb_de.{{lang}}.gz",
            "valid": f"{old}/valid.{{lang}}.gz",
            "dev25": f"{new}/dev.de-dsb.{{lang}}",
        }.items()
        for lang in ("de", "dsb")
    }
    train, valid, test = ((CorpusFiles(f"{name}.de", f"{name}.dsb"),) for name in ("train", "valid", "dev25"))
    data = Data(downloads, train=train, valid=valid, tests={"dev25": test}, reduce_tests=("dev25",))
    done = run(project, Recipe("dsb", "de-dsb", data=data, tokenizer=SMALL), str(MIRROR))
    sizes = {name: text["num_pairs"] for name, text in done.values["steps"]["decontaminate"]["texts"].items()}
    assert sizes["train"] > 35_000
    assert sizes["valid"] == 1353
    assert 2500 < sizes["dev25"] < 2700
    assert count_leaks(project, "de", "dsb") == 0


@needs_mirror
def test_tatoeba_is_split_by_components(project):
    url = f"{GITHUB}/jhamburg/dats6450_nlp/fc38d83c4353d753fb9b34d98e945cbc5fab2811/deu-eng.zip"
    data = Data(
        {"zip": Download(url)},
        train=(CorpusFiles("zip:deu.txt", format="tsv", src_column=2, tgt_column=1),),
        split=Split("components", valid_pairs=1500, test_pairs=2000),
    )
    cleaning = Cleaning(max_words=5)  # leaves about a fifth
    run(project, Recipe("tatoeba", "de-en", data=data, cleaning=cleaning, tokenizer=SMALL), str(MIRROR))
    assert (len(read(project, "valid")), len(read(project, "test"))) == (1500, 2000)
    assert len(read(project, "train")) > 20_000
    assert count_leaks(project) == 0
