"""Recipes in: YAML, `extends` and `--set` to one frozen `Recipe`.

The schema's types decide how a scalar is read, never YAML's guesses: `5e-4` is a number where a number
belongs, and `no` is Norwegian. Every file and the overrides are read as a layer of its own, so that an error
names the layer it stands in; the layers are merged, and the dataclasses are built once. In that order (`_resolve`):

    layers         the recipes that it extends, the recipe itself, `--set`: mappings of texts
    read each      texts to values of the schema's types
    root paths     relative ones start at the folder of the file that says them
    merge          the later layer wins, key by key; the student inherits `training`
    own settings   what stands behind '@' in the method's name wins over all layers
    build, check   dataclasses; then ranges, and keys that must fit each other

Who is blamed for a value travels beside it: `options` names the option that gave a key, else it was the file.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from a2d_cli.config import schema
from a2d_cli.config.catalog import find_recipe, read_recipe_file
from a2d_cli.config.keys import arms_of, choices_of, default_of, expected, recipe_keys, types_of
from a2d_cli.config.method_name import NOT_OWN, own_settings
from a2d_cli.config.problems import SET, Place, Problems
from a2d_cli.config.rules import check_recipe, check_shape, is_path
from a2d_cli.config.schema import PRESETS, Distillation, ModelShape, Recipe
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import check_format, user_path

# Keys as other toolkits call them.
OTHER_NAMES = {
    "batch_size": "max_tokens",
    "dim": "d_model",
    "epochs": "max_epochs",
    "heads": "num_heads",
    "hidden_size": "d_model",
    "learning_rate": "lr",
    "max_steps": "max_updates",
    "num_epochs": "max_epochs",
    "updates": "max_updates",
    "warmup": "warmup_updates",
    "warmup_steps": "warmup_updates",
}
# What `preset` stands for; the other keys of a shape (dropout, norm, ...) belong to the corpus, not the size.
PRESET_KEYS = ("d_model", "num_heads", "ffn_dim", "encoder_layers", "decoder_layers")
_NULLS = ("", "~", "null", "Null", "NULL")


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe or a recipe file, resolved and checked.

    Args:
        overrides: `KEY.SUB=VALUE` texts of `--set`, the last word on each key; `--FLAG KEY.SUB=VALUE` where a flag
            stands for the key, which messages then name.

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
        A2DError: there is none.
        ConfigError: as `load_recipe`.
    """
    if not path.is_file():
        raise A2DError(
            f"{path}: no such file",
            "run 'a2d prepare' as you did before: what is prepared stays; or copy recipe.yaml of a run there",
        )
    where = path.name if path.name == "a2d.yaml" else str(path)  # of a run's it must be told whose
    return _resolve(_layers(read_recipe_file(path), where, path), overrides, where)


def parse_student(text: str, recipe: Recipe, where: str = "--student") -> ModelShape:
    """The value of `--student` (or of the option `where`).

    A preset, keys of the recipe's student to change, or both (`base,dropout=0.2`).

    Raises:
        ConfigError: unknown preset or key, wrong value, dimensions that do not fit together.
    """
    problems = Problems()
    values = {}
    for number, part in enumerate(text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if equals:
            values[key] = value
        elif number == 0:
            values["preset"] = key
        else:
            example = "for example d_model=192,num_heads=4"
            raise ConfigError(f"{where}: expected KEY=VALUE, got '{part}'", example)
    changes = _Reader(where, problems, {"preset": where}).section(ModelShape, values, "")
    problems.raise_any()
    student = dataclasses.replace(recipe.student, **changes)
    check_shape(student, where)
    return student


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


@dataclasses.dataclass(frozen=True)
class _Overrides:
    layer: _Layer
    options: dict[str, str]  # by key


def _read_overrides(overrides: Sequence[str]) -> _Overrides:
    root: dict[str, Any] = {}
    options: dict[str, str] = {}
    for override in overrides:
        option, _, setting = override.partition(" ") if override.startswith("--") else (SET, "", override)
        key, equals, text = setting.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise ConfigError(f"--set {override}: expected KEY=VALUE", "for example --set training.lr=3e-4")
        node = root
        for name in names[:-1]:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[names[-1]] = _parse_override(text.strip(), f"--set {key}")
        options[key.strip()] = option
    return _Overrides(_Layer(SET, root, Path.cwd()), options)


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
    except RecursionError:
        raise ConfigError(f"{where}: nested too deep", "the file must be YAML of a few levels") from None


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
    problems = Problems()
    told = _read_overrides(overrides)
    read = [_Reader(layer.where, problems).section(Recipe, layer.values, "") for layer in layers]
    read.append(_Reader(SET, problems, told.options).section(Recipe, told.layer.values, ""))
    layers = [*layers, told.layer]
    problems.raise_any()

    downloads = {name for values in read for name in values.get("data", {}).get("downloads", {})}
    for layer, values in zip(layers, read, strict=True):
        if layer.folder:
            _root_paths(values, downloads, layer.folder)
    # --set training.X is the user's word and reaches the student too, whatever the recipe says of it.
    if "training" in read[-1]:
        read[-1]["student_training"] = read[-1]["training"] | read[-1].get("student_training", {})
    merged: dict[str, Any] = functools.reduce(_merge, read)
    merged["student_training"] = merged.get("training", {}) | merged.get("student_training", {})
    _apply_own_settings(merged.get("distillation", {}), where, problems, told.options)
    problems.raise_any()

    recipe = _build(Recipe, merged, None, "", Place(where, problems))
    problems.raise_any()
    check_recipe(recipe, where, told.options)
    return recipe


def _apply_own_settings(distillation: dict[str, Any], where: str, problems: Problems, options: dict[str, str]) -> None:
    """What stands behind '@' in the method's name is the last word on its keys.

    `options` then blame the name for them.
    """
    method = distillation.get("method", "")
    option = options.get("distillation.method", "")
    named = f"{where}: distillation.method" if option in ("", SET) else option
    try:
        given = own_settings(method)
    except ConfigError as error:
        problems.add(f"{named} {method}: {error.message}", error.hint)
        return
    own = [key for key in types_of(Distillation) if key not in NOT_OWN]
    for key in given.keys() - set(own):
        del given[key]
        elsewhere = [name for name in recipe_keys() if name.endswith(f".{key}")]
        if key == "seed":
            message, hint = "a seed is no setting of a method", "a2d distill --seed N, a2d compare --seeds N,M"
        elif elsewhere:
            message, hint = f"{key} is no setting of a method's own", f"--set {elsewhere[0]}=… is for the whole run"
        else:
            message, hint = f"{key}: unknown key", _nearest_key(key, own)
        problems.add(f"{named} {method}: {message}", hint)
    distillation |= _Reader(f"{named} {method}", problems).section(Distillation, given, "")
    options |= {f"distillation.{key}": f"{named} {method}: {key}" for key in given}


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Mappings key by key; anything else replaces what was there."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _root_paths(values: dict[str, Any], downloads: set[str], folder: Path) -> None:
    """Make paths absolute: among `src` and `tgt`, and in `taken_from`.

    They start at the folder of the file that says them.
    """
    tokenizer, data = values.get("tokenizer", {}), values.get("data", {})
    if "/" in (tokenizer.get("taken_from") or ""):
        tokenizer["taken_from"] = str(folder / user_path(tokenizer["taken_from"]))
    corpora = [*data.get("train", ()), *data.get("valid", ())]
    corpora += [files for test in data.get("tests", {}).values() for files in test]
    for files in corpora:
        for side in ("src", "tgt"):
            reference = files.get(side)
            if reference and is_path(reference, downloads):
                files[side] = str(folder / user_path(reference))


class _Reader:
    """Reads one layer by the schema's types. Sections stay dicts of the keys given, to be merged."""

    def __init__(self, where: str, problems: Problems, options: Mapping[str, str] | None = None):
        self._place = Place(where, problems, options or {})

    def section(self, kind: type, value: Any, key: str) -> dict[str, Any]:
        value = {} if value is None else value  # a section whose keys are all commented out
        if not isinstance(value, dict):
            self._mismatch(kind, value, key)
            return {}
        prefix = f"{key}." if key else ""
        key_types = types_of(kind)
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
        arms = arms_of(kind)
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
        near = difflib.get_close_matches(value, choices_of(kind), n=1) if isinstance(value, str) else []
        hint = f"did you mean '{near[0]}'?" if near else None
        self._place.complain(key, f"expected {expected(kind)}, got {_describe(value)}", hint)


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


def _build(kind: type, values: Mapping[str, Any], base: Any, key: str, place: Place) -> Any:
    """The dataclass of merged values; keys left out are those of `base`, else the schema's defaults."""
    arguments = {}
    key_types = types_of(kind)
    for field in dataclasses.fields(kind):
        below = f"{key}.{field.name}" if key else field.name
        if field.name in values:
            default = getattr(base, field.name) if base else default_of(field)
            value = values[field.name]
            arguments[field.name] = _build_value(key_types[field.name], value, default, below, place)
        elif base is None and default_of(field) is dataclasses.MISSING:
            place.complain(below, "missing")
            arguments[field.name] = None
    return dataclasses.replace(base, **arguments) if base else kind(**arguments)


def _build_value(kind: Any, value: Any, default: Any, key: str, place: Place) -> Any:
    kind = arms_of(kind)[0]
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


def _preset(name: str) -> dict[str, int]:
    return {key: getattr(PRESETS[name], key) for key in PRESET_KEYS}


def _nearest_key(name: str, known: Sequence[str]) -> str:
    if OTHER_NAMES.get(name) in known:
        return f"did you mean '{OTHER_NAMES[name]}'?"
    near = difflib.get_close_matches(name, known, n=1)
    elsewhere = [key for key in recipe_keys() if key.split(".")[-1] == name]
    if elsewhere or near:
        return f"did you mean '{(elsewhere or near)[0]}'?"
    return f"the keys here are {', '.join(known)}"


def _describe(value: Any) -> str:
    """A value as YAML would have it: `'fast'`, `0.5`, `a list`."""
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return "a mapping" if isinstance(value, dict) else "a list"
    if any(_convert(kind, value) is not None for kind in (int, float, bool)):
        return value
    return repr(value if len(value) <= 60 else value[:57] + "...")
