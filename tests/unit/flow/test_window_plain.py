"""Plain data as bytes, and what of windows is stored as such."""

import enum
from collections import Counter
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from streamzarr.errors import ConfigError, MessageError
from streamzarr.flow.windows import Result, Window
from streamzarr.flow.windows.plain import Plain
from streamzarr.flow.windows.snapshot import Outgoing, PaneState, Snapshot


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        (1, (2.5, "x"), b"y"),
        [1, [2]],
        {"a": {1, 2}, "b": frozenset()},
        {(1, 2): 3, None: 4, "x": 5},
        2**80,
        -(2**70),
        2**64 - 1,
        np.float64(1.5),
        np.float32("nan"),
        np.True_,
        np.datetime64("2020-01-01", "ns"),
        np.timedelta64(5, "s"),
        np.arange(6, dtype=">i2").reshape(2, 3).T,
        np.zeros((2, 0)),
        np.array("text"),
        np.array(5),
        np.str_(""),
        np.bytes_(b""),
        np.array(["", ""]),
        10**4400,
        "half \ud800",
        {"\ud800": 1},
    ],
    ids=lambda value: "long" if isinstance(value, int) else ascii(value),
)
def test_plain_data_come_back_as_they_were(value):
    found = Plain().loads(Plain().dumps(value))
    assert type(found) is type(value)
    assert found == value if isinstance(value, int) else repr(found) == repr(value)


def test_what_is_not_plain_needs_encode_and_decode():
    for value in (Colour.RED, object(), np.array([object()]), np.zeros(1, "i4,f8")):
        with pytest.raises(ConfigError, match="not plain data"):
            Plain().dumps([value])
    plain = Plain(encode=lambda colour: colour.value, decode=Colour)
    assert plain.loads(plain.dumps({"c": (Colour.RED, 1)})) == {"c": (Colour.RED, 1)}
    with pytest.raises(MessageError, match="decode="):
        Plain().loads(plain.dumps(Colour.RED))


def test_what_is_nested_too_deeply_is_refused_on_both_sides():
    value = ()
    for _ in range(60):
        value = (value,)
    with pytest.raises(ConfigError, match="deep"):
        Plain().dumps(value)
    data = Plain().dumps(())
    for _ in range(200):
        data = b"\xc9" + len(b"\x91" + data).to_bytes(4, "big") + b"\x01\x91" + data
    with pytest.raises(MessageError):
        Plain().loads(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xc7\x00\x63", b"\x93\x01", Plain().dumps((1, 2))[:-1]])
def test_bytes_that_are_not_plain_data_are_an_error(data):
    with pytest.raises(MessageError, match="cannot be read"):
        Plain().loads(data)


def test_arrays_of_objects_cannot_be_smuggled_in():
    encode = msgspec.msgpack.encode
    data = encode(msgspec.msgpack.Ext(3, encode(["|O", [1], bytes(8)])))
    with pytest.raises(MessageError, match="dtype"):
        Plain().loads(data)


def test_a_snapshot_of_another_kind_is_an_error():
    for data in (Plain().dumps([1]), Plain().dumps({"streamzarr.windows": 2}), b"{}"):
        with pytest.raises(MessageError, match="here: "):
            Snapshot.loads(data, Plain(), "here")
    bad = Plain().dumps({"streamzarr.windows": 1, "position": "far"})
    with pytest.raises(MessageError, match="position"):
        Snapshot.loads(bad, Plain(), "here")


def test_a_snapshot_comes_back_as_it_was():
    pane = PaneState(("BTC", 1), (0, 60), {"high": 7.5}, 3, 1, 2, True, True, False, "late", ((0, 50),))
    snapshot = Snapshot(3, b"id", 70, ((71, 73), (80, 81)), 99, 98, 5, (pane,))
    assert Snapshot.loads(snapshot.dumps(Plain()), Plain(), "here") == snapshot


def test_what_the_users_functions_raise_is_said_with_the_type():
    def fails(value):
        raise KeyError("colour")

    with pytest.raises(ConfigError, match=r"encode= raised KeyError.* for .*Colour"):
        Plain(encode=fails).dumps([Colour.RED])
    with pytest.raises(ConfigError, match=r"encode= returned the .*Colour that it was given"):
        Plain(encode=lambda value: value).dumps([Colour.RED])
    data = Plain(encode=lambda colour: colour.value).dumps(Colour.RED)
    with pytest.raises(MessageError, match=r"decode= raised KeyError"):
        Plain(decode=fails).loads(data)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Counter("ab"), "collections.Counter"),
        (Decimal(1), "decimal.Decimal"),
        (np.array([object()]), "numpy.ndarray of dtype object"),
    ],
)
def test_what_cannot_be_kept_is_named_with_its_type_and_its_window(value, name):
    pane = PaneState("BTC", (0, 60), [value], 1, 1, 0, False, True, False, None, ())
    with pytest.raises(ConfigError, match=f"accumulator of key 'BTC', window 0 to 60, .*{name} is not plain"):
        Snapshot(panes=(pane,)).dumps(Plain())
    result = Outgoing.of(1, Result("BTC", Window(0, 60), value, 1), None)
    with pytest.raises(ConfigError, match=f"result of key 'BTC', window 0 to 60, .*{name} is not plain"):
        Snapshot(outbox=(result,)).dumps(Plain())
