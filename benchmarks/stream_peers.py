"""Who else can append rows, for ``stream.py``: each gives a function that adds a batch and makes it visible.

What is said to be visible differs, and is said beside each name. Only a commit of ours and of icechunk shows
all fields in one step; only ours comes with the position of the source, and keeps a second writer out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import streamzarr as sz

CHUNK_ROWS = 4096
DTYPES = {"time": "i8", "price": "f8", "size": "i4"}

Batch = dict[str, np.ndarray]
Append = Callable[[Batch], None]


@dataclass(frozen=True)
class Place:
    """A directory, or a prefix in a bucket, that is nobody else's."""

    path: str
    bucket: str = ""
    endpoint: str = ""

    @property
    def is_local(self) -> bool:
        return not self.bucket


def batch_of(start: int, rows: int) -> Batch:
    number = np.arange(start, start + rows)
    return {"time": number * 1000, "price": 100 + (number % 977) / 8, "size": (number % 13).astype("i4")}


def ours(place: Place, options: str = "?fsync=false") -> Append:
    url = f"file://{place.path}{options}" if place.is_local else ours_url(place)
    writer = sz.StreamWriter(url, schema=DTYPES, chunk_rows=CHUNK_ROWS, source="bench")

    def append(batch: Batch) -> None:
        writer.append(batch, next_offset=writer.rows + len(batch["time"]))
        writer.commit()

    return append


def ours_by_chunks(place: Place) -> Append:
    """Return what shows rows when their chunks are full, as acquire-zarr does."""
    url = f"file://{place.path}?fsync=false" if place.is_local else ours_url(place)
    policy = sz.stream.CommitPolicy(rows=CHUNK_ROWS)
    writer = sz.StreamWriter(
        url, schema=DTYPES, chunk_rows=CHUNK_ROWS, source="bench", tail="memory", commit=policy
    )

    def append(batch: Batch) -> None:
        rows = len(batch["time"])
        writer.append(batch, next_offset=np.arange(writer.rows + 1, writer.rows + rows + 1))

    return append


def ours_url(place: Place) -> str:
    return f"s3://{place.bucket}/{place.path}?endpoint_url={place.endpoint}"


def ours_synced(place: Place) -> Append:
    return ours(place, "")


def zarr_store(place: Place) -> Any:
    from zarr.storage import LocalStore, ObjectStore

    if place.is_local:
        return LocalStore(place.path)
    from obstore.store import S3Store

    return ObjectStore(
        S3Store(
            place.bucket,
            prefix=place.path,
            endpoint=place.endpoint,
            region="us-east-1",
            access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
    )


def append_to(group: Any) -> Append:
    def append(batch: Batch) -> None:
        for name, values in batch.items():
            group[name].append(values)

    return append


def fields_in(group: Any) -> Any:
    for name, dtype in DTYPES.items():
        group.create_array(name, shape=(0,), chunks=(CHUNK_ROWS,), dtype=dtype, compressors=codec())
    return {name: group[name] for name in DTYPES}


def codec() -> Any:
    from zarr.codecs import ZstdCodec

    return ZstdCodec(level=0)


def zarr_python(place: Place) -> Append:
    import zarr

    return append_to(fields_in(zarr.create_group(zarr_store(place))))


def zarrs(place: Place) -> Append:
    import zarr
    import zarrs  # noqa: F401 - registers its pipeline

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return append_to(fields_in(zarr.create_group(zarr_store(place))))


def icechunk(place: Place) -> Append:
    import icechunk as ic
    import zarr

    if place.is_local:
        storage = ic.local_filesystem_storage(place.path)
    else:
        storage = ic.s3_storage(
            bucket=place.bucket,
            prefix=place.path,
            region="us-east-1",
            endpoint_url=place.endpoint,
            allow_http=True,
            force_path_style=True,
            from_env=True,
        )
    repository = ic.Repository.create(storage)
    session = repository.writable_session("main")
    fields_in(zarr.create_group(session.store))
    session.commit("fields")

    def append(batch: Batch) -> None:
        session = repository.writable_session("main")
        append_to(zarr.open_group(session.store))(batch)
        session.commit("rows")

    return append


def tensorstore(place: Place, sync: bool = False) -> Append:
    import tensorstore as ts

    context = ts.Context({"file_io_sync": sync})
    driver: dict[str, Any] = {"driver": "file"}
    if not place.is_local:
        driver = {
            "driver": "s3",
            "bucket": place.bucket,
            "endpoint": place.endpoint,
            "aws_region": "us-east-1",
            "aws_credentials": {"type": "environment"},
        }
    arrays = {
        name: ts.open(
            {
                "driver": "zarr3",
                "kvstore": driver | {"path": f"{place.path}/{name}/"},
                "metadata": {
                    "shape": [0],
                    "data_type": np.dtype(dtype).name,
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [CHUNK_ROWS]}},
                    "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 0}}],
                },
                "create": True,
            },
            context=context,
        ).result()
        for name, dtype in DTYPES.items()
    }

    def append(batch: Batch) -> None:
        for name, values in batch.items():
            start = arrays[name].shape[0]
            arrays[name] = arrays[name].resize(exclusive_max=[start + len(values)]).result()
            arrays[name][start:].write(values).result()

    return append


def tensorstore_synced(place: Place) -> Append:
    return tensorstore(place, sync=True)


def acquire_zarr(place: Place) -> Append:
    import acquire_zarr as aq

    kinds = {"i8": aq.DataType.INT64, "f8": aq.DataType.FLOAT64, "i4": aq.DataType.INT32}

    def side(name: str, kind: Any, size: int, chunk: int) -> Any:
        return aq.Dimension(
            name=name, kind=kind, array_size_px=size, chunk_size_px=chunk, shard_size_chunks=1
        )

    arrays = [
        aq.ArraySettings(
            output_key=name,
            data_type=kinds[dtype],
            dimensions=[
                side("t", aq.DimensionType.TIME, 0, CHUNK_ROWS),
                side("y", aq.DimensionType.SPACE, 1, 1),
                side("x", aq.DimensionType.SPACE, 1, 1),
            ],
        )
        for name, dtype in DTYPES.items()
    ]
    s3 = None if place.is_local else aq.S3Settings(endpoint=place.endpoint, bucket_name=place.bucket)
    stream = aq.ZarrStream(aq.StreamSettings(store_path=place.path, arrays=arrays, s3=s3, overwrite=True))

    def append(batch: Batch) -> None:
        for name, values in batch.items():
            stream.append(values.reshape(-1, 1, 1), key=name)

    return append


def h5py_swmr(place: Place) -> Append:
    import h5py

    os.makedirs(place.path)
    file = h5py.File(f"{place.path}/rows.h5", "w", libver="latest")
    for name, dtype in DTYPES.items():
        file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(CHUNK_ROWS,), compression="gzip")
    file.swmr_mode = True

    def append(batch: Batch) -> None:
        for name, values in batch.items():
            dataset = file[name]
            start = len(dataset)
            dataset.resize((start + len(values),))
            dataset[start:] = values
            dataset.flush()

    return append


def arrow_ipc(place: Place) -> Append:
    import pyarrow as pa

    os.makedirs(place.path)
    file = pa.OSFile(f"{place.path}/rows.arrows", "wb")
    schema = pa.schema([(name, pa.from_numpy_dtype(np.dtype(dtype))) for name, dtype in DTYPES.items()])
    writer = pa.ipc.new_stream(file, schema)

    def append(batch: Batch) -> None:
        writer.write_batch(pa.record_batch(batch))
        file.flush()

    return append


def parquet(place: Place) -> Append:
    import pyarrow as pa
    from pyarrow import parquet as pq

    store = sz.stores.open_store(f"file://{place.path}?fsync=false" if place.is_local else ours_url(place))
    count = 0

    def append(batch: Batch) -> None:
        nonlocal count
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(batch), sink, compression="zstd")
        store.put(f"{count:09}.parquet", sink.getvalue().to_pybytes())
        count += 1

    return append


PEERS: dict[str, tuple[Callable[[Place], Append], bool, str]] = {
    "ours": (ours, True, "all fields in one step, with the position"),
    "zarr-python": (zarr_python, True, "field after field"),
    "zarrs": (zarrs, True, "field after field"),
    "tensorstore": (tensorstore, True, "field after field"),
    "icechunk": (icechunk, True, "all fields in one step"),
    "ours by chunks": (ours_by_chunks, True, "whole chunks only, with their position"),
    "acquire-zarr": (acquire_zarr, True, "whole chunks only"),
    "h5py SWMR": (h5py_swmr, False, "field after field"),
    "Arrow IPC": (arrow_ipc, False, "no array: one file, appended"),
    "Parquet": (parquet, True, "no array: a file for each batch"),
    "ours + fsync": (ours_synced, False, "as ours, and survives a power cut"),
    "tensorstore + fsync": (tensorstore_synced, False, "field after field, synced"),
}
"""Name: how it is begun, whether it writes to S3 too, and what is visible after a call."""
