"""The checker of the chaos runs must find what it is there to find."""

import ast
import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import checker, diary, screen, timing
from tests.chaos.checker import LINE_GONE, Cart, judge, judge_order
from tests.chaos.diary import Diary, Writer, read_all
from tests.chaos.timing import late_returns, late_screens, sockets_of, worst

Json = dict[str, Any]

PRICES = {"milk": 50, "rice": 300}
ASHA, RAVI = "usr_asha", "usr_ravi"


def totals_of(lines: list[Json]) -> Json:
    total = sum(line["total_minor"] for line in lines)
    return {
        "subtotal_minor": total,
        "discount_minor": 0,
        "tax_minor": 0,
        "total_minor": total,
        "currency": "INR",
    }


class Shopping:
    """A correct cart: what a server and two phones at it would write down. Each step takes a second.

    Asha's phone `a` shops; Ravi's phone `r` looks on and shops a little.
    """

    def __init__(self) -> None:
        self.log: list[Json] = []
        self.lines: dict[str, Json] = {}
        self.records: dict[str, list[Json]] = {ASHA: [], RAVI: []}
        self.now = 0.0
        self.append(ASHA, "start", {"name": "session_started"})
        for user in (ASHA, RAVI):
            self.note(user, "opened", server="http://one", since=None)
            self.note(user, "got", frame=self.snapshot())

    @property
    def cart(self) -> Cart:
        clients = [Diary("a", ASHA, "ses", self.records[ASHA]), Diary("r", RAVI, "ses", self.records[RAVI])]
        return Cart(copy.deepcopy(self.log), copy.deepcopy(clients))

    def findings(self) -> list[str]:
        return judge(self.cart, PRICES, frozenset({LINE_GONE}))

    def note(self, user: str, what: str, **more: Any) -> None:
        self.records[user].append({"at": self.now, "is": what, **copy.deepcopy(more)})

    def snapshot(self) -> Json:
        lines = list(self.lines.values())
        session = {"items": lines, "totals": totals_of(lines), "budget": None}
        return {"type": "snapshot", "seq": len(self.log), "session": session}

    def append(self, by: str, command_id: str, event: Json) -> Json:
        """An event of the log; its frame."""
        lines = list(self.lines.values())
        seq = len(self.log) + 1
        bill = {"totals": totals_of(lines), "budget": None}
        document = {
            "_id": {"s": "ses", "n": seq},
            "by": by,
            "command_id": command_id,
            "event": event,
            **bill,
        }
        self.log.append(copy.deepcopy(document))
        item = {"item": event["line"]} if "line" in event else {}
        return {
            "type": "event",
            "seq": seq,
            "event": event["name"],
            "by": by,
            "id": command_id,
            **item,
            **bill,
        }

    def send(self, by: str, command_id: str, kind: str, line: Json | None = None, **fields: Any) -> None:
        more = {"line": [line["added_by"], line["barcode"]]} if line else {}
        self.now += 1
        self.note(by, "sent", frame={"type": kind, "id": command_id, **fields}, **more)

    def show(self, by: str, frame: Json) -> None:
        """To all screens, and the `ack` to who sent it."""
        self.note(by, "got", frame={"type": "ack", "id": frame["id"], "seq": frame["seq"]})
        for user in self.records:
            self.note(user, "got", frame=frame)

    def add(self, by: str, command_id: str, barcode: str, qty: int = 1) -> Json:
        """A scan from the phone to every screen; the line."""
        self.send(by, command_id, "add", barcode=barcode, qty=qty)
        line = self.line_after(by, barcode, qty)
        self.show(by, self.append(by, command_id, {"name": "item_added", "line": line}))
        return line

    def line_after(self, by: str, barcode: str, qty: int) -> Json:
        """The member's line of this product with so many more; it is in the cart from now on."""
        mine = [ln for ln in self.lines.values() if (ln["added_by"], ln["barcode"]) == (by, barcode)]
        line_id = mine[0]["line_id"] if mine else f"l{len(self.log) + 1}"
        return self.change(line_id, by, barcode, qty + (mine[0]["qty"] if mine else 0))

    def change(self, line_id: str, by: str, barcode: str, qty: int) -> Json:
        price = PRICES[barcode]
        self.lines[line_id] = {
            "line_id": line_id,
            "product_id": f"prd_{barcode}",
            "barcode": barcode,
            "name": barcode,
            "qty": qty,
            "unit_price_minor": price,
            "total_minor": qty * price,
            "added_by": by,
        }
        return self.lines[line_id]

    def set_quantity(self, by: str, command_id: str, line: Json, qty: int) -> None:
        self.send(by, command_id, "set_quantity", line, line_id=line["line_id"], qty=qty)
        after = self.change(line["line_id"], line["added_by"], line["barcode"], qty)
        self.show(by, self.append(by, command_id, {"name": "quantity_set", "line": after}))

    def remove(self, by: str, command_id: str, line: Json) -> None:
        self.send(by, command_id, "remove", line, line_id=line["line_id"])
        del self.lines[line["line_id"]]
        self.show(by, self.append(by, command_id, {"name": "item_removed", "line": line}))

    def got(self, user: str, kind: str) -> list[Json]:
        """What a phone was told, to be changed."""
        return [r["frame"] for r in self.records[user] if r["is"] == "got" and r["frame"]["type"] == kind]


@pytest.fixture
def shopping() -> Shopping:
    """Two adds of one product, one of another, a changed quantity, a line taken out; seq 1 to 6."""
    made = Shopping()
    made.add(ASHA, "a1", "milk", 2)
    made.add(ASHA, "a2", "milk")
    rice = made.add(RAVI, "r1", "rice")
    made.set_quantity(RAVI, "r2", made.lines["l2"], 5)
    made.remove(ASHA, "a3", rice)
    return made


def assert_finds(shopping: Shopping, *words: str) -> None:
    findings = shopping.findings()
    assert any(all(word in finding for word in words) for finding in findings), findings


def test_finds_nothing_wrong_with_a_correct_cart(shopping: Shopping) -> None:
    assert shopping.findings() == []


def test_shares_no_code_with_the_server() -> None:
    """Nor does what it is made of: standard library and each other alone."""
    mine = {"tests.chaos.diary", "tests.chaos.screen"}
    for module in (checker, diary, screen, timing):
        assert module.__file__
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in filter(None, names):
                assert name in mine or name.partition(".")[0] in sys.stdlib_module_names


class TestLog:
    def test_finds_a_lost_acknowledged_add(self, shopping: Shopping) -> None:
        """The last, so that nothing else gives it away."""
        shopping.add(ASHA, "a4", "milk")
        del shopping.log[-1]
        assert_finds(shopping, "a4", "acknowledged at 7", "no seq")

    def test_finds_an_add_that_another_took_the_place_of(self, shopping: Shopping) -> None:
        shopping.log[2]["command_id"] = "a99"
        assert_finds(shopping, "a2", "acknowledged at 3", "no seq")
        assert_finds(shopping, "Entry 3", "nobody sent")

    def test_finds_a_doubled_add(self, shopping: Shopping) -> None:
        shopping.append(ASHA, "a2", {"name": "item_added", "line": shopping.line_after(ASHA, "milk", 1)})
        assert_finds(shopping, "a2", "at 3 and at 7")

    def test_finds_a_gap(self, shopping: Shopping) -> None:
        del shopping.log[3]
        assert_finds(shopping, "missing: [4]")

    def test_finds_a_seq_that_is_there_twice(self, shopping: Shopping) -> None:
        shopping.log.insert(3, copy.deepcopy(shopping.log[3]))
        assert_finds(shopping, "7 entries up to 6")

    def test_finds_a_seq_that_differs_from_what_was_told(self, shopping: Shopping) -> None:
        shopping.got(ASHA, "ack")[0]["seq"] = 5
        assert_finds(shopping, "a1", "acknowledged at 5", "at 2")

    def test_finds_a_refused_command_in_the_log(self, shopping: Shopping) -> None:
        error = {"type": "error", "id": "a2", "code": LINE_GONE, "detail": "", "retryable": False}
        shopping.note(ASHA, "got", frame=error)
        assert_finds(shopping, "a2", "was refused", "in the log at 3")


class TestModel:
    def test_finds_a_quantity_that_nobody_asked_for(self, shopping: Shopping) -> None:
        """Line and totals agree with each other, and are wrong."""
        shopping.send(ASHA, "a4", "add", barcode="milk", qty=1)
        line = shopping.line_after(ASHA, "milk", 2)
        shopping.show(ASHA, shopping.append(ASHA, "a4", {"name": "item_added", "line": line}))
        assert_finds(shopping, "Entry 7", "('usr_asha', 'milk') 7 instead of 6")

    def test_finds_a_wrong_total(self, shopping: Shopping) -> None:
        totals = shopping.log[5]["totals"]
        totals["total_minor"] = totals["subtotal_minor"] = totals["total_minor"] + 1
        assert_finds(shopping, "Entry 6", "total 251", "have 250")

    def test_finds_totals_that_contradict_themselves(self, shopping: Shopping) -> None:
        shopping.log[5]["totals"]["discount_minor"] = 1
        assert_finds(shopping, "totals of entry 6 contradict")

    def test_finds_a_wrong_price(self, shopping: Shopping) -> None:
        shopping.log[4]["event"]["line"]["total_minor"] = 1
        assert_finds(shopping, "Entry 5", "wrong price")


class TestAnswers:
    def test_finds_an_error_that_should_not_be(self, shopping: Shopping) -> None:
        shopping.send(ASHA, "a4", "add", barcode="milk")
        error = {
            "type": "error",
            "id": "a4",
            "code": "product_not_found",
            "detail": "None.",
            "retryable": False,
        }
        shopping.note(ASHA, "got", frame=error)
        assert_finds(shopping, "a4", "product_not_found")

    def test_finds_a_command_without_an_answer(self, shopping: Shopping) -> None:
        shopping.send(ASHA, "a4", "add", barcode="milk")
        error = {"type": "error", "id": "a4", "code": "commit_delayed", "detail": "", "retryable": True}
        shopping.note(ASHA, "got", frame=error)
        assert_finds(shopping, "a4", "never had a final answer")


class TestScreens:
    def test_finds_a_last_screen_that_differs(self, shopping: Shopping) -> None:
        shopping.got(RAVI, "event")[3]["item"]["qty"] = 4
        assert_finds(shopping, "last screen of r at 6")

    def test_finds_a_frame_that_differs(self, shopping: Shopping) -> None:
        """Of a line that is gone in the end."""
        shopping.got(RAVI, "event")[2]["item"]["qty"] = 9
        assert_finds(shopping, "r was shown item_added at 4")

    def test_finds_other_totals(self, shopping: Shopping) -> None:
        shopping.got(RAVI, "event")[2]["totals"]["total_minor"] = 1
        assert_finds(shopping, "r was shown item_added at 4", "other totals")

    def test_finds_what_the_log_does_not_have(self, shopping: Shopping) -> None:
        """Shown, and gone with a primary that nobody followed."""
        shopping.add(ASHA, "a4", "milk")
        del shopping.log[-1]
        assert_finds(shopping, "r was shown item_added at 7, which the log does not have")

    def test_finds_a_snapshot_that_differs(self, shopping: Shopping) -> None:
        frame = copy.deepcopy(shopping.snapshot())
        frame["session"]["items"] = []
        shopping.note(RAVI, "got", frame=frame)
        shopping.note(RAVI, "got", frame=shopping.snapshot())
        assert_finds(shopping, "snapshot of r at 6")

    def test_finds_a_screen_that_stayed_behind(self, shopping: Shopping) -> None:
        del shopping.records[RAVI][-1]
        assert_finds(shopping, "r ended at 5", "at 6")

    def test_finds_a_screen_that_goes_back(self, shopping: Shopping) -> None:
        old = shopping.snapshot()
        shopping.add(ASHA, "a4", "milk")
        shopping.note(RAVI, "got", frame=old)
        shopping.note(RAVI, "got", frame=shopping.snapshot())
        assert_finds(shopping, "r went back from 7 to 6")

    def test_finds_a_gap_that_nobody_asked_about(self, shopping: Shopping) -> None:
        lost = shopping.got(RAVI, "event")[1]
        shopping.records[RAVI] = [r for r in shopping.records[RAVI] if r.get("frame") is not lost]
        assert_finds(shopping, "r missed something after 2")

    def test_takes_a_gap_that_was_asked_about(self, shopping: Shopping) -> None:
        missed = shopping.got(RAVI, "event")[-2:]
        records = shopping.records[RAVI]
        records[:] = [r for r in records if r.get("frame") is not missed[0]]
        shopping.note(RAVI, "sent", frame={"type": "hello", "since": 4})
        for frame in missed:
            shopping.note(RAVI, "got", frame=frame)
        assert shopping.findings() == []


class TestOrder:
    @pytest.fixture
    def order(self, shopping: Shopping) -> Json:
        """The order of the cart, which is locked and paid."""
        lines = copy.deepcopy(list(shopping.lines.values()))
        shopping.append("till", "t1", {"name": "checkout_locked", "payment_id": "pay"})
        shopping.append("till", "t2", {"name": "cart_paid", "payment_id": "pay"})
        return {"lines": lines, "totals": totals_of(lines)}

    def test_takes_one_that_is_the_cart(self, shopping: Shopping, order: Json) -> None:
        assert judge_order(shopping.cart, order) == []

    def test_finds_an_add_that_is_not_paid_for(self, shopping: Shopping, order: Json) -> None:
        order["lines"][0]["qty"] -= 1
        assert "4 instead of 5" in judge_order(shopping.cart, order)[0]

    def test_finds_an_add_after_the_lock(self, shopping: Shopping, order: Json) -> None:
        shopping.append(ASHA, "a4", {"name": "item_added", "line": shopping.line_after(ASHA, "milk", 1)})
        assert "Lines changed at [9]" in judge_order(shopping.cart, order)[0]

    def test_finds_another_amount(self, shopping: Shopping, order: Json) -> None:
        order["totals"]["total_minor"] += 1
        assert "locked at" in judge_order(shopping.cart, order)[0]


class TestTiming:
    def test_measures_how_late_a_screen_was(self, shopping: Shopping) -> None:
        shopping.records[RAVI][-1]["at"] += 2.5
        late = worst(late_screens(shopping.cart.diaries))
        assert (late.seconds, late.client, late.seq) == (2.5, "r", 6)

    def test_counts_a_screen_that_was_cut_off_before_it_had_it(self, shopping: Shopping) -> None:
        del shopping.records[RAVI][-1]
        shopping.now += 4
        shopping.note(RAVI, "closed", code=None, by="client")
        assert worst(late_screens(shopping.cart.diaries)).seconds == 4

    def test_looks_between_two_times_alone(self, shopping: Shopping) -> None:
        shopping.records[RAVI][-1]["at"] += 2.5
        assert worst(late_screens(shopping.cart.diaries, before=shopping.now)).seconds == 0

    def test_measures_how_long_coming_back_took(self, shopping: Shopping) -> None:
        shopping.note(RAVI, "closed", code=1012, by="server")
        frame = shopping.append(
            ASHA, "a4", {"name": "item_added", "line": shopping.line_after(ASHA, "milk", 1)}
        )
        shopping.note(ASHA, "got", frame={"type": "ack", "id": "a4", "seq": 7})
        shopping.now += 1
        shopping.note(RAVI, "opened", server="http://two", since=6)
        shopping.now += 0.75
        shopping.note(RAVI, "got", frame=frame)
        late = worst(late_returns(shopping.cart.diaries))
        assert (late.seconds, late.client, late.seq) == (0.75, "r", 7)
        first, second = sockets_of(shopping.cart.diaries[1])
        assert (first.server, first.code, first.by) == ("http://one", 1012, "server")
        assert (second.server, second.greeted_at) == ("http://two", shopping.now)


def test_a_diary_is_read_as_it_was_written(tmp_path: Path) -> None:
    writer = Writer(tmp_path, "p1", ASHA, "ses")
    writer.note("sent", frame={"type": "add", "id": "1"})
    writer.got(json.dumps({"type": "ack", "id": "1", "seq": 2}))
    writer.close()
    (found,) = read_all(tmp_path)
    assert found[:3] == ("p1", ASHA, "ses")
    assert [(record["is"], record["frame"]["type"]) for record in found.records] == [
        ("sent", "add"),
        ("got", "ack"),
    ]
    assert found.records[0]["at"] <= found.records[1]["at"]
