"""`ranking.params`: XGBoost's parameters of trees grown by `hist`, with its types and documented ranges. Free of Spark.

Source: https://xgboost.readthedocs.io/en/release_3.2.0/parameter.html. A test holds the names against the library,
which only warns of those that it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

Share = Annotated[float, Field(gt=0, le=1, strict=True)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Positive = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
Flag = Annotated[bool, Field(strict=True)]

OWN_KEYS = {  # what the solution says elsewhere
    "objective": "targets", "eval_metric": "targets", "monotone_constraints": "monotone", "seed": "seed",
    "nthread": "threads", "tree_method": "(always hist)", "scale_pos_weight": "weights",
}  # fmt: skip
ALIASES = {"eta": "learning_rate", "lambda": "reg_lambda", "alpha": "reg_alpha", "min_split_loss": "gamma"}


class Known(TypedDict, total=False):
    learning_rate: Share
    max_depth: Count  # 0: no limit, as for max_leaves
    max_leaves: Count
    grow_policy: Literal["depthwise", "lossguide"]
    min_child_weight: NotNegative
    gamma: NotNegative
    max_delta_step: NotNegative
    subsample: Share
    colsample_bytree: Share
    colsample_bylevel: Share
    colsample_bynode: Share
    reg_lambda: NotNegative
    reg_alpha: NotNegative
    max_bin: Annotated[int, Field(ge=2, lt=2**16, strict=True)]
    num_parallel_tree: Positive
    max_cat_to_onehot: Positive
    max_cat_threshold: Positive
    lambdarank_pair_method: Literal["topk", "mean"]  # these of rank:* alone
    lambdarank_num_pair_per_sample: Positive
    lambdarank_normalization: Flag
    lambdarank_score_normalization: Flag
    ndcg_exp_gain: Flag


def _named(params: Any) -> Any:
    """Says of a name that is not taken what is."""
    for name in params if isinstance(params, dict) else ():
        if name in OWN_KEYS:
            raise ValueError(f"{name} does not belong here, it is ranking.{OWN_KEYS[name]}")
        if name in ALIASES:
            raise ValueError(f"{name} is called {ALIASES[name]} here")
        if name not in Known.__annotations__:
            raise ValueError(f"unknown parameter {name!r}; allowed: {', '.join(Known.__annotations__)}")
    return params


BoosterParams = Annotated[Known, BeforeValidator(_named)]
