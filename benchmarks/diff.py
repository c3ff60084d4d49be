"""How long it takes to find what changed in a catalogue, and what other diffs take on the same data.

    made-up models --a leaf of some is edited--> two answers --read--> catalogues   what a poll has: texts and digests
                                                                 |
                                                                 +--decode--> documents   what every other diff is given

    for each size and number of edited models, for each contender: median of the runs -> one cell of one table

Contenders marked "decoded" are given both documents decoded, models keyed by slug, and decoding is not counted; the
others do the decoding they need inside the measured time. Times are of the processor, so that what else runs on the
machine counts for little.

    python -m benchmarks.diff --models 300 --large 10000 --repeat 15
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dictdiffer
import jsondiff
from deepdiff import DeepDiff

from syncd.core.canon import MISSING, Path, same
from syncd.core.catalog import Catalog, Memo, document
from syncd.core.changes import Before, Policy, diff, model_changes
from syncd.core.ops import ops
from syncd.core.reading import Listing
from syncd.core.wire import Answer
from syncd.providers import vivix

Model = dict[str, Any]

# A contender that has used up this much for a cell is not run again: the slow ones need no second opinion.
SECONDS_PER_CELL = 3.0
# Nor is one begun on the large catalogue that would need this much for it by what it took on the small one.
LONGEST_RUN = 10.0


# --- the data: models as the vendor lists them, and one edit each ---------------------------------------------------


def made_up(number: int) -> Model:
    """A model of eight parameters, 0.9 KB. No two state the same, so that remembering one is no help with the next."""
    slug = f"vendor-{number % 40}/model.{number:05}"
    return {
        "slug": slug,
        "name": f"Model {number}",
        "category": ("image", "video", "audio", "text")[number % 4],
        "creator": f"Creator {number % 40}",
        "description": f"Made-up model {number}. Best for product demos, B-roll, atmospheric scenes.",
        "params": {
            "prompt": {"type": "string", "required": True, "max_length": 1000 + number, "description": "What to see."},
            "negative_prompt": {"type": "string", "max_length": 500 + number},
            "duration": {"type": "integer", "min": 2, "max": 10 + number, "default": 5},
            "steps": {"type": "integer", "min": 1, "max": 50 + number, "step": 1, "default": 30},
            "guidance": {"type": "number", "min": 0, "max": 20 + number, "step": 0.5, "default": 7.5},
            "resolution": {
                "type": "enum",
                "values": ["720p", "1080p", "2K", "4K", f"{number}x{number}"],
                "default": "1080p",
            },
            "aspect_ratio": {"type": "enum", "values": ["1:1", "16:9", "9:16", "4:3", f"{number}:7"], "required": True},
            "audio": {"type": "boolean", "default": False},
        },
        "credits_band": {"min": 10 + number % 300, "max": 40 + 3 * (number % 300)},
        "example_request": {"model": slug, "prompt": "neon-lit Tokyo street", "aspect_ratio": "16:9", "duration": 5},
    }


# One leaf each, of eight kinds, so that no rule's own speed decides.
EDITS: tuple[tuple[tuple[str, ...], object], ...] = (
    (("params", "duration", "max"), 8),
    (("params", "steps", "min"), 2),
    (("params", "guidance", "step"), 1),
    (("params", "resolution", "values"), ["720p", "1080p", "2K", "4K"]),
    (("params", "duration", "default"), 4),
    (("params", "negative_prompt", "max_length"), 100_000),
    (("params", "audio", "required"), True),
    (("credits_band", "max"), 9999),
)


def edited(model: Model, number: int) -> Model:
    """The model with another value at one leaf."""
    (*way, last), value = EDITS[number % len(EDITS)]
    result = copy.deepcopy(model)
    node = result
    for key in way:
        node = node[key]
    node[last] = value
    return result


@dataclass(frozen=True)
class Case:
    """Two answers, the second of which differs in so many models, and everything that contenders make of them."""

    models: int
    changed: int
    first: Answer
    second: Answer
    known: vivix.Known
    memo: Memo
    before: Before
    after: Catalog
    old: Model
    new: Model

    @property
    def title(self) -> str:
        """The heading of its column."""
        what = {0: "none changed", self.models: "one leaf of each"}.get(self.changed, f"{self.changed} changed")
        return f"{self.models:,}: {what}"


def case(models: int, changed: int) -> Case:
    """A catalogue of so many models, and what became of it."""
    listed = [made_up(number) for number in range(models)]
    # Spread over the catalogue; 5 of 300 are every sixtieth.
    which = range(0, models, max(1, models // changed))[:changed] if changed else range(0)
    later = [edited(model, number) if number in which else model for number, model in enumerate(listed)]
    memo = Memo()
    first, second = answer(listed), answer(later)
    read = vivix.read(first, None, memo)
    assert isinstance(read, Listing)
    read_later = vivix.read(second, None, Memo())
    assert isinstance(read_later, Listing)
    old, new = read.catalog, read_later.catalog
    return Case(
        models,
        changed,
        first,
        second,
        vivix.Known(read.fingerprint, old.digest),
        memo,
        Before(old.account, old.models),
        new,
        document(old),
        document(new),
    )


def answer(models: list[Model]) -> Answer:
    """The vendor's answer that lists the models."""
    limits = {"calls_per_minute": 240, "concurrent_jobs": 5}
    content = {"tier": "pro", "credits_balance": 1000, "rate_limit": limits, "models": models}
    body = json.dumps(content, separators=(",", ":")).encode()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Answer(200, {}, body, now, now, 0.0)


# --- contenders: each makes what is measured out of a case ----------------------------------------------------------

Measured = Callable[[], object]


def read_answer(of: Case) -> Measured:
    """The answer's bytes to a catalogue, as a poll does whose daemon has read the first answer before."""
    memo = Memo(texts=dict(of.memo.texts))
    return lambda: vivix.read(of.second, of.known, memo)


def whole_diff(of: Case) -> Measured:
    """The diff as a poll calls it; it decodes the models whose digests differ."""
    return lambda: diff(of.before, of.after, Policy())


def classified(of: Case) -> Measured:
    """Every model compared, changed or not, and each change judged; nothing is decoded and no digest helps."""
    before, after = of.old["models"], of.new["models"]
    return lambda: [change for slug in before for change in model_changes(slug, before[slug], after[slug], Policy())]


def operations(of: Case) -> Measured:
    """The differences alone, without a judgement: what the diffs of other people do."""
    return lambda: ops(of.old, of.new)


def plain(of: Case) -> Measured:
    """The diff that everybody has written once."""
    return lambda: list(plain_diff(of.old, of.new))


def plain_diff(a: Any, b: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:  # noqa: ANN401 - any JSON
    """Every leaf that differs; lists element by element."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from plain_diff(a.get(key, MISSING), b.get(key, MISSING), (*path, key))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            left, right = (side[index] if index < len(side) else MISSING for side in (a, b))
            yield from plain_diff(left, right, (*path, str(index)))
    elif not same(a, b):
        yield path, a, b


def dictdiffer_diff(of: Case) -> Measured:
    """The library dictdiffer, run to its end: it yields as it goes."""
    return lambda: list(dictdiffer.diff(of.old, of.new))


def jsondiff_diff(of: Case) -> Measured:
    """The library jsondiff in its default, compact syntax."""
    return lambda: jsondiff.diff(of.old, of.new)


def deepdiff_diff(of: Case) -> Measured:
    """DeepDiff with its default options."""
    return lambda: DeepDiff(of.old, of.new)


OURS = "syncd: ops and classification, decoded"
CONTENDERS: dict[str, Callable[[Case], Measured]] = {
    "syncd: reading the answer, from bytes": read_answer,
    "syncd: diff, from the catalogues of a poll": whole_diff,
    OURS: classified,
    "syncd: ops alone, decoded": operations,
    "plain recursive diff, decoded": plain,
    "dictdiffer, decoded": dictdiffer_diff,
    "jsondiff, decoded": jsondiff_diff,
    "DeepDiff, decoded": deepdiff_diff,
}


# --- measuring ------------------------------------------------------------------------------------------------------


def median(prepare: Callable[[], Measured], repeat: int) -> float:
    """Seconds of processor time."""
    taken: list[float] = []
    while len(taken) < repeat and sum(taken) < SECONDS_PER_CELL:
        measured = prepare()
        gc.collect()
        gc.freeze()  # the data of the other cells is no part of what is measured, nor of what a daemon holds
        started = time.process_time()
        result = measured()
        taken.append(time.process_time() - started)
        del result
    return statistics.median(taken)


def measure(cases: Iterable[Case], repeat: int) -> dict[str, list[float | None]]:
    """A row of seconds for each contender; None where it was not run."""
    rows: dict[str, list[float | None]] = {label: [] for label in CONTENDERS}
    pace: dict[str, float] = {}
    for of in cases:
        for label, contender in CONTENDERS.items():
            if pace.get(label, 0) * of.models > LONGEST_RUN:
                rows[label].append(None)
                continue
            seconds = median(lambda contender=contender, of=of: contender(of), repeat)  # type: ignore[misc]
            rows[label].append(seconds)
            pace[label] = max(pace.get(label, 0), seconds / of.models)
    return rows


# --- the table ------------------------------------------------------------------------------------------------------


def table(titles: list[str], rows: dict[str, list[float | None]]) -> str:
    """Markdown that reads well without being rendered: milliseconds, and how many times ours."""
    lines = [["median of the runs, ms", *titles]]
    lines += [
        [label, *(cell(seconds, ours) for seconds, ours in zip(row, rows[OURS], strict=True))]
        for label, row in rows.items()
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join("| " + " | ".join(aligned(line, widths)) + " |" for line in lines)


def aligned(line: list[str], widths: list[int]) -> Iterator[str]:
    """Labels to the left, numbers to the right."""
    yield line[0].ljust(widths[0])
    yield from (text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))


def cell(seconds: float | None, ours: float | None) -> str:
    """As ``29.10 (6.2)``."""
    if seconds is None:
        return "not run"
    ratio = f" ({seconds / ours:,.1f})" if ours else ""
    return f"{seconds * 1000:,.2f}{ratio}"


def machine() -> str:
    """What it was measured on."""
    names = cpu_names()
    processor = next(names, platform.machine())
    return f"Python {platform.python_version()}, {os.cpu_count()} cores of {processor}, {platform.system()}"


def cpu_names() -> Iterator[str]:
    """The processor as Linux calls it, where there is such a list."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a path that is no file of ours
            yield from (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except OSError:
        return


def options() -> argparse.Namespace:
    """Sizes and runs, as asked for."""
    parser = argparse.ArgumentParser(description="How long a diff takes, beside others. Prints one table.")
    parser.add_argument("--models", type=int, default=300, help="models of the small catalogue (300)")
    parser.add_argument("--large", type=int, default=10_000, help="models of the large one (10,000); 0 for none")
    parser.add_argument("--repeat", type=int, default=15, help="runs of each (15), of which the median is shown")
    return parser.parse_args()


def main() -> None:
    """Measure everything and print one table."""
    chosen = options()
    sizes = [(chosen.models, 0), (chosen.models, min(5, chosen.models)), (chosen.models, chosen.models)]
    if chosen.large:
        sizes.append((chosen.large, chosen.large))
    cases = [case(*size) for size in sizes]
    rows = measure(cases, chosen.repeat)
    print(f"{datetime.now(UTC).date()}, {machine()}")
    print(f"in parentheses: how many times “{OURS}”\n")
    print(table([of.title for of in cases], rows))


if __name__ == "__main__":
    main()
