"""The two engines are one model: CTranslate2 in float32 beside torch, on random models of every form."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
import torch
from tiny import EOS, JOINT, SEPARATE, SHAPE, random_batch, sentences, special_ids, tiny_model

from a2d_cli.config.schema import Decoding, ModelShape
from a2d_cli.cores import num_cores
from a2d_cli.data.batching import pad_batch
from a2d_cli.decoding.ctranslate2_engine import CTranslate2Engine, default_threads
from a2d_cli.decoding.engine import Engine, Hypothesis, SearchBatch
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.errors import A2DError
from a2d_cli.export.ctranslate2 import write_ctranslate2
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.reporting import count_text

CLOSE = 1e-4  # nats
HEAD = (1, 3)  # (layer, head) of the five heads in two layers
LENGTHS = (5, 2, 11, 7, 3)
LIMIT = 31


@dataclass(frozen=True)
class Pieces:
    """Of a tokenizer, what an export needs."""

    src_pieces: list[str]
    tgt_pieces: list[str]
    eos: int = EOS
    unk: int = 1

    @classmethod
    def of(cls, vocabularies: Vocabularies) -> Pieces:
        src, tgt = (
            ["</s>", "<unk>", *(f"{mark}{i}" for i in range(2, size - 1))]
            for mark, size in (("▁s", vocabularies.src_size), ("▁t", vocabularies.tgt_size))
        )
        return cls(tgt if vocabularies.joint else src, tgt)


@dataclass(frozen=True)
class Both:
    model: Transformer
    torch: TorchEngine
    ct2: CTranslate2Engine

    @property
    def sources(self) -> list[list[int]]:
        return _sources(self.model.vocabularies)


def both_engines(shape: ModelShape, vocabularies: Vocabularies, folder: Path) -> Both:
    model = tiny_model(shape, vocabularies)
    _let_outputs_end(model)
    pieces = Pieces.of(vocabularies)
    write_ctranslate2(model, pieces, folder, "float32", HEAD)
    ct2 = CTranslate2Engine(folder, pieces, shape.max_positions, threads=1, device="cpu")
    return Both(model, TorchEngine(model, special_ids(vocabularies), HEAD), ct2)


@torch.no_grad()
def _let_outputs_end(model: Transformer) -> None:
    """Turn the end mark towards the usual decoder state, until it comes now and then."""
    sources = _sources(model.vocabularies)
    batch = random_batch(vocabularies=model.vocabularies)
    for _ in range(31):
        engine = TorchEngine(model, special_ids(model.vocabularies))  # which holds the weights as they are
        found = flat(search(engine, sources, LIMIT, beam=1)) + flat(search(engine, sources, LIMIT, beam=5))
        if sum(len(h.tokens) < LIMIT - 1 for h in found) > 2:
            return
        usual = model(batch.src, batch.tgt_in).states[batch.tgt_mask].mean(0)
        model.tgt_embedding.weight[EOS] += 0.2 * usual / usual.norm()
    raise AssertionError("no output ends")


def _sources(vocabularies: Vocabularies, lengths: tuple[int, ...] = LENGTHS) -> list[list[int]]:
    return [ids.tolist() for ids in sentences(lengths, vocabularies.src_size, seed=3)]


# Every two of the choices stand together somewhere.
FORMS = {
    "post-norm relu joint": (replace(SHAPE, norm="post", activation="relu"), JOINT),
    "post-norm gelu separate bias": (replace(SHAPE, norm="post", activation="gelu", output_bias=True), SEPARATE),
    "post-norm silu joint bias": (replace(SHAPE, norm="post", activation="silu", output_bias=True), JOINT),
    "pre-norm relu separate bias": (replace(SHAPE, norm="pre", activation="relu", output_bias=True), SEPARATE),
    "pre-norm gelu joint": (replace(SHAPE, norm="pre", activation="gelu"), JOINT),
    "pre-norm silu separate": (replace(SHAPE, norm="pre", activation="silu"), SEPARATE),
}


@pytest.fixture(scope="module", params=FORMS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return both_engines(*FORMS[request.param], tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return both_engines(SHAPE, JOINT, tmp_path_factory.mktemp("export"))


def search(engine: Engine, sources: list[list[int]], limits: int | list[int], **wanted) -> list[list[Hypothesis]]:
    """One batch."""
    how = {name: wanted.pop(name) for name in ("align", "exact_length") if name in wanted}
    limits = [limits] * len(sources) if isinstance(limits, int) else limits
    (found,) = engine.search([SearchBatch(sources, limits)], Decoding(**wanted), **how)
    return found


def flat(found: list[list[Hypothesis]]) -> list[Hypothesis]:
    return [hypothesis for hypotheses in found for hypothesis in hypotheses]


def test_given_translations_have_the_same_log_probabilities(both: Both):
    sources = both.sources
    targets = [ids.tolist() for ids in sentences((3, 7, 1, 13, 5), both.model.vocabularies.tgt_size, 5)]
    found, expected = (engine.score_tokens(sources, targets) for engine in (both.ct2, both.torch))
    assert [len(each) for each in found] == [len(target) + 1 for target in targets]  # the end mark has one too
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=CLOSE)


def test_both_find_the_same_translations(both: Both):
    """Greedily always; by beam those that end by themselves, as only torch counts an end mark where the limit cuts."""
    num_ended = 0
    for beam in (1, 5):
        found, expected = (flat(search(engine, both.sources, LIMIT, beam=beam)) for engine in (both.ct2, both.torch))
        for ours, theirs in zip(found, expected, strict=True):
            ended = max(len(ours.tokens), len(theirs.tokens)) < LIMIT - 1
            num_ended += ended
            if ended or beam == 1:
                assert ours.tokens == theirs.tokens
            if ended:
                assert ours.score == pytest.approx(theirs.score, abs=CLOSE)
    assert num_ended > 2


def has_twice(tokens: tuple[int, ...], size: int) -> bool:
    n_grams = list(zip(*(tokens[i:] for i in range(size)), strict=False))
    return len(set(n_grams)) < len(n_grams)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("beam", [1, 3])
def test_neither_repeats_an_n_gram_where_that_is_forbidden(usual: Both, size: int, beam: int):
    found = {}
    for engine in (usual.ct2, usual.torch):
        free, guarded = (
            flat(search(engine, usual.sources, 29, beam=beam, no_repeat_ngram=n, exact_length=True)) for n in (0, size)
        )
        assert any(has_twice(h.tokens, size) for h in free)  # else there was nothing to forbid
        assert not any(has_twice(h.tokens, size) for h in guarded)
        found[engine.name] = [h.tokens for h in guarded]
    if beam == 1:
        assert found["ct2"] == found["torch"]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("limits", [[13] * 5, [2, 13, 7, 17, 3]])
def test_outputs_of_exact_length_fill_their_limits(usual: Both, beam: int, limits: list[int]):
    for engine in (usual.ct2, usual.torch):
        found = search(engine, usual.sources, limits, beam=beam, exact_length=True)
        assert [len(h.tokens) for (h,) in found] == [limit - 1 for limit in limits]


@pytest.mark.parametrize("beam", [1, 5])
def test_no_output_is_longer_than_its_limit(usual: Both, beam: int):
    limits = [2, 13, 7, 17, 3]
    for engine in (usual.ct2, usual.torch):
        found = search(engine, usual.sources, limits, beam=beam)
        assert all(len(h.tokens) < limit for (h,), limit in zip(found, limits, strict=True))


def looks_at(model: Transformer, source: list[int], tokens: tuple[int, ...]) -> tuple[list[int], list[float]]:
    """For each token the position of the largest weight of HEAD, and how far the next one is behind."""
    batch = pad_batch([source], [list(tokens)], special_ids(model.vocabularies))
    index = HEAD[0] * model.shape.num_heads + HEAD[1]
    with torch.inference_mode():
        weights = model(batch.src, batch.tgt_in, need_maps=True).maps.cross[0, index, : len(tokens), : len(source)]
    best = weights.topk(2)
    return best.indices[:, 0].tolist(), (best.values[:, 0] - best.values[:, 1]).tolist()


@pytest.mark.parametrize("beam", [1, 5])
def test_both_link_as_the_chosen_head_of_each_sentence_alone(both: Both, beam: int):
    sources = both.sources
    limits = [23, 5, 13, 17, 11]
    links = 0
    for engine, exact in product((both.ct2, both.torch), (False, True)):
        found = search(engine, sources, limits, beam=beam, nbest=min(beam, 3), align=True, exact_length=exact)
        for source, hypotheses in zip(sources, found, strict=True):
            for hypothesis in hypotheses:
                assert len(hypothesis.attended) == len(hypothesis.tokens)
                best, lead = looks_at(both.model, source, hypothesis.tokens)
                for position, alone, distance in zip(hypothesis.attended, best, lead, strict=True):
                    if distance > CLOSE:
                        links += 1
                        assert position == alone
    assert links > 100


def test_batches_come_back_in_order_whatever_the_number_of_threads(usual: Both, tmp_path: Path):
    """More batches than are on their way at once."""
    write_ctranslate2(usual.model, Pieces.of(JOINT), tmp_path / "export", "float32")
    batches = [SearchBatch([source], [17]) for source in _sources(JOINT, LENGTHS * 3)]

    def tokens(engine: Engine) -> list[tuple[int, ...]]:
        return [h.tokens for found in engine.search(iter(batches), Decoding(beam=2)) for h in flat(found)]

    for threads in (1, 2, 3):
        engine = CTranslate2Engine(tmp_path / "export", Pieces.of(JOINT), 41, threads=threads, device="cpu")
        assert engine.machine == f"cpu, {count_text(threads, 'thread')}"
        assert tokens(engine) == tokens(usual.torch)


def test_an_export_leaves_the_model_as_it_is(tmp_path: Path):
    """Quantisation scales its arrays in place."""
    model = tiny_model()
    before = [parameter.clone() for parameter in model.parameters()]
    write_ctranslate2(model, Pieces.of(JOINT), tmp_path / "int8", "int8", HEAD)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_decoder_that_starts_from_words_is_refused(tmp_path: Path):
    model = tiny_model()
    with torch.no_grad():
        model.tgt_embedding.weight[JOINT.tgt_pad] = 1.0
    with pytest.raises(A2DError, match="starts from an embedding that is not zero"):
        write_ctranslate2(model, Pieces.of(JOINT), tmp_path / "export", "float32")


def test_a_missing_package_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(
        A2DError, match=r"the ct2 engine needs the package ctranslate2.* \| hint: pip install 'ctranslate2"
    ):
        CTranslate2Engine(tmp_path, Pieces.of(JOINT), 41)


def test_a_gpu_is_used_only_where_it_is_asked_for_and_tried_before_the_work_begins(tmp_path: Path, monkeypatch):
    """A driver alone makes CTranslate2 count a GPU; whether its libraries are there shows at the first product."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    write_ctranslate2(tiny_model(), Pieces.of(JOINT), tmp_path / "export", "float32", HEAD)
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    engine = CTranslate2Engine(tmp_path / "export", Pieces.of(JOINT), 41)
    assert engine.machine.startswith("cpu, ")

    class WithoutLibraries:
        def __init__(self, folder: str, device: str, **settings: object):
            assert device == "cuda"

        def translate_batch(self, source: list[list[str]], **settings: object) -> None:
            assert len(source) == 1
            raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")

    monkeypatch.setattr(ctranslate2, "Translator", WithoutLibraries)
    message = r"CTranslate2 cannot use cuda:0: Library libcublas.so.12 is not found.*use --device cpu, or install"
    with pytest.raises(A2DError, match=message):
        CTranslate2Engine(tmp_path / "export", Pieces.of(JOINT), 41, device="cuda:0")


def test_a_folder_that_is_no_model_is_told(tmp_path: Path):
    with pytest.raises(A2DError, match=f"{tmp_path}: CTranslate2 cannot load it.*run 'a2d export' again"):
        CTranslate2Engine(tmp_path, Pieces.of(JOINT), 41, device="cpu")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "'gpu' is no device .*auto, cpu, cuda or cuda:N"),
        ("cuda:x", "'cuda:x' is no device"),
        ("cuda:97", "device 'cuda:97' is asked for, but CTranslate2 finds . GPUs .*--device cpu"),
    ],
)
def test_a_device_that_is_not_there_is_told_as_such(tmp_path: Path, device: str, message: str):
    with pytest.raises(A2DError, match=message):
        CTranslate2Engine(tmp_path, Pieces.of(JOINT), 41, device=device)


def test_a_torch_engine_without_a_head_cannot_align(usual: Both):
    engine = TorchEngine(usual.model, special_ids())
    with pytest.raises(ValueError, match="without an alignment head"):
        search(engine, usual.sources, 7, align=True)


def test_an_engine_says_where_it_runs(usual: Both):
    assert usual.torch.machine == f"cpu, {count_text(torch.get_num_threads(), 'thread')}"
    assert usual.ct2.machine == "cpu, 1 thread"


@pytest.mark.parametrize(("told", "threads"), [("1", 1), ("3,2", 3), ("", None), ("0", None), ("many", None)])
def test_both_engines_take_as_many_threads_as_omp_num_threads_says(
    told: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert default_threads() == (threads or num_cores())
