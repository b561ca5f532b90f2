"""What to look at when a batch is not the golden's: the usual causes of each way in which it differs."""

from __future__ import annotations

from pytest_parity.result import Content, DataDifference, DataFault, LeafDifference

__all__ = ["look_at", "other_samples"]


def other_samples(difference: DataDifference) -> bool:
    """Whether nothing of the batch is the golden's: every tensor differs, in every row and by no rule."""
    leaves = difference.leaves
    return len(leaves) == difference.compared > 0 and all(map(_unlike, leaves))


def _unlike(leaf: LeafDifference) -> bool:
    content = leaf.content
    if content is None:
        return leaf.fault is DataFault.SHAPE and leaf.dim != 0 and not leaf.arrangement
    told = (content.gain, content.ulps, content.shift)
    return 0 < content.rows == content.rows_mismatched and not leaf.swapped and told == (None, None, None)


def look_at(difference: DataDifference) -> str:
    """The settings and the code that may have done it, the likeliest first."""
    if other_samples(difference):
        return "whether these are the same samples: seed, shuffle, the sampler, num_workers, the order of the manifest; then augmentation"
    if difference.leaves:
        return _leaf_look_at(difference.leaves[0])
    if difference.batch is not None:
        return (
            "shuffle, the sampler, the seed that it draws from, num_workers, and whether batches were drawn before: "
            "a sanity validation, a resumed epoch"
        )
    if difference.rows:
        return "shuffle, a sampler that sorts by length, and how the collate function orders the rows of a batch"
    if difference.fault is DataFault.UNKNOWN:
        return (
            "the seed, shuffle, the sampler and num_workers; the golden keeps a digest of that batch alone: to see how it "
            f"differs, record it with step {difference.step} kept"
        )
    return "the size of the data set, batch_size, drop_last, and a limit on batches"


def _leaf_look_at(leaf: LeafDifference) -> str:
    if leaf.content is not None:
        return _content_look_at(leaf, leaf.content)
    if leaf.fault is DataFault.SHAPE:
        return _shape_look_at(leaf)
    return {
        DataFault.MISSING: "the fields that the collate function returns, and switches for optional ones",
        DataFault.EXTRA: "the fields that the collate function returns, and switches for optional ones",
        DataFault.DTYPE: "what the data set and the collate function make tensors of: torch.tensor(..., dtype=...), .float(), .long()",
        DataFault.PADDING: "the collate function: the pad value, the padding's side, a fixed length or a multiple that it pads to",
    }[leaf.fault]


def _shape_look_at(leaf: LeafDifference) -> str:
    if leaf.arrangement in {"reshaped", "transposed"}:
        return "how the collate function arranges dimensions: batch or time first, a dimension of size 1"
    if leaf.dim == 0:
        return "batch_size, drop_last, and a sampler that fills batches by length"
    return "what cuts or selects samples (max_duration, max_length, min_duration), then shuffle and the seed"


def _content_look_at(leaf: LeafDifference, content: Content) -> str:
    if leaf.swapped:
        return "the fields that the collate function returns, and their order"
    if content.gain is not None:
        return "how samples are scaled: integers to full scale 1, normalisation, gain augmentation"
    if content.ulps is not None:
        return "the versions and settings of what decodes and resamples"
    if content.shift is not None:
        return "the tokenizer's special ids (blank, padding, begin), and an offset into the vocabulary"
    return "what is random in the data set and the collate function (augmentation, noise, dither), its seed and num_workers"
