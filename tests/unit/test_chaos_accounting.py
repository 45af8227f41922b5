"""The judge of money and gate finds each thing that may be wrong, in histories that were doctored."""

import ast
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import accounting
from tests.chaos.accounting import COLLECTIONS, Evidence, judge_accounts, stuck

Json = dict[str, Any]

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Books:
    """Two paid orders, one of them refunded in part; a late success that was given back; an order's way out."""

    def __init__(self) -> None:
        self.told: list[Json] = []
        self.books: list[Json] = []
        self.rows: dict[str, list[Json]] = {name: [] for name in COLLECTIONS}
        self.taken: set[str] = set()
        self.buy("1", 700)
        self.buy("2", 900)
        self.give_back("2", 300, "asked")
        self.told.append(
            {"is": "refund", "key": "k", "payment_id": "p2", "refund_id": "r2", "amount_minor": 300}
        )
        self.pay("3", 500)
        self.give_back("3", 500, "late_success")
        self.scan("n1", "open", "ok")
        self.scan("n1", "open", "ok")
        self.scan("n2", "refuse", "already_used")
        self.pass_of("o1")["status"] = "used"

    def pay(self, n: str, amount: int) -> None:
        capture = {"payment_id": f"g{n}", "status": "captured", "amount_minor": amount}
        order = {"order_id": f"go{n}", "reference": f"p{n}", "payments": [capture], "refunds": []}
        self.books.append(order)
        history = [{"status": status, "at": NOW} for status in ("pending", "captured")]
        self.rows["payments"].append(
            {
                "_id": f"p{n}",
                "gateway_payment_id": f"g{n}",
                "order_id": None,
                "status": "captured",
                "history": history,
            }
        )
        self.rows["money_ledger"].append({"_id": f"capture:sandbox:g{n}", "amount_minor": amount})
        self.rows["webhook_events"].append({"_id": f"sandbox:e{n}"})
        self.taken.add(f"e{n}")

    def buy(self, n: str, amount: int) -> None:
        self.pay(n, amount)
        self.payment(n)["order_id"] = f"o{n}"
        self.rows["orders"].append(
            {
                "_id": f"o{n}",
                "payment_id": f"p{n}",
                "checkout_id": f"c{n}",
                "session_id": f"s{n}",
                "totals": {"total_minor": amount},
            }
        )
        self.rows["exit_passes"].append({"_id": f"o{n}", "status": "issued"})
        events = ("item_added", "checkout_locked", "cart_paid")
        self.rows["cart_events"] += [
            {"_id": {"s": f"s{n}", "n": seq}, "event": {"name": name}}
            for seq, name in enumerate(events, start=1)
        ]
        self.told.append({"is": "initiated", "key": f"k{n}", "payment_id": f"p{n}", "session_id": f"s{n}"})
        self.told.append({"is": "payment", "payment_id": f"p{n}", "status": "captured", "order_id": f"o{n}"})
        self.told.append({"is": "pass", "order_id": f"o{n}", "pass_id": f"x{n}"})

    def give_back(self, n: str, amount: int, cause: str) -> None:
        refund = {"reference": f"r{n}", "payment_id": f"g{n}", "amount_minor": amount, "status": "processed"}
        next(order for order in self.books if order["reference"] == f"p{n}")["refunds"].append(refund)
        self.rows["refunds"].append(
            {
                "_id": f"r{n}",
                "payment_id": f"p{n}",
                "amount_minor": amount,
                "cause": cause,
                "status": "processed",
                "history": [{"status": "processed", "at": NOW}],
            }
        )
        self.rows["money_ledger"].append({"_id": f"refund:r{n}", "amount_minor": -amount})

    def scan(self, nonce: str, verdict: str, code: str) -> None:
        where = {"path": "/gate/verify", "gate_id": "gate-1", "nonce": nonce}
        self.told.append({"is": "scan", "order_id": "o1", **where, "verdict": verdict, "code": code})

    def payment(self, n: str) -> Json:
        return next(row for row in self.rows["payments"] if row["_id"] == f"p{n}")

    def pass_of(self, order_id: str) -> Json:
        return next(row for row in self.rows["exit_passes"] if row["_id"] == order_id)

    def drop(self, collection: str, name: str) -> None:
        rows = self.rows[collection]
        rows[:] = [row for row in rows if row["_id"] != name]

    def findings(self) -> list[str]:
        return judge_accounts(Evidence(self.told, self.books, self.rows, self.taken))

    def stuck(self) -> list[str]:
        return stuck(self.rows, self.books, NOW)


@pytest.fixture
def books() -> Books:
    return Books()


def assert_finds(books: Books, *words: str) -> None:
    findings = books.findings()
    assert any(all(word in finding for word in words) for finding in findings), findings


def test_finds_nothing_wrong_with_correct_books(books: Books) -> None:
    assert books.findings() == []
    assert books.stuck() == []


def test_shares_no_code_with_server_or_gateway() -> None:
    assert accounting.__file__
    for node in ast.walk(ast.parse(Path(accounting.__file__).read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in filter(None, names):
            assert name.partition(".")[0] in sys.stdlib_module_names


class TestCaptures:
    def test_finds_money_for_nothing(self, books: Books) -> None:
        for collection in ("orders", "exit_passes"):
            books.drop(collection, "o2")
        assert_finds(books, "g2 of p2 took 900, made no order, and 300 went back")

    def test_finds_a_capture_that_the_server_never_heard_of(self, books: Books) -> None:
        books.pay("4", 100)
        books.rows["payments"].pop()
        books.drop("money_ledger", "capture:sandbox:g4")
        assert_finds(books, "g4 of p4 took 100, made no order, and 0 went back")
        assert_finds(books, "ledger has None of capture:sandbox:g4", "100")

    def test_finds_a_second_capture_that_stayed(self, books: Books) -> None:
        again = {"payment_id": "g1b", "status": "captured", "amount_minor": 700}
        books.books[0]["payments"].append(again)
        books.rows["money_ledger"].append({"_id": "capture:sandbox:g1b", "amount_minor": 700})
        assert_finds(books, "g1b of p1 took 700, made no order, and 0 went back")

    def test_finds_a_refund_that_failed(self, books: Books) -> None:
        books.books[2]["refunds"][0]["status"] = "failed"
        assert_finds(books, "g3 of p3 took 500, made no order, and 0 went back")

    def test_finds_more_that_went_back_than_came_in(self, books: Books) -> None:
        refunds = books.books[1]["refunds"]
        refunds.append({**refunds[0], "reference": "r2b", "amount_minor": 900})
        assert_finds(books, "g2 of p2 took 900, and 1200 went back")

    def test_finds_an_order_of_another_amount(self, books: Books) -> None:
        books.rows["orders"][0]["totals"]["total_minor"] = 701
        assert_finds(books, "o1 is of 701; 700 came in")

    def test_finds_a_lost_pass(self, books: Books) -> None:
        books.drop("exit_passes", "o2")
        assert_finds(books, "o2 has 0 passes")
        assert_finds(books, "o2 was given a pass, and has none")

    def test_finds_two_orders_of_one_capture(self, books: Books) -> None:
        books.rows["orders"].append({**books.rows["orders"][0], "_id": "o1b"})
        assert_finds(books, "g1 of p1 made 2 orders")
        assert_finds(books, "c1 became 2 orders")
        assert_finds(books, "s1 became 2 orders")


class TestOrders:
    def test_finds_one_that_nobody_paid(self, books: Books) -> None:
        books.books[0]["payments"][0]["status"] = "failed"
        assert_finds(books, "o1 is of p1, which was not captured")

    def test_finds_a_pass_of_none(self, books: Books) -> None:
        books.rows["exit_passes"].append({"_id": "o9", "status": "issued"})
        assert_finds(books, "pass of o9, which is no order")


class TestLedger:
    def test_finds_a_wrong_amount(self, books: Books) -> None:
        books.rows["money_ledger"][0]["amount_minor"] += 1
        assert_finds(books, "ledger has 701 of capture:sandbox:g1; the gateway has 700")

    def test_finds_an_entry_that_is_there_twice(self, books: Books) -> None:
        books.rows["money_ledger"].append(books.rows["money_ledger"][0])
        assert_finds(books, "ledger has 1400 of capture:sandbox:g1")

    def test_finds_a_refund_that_was_not_entered(self, books: Books) -> None:
        books.drop("money_ledger", "refund:r2")
        assert_finds(books, "ledger has None of refund:r2; the gateway has -300")

    def test_finds_a_refund_that_never_left(self, books: Books) -> None:
        books.books[1]["refunds"].clear()
        assert_finds(books, "ledger has -300 of refund:r2; the gateway has None")


class TestGate:
    def test_finds_a_pass_that_opened_twice(self, books: Books) -> None:
        books.scan("n3", "open", "ok")
        assert_finds(books, "o1 opened a gate 2 times")

    def test_finds_a_scan_with_two_answers(self, books: Books) -> None:
        books.scan("n2", "refuse", "pass_expired")
        assert_finds(books, "n2", "was answered")

    def test_finds_a_pass_that_is_not_used_up(self, books: Books) -> None:
        books.pass_of("o1")["status"] = "issued"
        assert_finds(books, "o1 opened a gate and its pass is not used up")

    def test_finds_one_that_nobody_used(self, books: Books) -> None:
        books.pass_of("o2")["status"] = "used"
        assert_finds(books, "pass of o2 is used up and nobody was let out")


class TestTold:
    def test_finds_a_lost_payment(self, books: Books) -> None:
        books.drop("payments", "p2")
        assert_finds(books, "p2 was shown as captured and is not there")

    def test_finds_a_state_that_never_was(self, books: Books) -> None:
        books.payment("2")["history"].pop()
        assert_finds(books, "p2 was shown as captured, which it never was")

    def test_finds_another_order_than_was_told(self, books: Books) -> None:
        books.payment("2")["order_id"] = "o1"
        assert_finds(books, "p2 was told to be o2, and is not")

    def test_finds_a_key_with_two_effects(self, books: Books) -> None:
        books.told.append({"is": "initiated", "key": "k1", "payment_id": "p2", "session_id": "s1"})
        assert_finds(books, "The key k1 made")

    def test_finds_a_refund_that_was_lost(self, books: Books) -> None:
        books.drop("refunds", "r2")
        assert_finds(books, "r2 was answered and is not there")

    def test_finds_one_that_was_made_twice(self, books: Books) -> None:
        books.rows["refunds"].append({**books.rows["refunds"][0], "_id": "r2b"})
        assert_finds(books, "r2b is a refund that nobody was told of")

    def test_finds_one_of_another_amount(self, books: Books) -> None:
        books.rows["refunds"][0]["amount_minor"] = 1
        assert_finds(books, "r2 is not what was answered")

    def test_finds_a_webhook_that_was_answered_too_soon(self, books: Books) -> None:
        books.drop("webhook_events", "sandbox:e2")
        assert_finds(books, "e2 was answered with 2xx and is not in the inbox")


class TestStuck:
    @pytest.mark.parametrize("status", ["created", "pending", "authorized", "refunding"])
    def test_finds_a_payment(self, books: Books, status: str) -> None:
        books.payment("1")["status"] = status
        assert books.stuck() == [f"p1 is {status} since 12:00:00."]

    @pytest.mark.parametrize("status", ["requested", "pending"])
    def test_finds_a_refund(self, books: Books, status: str) -> None:
        books.rows["refunds"][0]["status"] = status
        assert books.stuck() == [f"r2 is {status} since 12:00:00."]

    def test_finds_a_capture_that_is_not_known_yet(self, books: Books) -> None:
        books.drop("money_ledger", "capture:sandbox:g3")
        assert books.stuck() == ["g3 of p3 is not in the ledger."]

    def test_finds_a_locked_cart(self, books: Books) -> None:
        del books.rows["cart_events"][-1]
        assert books.stuck() == ["The cart s2 is locked."]

    def test_takes_a_cart_that_was_given_back(self, books: Books) -> None:
        books.rows["cart_events"][-1]["event"]["name"] = "checkout_unlocked"
        assert books.stuck() == []

    def test_finds_work_that_is_due_or_failed(self, books: Books) -> None:
        later = NOW.replace(hour=13)
        row = {"kind": "unlock_cart", "payload": {}, "pending": True, "due_at": NOW, "attempts": 0}
        waiting, done = {**row, "due_at": later}, {**row, "pending": None, "attempts": 1}
        books.rows["outbox"] += [row, {**row, "due_at": later, "attempts": 2}, waiting, done]
        assert books.stuck() == [
            "The outbox has unlock_cart of {}, tried 0 times.",
            "The outbox has unlock_cart of {}, tried 2 times.",
        ]
