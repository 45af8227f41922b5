"""Roles, the form of passwords and the grace of a refresh token, without I/O."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from backend.accounts.rules import (
    RETRY_GRACE,
    Kind,
    Principal,
    Role,
    StoreRole,
    is_retry,
    normalise_password,
)

HERE, ELSEWHERE = "sto_here", "sto_elsewhere"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def make_staff(*roles: Role, store_id: str = HERE) -> Principal:
    held = tuple(StoreRole(store_id, role) for role in roles)
    return Principal(user_id="usr_1", login_id="lgn_1", kind=Kind.STAFF, name="Meera", roles=held)


class TestWorksAt:
    @pytest.mark.parametrize(
        ("held", "may"),
        [
            (Role.CASHIER, {Role.CASHIER}),
            (Role.GATE, {Role.GATE}),
            (Role.SUPERVISOR, {Role.SUPERVISOR, Role.CASHIER, Role.GATE}),
            (Role.MANAGER, set(Role)),
        ],
    )
    def test_includes_the_roles_below_and_no_other(self, held: Role, may: set[Role]) -> None:
        assert {role for role in Role if make_staff(held).works_at(HERE, role)} == may

    @pytest.mark.parametrize("held", Role)
    def test_holds_at_its_own_store_alone(self, held: Role) -> None:
        assert make_staff(held).works_at(HERE)
        assert not make_staff(held).works_at(ELSEWHERE)
        assert not make_staff(held).works_at(ELSEWHERE, *Role)

    def test_one_of_the_named_roles_is_enough(self) -> None:
        assert make_staff(Role.GATE).works_at(HERE, Role.CASHIER, Role.GATE)
        assert not make_staff(Role.GATE).works_at(HERE, Role.CASHIER, Role.SUPERVISOR)

    def test_roles_at_two_stores_do_not_mix(self) -> None:
        both = (StoreRole(HERE, Role.GATE), StoreRole(ELSEWHERE, Role.MANAGER))
        person = Principal("usr_1", "lgn_1", Kind.STAFF, "Meera", both)
        assert person.works_at(HERE, Role.GATE)
        assert not person.works_at(HERE, Role.MANAGER)
        assert person.works_at(ELSEWHERE, Role.MANAGER)

    def test_who_holds_no_role_works_nowhere(self) -> None:
        customer = Principal("usr_1", "lgn_1", Kind.CUSTOMER, "Asha")
        assert not customer.works_at(HERE)
        assert not customer.works_at(HERE, *Role)


def test_composed_and_decomposed_are_one_password() -> None:
    composed = "crème brûlée"
    assert normalise_password(unicodedata.normalize("NFD", composed)) == normalise_password(composed)


class TestIsRetry:
    def test_of_the_previous_token_within_the_grace(self) -> None:
        just_inside = NOW + RETRY_GRACE - timedelta(milliseconds=1)
        assert is_retry("old", "old", NOW, just_inside)

    def test_not_when_the_grace_is_over(self) -> None:
        assert not is_retry("old", "old", NOW, NOW + RETRY_GRACE)

    def test_not_of_any_other_token(self) -> None:
        assert not is_retry("older", "old", NOW, NOW)

    def test_not_before_the_first_rotation(self) -> None:
        assert not is_retry("old", None, None, NOW)
