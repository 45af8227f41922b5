"""Judges a cart after a run, from what its clients wrote down and from the raw documents of its log.

It shares no code with the server: it has a model of its own (so many of a product for a member) and asks

- of the log: no gap in `seq`, no command twice, lines that follow from the commands that were sent, totals that are
  the sum of the lines;
- of the answers: every acknowledged command is in the log at the seq that was told, none that was refused is;
- of the screens: every frame shows what the log holds at its seq, none goes back, every gap is asked for, the last
  screen is the log's.

Each finding is a sentence; none means that nothing was wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.chaos.diary import Diary, Record
from tests.chaos.screen import Frame, Screen, Step, change, core

Document = dict[str, Any]
Thing = tuple[str, str]
"""A member's user id and a barcode."""
Quantities = dict[Thing, int]

LINE_GONE = "line_not_found"
"""The one refusal that shopping together brings: somebody else took the line out first."""


class Sent(NamedTuple):
    """A command as its client sent it, the first time."""

    by: str
    frame: Frame
    line: Thing | None


def _add(quantities: Quantities, sent: Sent) -> None:
    thing = (sent.by, sent.frame["barcode"])
    quantities[thing] = quantities.get(thing, 0) + sent.frame.get("qty", 1)


def _set_quantity(quantities: Quantities, sent: Sent) -> None:
    assert sent.line
    quantities[sent.line] = sent.frame["qty"]


def _remove(quantities: Quantities, sent: Sent) -> None:
    assert sent.line
    quantities.pop(sent.line, None)


EFFECTS: dict[str, Callable[[Quantities, Sent], None]] = {
    "add": _add,
    "set_quantity": _set_quantity,
    "remove": _remove,
}
"""What an accepted command does to the quantities, by the `type` of its frame."""


class Cart(NamedTuple):
    """One cart's evidence: its log in the order of seq, and the diaries of its clients."""

    log: Sequence[Document]
    diaries: Sequence[Diary]

    @property
    def head(self) -> int:
        """The last seq of the log."""
        return seq_of(self.log[-1]) if self.log else 0


def judge(cart: Cart, prices: dict[str, int], refusals: frozenset[str] = frozenset({LINE_GONE})) -> list[str]:
    """Everything that is wrong with a cart whose clients had all their answers before they ended.

    Args:
        prices: of one piece, by barcode.
        refusals: the codes of errors that may be final.
    """
    findings = [
        *judge_log(cart.log),
        *judge_model(cart, prices),
        *judge_answers(cart, refusals),
    ]
    for diary in cart.diaries:
        findings += judge_screen(cart, diary)
    return findings


def seq_of(document: Document) -> int:
    seq: int = document["_id"]["n"]
    return seq


def commands(diaries: Sequence[Diary]) -> dict[Thing, Sent]:
    """Every command that was sent, by its member and its id."""
    found: dict[Thing, Sent] = {}
    for diary in diaries:
        for record in diary.records:
            if record["is"] == "sent" and "id" in record["frame"]:
                line = record.get("line")
                sent = Sent(diary.user_id, record["frame"], (line[0], line[1]) if line else None)
                found.setdefault((diary.user_id, record["frame"]["id"]), sent)
    return found


def judge_log(log: Sequence[Document]) -> list[str]:
    """The log by itself: 1, 2, 3, ...; each command id of a member once."""
    findings = []
    seqs = [seq_of(document) for document in log]
    if seqs != list(range(1, len(seqs) + 1)):
        missing = sorted(set(range(1, max(seqs, default=0) + 1)) - set(seqs))
        findings.append(f"The log has {len(seqs)} entries up to {max(seqs, default=0)}; missing: {missing}.")
    first: dict[Thing, int] = {}
    for document in log:
        command = (document["by"], document["command_id"])
        if command in first:
            findings.append(f"{command} is in the log at {first[command]} and at {seq_of(document)}.")
        first[command] = seq_of(document)
    return findings


def lines_after(log: Sequence[Document]) -> Iterator[tuple[Document, dict[str, Frame]]]:
    """Each entry with the lines after it; the same dictionary each time, changed."""
    lines: dict[str, Frame] = {}
    for document in log:
        event = document["event"]
        if "line" in event:
            change(lines, event["name"], event["line"])
        yield document, lines


def quantities_of(lines: dict[str, Frame]) -> Quantities:
    found: Quantities = {}
    for line in lines.values():
        thing = (line["added_by"], line["barcode"])
        found[thing] = found.get(thing, 0) + line["qty"]
    return found


def judge_model(cart: Cart, prices: dict[str, int]) -> list[str]:
    """The logged commands, carried out on the model, give the logged lines and totals."""
    findings = []
    sent = commands(cart.diaries)
    model: Quantities = {}
    for document, lines in lines_after(cart.log):
        if "line" in document["event"]:
            command = sent.get((document["by"], document["command_id"]))
            if command is None:
                findings.append(f"Entry {seq_of(document)} is of a command that nobody sent.")
                continue
            EFFECTS[command.frame["type"]](model, command)
            logged = quantities_of(lines)
            if logged != model:
                findings.append(
                    f"Entry {seq_of(document)} differs from the model: {_difference(logged, model)}."
                )
                model = logged
        findings += _judge_totals(document, lines, prices)
    return findings


def _difference(logged: Quantities, model: Quantities) -> str:
    things = sorted(logged.keys() | model.keys())
    return ", ".join(
        f"{thing} {logged.get(thing, 0)} instead of {model.get(thing, 0)}"
        for thing in things
        if logged.get(thing, 0) != model.get(thing, 0)
    )


def _judge_totals(document: Document, lines: dict[str, Frame], prices: dict[str, int]) -> list[str]:
    findings = []
    totals = document["totals"]
    total = sum(line["total_minor"] for line in lines.values())
    if totals["total_minor"] != total:
        findings.append(
            f"Entry {seq_of(document)} has the total {totals['total_minor']}; its lines have {total}."
        )
    if totals["subtotal_minor"] - totals["discount_minor"] != totals["total_minor"]:
        findings.append(f"The totals of entry {seq_of(document)} contradict themselves: {totals}.")
    line = document["event"].get("line")
    if line and line["total_minor"] != line["qty"] * prices[line["barcode"]]:
        findings.append(f"Entry {seq_of(document)} has a line at a wrong price: {line}.")
    return findings


def judge_answers(cart: Cart, refusals: frozenset[str]) -> list[str]:
    """Every `ack` is true for ever, and no refused command is in the log."""
    findings = []
    logged = {(document["by"], document["command_id"]): seq_of(document) for document in cart.log}
    for diary in cart.diaries:
        answered = set()
        for answer in frames_of(diary, "ack", "error"):
            command = (diary.user_id, answer.get("id", ""))
            if answer["type"] == "ack" or not answer["retryable"]:
                answered.add(command[1])
            if answer["type"] == "ack" and logged.get(command) != answer["seq"]:
                at = logged.get(command, "no seq")
                findings.append(f"{command} was acknowledged at {answer['seq']} and is in the log at {at}.")
            if answer["type"] == "error" and not answer["retryable"]:
                if answer["code"] not in refusals:
                    findings.append(f"{command} was refused: {answer['code']}, {answer['detail']}")
                if command in logged:
                    findings.append(f"{command} was refused and is in the log at {logged[command]}.")
        silent = {command for _, command in commands([diary])} - answered
        findings += [f"{command} of {diary.client} never had a final answer." for command in sorted(silent)]
    return findings


def frames_of(diary: Diary, *types: str) -> Iterator[Frame]:
    for record in diary.records:
        if record["is"] == "got" and record["frame"]["type"] in types:
            yield record["frame"]


def judge_screen(cart: Cart, diary: Diary) -> list[str]:
    """What one client was shown, frame by frame, and where it ended."""
    findings = []
    screen = Screen()
    by_seq = {seq_of(document): document for document in cart.log}
    snapshots = []
    asked = True
    for record in diary.records:
        asked = asked or _asks(record, screen)
        if record["is"] != "got":
            continue
        frame = record["frame"]
        before = screen.seq
        step = screen.take(frame)
        if step is Step.BACK:
            findings.append(f"{diary.client} went back from {before} to {screen.seq}.")
        elif step is Step.GAP:
            asked = False
        if frame["type"] == "snapshot":
            snapshots.append(frame)
        elif frame["type"] == "event":
            findings += _judge_event(diary, frame, by_seq.get(frame["seq"]))
    if not asked:
        findings.append(f"{diary.client} missed something after {screen.seq} and did not ask for it.")
    return [*findings, *_judge_shown(cart, diary, snapshots, screen)]


def _asks(record: Record, screen: Screen) -> bool:
    """Whether this is how a client makes up for a gap: `hello` with what it has, here or on a new socket."""
    if record["is"] == "sent":
        frame = record["frame"]
        return bool(frame["type"] == "hello" and frame.get("since") == screen.seq)
    return bool(record["is"] == "opened" and record["since"] in (screen.seq, None))


def _judge_event(diary: Diary, frame: Frame, document: Document | None) -> list[str]:
    where = f"{diary.client} was shown {frame['event']} at {frame['seq']}"
    if document is None:
        return [f"{where}, which the log does not have."]
    shown = (frame["event"], frame["by"], frame["id"])
    logged = (document["event"]["name"], document["by"], document["command_id"])
    if shown != logged:
        return [f"{where} of {shown}; the log has {logged}."]
    line, item = document["event"].get("line"), frame.get("item")
    if (line and core(line)) != (item and core(item)):
        return [f"{where} with {item}; the log has {line}."]
    if (frame["totals"], frame["budget"]) != (document["totals"], document["budget"]):
        return [f"{where} with other totals or budget than the log's."]
    return []


def _judge_shown(cart: Cart, diary: Diary, snapshots: list[Frame], last: Screen) -> list[str]:
    """Compare snapshots, and the last screen, with the log at their seq."""
    shown: dict[int, list[tuple[str, list[Frame], Frame]]] = {}
    for frame in snapshots:
        session = frame["session"]
        shown.setdefault(frame["seq"], []).append(("snapshot", session["items"], session["totals"]))
    if last.seq:
        shown.setdefault(last.seq, []).append(("last screen", list(last.lines.values()), last.totals))
    findings = []
    for document, lines in lines_after(cart.log):
        claims = shown.pop(seq_of(document), [])
        truth = [core(line) for line in lines.values()] if claims else []
        for what, items, totals in claims:
            if [core(item) for item in items] != truth or totals != document["totals"]:
                findings.append(f"The {what} of {diary.client} at {seq_of(document)} is not the log's.")
    findings += [f"{diary.client} was shown {seq}, which the log does not have." for seq in shown]
    if 0 < last.seq < cart.head:
        findings.append(f"{diary.client} ended at {last.seq}; the log is at {cart.head}.")
    return findings


def judge_order(cart: Cart, order: Frame) -> list[str]:
    """A paid cart's order has exactly what the cart held when it was locked, and the cart never changed after."""
    locks = [document for document in cart.log if document["event"]["name"] == "checkout_locked"]
    paid = [document for document in cart.log if document["event"]["name"] == "cart_paid"]
    if len(paid) != 1 or not locks:
        return [f"The cart was locked {len(locks)} times and paid {len(paid)} times."]
    findings = []
    lock = seq_of(locks[-1])
    later = [seq_of(each) for each in cart.log if seq_of(each) > lock and "line" in each["event"]]
    if later:
        findings.append(f"Lines changed at {later}, after the cart was locked at {lock}.")
    if paid[0]["event"]["payment_id"] != locks[-1]["event"]["payment_id"]:
        findings.append("The cart was paid by another payment than the one that locked it.")
    bought: Quantities = {}
    for line in order["lines"]:
        thing = (line["added_by"], line["barcode"])
        bought[thing] = bought.get(thing, 0) + line["qty"]
    held: Quantities = {}
    for document, lines in lines_after(cart.log):
        if seq_of(document) == lock:
            held = quantities_of(lines)
    if bought != held:
        findings.append(f"The order differs from the cart: {_difference(bought, held)}.")
    if order["totals"] != locks[-1]["totals"]:
        findings.append(f"The order has {order['totals']}; the cart was locked at {locks[-1]['totals']}.")
    return findings
