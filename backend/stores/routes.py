"""`/stores` and `/markets`, open to everybody."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import PathParameter
from litestar.types import ControllerRouterHandler

from backend.kit.schema import ID_PATTERN
from backend.pricing import MARKETS
from backend.stores.schemas import MarketOut, StoreOut
from backend.stores.store import Stores

StoreId = Annotated[
    str,
    PathParameter(max_length=64, pattern=ID_PATTERN, examples=[Example(value="store_demo_blr")]),
]


@get(
    "/stores",
    tags=["Stores"],
    operation_id="listStores",
    summary="All stores",
    description="By name.",
)
async def list_stores(stores: NamedDependency[Stores]) -> list[StoreOut]:
    return msgspec.convert(await stores.list(), list[StoreOut], from_attributes=True)


@get(
    "/stores/{store_id:str}",
    tags=["Stores"],
    operation_id="getStore",
    summary="One store",
    description="A change of the store shows within 5 s.",
)
async def get_store(store_id: StoreId, stores: NamedDependency[Stores]) -> StoreOut:
    return msgspec.convert(await stores.get(store_id), StoreOut, from_attributes=True)


@get(
    "/markets",
    tags=["Stores"],
    operation_id="listMarkets",
    summary="All markets",
    description="Currencies, and taxes with the dates from which they hold.",
    sync_to_thread=False,
)
def list_markets() -> list[MarketOut]:
    return msgspec.convert(list(MARKETS.values()), list[MarketOut], from_attributes=True)


ROUTES: list[ControllerRouterHandler] = [list_stores, get_store, list_markets]
