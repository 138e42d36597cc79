"""The rules in force. They are changed in their files, under review, and not here."""

from sidecar.control.endpoint import Call, Given, endpoint
from sidecar.control.rules_schema import RulesView
from sidecar.control.schema import Nothing
from sidecar.domain.scopes import Scope


async def show_rules(call: Call[Nothing, Nothing]) -> Given[RulesView]:
    """Show the rules that this process has in force, and why newer ones are not."""
    return Given(RulesView.of(call.parts.reloading))


ENDPOINTS = (
    endpoint(
        "GET",
        "/v1/rules",
        show_rules,
        {200: "The rules, in the order in which they are tried."},
        scope=Scope.CATALOGUE_READ,
    ),
)
