"""State of windows whose worker may end around each write."""

from streamzarr.flow import WindowState


class MortalState(WindowState):
    """`life` is asked before and after each write, at ``life.point()``, whether it ends there."""

    def __init__(self, life, *args, **options):
        super().__init__(*args, **options)
        self.life = life

    def _put(self, *args):
        self.life.point()
        etag = super()._put(*args)
        self.life.point()
        return etag
