"""Points over HTTP."""

from litestar import Request, get
from litestar.di import NamedDependency

from backend.accounts import signed_in
from backend.rewards.schemas import BalanceOut
from backend.rewards.service import Rewards


@get(
    "/rewards/balance",
    guards=[signed_in],
    security=[{"bearer": []}],
    tags=["Rewards"],
    operation_id="rewardsBalance",
    summary="The caller's points",
)
async def rewards_balance(request: Request, rewards: NamedDependency[Rewards]) -> BalanceOut:  # type: ignore[type-arg]
    return await rewards.balance(request.user)


ROUTES = [rewards_balance]
