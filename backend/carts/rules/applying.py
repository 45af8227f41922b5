"""How each event changes a cart."""

from collections.abc import Mapping

from msgspec.structs import replace

from backend.carts.events import (
    AnyEvent,
    BudgetSet,
    CartPaid,
    CheckoutLocked,
    CheckoutUnlocked,
    Entry,
    HostHandedOver,
    ItemAdded,
    ItemApproved,
    ItemDeclined,
    ItemRemoved,
    JoinLinkRenewed,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    QuantitySet,
    RoleSet,
    SessionAbandoned,
    SessionRestored,
    SessionStarted,
)
from backend.carts.state import (
    Act,
    Answer,
    Budget,
    CartState,
    CartStatus,
    CheckoutLock,
    Line,
    MemberRole,
    answer_key,
)


def apply(state: CartState | None, entry: Entry) -> CartState:
    """Advance a state by the next event of its log.

    Raises:
        ValueError: the entry is not the next one.
    """
    if state is None:
        state = _begin(entry)
    elif entry.seq != state.seq + 1:
        raise ValueError(f"entry {entry.seq} does not follow {state.seq}")
    else:
        _advance(state, entry)
    state.seq = entry.seq
    state.changed_at = entry.at
    state.totals = entry.totals
    state.budget = entry.budget
    if entry.allowances:
        _keep(state.allowances, entry.allowances)
    if entry.category_budgets:
        _keep(state.category_budgets, entry.category_budgets)
    state.answers[answer_key(entry.by, entry.command_id)] = Answer(entry.digest, entry.seq)
    return state


def _begin(entry: Entry) -> CartState:
    event = entry.event
    if entry.seq != 1 or not isinstance(event, SessionStarted):
        raise ValueError("a log begins with SessionStarted as its first entry")
    return CartState(
        session_id=entry.session_id,
        store_id=event.store_id,
        market=event.market,
        budget_rule=event.budget_rule,
        started_at=entry.at,
        changed_at=entry.at,
        seq=0,
        status=CartStatus.ACTIVE,
        host=event.host.user_id,
        members={event.host.user_id: event.host},
        lines={},
        totals=entry.totals,
        limit_minor=event.limit_minor,
    )


def _advance(state: CartState, entry: Entry) -> None:
    match entry.event:
        case ItemAdded(line=line, undoes=undoes) | QuantitySet(line=line, undoes=undoes):
            _put_line(state, entry, line.line_id, line, undoes)
        case ItemRemoved(line=line, undoes=undoes):
            _put_line(state, entry, line.line_id, None, undoes)
        case ItemApproved(line=line):
            _put_line(state, entry, line.line_id, line, None)
        case ItemDeclined(line=line):
            _put_line(state, entry, line.line_id, None, None)
        case BudgetSet(limit_minor=limit, member=None, category=None):
            state.limit_minor = limit
        case CheckoutLocked(quote_id=quote_id, payment_id=payment_id, lock_seq=lock_seq):
            state.status = CartStatus.LOCKED
            state.lock = CheckoutLock(payment_id, quote_id, lock_seq)
        case CheckoutUnlocked():
            state.status = CartStatus.ACTIVE
            state.lock = None
        case CartPaid():
            state.status = CartStatus.COMPLETED
        case SessionAbandoned():
            state.status = CartStatus.ABANDONED
        case SessionRestored():
            state.status = CartStatus.ACTIVE
        case event:
            _advance_family(state, event)


def _put_line(state: CartState, entry: Entry, line_id: str, after: Line | None, undoes: int | None) -> None:
    """Let a line stand as it is `after` the event; it is the member's latest act, unless it took back that."""
    before = state.lines.get(line_id)
    if after is None:
        del state.lines[line_id]
    else:
        state.lines[line_id] = after
    state.keep_first_lines(before, after)
    state.items_seq = entry.seq
    if undoes is None:
        state.acts[entry.by] = Act(entry.seq, entry.at, before, after)
    else:
        del state.acts[entry.by]


def _advance_family(state: CartState, event: AnyEvent) -> None:
    match event:
        case MemberJoined(member=member) | RoleSet(member=member):
            state.members[member.user_id] = member
        case MemberLeft(user_id=user_id, host=host):
            _drop_member(state, user_id)
            if host is None:
                state.status = CartStatus.ABANDONED
            elif host != state.host:
                _crown(state, host)
        case MemberRemoved(user_id=user_id, join_link=join_link):
            _drop_member(state, user_id)
            state.join_link = join_link
        case HostHandedOver(host=host):
            state.members[state.host] = replace(state.members[state.host], role=MemberRole.ADULT)
            _crown(state, host)
        case JoinLinkRenewed(join_link=join_link):
            state.join_link = join_link


def _drop_member(state: CartState, user_id: str) -> None:
    """What they added stays; what was theirs alone goes."""
    del state.members[user_id]
    state.allowances.pop(user_id, None)
    state.acts.pop(user_id, None)


def _crown(state: CartState, host: str) -> None:
    state.host = host
    state.members[host] = replace(state.members[host], role=MemberRole.HOST)


def _keep(budgets: dict[str, Budget], changed: Mapping[str, Budget | None]) -> None:
    for name, budget in changed.items():
        if budget is None:
            budgets.pop(name, None)
        else:
            budgets[name] = budget
