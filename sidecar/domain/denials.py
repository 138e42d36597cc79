"""What is counted of requests that were refused."""

from typing import NamedTuple


class Denial(NamedTuple):
    """Who was refused what by which rule. `customer_id` is empty where it was not known who asks."""

    code: str
    rule: str
    customer_id: str
