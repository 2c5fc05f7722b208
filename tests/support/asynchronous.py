"""Functions that are async, each in its way, and what the flow says of them."""

SYNC = "a function that is not async: nothing would await it"


async def awaited(data):
    return data


class Awaited:
    async def __call__(self, data):
        return data


async def numbers():
    yield 1
