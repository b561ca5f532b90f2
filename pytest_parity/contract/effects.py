"""Whether a key of a configuration changes numbers: a table of patterns, each with its reason, read from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

__all__ = ["EFFECTS", "UNKNOWN", "Effect", "Rule", "effect_of"]


class Effect(str, Enum):
    """What another value of a key does to the numbers of a training step."""

    NUMBERS = "numbers"
    """It changes them."""
    MAY = "may"
    """It may; what no pattern knows is taken for this."""
    UNLIKELY = "unlikely"
    """It hardly can: places, names, what is logged and kept."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Rule:
    """Patterns of keys, and why they have this effect.

    A pattern without a dot is about the last component of a key that is no number; one with a dot is about the whole
    key, which begins with a dot there (``.name`` is the top level's); ``*`` crosses dots.
    """

    effect: Effect
    reason: str
    patterns: tuple[str, ...]

    def matches(self, key: str) -> bool:
        """Whether one of the patterns is about the key, in lower case."""
        last = _last(key)
        return any(fnmatchcase(f".{key}" if "." in pattern else last, pattern) for pattern in self.patterns)


def _rule(effect: Effect, reason: str, patterns: str) -> Rule:
    return Rule(effect, reason, tuple(patterns.split()))


EFFECTS: tuple[Rule, ...] = (
    _rule(Effect.NUMBERS, "which code runs", "class_path"),
    _rule(
        Effect.MAY,
        "dropout in what is computed twice may draw in another order",
        "*gradient_checkpoint* *activation_checkpoint*",
    ),
    _rule(
        Effect.NUMBERS,
        "the weights that training begins with",
        "resume_from* init_from* *pretrained* ckpt_path checkpoint_path load_from* restore_*",
    ),
    _rule(
        Effect.UNLIKELY,
        "what is logged, kept and resumed, not what is computed",
        ".exp_manager.* .hydra.* *logger* *logging* log_every* log_freq* log_interval* log_level log_model verbose* "
        "*progress_bar* *wandb* *tensorboard* *mlflow* *checkpoint* *checkpoint*.* *callback*.* save_* resume* monitor "
        "tags notes project entity description",
    ),
    _rule(
        Effect.UNLIKELY,
        "how fast batches arrive, not what is in them",
        "pin_memory* persistent_workers prefetch*",
    ),
    _rule(
        Effect.NUMBERS,
        "what is dropped at random, and how many random numbers are drawn",
        "*dropout* *drop_prob* *drop_rate* *drop_path* stochastic_depth* p",
    ),
    _rule(
        Effect.UNLIKELY,
        "where something is: it matters only if another thing is there",
        "path *_path *paths *filepath* dir *_dir *_dirs filename *_filename file *_file *_files *manifest* *url",
    ),
    _rule(Effect.NUMBERS, "the learning rate of each step", "*sched*.* *scheduler *warmup* min_lr max_lr *decay_steps"),
    _rule(Effect.NUMBERS, "the optimizer", "*optim*.name *optim*.type *optim*._target_ optimizer optim"),
    _rule(
        Effect.NUMBERS,
        "the optimizer's step",
        "lr *_lr lr_* learning_rate* betas beta1 beta2 eps *epsilon momentum weight_decay nesterov amsgrad dampening "
        "*clip* accumulate_grad* gradient_accumulation* ema* *_decay",
    ),
    _rule(Effect.NUMBERS, "every random number", "seed *_seed seed_* random_state"),
    _rule(
        Effect.NUMBERS,
        "how numbers are rounded",
        "*precision* *dtype amp use_amp amp_* *_amp *bf16* *fp16* *tf32*",
    ),
    _rule(
        Effect.NUMBERS,
        "what values are divided by",
        "normaliz* norm norm_* *_norm *_norm_* *batchnorm* *batch_norm* *layernorm* mean std",
    ),
    _rule(
        Effect.NUMBERS,
        "a loader's workers draw their own random numbers: other batches",
        "num_workers *_workers workers",
    ),
    _rule(
        Effect.NUMBERS,
        "which examples a batch has, and what is done to them",
        "*batch_size* drop_last shuffle* *bucket* *sampler* sampling_t* sampling_s* concat_* is_concat is_tarred *_duration "
        "max_length max_seq_len* max_tokens* trim_* *augment*.* *transforms*.* use_start_end_token",
    ),
    _rule(
        Effect.NUMBERS,
        "how many examples a step averages over, and the order of the sums",
        "devices num_nodes num_gpus gpus world_size strategy accelerator device *parallel_size",
    ),
    _rule(
        Effect.NUMBERS,
        "the features of the signal",
        "sample_rate sampling_rate window* n_fft hop_length n_mels n_window* *.preprocessor.log dither pad_to pad_value "
        "frame_splicing preemph",
    ),
    _rule(
        Effect.NUMBERS,
        "what is masked, and the loss",
        "reduction *smoothing *threshold* *mask* *.masking.* combine_time_steps ignore_index *loss*.* *_weight temperature",
    ),
    _rule(
        Effect.NUMBERS,
        "the size of the model",
        "*layers depth width *_dim dim dim_* d_model d_ff *hidden* *heads *channels* *kernel* stride* dilation *_factor "
        "*num_classes* vocab* *embed* feat_in feat_out features num_books num_decoders num_experts top_k *context_size "
        "*max_len* groups in_features out_features *_size",
    ),
    _rule(
        Effect.NUMBERS,
        "which code runs",
        "_target_ target *_class activation* act *act_fn *_type *_mode *_style *_model *_fn bias *bias *biases "
        "xscaling *subsampling causal* freeze* tie_* share_* allow_overlap squeeze_* *position* init* *_init *prob",
    ),
    _rule(
        Effect.MAY,
        "which algorithm is chosen: the last bits",
        "benchmark deterministic* compile* *cudnn* *threads*",
    ),
    _rule(
        Effect.MAY,
        "how long training is, on which schedules depend",
        "max_epochs max_steps epochs num_epochs limit_* *val_check* *check_val* num_sanity*",
    ),
    _rule(
        Effect.UNLIKELY, "a name", ".name exp_name experiment_name run_name project_name job_name run_id experiment_id"
    ),
)
"""The first rule that matches decides."""

UNKNOWN = Rule(Effect.MAY, "not a key that is known", ())


def effect_of(key: str) -> Rule:
    """The rule that speaks of a dotted key; ``UNKNOWN`` where none does."""
    lowered = key.lower()
    return next((rule for rule in EFFECTS if rule.matches(lowered)), UNKNOWN)


def _last(key: str) -> str:
    """The last component that is a name: ``betas`` of ``optim.betas.1``."""
    parts = key.split(".")
    return next((part for part in reversed(parts) if not part.isdigit()), parts[-1])
