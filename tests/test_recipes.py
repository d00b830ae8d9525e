"""The shipped recipes, and `a2d recipes list | show | copy`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from a2d_cli.commands.recipes import copy_recipe, list_recipes, show_recipe
from a2d_cli.config.catalog import find_recipe, recipe_text, recipes_folder
from a2d_cli.config.loader import load_recipe, parse_recipe
from a2d_cli.config.schema import CorpusFiles, Recipe
from a2d_cli.config.writer import dump_recipe
from a2d_cli.errors import A2DError, ConfigError

PROMISED = {
    "demo",
    "multi30k-ende",
    "multi30k-deen",
    "multi30k-enfr",
    "wmt22-dedsb",
    "tatoeba-deen",
    "iwslt14-deen",
    "wmt14-ende",
}


def test_the_promised_recipes_are_there():
    files = {path.stem for path in recipes_folder().rglob("*.yaml")}
    assert len(files) >= 8
    assert files >= PROMISED
    assert {summary.name for summary in list_recipes()} == files


@pytest.mark.parametrize("path", sorted(recipes_folder().rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_loads(path: Path):
    recipe = load_recipe(path.stem)  # checks it too
    assert recipe.name == path.stem
    assert recipe.data.generated or recipe.data.train
    references = [name for files in corpora_of(recipe) for name in (files.src, files.tgt) if name]
    assert {name.partition(":")[0] for name in references} <= set(recipe.data.downloads), "names a local path"
    assert parse_recipe(dump_recipe(recipe), where="dumped") == recipe


def corpora_of(recipe: Recipe) -> list[CorpusFiles]:
    tests = [files for test in recipe.data.tests.values() for files in test]
    return [*recipe.data.train, *recipe.data.valid, *tests]


def test_the_list_says_what_each_recipe_is():
    for summary in list_recipes():
        assert summary.pair == load_recipe(summary.path).pair
        assert len(summary.about) > 10
        assert "#" not in summary.about and "\n" not in summary.about


def test_listing_loads_neither_yaml_nor_torch():
    code = (
        "import sys; from a2d_cli.commands.recipes import list_recipes; import a2d_cli.config.loader;"
        "assert list_recipes(); print([name for name in ('yaml', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_opening_paragraph_is_what_a_recipe_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "two.yaml").write_text("# A corpus of\n# two lines.\n#\n# More.\nname: two\npair: de-en\n")
    (tmp_path / "bare.yaml").write_text("name: bare\n")
    monkeypatch.setattr("a2d_cli.config.catalog.recipes_folder", lambda: tmp_path)
    assert [(row.name, row.pair, row.about) for row in list_recipes()] == [
        ("bare", "", ""),
        ("two", "de-en", "A corpus of two lines."),
    ]


def test_showing_gives_the_text_as_written():
    text = show_recipe("demo")
    assert text == (recipes_folder() / "demo.yaml").read_text(encoding="utf-8")
    assert text == recipe_text(recipes_folder() / "demo.yaml")
    assert text.startswith("#")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "multi30k-ende2",
            (
                "no recipe is called 'multi30k-ende2' | hint: did you mean 'multi30k-ende'?"
                " 'a2d recipes list' names them; a file of your own ends in .yaml"
            ),
        ),
        (
            "qqqq",
            "no recipe is called 'qqqq' | hint: 'a2d recipes list' names them; a file of your own ends in .yaml",
        ),
        (
            "gone.yaml",
            "gone.yaml: no such recipe file | hint: 'a2d recipes list' names those that come with a2d",
        ),
        ("no/such", "no/such: no such recipe file | hint: 'a2d recipes list' names those that come with a2d"),
    ],
)
def test_a_recipe_that_is_not_there(name: str, message: str):
    with pytest.raises(ConfigError) as caught:
        find_recipe(name)
    assert str(caught.value) == message


def test_a_recipe_that_is_not_text(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}: not UTF-8 text: byte 6 | hint: save the recipe as UTF-8"


def test_copying_into_the_current_folder_another_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert copy_recipe("demo") == Path("demo.yaml")
    assert (tmp_path / "demo.yaml").read_text(encoding="utf-8") == show_recipe("demo")
    (tmp_path / "folder").mkdir()
    assert copy_recipe("demo", Path("folder")) == Path("folder/demo.yaml")
    mine = copy_recipe("demo", Path("new/mine.yaml"))
    assert load_recipe(mine).name == "demo"


def test_copying_overwrites_only_when_told(tmp_path: Path):
    target = tmp_path / "demo.yaml"
    target.write_text("mine")
    with pytest.raises(A2DError) as caught:
        copy_recipe("demo", tmp_path)
    assert str(caught.value) == f"{target} exists | hint: choose another name, or add --overwrite"
    assert target.read_text() == "mine"
    copy_recipe("demo", tmp_path, overwrite=True)
    assert target.read_text(encoding="utf-8") == show_recipe("demo")
