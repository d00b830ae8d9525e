"""What a recipe must keep to beyond its types: ranges, names, and keys that fit each other."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from a2d_cli.config import schema
from a2d_cli.config.keys import unlike
from a2d_cli.config.method_name import terms_of
from a2d_cli.config.problems import Place, Problems
from a2d_cli.config.schema import Decoding, ModelShape, Recipe
from a2d_cli.devices import DEVICE

ATTENTION_TERMS = (
    *("a2d", "a2d-release", "a2d-paper", "a2d-masked", "a2d-simplex", "a2d-diagonal"),
    *("a2d-cells-simplex", "a2d-rows-conv", "a2d-frozen", "a2d-shuffled", "a2d-uniform"),
    *("a2d-diagonal-frozen", "a2d-diagonal-shuffled", "a2d-diagonal-uniform"),
    *("a2d-proj", "attn-fixed", "amad"),
)
MAX_BEAM = 1000  # no search needs more; what is a slip of the finger would ask for more memory than there is
METHOD_TERMS = ("ce", "word", "word-selective", "seq", *ATTENTION_TERMS, "hidden", "copy-layers")

_RANGES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "at least 1",
        lambda value: value >= 1,
        """Recipe.format CorpusFiles.src_column CorpusFiles.tgt_column
        Generated.train_pairs Generated.valid_pairs Generated.test_pairs
        Cleaning.max_words Cleaning.max_ratio Tokenizer.max_training_sentences
        ModelShape.d_model ModelShape.num_heads ModelShape.ffn_dim ModelShape.encoder_layers
        ModelShape.decoder_layers ModelShape.max_positions
        Training.max_updates Training.max_tokens Training.accumulate Training.max_length
        Training.validate_every_updates Training.save_every_updates
        Training.log_every_updates Distillation.calibrate_at_update Distillation.cache_top_k
        Distillation.selection_queue Decoding.max_source_tokens Decoding.batch_sentences""",
    ),
    (
        f"from 1 to {MAX_BEAM:,}",
        lambda value: 1 <= value <= MAX_BEAM,
        "Distillation.pseudo_beam Decoding.beam Decoding.nbest",
    ),
    (
        "from 1 to 16,384",  # of at most 4 bytes: SentencePiece leaves out lines over 64 KiB without a word
        lambda value: 1 <= value <= 16_384,
        "Cleaning.max_characters",
    ),
    (
        "0 or more",
        lambda value: value >= 0,
        """Split.valid_pairs Split.test_pairs Split.every
        Cleaning.ratio_free_characters
        Training.warmup_updates Training.weight_decay Training.clip_norm Training.max_epochs
        Training.max_hours Training.max_sentences Training.patience Training.average_last
        Training.decode_below_nll Training.valid_sentences Training.samples Training.max_rewinds
        Distillation.beta Distillation.half_life Distillation.gradient_share Distillation.pseudo_nbest
        Decoding.length_penalty Decoding.max_length_extra Decoding.no_repeat_ngram""",
    ),
    (
        "from 0 to 4,294,967,295",  # 32 bits: all generators of random numbers take them
        lambda value: 0 <= value < 2**32,
        "Split.seed Generated.seed Training.seed",
    ),
    (
        "above 0",
        lambda value: value > 0,
        """Training.lr Training.adam_eps Distillation.temperature Distillation.ridge Distillation.map_temperature
        Distillation.mixture_temperature
        Decoding.max_length_ratio""",
    ),
    (
        "above 0 and at most 1",
        lambda value: 0 < value <= 1,
        "Tokenizer.character_coverage Distillation.selected_fraction",
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
        Training.label_smoothing Distillation.row_floor Distillation.gram_decay""",
    ),
)
_RANGE_OF = {name: (phrase, holds) for phrase, holds, names in _RANGES for name in names.split()}

_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z0-9]+)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_NAMES = "a name is made of letters, digits, '.', '_' and '-'"


def check_recipe(recipe: Recipe, where: str, options: Mapping[str, str] | None = None) -> None:
    """Ranges, names, and keys that must fit each other.

    Args:
        options: of `Place`.

    Raises:
        ConfigError: all that is wrong, one line each.
    """
    place = Place(where, Problems(), options or {})
    # Values that the student inherits are blamed on `training` alone.
    own = unlike(recipe.student_training, recipe.training)
    _check_values(dataclasses.replace(recipe, student_training=schema.Training(**own)), "", place)
    if not _FILE_NAME.fullmatch(recipe.name):
        place.complain("name", f"{_NAMES}, not '{recipe.name}'")
    _check_pair(recipe.pair, place)
    _check_data(recipe.data, place)
    _check_tokenizer(recipe.tokenizer, place)
    _check_dimensions(recipe.teacher, "teacher", place)
    _check_dimensions(recipe.student, "student", place)
    _check_training(recipe, place)
    _check_method(recipe.distillation, place)
    _check_teachers(recipe.distillation, place)
    _check_pseudo(recipe.distillation, place)
    nbest, beam = recipe.decoding.nbest, recipe.decoding.beam
    if nbest > beam:
        place.complain("decoding.nbest", f"{nbest} is more than beam {beam}", "raise decoding.beam")
    place.problems.raise_any()


def check_shape(shape: ModelShape, where: str) -> None:
    """`check_recipe` of one model's dimensions."""
    place = Place(where, Problems())
    _check_values(shape, "", place)
    _check_dimensions(shape, "", place)
    place.problems.raise_any()


def check_decoding(decoding: Decoding, options: Mapping[str, str]) -> None:
    """`check_recipe` of how is searched, as options say.

    Args:
        options: of `Place`.
    """
    place = Place("", Problems(), options)
    _check_values(decoding, "", place)
    place.problems.raise_any()


def check_pair(pair: str, where: str) -> None:
    """`check_recipe` of a language pair."""
    place = Place(where, Problems())
    _check_pair(pair, place)
    place.problems.raise_any()


def _check_values(value: Any, key: str, place: Place) -> None:
    """Every number against its range, wherever its dataclass stands."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            below = f"{key}.{field.name}" if key else field.name
            item = getattr(value, field.name)
            phrase, holds = _RANGE_OF.get(f"{type(value).__name__}.{field.name}", ("", None))
            if holds and not (math.isfinite(item) and holds(item)):
                place.complain(below, f"expected {phrase}, got {item}")
            _check_values(item, below, place)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_values(item, f"{key}.{name}", place)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            _check_values(item, f"{key}[{index}]", place)


def _check_pair(pair: str, place: Place) -> None:
    tags = pair.split("-")
    if len(tags) != 2 or not all(_LANGUAGE.fullmatch(tag) for tag in tags):
        hint = "two language codes, for example de-en or zh_Hans-en"
        place.complain("pair", f"expected SRC-TGT, got '{pair}'", hint)
    elif tags[0] == tags[1]:
        place.complain("pair", f"source and target are both '{tags[0]}'")


def _check_data(data: schema.Data, place: Place) -> None:
    for name, download in data.downloads.items():
        key = f"data.downloads.{name}"
        if not _FILE_NAME.fullmatch(name):
            place.complain(key, f"{_NAMES}, not '{name}'")
        if not re.match(r"https?://[^/\s]+/\S+$", download.url):
            place.complain(f"{key}.url", f"expected http(s)://HOST/PATH, got '{download.url}'")
        if download.sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", download.sha256):
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
    if data.generated and (data.train or data.valid or data.tests or data.split):
        place.complain("data.generated", "cannot stand together with data.train, valid, tests or split")
    if data.split:
        _check_split(data.split, data, place)
    for key, files in _corpora(data):
        _check_corpus(files, key, data.downloads, place)


def _check_split(split: schema.Split, data: schema.Data, place: Place) -> None:
    if split.by == "every" and split.every < 2:
        place.complain("data.split.every", f"expected at least 2, got {split.every}", "23 is usual")
    if split.by == "every" and (split.valid_pairs or split.test_pairs):
        place.complain("data.split", "every takes validation pairs by their place alone", "leave out *_pairs")
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


def _check_corpus(files: schema.CorpusFiles, key: str, downloads: Mapping[str, Any], place: Place) -> None:
    for side in ("src", "tgt"):
        reference = getattr(files, side)
        if reference is None:
            continue
        head = reference.partition(":")[0]
        if head not in downloads and not is_path(reference, downloads):
            near = difflib.get_close_matches(head, downloads, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"for a path, write ./{reference}"
            place.complain(f"{key}.{side}", f"no download is called '{head}'", hint)
    if files.tgt is None and files.format not in ("tsv", "tmx"):
        place.complain(f"{key}.tgt", f"missing: only tsv and tmx hold both sides, and this is {files.format}")
    if files.tgt is not None and files.format in ("tsv", "tmx"):
        place.complain(f"{key}.tgt", f"one {files.format} file holds both sides", "leave it out")
    if files.format == "tsv" and files.src_column == files.tgt_column:
        place.complain(f"{key}.tgt_column", f"source and target are both column {files.tgt_column}")


def is_path(reference: str, downloads: Collection[str]) -> bool:
    """Neither a download nor DOWNLOAD:MEMBER."""
    head, colon, _ = reference.partition(":")
    return head not in downloads and ("/" in head or not colon)


def _check_tokenizer(tokenizer: schema.Tokenizer, place: Place) -> None:
    size, source = tokenizer.vocab_size, tokenizer.taken_from
    if source is not None and size != "auto":
        message = f"{size}, but the vocabulary is taken from {source} as it is"
        place.complain("tokenizer.vocab_size", message, "leave it out or write auto; tokenizer.trim makes it smaller")
    elif size != "auto" and (size < 8 or size % 8):
        below = size // 8 * 8
        hint = f"{below} or {below + 8}" if below >= 8 else "the smallest is 8"
        place.complain("tokenizer.vocab_size", f"expected a multiple of 8, got {size}", hint)
    if tokenizer.trim and source is None:
        hint = "name the tokenizer to trim (--tokenizer-from), or choose a vocab_size"
        place.complain("tokenizer.trim", "a tokenizer that is trained here has nothing to trim", hint)


def _check_dimensions(shape: ModelShape, key: str, place: Place) -> None:
    key = f"{key}.d_model" if key else "d_model"
    step = math.lcm(2, max(shape.num_heads, 1))
    if shape.d_model >= 1 and shape.d_model % step:
        below = shape.d_model // step * step
        hint = f"{below} or {below + step}" if below else f"{step}"
        message = f"expected an even number divisible by num_heads {shape.num_heads}, got {shape.d_model}"
        place.complain(key, message, hint)


def _check_training(recipe: Recipe, place: Place) -> None:
    for section in ("training", "student_training"):
        training = getattr(recipe, section)
        shape_of = "teacher" if section == "training" else "student"
        longest = getattr(recipe, shape_of).max_positions
        if training.max_length > longest:
            message = f"{training.max_length} is more than {shape_of}.max_positions {longest}"
            place.complain(f"{section}.max_length", message, f"lower it, or raise {shape_of}.max_positions")
        inherited = section == "student_training" and training.device == recipe.training.device
        if not inherited and training.device != "auto" and not DEVICE.fullmatch(training.device):
            message = f"expected auto, cpu, cuda or cuda:N, got '{training.device}'"
            place.complain(f"{section}.device", message)


def _check_method(distillation: schema.Distillation, place: Place) -> None:
    key, method = "distillation.method", distillation.method
    terms = terms_of(method)
    for term in terms:
        if term not in METHOD_TERMS:
            near = difflib.get_close_matches(term, METHOD_TERMS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"the methods are {', '.join(METHOD_TERMS)}"
            place.complain(key, f"no method is called '{term}'", hint)
    terms = [f"a2d-{distillation.profile}" if term == "a2d" else term for term in terms]
    twice = next((term for term in terms if terms.count(term) > 1), None)
    if twice:
        place.complain(key, f"'{twice}' stands twice in '{method}'")
    worded = next((term for term in terms if term in ("word", "word-selective")), None)
    if "ce" in terms and worded:
        message = f"'{method}' contradicts itself: {worded} holds cross-entropy already"
        place.complain(key, message, f"use {worded} alone; distillation.alpha weighs the two")
    if "word" in terms and "word-selective" in terms:
        message = f"'{method}' contradicts itself: word-selective is word for some tokens, word for all"
        place.complain(key, message, "use one of them; distillation.selected_fraction says for how many")
    aligned = distillation.encoder_self or distillation.decoder_self or distillation.cross
    if not aligned and set(ATTENTION_TERMS) & set(terms):
        hint = "set distillation.encoder_self, decoder_self or cross to true"
        place.complain(key, f"'{method}' has no attention to align", hint)
    released = {"a2d-release", "a2d-paper"} & set(terms)
    if released and distillation.map_form != "plain":
        message = f"'{distillation.map_form}' maps are not those of the released objective"
        place.complain("distillation.map_form", message, f"write plain, or leave {min(released)} out")


def _check_teachers(distillation: schema.Distillation, place: Place) -> None:
    key, teachers = "distillation.teacher", distillation.teachers
    if not all(teachers):
        place.complain(
            key, f"'{distillation.teacher}' names a teacher that has no name", "for example teacher, or one,two"
        )
    twice = next((teacher for teacher in teachers if teachers.count(teacher) > 1), None)
    if twice:
        place.complain(key, f"'{twice}' stands twice in '{distillation.teacher}'")


def _check_pseudo(distillation: schema.Distillation, place: Place) -> None:
    beam, nbest = distillation.pseudo_beam, distillation.pseudo_nbest
    if nbest > beam:
        message = f"{nbest} is more than pseudo_beam {beam}"
        place.complain("distillation.pseudo_nbest", message, "raise distillation.pseudo_beam")
    if distillation.pseudo == "closest" and (nbest or beam) == 1:
        hint = "raise distillation.pseudo_beam, or pseudo_nbest"
        place.complain("distillation.pseudo", "of one translation none is the closest", hint)
