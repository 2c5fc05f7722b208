"""Running items through ``ops.reduce``."""

from streamzarr.flow import Demand, from_iterable, ops, run
from streamzarr.flow.windows.moments import SECOND


def keyed(by):
    return ops.map_messages(lambda message: message.replace(key=by(message.data)))


def total(window, **options):
    options.setdefault("time", lambda item: item[0])
    return ops.reduce(lambda total, item: total + item[1], initial=0, window=window, **options)


def results(items, *operators, demand=None, runtime=None, batch=64):
    """Run items through operators; return what came out and the report."""
    seen = []
    chain = from_iterable(items, demand or Demand(100), batch=batch).pipe(*operators, ops.settle(seen.extend))
    report = run(chain, **({} if runtime is None else {"runtime": runtime}))
    return seen, report


def values(messages):
    return [
        (message.key, message.data.window.start / SECOND, message.data.value, message.data.firing)
        for message in messages
    ]
