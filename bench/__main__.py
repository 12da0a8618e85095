"""`make bench`: runs the scenarios, prints their tables, and writes bench/results.json."""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import deletion, drain, event_log, ingest, slow

RESULTS = Path(__file__).parent / "results.json"
SCENARIOS = ["drain", "slow", "ingest", "event_log", "deletion"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--scenario", choices=SCENARIOS, help="the scenario to run (default: all of them)"
    )
    parser.add_argument(
        "--pools",
        default="gevent",
        help="worker pools to compare in `slow`, comma-separated: gevent, threads, prefork "
        "(default: gevent)",
    )
    arguments = parser.parse_args()
    wanted = [arguments.scenario] if arguments.scenario else SCENARIOS
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    if "drain" in wanted:
        results["drain"] = drain.run()
        show("drain: 10,000 deliveries, 20 webhooks", results["drain"])
    if "slow" in wanted:
        results["slow"] = slow.run(tuple(arguments.pools.split(",")))
        for pool, figures in results["slow"].items():
            show(f"slow: 200 receivers that answer after 250 ms, {pool} workers", figures)
    if "ingest" in wanted:
        results["ingest"] = ingest.run()
        show("ingest: status changes through the API", results["ingest"])
    if "event_log" in wanted:
        results["event_log"] = event_log.run()
        for who, figures in results["event_log"].items():
            show(f"event_log: 5,000,000 attempts, viewed by an {who}", figures)
    if "deletion" in wanted:
        results["deletion"] = deletion.run()
        show("deletion: deleting a webhook with 2,000,000 deliveries", results["deletion"])
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    Console().print(f"Results written to {RESULTS.relative_to(Path.cwd())}")


def show(title: str, figures: dict[str, Any]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in figures.items():
        if isinstance(value, dict):
            for key, inner in value.items():
                table.add_row(f"{name.replace('_', ' ')}: {key}", f"{inner}")
        else:
            table.add_row(name.replace("_", " "), f"{value}")
    Console().print(table)


if __name__ == "__main__":
    main()
