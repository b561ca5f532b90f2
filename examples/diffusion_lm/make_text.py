"""Make a text to train on: the log book of a small harbour, the same each time, in lines that a small model can learn.

python make_text.py 150000 > harbour.txt
python make_text.py 150000 --dataset Salesforce/wikitext --config wikitext-103-v1

The second makes a directory that `datasets` reads as it would a repository of the hub, without a network.

Each line has something near to learn (spelling, numbers that agree with their nouns) and something far (what a ship brings
is what is weighed, and its captain's name comes again).
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

SHIPS = ("Heron", "Petrel", "Curlew", "Gannet", "Osprey", "Plover")
CAPTAINS = ("Ada", "Bram", "Cato", "Dorte", "Emil", "Freya", "Gus", "Hilde")
GOODS = ("salt", "rope", "wool", "barley", "copper", "timber", "glass", "tar")
PORTS = ("Lerwick", "Bergen", "Tallinn", "Porto", "Dover", "Cork")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
WEATHER = (
    "The wind is north.",
    "The wind is west and rising.",
    "Fog until noon.",
    "Clear and cold.",
    "Rain all night.",
)


def entry(draw: random.Random, day: int) -> str:
    """One day of the log."""
    ship, captain, goods, port = (draw.choice(words) for words in (SHIPS, CAPTAINS, GOODS, PORTS))
    first, second = draw.randrange(1, 7), draw.randrange(1, 7)
    lines = [
        f"Day {day}. {draw.choice(WEATHER)}",
        f"The {ship} of captain {captain} came in from {port} with {goods}.",
        f"We weighed {_casks(first)} of {goods}, and {_casks(second)} more: {NUMBERS[first + second - 1]} in all.",
        f"Captain {captain} has signed for the {goods}, and the {ship} sails at dawn.",
    ]
    return "\n".join(lines)


def _casks(count: int) -> str:
    return f"{NUMBERS[count - 1]} cask{'s' * (count > 1)}"


def text(size: int, seed: int = 0) -> str:
    """Whole entries, at least `size` bytes of ASCII."""
    draw = random.Random(seed)  # noqa: S311  no secret
    entries: list[str] = []
    made = 0
    while made < size:
        entries.append(entry(draw, len(entries) + 1))
        made += len(entries[-1]) + 2
    return "\n\n".join(entries) + "\n"


def dataset(directory: Path, config: str, size: int) -> None:
    """Make a dataset of it: a row for each line, another text for `validation`, and a card that names the configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    files = ""
    for seed, (split, length) in enumerate({"train": size, "validation": size // 10}.items()):
        rows = [json.dumps({"text": line}) for line in text(length, seed).splitlines(keepends=True)]
        (directory / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
        files += f"  - split: {split}\n    path: {split}.jsonl\n"
    card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}---\n\nA made-up log book.\n"
    (directory / "README.md").write_text(card, encoding="utf-8")


def main() -> None:
    """Print the text, or make a dataset of it."""
    parser = argparse.ArgumentParser(description="Make a text to train on.")
    parser.add_argument("size", type=int, help="in bytes, at least")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="make a dataset here")
    parser.add_argument("--config", default="default", metavar="NAME", help="its configuration")
    given = parser.parse_args()
    if given.dataset is None:
        print(text(given.size), end="")
    else:
        dataset(given.dataset, given.config, given.size)


if __name__ == "__main__":
    main()
