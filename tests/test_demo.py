"""`a2d demo`, made small: the whole way in one command, and once more without doing anything twice."""

SMALL = {
    "data.generated.train_pairs": 300,
    "data.generated.valid_pairs": 11,
    "data.generated.test_pairs": 13,
    "tokenizer.vocab_size": 304,
    **{
        f"{model}.{key}": value for model in ("teacher", "student") for key, value in (("d_model", 16), ("ffn_dim", 16))
    },
    "training.max_updates": 3,
    "student_training.max_updates": 2,
    "decoding.beam": 2,
}


def test_the_demo_ends_in_a_table_and_translations_and_is_not_repeated(a2d, tmp_path):
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    first = a2d.well(tmp_path, "demo", "small", *settings)
    assert {"teacher", "ce", "a2d-diagonal", "BLEU", "chrF2", "params", "sent/s"} <= set(first.out.split())
    assert first.out.count("\nsource  ") == 4 and first.out.count("\n\nsource  ") == 3  # an empty line between them
    assert "a2d -C small translate" in first.out
    again = a2d.well(tmp_path, "demo", "small", *settings)
    assert "teacher is finished" in again.err
    assert "translates test" not in again.err


def test_the_demo_leaves_another_folder_alone(a2d, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    refused = a2d.error(tmp_path, "demo", "mine", code=2)
    assert "is not the demo's folder" in refused
    assert "a2d demo FOLDER" in refused
