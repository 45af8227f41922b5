"""R1 as a whole: who pays leaves with one pass, whatever is killed meanwhile, and the money adds up."""

from pathlib import Path

from tests.chaos.rounds import SHOWN, Plan
from tests.chaos.till_run import run_till


async def test_everybody_who_paid_leaves_once(plan: Plan, tmp_path: Path) -> None:
    outcome = await run_till(tmp_path, plan.count(10, 200), plan.seed, plan.lasts_s)
    figures = outcome.figures
    plan.tell("R1, till", **figures)
    assert not outcome.findings, "\n".join(
        [f"{len(outcome.findings)} findings; {figures}; diaries in {tmp_path}", *outcome.findings[:SHOWN]]
    )
    assert outcome.counters.asked_again > sum(outcome.killed.values()), "the kills met no traffic"
