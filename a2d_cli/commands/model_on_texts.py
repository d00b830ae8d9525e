"""One model on test sets: translated where that was not done before, scored, and timed."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from a2d_cli import __version__, scoring
from a2d_cli.commands.score_files import score_json
from a2d_cli.commands.scored_result import ScoredResult
from a2d_cli.commands.scored_text import ScoredText
from a2d_cli.config.schema import Decoding
from a2d_cli.errors import A2DError
from a2d_cli.files import fingerprint
from a2d_cli.project.exported import Manifest, read_export
from a2d_cli.project.score_cache import Result, ScoreCache, ScoredModel
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import PairedResult

if TYPE_CHECKING:
    from a2d_cli.decoding.translator import Translator


@dataclass(frozen=True)
class ScoreRow(ScoredResult):
    """A model on a test set; the differences are those of BLEU."""

    model: ScoredModel
    result: Result
    cached: bool  # translated, and its speed measured, by an earlier command
    to_teacher: PairedResult | None = None
    to_plain: PairedResult | None = None  # to the student of the same size and training that learned from text alone

    def to_json(self) -> dict[str, Any]:
        model, result = self.model, self.result
        return {
            "model": model.name,
            "kind": model.kind,
            "method": model.method,
            "seed": model.seed,
            "test_set": result.test_set,
            "scores": [score_json(score) for score in self.scores],
            "to_teacher": asdict(self.to_teacher) if self.to_teacher else None,
            "to_plain": asdict(self.to_plain) if self.to_plain else None,
            "parameters": model.parameters,
            "file_bytes": model.file_bytes,
            "sentences_per_s": result.sentences_per_s,
            "translated_at": result.translated_at,
            "machine": result.machine,
            "engine": result.engine,
            "cached": self.cached,
            "hypotheses": result.hypotheses,
            "weights_sha256": model.weights_sha256,
        }


def check_pair(model: ScoredModel | Manifest, pair: str) -> None:
    """Raises A2DError: it translates another pair of languages than the project's."""
    if model.pair != pair:
        message = f"model '{model.name}' translates {model.pair}, the project's test sets are {pair}"
        raise A2DError(message, "name a model of this language pair")


def load_model(model: ScoredModel, decoding: Decoding, device: str) -> Translator:
    """A checkpoint or an export, to translate with.

    Raises:
        A2DError: it cannot be read, or the device is absent.
    """
    from a2d_cli.commands.opened_model import open_checkpoint, open_export

    opened = (
        open_export(read_export(model.folder), device) if model.is_export else open_checkpoint(model.folder, device)
    )
    return opened.with_settings(decoding)


def engine_version(model: ScoredModel) -> str:
    package = "ctranslate2" if model.is_export else "torch"
    return f"{package} {version(package)}"


class ModelOnTexts:
    """Scores one model; its weights are loaded when the first text has to be translated, unless `load` has done it."""

    def __init__(
        self,
        model: ScoredModel,
        decoding: Decoding,
        device: str,
        tgt_lang: str,
        cache: ScoreCache,
        reporter: Reporter,
        with_speed: bool = True,
    ):
        self._model, self._decoding, self._device = model, decoding, device
        self._tgt_lang, self._cache, self._reporter, self._with_speed = tgt_lang, cache, reporter, with_speed
        self._translator: Translator | None = None
        self._is_warm = False

    def _key(self, text: ScoredText) -> str:
        engine = [__version__, engine_version(self._model), self._device]
        return fingerprint([self._model.identity, text.src_sha256, asdict(self._decoding), engine])

    def has_translated(self, text: ScoredText) -> bool:
        """Whether scores/ holds it."""
        return self._cache.find(self._key(text)) is not None

    def load(self) -> Translator:
        """Read the weights, once.

        Raises:
            A2DError: they are gone or broken.
        """
        if self._translator is None:
            self._translator = load_model(self._model, self._decoding, self._device)
        return self._translator

    def score(self, text: ScoredText, refresh: bool) -> ScoreRow:
        key = self._key(text)
        known = None if refresh else self._cache.find(key)
        result = known or self._translate(text, key)
        if not self._scores_stand(result, text, self._tgt_lang):
            lines = self._cache.hypotheses(result)
            scores = scoring.score(lines, [text.tgt], tgt_lang=self._tgt_lang)
            result = replace(result, tgt_sha256=text.tgt_sha256, scores=[asdict(score) for score in scores])
            self._cache.add(result)
        # A run or a test set that was renamed keeps its translations.
        result = replace(result, model=self._model.name, test_set=text.name)
        return ScoreRow(self._model, result, cached=known is not None)

    @staticmethod
    def _scores_stand(result: Result, text: ScoredText, tgt_lang: str) -> bool:
        """Whether they are those of this reference, this sacrebleu and this language's tokenizer."""
        signatures = [score["signature"] for score in result.scores]
        mark, tokenizer = f"version:{version('sacrebleu')}", f"tok:{scoring.bleu_tokenizer(tgt_lang)}"
        by_this_version = bool(signatures) and all(mark in signature for signature in signatures)
        cut_alike = all(tokenizer in signature for signature in signatures if "tok:" in signature)
        return by_this_version and cut_alike and result.tgt_sha256 == text.tgt_sha256

    def _translate(self, text: ScoredText, key: str) -> Result:
        model = self._model
        translator = self.load()
        if self._with_speed and not self._is_warm:
            translator.translate(text.src[: self._decoding.batch_sentences])
            self._is_warm = True
        cut: list[int] = []
        with self._reporter.progress(f"{model.name} translates {text.name}", len(text.src), "sentences") as progress:
            began = time.perf_counter()
            found = translator.translate(text.src, on_done=progress.advance, on_cut=lambda line, _: cut.append(line))
            translation_s = time.perf_counter() - began
        if cut:
            self._reporter.warn(
                f"{text.name}: {len(cut)} sentences were longer than the model takes and were cut "
                f"to {translator.max_source_tokens} tokens ({translator.source_limit})"
            )
        lines = [translations[0].text for translations in found]
        file_name = f"{model.name.replace('/', '-').replace(' ', '-')}.{text.name}.{key[:8]}.{self._tgt_lang}"
        return Result(
            key=key,
            model=model.name,
            test_set=text.name,
            translated_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            hypotheses=file_name,
            hypotheses_sha256=self._cache.write_hypotheses(file_name, lines),
            src_sha256=text.src_sha256,
            tgt_sha256=text.tgt_sha256,
            weights_sha256=model.weights_sha256,
            parameters=model.parameters,
            file_bytes=model.file_bytes,
            decoding=asdict(self._decoding),
            sentences=len(lines),
            translation_s=translation_s if self._with_speed else None,
            machine=translator.engine.machine,
            a2d=__version__,
            engine=engine_version(model),
            scores=[],
        )
