"""Dashboard and alert rules are well-formed, and ask for metrics that the server has."""

import re

import pytest
from prometheus_client import REGISTRY

import backend.app
from tests.monitoring import DASHBOARD, DEPLOY, RULES, expressions, selected

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"), "info": ("",)}


def exported() -> set[str]:
    """The names of all samples that the server can give."""
    assert backend.app  # it imports whatever counts
    return {
        family.name + suffix for family in REGISTRY.collect() for suffix in SUFFIXES.get(family.type, ("",))
    }


class TestExpressions:
    @pytest.mark.parametrize("expression", expressions())
    def test_are_of_metrics_that_the_server_has(self, expression: str) -> None:
        metrics = {found.metric for found in selected(expression)}
        assert metrics
        assert metrics - {"up"} <= exported()

    def test_leave_none_of_ours_out(self) -> None:
        """What nobody looks at need not be counted."""
        asked = {found.metric for expression in expressions() for found in selected(expression)}
        ours = {family.name for family in REGISTRY.collect() if family.name.startswith("qless_")}
        assert {name for name in ours if not any(metric.startswith(name) for metric in asked)} == set()

    def test_are_refused_when_misspelt(self) -> None:
        with pytest.raises(ValueError, match="parenthesis"):
            selected("sum(rate(qless_sockets_open[5m])")


class TestRules:
    def test_have_a_name_each(self) -> None:
        names = [rule["alert"] for rule in RULES]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"Qless[A-Z][A-Za-z]+", name) for name in names)

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
    def test_say_how_urgent_and_what_to_do(self, rule: dict[str, dict[str, str]]) -> None:
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        summary = rule["annotations"]["summary"]
        assert summary.endswith(".")
        assert len(re.split(r"[.;?:] ", summary)) > 1, "what is wrong, then what to do"

    def test_name_log_lines_that_exist(self) -> None:
        """What an engineer is told to search for stands in the code."""
        said = "\n".join(
            file.read_text(encoding="utf-8") for file in (DEPLOY.parents[1] / "backend").rglob("*.py")
        )
        for rule in RULES:
            for line in re.findall(r'"([a-z ]{8,})"', rule["annotations"]["summary"]):
                assert f'"{line}"' in said, line


class TestDashboard:
    def test_asks_for_its_data_source(self) -> None:
        [variable] = DASHBOARD["templating"]["list"]
        assert (variable["name"], variable["type"]) == ("datasource", "datasource")
        for panel in DASHBOARD["panels"]:
            for target in panel.get("targets", []):
                assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"

    def test_has_panels_that_lie_beside_each_other(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        assert len(set(ids)) == len(ids)
