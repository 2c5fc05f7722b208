"""Tasks of a job whose target on S3 has become the next job's, where etags are hashes of contents."""

import pytest

from streamzarr.errors import SourceChangedError
from streamzarr.stores import open_store
from tests.support.hooked import Hooked, Place


@pytest.fixture
def place(s3_endpoint, s3_store):
    option = f"?endpoint_url={s3_endpoint}"
    Hooked.scheme("hookeds3", lambda url: open_store(f"s3://{url.authority}/{url.path}{option}"))
    path = s3_store.url.partition("://")[2].partition("?")[0]
    return Place(f"s3://{path}/{{}}{option}", f"hookeds3://{path}/{{}}")


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("there", [False, True], ids=["first writing", "second writing"])
def test_a_task_of_the_job_before_changes_nothing(place, fill, there):
    place.target()
    task = place.task()
    if there:
        assert place.execute(task) == 32
    kept = {}

    def second_job():
        place.overwrite(fill=fill)
        kept.update(place.tree())

    place.before("put", "c/0", second_job)
    assert place.execute(task) is None
    assert place.tree() == kept


def test_a_source_that_is_gone_is_an_error(place):
    place.target()
    before = place.tree()
    task = place.task()
    place.before("get", "c/2", lambda: place.remove("a.zarr"))
    with pytest.raises(SourceChangedError):
        place.execute(task)
    assert place.tree() == before
