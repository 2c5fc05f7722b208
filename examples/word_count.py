"""Word count as a flow: split, partition by word, fold each."""

from collections import Counter

from streamzarr.flow import Demand, from_iterable, ops, run

LINES = [
    "roses are red",
    "violets are blue",
    "sugar is sweet",
    "and so are you",
] * 250


def main():
    """Count words under demand, and compare with a Counter."""
    counts = {}

    def store(messages):
        for message in messages:
            counts[message.data.key] = message.data.value

    chain = from_iterable(LINES, Demand(max_demand=100)).pipe(
        ops.flat_map(str.split),
        ops.partition_by(lambda word: word),
        ops.reduce(lambda count, word: count + 1, initial=0),
        ops.settle(store),
    )
    report = run(chain)
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]:
        print(f"{word:8} {count}")
    assert report.delivered == len(LINES)
    assert counts == Counter(word for line in LINES for word in line.split())
    print("each is Counter's")


if __name__ == "__main__":
    main()
