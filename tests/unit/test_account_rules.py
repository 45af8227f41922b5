"""Roles, the form of passwords and the grace of a refresh token, without I/O."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from backend.accounts.rules import (
    RETRY_GRACE,
    Kind,
    Principal,
    Role,
    Roles,
    StoreRole,
    code_fault,
    is_retry,
    normalise_password,
    role_at,
    staffing_fault,
    with_role,
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


def roles(*held: tuple[str, Role]) -> Roles:
    return tuple(StoreRole(store_id, role) for store_id, role in held)


MANAGER_HERE = roles((HERE, Role.MANAGER))
NOBODY = roles()


class TestRoleAt:
    def test_is_the_widest_of_several(self) -> None:
        both = roles((HERE, Role.GATE), (HERE, Role.SUPERVISOR), (ELSEWHERE, Role.MANAGER))
        assert role_at(both, HERE) is Role.SUPERVISOR
        assert role_at(both, "sto_third") is None

    @pytest.mark.parametrize("role", [*Role, None])
    def test_with_another_leaves_other_stores_as_they_are(self, role: Role | None) -> None:
        before = roles((HERE, Role.GATE), (ELSEWHERE, Role.MANAGER), (HERE, Role.CASHIER))
        after = with_role(before, HERE, role)
        assert role_at(after, HERE) is role
        assert role_at(after, ELSEWHERE) is Role.MANAGER
        assert len(after) == (1 if role is None else 2)


class TestStaffingFault:
    @pytest.mark.parametrize("role", [*Role, None])
    @pytest.mark.parametrize("held", Role)
    @pytest.mark.parametrize("managers", [1, 2])
    def test_managers_rule_over_everybody_but_leave_one_of_their_own(
        self, held: Role, role: Role | None, managers: int
    ) -> None:
        last = held is Role.MANAGER and role is not Role.MANAGER and managers == 1
        wanted = "last_manager" if last else None
        assert staffing_fault(MANAGER_HERE, roles((HERE, held)), HERE, role, managers) == wanted

    @pytest.mark.parametrize("role", [*Role, None])
    @pytest.mark.parametrize("held", [*Role, None])
    @pytest.mark.parametrize(
        "actor",
        [
            NOBODY,
            *(roles((HERE, role)) for role in Role if role is not Role.MANAGER),
            roles((ELSEWHERE, Role.MANAGER)),
            roles((ELSEWHERE, Role.MANAGER), (HERE, Role.SUPERVISOR)),
        ],
        ids=str,
    )
    def test_nobody_else_rules(self, actor: Roles, held: Role | None, role: Role | None) -> None:
        person = roles((HERE, held)) if held else NOBODY
        assert staffing_fault(actor, person, HERE, role, 2) == "forbidden"

    @pytest.mark.parametrize("role", [*Role, None])
    @pytest.mark.parametrize("person", [NOBODY, roles((ELSEWHERE, Role.CASHIER))], ids=str)
    def test_who_does_not_work_here_looks_like_nobody(self, person: Roles, role: Role | None) -> None:
        assert staffing_fault(MANAGER_HERE, person, HERE, role, 2) == "not_found"


class TestCodeFault:
    @pytest.mark.parametrize("held", Role)
    def test_managers_give_codes_to_who_works_for_them_alone(self, held: Role) -> None:
        here, there = roles((HERE, held)), roles((HERE, held), (ELSEWHERE, Role.GATE))
        of_both = roles((HERE, Role.MANAGER), (ELSEWHERE, Role.MANAGER))
        almost = roles((HERE, Role.MANAGER), (ELSEWHERE, Role.SUPERVISOR))
        assert code_fault(MANAGER_HERE, here, HERE, oneself=False) is None
        assert code_fault(MANAGER_HERE, there, HERE, oneself=False) == "forbidden"
        assert code_fault(almost, there, HERE, oneself=False) == "forbidden"
        assert code_fault(of_both, there, HERE, oneself=False) is None

    def test_nobody_gets_past_their_own_password(self) -> None:
        assert code_fault(MANAGER_HERE, MANAGER_HERE, HERE, oneself=True) == "forbidden"

    @pytest.mark.parametrize("role", [role for role in Role if role is not Role.MANAGER])
    def test_no_other_role_gives_any(self, role: Role) -> None:
        actor = roles((HERE, role), (ELSEWHERE, Role.MANAGER))
        assert code_fault(actor, roles((HERE, Role.CASHIER)), HERE, oneself=False) == "forbidden"

    def test_who_does_not_work_here_looks_like_nobody(self) -> None:
        for person in (NOBODY, roles((ELSEWHERE, Role.CASHIER))):
            assert code_fault(MANAGER_HERE, person, HERE, oneself=False) == "not_found"
