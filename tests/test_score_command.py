"""Projects, with a translator that repeats the reference and drops a share of its words."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import ENDED, prepared_as
from listener import Listener
from sacrebleu.metrics import BLEU
from scored_texts import damaged, paired, sentences, write_lines
from test_model_card import MANIFEST

from a2d_cli import cli
from a2d_cli.commands import model_on_texts
from a2d_cli.commands import score as command
from a2d_cli.commands.score import score_project
from a2d_cli.config.schema import CorpusFiles, Data, Decoding, Recipe
from a2d_cli.config.writer import dump_recipe
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import write_json
from a2d_cli.project.exported import Exported
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, find_checkpoint
from a2d_cli.project.score_cache import describe_export, describe_model
from a2d_cli.reporting import Reporter


class FakeTranslator:
    """Its 'weights' are the share of words that it drops."""

    engine = SimpleNamespace(machine="cpu, 2 threads")
    max_source_tokens, source_limit = 127, "the model's max_positions"

    def __init__(self, folder, references, calls):
        self.calls = calls  # names of the models that translated
        self.name, self.drop = folder.parent.name, float((folder / "model.safetensors").read_text())
        self.references = references

    def translate(self, lines, on_done=None, on_cut=None):
        if on_done:  # not the warm-up
            self.calls.append(self.name)
            on_done(len(lines))
        if on_cut and "long" in lines:
            on_cut(lines.index("long"), 999)
        texts = damaged([self.references[line] for line in lines], self.drop, seed=self.drop)
        return [[SimpleNamespace(text=text)] for text in texts]


@pytest.fixture
def calls():
    """Names of the models that translated, once a test set."""
    return []


@pytest.fixture
def project(tmp_path, monkeypatch, calls):
    """Test sets `news` and `talks`; a teacher, a plain student and an A2D student."""
    project = Project(tmp_path)
    project.record(prepared=prepared_as("news", "talks"))
    project.recipe_path.write_text(dump_recipe(Recipe(name="mine", pair="en-de")))
    references = {"long": "Hund"}
    for name, count, seed in (("news", 59, 1), ("talks", 31, 2), ("train", 3, 3), ("valid", 3, 4)):
        source, target = [f"{name} {i}" for i in range(count)], sentences(count, seed)
        write_lines(project.text_path(name, "en"), source)
        write_lines(project.text_path(name, "de"), target)
        references.update(zip(source, target, strict=True))
    add_run(project, "teacher", "teacher", "ce", drop=0.02, parameters=9_000_000)
    add_run(project, "ce", "student", "ce", drop=0.3)
    add_run(project, "a2d-diagonal", "student", "a2d-diagonal", drop=0.15)

    def load_model(model, decoding, device):
        return FakeTranslator(model.folder, references, calls)

    monkeypatch.setattr(model_on_texts, "load_model", load_model)
    return project


def add_run(project, name, kind, method, drop, *, seed=1, parameters=5_000_000, finished=True, **info):
    folder = project.runs_dir / name
    write_json(
        folder / "run.json",
        {
            "format": 1,
            "kind": kind,
            "method": method,
            "seed": seed,
            "finished": finished,
            **ENDED,
            "created": name,
            **info,
        },
    )
    config = {
        "format": 1,
        "pair": "en-de",
        "tokenizer": "f" * 16,
        "shape": {},
        "vocabularies": {},
        "parameters": parameters,
    }
    write_json(folder / "best" / "config.json", config)
    (folder / "best" / "model.safetensors").write_text(str(drop))
    return folder


def run(project, **options):
    return score_project(project, reporter=Reporter(), **options)


def row_of(table, model, test_set="news"):
    (row,) = [row for row in table.rows if (row.model.name, row.result.test_set) == (model, test_set)]
    return row


def test_every_finished_run_is_scored_on_every_test_set(project):
    table = run(project)
    assert [(row.model.name, row.result.test_set) for row in table.rows] == [
        (model, test_set) for test_set in ("news", "talks") for model in ("teacher", "a2d-diagonal", "ce")
    ]
    teacher, a2d, plain = (row_of(table, name) for name in ("teacher", "a2d-diagonal", "ce"))
    assert teacher.to_teacher is None and teacher.to_plain is None and plain.to_plain is None
    assert a2d.to_teacher.delta < 0 < a2d.to_plain.delta
    assert plain.to_teacher.p_value < 0.05


def test_a_broken_run_or_model_does_not_hold_up_the_others(project, monkeypatch):
    (project.runs_dir / "ce/run.json").write_text("{")
    load_model = model_on_texts.load_model

    def load(model, decoding, device):
        if model.name == "a2d-diagonal":
            raise A2DError("model.safetensors: cut short")
        return load_model(model, decoding, device)

    monkeypatch.setattr(model_on_texts, "load_model", load)
    heard = Listener()
    table = score_project(project, reporter=heard)
    assert {row.model.name for row in table.rows} == {"teacher"}
    broken, cut = (line for line in heard.lines if line.startswith("warning: "))
    assert broken.startswith(f"warning: run 'ce' is left out: {project.runs_dir}/ce/run.json: not a run file of a2d: ")
    assert cut == "warning: a2d-diagonal is left out: model.safetensors: cut short"
    with pytest.raises(A2DError, match="cut short"):  # asked for by name
        run(project, models=["teacher", "a2d-diagonal"])
    (project.runs_dir / "teacher/run.json").write_text("{")
    with pytest.raises(A2DError, match="cut short"):  # nothing else is left
        run(project)
    (project.runs_dir / "a2d-diagonal/best/config.json").unlink()
    with pytest.raises(ConfigError, match="no finished run to score"):
        score_project(project, reporter=heard)
    assert heard.lines[-1].startswith("warning: a2d-diagonal is left out: ") and "no checkpoint here" in heard.lines[-1]


def test_a_full_disk_ends_the_scoring_and_is_no_broken_model(project, monkeypatch):
    loaded = []

    def load(model, decoding, device):
        loaded.append(model.name)
        return load_model(model, decoding, device)

    def full(*_):
        raise A2DError("scores: no space left")

    load_model = model_on_texts.load_model
    monkeypatch.setattr(model_on_texts, "load_model", load)
    monkeypatch.setattr(model_on_texts.ScoreCache, "write_hypotheses", full)
    heard = Listener()
    with pytest.raises(A2DError, match="no space left"):
        score_project(project, reporter=heard, refresh=True)
    assert len(loaded) == 1 and not [line for line in heard.lines if "left out" in line]


def test_rows_hold_what_sacrebleu_says_of_the_hypotheses(project):
    row, plain = row_of(table := run(project), "a2d-diagonal"), row_of(table, "ce")
    texts = [
        path.read_text(encoding="utf-8").split("\n")[:-1]
        for path in (
            project.scores_dir / row.result.hypotheses,
            project.scores_dir / plain.result.hypotheses,
            project.text_path("news", "de"),
        )
    ]
    bleu = BLEU()
    assert row.scores[0].value == pytest.approx(bleu.corpus_score(texts[0], [texts[2]]).score)
    assert row.scores[0].signature == bleu.get_signature().format()
    assert row.to_plain == paired(texts[1], texts[0], [texts[2]])


def test_tables_show_columns_signatures_and_speeds(project):
    news, talks = run(project).tables()
    assert news.title == "news: en-de, 59 sentences, beam 5" and talks.title.startswith("talks: ")
    assert news.columns == [
        "model",
        "BLEU",
        "chrF2",
        "Δ BLEU to teacher",
        "Δ BLEU to plain student",
        "params",
        "size MB",
        "sent/s",
    ]
    teacher, a2d, _ = news.rows
    assert teacher[0] == "teacher" and teacher[3:7] == ["–", "–", "9.00 M", "0.0"]
    assert " p=0." in a2d[3] and "[" in a2d[4] and float(a2d[7]) > 0
    assert "BLEU|nrefs:1|" in news.note and "chrF2|nrefs:1|" in news.note
    assert "paired bootstrap, nrefs:1|bs:1000|seed:12345|" in news.note
    assert "sentences per second on cpu, 2 threads" in news.note


def test_the_method_is_shown_where_a_name_does_not_tell_it(project):
    add_run(project, "mine", "student", "word", drop=0.2)
    (table,) = run(project, test_sets=["news"]).tables()
    assert table.columns[1] == "method"
    assert {row[0]: row[1] for row in table.rows} == {
        "teacher": "–",
        "ce": "ce",
        "a2d-diagonal": "a2d-diagonal",
        "mine": "word",
    }


def test_a_second_call_translates_nothing_and_says_when_speed_was_measured(project, calls):
    first = run(project)
    assert len(calls) == 6
    second = run(project)
    assert len(calls) == 6
    assert [(r.scores, r.to_teacher, r.to_plain) for r in second.rows] == [
        (r.scores, r.to_teacher, r.to_plain) for r in first.rows
    ]
    table = second.tables()[0]
    assert all(row[-1].endswith("*") for row in table.rows)
    assert "sent/s: sentences per second, without loading the model" in table.note
    day = first.rows[0].result.translated_at[:10]
    assert f"* measured before, {day} on cpu, 2 threads: teacher, a2d-diagonal, ce" in table.note
    assert [row["cached"] for row in second.to_json()["rows"]] == [True] * 6
    json.dumps(second.to_json(), allow_nan=False)


def test_results_are_recorded_with_hashes(project):
    run(project, models=["ce"], test_sets=["news"])
    (line,) = (project.scores_dir / "results.jsonl").read_text(encoding="utf-8").splitlines()
    values = json.loads(line)
    weights = project.runs_dir / "ce" / "best" / "model.safetensors"
    assert values["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    hypotheses = project.scores_dir / values["hypotheses"]
    assert values["hypotheses_sha256"] == hashlib.sha256(hypotheses.read_bytes()).hexdigest()
    assert values["sentences"] == 59 and values["decoding"]["beam"] == 5
    assert [score["name"] for score in values["scores"]] == ["BLEU", "chrF2"]


def change_weights(project):
    (project.runs_dir / "ce" / "best" / "model.safetensors").write_text("0.25")


def change_tokenizer(project):
    path = project.runs_dir / "ce" / "best" / "config.json"
    path.write_text(path.read_text().replace("f" * 16, "e" * 16))


def change_source(project):
    path = project.text_path("news", "en")
    path.write_text(path.read_text().replace("news 0\n", "news 1\n"))


def spoil_hypotheses(project):
    (path,) = project.scores_dir.glob("ce.news.*")
    path.write_text("x\n")


def lose_hypotheses(project):
    (path,) = project.scores_dir.glob("ce.news.*")
    path.unlink()


def cut_record(project):
    path = project.scores_dir / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-40])


def foreign_record(project):
    (project.scores_dir / "results.jsonl").write_text('{"format": 99}\n[]\n\n')


@pytest.mark.parametrize(
    "change",
    [change_weights, change_tokenizer, change_source, spoil_hypotheses, lose_hypotheses, cut_record, foreign_record],
)
def test_what_changed_is_translated_again(project, change, calls):
    options = {"models": ["ce"], "test_sets": ["news"]}
    run(project, **options)
    change(project)
    expected = run(project, **options)
    assert calls == ["ce", "ce"]
    assert run(project, **options).rows[0].scores == expected.rows[0].scores
    assert calls == ["ce", "ce"]


def test_other_decoding_and_refresh_translate_again(project, calls):
    options = {"models": ["ce"], "test_sets": ["news"]}
    run(project, **options)
    assert run(project, decoding=Decoding(beam=1), **options).decoding.beam == 1
    run(project, refresh=True, **options)
    assert len(calls) == 3
    run(project, decoding=Decoding(beam=1), **options)
    assert len(calls) == 3


def test_another_device_or_version_translates_again(project, calls, monkeypatch):
    options = {"models": ["ce"], "test_sets": ["news"]}
    for device in ("cpu", "cuda", "cpu"):
        run(project, device=device, **options)
    assert len(calls) == 2
    for name, value in (("__version__", "0.0"), ("engine_version", lambda model: "torch 0.0")):
        monkeypatch.setattr(model_on_texts, name, value)
        for _ in range(2):
            run(project, device="cpu", **options)
    assert len(calls) == 4


def test_a_changed_reference_is_scored_again_without_translating(project, calls):
    before = row_of(run(project), "ce")
    path = project.text_path("news", "de")
    write_lines(path, damaged(path.read_text(encoding="utf-8").split("\n")[:-1], 0.5))
    after = row_of(run(project), "ce")
    assert len(calls) == 6
    assert after.cached and after.scores != before.scores


def test_another_sacrebleu_scores_again_without_translating(project, monkeypatch, calls):
    run(project, models=["ce"], test_sets=["news"])
    path = project.scores_dir / "results.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("|version:", "|version:0."), encoding="utf-8")
    row = run(project, models=["ce"], test_sets=["news"]).rows[0]
    assert len(calls) == 1
    assert "version:0." not in row.scores[0].signature


def test_the_plain_student_is_that_of_the_same_size_and_seed(project):
    add_run(project, "ce-seed2", "student", "ce", drop=0.31, seed=2)
    add_run(project, "a2d-seed2", "student", "a2d-diagonal", drop=0.16, seed=2)
    add_run(project, "a2d-seed3", "student", "a2d-diagonal", drop=0.17, seed=3)
    add_run(project, "a2d-large", "student", "a2d-diagonal", drop=0.12, parameters=7_000_000)
    table = run(project, test_sets=["news"])
    bleu = {row.model.name: row.scores[0].value for row in table.rows}
    assert row_of(table, "a2d-diagonal").to_plain.delta == pytest.approx(bleu["a2d-diagonal"] - bleu["ce"])
    assert row_of(table, "a2d-seed2").to_plain.delta == pytest.approx(bleu["a2d-seed2"] - bleu["ce-seed2"])
    assert row_of(table, "a2d-seed3").to_plain is None
    assert row_of(table, "a2d-large").to_plain is None
    assert "plain student: a 'ce' student of as many parameters and updates" in table.tables()[0].note


def test_the_plain_student_has_been_trained_as_long(project):
    """As the runs of `a2d compare --updates 1000,4000`, the short ones first."""
    for seed in (1, 2):
        for updates in (1000, 4000):
            add_run(
                project, f"ce-{updates}u-{seed}", "student", "ce", drop=0.3 - updates / 1e5, seed=seed, updates=updates
            )
            add_run(project, f"a2d-{updates}u-{seed}", "student", "a2d-diagonal", drop=0.15, seed=seed, updates=updates)
    add_run(project, "a2d-2000u-1", "student", "a2d-diagonal", drop=0.15, updates=2000)
    table = run(project, test_sets=["news"])
    bleu = {row.model.name: row.bleu for row in table.rows}
    for seed in (1, 2):
        for updates in (1000, 4000):
            name = f"a2d-{updates}u-{seed}"
            assert row_of(table, name).to_plain.delta == pytest.approx(bleu[name] - bleu[f"ce-{updates}u-{seed}"])
    assert row_of(table, "a2d-2000u-1").to_plain is None


def test_the_plain_student_has_been_trained_by_the_same_settings(project):
    """As two comparisons, of which one has --label and other settings."""
    for label, max_tokens in (("", 4000), ("big-", 16000)):
        for name, method, drop in (("ce", "ce", 0.3), ("word", "word", 0.2)):
            settings = {"training": {"max_tokens": max_tokens, "seed": 7, "max_updates": 50, "device": label or "cpu"}}
            drop -= max_tokens / 1e6
            add_run(project, f"{label}{name}-seed7", "student", method, drop=drop, seed=7, settings=settings)
    table = run(project, test_sets=["news"])
    bleu = {row.model.name: row.bleu for row in table.rows}
    for label in ("", "big-"):
        delta = row_of(table, f"{label}word-seed7").to_plain.delta
        assert delta == pytest.approx(bleu[f"{label}word-seed7"] - bleu[f"{label}ce-seed7"])


def test_a_student_is_held_against_the_teacher_it_learned_from(project):
    folder = add_run(project, "teacher-2", "teacher", "ce", drop=0.08)
    digits = hashlib.sha256((folder / "best" / "model.safetensors").read_bytes()).hexdigest()[:16]
    add_run(project, "word", "student", "word", drop=0.2, settings={"teacher": digits})
    table = run(project, test_sets=["news"])
    bleu = {row.model.name: row.scores[0].value for row in table.rows}
    assert row_of(table, "word").to_teacher.delta == pytest.approx(bleu["word"] - bleu["teacher-2"])
    assert row_of(table, "ce").to_teacher.delta == pytest.approx(bleu["ce"] - bleu["teacher"])


def test_a_student_of_several_teachers_is_held_against_the_best_of_them(project):
    drops = {"poor": 0.4, "splendid": 0.1, "weak": 0.3}  # neither the first nor the last by name is the best
    folders = [add_run(project, name, "teacher", "ce", drop=drop) for name, drop in drops.items()]
    hashes = [hashlib.sha256((folder / "best" / "model.safetensors").read_bytes()).hexdigest() for folder in folders]
    add_run(
        project, "word", "student", "word", drop=0.2, settings={"teacher": ",".join(digits[:16] for digits in hashes)}
    )
    table = run(project, test_sets=["news"])
    assert row_of(table, "teacher").bleu > row_of(table, "splendid").bleu  # not one of them
    assert row_of(table, "word").to_teacher.delta == pytest.approx(
        row_of(table, "word").bleu - row_of(table, "splendid").bleu
    )
    assert "\nof several teachers, Δ to the best: word\n" in table.tables()[0].note
    alone = run(project, models=["word", "teacher"], test_sets=["news"])
    assert row_of(alone, "word").to_teacher is None  # that teacher is another's
    assert "several teachers" not in alone.tables()[0].note


def test_an_export_knows_all_the_teachers_of_its_student(project):
    hashes = [find_model_hash(project, name) for name in ("ce", "teacher")]
    (project.folder / "model.bin").write_bytes(b"")
    manifest = replace(MANIFEST, teacher={"name": None, "weights_sha256": ",".join(digits[:16] for digits in hashes)})
    exported = describe_export(Exported(project.folder, manifest))
    assert exported.is_taught_by(describe_model(project.runs_dir / "teacher")) and exported.is_taught_by(
        describe_model(project.runs_dir / "ce")
    )
    assert not exported.is_taught_by(describe_model(project.runs_dir / "a2d-diagonal"))


def test_an_export_that_was_made_anew_is_another_model(project):
    (project.folder / "model.bin").write_bytes(b"")

    def identity(**files):
        return describe_export(Exported(project.folder, replace(MANIFEST, files=files))).identity

    assert identity(model="aa", spm="bb") == identity(spm="bb", model="aa")
    assert (
        len(
            {
                identity(model="aa", spm="bb"),
                identity(model="cc", spm="bb"),
                identity(model="aa", spm="cc"),
                identity(model="aa"),
            }
        )
        == 4
    )


def find_model_hash(project, name):
    return hashlib.sha256((project.runs_dir / name / "best" / "model.safetensors").read_bytes()).hexdigest()


def test_where_other_work_runs_no_speed_is_measured(project):
    run(project, models=["ce"], with_speed=False)
    table = run(project, test_sets=["news"])
    assert row_of(table, "ce").to_json()["sentences_per_s"] is None
    speeds = {row[0]: row[-1] for row in table.tables()[0].rows}
    assert speeds["ce"] == "–" and float(speeds["teacher"]) > 0
    told = table.tables()[0].note.splitlines()[-1]
    assert told == "–: no speed, for other work shared the machine; 'a2d score --refresh' measures it"
    assert row_of(run(project, models=["ce"], test_sets=["news"], refresh=True), "ce").result.sentences_per_s > 0


def test_decoding_settings_are_taken_over_those_of_the_recipe(project, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "score_project", lambda project, **given: asked.append(given) or 1 / 0)

    def score(*options):
        cli.app(["-C", str(project.folder), "score", *options], standalone_mode=False)

    with pytest.raises(ZeroDivisionError):
        score("--set", "decoding.length_penalty=0.6", "--beam", "3", "--no-speed")
    assert (asked[0]["decoding"], asked[0]["with_speed"]) == (Decoding(beam=3, length_penalty=0.6), False)
    with pytest.raises(ZeroDivisionError):
        score()
    assert (asked[1]["decoding"], asked[1]["with_speed"]) == (None, True)
    with pytest.raises(
        ConfigError,
        match="--set training.lr=1: a model that is trained can only decode otherwise.*--set decoding.length",
    ):
        score("--set", "training.lr=1")
    with pytest.raises(ConfigError, match="--set: decoding.beam: expected from 1 to 1,000, got 0"):
        score("--set", "decoding.beam=0")


def test_unfinished_runs_are_left_out_unless_named(project):
    add_run(project, "word", "student", "word", drop=0.2, finished=False)
    reporter = Listener()
    table = score_project(project, reporter=reporter)
    assert "word" not in {row.model.name for row in table.rows}
    assert any(line.startswith("word: still in training, left out") for line in reporter.lines)
    assert [row.model.name for row in run(project, models=["word"], test_sets=["news"]).rows] == ["word"]


def test_checkpoint_folders_can_be_named(project, tmp_path):
    last = project.runs_dir / "ce" / "last"
    last.mkdir()
    for path in (project.runs_dir / "ce" / "best").iterdir():
        (last / path.name).write_bytes(path.read_bytes())
    bare = tmp_path / "elsewhere" / "exported"
    bare.mkdir(parents=True)
    for path in last.iterdir():
        (bare / path.name).write_bytes(path.read_bytes())
    table = run(project, models=[str(last), str(bare), "teacher"], test_sets=["news"])
    assert [row.model.name for row in table.rows] == ["ce/last", "exported", "teacher"]
    assert table.rows[1].model.kind == "" and table.rows[1].to_teacher.delta < 0


def test_a_run_stands_for_its_best_checkpoint_else_its_last(project):
    run = project.runs_dir / "ce"
    assert find_checkpoint(run) == find_checkpoint(run / "best") == run / "best"
    (run / "best").rename(run / "last")
    assert find_checkpoint(run / "last") == run / "last"
    with pytest.raises(A2DError, match="run 'ce' is finished, but its weights are gone: .*best .* its last ones"):
        find_checkpoint(run)
    Run(run).record(finished=False)  # still in training
    assert find_checkpoint(run) == run / "last"


def test_a_best_checkpoint_that_lost_its_weights_is_not_passed_over(project):
    run = project.runs_dir / "ce"
    shutil.copytree(run / "best", run / "last")
    (run / "best" / "model.safetensors").unlink()
    with pytest.raises(A2DError, match="ce/best: no checkpoint here.*expected config.json and model.safetensors"):
        find_checkpoint(run)


def test_sentences_that_are_cut_are_counted(project):
    path = project.text_path("news", "en")
    path.write_text(path.read_text().replace("news 0\n", "long\n"))
    reporter = Listener()
    score_project(project, models=["ce"], test_sets=["news"], reporter=reporter)
    told = "warning: news: 1 sentences were longer than the model takes and were cut to 127 tokens (the model's max_pos"
    assert any(line.startswith(told) for line in reporter.lines)


def test_mistakes_are_named(project, tmp_path):
    with pytest.raises(ConfigError, match="no run or folder 'teecher'.*did you mean 'teacher'"):
        run(project, models=["teecher"])
    with pytest.raises(ConfigError, match="no test set 'newz'.*did you mean 'news'"):
        run(project, test_sets=["newz"])
    with pytest.raises(ConfigError, match="no test set 'xyz'.*the project has: news; talks"):
        run(project, test_sets=["xyz"])
    with pytest.raises(A2DError, match="runs: no checkpoint here.*config.json and model.safetensors"):
        run(project, models=[str(project.runs_dir)])
    with pytest.raises(ConfigError, match="nothing is prepared here"):
        run(Project(tmp_path / "nowhere"))
    write_lines(project.text_path("news", "en"), ["one"])
    with pytest.raises(A2DError, match="news.en has 1 lines, news.de has 59 .* delete both: 'a2d .*prepare'"):
        run(project)
    project.text_path("news", "de").unlink()
    with pytest.raises(A2DError, match="news.de: no such file .* 'a2d .*prepare' makes it anew"):
        run(project)


def test_a_text_that_is_no_test_set_any_more_is_not_scored_and_one_named_twice_once(project):
    project.record(prepared={**project.state()["prepared"], "tests": ["talks"]})
    assert {row.result.test_set for row in run(project).rows} == {"talks"}
    with pytest.raises(ConfigError, match="no test set 'news'.*the project has: talks"):
        run(project, test_sets=["news"])
    assert len(run(project, test_sets=["talks", "talks"]).rows) == len(run(project, test_sets=["talks"]).rows) == 3


def test_a_model_of_another_pair_is_refused(project):
    config = project.runs_dir / "ce" / "best" / "config.json"
    config.write_text(config.read_text().replace("en-de", "fr-en"))
    with pytest.raises(A2DError, match="model 'ce' translates fr-en, the project's test sets are en-de"):
        run(project, models=["ce"])


def test_a_model_of_another_pair_does_not_hold_up_the_others(project):
    config = project.runs_dir / "ce" / "best" / "config.json"
    config.write_text(config.read_text().replace("en-de", "fr-en"))
    heard = Listener()
    table = score_project(project, reporter=heard)
    assert {row.model.name for row in table.rows} == {"teacher", "a2d-diagonal"}
    told = "warning: ce is left out: model 'ce' translates fr-en, the project's test sets are en-de"
    assert any(line.startswith(told) for line in heard.lines)


def test_scores_of_another_tokenizer_are_made_again_without_translating(project, calls):
    run(project)
    path = project.scores_dir / "results.jsonl"
    path.write_text(path.read_text().replace("tok:13a", "tok:zh"))
    calls.clear()
    signatures = {score.signature for row in run(project).rows for score in row.scores}
    assert not calls and not any("tok:zh" in signature for signature in signatures)


def test_a_checkpoint_config_of_someone_else_is_refused(project):
    config = {"pair": "en-de", "shape": {}, "tokenizer": "", "vocabularies": {}}
    write_json(project.runs_dir / "ce" / "best" / "config.json", config)
    with pytest.raises(A2DError, match="config.json: not a checkpoint config of a2d: .* field `parameters`"):
        run(project, models=["ce"])


def test_a_project_without_runs_or_test_sets_says_what_to_do(project, tmp_path):
    project.record(prepared=prepared_as())
    with pytest.raises(ConfigError, match="no test set.*a2d prepare"):
        run(project)
    with pytest.raises(ConfigError, match="no test set 'news'.*the project has: none"):
        run(project, test_sets=["news"])
    left_out = {"news": (CorpusFiles("/nowhere/a", "/nowhere/b", optional=True),)}
    project.recipe_path.write_text(dump_recipe(Recipe(name="mine", pair="en-de", data=Data(tests=left_out))))
    with pytest.raises(ConfigError, match="no test set.*prepare --overwrite' looks again for those that were left out"):
        run(project)
    empty = Project(tmp_path / "empty")
    empty.record(prepared=prepared_as("news"))
    empty.recipe_path.write_text(dump_recipe(Recipe(name="mine", pair="en-de")))
    for lang in ("en", "de"):
        write_lines(empty.text_path("news", lang), ["x"])
    with pytest.raises(ConfigError, match="no finished run to score.*a2d train-teacher"):
        run(empty)


def test_reading_cached_scores_needs_no_torch():
    code = "import sys, a2d_cli.commands.score; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_of_different_machines_name_each(project, monkeypatch):
    def load_model(model, decoding, device, load=model_on_texts.load_model):
        translator = load(model, decoding, device)
        translator.engine = SimpleNamespace(machine="cpu, 1 thread" if model.name == "ce" else "cpu, 2 threads")
        return translator

    monkeypatch.setattr(model_on_texts, "load_model", load_model)
    notes = run(project, test_sets=["news"]).tables()[0].note.splitlines()
    assert notes[-3:] == [
        "sent/s: sentences per second, without loading the model",
        "on cpu, 2 threads: teacher, a2d-diagonal",
        "on cpu, 1 thread: ce",
    ]
