"""The sandbox gateway's refunds under the order's address."""

import httpx

from tests.sandbox_shop import assert_problem, make_paid, order_of, place


class TestRefundOfOrder:
    async def test_is_of_its_last_capture(self, gateway: httpx.AsyncClient) -> None:
        order_id = await make_paid(gateway)
        body = {"reference": "refund-0001", "amount_minor": 450}
        made, again = [await gateway.post(f"/v1/orders/{order_id}/refunds", json=body) for _ in range(2)]
        assert (made.status_code, again.status_code) == (201, 200)
        order = await order_of(gateway, order_id)
        assert order["refunds"] == [made.json()] == [again.json()]
        assert made.json()["payment_id"] == order["payments"][0]["payment_id"]

    async def test_needs_a_capture(self, gateway: httpx.AsyncClient) -> None:
        body = {"reference": "refund-0001", "amount_minor": 450}
        answer = await gateway.post(f"/v1/orders/{await place(gateway)}/refunds", json=body)
        assert_problem(answer, 409, "refund_exceeds_payment")
