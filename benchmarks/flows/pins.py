"""What the environments of the peers hold, by name."""

_MSGSPEC = "msgspec==0.22.0"
PINS = {
    "arroyo": ("sentry-arroyo==2.48.0", "confluent-kafka==2.16.1", _MSGSPEC),
    "quix": ("quixstreams==3.28.1", "confluent-kafka==2.12.2", _MSGSPEC),  # it takes no newer client
    "bytewax": ("bytewax==0.21.1", "confluent-kafka==2.16.1", _MSGSPEC),
}
