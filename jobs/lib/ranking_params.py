"""Parameters of `ranking:`, as the solution file gives them. Free of Spark.

What needs the rest of the solution (labels, the score's names) is checked by `problem_in` of jobs/ranking/targets.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.lib.booster_params import BoosterParams
from jobs.lib.feature_operators import AnyOperator
from jobs.lib.solution_params import Name
from jobs.lib.yaml_model import Strict

Objective = Literal["binary:logistic", "reg:squarederror", "rank:ndcg", "rank:pairwise"]


class Target(Strict):
    """What one booster learns: a label of the samples."""

    label: str
    objective: Objective = "binary:logistic"

    @property
    def is_ranked(self) -> bool:
        """Does it only order the items of a request? Its score is made a probability afterwards."""
        return self.objective.startswith("rank:")

    @property
    def is_probability(self) -> bool:
        return self.objective != "reg:squarederror"


class GateParams(Strict):
    """When a new model may serve: it beats the item's own rate, and is not worse than the current model by more than
    the margin (in units of the measure).

    GAUC is the default: lists order items within one user, while AUC also pays for telling active users from others.
    """

    enabled: bool = True
    measure: Literal["gauc", "auc", "log_loss"] = "gauc"
    margin: float = Field(0.005, ge=0, le=1)


class Search(Strict):
    """Random search over tree parameters; off by default."""

    trials: int = Field(0, ge=0, le=1_000)
    seconds: int = Field(600, ge=1)


class Ranking(Strict):
    training_days: int = Field(14, ge=3, le=400)
    validation_days: int = Field(1, ge=1)
    test_days: int = Field(1, ge=1)
    labels: dict[Name, str] = {}  # beside is_<event> and ln_<value>: jobs/ranking/label_expression.py
    targets: list[Target] = []  # default: is_<target>, by binary:logistic
    score: str | None = None  # expression over the targets' labels; default: the first one's prediction
    negatives_per_positive: int = Field(4, ge=1, le=100)
    min_positives: int = Field(100, ge=1)
    max_train_rows: int | None = Field(None, ge=1000)  # more are sampled by a hash
    external_memory_rows: int = Field(3_000_000, ge=0)  # above, the binned samples lie on disk while trees are grown
    seed: int = 7
    threads: int = Field(2, ge=1)
    rounds: int = Field(400, ge=1)
    early_stopping_rounds: int = Field(30, ge=1)
    refit: bool = True  # grow the trees anew on training and validation days, as many as validation found best
    params: BoosterParams = {}
    features: list[AnyOperator] | None = None  # default: a lookup per attribute of features.preference
    leave_out: list[str] = []  # features that models do not see, by name or pattern (user__*)
    monotone: dict[str, Literal[-1, 0, 1]] = {}  # features by name or pattern (item__ctr_*)
    weights: dict[str, Annotated[float, Field(gt=0, le=1_000)]] = {}  # label -> how often a row that has it counts
    half_life_days: float | None = Field(None, gt=0)  # a training row this much older counts half
    search: Search = Search()
    gate: GateParams = GateParams()
    drift_retrain: float | None = Field(None, gt=0)  # PSI of the serving model's scores that calls for a new one
    exclude_suspicious_users: bool = False  # from the training rows; what judges a model keeps them

    @model_validator(mode="after")
    def _days_leave_something_to_train_on(self) -> Ranking:
        if self.validation_days + self.test_days >= self.training_days:
            raise ValueError("validation_days + test_days must be below training_days")
        return self
