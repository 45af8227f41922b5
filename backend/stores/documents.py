"""What is stored of stores."""

from beanie import Document


class StoreDocument(Document):
    """A store; `_id` is its `store_id`."""

    id: str  # type: ignore[assignment]
    name: str
    merchant_id: str
    city: str
    currency: str
    time_zone: str
    market: str
    budget: dict[str, int]
    points_rate_bp: int
    spot_check_percent: int

    class Settings:
        name = "stores"


DOCUMENTS: list[type[Document]] = [StoreDocument]
