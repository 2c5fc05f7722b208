"""What is put between boto3 and an S3 server: answers instead of the server's, and a record of requests."""

import io
from contextlib import contextmanager

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
INCOMPLETE = b"<Error><Code>IncompleteBody</Code><Message>too short</Message></Error>"


@contextmanager
def hooked(store, event, handler):
    client = store._client
    events = client.boto.meta.events
    direct, client.direct = client.direct, None
    events.register_first(event, handler)
    try:
        yield
    finally:
        events.unregister(event, handler)
        client.direct = direct


def answer(request, status, body=b"", headers=()):
    from botocore.awsrequest import AWSResponse
    from urllib3.response import HTTPResponse

    raw = HTTPResponse(io.BytesIO(body), headers=dict(headers), status=status, preload_content=False)
    return AWSResponse(request.url, status, dict(headers), raw)


class Recorder:
    """Counts requests by operation."""

    def __init__(self):
        self.operations = []
        self.requests = []

    def __call__(self, request, event_name, **_):
        self.operations.append(event_name.rpartition(".")[2])
        self.requests.append(request)


class Answers:
    """Gives the answers of a list instead of the server's, then lets requests through."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, request, **_):
        return answer(request, *self.answers.pop(0)) if self.answers else None
