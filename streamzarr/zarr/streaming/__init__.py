"""Arrays chunk by chunk, in bounded memory: streams, maps, progress."""
