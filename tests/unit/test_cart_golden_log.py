"""Logs that earlier versions of the schema wrote are read as they were meant, by whatever code comes later."""

from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from backend.carts import rules
from backend.carts.commands import (
    AddItem,
    AnyCommand,
    LeaveSession,
    RemoveItem,
    Request,
    SetBudget,
    SetQuantity,
)
from backend.carts.events import from_document, to_document
from backend.carts.state import BudgetStatus, CartStatus, MemberRole
from backend.pricing import price_line
from tests.factories import NOW, replay

GOLDEN = Path(__file__).parents[1] / "golden"


def documents_of(name: str) -> list[dict[str, Any]]:
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [json_util.loads(line) for line in lines]


@pytest.fixture
def version_1() -> list[dict[str, Any]]:
    """A cart's whole life: a family, changes of quantity and budget, a lock that ended, a payment."""
    return documents_of("cart_log_v1.ndjson")


class TestVersion1:
    def test_is_what_it_says(self, version_1: list[dict[str, Any]]) -> None:
        assert {document["v"] for document in version_1} == {1}
        assert {document["event"]["name"] for document in version_1} == {
            "session_started",
            "member_joined",
            "member_left",
            "item_added",
            "quantity_set",
            "item_removed",
            "budget_set",
            "checkout_locked",
            "checkout_unlocked",
            "cart_paid",
        }

    def test_is_read_entry_by_entry(self, version_1: list[dict[str, Any]]) -> None:
        for document in version_1:
            entry = from_document(document)
            assert (entry.session_id, entry.seq) == (document["_id"]["s"], document["_id"]["n"])
            assert (entry.at, entry.by, entry.command_id) == (
                document["at"], document["by"], document["command_id"],
            )  # fmt: skip
            assert (entry.digest, entry.w) == (document["digest"], document["w"])
            assert entry.totals.total_minor == document["totals"]["total_minor"]

    def test_gives_the_cart_as_it_was(self, version_1: list[dict[str, Any]]) -> None:
        cart = replay(map(from_document, version_1))
        assert (cart.session_id, cart.store_id, cart.market) == ("ses_1", "sto_1", "IN")
        assert (cart.seq, cart.status) == (17, CartStatus.COMPLETED)
        assert cart.host == "usr_b"
        assert [(member.user_id, member.role) for member in cart.members.values()] == [
            ("usr_b", MemberRole.HOST),
            ("usr_c", MemberRole.ADULT),
        ]
        assert cart.lock is not None
        assert (cart.lock.payment_id, cart.lock.quote_id, cart.lock.seq) == ("pay_2", "quo_2", 16)

    def test_gives_the_bill_as_it_was(self, version_1: list[dict[str, Any]]) -> None:
        cart = replay(map(from_document, version_1))
        assert [
            (line.line_id, line.product_id, line.qty, line.unit_price_minor, line.total_minor, line.tax_minor)
            for line in cart.lines.values()
        ] == [("l4", "prd_1", 1, 1000, 1000, 48), ("l5", "prd_2", 2, 999, 1998, 305)]
        totals = cart.totals
        assert (totals.subtotal_minor, totals.discount_minor, totals.tax_minor, totals.total_minor) == (
            2998, 0, 353, 2998,
        )  # fmt: skip
        assert totals.currency == "INR"
        assert cart.limit_minor == 2500
        assert cart.budget is not None
        assert (cart.budget.limit_minor, cart.budget.spent_minor, cart.budget.remaining_minor) == (
            2500, 2998, -498,
        )  # fmt: skip
        assert cart.budget.status == BudgetStatus.DANGER

    def test_survives_being_written_again(self, version_1: list[dict[str, Any]]) -> None:
        """What was read from version 1 and written by this code is read as the same cart."""
        first = [from_document(document) for document in version_1]
        again = [from_document(to_document(entry)) for entry in first]
        assert again == first
        assert [to_document(entry)["_id"] for entry in first] == [document["_id"] for document in version_1]

    @pytest.mark.parametrize(
        ("by", "command_id", "command", "seq"),
        [
            ("usr_b", "c9", AddItem("0000000000002", 1), 5),
            ("usr_host", "c15", SetQuantity("l4", 1), 8),
            ("usr_c", "c17", RemoveItem("l7"), 9),
            ("usr_host", "c21", SetBudget(2500), 11),
            ("usr_host", "c23", LeaveSession(), 12),
        ],
    )
    def test_knows_the_commands_that_made_it(
        self, version_1: list[dict[str, Any]], by: str, command_id: str, command: AnyCommand, seq: int
    ) -> None:
        """A phone that repeats after the upgrade what it sent before gets its first answer."""
        cart = replay(map(from_document, version_1))
        repeat = Request(by, command_id, command)
        assert rules.decide(cart, repeat, rules.Facts(price_line), NOW) == rules.Repeated(seq)


class TestReplay:
    def test_takes_the_bill_from_the_events_and_never_prices(self, version_1: list[dict[str, Any]]) -> None:
        """Amounts that no price book gives come out as they stand in the log."""
        fourth = version_1[3]
        fourth["event"]["line"] |= {"total_minor": 7, "tax_minor": 3, "unit_price_minor": 5}
        fourth["totals"] |= {"subtotal_minor": 11, "tax_minor": 13, "total_minor": 17}
        fourth["budget"] |= {"spent_minor": 19, "remaining_minor": 23, "status": "DANGER"}
        cart = replay(map(from_document, version_1[:4]))
        line = cart.lines["l4"]
        assert (line.total_minor, line.tax_minor, line.unit_price_minor) == (7, 3, 5)
        assert (cart.totals.subtotal_minor, cart.totals.tax_minor, cart.totals.total_minor) == (11, 13, 17)
        assert cart.budget is not None
        assert (cart.budget.spent_minor, cart.budget.remaining_minor) == (19, 23)
        assert cart.budget.status == BudgetStatus.DANGER

    def test_refuses_a_log_with_a_gap(self, version_1: list[dict[str, Any]]) -> None:
        del version_1[8]
        with pytest.raises(ValueError, match="does not follow"):
            replay(map(from_document, version_1))
