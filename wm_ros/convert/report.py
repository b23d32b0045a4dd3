# SPDX-License-Identifier: Apache-2.0
"""What a conversion kept and dropped: convert.json and a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from wm_ros.convert.episodes import Made
from wm_ros.convert.index import Index
from wm_ros.convert.rows import Choice


def of_bag(index: Index, choice: Choice, made: Made, damage: list[str],
           episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """The report of one bag; images = rows used + everything under "dropped"."""
    rows = sum(episode["rows"] for episode in episodes)
    return {
        "episodes": episodes,
        "images": index.images,
        "rows": rows,
        "dropped": dict(sorted(choice.dropped.items())),
        "lacking": dict(sorted(choice.lacking.items())),
        "unusable": dict(sorted(made.unusable.items())),
        "damaged": {role: dict(counts) for role, counts in sorted(index.damaged.items())},
        "broken_off": damage,
        "gaps": [asdict(gap) for gap in choice.gaps],
        "actions_from": _sources(made.sources),
        "assumed": sorted(made.assumed),
        "topics": dict(sorted(index.mapped.items())),
        "topics_not_mapped": {t: {"type": kind, "messages": count}
                              for t, (kind, count) in sorted(index.unmapped.items())},
    }


def _sources(counts: Counter[str]) -> str:
    """What the actions come from; where that changes, with the rows of each."""
    if len(counts) < 2:
        return "".join(counts)
    return " and ".join(f"{source} ({rows} rows)" for source, rows in counts.most_common())


def show(console: Console, sources: dict[str, dict[str, Any]]) -> None:
    """The table, and under it why something is not there."""
    table = Table("bag", "episodes", "images", "rows", "dropped", "why", box=None,
                  header_style="bold", pad_edge=False)
    for source in sources.values():
        why = dict(source["dropped"])
        if source["lacking"]:
            lacks = ", ".join(f"{name} {count}" for name, count in source["lacking"].items())
            why = {f"{k} ({lacks})" if k == "unsynchronised" else k: v for k, v in why.items()}
        table.add_row(source["name"], str(len(source["episodes"])), str(source["images"]),
                      str(source["rows"]), str(sum(source["dropped"].values())),
                      "; ".join(f"{count} {reason}" for reason, count in why.items()))
    console.print(table)
    for source in sources.values():
        for line in notes(source):
            console.print(f"  {source['name']}: {line}", highlight=False, soft_wrap=True)


def notes(source: dict[str, Any]) -> list[str]:
    """Sentences about one bag."""
    lines = list(source["broken_off"])
    for role, reasons in source["damaged"].items():
        lines += [f"{count} of {role}: {reason}" for reason, count in reasons.items()]
    lines += [f"{count} rows: {reason}" for reason, count in source["unusable"].items()]
    reasons = Counter(gap["reason"] for gap in source["gaps"])
    lines += [f"gap: {reason}" + (f" (and {count - 1} more)" if count > 1 else "")
              for reason, count in reasons.most_common(5)]
    if source["actions_from"] and source["actions_from"] != "recorded actions":
        lines.append(f"actions come from the {source['actions_from']}")
    lines += [f"not recorded, assumed: {what}" for what in source["assumed"]]
    other = source["topics_not_mapped"]
    if other:
        lines.append(f"{len(other)} topics are not mapped and not kept: "
                     + ", ".join(list(other)[:6]) + (", ..." if len(other) > 6 else ""))
    return lines
