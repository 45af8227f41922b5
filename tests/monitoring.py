"""What the dashboard and the alert rules ask of Prometheus."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

DEPLOY = Path(__file__).parents[1] / "scripts" / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "q-less.json").read_text(encoding="utf-8"))
GROUPS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
BY_PROMETHEUS = {"job", "instance", "le"}
"""Labels that Prometheus adds, and the one of every histogram's buckets."""


class Selected(NamedTuple):
    """A metric in an expression, with the labels that are asked of it, and for which values."""

    metric: str
    labels: dict[str, str]


def expressions() -> list[str]:
    shown = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return [expr.replace("$__rate_interval", "1m") for expr in shown] + [rule["expr"] for rule in RULES]


def selected(expression: str) -> list[Selected]:
    """The metrics of an expression.

    Raises:
        ValueError: it is not PromQL.
    """
    found: list[Selected] = []

    def visit(node: promql_parser.Expr, *_: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name
            found.append(Selected(node.name, {m.name: m.value for m in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def grouped_by(expression: str) -> set[str]:
    """The labels that the expression's aggregations keep."""
    kept: set[str] = set()

    def visit(node: promql_parser.Expr, *_: object) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            kept.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return kept
