"""attn-fixed: heads learn from heads of a layer that is fixed from the start."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_distillation_objective import make, parts_of
from tiny import SHAPE, random_batch, tiny_model, tiny_teacher

from a2d_cli.distillation.teachers import Teacher

KINDS = ("encoder_self", "decoder_self", "cross")


@pytest.mark.parametrize(("heads", "layers"), [(5, 3), (2, 3), (5, 1), (7, 2)])
@torch.no_grad()
def test_its_terms_by_hand(heads: int, layers: int):
    """Mean over student maps (layers, where heads are averaged) of row KLs; decoder maps by the decoder's pairs."""
    student = tiny_model()  # 5 heads, 3 encoder and 2 decoder layers
    teacher = tiny_teacher(heads, layers)
    pairs = {
        "encoder_self": {1: (0, 0, 0), 2: (0, 1, 1), 3: (0, 1, 2)}[layers],
        "decoder_self": {1: (0, 1), 2: (1, 2), 3: (1, 3)}[layers],  # of one layer more
    }
    pairs["cross"] = pairs["decoder_self"]
    batch = random_batch(((5, 3), (2, 7)))
    ours, theirs = (model(batch.src, batch.tgt_in, need_maps=True).maps for model in (student, teacher.model))
    parts = parts_of(make("attn-fixed", student, teacher, row_floor=0.1), batch)
    for kind in KINDS:
        expected = 0.0
        for b, (src, tgt) in enumerate(((6, 4), (3, 8))):  # end marks counted
            queries, weight = (src, tgt / src) if kind == "encoder_self" else (tgt, 1.0)
            for query in range(queries):
                keys = query + 1 if kind == "decoder_self" else src
                rows = []
                for layer, taught_by in enumerate(pairs[kind]):
                    q = getattr(ours, kind)[b, 5 * layer : 5 * layer + 5, query, :keys].double()
                    p = getattr(theirs, kind)[b, heads * taught_by : heads * taught_by + heads, query, :keys].double()
                    if heads != 5:
                        p, q = p.mean(0), q.mean(0)
                    rows.append(torch.xlogy(p, p / (0.9 * q + 0.1 / keys)).sum(-1))
                expected += weight * float(torch.stack(rows).mean())
        assert parts[f"attn_{kind}"] == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_equal_models_have_nothing_to_teach_each_other_unless_layers_are_swapped():
    student, teacher = tiny_model(), Teacher(tiny_model())
    forward = parts_of(make("attn-fixed", student, teacher, row_floor=0.0), random_batch())
    reverse = parts_of(make("attn-fixed", student, teacher, row_floor=0.0, layer_map="reverse"), random_batch())
    for kind in KINDS:
        assert abs(forward[f"attn_{kind}"]) < 1e-4 < reverse[f"attn_{kind}"]


@pytest.mark.parametrize("layer_map", ["forward", "reverse", "all-to-one", "random"])
def test_any_layer_map_moves_queries_and_keys_of_every_layer(layer_map: str):
    student = tiny_model(replace(SHAPE, encoder_layers=2, decoder_layers=3))
    make("attn-fixed", student, layer_map=layer_map, alpha=1.0)._losses(random_batch(), True)[1].backward()
    attention = [layer.self_attention for layer in (*student.encoder_layers, *student.decoder_layers)]
    for each in (*attention, *(layer.cross_attention for layer in student.decoder_layers)):
        assert (each.q_proj.weight.grad != 0).any() and (each.k_proj.weight.grad != 0).any()


def test_it_trains_and_saves_nothing_but_the_student():
    objective = make("attn-fixed", layer_map="random")
    assert objective.helper_modules() == {} and list(objective.terms.parameters()) == []
