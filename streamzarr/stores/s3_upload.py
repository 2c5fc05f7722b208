"""Values too large for one request: sent to S3 in parts, which become the object in the last one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from streamzarr.stores.parallel import in_parallel
from streamzarr.stores.s3_client import code_of

TOKEN = "streamzarr-put"  # noqa: S105 - the name of a metadata field
MAX_PARTS = 10_000


def upload(
    boto: Any,
    place: Mapping[str, str],
    view: memoryview,
    request: Mapping[str, Any],
    *,
    part_bytes: int,
    at_once: int,
    etag_of_put: Callable[[Mapping[str, str]], str | None],
    abort: Callable[[str], None],
) -> str:
    """Send a value and return its etag; what was begun is aborted when a request fails.

    Parameters
    ----------
    place
        ``Bucket`` and ``Key``.
    request
        ``Metadata`` and conditions.
    part_bytes, at_once
        Size of a part, unless there would be too many, and how many are sent at a time.
    etag_of_put
        Returns the etag of the present object if it was put with this metadata.
    abort
        Aborts the upload of an id.
    """
    condition = {name: request[name] for name in ("IfMatch", "IfNoneMatch") if name in request}
    metadata = request.get("Metadata") or {TOKEN: uuid.uuid4().hex}
    begun = boto.create_multipart_upload(**place, Metadata=metadata)["UploadId"]
    size = max(part_bytes, -(-len(view) // MAX_PARTS))

    def send(number: int) -> dict[str, Any]:
        part = bytes(view[(number - 1) * size : number * size])
        answer = boto.upload_part(**place, UploadId=begun, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    try:
        parts = in_parallel(send, range(1, -(-len(view) // size) + 1), at_once)
        answer = boto.complete_multipart_upload(
            **place, UploadId=begun, MultipartUpload={"Parts": parts}, **condition
        )
    except BaseException as error:
        if isinstance(error, Exception) and code_of(error) == "NoSuchUpload":
            etag = etag_of_put(metadata)
            if etag:
                return etag  # completed by an earlier try, whose answer was lost
        abort(begun)
        raise
    # Ceph leaves it out; where another value is in the place already, the token is an etag of none.
    return answer["ETag"].strip('"') or etag_of_put(metadata) or metadata[TOKEN]
