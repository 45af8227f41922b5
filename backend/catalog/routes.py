"""`/products`, `/search` and `/categories`, open to everybody."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter
from litestar.types import ControllerRouterHandler

from backend.accounts import MaybeCaller, Principal
from backend.catalog.rules import Product
from backend.catalog.schemas import (
    CategoryOut,
    ProductOut,
    ProductPageOut,
    SearchOut,
    WhatIf,
    page_out,
    product_out,
)
from backend.catalog.service import PAGE_SIZE, Catalog
from backend.kit.schema import ID_PATTERN

PreviewAdd = Callable[[Principal | None, str, Product], Awaitable[WhatIf | None]]
"""What a scan would do to a session's cart, for a member of it. The app gives it as `preview_add`."""

# Litestar enforces what stands in its own parameter markers, and ignores msgspec's.
Barcode = Annotated[
    str,
    PathParameter(
        min_length=1,
        max_length=48,
        description="What a scanner read: EAN-8, EAN-13, UPC-A, UPC-E or GTIN-14.",
        examples=[Example(value="8901262010023")],
    ),
]
Category = Annotated[
    str,
    PathParameter(
        min_length=1,
        max_length=60,
        description="Its name as in `GET /categories`.",
        examples=[Example(value="dairy")],
    ),
]
Query = Annotated[
    str,
    QueryParameter(
        min_length=1,
        max_length=80,
        description="1 to 8 words or their beginnings; case and accents do not matter.",
        examples=[Example(value="amul butt")],
    ),
]
SessionId = Annotated[
    str | None,
    QueryParameter(max_length=64, pattern=ID_PATTERN, description="The cart that the product may go into."),
]
PageNumber = Annotated[int, QueryParameter(ge=1, le=10_000, description="Counted from 1.")]
PageSize = Annotated[int, QueryParameter(ge=1, le=100, description="Products a page.")]


@get(
    "/products",
    operation_id="listProducts",
    summary="All products",
    description="By name.",
)
async def list_products(
    catalog: NamedDependency[Catalog], page: PageNumber = 1, page_size: PageSize = PAGE_SIZE
) -> ProductPageOut:
    return page_out(await catalog.page(page, page_size))


@get(
    "/products/search",
    operation_id="searchProducts",
    summary="Search products",
    description="Products in which every word of `q` begins a word of the name, brand or category; by name.",
)
async def search_products(
    catalog: NamedDependency[Catalog], q: Query, page: PageNumber = 1, page_size: PageSize = PAGE_SIZE
) -> ProductPageOut:
    return page_out(await catalog.search(q, page, page_size))


@get(
    "/products/featured",
    operation_id="listFeaturedProducts",
    summary="Featured products",
    description="What the shop puts in front; by name.",
)
async def list_featured_products(
    catalog: NamedDependency[Catalog], page: PageNumber = 1, page_size: PageSize = PAGE_SIZE
) -> ProductPageOut:
    return page_out(await catalog.featured(page, page_size))


@get(
    "/products/category/{category:str}",
    operation_id="listProductsOfCategory",
    summary="Products of a category",
    description="By name. A category without products is an empty page.",
)
async def list_products_of_category(
    category: Category,
    catalog: NamedDependency[Catalog],
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
) -> ProductPageOut:
    return page_out(await catalog.by_category(category, page, page_size))


@get(
    "/products/{barcode:str}",
    operation_id="getProduct",
    summary="Look a barcode up",
    description=(
        "The product that carries this code. With a `session_id` and the bearer token of one of its members, "
        "also what a scan would do to the cart's total and budget."
    ),
    security=[{}, {"bearer": []}],
)
async def get_product(
    barcode: Barcode,
    request: MaybeCaller,
    catalog: NamedDependency[Catalog],
    session_id: SessionId = None,
    preview_add: NamedDependency[PreviewAdd | None] = None,
) -> ProductOut:
    product = await catalog.find(barcode)
    if session_id is None or preview_add is None:
        return product_out(product)
    return product_out(product, await preview_add(request.user, session_id, product))


@get(
    "/search",
    operation_id="search",
    summary="Search everything",
    description="Products as `/products/search` finds them, and the categories that all of them are in.",
)
async def search(
    catalog: NamedDependency[Catalog], q: Query, page: PageNumber = 1, page_size: PageSize = PAGE_SIZE
) -> SearchOut:
    products, categories = await asyncio.gather(catalog.search(q, page, page_size), catalog.categories(q))
    return SearchOut(products=page_out(products), categories=_categories_out(categories))


@get(
    "/categories",
    operation_id="listCategories",
    summary="All categories",
    description="By name, each with the number of its products.",
)
async def list_categories(catalog: NamedDependency[Catalog]) -> list[CategoryOut]:
    return _categories_out(await catalog.categories())


def _categories_out(categories: object) -> list[CategoryOut]:
    return msgspec.convert(categories, list[CategoryOut], from_attributes=True)


ROUTES: list[ControllerRouterHandler] = [
    Router(
        path="/",
        route_handlers=[
            list_products,
            search_products,
            list_featured_products,
            list_products_of_category,
            get_product,
            search,
            list_categories,
        ],
        tags=["Catalogue"],
    )
]
