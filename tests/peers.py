"""Lists that other implementations make from the train part of a split: `python tests/peers.py SPLIT OUT`.

Reads SPLIT/train (a folder of Parquet: user_id, item_id), writes OUT/<name>.parquet (user_id, item_id, score; 200
items a user, none of them acted on) for `recflow evaluate recall --lists`. implicit's nearest neighbours and ALS in
small grids (whoever then takes the best one by the test part flatters the peer), EASE in plain numpy, and swing as its
formula reads. Needs `implicit`, which is not among recflow's packages: see README, "How good are the recalls?".
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import scipy.sparse as sp

LENGTH = 200
EASE_ITEMS = 12_000


def main(split: str, out: str) -> None:
    train = pd.read_parquet(Path(split) / "train", columns=["user_id", "item_id"]).drop_duplicates()
    user, users = pd.factorize(train["user_id"], sort=True)
    item, items = pd.factorize(train["item_id"], sort=True)
    acts = sp.csr_matrix((np.ones(len(train), np.float32), (user, item)), (len(users), len(items)))
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, found in [*neighbours(acts), *factors(acts), *linear(acts), ("plain_swing", acts @ swing(acts))]:
        write(name, found, acts, users, items, Path(out))


def neighbours(acts):
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

    for name, kind in (("cosine", CosineRecommender), ("tfidf", TFIDFRecommender), ("bm25", BM25Recommender)):
        for k in (20, 100, 1000):
            model = kind(K=k, num_threads=2)
            model.fit(acts, show_progress=False)
            yield f"implicit_{name}_{k}", model.recommend(np.arange(acts.shape[0]), acts, N=LENGTH)


def factors(acts):
    from implicit.als import AlternatingLeastSquares

    for size in (32, 64, 128):
        for regularization in (0.01, 1.0, 10.0):
            model = AlternatingLeastSquares(
                factors=size, regularization=regularization, iterations=15, random_state=1, num_threads=2
            )
            model.fit(acts, show_progress=False)
            found = model.recommend(np.arange(acts.shape[0]), acts, N=LENGTH)
            yield f"implicit_als_{size}_{regularization:g}", found


def linear(acts):
    if acts.shape[1] > EASE_ITEMS:
        print(f"EASE is left out: {acts.shape[1]:,} items")
        return
    gram = (acts.T @ acts).toarray().astype(np.float64)
    for regularization in (100, 300, 1000):
        inverse = np.linalg.inv(gram + regularization * np.eye(len(gram)))
        weights = -inverse / np.diag(inverse)[None, :]
        np.fill_diagonal(weights, 0)
        yield f"plain_ease_{regularization}", acts @ weights


def swing(acts) -> sp.csr_matrix:
    """s(i, j) = sum over pairs of common users of 1 / (1 + |Iu n Iv|), without caps or weights of users."""
    of_user = [set(acts.indices[a:b]) for a, b in zip(acts.indptr[:-1], acts.indptr[1:], strict=True)]
    if acts.shape[1] > EASE_ITEMS:
        raise SystemExit("plain_swing is for small catalogs")
    dense = np.zeros((acts.shape[1], acts.shape[1]))
    shared_users = (acts @ acts.T).tocsr()
    for u, mine in enumerate(of_user):
        others = shared_users.indices[shared_users.indptr[u] : shared_users.indptr[u + 1]]
        for v in others[others > u]:
            common = np.fromiter(mine & of_user[v], int)
            if len(common) > 1:
                dense[np.ix_(common, common)] += 1 / (1 + len(common))
    np.fill_diagonal(dense, 0)
    return sp.csr_matrix(dense)


def write(name, found, acts, users, items, out: Path) -> None:
    if isinstance(found, tuple):
        item, score = found
    else:
        dense = np.asarray(found.todense() if sp.issparse(found) else found, np.float64)
        dense[acts.nonzero()] = -np.inf
        item = np.argsort(-dense, axis=1, kind="stable")[:, :LENGTH]
        score = np.take_along_axis(dense, item, 1)
    user = np.broadcast_to(np.arange(len(users))[:, None], item.shape)
    kept = (item >= 0) & np.isfinite(score)
    table = pd.DataFrame(
        {"user_id": users[user[kept]], "item_id": items[item[kept]], "score": score[kept].astype(float)}
    )
    table.to_parquet(out / f"{name}.parquet", index=False)
    print(f"{name}: {len(table):,} rows", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
