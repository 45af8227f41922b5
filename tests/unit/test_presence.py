"""Who counts as present in a cart, and for how long."""

from backend.carts.presence import FADES_AFTER_S, LINGERS_S, Presence


class TestPresence:
    def test_outlives_a_lost_socket_for_twenty_seconds(self) -> None:
        presence = Presence()
        presence.lost("usr_a", now=100.0)
        assert not presence.fade(100.0 + LINGERS_S - 0.1)
        assert presence.all(frozenset(), 100.0) == ["usr_a"]
        assert presence.fade(100.0 + LINGERS_S)
        assert presence.all(frozenset(), 120.0) == []
        assert not presence.fade(121.0)

    def test_ends_at_once_for_who_is_no_longer_a_member(self) -> None:
        presence = Presence()
        presence.lost("usr_a", now=100.0)
        presence.left("usr_a")
        assert presence.all(frozenset(), 100.0) == []

    def test_joins_what_other_processes_say_until_it_fades(self) -> None:
        presence = Presence()
        presence.heard("p2", frozenset({"usr_b"}), now=100.0)
        assert presence.all(frozenset({"usr_a"}), 101.0) == ["usr_a", "usr_b"]
        assert presence.is_elsewhere(101.0)
        assert presence.all(frozenset({"usr_a"}), 100.0 + FADES_AFTER_S) == ["usr_a"]
        assert not presence.is_elsewhere(100.0 + FADES_AFTER_S)

    def test_a_process_without_members_counts_no_longer(self) -> None:
        presence = Presence()
        presence.heard("p2", frozenset({"usr_b"}), now=100.0)
        presence.heard("p2", frozenset(), now=101.0)
        assert presence.all(frozenset(), 101.0) == []

    def test_tells_others_of_its_own_alone(self) -> None:
        presence = Presence()
        presence.lost("usr_a", now=100.0)
        presence.heard("p2", frozenset({"usr_b"}), now=100.0)
        assert presence.here(frozenset({"usr_c"})) == ["usr_a", "usr_c"]
