"""What scripts/bench makes of its measurements: figures, rows, verdicts, the table, the charts. Nothing is measured."""

import mmap
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from backend.payments import SandboxGateway
from backend.payments.gateway import EventKind
from backend.settings import Settings
from scripts.benchmarks import compare, cost, growth, plot, processes, requests
from scripts.benchmarks.__main__ import PARTS, parse
from scripts.benchmarks.ask import captured
from scripts.benchmarks.figures import Asked, Figures, Times, cpu_seconds, quantile, resident_bytes, summarise
from scripts.benchmarks.growth import Found, Memory
from scripts.benchmarks.plans import Shape
from scripts.benchmarks.plot import Bar, Bars, Curve, Lines
from scripts.benchmarks.report import Goal, Of, Row, Section, spread, table, verdict
from tests.world import SANDBOX_SECRET

SVG = "{http://www.w3.org/2000/svg}"


def make_figures(
    rate: float = 1000.0, p50: float = 2.0, p99: float = 8.0, cpu_us: float = 100.0, refused: int = 0
) -> Figures:
    return Figures(
        scans=1000,
        scans_a_second=rate,
        own_p50=p50,
        own_p99=p99,
        all_p50=p50,
        all_p99=p99,
        server_cpu_us=cpu_us,
        client_busy=0.5,
        here_p50=p50,
        there_p50=p50 + 1,
        refused=refused,
    )


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - ours


class TestFigures:
    def test_times_become_milliseconds_and_rates(self) -> None:
        times = Times([0.001, 0.002, 0.003], [0.004, 0.005, 0.009], here=[0.002], there=[0.004], refused=1)
        found = summarise(times, took_s=1.5, server_cpu_s=0.003, client_cpu_s=0.75)
        assert (found.scans, found.scans_a_second, found.client_busy, found.refused) == (3, 2.0, 0.5, 1)
        assert (found.own_p50, found.all_p50, found.all_p99) == pytest.approx((2.0, 5.0, 9.0))
        assert found.server_cpu_us == pytest.approx(1000.0)
        assert (found.here_p50, found.there_p50) == pytest.approx((2.0, 4.0))

    def test_without_other_screens_there_is_no_time_to_them(self) -> None:
        found = summarise(Times(own=[0.001], everybody=[0.001]), 1.0, 0.1, 0.1)
        assert found.refused == 0
        assert found.here_p50 is None
        assert found.there_p50 is None

    @pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 101)])
    def test_quantiles_of_ordered_values(self, share: float, value: float) -> None:
        assert quantile(range(1, 102), share) == value

    def test_reads_a_process_from_the_kernel(self) -> None:
        before = resident_bytes(os.getpid())
        with mmap.mmap(-1, 30_000_000) as held:  # of its own, not from memory that Python gave up and keeps
            held.write(bytes(30_000_000))
            assert 25_000_000 < resident_bytes(os.getpid()) - before < 40_000_000
        assert cpu_seconds(os.getpid()) > 0


class TestGoals:
    def test_the_median_ratio_is_judged_and_taken_round_by_round(self) -> None:
        row = Row("x", [8, 30, 10], "floor", [10, 20, 20], Goal(0.8, at_least=True))
        assert row.comparison == (0.8, 0.5, 1.5)
        assert row.is_met is True
        assert row._replace(goal=Goal(0.81, at_least=True)).is_met is False
        assert row._replace(goal=Goal(0.8)).is_met is True
        assert row._replace(goal=Goal(0.79)).is_met is False

    def test_a_difference_is_judged_as_one(self) -> None:
        row = Row("x", [5.0, 6.0], "same", [3.0, 3.0], Goal(2.4, of=Of.DIFFERENCE))
        assert row.comparison == (2.5, 2.0, 3.0)
        assert row.is_met is False
        assert row._replace(goal=Goal(2.5, of=Of.DIFFERENCE)).is_met is True

    def test_a_value_of_its_own_is_judged_without_another(self) -> None:
        row = Row("x", [6.1], goal=Goal(6, of=Of.OURS))
        assert row.comparison is None
        assert row.is_met is False
        assert row._replace(ours=[6.0]).is_met is True

    def test_without_a_goal_nothing_is_judged(self) -> None:
        assert Row("x", [1.0], "floor", [2.0]).is_met is None


class TestTable:
    rows = (
        Row("scans a second", [4000, 5000], "floor", [10000, 10000], Goal(0.7, at_least=True)),
        Row("scans a second", [4000, 5000], "plain", [500, 500], Goal(7, at_least=True)),
        Row("screen, ms", [5.0, 5.0], "same", [4.0, 4.5], Goal(3, of=Of.DIFFERENCE)),
        Row("cart, KB", [14.06], goal=Goal(6, of=Of.OURS)),
    )

    def test_a_row_says_what_ours_compared_ratio_goal_and_met(self) -> None:
        head, _, title, floor, plain, screen, cart = table([Section("Free", self.rows)]).splitlines()
        assert head.split("  ")[-1] == "met"
        assert title == "Free"
        cells = [" ".join(line.split()) for line in (floor, plain, screen, cart)]
        assert cells == [
            "scans a second 4,500 floor 10,000 0.45 [0.40..0.50] ≥ 0.7 no",
            "plain 500 9.00 [8.00..10.00] ≥ 7 yes",
            "screen, ms 5 same 4.25 +0.75 [+0.50..+1.00] ≤ +3 yes",
            "cart, KB 14.1 ≤ 6 no",
        ]

    def test_columns_stand_under_their_heads(self) -> None:
        lines = table([Section("Free", self.rows)]).splitlines()
        ends = {line.index("≥") + 5 for line in lines if "≥ 0.7" in line}
        assert ends == {lines[0].index("goal") + 4}

    def test_the_verdict_counts_goals_and_names_the_missed(self) -> None:
        said = verdict([Section("Free", self.rows)])
        assert said.splitlines() == [
            "2 of 4 goals met, missed:",
            "  Free: scans a second, floor: 0.45, goal ≥ 0.7",
            "  Free: cart, KB: 14.1, goal ≤ 6",
        ]
        assert verdict([Section("Free", self.rows[1:3])]) == "2 of 2 goals met."
        assert verdict([Section("Free", [Row("x", [1.0])])]) == "Nothing that was measured has a goal."


class TestParts:
    def test_compare_sets_every_figure_beside_every_other_server(self) -> None:
        rounds = [
            {"ours": make_figures(700), "floor": make_figures(1000), "plain": make_figures(101, p99=4)},
            {"ours": make_figures(720), "floor": make_figures(1000), "plain": make_figures(101, p99=4)},
        ]
        free = compare.section("Free", rounds, compare.FREE_GOALS)
        judged = {(row.what, row.compared_with): row.is_met for row in free.rows if row.goal}
        assert judged == {("scans a second", "floor"): True, ("scans a second", "plain"): True}
        assert len(free.rows) == 2 * len(compare.LABELS)
        bars = compare.throughput("Free", rounds).bars
        assert bars == [("ours", (710, 700, 720)), ("floor", (1000, 1000, 1000)), ("plain", (101, 101, 101))]

    def test_processes_judge_the_way_to_the_other_screen(self) -> None:
        one, both = [make_figures(1000, cpu_us=100)], [make_figures(1500, cpu_us=120, p50=2.0)]
        screens, load = processes.sections(Shape(), one, both, both, both)
        [row] = screens.rows
        assert (row.comparison, row.is_met) == ((1.0, 1.0, 1.0), True)
        assert [row.comparison and row.comparison.median for row in load.rows] == [1.5, 1.2, 1.5, 1.2]

    def test_growth_judges_each_step_by_the_first_and_memory_by_its_goal(self) -> None:
        ours = {
            100: [make_figures()],
            1000: [make_figures(p50=2.4, p99=12.0)],
            10000: [make_figures(p50=3.0, p99=20.0, refused=250)],
        }
        floor = {step: [make_figures()] for step in ours}
        found = Found({"ours": ours, "floor": floor}, Memory(6.5, 26.0, 19.0, 20.5), 0.2)
        judged = [(row.what.split(",")[0], row.is_met) for row in growth.section(found).rows if row.goal]
        assert [met for _, met in judged] == [True, False, True, False, False]
        [refused] = [row for row in growth.section(found).rows if row.what.startswith("scans refused")]
        assert refused.ours == [20.0]
        chart = growth.plot(found)
        assert [curve.label for curve in chart.curves] == ["ours p50", "ours p99", "floor p50", "floor p99"]
        assert [curve.dashed for curve in chart.curves] == [True, False, True, False]
        assert chart.curves[1].points[-1] == (10000, (20.0, 20.0, 20.0))

    def test_cost_compares_each_point_with_the_least_of_its_kind(self) -> None:
        found = {point: [make_figures(cpu_us=100.0 + shape.lines)] for point, shape in cost.points()}
        rows = {row.what: row for row in cost.section(found).rows}
        assert rows["lines: 400"].comparison == spread([500 / 101])
        assert rows["members: 4"].ours == [140.0]
        assert rows["processes: 1"].ours == rows["lines: 40"].ours
        drawn = [[place for place, _ in chart.curves[0].points] for chart in cost.plots(found)]
        assert drawn == [[1, 10, 40, 100, 400], [1, 2, 4, 8, 16]]


class TestPlot:
    def test_charts_are_written_as_one_svg(self, tmp_path: Path) -> None:
        bars = Bars(
            "Throughput <50 carts>", "scans a second", [Bar("ours", spread([4000.0, 4400.0, 5000.0]))]
        )
        points = [(100, spread([1.0])), (10_000, spread([2.0, 3.0]))]
        lines = Lines(
            "Latency", "open carts", "ms", [Curve("ours", points), Curve("floor", points, dashed=True)]
        )
        path = tmp_path / "made" / "bench.svg"
        plot.write([bars, lines], path)
        said = texts(path.read_text(encoding="utf-8"))
        assert {"Throughput <50 carts>", "scans a second", "ours", "4,400"} <= set(said)
        assert {"Latency", "open carts", "ms", "100", "10,000", "floor"} <= set(said)

    def test_higher_values_stand_higher_and_inside(self) -> None:
        bars = Bars("x", "y", [Bar("a", spread([10.0])), Bar("b", spread([40.0, 97.0, 97.0]))])
        root = ElementTree.fromstring(plot.draw([bars]))  # noqa: S314 - ours
        ground, low, high = root.iter(f"{SVG}rect")
        assert float(low.attrib["height"]) * 9.7 == pytest.approx(float(high.attrib["height"]), rel=0.01)
        assert plot.TOP <= float(high.attrib["y"]) < float(low.attrib["y"]) < float(ground.attrib["height"])

    @pytest.mark.parametrize("value", [0.004, 0.99, 1.0, 7.3, 10_800.0])
    def test_the_axis_reaches_past_every_value_and_not_far(self, value: float) -> None:
        svg = plot.draw([Lines("x", "x", "y", [Curve("a", [(1, spread([value]))])])])
        circle = next(ElementTree.fromstring(svg).iter(f"{SVG}circle"))  # noqa: S314 - ours
        room = plot.HEIGHT - plot.BOTTOM - plot.TOP
        assert plot.TOP - 0.1 <= float(circle.attrib["cy"]) <= plot.TOP + 0.4 * room

    def test_powers_of_ten_stand_equally_far_apart(self) -> None:
        points = [(place, spread([value])) for place, value in enumerate((1.0, 10.0, 1000.0), start=1)]
        svg = plot.draw([Lines("x", "x", "y", [Curve("a", points)], powers=True)])
        low, middle, high = (float(c.attrib["cy"]) for c in ElementTree.fromstring(svg).iter(f"{SVG}circle"))  # noqa: S314
        assert middle - high == pytest.approx(2 * (low - middle), abs=0.2)
        assert low - high == pytest.approx(plot.HEIGHT - plot.BOTTOM - plot.TOP, abs=0.2)
        assert {"1", "10", "100", "1,000"} <= set(texts(svg))


class TestOptions:
    def test_all_parts_unless_some_are_named(self) -> None:
        assert parse([]).parts == list(PARTS)
        assert parse(["cost", "growth"]).parts == ["cost", "growth"]

    def test_an_unknown_part_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            parse(["nothing"])
        assert "no such part: nothing" in capsys.readouterr().err

    def test_the_report_needs_none_of_the_load_clients_packages(self) -> None:
        """They are installed by scripts/bench alone."""
        hidden = "import sys; sys.modules |= dict.fromkeys(['picows', 'fastapi', 'motor', 'uvloop'])\n"
        command = [sys.executable, "-c", hidden + "import scripts.benchmarks.__main__"]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


class TestRequests:
    def test_are_compared_round_by_round(self) -> None:
        rounds = [
            {"ours": {"quote": Asked(rate, 4, 8, 200)}, "plain_till": {"quote": Asked(100, 2, 4, 100)}}
            for rate in (50, 80, 60)
        ]
        found = requests.section("quote", rounds)
        first, *_, last = found.rows
        assert (first.what, first.compared_with, first.comparison) == (
            "requests a second",
            "plain",
            (0.6, 0.5, 0.8),
        )
        assert last.comparison == (2, 2, 2)

    def test_deliver_the_webhook_that_the_gateway_would(self) -> None:
        """Each of its own id, for the payment's own amount, signed as the shop's server expects it."""
        payment = {
            "payment_id": "pay_1",
            "pay_url": "http://x/pay/ord_1",
            "amount_minor": 700,
            "currency": "INR",
        }
        settings = msgspec.convert(
            {
                **dict.fromkeys(("mongodb_url", "redis_url", "qless_secret", "qless_public_url"), "x"),
                "qless_sandbox_webhook_secrets": SANDBOX_SECRET,
            },
            Settings,
        )
        now = datetime.now(UTC)
        events = []
        for _ in range(2):
            body, headers = captured(payment, SANDBOX_SECRET)
            events.append(SandboxGateway(settings).read_webhook(headers, body, now))
        assert events[0].event_id != events[1].event_id
        event = events[0]
        assert (event.kind, event.reference, event.order_ref) == (EventKind.CAPTURED, "pay_1", "ord_1")
        assert (event.amount_minor, event.currency) == (700, "INR")
        assert event.gateway_payment_id
