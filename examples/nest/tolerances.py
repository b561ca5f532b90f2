"""How close to the golden is close enough, kind by kind."""

from __future__ import annotations

TOLERANCES = {
    # Kind or pattern: (rtol, atol). nest_ssl on the golden's own terms, one thread and AVX-512, is equal bit for bit at
    # every site. What is measured below is the worst that it came to when only the order of its sums changed: two
    # threads, AVX2, no vector instructions at all, no oneDNN (`python measure.py`, see the README). Activations are of
    # the order of 1.
    #
    # Given, not computed: loaded from the golden, and each step starts there again.
    "weight": (0.0, 0.0),
    # 4.7e-6 (a BatchNorm's output) with vector instructions, 3.6e-5 (a mel frame) without.
    "input": (1e-5, 1e-4),
    "activation": (1e-5, 1e-4),
    # 1.9e-6, log-probabilities as large as 7.4.
    "output": (0.0, 2e-5),
    # 9.5e-7 of 5.4: two units in the last place.
    "loss": (2e-6, 0.0),
    # 9.5e-7, where the largest element of a gradient is 6e-4 or more. But the key's and the depthwise convolution's
    # biases have no gradient but rounding, 5e-7 at most: there the same number says that it stays rounding (vacuous).
    "gradient": (1e-5, 5e-6),
    # exp_avg is a tenth of the gradient: 6.7e-8.
    "optimizer": (1e-5, 5e-7),
    # exp_avg_sq is the gradient's square: its relative error is twice as large and has no bound where the gradient
    # crosses zero; 1.7e-8, and 1.7e-5 of a tensor's largest element, which is 1e-8 or more.
    "optimizer/*/exp_avg_sq": (1e-3, 2e-10),
    # Counted.
    "optimizer/*/step": (0.0, 0.0),
    # Stepped from the reference's own gradients: 1.5e-8, a unit in the last place of the weights. Without its weight
    # decay AdamW is off by 6e-7 for a weight of 1.
    "updated_weight": (1e-5, 5e-8),
}
