"""The peer of `tests/bench_recall.py`, as a process of its own: item-to-item cosine by `implicit`, load to write.

Run with a Python that has implicit and polars: bench_implicit.py <pairs.parquet> <out.parquet> <top_n> <threads>
"""

import sys
import warnings

import numpy as np
import polars as pl
import scipy.sparse as sp
from implicit.nearest_neighbours import CosineRecommender


def main(pairs: str, out: str, top_n: int, threads: int) -> None:
    rows = pl.read_parquet(pairs)
    ids = {side: rows[side].unique().sort() for side in ("user_id", "item_id")}
    user, item = (rows[side].cast(pl.Enum(values)).to_physical().to_numpy() for side, values in ids.items())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CosineRecommender(K=top_n + 1, num_threads=threads)  # an item is its own nearest neighbour
        model.fit(sp.csr_matrix((np.ones(len(rows), np.float32), (user, item))), show_progress=False)
    similar = model.similarity.tocoo()
    other = similar.row != similar.col
    trigger, item = (ids["item_id"].gather(codes[other]) for codes in (similar.row, similar.col))
    pl.DataFrame({"trigger_item_id": trigger, "item_id": item, "score": similar.data[other]}).write_parquet(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
