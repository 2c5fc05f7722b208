"""The demo: a year of sea-surface temperature goes through a queue and comes out as another array.

``field`` makes the data, ``transforms`` is what workers apply to it, ``run`` puts the main job together and
checks the result against numpy, ``picture`` draws input and output.
"""
