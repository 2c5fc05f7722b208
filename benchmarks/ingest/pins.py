"""What the environments of the peers hold, by name: they write with zarr-python."""

_SINK = ("zarr==3.1.6", "msgspec==0.22.0")
PINS = {
    "feeds-arroyo": ("sentry-arroyo==2.48.0", "confluent-kafka==2.16.1", *_SINK),
    "feeds-quix": ("quixstreams==3.28.1", "confluent-kafka==2.12.2", *_SINK),  # it takes no newer client
    "feeds-bytewax": ("bytewax==0.21.1", "confluent-kafka==2.16.1", *_SINK),
}
