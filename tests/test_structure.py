"""The house rules that code can hold: layers, names, sizes, and a README that tells the truth."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from a2d_cli import cli
from a2d_cli.config.catalog import list_recipes, recipe_text
from a2d_cli.config.keys import recipe_keys

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "a2d_cli"

# Places by layer: imports point down, or sideways inside a folder (the package's own modules are one), never up.
LAYERS = (
    ("cores", "devices", "errors", "files", "reporting"),
    ("json_files",),
    ("config",),
    ("data", "model"),
    ("decoding", "scoring", "comparison", "project"),
    ("training",),
    ("distillation", "export"),
    ("commands",),
    ("console",),
    ("cli",),
    ("__main__",),
)
LAYER_OF = {place: layer for layer, places in enumerate(LAYERS) for place in places}

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "registry", "misc"}
WORD_LISTS = {"a2d_cli/data/demo/lexicon.py"}  # data, written as Python
HEAVY = {"torch", "numpy", "sentencepiece", "sacrebleu", "safetensors", "tensorboard"}


@dataclass(frozen=True)
class Import:
    """`name` is what a module imports: `torch.nn`, `a2d_cli.files`."""

    name: str
    at_start: bool  # when the module is imported, not inside a function or for type checkers alone


@dataclass(frozen=True)
class Module:
    path: str  # from the repository root
    imports: tuple[Import, ...]

    @property
    def name(self) -> str:
        return ".".join(Path(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def place(self) -> str:
        """A folder of the package, or a module that stands in none."""
        return Path(self.path).with_suffix("").parts[1]

    @property
    def lines(self) -> list[str]:
        return (ROOT / self.path).read_text(encoding="utf-8").splitlines()


@functools.cache
def modules() -> tuple[Module, ...]:
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 40
    return tuple(read_module(path) for path in paths)


def read_module(path: Path) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        below
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or is_for_type_checkers(node)
        for below in ast.walk(node)
    }
    found = [Import(name, node not in late) for node in ast.walk(tree) for name in imported(node)]
    return Module(path.relative_to(ROOT).as_posix(), tuple(found))


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_places(module: Module) -> list[str]:
    """The places of the package that a module imports from; `a2d_cli.__version__` is of no layer."""
    parts = [each.name.split(".") for each in module.imports]
    return [names[1] for names in parts if names[0] == "a2d_cli" and names[1] != "__version__"]


def packages(module: Module) -> set[str]:
    return {each.name.split(".")[0] for each in module.imports}


# --- the package


@pytest.mark.parametrize("rule", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_has_nothing_to_say(rule: list[str]):
    command = [sys.executable, "-m", "ruff", *rule, "--no-cache", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ruff {' '.join(rule)}: {done.stdout}{done.stderr}"


def test_every_module_stands_in_a_layer():
    assert {module.place for module in modules()} - {"__init__"} <= set(LAYER_OF)


def test_imports_point_down_or_sideways_inside_a_folder():
    wrong = []
    num_imports = 0
    for module in modules():
        for place in own_places(module):
            num_imports += 1
            # Modules that stand in no folder are in one: the package.
            same_folder = place == module.place or not any((PACKAGE / p).is_dir() for p in (place, module.place))
            down = LAYER_OF[place] < LAYER_OF[module.place]
            if not down and not (same_folder and LAYER_OF[place] == LAYER_OF[module.place]):
                wrong.append(f"{module.path} imports {place}")
    assert num_imports > 100
    assert not wrong


def test_the_lowest_layer_needs_the_standard_library_alone():
    lowest = [module for module in modules() if module.place in LAYERS[0]]
    assert len(lowest) == len(LAYERS[0])
    for module in lowest:
        assert packages(module) - {"a2d_cli", "__future__"} <= sys.stdlib_module_names, module.path


def test_typer_and_rich_are_known_to_the_command_line_alone():
    users = {module.place for module in modules() if packages(module) & {"typer", "rich", "click"}}
    assert users == {"cli", "console"}


def test_the_trainer_knows_no_teacher():
    training = [module for module in modules() if module.place == "training"]
    assert len(training) > 4
    for module in training:
        told = [line for line in module.lines if "teacher" in line.lower()]
        assert not told, f"{module.path} knows teachers"


def test_no_name_is_vague():
    assert not [module.path for module in modules() if VAGUE & {*Path(module.path).with_suffix("").parts}]


def test_a_file_is_read_in_one_sitting():
    lengths = {module.path: len(module.lines) for module in modules() if module.path not in WORD_LISTS}
    assert {path: length for path, length in lengths.items() if length > 600} == {}


def test_nothing_heavy_is_imported_before_a_command_runs():
    by_name = {module.name: module for module in modules()}
    reached, todo = set(), ["a2d_cli.cli"]
    while todo:
        name = todo.pop()
        if name in reached or name not in by_name:
            continue
        reached.add(name)
        for each in by_name[name].imports:
            if each.at_start:
                assert each.name.split(".")[0] not in HEAVY, f"{name} imports {each.name}"
                parts = each.name.split(".")
                todo += [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    assert len(reached) > 5


# --- README


DOCUMENTS = ("README.md", "recipes/README.md")


def file_map() -> list[str]:
    """The paths of the package's map: the first word of each line of its fenced block."""
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert block, "a2d_cli/README.md has no fenced block"
    return [line.split()[0] for line in block.group(1).splitlines() if line.strip()]


def test_the_map_names_every_module_once_and_nothing_else():
    paths = file_map()
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert sorted(set(paths)) == sorted(paths)
    told = {path for path in paths if path.endswith(".py")}
    assert {module.path for module in modules() if not module.path.endswith("__init__.py")} - told == set()


def commands_in(text: str) -> Iterator[list[str]]:
    """The arguments of each `a2d` in lines of shell: comments, redirections and what runs it (torchrun) left out."""
    for line in text.splitlines():
        if not re.search(r"(^|[&|;]|--no-python)\s*a2d\s", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        command: list[str] = []
        redirected = False
        for token in [*lexer, ";"]:
            if set(token) <= set("&|;"):
                if "a2d" in command:
                    yield command[command.index("a2d") + 1 :]
                command = []
            elif not redirected and not set(token) <= set("<>"):
                command.append(token)
            redirected = set(token) <= set("<>")


def commands_of(document: str) -> list[list[str]]:
    """Of its fenced blocks, and of the text between them; not those that leave out some of it."""
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
    return [
        command
        for part in [*blocks, *(" ".join(span.split()) for span in spans)]
        for command in commands_in(part)
        if "…" not in command
    ]


def help_commands() -> list[list[str]]:
    """Of the examples in the help texts."""
    texts = [command.help or "" for command in commands_below(typer.main.get_command(cli.app))]
    examples = [each for text in texts for each in re.findall(r"(?:torchrun .*)?\ba2d .*", text)]
    return [command for example in examples for command in commands_in(example.rstrip("."))]


def commands_below(group: Any) -> Iterator[Any]:
    for command in group.commands.values():
        yield from commands_below(command) if hasattr(command, "commands") else [command]


def parse(arguments: list[str]) -> Any:
    """What the command line makes of the arguments, without running anything: the command's own arguments.

    Raises:
        Exception: a usage error: unknown command or option, a value missing or of the wrong type.
    """
    group: Any = typer.main.get_command(cli.app)
    group.callback = None
    for command in commands_below(group):
        command.callback = lambda **given: given
    return group.main(cli.single_files(arguments), prog_name="a2d", standalone_mode=False)


def check_command(arguments: list[str]) -> None:
    given = parse(arguments)
    if not isinstance(given, dict):  # --help and --version end in an exit code
        return
    for setting in given.get("settings") or []:
        assert setting.partition("=")[0] in recipe_keys(), f"--set {setting}"
    recipe = given.get("recipe")
    names = {each.name for each in list_recipes()}
    assert recipe in {None, "RECIPE", *names} or recipe.startswith("./"), f"no recipe {recipe}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_documents_commands_are_commands(document: str):
    commands = commands_of(document)
    assert len(commands) > 10
    assert {"prepare", "train-teacher", "compare"} <= {each[0] for each in commands}
    for arguments in commands:
        check_command(arguments)


def anchors_of(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [*DOCUMENTS, "a2d_cli/README.md", "tests/benchmarks/README.md", "CHANGELOG.md"])
def test_the_documents_links_lead_somewhere(document: str):
    path = ROOT / document
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            place, _, anchor = link.partition("#")
            target = path.parent / place if place else path
            assert target.exists(), f"{document}: {link}"
            assert not anchor or anchor in anchors_of(target), f"{document}: {link}"


def test_readme_shows_the_main_path():
    assert {"demo", "prepare", "train-teacher", "distill", "translate", "score"} <= {
        each[0] for each in commands_of("README.md")
    }


def test_the_helps_commands_are_commands():
    commands = help_commands()
    assert len(commands) > 5
    for arguments in commands:
        check_command(arguments)


def test_the_recipes_commands_are_commands():
    names = [each.name for each in list_recipes()]
    assert len(names) > 7
    for name in names:
        # A comment's lines, without its labels and remarks in brackets.
        comments = re.findall(r"^#\s*(?:[A-Z]\w+ )?\s*([^(\n]*)", recipe_text(name), re.MULTILINE)
        commands = [*commands_in("\n".join(comments))]
        assert ["prepare", name] in commands
        for arguments in commands:
            check_command(arguments)


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("a2d prepare demo && a2d score   # words", [["prepare", "demo"], ["score"]]),
        ("torchrun --nproc-per-node 2 --no-python a2d distill", [["distill"]]),
        ("echo 'a2d lives' | a2d -C x translate < in.txt > out.txt", [["-C", "x", "translate"]]),
        ("cd a2d_cli", []),
    ],
)
def test_commands_are_found_in_shell(line: str, commands: list[list[str]]):
    assert list(commands_in(line)) == commands


@pytest.mark.parametrize("line", ["distil", "score --refrence x", "prepare demo extra", "translate --beam wide"])
def test_a_wrong_command_would_be_found(line: str):
    with pytest.raises(Exception, match=r"(?i)no such|unexpected|valid integer"):
        parse(line.split())
