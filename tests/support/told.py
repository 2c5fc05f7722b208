"""What worker processes say, for tests that wait until they have said it."""

import io
import threading


class Told(io.StringIO):
    """A stream for ``Fleet(stderr=...)``."""

    def __init__(self):
        super().__init__()
        self._more = threading.Condition()

    def write(self, text):
        with self._more:
            count = super().write(text)
            self._more.notify_all()
        return count

    def until(self, words, timeout=60):
        """Wait until `words` were said."""
        with self._more:
            assert self._more.wait_for(lambda: words in self.getvalue(), timeout), self.getvalue()
