"""The numbers a team may want to change, each with its effect, unit and default.

They are read from the ``[settings]`` table of ``milepost.toml``; a test pins the defaults.
"""

from typing import Annotated, Literal

import msgspec

Meta = msgspec.Meta


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documented settings of a workspace.

    Attributes:
        cpu_usd_per_hour: Price of one CPU-hour in USD. Turns measured CPU seconds into
            ``cost_per_1k_usd``. 0.04 is about what public clouds ask for a shared vCPU.
        cpu_watts: Power of one busy processor core in W, as you know it of your machines. Model
            cards estimate energy from measured CPU seconds with it; ``None`` states none.
        folds: Folds of cross-fitting. More folds cost more fits and give models closer to the
            released one. A label with fewer groups than folds is spread as far as it goes.
        confidence: Coverage that printed intervals aim for, in (0, 1).
        bootstrap: Resamples of a bootstrap, such as that of the optimism of choosing, and fewest
            swaps of a randomisation test. 2000 keeps the Monte Carlo error of a 2.5 % tail near
            0.35 points.
        holdout_share: Share of groups set aside when a holdout is drawn, in (0, 1).
        holdout_min: Fewest labelled examples in a holdout. Below it nothing is set aside and
            the task is judged by cross-fitting. On 400 examples a model five points above its
            floor is released 97 times in 100, on 100 examples 40 times.
        holdout_min_per_label: Fewest training examples per label, on average, that must remain
            after setting the holdout aside; below it cross-fitting is used instead.
        near_duplicate: Jaccard similarity of the pairs of neighbouring words from which two texts
            are one group, in (0, 1]. ``1`` groups only texts that are equal after normalisation.
        max_text_chars: Longest text kept, in characters; longer ones are cut and reported.
        max_tokens: Longest input of the encoder, in tokens; ``None`` takes the encoder's own.
        serve_variant: Variant of the encoder that a server answers on. ``int8`` is up to twice as
            fast and is taken for each release whose answers on it were found to agree with those
            on fp32; ``fp32``, the reference that scorecards are measured on, is always exact.
        latency_samples: Single predictions timed for p50 and p95 per candidate.
        examine_chars: Characters of judged inputs that the chosen candidate is asked about again,
            changed in every way that robustness and behaviour are tested; 0 leaves it out. 20,000
            take some seconds on two cores.
        most_looks: Looks at one holdout after which it is worn out and must be renewed.
        lease_seconds: How long a job's claim on its task holds without a sign of life. A process
            that is seen to be gone loses it at once; one on another machine, after this time.
        garbage_hours: Age in hours below which an artifact that nothing needs is kept, because a
            running command may be about to record it.
        keep_contests: Contests per task whose unreleased candidates keep their predictors and
            predictions, newest first; ``None`` keeps those of all.
        flush_seconds: The longest that the trace of an answer waits before it is written, in
            seconds; about what a server that is killed can lose.
        feedback_per_key: Most pieces of feedback that one key may give in 24 hours; a backend that
            speaks for all its users has one key. How much of it is trained on is
            ``feedback_share``.
        feedback_share: Most corrections of one key that are trained on, as a share of the task's
            own labelled training examples, in (0, 1]; 20 always may be. What is said on the
            command line or in Python, without a key, is not limited.
        artifacts_quota_bytes: The most that artifacts may take, in bytes; ``None`` for no limit.
    """

    cpu_usd_per_hour: Annotated[float, Meta(ge=0.0)] = 0.04
    cpu_watts: Annotated[float, Meta(gt=0.0, le=10_000.0)] | None = None
    folds: Annotated[int, Meta(ge=2, le=100)] = 5
    confidence: Annotated[float, Meta(ge=0.5, lt=1.0)] = 0.95
    bootstrap: Annotated[int, Meta(ge=200, le=100_000)] = 2000
    holdout_share: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.2
    holdout_min: Annotated[int, Meta(ge=20)] = 400
    holdout_min_per_label: Annotated[int, Meta(ge=1)] = 30
    near_duplicate: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.8
    max_text_chars: Annotated[int, Meta(ge=100)] = 20_000
    max_tokens: Annotated[int, Meta(ge=8)] | None = None
    serve_variant: Literal["int8", "fp32"] = "int8"
    latency_samples: Annotated[int, Meta(ge=5, le=10_000)] = 50
    examine_chars: Annotated[int, Meta(ge=0)] = 20_000
    most_looks: Annotated[int, Meta(ge=1, le=1000)] = 50
    lease_seconds: Annotated[float, Meta(ge=1.0, le=3600.0)] = 30.0
    garbage_hours: Annotated[float, Meta(ge=0.0)] = 24.0
    keep_contests: Annotated[int, Meta(ge=1)] | None = None
    flush_seconds: Annotated[float, Meta(gt=0.0, le=60.0)] = 0.5
    feedback_per_key: Annotated[int, Meta(ge=1)] = 100_000
    feedback_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    artifacts_quota_bytes: Annotated[int, Meta(ge=1)] | None = None
