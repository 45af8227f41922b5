"""Points over HTTP."""

from litestar import get
from litestar.di import NamedDependency

from backend.accounts import BEARER, Caller, signed_in
from backend.rewards.schemas import BalanceOut
from backend.rewards.service import Rewards


@get(
    "/rewards/balance",
    guards=[signed_in],
    security=BEARER,
    tags=["Rewards"],
    operation_id="rewardsBalance",
    summary="The caller's points",
)
async def rewards_balance(request: Caller, rewards: NamedDependency[Rewards]) -> BalanceOut:
    return await rewards.balance(request.user)


ROUTES = [rewards_balance]
