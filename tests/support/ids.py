"""Names of cases that are the same in every process, as processes that share tests must have them."""

import re

_OWN_TO_THE_PROCESS = re.compile(r"0x[0-9a-f]+|_tunable_attrs=\{[^}]*\}, ")


def stable(value: object) -> str:
    """Return `value` as text, without addresses and without sets, whose order is by chance.

    >>> stable(object())
    '<object object at >'
    """
    return _OWN_TO_THE_PROCESS.sub("", str(value))
