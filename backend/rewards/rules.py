"""What an order earns."""


def points_for(total_minor: int, rate_bp: int) -> int:
    """Whole points for a payable total: one point is worth one major unit, and parts of a point are not given.

    Args:
        total_minor: what was paid, in minor units of a currency with two minor digits.
        rate_bp: share of the total given back, in basis points: 100 is 1 %.
    """
    return total_minor * rate_bp // 10_000 // 100
