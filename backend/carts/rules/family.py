"""Who is in the cart, and as what."""

from datetime import datetime

from msgspec.structs import replace

from backend.carts.commands import (
    HandOver,
    JoinSession,
    LeaveSession,
    RemoveMember,
    RenewJoinLink,
    RestoreSession,
    SetRole,
)
from backend.carts.events import (
    HostHandedOver,
    JoinLinkRenewed,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    RoleSet,
    SessionRestored,
)
from backend.carts.rules.outcomes import (
    MAX_SHOPPER_EVENTS,
    Decision,
    Facts,
    Rejection,
    Settled,
    closed_to_shoppers,
    same_bill,
)
from backend.carts.state import CartState, CartStatus, Member, MemberRole

MAX_MEMBERS = 20


def join(state: CartState, user_id: str, command: JoinSession, now: datetime) -> Decision:
    """Everybody joins as an adult; the host says who is a child."""
    if command.join_link != state.join_link:
        return Rejection("join_link_invalid")
    if user_id in state.members:
        return Settled(state.seq)
    if refused := closed_to_shoppers(state):
        return refused
    if len(state.members) >= MAX_MEMBERS:
        return Rejection("family_full")
    return same_bill(state, MemberJoined(Member(user_id, command.name, MemberRole.ADULT, now)))


def leave(state: CartState, member: Member, command: LeaveSession, facts: Facts, now: datetime) -> Decision:
    """The longest-standing adult follows a host who leaves; children are not left alone."""
    others = [other for other in state.members.values() if other.user_id != member.user_id]
    if member.role is not MemberRole.HOST:
        return same_bill(state, MemberLeft(member.user_id, state.host))
    heir = next((other for other in others if other.role is MemberRole.ADULT), None)
    if heir is None and others:
        return Rejection("last_adult")
    return same_bill(state, MemberLeft(member.user_id, heir.user_id if heir else None))


def remove_member(
    state: CartState, member: Member, command: RemoveMember, facts: Facts, now: datetime
) -> Decision:
    """The way in changes too: whoever was shown out does not come back by the link they know."""
    if command.member == member.user_id:
        return Rejection("conflict", "Leave the cart instead.")
    if command.member not in state.members:
        return Rejection("member_not_found")
    return same_bill(state, MemberRemoved(command.member, state.join_link + 1))


def set_role(state: CartState, member: Member, command: SetRole, facts: Facts, now: datetime) -> Decision:
    other = state.members.get(command.member)
    if other is None:
        return Rejection("member_not_found")
    if other.role is MemberRole.HOST or command.role is MemberRole.HOST:
        return Rejection("conflict", "Hand the host's role over instead.")
    if other.role is command.role:
        return Settled(state.seq)
    return same_bill(state, RoleSet(replace(other, role=command.role)))


def hand_over(state: CartState, member: Member, command: HandOver, facts: Facts, now: datetime) -> Decision:
    other = state.members.get(command.member)
    if other is None:
        return Rejection("member_not_found")
    if other.role is MemberRole.HOST:
        return Settled(state.seq)
    if other.role is MemberRole.CHILD:
        return Rejection("adults_only", "A child cannot be the host.")
    return same_bill(state, HostHandedOver(other.user_id))


def renew_join_link(
    state: CartState, member: Member, command: RenewJoinLink, facts: Facts, now: datetime
) -> Decision:
    return same_bill(state, JoinLinkRenewed(state.join_link + 1))


def restore(
    state: CartState, member: Member, command: RestoreSession, facts: Facts, now: datetime
) -> Decision:
    if state.status is not CartStatus.ABANDONED:
        return closed_to_shoppers(state) or Settled(state.seq)
    if state.seq >= MAX_SHOPPER_EVENTS:
        return Rejection("cart_full")
    return same_bill(state, SessionRestored())
