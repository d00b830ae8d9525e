"""What a recipe can say: every key, its type, its default and its unit, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FORMAT = 1  # of recipes and a2d.yaml


@dataclass(frozen=True)
class Download:
    """One file on the web."""

    url: str
    sha256: str | None = None  # None: unknown to us; the first download's is recorded and held from then on


@dataclass(frozen=True)
class CorpusFiles:
    """Where one parallel text lies.

    `src` and `tgt` are the name of a download, `DOWNLOAD:MEMBER` for a file inside its archive
    (`OUTER.tgz:INNER.tgz:MEMBER` for an archive in an archive), or a path. gzip, bzip2 and xz are undone.
    """

    src: str
    tgt: str | None = None  # None where one file holds both sides (tsv, tmx)
    format: Literal["plain", "tsv", "sgm", "ted", "tmx"] = "plain"
    src_column: int = 1  # tsv only, from 1
    tgt_column: int = 2
    optional: bool = False  # a source that may be missing (left out with a warning)


@dataclass(frozen=True)
class Split:
    """How validation and test pairs are taken out of the training text, where a corpus has none.

    `components`: pairs that share a source or a target sentence stay on one side (connected components).
    `every`: each `every`-th pair goes to validation (the usual IWSLT14 preparation: 23).
    """

    by: Literal["components", "every"]
    valid_pairs: int = 0
    test_pairs: int = 0
    every: int = 0
    seed: int = 1


@dataclass(frozen=True)
class Generated:
    """Sizes of the embedded demo corpus, which a grammar writes (data/demo/)."""

    train_pairs: int = 12000
    valid_pairs: int = 400
    test_pairs: int = 500
    seed: int = 1


@dataclass(frozen=True)
class Data:
    downloads: dict[str, Download] = field(default_factory=dict)
    train: tuple[CorpusFiles, ...] = ()
    valid: tuple[CorpusFiles, ...] = ()
    tests: dict[str, tuple[CorpusFiles, ...]] = field(default_factory=dict)
    reduce_tests: tuple[str, ...] = ()  # test sets that lose pairs standing in valid or train, instead of the reverse
    split: Split | None = None
    generated: Generated | None = None
    licence: str = "not stated"


@dataclass(frozen=True)
class Cleaning:
    """Rules for training pairs. Other sets lose what decontamination takes, and pairs with an empty side."""

    max_words: int = 250  # per side, white-space words
    max_characters: int = 2000  # per side
    max_ratio: float = 3.0  # longer / shorter side; a Chinese character or kana counts 3, a Hangul syllable 2
    ratio_free_characters: int = 30  # a pair whose longer side has no more may have any ratio
    drop_identical: bool = True  # source = target
    drop_duplicates: bool = True  # the same pair again


@dataclass(frozen=True)
class Tokenizer:
    vocab_size: int | Literal["auto"] = "auto"  # embedding rows, pad included; a multiple of 8
    joint: bool = True  # one SentencePiece model for both languages
    model_type: Literal["unigram", "bpe"] = "unigram"
    character_coverage: float = 1.0
    max_training_sentences: int = 800_000  # sampled for the SentencePiece trainer
    taken_from: str | None = None  # a run's name or a folder (with a /): its tokenizer, instead of training one
    trim: bool = False  # with taken_from: only the pieces that occur in the training text


@dataclass(frozen=True)
class ModelShape:
    """A Transformer's dimensions."""

    d_model: int = 256
    num_heads: int = 4
    ffn_dim: int = 512
    encoder_layers: int = 3
    decoder_layers: int = 3
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation: Literal["relu", "gelu", "silu"] = "relu"
    norm: Literal["post", "pre"] = "post"
    max_positions: int = 1024  # tokens per side, end mark included
    output_bias: bool = False  # a trained bias of the scores, as Marian has

    def layers_with(self, kind: str) -> int:
        """How many layers have attention of that kind."""
        return self.encoder_layers if kind == "encoder_self" else self.decoder_layers

    def num_maps(self, kind: str) -> int:
        """How many attention maps of that kind: heads of all its layers."""
        return self.layers_with(kind) * self.num_heads


PRESETS: dict[str, ModelShape] = {
    "mini": ModelShape(d_model=128, num_heads=4, ffn_dim=256, encoder_layers=2, decoder_layers=2),
    "tiny": ModelShape(d_model=256, num_heads=4, ffn_dim=1536, encoder_layers=6, decoder_layers=2),
    "small": ModelShape(d_model=384, num_heads=6, ffn_dim=1536, encoder_layers=6, decoder_layers=2),
    "base": ModelShape(d_model=512, num_heads=8, ffn_dim=2048, encoder_layers=6, decoder_layers=2),
    "paper": ModelShape(d_model=512, num_heads=4, ffn_dim=1024, encoder_layers=3, decoder_layers=3),
}


@dataclass(frozen=True)
class Training:
    lr: float = 1e-3  # peak, at the end of the warm-up
    warmup_updates: int = 400
    schedule: Literal["inverse_sqrt", "inverse_sqrt_cooldown"] = "inverse_sqrt"
    cooldown_fraction: float = 0.2  # of max_updates, linear to zero; with inverse_sqrt_cooldown
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_eps: float = 1e-9
    weight_decay: float = 0.0
    clip_norm: float = 1.0  # of the gradient per target token, that of aligners included; 0 = off
    label_smoothing: float = 0.1
    max_updates: int = 4000
    max_epochs: int = 0  # 0 = no limit
    max_hours: float = 0.0  # wall time over all sittings; 0 = no limit
    max_tokens: int = 4096  # target tokens (padding included) of one update, over all ranks and pieces
    max_sentences: int = 0  # of one update; 0 = no limit
    accumulate: int = 1  # pieces that a batch is cut into to save memory; changes the result by the dropout drawn alone
    max_length: int = 200  # tokens; longer training pairs are left out and counted
    validate_every_updates: int = 500
    save_every_updates: int = 250
    log_every_updates: int = 25
    patience: int = 10  # validations without a new best; 0 = off
    best_metric: Literal["loss", "bleu", "chrf"] = "bleu"
    average_last: int = 5  # validated weights averaged at the end, kept where better; 0 or 1 = off
    decode_below_nll: float = 3.5  # validation translates only once the loss (nats per token) is below
    valid_sentences: int = 500  # translated at each validation; 0 = all
    samples: int = 2  # translations shown at each validation
    seed: int = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    compile: bool = False  # torch.compile the model, and a live teacher
    max_rewinds: int = 3  # returns to the last good state when the loss diverges


@dataclass(frozen=True)
class Distillation:
    """METHOD: ce, word, word-selective, seq, a2d, another of README's Methods, or several joined by '+'.

    What the method's name says of the keys below is the last word on them: word@divergence=js.
    """

    method: str = "a2d"
    profile: Literal["release", "paper", "masked", "simplex", "diagonal"] = "diagonal"  # of a plain `a2d`
    teacher: str = "teacher"  # run name, run folder or checkpoint folder; several with commas between: an ensemble
    alpha: float = 0.5  # weight of the word term; 1 - alpha that of cross-entropy
    temperature: float = 1.0
    divergence: Literal["fkl", "rkl", "js", "tvd", "skew"] = "fkl"
    encoder_self: bool = True  # which kinds of attention are aligned
    decoder_self: bool = True
    cross: bool = True
    beta: float = 1.0  # weight of attention: release, paper; of the other terms where gradient_share is 0
    decay: float = 0.9  # of beta, per epoch: release, paper
    half_life: float = 0.2  # fraction of max_updates in which the weight of terms halves; 0 = never; not release, paper
    gradient_share: float = 0.5  # ‖terms' gradient‖ / ‖the rest's‖, sets their weight; 0 = beta; not release, paper
    calibrate_at_update: int = 50  # when the weight is set from the measured share (16 batches)
    teacher_mix: Literal["none", "random"] = "none"  # release: the published random teacher convolution
    gradient_scale: Literal["mean", "release"] = "mean"  # release: divide gradients by the tokens once more
    row_floor: float = 1e-3  # uniform mass mixed into a student's attention row, wherever rows are compared
    map_form: Literal["plain", "softened", "value-norm"] = "plain"  # attention terms: of both models' maps
    map_temperature: float = 2.0  # softened: maps to the power of 1 / this, normalised; 1 = plain
    selected_fraction: float = 0.5  # word-selective: of the target tokens, those of the largest cross-entropy
    selection_queue: int = 30000  # word-selective: newest tokens whose cross-entropies set the threshold
    layer_map: Literal["forward", "reverse", "all-to-one", "random"] = "forward"  # attn-fixed, hidden: pairs of layers
    mixture_temperature: float = 1.0  # a2d-diagonal, -simplex, -cells-simplex: the lower, the faster shares change
    ridge: float = 1e-3  # a2d-proj: penalty of the least squares, as a fraction of a student map's mean square
    gram_decay: float = 0.9  # a2d-proj: of the sums that the least squares are solved from, per update
    cache: Literal["none", "auto", "states", "topk"] = "none"  # what is kept of the teacher; auto: states if they fit
    cache_top_k: int = 32  # topk: words kept a position, the mass of the others as one
    pseudo: Literal["best", "closest"] = "best"  # seq: which translation; closest to the reference (chrF) of the n-best
    pseudo_beam: int = 5  # seq: hypotheses kept while the teacher translates
    pseudo_nbest: int = 0  # seq: translations kept of each sentence; 0 = as many as the beam
    pseudo_references: bool = False  # seq: learn from the references as well, 1:1
    pseudo_quantization: Literal["float32", "int8"] = "float32"  # seq: of the teacher's weights while it translates

    @property
    def teachers(self) -> tuple[str, ...]:
        """The members of an ensemble, or the one teacher."""
        return tuple(self.teacher.split(","))


@dataclass(frozen=True)
class Decoding:
    beam: int = 5
    nbest: int = 1
    length_penalty: float = 1.0  # score / length ** this, end mark counted
    max_length_ratio: float = 1.5  # output tokens <= ratio * source tokens + max_length_extra
    max_length_extra: int = 10
    max_source_tokens: int = 512  # longer lines are cut, with a warning
    batch_sentences: int = 32
    no_repeat_ngram: int = 0  # no n tokens occur twice in an output; 0 = allowed


@dataclass(frozen=True)
class Recipe:
    """A recipe as resolved: what `a2d.yaml` holds."""

    name: str
    pair: str  # SRC-TGT, e.g. en-de
    format: int = FORMAT
    about: str = ""
    data: Data = field(default_factory=Data)
    cleaning: Cleaning = field(default_factory=Cleaning)
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    teacher: ModelShape = field(default_factory=ModelShape)
    student: ModelShape = field(default_factory=lambda: PRESETS["mini"])
    training: Training = field(default_factory=Training)
    student_training: Training = field(default_factory=Training)  # keys left out are those of `training`
    distillation: Distillation = field(default_factory=Distillation)
    decoding: Decoding = field(default_factory=Decoding)

    @property
    def src_lang(self) -> str:
        return self.pair.split("-")[0]

    @property
    def tgt_lang(self) -> str:
        return self.pair.split("-")[1]
