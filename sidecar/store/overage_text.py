"""A customer's overage policies as words in its hash, where the scripts of holds find them."""

from collections.abc import Mapping

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.overage import Overage, OveragePolicy


def overage_lines(policies: Mapping[str, Overage]) -> str:
    """The policies of a customer as the scripts have them."""
    return "\n".join(f"{unit} {overage.policy} {overage.most}" for unit, overage in sorted(policies.items()))


def overage_of_lines(lines: str) -> dict[str, Overage]:
    """The policies of these lines."""
    found = {}
    for unit, policy, most in (line.split(" ") for line in lines.split("\n")):
        unlimited = policy == OveragePolicy.BLOCK or int(most) == MAX_AMOUNT
        found[unit] = Overage(OveragePolicy(policy), None if unlimited else int(most))
    return found


def overage_lines_of(data: Mapping[str, object]) -> str:
    """The same of a customer's record, as the archive has it; none where it cannot be read."""
    try:
        return overage_lines(msgspec.convert(data.get("overage", {}), dict[str, Overage]))
    except msgspec.ValidationError:
        return ""
