"""Chunks and shards in a store: reading, writing, sharing out the work, keeping what was decoded."""
