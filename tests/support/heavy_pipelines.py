"""Pipelines at the top of a module, as other processes find them."""

from __future__ import annotations

import math
import multiprocessing
import os
from pathlib import Path

from streamzarr.errors import StoreError
from streamzarr.flow import DeadLetterLimit
from streamzarr.pipeline import Batcher, Pipeline, Processors, TopicSource
from streamzarr.queue.retry import RetryPolicy


class Heavy(Pipeline):
    """Handles messages in processes; some kill theirs, some fail, some are tried again."""

    processors = Processors(concurrency=2, kind="processes")
    retry = RetryPolicy(attempts=5, base=0.001)
    on_failure = "skip"

    def make_context(self):
        return {}

    def handle_message(self, message, context):
        match message.data:
            case "die":
                os._exit(3)
            case "fail":
                raise ValueError("bad")
            case "lambda":
                return message.fail(Unsendable(lambda: None))
            case "skip":
                return message.configure_ack(on_failure="skip").fail("not wanted")
            case "odd":
                return message.configure_ack(on_failure="bury")
            case "ack":
                return message.ack_immediately()
            case "ack and fail":
                message.ack_immediately()
                raise ValueError("too late")
            case "fail and ack":
                return message.fail("bad").ack_immediately()
            case "function":
                return message.with_data(lambda: None)
            case "no way back":
                return message.with_data(NoWayBack())
            case "flaky":
                context["tries"] = context.get("tries", 0) + 1
                if context["tries"] < 2:
                    raise StoreError("away")
        return message.replace(data=(message.data, os.getpid()))


class Unsendable(Exception):
    """Holds what cannot be pickled."""


class NoWayBack:
    """Can be pickled, and not unpickled."""

    def __getstate__(self):
        return {"a": 1}

    def __setstate__(self, state):
        raise RuntimeError("no way back")


class Unmade(Heavy):
    """Has a context in the process that begins only."""

    def make_context(self):
        if multiprocessing.parent_process() is not None:
            raise RuntimeError("no database")


class Closing(Heavy):
    """Tells in a folder that the environment names which processes have closed their contexts."""

    def make_context(self):
        return Path(os.environ["PIPE_FOLDER"], str(os.getpid()))

    def close_context(self, context):
        with context.open("a") as file:
            file.write("closed\n")


class Deadly(Pipeline):
    """Reads a topic that the environment names; writes a file for each record that it stores."""

    source = TopicSource(
        os.environ.get("PIPE_BROKER", "sqlite:///none.db"),
        topics=[os.environ.get("PIPE_TOPIC", "in")],
        group=os.environ.get("PIPE_GROUP", "g"),
        session_timeout=6.0,
    )
    dead_letters = os.environ.get("PIPE_DEAD", "dead")
    batchers = {"default": Batcher(size=20, timeout=0.1)}
    processors = Processors(concurrency=2)

    def make_context(self):
        return Path(os.environ["PIPE_FOLDER"])

    def handle_message(self, message, context):
        if message.value == b"poison":
            os._exit(9)
        return message

    def handle_batch(self, batcher, messages, info, context):
        for message in messages:
            if message.value == b"poison in batch":
                os._exit(9)
            with (context / f"{message.partition}-{message.offset}").open("ab") as file:
                file.write(message.value + b"\n")
        return messages


class Limited(Deadly):
    """Of what is bad two in a row become letters, and then its partition waits to be told to go on."""

    dead_letter_limit = DeadLetterLimit(in_a_row=2, probe_after=math.inf)

    def handle_message(self, message, context):
        if message.value == b"bad":
            raise ValueError("bad")
        return message
