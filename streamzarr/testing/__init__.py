"""The public test kit: fakes, faults, and the conformance suites of stores and brokers."""
