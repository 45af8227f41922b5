"""Products on the wire."""

from typing import Annotated

import msgspec
from msgspec import Meta

from backend.catalog.rules import Page, Product
from backend.kit.schema import Output


class WhatIfBudget(Output, frozen=True):
    """A budget as it would be."""

    limit_minor: Annotated[int, Meta(examples=[200000])]
    spent_minor: Annotated[int, Meta(examples=[131500])]
    remaining_minor: Annotated[int, Meta(description="Negative when overspent.", examples=[68500])]
    status: Annotated[str, Meta(description="`SAFE`, `WARNING` or `DANGER`.", examples=["SAFE"])]


class WhatIf(Output, frozen=True):
    """The cart as it would be with one of this product more; nothing is added."""

    total_minor: Annotated[int, Meta(examples=[131500])]
    waiting: Annotated[bool, Meta(description="It would wait for approval, outside the total.")]
    budget: Annotated[WhatIfBudget | None, Meta(description="The cart's; null when there is none.")]
    allowance: Annotated[WhatIfBudget | None, Meta(description="The caller's own; null when there is none.")]
    category_budget: Annotated[WhatIfBudget | None, Meta(description="Null when there is none.")]


class ProductOut(Output, frozen=True):
    """A product as sold. Prices contain the tax where the market says so."""

    product_id: Annotated[str, Meta(examples=["prd_08901262010023"])]
    barcode: Annotated[str, Meta(description="The primary code, as printed.", examples=["8901262010023"])]
    name: Annotated[str, Meta(examples=["Amul Butter"])]
    brand: Annotated[str, Meta(examples=["Amul"])]
    category: Annotated[str, Meta(examples=["dairy"])]
    pack_size: Annotated[str, Meta(description="As printed; empty when unknown.", examples=["100 g"])]
    price_minor: Annotated[int, Meta(examples=[6000])]
    currency: Annotated[str, Meta(description="ISO 4217.", examples=["INR"])]
    tax_class: Annotated[str, Meta(description="One of the market's tax classes.", examples=["merit"])]
    images: Annotated[tuple[str, ...], Meta(description="Addresses of pictures.", examples=[[]])]
    featured: Annotated[bool, Meta(examples=[True])]
    what_if: Annotated[
        WhatIf | None, Meta(description="What a scan would do; only where a `session_id` is given.")
    ] = None


class ProductPageOut(Output, frozen=True):
    """One page of products; `page` counts from 1, `total` is the number on all pages."""

    items: list[ProductOut]
    page: Annotated[int, Meta(examples=[1])]
    page_size: Annotated[int, Meta(examples=[20])]
    total: Annotated[int, Meta(examples=[80])]


class CategoryOut(Output, frozen=True):
    """A category and the number of its products."""

    name: Annotated[str, Meta(examples=["dairy"])]
    count: Annotated[int, Meta(examples=[7])]


class SearchOut(Output, frozen=True):
    """What was found: one page of the products, and the categories that all of them are in."""

    products: ProductPageOut
    categories: list[CategoryOut]


def product_out(product: Product, what_if: WhatIf | None = None) -> ProductOut:
    out = msgspec.convert(product, ProductOut, from_attributes=True)
    return msgspec.structs.replace(out, what_if=what_if)


def page_out(page: Page) -> ProductPageOut:
    return msgspec.convert(page, ProductPageOut, from_attributes=True)
