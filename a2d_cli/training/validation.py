"""How good a model is on held-out text: loss per target token, and BLEU and chrF of beam search translations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from a2d_cli.config.schema import Decoding, Training
from a2d_cli.data.batching import BatchPlan, BatchSettings, SpecialIds
from a2d_cli.data.corpus import ParallelCorpus, evenly_spaced
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.decoding.translator import Translator
from a2d_cli.model.transformer import Transformer
from a2d_cli.scoring import score
from a2d_cli.training.losses import SmoothedCrossEntropy
from a2d_cli.training.vocabulary_loss import vocabulary_loss


@dataclass(frozen=True)
class Shown:
    """One sentence to look at."""

    source: str
    reference: str
    translation: str


@dataclass(frozen=True)
class ValidationResult:
    loss: float  # nats per target token, without label smoothing
    bleu: float | None  # None: not translated, the loss was above `decode_below_nll`
    chrf: float | None
    samples: tuple[Shown, ...] = ()

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 50.0))

    def summary(self) -> str:
        """For a line of news."""
        scores = "" if self.bleu is None else f"  BLEU {self.bleu:.1f}  chrF {self.chrf:.1f}"
        return f"loss {self.loss:.3f}  ppl {self.perplexity:.1f}{scores}"

    def rank(self, metric: str) -> tuple[float, float]:
        """Sorts results by a metric, better ones higher; where it is absent, by the loss."""
        value = {"loss": -self.loss, "bleu": self.bleu, "chrf": self.chrf}[metric]
        return (float("-inf") if value is None else value, -self.loss)


class Validator:
    """Holds the validation set; a call judges the model as it is now.

    Args:
        sources, references: the validation text, line by line.
        max_length: tokens a side that the model can read; longer pairs do not count in the loss.
        tgt_lang: chooses BLEU's tokenizer, as in `score`.
    """

    def __init__(
        self,
        corpus: ParallelCorpus,
        sources: Sequence[str],
        references: Sequence[str],
        tokenizer: Tokenizer,
        decoding: Decoding,
        settings: Training,
        max_length: int,
        tgt_lang: str = "",
    ):
        chosen = evenly_spaced(len(sources), settings.valid_sentences or len(sources))
        self.sources, self.references = [sources[i] for i in chosen], [references[i] for i in chosen]
        self.tokenizer, self.settings = tokenizer, settings
        self.decoding, self.tgt_lang = decoding, tgt_lang
        batches = BatchSettings(max(settings.max_tokens, max_length), max_length=max_length)
        self.plan = BatchPlan(corpus, SpecialIds.of(tokenizer), batches, seed=0)

    @torch.no_grad()
    def __call__(self, model: Transformer, device: torch.device) -> ValidationResult:
        was_training = model.training
        model.eval()
        try:
            loss = self._loss(model, device)
            if loss > self.settings.decode_below_nll:
                return ValidationResult(loss, None, None)
            translator = Translator(TorchEngine(model, self.plan.ids), self.tokenizer, self.decoding)
            translations = [best[0].text for best in translator.translate(self.sources)]
        finally:
            model.train(was_training)
        bleu, chrf = score(translations, [self.references], ("bleu", "chrf"), tgt_lang=self.tgt_lang)
        step = max(1, len(self.sources) // max(1, self.settings.samples))
        samples = tuple(
            Shown(self.sources[i], self.references[i], translations[i]) for i in range(0, len(self.sources), step)
        )[: self.settings.samples]
        return ValidationResult(loss, bleu.value, chrf.value, samples)

    def _loss(self, model: Transformer, device: torch.device) -> float:
        total, tokens = 0.0, 0
        for indices in self.plan.in_order():
            batch = self.plan.load(indices).to(device)
            states = batch.real(model(batch.src, batch.tgt_in).states)
            loss = SmoothedCrossEntropy(batch.real(batch.tgt_out), smoothing=0.0)
            total += float(vocabulary_loss(states, *model.output_layer, loss)["nll"])
            tokens += batch.num_tgt_tokens
        return total / tokens
