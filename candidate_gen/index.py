"""The vector index: the videos with the largest inner product with a viewer's vector."""

from typing import Any, Literal

import faiss
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.arrays import Array, Float32, Int32
from core.errors import ConfigError, CorruptData


class IndexConfig(BaseModel):
    """Which FAISS index holds the vectors, and how hard a search looks."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["flat", "ivf", "hnsw"] = Field("flat", description="exact (0.4 ms at 50,000), cells or graph")
    lists: int = Field(256, description="cells of the inverted file")
    probes: int = Field(96, description="cells that a search visits")
    links: int = Field(32, description="links of a node of the graph")
    build_width: int = Field(120, description="candidates kept while the graph is built")
    search_width: int = Field(1000, description="candidates kept while the graph is searched, >= k")


def one_thread() -> None:
    """Keep FAISS to one thread: a replica has one process per core, and other libraries bring OpenMP too."""
    faiss.omp_set_num_threads(1)


class VideoIndex:
    """Vectors by row of the video table; rows can be added between rebuilds, never changed."""

    def __init__(self, index: Any, dim: int) -> None:
        self._index, self.dim = index, dim

    @classmethod
    def build(cls, rows: Int32, vectors: Float32, config: IndexConfig) -> "VideoIndex":
        """An index over `vectors` [n, dim] of these rows [n]; a small catalogue gets fewer cells."""
        dim = vectors.shape[1]
        built = cls(faiss.IndexIDMap(_empty(dim, len(rows), config)), dim)
        if config.kind == "ivf" and len(rows) >= 40:
            built._index.train(np.ascontiguousarray(vectors, np.float32))
        built.add(rows, vectors)
        return built

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: Int32, vectors: Float32) -> None:
        """Add `vectors` [n, dim] of rows [n] that the index does not hold yet."""
        if len(rows):
            flat = np.ascontiguousarray(vectors, np.float32)
            self._index.add_with_ids(flat, rows.astype(np.int64))

    def search(self, vector: Float32, k: int, exclude: Int32 | None = None) -> tuple[Int32, Float32]:
        """The k rows of the largest inner products with `vector` [dim], best first, and the products; `exclude` are
        rows to leave out. Fewer than k where the index has no more."""
        k = min(k, len(self))
        if k <= 0:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        query = np.ascontiguousarray(vector[None], np.float32)
        if exclude is None or len(exclude) == 0:
            scores, rows = self._index.search(query, k)
        else:
            wider = min(k + len(exclude), len(self))
            scores, rows = self._index.search(query, wider)
        return _cut(rows[0], scores[0], k, exclude)

    def to_bytes(self) -> bytes:
        """The FAISS file."""
        raw: bytes = faiss.serialize_index(self._index).tobytes()
        return raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> "VideoIndex":
        """What `to_bytes` wrote; CorruptData when it is no FAISS file."""
        try:
            index = faiss.deserialize_index(np.frombuffer(raw, np.uint8))
        except RuntimeError as error:
            raise CorruptData("The vector index cannot be read; build it again.") from error
        return cls(index, int(index.d))


def _cut(rows: Array, scores: Array, k: int, exclude: Int32 | None) -> tuple[Int32, Float32]:
    keep = rows >= 0
    if exclude is not None and len(exclude):
        keep &= ~np.isin(rows, exclude)
    return rows[keep][:k].astype(np.int32), scores[keep][:k].astype(np.float32)


def _empty(dim: int, size: int, config: IndexConfig) -> Any:
    product = faiss.METRIC_INNER_PRODUCT
    if config.kind == "hnsw":
        graph = faiss.IndexHNSWFlat(dim, config.links, product)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = config.build_width, config.search_width
        return graph
    if config.kind == "ivf" and size >= 40:
        lists = max(1, min(config.lists, size // 40))
        cells: Any = faiss.index_factory(dim, f"IVF{lists},Flat", product)
        cells.nprobe = min(config.probes, lists)
        return cells
    if config.kind in ("flat", "ivf"):
        return faiss.IndexFlatIP(dim)
    raise ConfigError(f"'{config.kind}' is no kind of index; use flat, ivf or hnsw.")
