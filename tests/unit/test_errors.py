"""Exceptions are foreign code: any of them becomes one line of bounded length that can be encoded."""

import signal
import threading

import pytest

from streamzarr.errors import describe, is_interrupt, message_of, name_of
from streamzarr.queue.base import Record
from streamzarr.queue.deadletter import MAX_MESSAGE_BYTES, MAX_WORD_BYTES, DeadLetter
from streamzarr.queue.retry import is_transient


class Stubborn(str):
    """A text that does not want to be looked at."""

    def encode(self, *args, **options):
        raise RuntimeError

    __len__ = __getitem__ = __iter__ = split = encode


class Returns(Exception):
    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


class Meta(type):
    @property
    def __name__(cls):
        raise RuntimeError


class Nameless(Exception, metaclass=Meta):
    pass


def raising(what):
    class Mute(Exception):
        def __str__(self):
            raise what

        __repr__ = __str__

    return Mute()


ODD = {
    "str raises": raising(ValueError("no")),
    "str raises beyond Exception": raising(GeneratorExit()),
    "str exits": raising(SystemExit(1)),
    "no text": Returns(None),
    "its own kind of text": Returns(Stubborn("words")),
    "lone surrogate": ValueError("\ud800"),
    "huge": ValueError("é" * 100_000_000),
    "lines": ValueError("one\ntwo\r\n\tthree\u2028four"),
    "nul": ValueError("a\0b"),
    "nameless": Nameless("x"),
    "long name": type("N" * 100_000, (Exception,), {})(),
}


@pytest.mark.parametrize("error", ODD.values(), ids=ODD.keys())
def test_any_error_is_described_in_one_bounded_line(error):
    text = describe(error)
    assert type(text) is str
    assert 0 < len(text.encode()) < 10_000
    assert len(text.splitlines()) == 1
    assert is_transient(error) is False


@pytest.mark.parametrize("error", ODD.values(), ids=ODD.keys())
def test_any_error_becomes_a_dead_letter(error):
    letter = DeadLetter.of(Record("t", 0, 1, None, b"v", (), 0), error=error, stage="s")
    assert len(letter.message.encode()) <= MAX_MESSAGE_BYTES
    assert 0 < len(letter.error_class.encode()) <= MAX_WORD_BYTES
    assert letter.to_record().headers


def test_what_can_be_said_of_odd_errors_is_said():
    assert describe(ODD["str raises"]) == "Mute: (its text cannot be had: str() raised ValueError)"
    assert describe(ODD["its own kind of text"]) == "Returns: words"
    assert describe(ODD["nameless"]) == "Nameless: x"
    assert describe(ODD["lone surrogate"]) == "ValueError: \\ud800"
    assert describe(ValueError()) == "ValueError"
    assert message_of(ValueError("abcdef"), 4) == "abc…"
    assert name_of(ODD["long name"]).startswith("NNN")


def test_an_error_that_raises_when_it_is_asked_whether_it_is_transient_is_not():
    class Odd(OSError):
        @property
        def errno(self):
            raise GeneratorExit

    assert is_transient(Odd()) is False


def test_only_pythons_own_ctrl_c_on_the_main_thread_is_an_interrupt():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert is_interrupt(KeyboardInterrupt())
        assert not is_interrupt(SystemExit())
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(is_interrupt(KeyboardInterrupt())))
        thread.start()
        thread.join()
        assert elsewhere == [False]
        signal.signal(signal.SIGINT, lambda *_: None)
        assert not is_interrupt(KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGINT, before)
