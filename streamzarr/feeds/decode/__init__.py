"""From the bytes of messages to columns."""
