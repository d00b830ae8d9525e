"""Whether the runs of a comparison differ in their methods alone: without that its numbers mean nothing."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from a2d_cli.commands.compare_grid import Cell
from a2d_cli.commands.training_run import TEXT_KEYS
from a2d_cli.config.keys import END_KEYS, FREE_KEYS
from a2d_cli.config.method_name import terms_of
from a2d_cli.config.schema import Recipe, Training
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.project.project import Project
from a2d_cli.project.run import find_weights
from a2d_cli.reporting import some_names

# A section of run.json's settings -> that of the recipe, where compare's options reach it: `decoding` is a2d.yaml's.
SECTIONS = {"shape": "student", "training": "student_training", "distillation": "distillation"}
WITH_A_LABEL = "train runs of other names: --label NAME, with which they begin"
TRAIN_ANEW = "move the runs that are unlike the others out of runs/, and the same command trains them anew"
UNNAMED = "weights "  # before a teacher's digits where no run of the project has it


def refuse_early_ends(recipe: Recipe) -> None:
    """Raises ConfigError: something but `max_updates` may end a run, so that methods would get unequal training."""
    settings = asdict(recipe.student_training)
    for key in END_KEYS[1:]:
        name = key.removeprefix("training.")
        if settings[name]:
            raise ConfigError(
                f"student_training.{name} is {settings[name]}: a run could end before the others",
                "a comparison trains all methods for the same number of updates: leave the key out",
            )


def refuse_other_settings(
    project: Project, recipe: Recipe, facts: Mapping[str, Mapping[str, Any]], cells: Sequence[Cell]
) -> None:
    """Runs that are there, finished or only begun, must have been asked for with these very settings.

    But of a finished one it does not matter how it translated while it was validated: see
    `refuse_unequal_validations`.

    Args:
        facts: by method, what is its own: the teacher, the text that it has translated, the settings of distillation.

    Raises:
        ConfigError: names the keys, the runs, what they have and what is asked.
    """
    teacher_name = functools.cache(functools.partial(_teacher_name, project))
    strays: dict[str, dict[str, list[Any]]] = {}  # key -> run -> [asked, found]
    for cell in cells:
        info = cell.run.info
        if not info:
            continue
        asked, found = _asked(project, recipe, facts[cell.method], cell), _found(info)
        for key in sorted((asked.keys() | found.keys()) - FREE_KEYS):
            is_past = key.startswith("decoding.") and info.get("finished")
            if not is_past and asked.get(key) != found.get(key):
                pair = [asked.get(key), found.get(key)]
                if key == "teacher":
                    pair = [digits and ",".join(map(teacher_name, digits.split(","))) for digits in pair]
                strays.setdefault(TEXT_KEYS.get(key, key), {})[cell.run.name] = pair
    if not strays:
        return
    told = []
    for key, by_run in strays.items():
        asked_values = sorted({"nothing" if asked is None else str(asked) for asked, _ in by_run.values()})
        told.append(
            f"{key}: {' or '.join(asked_values)} asked, {_places({run: found for run, (_, found) in by_run.items()})}"
        )
    raise ConfigError("runs have other settings than this comparison: " + "; ".join(told), _remedy(strays))


def _teacher_name(project: Project, digits: str) -> str:
    found = find_weights(project, digits)
    return found.name if found else f"{UNNAMED}{digits}"


def refuse_unequal_validations(recipe: Recipe, cells: Sequence[Cell]) -> None:
    """Where the best weights are chosen by what they translate, all runs must have translated alike.

    Raises:
        A2DError: names the key, the runs and their values.
    """
    if recipe.student_training.best_metric == "loss":
        return
    own = {cell.run.name: asdict(recipe.decoding) for cell in cells}
    for cell in cells:
        if info := cell.run.info:
            own[cell.run.name] = info.get("settings", {}).get("decoding", {})
    for key in asdict(recipe.decoding):
        if f"decoding.{key}" not in FREE_KEYS:
            fact = f"decoding.{key} of the validations, whose {recipe.student_training.best_metric} chose the weights"
            _refuse(fact, {name: decoding.get(key) for name, decoding in own.items()})


def _asked(project: Project, recipe: Recipe, facts: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    prepared = project.state()["prepared"]
    settings = {
        "shape": asdict(recipe.student),
        "training": asdict(recipe.student_training) | {"max_updates": cell.updates},
        "data": prepared["data_fingerprint"],
        "tokenizer": prepared["tokenizer_fingerprint"],
        "decoding": asdict(recipe.decoding),
    }
    return _flat({"method": cell.method, "seed": cell.seed, **settings, **facts})


def _found(info: Mapping[str, Any]) -> dict[str, Any]:
    return _flat({"method": info.get("method"), "seed": info.get("seed"), **info.get("settings", {})})


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`section.key`: value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _remedy(strays: Mapping[str, Mapping[str, list[Any]]]) -> str:
    """The options that ask for what the runs have, where that is one thing."""
    options, shape = [], []
    for key, by_run in strays.items():
        section, _, name = key.partition(".")
        values = {str(found) for _, found in by_run.values()}
        is_missing = any(None in pair for pair in by_run.values())  # a key that counts under other settings alone
        if key == "teacher" and len(values) == 1 and not is_missing and UNNAMED not in str(values):
            options.append(f"--teacher {values.pop()}")
            continue
        if section not in SECTIONS or len(values) > 1 or key in END_KEYS or is_missing:
            return WITH_A_LABEL
        value = values.pop().lower()  # true and false as YAML has them
        if section == "shape":  # --student has the last word on it
            shape.append(f"{name}={value}")
        else:
            options.append(f"--set {SECTIONS[section]}.{name}={value}")
    if shape:
        options.append(f"--student {','.join(shape)}")
    return f"to compare them as they are: {' '.join(options)}; else {WITH_A_LABEL}"


def refuse_unequal(cells: Sequence[Cell]) -> None:
    """Finished runs must have begun with the same weights, but for layers copied from the teacher, and have seen the
    same tokens in the same number of updates, at the same precision, which `auto` leaves to the device.

    Raises:
        A2DError: names the fact, the runs and their values.
    """
    for cell in cells:
        if "best" not in cell.run.info:
            raise A2DError(f"{cell.run.info_path}: no `best`: no weights of it were ever the best", TRAIN_ANEW)
    # Recorded last: not known of one that was killed as soon as it had finished.
    _refuse("precision", {cell.run.name: cell.run.info["precision"] for cell in cells if "precision" in cell.run.info})
    texts: dict[str, dict[str, Any]] = {}  # by method: a teacher may have translated anew between two seeds
    for cell in cells:
        texts.setdefault(cell.method, {})[cell.run.name] = cell.run.info.get("text")
    for method, values in texts.items():
        _refuse(f"training text of {method}", values)
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.updates, cell.seed), []).append(cell)
    for (updates, seed), group in groups.items():
        infos = {cell.run.name: cell.run.info for cell in group}
        for copies in (False, True):
            names = [cell.run.name for cell in group if copies_layers(cell) is copies]
            _refuse(f"initial weights (seed {seed})", {name: infos[name].get("initial_weights") for name in names})
        tokens: dict[Any, dict[str, Any]] = {}  # by text
        for name, info in infos.items():
            tokens.setdefault(info.get("text"), {})[name] = info.get("target_tokens")
        for values in tokens.values():
            _refuse(f"target tokens seen (seed {seed})", values)
        done = {name: info.get("updates") for name, info in infos.items()}
        _refuse("updates", done, expected=updates)


def copies_layers(cell: Cell) -> bool:
    """Layers of the teacher take the place of the seed's weights: equal starts among such runs, not with the others."""
    return "copy-layers" in terms_of(cell.method)


def learns_from_other_text(info: dict[str, Any]) -> bool:
    """A teacher's translations take the place of the references: the same budget, but not the same batches."""
    return "pseudo" in info.get("settings", {})


def _refuse(fact: str, values: dict[str, Any], expected: Any = None) -> None:
    distinct = set(values.values()) | ({expected} if expected is not None else set())
    if len(distinct) <= 1 and None not in distinct:
        return
    wanted = f" ({expected} were asked for)" if expected is not None else ""
    raise A2DError(
        f"runs that are compared differ in more than their methods: {fact}{wanted}: {_places(values)}",
        TRAIN_ANEW,
    )


def _places(values: Mapping[str, Any]) -> str:
    """`0.003 in ce-seed1, word-seed1 and 7 more, 0.001 in ce-seed2`"""
    by_value: dict[str, list[str]] = {}
    for name, value in values.items():
        by_value.setdefault("not recorded" if value is None else str(value), []).append(name)

    return ", ".join(f"{value} in {some_names(names)}" for value, names in by_value.items())


def what_was_trained(cells: Sequence[Cell], training: Training) -> list[str]:
    """How long the runs of each length were trained, and which of their weights are compared."""
    told = []
    for updates in sorted({cell.updates for cell in cells}):
        infos = [
            cell.run.info for cell in cells if cell.updates == updates and not learns_from_other_text(cell.run.info)
        ]
        seen = [info["target_tokens"] for info in infos if "target_tokens" in info]
        epochs = [info["epochs"] for info in infos if "epochs" in info]
        if seen and epochs:
            told.append(f"{updates:,} updates: {max(seen) / 1e6:.2f} M target tokens, up to epoch {max(epochs)}")
    every, mean = training.validate_every_updates, training.average_last
    chosen = f"the best by {training.best_metric} of validations every {every:,} updates and at the end"
    chosen += f", or the mean of the last {mean} where that is better" if mean > 1 else ""
    return [*told, f"weights: {chosen}; learning rate {training.lr:g}, {training.max_tokens:,} target tokens an update"]


def notes_on(cells: Sequence[Cell], teachers_start: Collection[str] = ()) -> list[str]:
    """What a reader should know of runs that were not refused.

    Args:
        teachers_start: hashes of the weights that the teachers began with.
    """
    infos = {cell.run.name: cell.run.info for cell in cells}
    notes = []
    other_text = sorted({cell.method for cell in cells if learns_from_other_text(infos[cell.run.name])})
    if other_text:
        notes.append(
            f"{', '.join(other_text)}: the teacher's translations as text; as many updates, but not the same batches; "
            "NLL and KL are taken on the references, so that theirs are not to be compared with the others'"
        )
    copying = sorted({cell.method for cell in cells if copies_layers(cell)})
    if copying:
        notes.append(f"{', '.join(copying)}: began with layers of the teacher, the others with random weights")
    alike = [name for name, info in infos.items() if info.get("initial_weights") in teachers_start]
    if alike:
        notes.append(
            f"began with the very weights that the teacher began with, and may learn it easily: {some_names(alike)}"
        )
    taught: dict[str, list[str]] = {}  # by way; who learned from the references alone has none
    for name, info in infos.items():
        if "taught" in info:
            taught.setdefault(info["taught"], []).append(name)
    if len(taught) > 1:
        ways = "; ".join(f"{way} in {some_names(names)}" for way, names in taught.items())
        notes.append(f"the teacher's answers, which a cache rounds: {ways}")
    rewound = [name for name, info in infos.items() if info.get("rewinds")]
    if rewound:
        notes.append(f"diverged and went on from an earlier state at half the learning rate: {', '.join(rewound)}")
    cut = [name for name, info in infos.items() if info.get("accumulate_after_out_of_memory")]
    if cut:
        notes.append(f"ran out of memory and went on in smaller pieces, with other dropout masks: {', '.join(cut)}")
    versions = {name: f"a2d {info.get('a2d', '?')}, torch {info.get('torch', '?')}" for name, info in infos.items()}
    if len(set(versions.values())) > 1:
        notes.append(f"begun with different versions: {_places(versions)}")
    machines = {name: info["machine"] for name, info in infos.items() if "machine" in info}
    if len(set(machines.values())) > 1:
        notes.append(f"trained on different machines, so that times a run say little: {_places(machines)}")
    return notes
