"""The nearest of many embeddings to some queries, in the memory of a few chunks.

python examples/embeddings.py
"""

import tempfile

import numpy as np

import streamzarr as sz

WORDS, DIMENSIONS, NEAREST = 200_000, 64, 5


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors with length 1, so that a dot product is a cosine."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def top_k(embeddings: sz.Array, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and row numbers of the `k` rows nearest to each query, best first: (queries, k)."""
    best = np.full((len(queries), k), -np.inf, "f4")
    rows = np.full((len(queries), k), -1)
    for block in embeddings.stream_chunks(concurrency=2):
        # What was best so far competes with this chunk.
        scores = np.hstack([best, queries @ block.data.T])
        numbers = np.arange(block.slices[0].start, block.slices[0].stop)
        candidates = np.hstack([rows, np.broadcast_to(numbers, (len(queries), len(numbers)))])
        chosen = np.argpartition(-scores, k - 1)[:, :k]
        best, rows = (np.take_along_axis(each, chosen, 1) for each in (scores, candidates))
    order = np.argsort(-best, axis=1)
    return np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)


with tempfile.TemporaryDirectory() as folder:
    random = np.random.default_rng(7)
    embeddings = sz.create_array(
        f"{folder}/embeddings.zarr", shape=(WORDS, DIMENSIONS), chunks=(8192, DIMENSIONS), dtype="f4"
    )
    for start in range(0, WORDS, 50_000):  # as they come from a model, batch by batch
        embeddings[start : start + 50_000] = unit(random.normal(size=(50_000, DIMENSIONS)).astype("f4"))

    # Three rows with some noise: each should find itself.
    wanted = [11, 99_999, 150_000]
    queries = unit(embeddings.oindex[wanted, :] + random.normal(0, 0.05, (3, DIMENSIONS)).astype("f4"))
    cosines, rows = top_k(embeddings, queries, NEAREST)
    for row, number, cosine in zip(wanted, rows, cosines, strict=True):
        print(
            f"near {row:>7,}:  " + "  ".join(f"{n:>7,} {c:.3f}" for n, c in zip(number, cosine, strict=True))
        )
    assert rows[:, 0].tolist() == wanted

    # The same with everything in memory at once.
    everything = queries @ embeddings[:].T
    assert np.array_equal(rows, np.argsort(-everything, axis=1)[:, :NEAREST])
    chunk = embeddings.chunks[0] * DIMENSIONS * 4
    print(
        f"{embeddings.nbytes / 1e6:.0f} MB searched, {chunk / 1e6:.1f} MB a chunk: the neighbours are numpy's"
    )
