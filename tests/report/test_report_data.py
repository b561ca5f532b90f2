"""What is said of a batch that is not the golden's."""

from __future__ import annotations

import pytest
import torch

from pytest_parity.compare.data import batch_digest, data_difference
from pytest_parity.report.data import data_agreement, data_lines, data_sentence, data_text

AUDIO = torch.tensor([[0.5, -0.25, 0.125, 0.75], [1.0, 0.5, 0.25, 0.0]])
LENGTHS = torch.tensor([4, 3])
BEGIN = "the data differs from step 3 on: "


def said(own: dict[str, torch.Tensor] | None, golden: dict[str, torch.Tensor] | None = None, **options) -> list[str]:
    """The sentence and the lines about a batch that should be ``AUDIO`` and ``LENGTHS``."""
    recorded = {"audio": AUDIO, "audio_len": LENGTHS} if golden is None else golden
    found = data_difference(3, list(recorded.items()), None if own is None else list(own.items()), options)
    assert found is not None
    sentence = data_sentence(found)
    assert sentence.startswith(BEGIN)
    return [sentence.removeprefix(BEGIN), *data_lines(found)]


def of_digests(own: torch.Tensor | None, step: int, drawn: int) -> list[str]:
    digests = {number: batch_digest([("x", torch.full((2,), float(number)))]) for number in range(drawn)}
    found = data_difference(step, None, None if own is None else [("x", own)], digests)
    assert found is not None
    return [data_sentence(found), *data_lines(found)]


def test_the_batch_of_another_step():
    sentence, *lines = of_digests(torch.full((2,), 5.0), 3, 6)
    assert sentence == "the data differs from step 3 on: batch 3 here is the golden's batch 5 (order)"
    assert lines == [
        (
            "look at shuffle, the sampler, the seed that it draws from, num_workers, and whether batches were drawn before: "
            "a sanity validation, a resumed epoch"
        ),
        "to compare the model all the same, on the golden's own batches: under Lightning --batches recorded, in a loop by hand pytest_parity.check",
    ]


def test_rows_in_another_order():
    sentence, *lines = said({"audio": AUDIO[[1, 0]], "audio_len": LENGTHS[[1, 0]]})
    assert sentence == (
        "the rows of batch 3 stand in another order: rows 0, 1 here are rows 1, 0 of the golden's (order)"
    )
    assert lines[0] == (
        "look at shuffle, a sampler that sorts by length, and how the collate function orders the rows of a batch"
    )


def test_many_rows_in_another_order_are_cut():
    rows = torch.arange(20)
    sentence, *_ = said({"x": rows.roll(1)}, {"x": rows})
    assert "rows 0, 1, 2, 3, 4, 5, 6, 7 and 12 more here are rows 19, 0, 1, 2, 3, 4, 5, 6 and 12 more of" in sentence


def test_lengths_that_do_not_follow_their_rows():
    _, line, *_ = said({"audio": AUDIO[[1, 0]], "audio_len": LENGTHS})
    assert line == (
        "not in that order: audio_len, whose rows stand as in the golden: they no longer belong to the rows beside them"
    )


def test_another_dtype():
    sentence, *lines = said({"audio": AUDIO, "audio_len": LENGTHS.int()})
    assert sentence == "audio_len has another dtype, int32 here, int64 in the golden, and equal values (dtype)"
    assert lines[:2] == [
        "tensors that agree bit for bit: 1 of 2",
        "look at what the data set and the collate function make tensors of: torch.tensor(..., dtype=...), .float(), .long()",
    ]


@pytest.mark.parametrize(
    ("own", "how", "cause"),
    [
        (
            AUDIO[:1],
            "(1, 4) here, (2, 4) in the golden: 1 row for 2, and the first row of the longer is the shorter",
            "look at batch_size, drop_last, and a sampler that fills batches by length",
        ),
        (
            AUDIO[:, 1:],
            "(2, 3) here, (2, 4) in the golden: 3 for 4 in dimension 1, and the last 3 positions of the longer are the shorter",
            "look at what cuts or selects samples (max_duration, max_length, min_duration), then shuffle and the seed",
        ),
        (
            AUDIO.T,
            "(4, 2) here, (2, 4) in the golden: the same values, transposed",
            "look at how the collate function arranges dimensions: batch or time first, a dimension of size 1",
        ),
        (
            torch.ones(2, 7),
            "(2, 7) here, (2, 4) in the golden: 7 for 4 in dimension 1",
            "look at what cuts or selects samples (max_duration, max_length, min_duration), then shuffle and the seed",
        ),
        (
            torch.ones(3, 7),
            "(3, 7) here, (2, 4) in the golden",
            "look at what cuts or selects samples (max_duration, max_length, min_duration), then shuffle and the seed",
        ),
    ],
)
def test_another_shape(own: torch.Tensor, how: str, cause: str):
    sentence, *lines = said({"audio": own, "audio_len": LENGTHS})
    assert sentence == f"audio has another shape, {how} (shape)"
    assert lines[1] == cause


@pytest.mark.parametrize(
    ("own", "golden", "how"),
    [
        ([[5, 6, 0, 0], [7, 0, 0, 0]], [[5, 6, 0], [7, 0, 0]], "padded to 4 with 0 here, to 3 in the golden"),
        ([[5, 6, 1, 1], [7, 1, 1, 1]], [[5, 6, 0, 0], [7, 0, 0, 0]], "padded with 1 here, with 0 in the golden"),
        ([[0, 0, 5, 6]], [[5, 6, 0, 0]], "padded on the left here, on the right in the golden"),
        ([[1, 5, 6]], [[5, 6, 0, 0]], "padded to 3 on the left with 1 here, to 4 on the right with 0 in the golden"),
    ],
)
def test_another_padding(own: list[list[int]], golden: list[list[int]], how: str):
    sentence, *lines = said({"ids": torch.tensor(own)}, {"ids": torch.tensor(golden)})
    assert sentence == f"ids is {how}, and the same inside of it (padding)"
    assert lines[1] == (
        "look at the collate function: the pad value, the padding's side, a fixed length or a multiple that it pads to"
    )


def test_noise_in_the_padding():
    own = AUDIO.clone()
    own[1, 3] = 9.0
    golden = torch.nn.functional.pad(AUDIO, (0, 1))
    own = torch.nn.functional.pad(own, (0, 1), value=3.0)
    sentence, *_ = said({"audio": own, "audio_len": LENGTHS}, {"audio": golden, "audio_len": LENGTHS})
    assert (
        sentence
        == "audio is padded with several values here, with 0 in the golden, and the same inside of it (padding)"
    )


def test_one_value():
    own = AUDIO.clone()
    own[1, 2] = 7.0
    assert said({"audio": own, "audio_len": LENGTHS}) == [
        "audio differs in 1 of 8 elements, by at most 6.75 (content)",
        "1 of 2 rows differs",
        "the first is audio [1, 2]: 7 here, 0.25 in the golden",
        "tensors that agree bit for bit: 1 of 2",
        "look at what is random in the data set and the collate function (augmentation, noise, dither), its seed and num_workers",
        "to compare the model all the same, on the golden's own batches: under Lightning --batches recorded, in a loop by hand pytest_parity.check",
    ]


@pytest.mark.parametrize(
    ("own", "how", "cause"),
    [
        (AUDIO * 32768, ", by at most 3.28e+04: all of it is 32768 times the golden's", "how samples are scaled"),
        (AUDIO * 1.001, ": all of it is 1.001 times the golden's", "how samples are scaled"),
        (
            AUDIO + 2**-24,
            ": rounding, 0.5 units in the last place of its largest value",
            "the versions and settings of what decodes and resamples",
        ),
        (
            torch.tensor([[9.0, 8.0, 7.0, 6.0], [5.0, 4.0, 3.0, 2.0]]),
            ", by at most 8.5",
            "what is random in the data set and the collate function",
        ),
    ],
)
def test_what_other_content_looks_like(own: torch.Tensor, how: str, cause: str):
    sentence, *lines = said({"audio": own, "audio_len": LENGTHS})
    assert f"{how} (content)" in sentence.replace(", by at most 0.001", "").replace(", by at most 5.96e-08", "")
    assert any(line.startswith(f"look at {cause}") for line in lines)


def test_other_samples():
    lines = said({"audio": torch.ones(2, 7), "audio_len": torch.tensor([7, 5])})
    assert lines == [
        "audio has another shape, (2, 7) here, (2, 4) in the golden: 7 for 4 in dimension 1 (shape)",
        "every tensor differs in every row: these look like other samples",
        "also audio_len differs in 2 of 2 elements, by at most 3 (content)",
        "2 of 2 rows differ",
        "the first is audio_len [0]: 7 here, 4 in the golden",
        "tensors that agree bit for bit: 0 of 2",
        (
            "look at whether these are the same samples: seed, shuffle, the sampler, num_workers, the order of the manifest; "
            "then augmentation"
        ),
        "to compare the model all the same, on the golden's own batches: under Lightning --batches recorded, in a loop by hand pytest_parity.check",
    ]


@pytest.mark.parametrize(
    "own",
    [
        {"audio": torch.ones(2, 7), "audio_len": torch.tensor([7, 3])},
        {"audio": torch.ones(2, 7), "audio_len": LENGTHS + 1},
        {"audio": torch.ones(2, 7), "audio_len": LENGTHS},
        {"audio": torch.ones(2, 7), "audio_len": LENGTHS.int()},
        {"audio": AUDIO[:1], "audio_len": torch.tensor([9])},
        {"audio": AUDIO[:, :3], "audio_len": torch.tensor([7, 5])},
        {"audio": torch.ones(2, 7)},
    ],
)
def test_what_agrees_in_part_is_not_called_other_samples(own: dict[str, torch.Tensor]):
    assert not any("other samples" in line for line in said(own))


def test_ids_off_by_one():
    sentence, *lines = said({"audio": AUDIO, "audio_len": LENGTHS - 1})
    assert (
        sentence
        == "audio_len differs in 2 of 2 elements, by at most 1: each of these is 1 less than the golden's (content)"
    )
    assert "look at the tokenizer's special ids (blank, padding, begin), and an offset into the vocabulary" in lines


def test_another_field_in_its_place():
    golden = {"clean": AUDIO, "noisy": AUDIO + 1}
    sentence, *lines = said({"clean": AUDIO, "noisy": AUDIO}, golden)
    assert sentence.endswith(", by at most 1: it is the golden's clean (content)")
    assert "look at the fields that the collate function returns, and their order" in lines


def test_bits_alone_and_what_is_not_finite():
    zero = torch.tensor([0.0, 1.0])
    assert said({"x": torch.tensor([-0.0, 1.0])}, {"x": zero})[:3] == [
        "x differs in 1 of 2 elements, in bits alone (content)",
        "1 of 2 rows differs",
        "the first is x [0]: -0 here, 0 in the golden",
    ]
    sentence, *_ = said({"x": torch.tensor([float("nan"), 1.0])}, {"x": zero})
    assert sentence == "x differs in 1 of 2 elements, which are not finite (content)"
    sentence, *_ = said({"x": torch.tensor([float("nan"), 3.0])}, {"x": zero})
    assert sentence == "x differs in 2 of 2 elements, by at most 2 and 1 that are not finite (content)"


def test_both_names_where_they_are_not_the_same():
    sentence, *_ = said({"length": LENGTHS.int(), "audio": AUDIO})
    assert sentence.startswith("length (the golden's audio_len) has another dtype, int32 here, int64 in the golden")


def test_a_batch_that_is_a_tensor_itself():
    sentence, *_ = said({"": AUDIO.double()}, {"": AUDIO})
    assert sentence.startswith("the tensor has another dtype")


def test_missing_and_extra_tensors():
    sentence, *lines = said({"audio": AUDIO})
    assert (
        sentence == "the golden's batch has audio_len (2,) int64, and the batch here has nothing in its place (missing)"
    )
    assert lines[0] == "tensors that agree bit for bit: 1 of 1"
    sentence, *_ = said({"audio": AUDIO, "audio_len": LENGTHS, "mask": AUDIO > 0})
    assert sentence == "the batch here has mask (2, 4) bool, and the golden's has nothing in its place (extra)"


def test_what_differs_besides():
    _, *lines = said({"audio": AUDIO.double(), "audio_len": LENGTHS + 1})
    assert lines[:4] == [
        "also audio_len differs in 2 of 2 elements, by at most 1: each of these is 1 more than the golden's (content)",
        "2 of 2 rows differ",
        "the first is audio_len [0]: 5 here, 4 in the golden",
        "tensors that agree bit for bit: 0 of 2",
    ]
    names = [f"x{number}" for number in range(12)]
    lines = said({name: AUDIO.double() for name in names}, dict.fromkeys(names, AUDIO))
    assert sum(line.startswith("also ") for line in lines) == 7
    assert "and 4 tensors more that differ" in lines


def test_a_batch_of_which_only_a_digest_was_kept():
    assert of_digests(torch.full((2,), 9.0), 3, 6) == [
        "the data differs from step 3 on: batch 3 here is none of the 6 batches that the reference drew, bit for bit",
        (
            "look at the seed, shuffle, the sampler and num_workers; the golden keeps a digest of that batch alone: to see how "
            "it differs, record it with step 3 kept"
        ),
    ]


def test_a_loader_that_ends_before_or_goes_on():
    cause = "look at the size of the data set, batch_size, drop_last, and a limit on batches"
    replay = "to compare the model all the same, on the golden's own batches: under Lightning --batches recorded, in a loop by hand pytest_parity.check"
    assert of_digests(None, 1, 6) == [
        "the data differs from step 1 on: the loader ends after 1 batch here, and the reference drew 6 (missing)",
        *(cause, replay),
    ]
    assert of_digests(torch.full((2,), 9.0), 6, 6) == [
        "the data differs from step 6 on: the reference drew 6 batches, and the loader here goes on (extra)",
        cause,
    ]
    assert said(None)[0] == "the loader ends after 3 batches here, and the golden has more (missing)"


def test_the_whole_text_and_an_option_of_another_name():
    found = data_difference(0, [("x", AUDIO)], [("x", AUDIO.double())], {})
    assert found is not None
    first, *rest = data_text("nest/tiny", found, replay='batches="recorded"').splitlines()
    assert first == (
        "nest/tiny: the data differs from step 0 on: x has another dtype, float64 here, float32 in the golden, and equal "
        "values (dtype)"
    )
    assert all(line.startswith("  ") for line in rest)
    assert rest[-1].endswith('on the golden\'s own batches: batches="recorded"')
    assert not any("own batches" in line for line in data_lines(found, replay=""))


@pytest.mark.parametrize(
    ("batches", "tensors", "words"),
    [
        (3, 18, "the data of 3 batches agree with the golden's bit for bit (18 tensors)"),
        (1, 1, "the data of 1 batch agrees with the golden's bit for bit (1 tensor)"),
        (0, 0, "no batch was compared with the golden's"),
        (
            *(2, 0),
            (
                "the data was not compared: 2 batches hold no tensor; make tensors of what the model reads in the loader's "
                "collate_fn"
            ),
        ),
    ],
)
def test_data_that_agrees(batches: int, tensors: int, words: str):
    assert data_agreement(batches, tensors) == words
