"""Settings of a method's own, behind '@' in its name: read, applied last, canonical, refused where they say nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2d_cli.config.loader import parse_recipe
from a2d_cli.config.method_name import own_settings, own_suffix, terms_of
from a2d_cli.config.schema import Distillation, Recipe
from a2d_cli.config.writer import dump_recipe
from a2d_cli.distillation.methods import parse_method, settings_that_count
from a2d_cli.errors import ConfigError

HEAD = "name: mine\npair: de-en\n"
OWN_SETTINGS = {
    "alpha": st.floats(0, 1),
    "temperature": st.floats(1e-3, 1e3),
    "divergence": st.sampled_from(["rkl", "js", "tvd", "skew"]),
    "half_life": st.floats(0, 1e6),
    "gradient_share": st.floats(1e-3, 1e6),
    "cross": st.booleans(),
    "map_form": st.sampled_from(["softened", "value-norm"]),
    "calibrate_at_update": st.integers(1, 10**6),
}
own_values = st.lists(st.sampled_from(sorted(OWN_SETTINGS)), unique=True).flatmap(
    lambda keys: st.fixed_dictionaries({key: OWN_SETTINGS[key] for key in keys})
)


def recipe(*overrides: str, body: str = "") -> Recipe:
    return parse_recipe(HEAD + body, overrides, where="mine.yaml")


def distillation(*overrides: str, body: str = "") -> Distillation:
    return recipe(*overrides, body=body).distillation


@given(values=own_values, data=st.data())
def test_a_name_is_the_same_however_its_settings_are_ordered_and_reads_as_what_it_says(
    values: dict[str, Any], data: st.DataObject
):
    suffix = own_suffix(values)
    shuffled = "".join(
        f"@{key}={value}" for key, value in data.draw(st.permutations(list(own_settings(suffix).items())))
    )
    name = f"seq+a2d{shuffled}"
    read = distillation(f"distillation.method={name}")
    assert parse_method(read).name == f"seq+a2d-diagonal{suffix}" and terms_of(name) == ["seq", "a2d"]
    for key, value in values.items():
        assert getattr(read, key) == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)


def test_a_methods_own_setting_is_the_last_word_wherever_another_is_said():
    body = "distillation: {method: word@divergence=js, divergence: tvd, alpha: 0.25}"
    assert distillation(body=body).divergence == "js" and distillation(body=body).alpha == 0.25
    assert distillation("distillation.divergence=rkl", body=body).divergence == "js"
    assert distillation("distillation.method=word@divergence=skew", body=body).divergence == "skew"
    assert distillation("distillation.method=word", body=body).divergence == "tvd"


def test_a_recipe_with_such_a_method_is_written_and_read_again():
    given_recipe = recipe("distillation.method=seq+word@pseudo=closest@temperature=2")
    again = parse_recipe(dump_recipe(given_recipe), where="again")
    assert again == given_recipe and (again.distillation.pseudo, again.distillation.temperature) == ("closest", 2.0)


def test_what_counts_is_what_the_name_says():
    read = distillation("distillation.method=a2d@half_life=0.0@gradient_share=1.50")
    assert parse_method(read).name == "a2d-diagonal@gradient_share=1.5@half_life=0"
    plain = distillation("distillation.half_life=0", "distillation.gradient_share=1.5")
    assert settings_that_count(read) == settings_that_count(plain) | {
        "method": "a2d-diagonal@gradient_share=1.5@half_life=0"
    }
    assert settings_that_count(read) != settings_that_count(distillation()) | {
        "method": settings_that_count(read)["method"]
    }


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("a2d@half_live=0", "a2d@half_live=0: half_live: unknown key | hint: did you mean 'half_life'?"),
        (
            "a2d@half_life",
            "a2d@half_life: expected KEY=VALUE after '@', got 'half_life' | hint: for example word@divergence=js",
        ),
        ("a2d@=3", "a2d@=3: expected KEY=VALUE after '@', got '=3'"),
        ("a2d@", "a2d@: expected KEY=VALUE after '@', got ''"),
        ("a2d@alpha=1@alpha=0", "a2d@alpha=1@alpha=0: 'alpha' stands twice"),
        ("a2d@alpha=x", "a2d@alpha=x: alpha: expected a number, got 'x'"),
        ("a2d@alpha=2", "a2d@alpha=2: alpha: expected from 0 to 1, got 2"),
        (
            "word@divergence=kl",
            "divergence: expected one of fkl, rkl, js, tvd, skew, got 'kl' | hint: did you mean 'rkl'?",
        ),
        ("a2d@teacher=x", "a2d@teacher=x: teacher is no setting of a method's own | hint: --set distillation.teacher="),
        ("a2d@method=ce", "a2d@method=ce: method is no setting of a method's own"),
        ("a2d@lr=1", "a2d@lr=1: lr is no setting of a method's own | hint: --set training.lr=… is for the whole run"),
        (
            "a2d@seed=3",
            "a2d@seed=3: a seed is no setting of a method | hint: a2d distill --seed N, a2d compare --seeds",
        ),
        ("a2d@beam=1", "beam is no setting of a method's own | hint: --set decoding.beam=… is for the whole run"),
        ("a2d@zzz=1", "zzz: unknown key | hint: the keys here are alpha, temperature, divergence, encoder_self"),
        (
            "seq@pseudo=closest+word",
            "'+word' stands after '@pseudo=closest' | hint: settings stand last: seq+word@pseudo=closest",
        ),
        (
            "a2d@alpha=1+word+hidden@beta=1",
            "'+word+hidden' stands after '@alpha=1' | hint: settings stand last: a2d+word+hidden@alpha=1",
        ),
        ("wrod@alpha=1", "no method is called 'wrod' | hint: did you mean 'word'?"),
    ],
)
@pytest.mark.parametrize("option", ["--method ", ""])
def test_a_wrong_setting_is_named_with_its_place_and_remedy(option: str, method: str, message: str):
    with pytest.raises(ConfigError) as caught:
        distillation(f"{option}distillation.method={method}")
    assert str(caught.value).startswith(
        "--method" if option else ("mine.yaml: distillation.method", "--set: distillation")
    )
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "word@half_life=0",
            "'word@half_life=0': word does not use half_life | hint: it uses alpha, divergence, temperature",
        ),
        ("ce@alpha=1", "'ce@alpha=1': ce does not use alpha | hint: it has no settings: leave out what follows '@'"),
        ("word@pseudo=closest", "word does not use pseudo |"),
        ("a2d@layer_map=reverse", "a2d-diagonal does not use layer_map |"),
        ("a2d@map_temperature=3", "a2d-diagonal does not use map_temperature |"),
        ("a2d@teacher_mix=random", "a2d-diagonal does not use teacher_mix |"),
        ("a2d@gradient_scale=release", "a2d-diagonal does not use gradient_scale |"),
        ("a2d@decay=1", "a2d-diagonal does not use decay |"),
        ("a2d@beta=2", "a2d-diagonal does not use beta |"),
        ("a2d@gradient_share=0@calibrate_at_update=9", "a2d-diagonal does not use calibrate_at_update |"),
        ("a2d-masked@row_floor=0", "a2d-masked does not use row_floor |"),
        (
            "hidden@row_floor=0",
            "hidden does not use row_floor | hint: it uses alpha, calibrate_at_update, divergence, gradient_share",
        ),
        ("hidden@cross=false", "hidden does not use cross |"),
        ("a2d-paper@teacher_mix=random", "a2d-paper does not use teacher_mix |"),
        ("a2d-release@divergence=js", "a2d-release does not use divergence |"),
        (
            "a2d-release@half_life=0",
            "a2d-release does not use half_life | hint: it uses alpha, beta, cross, decay, decoder_self,",
        ),
    ],
)
def test_a_setting_that_would_change_nothing_is_refused(method: str, message: str):
    with pytest.raises(ConfigError) as caught:
        parse_method(distillation(f"distillation.method={method}"))
    assert message in str(caught.value)


@pytest.mark.parametrize("number", ["1e+3", "1E+3"])
def test_a_number_may_have_a_plus(number: str):
    assert distillation(f"distillation.method=a2d@half_life={number}").half_life == 1000


@pytest.mark.parametrize(
    "method",
    [
        "a2d@beta=2@gradient_share=0",
        "a2d-release@teacher_mix=random",
        "seq@pseudo=closest",
        "attn-fixed@layer_map=reverse",
        "a2d@map_form=softened@map_temperature=3",
    ],
)
def test_a_setting_that_the_method_uses_is_its_own(method: str):
    assert parse_method(distillation(f"distillation.method={method}")).name == method.replace("a2d@", "a2d-diagonal@")


def test_a_name_loses_no_digit_of_a_setting():
    """A run is found by its name: two settings that are alike in six digits are two runs."""
    for value, text in ((0.3333333, "0.3333333"), (0.5, "0.5"), (1.0, "1"), (1e-3, "0.001"), (1e-7, "1e-07")):
        assert own_suffix({"alpha": value}) == f"@alpha={text}"
        assert float(own_settings(f"word@alpha={text}")["alpha"]) == value
