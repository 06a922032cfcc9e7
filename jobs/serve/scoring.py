"""Pairs of user and item of a bundle, described and scored as the daily lists were. Free of Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from jobs.lib.days import day_number
from jobs.lib.errors import RecflowError
from jobs.publish.bundle import BundleError
from jobs.ranking.feature_definition import features_from
from jobs.ranking.models import Model, Scorer
from jobs.ranking.pair_columns import pair_columns
from jobs.ranking.pairs import Described
from jobs.ranking.serving_context import usual_context
from jobs.serve.described import Users, described_items, hot, neighbours
from jobs.serve.published import Bundle

if TYPE_CHECKING:
    import numpy as np

    from jobs.ranking.feature_list import FeatureList

NO_MODEL, FEATURES, TRAINING = "model/none.json", "model/features.json", "model/training.json"


class Scoring:
    """The bundle's model, and what its pairs are described with: of all users and items, or of those asked for."""

    def __init__(self, bundle: Bundle, users: Sequence[str] | None = None, items: Sequence[str] | None = None) -> None:
        """Raises RecflowError where the bundle carries no model."""
        if bundle.has(NO_MODEL):
            raise RecflowError(f"{bundle.address} carries no model. {bundle.json(NO_MODEL)['reason']}")
        self.about = bundle.json(TRAINING)
        boosters = {t["label"]: bundle.get(f"model/{t['label']}.ubj") for t in self.about["targets"]}
        self.scorer = Scorer(Model(boosters, self.about))
        self.features = _features(bundle)
        self.users = Users(bundle, self.features, users)
        self.items = described_items(bundle, self.features, items)
        self._day, self._context = (
            day_number(bundle.ds),
            usual_context(
                self.about["serving_context"], bundle.ds, self.features.context_numbers, self.features.context
            ),
        )
        self._neighbours, self._hot = neighbours(bundle, self.features), hot(bundle, self.features)

    @property
    def item_ids(self) -> pa.Array:
        return self.items.column("item_id").combine_chunks()

    @property
    def size(self) -> int:
        """Bytes of users and items that are held."""
        return self.users.rows.nbytes + self.items.nbytes

    def described(self, user_id: pa.Array, item_id: pa.Array) -> pa.Table:
        """The model's columns of each pair."""
        users = self.users.described(user_id.unique())
        known = Described(self._day, users, self.items, self._neighbours, self._hot)
        kinds = dict.fromkeys(self.features.context_numbers, pa.float64())
        context = {
            name: pa.array([value] * len(user_id), kinds.get(name, pa.string()))
            for name, value in self._context.items()
        }
        return pair_columns(self.features, known, user_id, item_id, context)

    def scores(self, user_id: pa.Array, item_id: pa.Array) -> np.ndarray:
        return self.scorer.score(self.described(user_id, item_id))[0]


def _features(bundle: Bundle) -> FeatureList:
    try:
        return features_from(bundle.json(FEATURES)["definition"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{bundle.address}/{FEATURES} is no feature list: {type(error).__name__} {error}") from error
