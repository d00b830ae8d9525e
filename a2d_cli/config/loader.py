"""Recipes in: YAML, `extends` and `--set` to one frozen `Recipe`. Recipes out: commented YAML.

The schema's types decide how a scalar is read, never YAML's guesses: `5e-4` is a number where a number
belongs, and `no` is Norwegian. Every file and the overrides are read as a layer of its own, so that an error
names the layer it stands in; the layers are merged, and the dataclasses are built once.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from a2d_cli.config import schema
from a2d_cli.config.catalog import find_recipe, read_recipe_file
from a2d_cli.config.schema import PRESETS, ModelShape, Recipe
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import check_format

# What `preset` stands for; the other keys of a shape (dropout, norm, ...) belong to the corpus, not the size.
PRESET_KEYS = ("d_model", "num_heads", "ffn_dim", "encoder_layers", "decoder_layers")
METHOD_TERMS = ("ce", "word", "a2d", "a2d-release", "a2d-paper", "a2d-masked", "a2d-simplex")
_NULLS = ("", "~", "null", "Null", "NULL")


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe or a recipe file, resolved and checked.

    Args:
        overrides: `KEY.SUB=VALUE` texts of `--set`, the last word on each key.

    Raises:
        ConfigError: everything wrong with the files and the overrides at once, one line each.
    """
    path = find_recipe(name_or_path)
    return _resolve(_layers(read_recipe_file(path), path.name, path), overrides, path.name)


def parse_recipe(text: str, overrides: Sequence[str] = (), *, where: str) -> Recipe:
    """`load_recipe` of a text; paths in it stay as they are.

    Args:
        where: what error messages call the text.
    """
    return _resolve(_layers(text, where, None), overrides, where)


def read_project_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that `a2d prepare` left in a project (`a2d.yaml`).

    Raises:
        A2DError: there is none yet.
        ConfigError: as `load_recipe`.
    """
    if not path.is_file():
        raise A2DError(f"{path}: no such file: nothing is prepared here yet", "run: a2d prepare RECIPE")
    return _resolve(_layers(read_recipe_file(path), path.name, path), overrides, path.name)


def parse_student(text: str, recipe: Recipe) -> ModelShape:
    """`--student`: a preset, keys of the recipe's student to change, or both (`base,dropout=0.2`).

    Raises:
        ConfigError: unknown preset or key, wrong value, dimensions that do not fit together.
    """
    problems = _Problems()
    values = {}
    for number, part in enumerate(text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if equals:
            values[key] = value
        elif number == 0:
            values["preset"] = key
        else:
            example = "for example d_model=192,num_heads=4"
            raise ConfigError(f"--student: expected KEY=VALUE, got '{part}'", example)
    changes = _Reader("--student", problems).section(ModelShape, values, "")
    problems.raise_any()
    student = dataclasses.replace(recipe.student, **changes)
    _check_values(student, "", _Place("--student", problems))
    _check_shape(student, "", _Place("--student", problems))
    problems.raise_any()
    return student


def recipe_keys(kind: type = Recipe, prefix: str = "") -> list[str]:
    """Every key that `--set` reaches, with its sections: `training.lr`, `data.split.by`, ..."""
    keys = []
    for name, key_type in _types_of(kind).items():
        keys.append(prefix + name)
        sections = [arm for arm in _arms(key_type) if dataclasses.is_dataclass(arm)]
        for section in sections:
            keys += recipe_keys(section, f"{prefix}{name}.")
    return keys


@dataclasses.dataclass(frozen=True)
class _Layer:
    """What one file says, as YAML's mappings, lists, texts and Nones. Paths in it start at `folder`."""

    where: str
    values: dict[str, Any]
    folder: Path | None


def _layers(text: str, where: str, path: Path | None, below: tuple[Path, ...] = ()) -> list[_Layer]:
    """The layers of a text, what it extends first."""
    values = _parse_yaml(text, where)
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping of sections, got {_describe(values)}")
    _refuse_newer_format(values, where)
    folder = path.resolve().parent if path else None
    layer = _Layer(where, {key: value for key, value in values.items() if key != "extends"}, folder)
    if "extends" not in values:
        return [layer]
    name = values["extends"]
    if not isinstance(name, str):
        raise ConfigError(f"{where}: extends: expected the name of a recipe, got {_describe(name)}")
    try:
        parent = find_recipe(name, folder)
    except ConfigError as error:
        raise ConfigError(f"{where}: extends: {error.message}", error.hint) from None
    chain = (*below, path.resolve()) if path else below
    if parent.resolve() in chain:
        circle = " -> ".join(step.name for step in (*chain, parent))
        raise ConfigError(f"{where}: extends: a recipe cannot extend itself: {circle}")
    return [*_layers(read_recipe_file(parent), parent.name, parent, chain), layer]


def _override_layer(overrides: Sequence[str]) -> _Layer:
    root: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise ConfigError(f"--set {override}: expected KEY=VALUE", "for example --set training.lr=3e-4")
        node = root
        for name in names[:-1]:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[names[-1]] = _parse_override(text.strip(), f"--set {key}")
    return _Layer("--set", root, Path.cwd())


def _parse_override(text: str, where: str) -> Any:
    """Lists, mappings and quoted texts as YAML; anything else as it was typed."""
    if text.startswith(("[", "{", '"', "'")):
        return _parse_yaml(text, where)
    return None if text in _NULLS[1:] else text


def _parse_yaml(text: str, where: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_yaml_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise ConfigError(f"{where}:{position} {error.problem}", "the file must be YAML") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}", "the file must be YAML") from None


@functools.cache
def _yaml_loader() -> type:
    import yaml

    class TextLoader(yaml.BaseLoader):
        """Scalars stay texts, plain nulls become None, and no key stands twice."""

        def construct_scalar(self, node: Any) -> str | None:
            text = super().construct_scalar(node)
            return None if node.style is None and text in _NULLS else text

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        problem = f"the key '{key.value}' stands twice"
                        raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    return TextLoader


def _refuse_newer_format(values: Mapping[str, Any], where: str) -> None:
    """Before anything else: a newer recipe's keys would only look unknown."""
    found = values.get("format")
    if isinstance(found, str) and found.isdecimal():
        try:
            check_format(Path(where), int(found), schema.FORMAT)
        except A2DError as error:
            raise ConfigError(error.message, error.hint) from None


def _resolve(layers: list[_Layer], overrides: Sequence[str], where: str) -> Recipe:
    problems = _Problems()
    layers = [*layers, _override_layer(overrides)]
    read = [_Reader(layer.where, problems).section(Recipe, layer.values, "") for layer in layers]
    problems.raise_any()

    downloads = {name for values in read for name in values.get("data", {}).get("downloads", {})}
    for layer, values in zip(layers, read, strict=True):
        if layer.folder:
            _root_paths(values.get("data", {}), downloads, layer.folder)
    # --set training.X is the user's word and reaches the student too, whatever the recipe says of it.
    if "training" in read[-1]:
        read[-1]["student_training"] = read[-1]["training"] | read[-1].get("student_training", {})
    merged: dict[str, Any] = functools.reduce(_merge, read)
    merged["student_training"] = merged.get("training", {}) | merged.get("student_training", {})

    recipe = _build(Recipe, merged, None, "", _Place(where, problems))
    problems.raise_any()
    check_recipe(recipe, where)
    return recipe


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Mappings key by key; anything else replaces what was there."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _root_paths(data: dict[str, Any], downloads: set[str], folder: Path) -> None:
    """Make the paths among `src` and `tgt` absolute: they start at the folder of the file that says them."""
    corpora = [*data.get("train", ()), *data.get("valid", ())]
    corpora += [files for test in data.get("tests", {}).values() for files in test]
    for files in corpora:
        for side in ("src", "tgt"):
            reference = files.get(side)
            if reference and _is_path(reference, downloads):
                files[side] = str(folder / Path(reference).expanduser())


def _is_path(reference: str, downloads: typing.Collection[str]) -> bool:
    """Neither a download nor DOWNLOAD:MEMBER."""
    head, colon, _ = reference.partition(":")
    return head not in downloads and ("/" in head or not colon)


class _Problems:
    """What is wrong, gathered so that a person can mend it all at once."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    def add(self, message: str, hint: str | None = None) -> None:
        self._found.append(ConfigError(message, hint))

    def raise_any(self) -> None:
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise ConfigError("\n".join(str(problem) for problem in self._found))


@dataclasses.dataclass(frozen=True)
class _Place:
    """A layer's name with the list that its problems go to."""

    where: str
    problems: _Problems

    def complain(self, key: str, message: str, hint: str | None = None) -> None:
        self.problems.add(": ".join(part for part in (self.where, key, message) if part), hint)


class _Reader:
    """Reads one layer by the schema's types. Sections stay dicts of the keys given, to be merged."""

    def __init__(self, where: str, problems: _Problems):
        self._place = _Place(where, problems)

    def section(self, kind: type, value: Any, key: str) -> dict[str, Any]:
        value = {} if value is None else value  # a section whose keys are all commented out
        if not isinstance(value, dict):
            self._mismatch(kind, value, key)
            return {}
        prefix = f"{key}." if key else ""
        key_types = _types_of(kind)
        found: dict[str, Any] = {}
        for name, item in value.items():
            if name in key_types:
                found[name] = self._value(key_types[name], item, prefix + name)
            elif not (kind is ModelShape and name == "preset"):
                known = [*key_types, "preset"] if kind is ModelShape else [*key_types]
                self._place.complain(f"{prefix}{name}", "unknown key", _nearest_key(str(name), known))
        if kind is ModelShape and "preset" in value:
            preset = self._value(Literal[tuple(PRESETS)], value["preset"], f"{prefix}preset")
            found = _preset(preset) | found if preset else found
        return found

    def _value(self, kind: Any, value: Any, key: str) -> Any:
        arms = _arms(kind)
        if value is None and type(None) in arms:
            return None
        arm = arms[0]
        if dataclasses.is_dataclass(arm):
            return self.section(arm, value, key)
        if typing.get_origin(arm) is dict:
            return self._mapping(arm, value, key)
        if typing.get_origin(arm) is tuple:
            return self._list(arm, value, key)
        for arm in arms:
            converted = _convert(arm, value)
            if converted is not None:
                return converted
        self._mismatch(kind, value, key)
        return None

    def _mapping(self, kind: Any, value: Any, key: str) -> dict[str, Any]:
        value = {} if value is None else value
        if not isinstance(value, dict):
            self._mismatch(kind, value, key)
            return {}
        item_type = typing.get_args(kind)[1]
        return {str(name): self._value(item_type, item, f"{key}.{name}") for name, item in value.items()}

    def _list(self, kind: Any, value: Any, key: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            self._mismatch(kind, value, key)
            return ()
        item_type = typing.get_args(kind)[0]
        return tuple(self._value(item_type, item, f"{key}[{index}]") for index, item in enumerate(value))

    def _mismatch(self, kind: Any, value: Any, key: str) -> None:
        near = difflib.get_close_matches(value, _choices(kind), n=1) if isinstance(value, str) else []
        hint = f"did you mean '{near[0]}'?" if near else None
        self._place.complain(key, f"expected {_expected(kind)}, got {_describe(value)}", hint)


def _convert(kind: Any, value: Any) -> Any:
    """A text as `str`, `int`, `float`, `bool` or one of a Literal's choices; None if it is not one."""
    if not isinstance(value, str) or kind is type(None):
        return None
    if typing.get_origin(kind) is Literal:
        return value if value in typing.get_args(kind) else None
    if kind is bool:
        return {"true": True, "false": False}.get(value.lower())
    if kind is str:
        return value
    try:
        number = kind(value)
        return number if math.isfinite(number) else None
    except (ValueError, OverflowError):
        return None


def _build(kind: type, values: Mapping[str, Any], base: Any, key: str, place: _Place) -> Any:
    """The dataclass of merged values; keys left out are those of `base`, else the schema's defaults."""
    arguments = {}
    key_types = _types_of(kind)
    for field in dataclasses.fields(kind):
        below = f"{key}.{field.name}" if key else field.name
        if field.name in values:
            default = getattr(base, field.name) if base else _default(field)
            value = values[field.name]
            arguments[field.name] = _build_value(key_types[field.name], value, default, below, place)
        elif base is None and _default(field) is dataclasses.MISSING:
            place.complain(below, "missing")
            arguments[field.name] = None
    return dataclasses.replace(base, **arguments) if base else kind(**arguments)


def _build_value(kind: Any, value: Any, default: Any, key: str, place: _Place) -> Any:
    kind = _arms(kind)[0]
    if dataclasses.is_dataclass(kind):
        base = default if isinstance(default, kind) else None
        return None if value is None else _build(kind, value, base, key, place)
    if typing.get_origin(kind) is dict:
        item = typing.get_args(kind)[1]
        return {name: _build_value(item, each, None, f"{key}.{name}", place) for name, each in value.items()}
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_build_value(item, each, None, f"{key}[{i}]", place) for i, each in enumerate(value))
    return value


def _unlike(value: Any, base: Any) -> dict[str, Any]:
    """The keys in which two of a kind differ, with the first one's values; all keys if `base` is None."""
    values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: item for name, item in values.items() if base is None or item != getattr(base, name)}


@functools.cache
def _types_of(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _arms(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union, as written; None, if there, is not the first in the schema."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _preset(name: str) -> dict[str, int]:
    return {key: getattr(PRESETS[name], key) for key in PRESET_KEYS}


def _nearest_key(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    elsewhere = [key for key in recipe_keys() if key.split(".")[-1] == name]
    if elsewhere or near:
        return f"did you mean '{(elsewhere or near)[0]}'?"
    return f"the keys here are {', '.join(known)}"


def _choices(kind: Any) -> list[str]:
    literals = [arm for arm in _arms(kind) if typing.get_origin(arm) is Literal]
    return [choice for literal in literals for choice in typing.get_args(literal)]


def _expected(kind: Any) -> str:
    names = {int: "int", float: "float", str: "str", bool: "true or false", type(None): "null"}
    words = []
    for arm in _arms(kind):
        choices = typing.get_args(arm)
        if typing.get_origin(arm) is Literal:
            words.append(f"one of {', '.join(choices)}" if len(choices) > 1 else f"'{choices[0]}'")
        elif typing.get_origin(arm) is tuple:
            words.append("a list")
        else:
            words.append(names.get(arm, "a mapping"))
    return " or ".join(words)


def _describe(value: Any) -> str:
    """A value as YAML would have it, with its type: `'fast' (str)`, `0.5 (float)`, `a list`."""
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return "a mapping" if isinstance(value, dict) else "a list"
    for kind in (int, float, bool):
        if _convert(kind, value) is not None:
            return f"{value} ({kind.__name__})"
    shown = value if len(value) <= 60 else value[:57] + "..."
    return f"{shown!r} (str)"


_RANGES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "at least 1",
        lambda value: value >= 1,
        """Recipe.format CorpusFiles.src_column CorpusFiles.tgt_column
        Generated.train_pairs Generated.valid_pairs Generated.test_pairs
        Cleaning.max_words Cleaning.max_characters Cleaning.max_ratio Tokenizer.max_training_sentences
        ModelShape.d_model ModelShape.num_heads ModelShape.ffn_dim ModelShape.encoder_layers
        ModelShape.decoder_layers ModelShape.max_positions
        Training.max_updates Training.max_tokens Training.accumulate Training.max_length
        Training.validate_every_updates Training.save_every_updates
        Training.log_every_updates Distillation.calibrate_at_update
        Decoding.beam Decoding.nbest Decoding.max_source_tokens Decoding.batch_sentences""",
    ),
    (
        "0 or more",
        lambda value: value >= 0,
        """Split.valid_pairs Split.test_pairs Split.every Split.seed Generated.seed
        Cleaning.ratio_free_characters
        Training.warmup_updates Training.weight_decay Training.clip_norm Training.max_epochs
        Training.max_hours Training.max_sentences Training.patience Training.average_last
        Training.decode_below_nll Training.valid_sentences Training.samples Training.seed Training.max_rewinds
        Distillation.beta Distillation.half_life Distillation.gradient_share
        Decoding.length_penalty Decoding.max_length_extra""",
    ),
    (
        "above 0",
        lambda value: value > 0,
        "Training.lr Training.adam_eps Distillation.temperature Decoding.max_length_ratio",
    ),
    (
        "above 0 and at most 1",
        lambda value: 0 < value <= 1,
        "Tokenizer.character_coverage",
    ),
    (
        "from 0 to 1",
        lambda value: 0 <= value <= 1,
        "Training.cooldown_fraction Distillation.alpha Distillation.decay",
    ),
    (
        "at least 0 and below 1",
        lambda value: 0 <= value < 1,
        """ModelShape.dropout ModelShape.attention_dropout Training.adam_beta1 Training.adam_beta2
        Training.label_smoothing Distillation.row_floor""",
    ),
)
_RANGE_OF = {name: (phrase, holds) for phrase, holds, names in _RANGES for name in names.split()}

_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z0-9]+)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_NAMES = "a name is made of letters, digits, '.', '_' and '-'"
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_recipe(recipe: Recipe, where: str) -> None:
    """Ranges, names, and keys that must fit each other.

    Raises:
        ConfigError: all that is wrong, one line each.
    """
    problems = _Problems()
    place = _Place(where, problems)
    # Values that the student inherits are blamed on `training` alone.
    own = _unlike(recipe.student_training, recipe.training)
    _check_values(dataclasses.replace(recipe, student_training=schema.Training(**own)), "", place)
    if not _FILE_NAME.fullmatch(recipe.name):
        place.complain("name", f"{_NAMES}, not '{recipe.name}'")
    _check_pair(recipe.pair, place)
    _check_data(recipe.data, place)
    _check_vocab_size(recipe.tokenizer.vocab_size, place)
    _check_shape(recipe.teacher, "teacher", place)
    _check_shape(recipe.student, "student", place)
    _check_training(recipe, place)
    _check_method(recipe.distillation, place)
    nbest, beam = recipe.decoding.nbest, recipe.decoding.beam
    if nbest > beam:
        place.complain("decoding.nbest", f"{nbest} is more than beam {beam}", "raise decoding.beam")
    problems.raise_any()


def _check_values(value: Any, key: str, place: _Place) -> None:
    """Every number against its range, wherever its dataclass stands."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            below = f"{key}.{field.name}" if key else field.name
            item = getattr(value, field.name)
            phrase, holds = _RANGE_OF.get(f"{type(value).__name__}.{field.name}", ("", None))
            if holds and not holds(item):
                place.complain(below, f"expected {phrase}, got {item}")
            _check_values(item, below, place)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_values(item, f"{key}.{name}", place)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            _check_values(item, f"{key}[{index}]", place)


def _check_pair(pair: str, place: _Place) -> None:
    tags = pair.split("-")
    if len(tags) != 2 or not all(_LANGUAGE.fullmatch(tag) for tag in tags):
        hint = "two language codes, for example de-en or zh_Hans-en"
        place.complain("pair", f"expected SRC-TGT, got '{pair}'", hint)
    elif tags[0] == tags[1]:
        place.complain("pair", f"source and target are both '{tags[0]}'")


def _check_data(data: schema.Data, place: _Place) -> None:
    for name, download in data.downloads.items():
        key = f"data.downloads.{name}"
        if not _FILE_NAME.fullmatch(name):
            place.complain(key, f"{_NAMES}, not '{name}'")
        if not re.match(r"https?://[^/\s]+/\S+$", download.url):
            place.complain(f"{key}.url", f"expected http(s)://HOST/PATH, got '{download.url}'")
        if download.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", download.sha256):
            place.complain(f"{key}.sha256", f"expected 64 digits 0-9a-f, got '{download.sha256}'")
    for name in data.tests:
        if not _FILE_NAME.fullmatch(name):
            place.complain(f"data.tests.{name}", f"{_NAMES}, not '{name}'")
        elif name in ("train", "valid"):
            place.complain(f"data.tests.{name}", f"'{name}' is taken: call the test set something else")
    for name in data.reduce_tests:
        if name not in data.tests:
            near = difflib.get_close_matches(name, data.tests, n=1)
            hint = f"did you mean '{near[0]}'?" if near else None
            place.complain("data.reduce_tests", f"no test set is called '{name}'", hint)
    if data.generated and (data.train or data.split):
        place.complain("data.generated", "cannot stand together with data.train or data.split")
    if data.split:
        _check_split(data.split, data, place)
    for key, files in _corpora(data):
        _check_corpus(files, key, data.downloads, place)


def _check_split(split: schema.Split, data: schema.Data, place: _Place) -> None:
    if split.by == "every" and split.every < 2:
        place.complain("data.split.every", f"expected at least 2, got {split.every}", "23 is usual")
    if split.by == "components" and not (split.valid_pairs or split.test_pairs):
        place.complain("data.split", "takes no pairs", "set data.split.valid_pairs or test_pairs")
    if data.valid and (split.by == "every" or split.valid_pairs):
        place.complain("data.split", "takes validation pairs, but data.valid names some", "keep one of them")
    if split.test_pairs and "test" in data.tests:
        place.complain("data.split", "makes the test set 'test', but data.tests names one", "rename it")


def _corpora(data: schema.Data) -> Iterator[tuple[str, schema.CorpusFiles]]:
    """Every corpus with its key."""
    groups = {"train": data.train, "valid": data.valid}
    groups |= {f"tests.{name}": test for name, test in data.tests.items()}
    for group, corpora in groups.items():
        for index, files in enumerate(corpora):
            yield f"data.{group}[{index}]", files


def _check_corpus(files: schema.CorpusFiles, key: str, downloads: Mapping[str, Any], place: _Place) -> None:
    for side in ("src", "tgt"):
        reference = getattr(files, side)
        if reference is None:
            continue
        head = reference.partition(":")[0]
        if head not in downloads and not _is_path(reference, downloads):
            near = difflib.get_close_matches(head, downloads, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"for a path, write ./{reference}"
            place.complain(f"{key}.{side}", f"no download is called '{head}'", hint)
    if files.tgt is None and files.format not in ("tsv", "tmx"):
        place.complain(f"{key}.tgt", f"missing: only tsv and tmx hold both sides, and this is {files.format}")
    if files.format == "tsv" and files.src_column == files.tgt_column:
        place.complain(f"{key}.tgt_column", f"source and target are both column {files.tgt_column}")


def _check_vocab_size(size: int | Literal["auto"], place: _Place) -> None:
    if size != "auto" and (size < 8 or size % 8):
        below = size // 8 * 8
        hint = f"{below} or {below + 8}" if below >= 8 else "the smallest is 8"
        place.complain("tokenizer.vocab_size", f"expected a multiple of 8, got {size}", hint)


def _check_shape(shape: ModelShape, key: str, place: _Place) -> None:
    key = f"{key}.d_model" if key else "d_model"
    step = math.lcm(2, max(shape.num_heads, 1))
    if shape.d_model >= 1 and shape.d_model % step:
        below = shape.d_model // step * step
        hint = f"{below} or {below + step}" if below else f"{step}"
        message = f"expected an even number divisible by num_heads {shape.num_heads}, got {shape.d_model}"
        place.complain(key, message, hint)


def _check_training(recipe: Recipe, place: _Place) -> None:
    for section in ("training", "student_training"):
        training = getattr(recipe, section)
        shape_of = "teacher" if section == "training" else "student"
        longest = getattr(recipe, shape_of).max_positions
        if training.max_length > longest:
            message = f"{training.max_length} is more than {shape_of}.max_positions {longest}"
            place.complain(f"{section}.max_length", message, f"lower it, or raise {shape_of}.max_positions")
        inherited = section == "student_training" and training.device == recipe.training.device
        if not inherited and not _DEVICE.fullmatch(training.device):
            message = f"expected auto, cpu, cuda or cuda:N, got '{training.device}'"
            place.complain(f"{section}.device", message)


def _check_method(distillation: schema.Distillation, place: _Place) -> None:
    key, method = "distillation.method", distillation.method
    terms = method.split("+")
    for term in terms:
        if term not in METHOD_TERMS:
            near = difflib.get_close_matches(term, METHOD_TERMS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"the methods are {', '.join(METHOD_TERMS)}"
            place.complain(key, f"no method is called '{term}'", hint)
    terms = [f"a2d-{distillation.profile}" if term == "a2d" else term for term in terms]
    twice = next((term for term in terms if terms.count(term) > 1), None)
    if twice:
        place.complain(key, f"'{twice}' stands twice in '{method}'")
    if "ce" in terms and "word" in terms:
        message = f"'{method}' contradicts itself: word holds cross-entropy already"
        place.complain(key, message, "use word alone; distillation.alpha weighs the two")
    aligned = distillation.encoder_self or distillation.decoder_self or distillation.cross
    if not aligned and any(term.startswith("a2d") for term in terms):
        hint = "set distillation.encoder_self, decoder_self or cross to true"
        place.complain(key, f"'{method}' has no attention to align", hint)


def dump_recipe(recipe: Recipe) -> str:
    """YAML of every key with its unit, defaults included: `parse_recipe` of it gives the same recipe.

    Keys of `student_training` that equal those of `training` are left out, so that a change to `training`
    reaches both. Corpora and downloads say only what differs from the default.
    """
    lines = ["# A recipe of a2d as resolved, every key with its unit: edit it, run the same command again."]
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if dataclasses.is_dataclass(value):
            lines.append("")
            lines += [f"# {line}" for line in _about(type(value))]
        base = recipe.training if field.name == "student_training" else None
        lines += _entry(field.name, value, _comment(Recipe, field.name), base)
    return "\n".join(lines) + "\n"


def _entry(name: str, value: Any, comment: str = "", base: Any = None) -> list[str]:
    """The lines of one key and all below it, flush left; with `base`, only what differs from it."""
    head, tail = f"{_scalar(name)}:", f"  # {comment}" if comment else ""
    if dataclasses.is_dataclass(value):
        inner = _entries(value, base)
    elif isinstance(value, dict):
        inner = [line for key, item in value.items() for line in _brief_entry(key, item)]
    elif isinstance(value, tuple):
        inner = [line for item in value for line in _item(item)]
    else:
        return [f"{head} {_scalar(value)}{tail}"]
    if not inner:
        return [f"{head} {'[]' if isinstance(value, tuple) else '{}'}{tail}"]
    return [head + tail, *(f"  {line}" for line in inner)]


def _entries(value: Any, base: Any) -> list[str]:
    lines = []
    for name, item in _unlike(value, base).items():
        lines += _entry(name, item, _comment(type(value), name))
    return lines


def _brief_entry(name: str, value: Any) -> list[str]:
    """An entry of a mapping of one's own names: a download, or a test set."""
    if dataclasses.is_dataclass(value):
        return [f"{_scalar(name)}:", *(f"  {line}" for line in _told(value))]
    return _entry(name, value)


def _item(value: Any) -> list[str]:
    """One `- ` item of a list."""
    first, *rest = _told(value) if dataclasses.is_dataclass(value) else [_scalar(value)]
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _told(value: Any) -> list[str]:
    """`key: value` of what differs from the defaults."""
    told = [(field.name, getattr(value, field.name), _default(field)) for field in dataclasses.fields(value)]
    return [f"{name}: {_scalar(item)}" for name, item, default in told if item != default]


def _scalar(value: Any) -> str:
    import yaml

    # Double quotes, which can escape everything, for all but simple texts; PyYAML quotes `no` and `5` itself.
    quote = isinstance(value, str) and not re.fullmatch(r"[\w ./:+-]*", value)
    style = '"' if quote else None
    text = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=math.inf)
    return text.rstrip("\n").removesuffix("...").rstrip("\n")


def _about(kind: type) -> list[str]:
    """The first line of a schema class's docstring; the one that `dataclass` makes up says nothing."""
    doc = kind.__doc__ or ""
    return [] if doc.startswith(f"{kind.__name__}(") else doc.splitlines()[:1]


def _comment(kind: type, name: str) -> str:
    """The choices of a key, and what the schema says beside it."""
    value_type = _types_of(kind)[name]
    choices = _expected(value_type) if _choices(value_type) else None
    return "; ".join(part for part in (choices, _comments().get(f"{kind.__name__}.{name}")) if part)


@functools.cache
def _comments() -> dict[str, str]:
    """The schema's trailing comments by `Class.key`, so that units are written once."""
    try:
        source = inspect.getsource(schema)
    except OSError:  # installed without sources: a recipe without comments is still a recipe
        return {}
    comments, kind = {}, ""
    for line in source.splitlines():
        if opening := re.match(r"class (\w+)", line):
            kind = opening.group(1)
        elif found := re.match(r"    (\w+): .*?  # (.+)$", line):
            comments[f"{kind}.{found.group(1)}"] = found.group(2)
    return comments
