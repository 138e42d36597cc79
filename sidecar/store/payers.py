"""Who pays for a customer, as this process knows it. It never changes, and the scripts check it."""

CACHED_MEMBERS = 16_384


class Payers:
    """Of members of pools, their parents; of anybody else, itself."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def of(self, customer_id: str) -> str:
        return self._parents.get(customer_id, customer_id)

    def learn(self, customer_id: str, parent: bytes) -> str:
        """The payer, as a script said it: the parent, or empty."""
        payer_id = parent.decode() or customer_id
        if len(self._parents) >= CACHED_MEMBERS:
            self._parents.clear()
        self._parents[customer_id] = payer_id
        return payer_id
