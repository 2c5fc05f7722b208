
"""A codec of your own: each number XORed with the one before it, as Gorilla does; zstd then has less to do.

Prices that move little share their leading bits; XOR turns these to zeros. A package would name the class in
its entry points instead of registering it, so that every process knows it:

    [project.entry-points."streamzarr.codecs"]
    "example.xor" = "my_package:Xor"
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

import streamzarr as sz
from streamzarr.errors import CodecError
from streamzarr.zarr import codecs


@dataclass(frozen=True)
class Xor(codecs.BytesBytes):
    """Words of `wordsize` bytes (1, 2, 4 or 8), each XORed with the one before it; exact."""

    name: ClassVar[str] = "example.xor"
    wordsize: int | None = None

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> "Xor":
        wordsize = configuration.get("wordsize")
        if wordsize not in (1, 2, 4, 8, None) or configuration.keys() - {"wordsize"}:
            raise ValueError(f"expected a wordsize of 1, 2, 4 or 8, got {configuration!r}")
        return cls(wordsize)

    def configuration(self) -> dict[str, Any]:
        return {"wordsize": self.wordsize}

    def adapted(self, spec: codecs.ChunkSpec, limits: Any) -> "Xor":
        return self if self.wordsize else replace(self, wordsize=spec.dtype.itemsize)

    def encoded_bound(self, bound: codecs.Bound) -> codecs.Bound:
        return bound  # what comes out is as long as what goes in

    def encode(self, data: Any) -> bytes:
        words = self._words(data)
        return np.concatenate([words[:1], words[1:] ^ words[:-1]]).tobytes()

    def decode(self, data: Any, bound: codecs.Bound, out: memoryview | None = None) -> bytes:
        return np.bitwise_xor.accumulate(self._words(data)).tobytes()

    def _words(self, data: Any) -> np.ndarray:
        if len(data) % self.wordsize:
            raise CodecError(f"{self.name}: got {len(data)} bytes, expected a multiple of {self.wordsize}")
        return np.frombuffer(data, f"<u{self.wordsize}")


if __name__ == "__main__":
    codecs.register(Xor)

    steps = np.random.default_rng(0).integers(-2, 3, 500_000)
    prices = 100 + steps.cumsum() / 64  # a walk in ticks of 1/64

    sizes = {}
    for compressors in (["zstd"], ["example.xor", "zstd"]):
        store = sz.open_store("memory://")
        sz.create_array(store, data=prices, chunks=50_000, compressors=compressors)
        sizes[" + ".join(compressors)] = sum(store.head(key).size for key in store.list("c"))
    for name, size in sizes.items():
        print(f"{name:20} {prices.nbytes / size:5.1f} times smaller")

    reopened = sz.open_array(store)  # the metadata names the codec, the registry has it
    print(reopened.compressors[0])
    assert np.array_equal(reopened[...], prices)
    print(f"all {len(prices):,} prices are as they were, bit by bit: {codecs.info('example.xor').kind}")
