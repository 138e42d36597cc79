"""Every call of the control API.

Made from its route table by `python -m tests.support.client_source`: do not edit.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import TypeVar
from urllib.parse import quote

import msgspec

from sidecar.control.adjustment_schema import AdjustCredits, AdjustmentView, RefundCharge, RefundedView, VoidUsage
from sidecar.control.admin_schema import (
    ControlKeyPage,
    ControlKeyView,
    CreateControlKey,
    NewControlKeyView,
    RotateControlKey,
)
from sidecar.control.audit_log import AuditPage, AuditQuery
from sidecar.control.auto_topup_schema import (
    AutoTopupPage,
    AutoTopupView,
    DeclineRequest,
    RequestsQuery,
    SetAutoTopup,
    TopupRequestPage,
    TopupRequestView,
)
from sidecar.control.block_schema import (
    BlockChangeView,
    BlockPage,
    BlocksQuery,
    ExtendBlock,
    SimulateCharge,
    SimulationView,
    VoidBlock,
)
from sidecar.control.clock import AdvanceClock, ClockView, SetClock
from sidecar.control.credit_schema import (
    CountersView,
    CreditsQuery,
    CreditsView,
    GrantCredits,
    GrantView,
    PoolView,
    SetPoolCap,
    ShareView,
    UnitPage,
)
from sidecar.control.customer_schema import (
    CreateCustomer,
    CustomerPage,
    CustomerView,
    CustomersQuery,
    RenameCustomer,
    UpdateCustomer,
)
from sidecar.control.deposit_schema import AccountView, Deposit, Spend, TransactionView
from sidecar.control.entitlement_schema import CheckOne, CheckSeveral, EntitlementList, EntitlementView, UnitsWanted
from sidecar.control.events import EventPage, EventView, EventsQuery
from sidecar.control.history_schema import EntryPage, ExportQuery, LedgerQuery, UsagePage, UsageQuery
from sidecar.control.hold_schema import HoldPage, HoldView, HoldsQuery, SettleRequest, SettledView
from sidecar.control.key_schema import ChangeKey, CreateKey, KeyPage, KeyView, NewKeyView, RotateKey
from sidecar.control.merges import MergeCustomer, MergeView
from sidecar.control.metric_schema import (
    CreateMetric,
    CreateRule,
    MetricPage,
    MetricView,
    Preview,
    PreviewView,
    RuleOfMetric,
    RulesOfMetrics,
    RulesWanted,
)
from sidecar.control.overage import OverageQuery, OverageView, SetOverage
from sidecar.control.period_schema import (
    ClosePeriod,
    OpenPeriod,
    PeriodTermsView,
    PeriodsQuery,
    RollPeriod,
    SetPeriods,
    TurnedView,
)
from sidecar.control.purchase_schema import MakePurchase, PurchaseView
from sidecar.control.report_schema import CustomerUsageQuery, DenialsQuery, DenialsView, StatsView, TopQuery, TopView
from sidecar.control.reserve_schema import Commit, CommittedView, Extend, Increase, Release, Reserve, StandingView
from sidecar.control.rules_schema import RulesView
from sidecar.control.schema import Health, Paging
from sidecar.control.spend_cap_schema import (
    RemoveSpendCapQuery,
    SetSpendCap,
    SpendCapPage,
    SpendCapView,
    SpendCapsQuery,
)
from sidecar.control.tenants import CreateTenant, NewTenantView, TenantPage
from sidecar.control.thresholds import SetThresholds, ThresholdsPage, ThresholdsView
from sidecar.control.topup_schema import (
    CreatePackage,
    GrantTopup,
    PackagePage,
    PackageView,
    PackagesQuery,
    RefundTopup,
    RefundView,
    TopupPage,
    TopupStateView,
    TopupView,
    UpdatePackage,
)
from sidecar.control.transfer_schema import TransferCredits, TransferView
from sidecar.control.usage_schema import BatchOutcome, RecordBatch, RecordUsage, UsageCharge

_Answer = TypeVar("_Answer")


class Calls(ABC):
    """The calls; `SidecarClient` sends them. `customer` is either id of a customer."""

    @abstractmethod
    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[_Answer],
        *,
        body: msgspec.Struct | None = None,
        query: msgspec.Struct | None = None,
        key: str | None = None,
        keyed: bool = False,
        if_match: int | None = None,
    ) -> _Answer: ...

    @abstractmethod
    def _stream(self, path: str, query: msgspec.Struct) -> AsyncIterator[bytes]: ...

    @abstractmethod
    def _customer(self, customer: str) -> str: ...

    async def create_customer(self, body: CreateCustomer, *, idempotency_key: str | None = None) -> CustomerView:
        """Make a customer, or find the one that has this external id."""
        return await self._ask("POST", "/v1/customers", CustomerView, body=body, key=idempotency_key, keyed=True)

    async def list_customers(self, query: CustomersQuery = CustomersQuery()) -> CustomerPage:
        """List customers, or those that are looked for, the newest first."""
        return await self._ask("GET", "/v1/customers", CustomerPage, query=query)

    async def show_customer(self, customer: str) -> CustomerView:
        """Look at a customer."""
        return await self._ask("GET", f"{self._customer(customer)}", CustomerView)

    async def update_customer(
        self,
        customer: str,
        body: UpdateCustomer = UpdateCustomer(),
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> CustomerView:
        """Change a customer's name, status or metadata."""
        return await self._ask(
            "PATCH",
            f"{self._customer(customer)}",
            CustomerView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def rename_customer(
        self, customer: str, body: RenameCustomer, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> CustomerView:
        """Give a customer another external id; the old one is free for others from then on."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/rename",
            CustomerView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def anonymise_customer(
        self, customer: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> CustomerView:
        """Forget who a customer was: for ever."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/anonymise",
            CustomerView,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def merge_customer(
        self, customer: str, body: MergeCustomer = MergeCustomer(), *, idempotency_key: str | None = None
    ) -> MergeView:
        """Let another customer be this one: for ever."""
        return await self._ask(
            "POST", f"{self._customer(customer)}/merge", MergeView, body=body, key=idempotency_key, keyed=True
        )

    async def grant_credits(
        self, customer: str, body: GrantCredits, *, idempotency_key: str | None = None
    ) -> GrantView:
        """Give a customer a credit block."""
        return await self._ask(
            "POST", f"{self._customer(customer)}/credits/grant", GrantView, body=body, key=idempotency_key, keyed=True
        )

    async def show_credits(self, customer: str, query: CreditsQuery = CreditsQuery()) -> CreditsView:
        """Look at the balances of a customer, one for each unit it was ever granted; now or at some time."""
        return await self._ask("GET", f"{self._customer(customer)}/credits", CreditsView, query=query)

    async def list_units(self) -> UnitPage:
        """List the units that credit can be counted in, and the decimal places of each."""
        return await self._ask("GET", "/v1/units", UnitPage)

    async def adjust_credits(
        self, customer: str, body: AdjustCredits, *, idempotency_key: str | None = None
    ) -> AdjustmentView:
        """Correct what a customer has: give some, or take some away."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/credits/adjust",
            AdjustmentView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def refund_charge(
        self, customer: str, body: RefundCharge, *, idempotency_key: str | None = None
    ) -> RefundedView:
        """Give back what an entry of the ledger charged, or a part of it."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/credits/refund",
            RefundedView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def void_usage(self, event_id: str, body: VoidUsage, *, idempotency_key: str | None = None) -> RefundedView:
        """Take a usage event back: all that it charged and that was not given back before."""
        return await self._ask(
            "POST",
            f"/v1/usage/{quote(event_id, safe='')}/void",
            RefundedView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def transfer_credits(
        self, customer: str, body: TransferCredits, *, idempotency_key: str | None = None
    ) -> TransferView:
        """Give some of a customer's credit to another customer."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/credits/transfer",
            TransferView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def list_blocks(self, customer: str, query: BlocksQuery = BlocksQuery()) -> BlockPage:
        """List the live blocks of a customer, each unit's in burn order; of a member of a pool, its parent's."""
        return await self._ask("GET", f"{self._customer(customer)}/credits/blocks", BlockPage, query=query)

    async def simulate_charge(self, customer: str, body: SimulateCharge) -> SimulationView:
        """Say which blocks an amount would take now, in burn order. Nothing is changed."""
        return await self._ask("POST", f"{self._customer(customer)}/credits/simulate", SimulationView, body=body)

    async def void_block(
        self, customer: str, block_id: str, body: VoidBlock = VoidBlock(), *, idempotency_key: str | None = None
    ) -> BlockChangeView:
        """End a block now. What requests under way hold of it can still be charged; what they give back is voided too."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/credits/blocks/{quote(block_id, safe='')}/void",
            BlockChangeView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def extend_block(
        self, customer: str, block_id: str, body: ExtendBlock, *, idempotency_key: str | None = None
    ) -> BlockChangeView:
        """Move the expiry of a block, to later or to earlier, or take it away. It is answered when it is archived."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/credits/blocks/{quote(block_id, safe='')}/extend",
            BlockChangeView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def show_counters(self, customer: str) -> CountersView:
        """Look at the counters of a customer: running periods, and those that were over a short while ago."""
        return await self._ask("GET", f"{self._customer(customer)}/counters", CountersView)

    async def set_pool_cap(self, customer: str, body: SetPoolCap, *, idempotency_key: str | None = None) -> ShareView:
        """Say how much a member of a pool may hold and spend, all in all."""
        return await self._ask(
            "PUT", f"{self._customer(customer)}/pool", ShareView, body=body, key=idempotency_key, keyed=True
        )

    async def show_pool(self, customer: str) -> PoolView:
        """Look at what a member takes of its pool, and may take, in each unit that is configured or that the pool has."""
        return await self._ask("GET", f"{self._customer(customer)}/pool", PoolView)

    async def add_spend_cap(
        self, customer: str, body: SetSpendCap, *, idempotency_key: str | None = None
    ) -> SpendCapView:
        """Cap what a customer may spend in each window of time, from now on."""
        return await self._ask(
            "POST", f"{self._customer(customer)}/spend-caps", SpendCapView, body=body, key=idempotency_key, keyed=True
        )

    async def list_spend_caps(self, customer: str, query: SpendCapsQuery = SpendCapsQuery()) -> SpendCapPage:
        """List the spend caps of a customer, in the order in which they were made, and how they stand; on one page."""
        return await self._ask("GET", f"{self._customer(customer)}/spend-caps", SpendCapPage, query=query)

    async def remove_spend_cap(
        self,
        customer: str,
        cap_id: str,
        query: RemoveSpendCapQuery = RemoveSpendCapQuery(),
        *,
        idempotency_key: str | None = None,
    ) -> SpendCapView:
        """Take a spend cap away. It is answered as it stood."""
        return await self._ask(
            "DELETE",
            f"{self._customer(customer)}/spend-caps/{quote(cap_id, safe='')}",
            SpendCapView,
            query=query,
            key=idempotency_key,
            keyed=True,
        )

    async def check_entitlement(
        self, customer: str, feature: str, query: UnitsWanted = UnitsWanted()
    ) -> EntitlementView:
        """Check whether a customer could use so many units of a feature now."""
        return await self._ask(
            "GET", f"{self._customer(customer)}/entitlements/{quote(feature, safe='')}", EntitlementView, query=query
        )

    async def check_entitlements(self, customer: str, body: CheckSeveral) -> EntitlementList:
        """Check several features of a customer at once, all as of one moment; each as if it were asked for alone."""
        return await self._ask("POST", f"{self._customer(customer)}/entitlements", EntitlementList, body=body)

    async def look_up_entitlement(self, query: CheckOne = CheckOne()) -> EntitlementView:
        """Check whether a customer could use a feature: the same by its short address."""
        return await self._ask("GET", "/v1/entitlements/check", EntitlementView, query=query)

    async def ask_for_entitlement(self, body: CheckOne = CheckOne()) -> EntitlementView:
        """Check whether a customer could use a feature: the same with a body."""
        return await self._ask("POST", "/v1/entitlements/check", EntitlementView, body=body)

    async def set_overage_policy(
        self, customer: str, body: SetOverage, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> OverageView:
        """Say what becomes of requests that a customer's credit does not cover, from now on."""
        return await self._ask(
            "PUT",
            f"{self._customer(customer)}/overage-policy",
            OverageView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def show_overage_policy(self, customer: str, query: OverageQuery = OverageQuery()) -> OverageView:
        """What becomes of requests that a customer's credit does not cover; of a member of a pool, that of who pays."""
        return await self._ask("GET", f"{self._customer(customer)}/overage-policy", OverageView, query=query)

    async def set_thresholds(
        self,
        customer: str,
        unit: str,
        body: SetThresholds,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> ThresholdsView:
        """Say at which amounts a customer's balance of a unit is low, whatever holds for everybody."""
        return await self._ask(
            "PUT",
            f"{self._customer(customer)}/thresholds/{quote(unit, safe='')}",
            ThresholdsView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def list_thresholds(self, customer: str) -> ThresholdsPage:
        """List the thresholds that hold for a customer, by unit; on one page."""
        return await self._ask("GET", f"{self._customer(customer)}/thresholds", ThresholdsPage)

    async def remove_thresholds(
        self, customer: str, unit: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> ThresholdsPage:
        """Take a customer's own thresholds of a unit away: those for everybody hold again. Answers what holds then."""
        return await self._ask(
            "DELETE",
            f"{self._customer(customer)}/thresholds/{quote(unit, safe='')}",
            ThresholdsPage,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def set_default_thresholds(
        self, unit: str, body: SetThresholds, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> ThresholdsView:
        """Say at which amounts balances of a unit are low, of all customers who have no thresholds of their own."""
        return await self._ask(
            "PUT",
            f"/v1/thresholds/{quote(unit, safe='')}",
            ThresholdsView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def list_default_thresholds(self) -> ThresholdsPage:
        """List the thresholds that hold for everybody, by unit; on one page."""
        return await self._ask("GET", "/v1/thresholds", ThresholdsPage)

    async def remove_default_thresholds(
        self, unit: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> ThresholdsPage:
        """Take the thresholds of a unit away that hold for everybody. Answers what holds then."""
        return await self._ask(
            "DELETE",
            f"/v1/thresholds/{quote(unit, safe='')}",
            ThresholdsPage,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def grant_topup(self, body: GrantTopup = GrantTopup(), *, idempotency_key: str | None = None) -> TopupView:
        """Give a customer what it has paid for; with it, perhaps, a bonus, which is a free block of its own."""
        return await self._ask("POST", "/v1/topup/grant", TopupView, body=body, key=idempotency_key, keyed=True)

    async def show_topup(self, topup_id: str) -> TopupStateView:
        """Look at a top-up: what was bought, what is left of it, what went back."""
        return await self._ask("GET", f"/v1/topup/{quote(topup_id, safe='')}", TopupStateView)

    async def list_topups(self, customer: str, query: Paging = Paging()) -> TopupPage:
        """List what a customer has paid for, the newest first. It has every top-up that was answered."""
        return await self._ask("GET", f"{self._customer(customer)}/topups", TopupPage, query=query)

    async def refund_topup(
        self, topup_id: str, body: RefundTopup = RefundTopup(), *, idempotency_key: str | None = None
    ) -> RefundView:
        """Take a top-up back whose money went back: what is left of it is voided, bonus included."""
        return await self._ask(
            "POST",
            f"/v1/topup/{quote(topup_id, safe='')}/refund",
            RefundView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def set_auto_topup(
        self,
        customer: str,
        unit: str,
        body: SetAutoTopup,
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> AutoTopupView:
        """Ask for a package whenever a customer's balance of a unit is low."""
        return await self._ask(
            "PUT",
            f"{self._customer(customer)}/auto-topup/{quote(unit, safe='')}",
            AutoTopupView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def list_auto_topups(self, customer: str) -> AutoTopupPage:
        """List the auto-top-ups of a customer, by unit; on one page."""
        return await self._ask("GET", f"{self._customer(customer)}/auto-topup", AutoTopupPage)

    async def remove_auto_topup(
        self, customer: str, unit: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> AutoTopupPage:
        """Ask no more for a customer's balance of a unit; an outstanding request is canceled. Answers those that stay."""
        return await self._ask(
            "DELETE",
            f"{self._customer(customer)}/auto-topup/{quote(unit, safe='')}",
            AutoTopupPage,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def list_topup_requests(self, query: RequestsQuery = RequestsQuery()) -> TopupRequestPage:
        """List the requests for top-ups, the newest first."""
        return await self._ask("GET", "/v1/topup-requests", TopupRequestPage, query=query)

    async def show_topup_request(self, request_id: str) -> TopupRequestView:
        """Look at a request for a top-up."""
        return await self._ask("GET", f"/v1/topup-requests/{quote(request_id, safe='')}", TopupRequestView)

    async def decline_topup_request(
        self, request_id: str, body: DeclineRequest = DeclineRequest(), *, idempotency_key: str | None = None
    ) -> TopupRequestView:
        """Say that a request will not be fulfilled, because its customer could not be charged."""
        return await self._ask(
            "POST",
            f"/v1/topup-requests/{quote(request_id, safe='')}/decline",
            TopupRequestView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def deposit(self, body: Deposit, *, idempotency_key: str | None = None) -> TransactionView:
        """Add to an account. Who is not there yet is made. It is answered when it is archived."""
        return await self._ask("POST", "/v1/deposit", TransactionView, body=body, key=idempotency_key, keyed=True)

    async def spend(self, body: Spend, *, idempotency_key: str | None = None) -> TransactionView:
        """Take from an account: all of the amount, or nothing where there is less (402). It is a usage event."""
        return await self._ask("POST", "/v1/spend", TransactionView, body=body, key=idempotency_key, keyed=True)

    async def show_balance(self, account_id: str, resource_type: str) -> AccountView:
        """Look at an account; one that is not there has nothing."""
        return await self._ask(
            "GET", f"/v1/balance/{quote(account_id, safe='')}/{quote(resource_type, safe='')}", AccountView
        )

    async def create_package(self, body: CreatePackage, *, idempotency_key: str | None = None) -> PackageView:
        """Make a package that can be bought."""
        return await self._ask("POST", "/v1/topup-packages", PackageView, body=body, key=idempotency_key, keyed=True)

    async def list_packages(self, query: PackagesQuery = PackagesQuery()) -> PackagePage:
        """List the packages in the order of their keys; all are on one page."""
        return await self._ask("GET", "/v1/topup-packages", PackagePage, query=query)

    async def show_package(self, package_id: str) -> PackageView:
        """Look at a package."""
        return await self._ask("GET", f"/v1/topup-packages/{quote(package_id, safe='')}", PackageView)

    async def update_package(
        self,
        package_id: str,
        body: UpdatePackage = UpdatePackage(),
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> PackageView:
        """Change a package, or sell it no more."""
        return await self._ask(
            "PATCH",
            f"/v1/topup-packages/{quote(package_id, safe='')}",
            PackageView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def make_purchase(self, body: MakePurchase, *, idempotency_key: str | None = None) -> PurchaseView:
        """Take credit from a customer and give it a block for that, or do neither."""
        return await self._ask(
            "POST", "/v1/wallet/purchase", PurchaseView, body=body, key=idempotency_key, keyed=True
        )

    async def set_periods(
        self,
        customer: str,
        body: SetPeriods = SetPeriods(),
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> PeriodTermsView:
        """Say what a customer gets of a unit in each period, and what of it is carried into the next."""
        return await self._ask(
            "PUT",
            f"{self._customer(customer)}/periods/config",
            PeriodTermsView,
            body=body,
            key=idempotency_key,
            keyed=True,
            if_match=if_match,
        )

    async def show_periods(self, customer: str, query: PeriodsQuery = PeriodsQuery()) -> PeriodTermsView:
        """What a customer gets of a unit in each period, and when the last one was opened."""
        return await self._ask("GET", f"{self._customer(customer)}/periods/config", PeriodTermsView, query=query)

    async def open_period(self, customer: str, body: OpenPeriod, *, idempotency_key: str | None = None) -> TurnedView:
        """Give a customer the credit of a period: once for ever for each start."""
        return await self._ask(
            "POST", f"{self._customer(customer)}/periods/open", TurnedView, body=body, key=idempotency_key, keyed=True
        )

    async def close_period(
        self, customer: str, body: ClosePeriod, *, idempotency_key: str | None = None
    ) -> TurnedView:
        """Let expire what of the credit of periods is neither spent, nor held, nor carried: once for ever for each end."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/periods/close",
            TurnedView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def roll_period(self, customer: str, body: RollPeriod, *, idempotency_key: str | None = None) -> TurnedView:
        """Close the period that ends at an instant and open the one that starts then, as one."""
        return await self._ask(
            "POST", f"{self._customer(customer)}/periods/roll", TurnedView, body=body, key=idempotency_key, keyed=True
        )

    async def create_key(
        self, customer: str, body: CreateKey = CreateKey(), *, idempotency_key: str | None = None
    ) -> NewKeyView:
        """Make a proxy key. Its secret is in this answer and never again, not even in a replay."""
        return await self._ask(
            "POST", f"{self._customer(customer)}/keys", NewKeyView, body=body, key=idempotency_key, keyed=True
        )

    async def list_keys(self, customer: str, query: Paging = Paging()) -> KeyPage:
        """List the proxy keys of a customer and what they may do, the oldest first, without their secrets."""
        return await self._ask("GET", f"{self._customer(customer)}/keys", KeyPage, query=query)

    async def change_key(
        self, customer: str, key_id: str, body: ChangeKey = ChangeKey(), *, idempotency_key: str | None = None
    ) -> KeyView:
        """Change a proxy key's name or what it may do: for every request from this moment on."""
        return await self._ask(
            "PATCH",
            f"{self._customer(customer)}/keys/{quote(key_id, safe='')}",
            KeyView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def rotate_key(
        self, customer: str, key_id: str, body: RotateKey = RotateKey(), *, idempotency_key: str | None = None
    ) -> NewKeyView:
        """Give a proxy key another secret, shown this once; the one that it has works for a while beside it."""
        return await self._ask(
            "POST",
            f"{self._customer(customer)}/keys/{quote(key_id, safe='')}/rotate",
            NewKeyView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def revoke_key(self, customer: str, key_id: str, *, idempotency_key: str | None = None) -> KeyView:
        """Revoke a proxy key. It is refused from this moment on; requests under way are finished and charged."""
        return await self._ask(
            "DELETE",
            f"{self._customer(customer)}/keys/{quote(key_id, safe='')}",
            KeyView,
            key=idempotency_key,
            keyed=True,
        )

    async def list_reservations(self, query: HoldsQuery = HoldsQuery()) -> HoldPage:
        """List the open holds, of all customers or of one."""
        return await self._ask("GET", "/v1/reservations", HoldPage, query=query)

    async def show_reservation(self, customer: str, reservation_id: str) -> HoldView:
        """Look at one open hold of a customer, and at the blocks that it is taken out of."""
        return await self._ask(
            "GET", f"{self._customer(customer)}/reservations/{quote(reservation_id, safe='')}", HoldView
        )

    async def reserve(self, body: Reserve = Reserve(), *, idempotency_key: str | None = None) -> StandingView:
        """Set credit aside for some work, before it is done."""
        return await self._ask("POST", "/v1/reserve", StandingView, body=body, key=idempotency_key, keyed=True)

    async def find_reservation(self, reservation_id: str) -> StandingView:
        """Look at a reservation, also at one that has ended."""
        return await self._ask("GET", f"/v1/reserve/{quote(reservation_id, safe='')}", StandingView)

    async def commit_reservation(
        self, reservation_id: str, body: Commit = Commit(), *, idempotency_key: str | None = None
    ) -> CommittedView:
        """Charge what the work has cost, and give the rest back."""
        return await self._ask(
            "POST",
            f"/v1/reserve/{quote(reservation_id, safe='')}/commit",
            CommittedView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def release_reservation(
        self, reservation_id: str, body: Release = Release(), *, idempotency_key: str | None = None
    ) -> StandingView:
        """Give back all that is held."""
        return await self._ask(
            "POST",
            f"/v1/reserve/{quote(reservation_id, safe='')}/release",
            StandingView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def extend_reservation(
        self, reservation_id: str, body: Extend = Extend(), *, idempotency_key: str | None = None
    ) -> StandingView:
        """Let a reservation live longer: at least so long from now on."""
        return await self._ask(
            "POST",
            f"/v1/reserve/{quote(reservation_id, safe='')}/extend",
            StandingView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def increase_reservation(
        self, reservation_id: str, body: Increase = Increase(), *, idempotency_key: str | None = None
    ) -> StandingView:
        """Hold more: enough for what is said, in all. It never holds less than before."""
        return await self._ask(
            "POST",
            f"/v1/reserve/{quote(reservation_id, safe='')}/increase",
            StandingView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def create_metric(self, body: CreateMetric, *, idempotency_key: str | None = None) -> MetricView:
        """Make a billable metric: something that your own programs count. Without a rule it cannot be charged."""
        return await self._ask("POST", "/v1/billable-metrics", MetricView, body=body, key=idempotency_key, keyed=True)

    async def list_metrics(self) -> MetricPage:
        """List the billable metrics, by their keys."""
        return await self._ask("GET", "/v1/billable-metrics", MetricPage)

    async def show_metric(self, metric_key: str) -> MetricView:
        """Look at a billable metric."""
        return await self._ask("GET", f"/v1/billable-metrics/{quote(metric_key, safe='')}", MetricView)

    async def create_metering_rule(self, body: CreateRule, *, idempotency_key: str | None = None) -> RuleOfMetric:
        """Say what a metric costs from now on, or from a later instant on."""
        return await self._ask("POST", "/v1/metering-rules", RuleOfMetric, body=body, key=idempotency_key, keyed=True)

    async def list_metering_rules(self, query: RulesWanted = RulesWanted()) -> RulesOfMetrics:
        """List the metering rules of all metrics or of one, in the order in which they come into force."""
        return await self._ask("GET", "/v1/metering-rules", RulesOfMetrics, query=query)

    async def preview_metering_rule(self, body: Preview) -> PreviewView:
        """Try what units come to, line by line, by a rule that need not be there yet, or by that of a metric."""
        return await self._ask("POST", "/v1/metering-rules/preview", PreviewView, body=body)

    async def record_usage(
        self, body: RecordUsage = RecordUsage(), *, idempotency_key: str | None = None
    ) -> UsageCharge:
        """Charge something that was used. One event id is charged once, for ever."""
        return await self._ask("POST", "/v1/usage", UsageCharge, body=body, key=idempotency_key, keyed=True)

    async def record_usage_batch(self, body: RecordBatch, *, idempotency_key: str | None = None) -> BatchOutcome:
        """Charge many events: each by itself, or with `atomic` all or none of them."""
        return await self._ask("POST", "/v1/usage/batch", BatchOutcome, body=body, key=idempotency_key, keyed=True)

    async def settle_request(self, body: SettleRequest) -> SettledView:
        """Say what a request has cost, or that it failed, with the `x-settle-token` that came with it."""
        return await self._ask("POST", "/v1/settlements", SettledView, body=body)

    async def show_ledger(self, customer: str, query: LedgerQuery = LedgerQuery()) -> EntryPage:
        """List what happened on a customer's accounts, the newest first."""
        return await self._ask("GET", f"{self._customer(customer)}/ledger", EntryPage, query=query)

    def export_customer_ledger(self, customer: str, query: ExportQuery = ExportQuery()) -> AsyncIterator[bytes]:
        """Give the ledger of a customer as NDJSON or CSV, the oldest entry first."""
        return self._stream(f"{self._customer(customer)}/ledger/export", query)

    def export_ledger(self, query: ExportQuery = ExportQuery()) -> AsyncIterator[bytes]:
        """Give the ledger of all customers as NDJSON or CSV, the oldest entry first."""
        return self._stream("/v1/ledger/export", query)

    async def summarise_usage(self, query: UsageQuery) -> UsagePage:
        """Add up what requests were charged, by one or two of feature, rule, customer, model, source, hour and day."""
        return await self._ask("GET", "/v1/usage/summary", UsagePage, query=query)

    async def show_customer_usage(self, customer: str, query: CustomerUsageQuery = CustomerUsageQuery()) -> UsagePage:
        """Add up what a customer was charged, by one or two of feature, rule, model, source, hour and day."""
        return await self._ask("GET", f"{self._customer(customer)}/usage", UsagePage, query=query)

    async def show_top_usage(self, query: TopQuery = TopQuery()) -> TopView:
        """List who or what was charged most of one unit, the most first; without meters."""
        return await self._ask("GET", "/v1/usage/top", TopView, query=query)

    async def show_denials(self, query: DenialsQuery = DenialsQuery()) -> DenialsView:
        """Count what the proxies have refused in whole hours of the last 35 days, by code, rule, customer, hour or day."""
        return await self._ask("GET", "/v1/usage/denied", DenialsView, query=query)

    async def show_stats(self) -> StatsView:
        """Say how many customers, accounts and entries there are, and what is in all accounts together."""
        return await self._ask("GET", "/v1/stats", StatsView)

    async def list_events(self, query: EventsQuery = EventsQuery()) -> EventPage:
        """List what happened, the newest first; or with `after` what happened since, the oldest first."""
        return await self._ask("GET", "/v1/events", EventPage, query=query)

    async def show_event(self, event_id: str) -> EventView:
        """Look at an event."""
        return await self._ask("GET", f"/v1/events/{quote(event_id, safe='')}", EventView)

    async def show_rules(self) -> RulesView:
        """Show the rules that this process has in force, and why newer ones are not."""
        return await self._ask("GET", "/v1/rules", RulesView)

    async def create_control_key(
        self, body: CreateControlKey = CreateControlKey(), *, idempotency_key: str | None = None
    ) -> NewControlKeyView:
        """Make a control key. Its secret is in this answer and never again, not even in a replay."""
        return await self._ask(
            "POST", "/v1/admin/api-keys", NewControlKeyView, body=body, key=idempotency_key, keyed=True
        )

    async def list_control_keys(self, query: Paging = Paging()) -> ControlKeyPage:
        """List the control keys of this environment, the oldest first, those that were revoked too."""
        return await self._ask("GET", "/v1/admin/api-keys", ControlKeyPage, query=query)

    async def rotate_control_key(
        self, key_id: str, body: RotateControlKey = RotateControlKey(), *, idempotency_key: str | None = None
    ) -> NewControlKeyView:
        """Give a control key a new secret, shown this once; the one that it has works for a while beside it."""
        return await self._ask(
            "POST",
            f"/v1/admin/api-keys/{quote(key_id, safe='')}/rotate",
            NewControlKeyView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def revoke_control_key(self, key_id: str, *, idempotency_key: str | None = None) -> ControlKeyView:
        """Revoke a control key, with all of its secrets. Every process refuses it within a second."""
        return await self._ask(
            "POST",
            f"/v1/admin/api-keys/{quote(key_id, safe='')}/revoke",
            ControlKeyView,
            key=idempotency_key,
            keyed=True,
        )

    async def show_audit_log(self, query: AuditQuery = AuditQuery()) -> AuditPage:
        """List what was asked of this API to change, the newest first, whatever came of it."""
        return await self._ask("GET", "/v1/admin/audit", AuditPage, query=query)

    async def create_tenant(self, body: CreateTenant, *, idempotency_key: str | None = None) -> NewTenantView:
        """Make a tenant, with a first control key for each of its environments, whose secrets are shown this once."""
        return await self._ask("POST", "/v1/admin/tenants", NewTenantView, body=body, key=idempotency_key, keyed=True)

    async def list_tenants(self, query: Paging = Paging()) -> TenantPage:
        """List the tenants in the order of their names, the operator's own among them."""
        return await self._ask("GET", "/v1/admin/tenants", TenantPage, query=query)

    async def create_tenant_key(
        self, tenant: str, body: CreateControlKey = CreateControlKey(), *, idempotency_key: str | None = None
    ) -> NewControlKeyView:
        """Make a control key for a tenant: of `live`, unless `environment` says `test`. Its secret is shown this once."""
        return await self._ask(
            "POST",
            f"/v1/admin/tenants/{quote(tenant, safe='')}/api-keys",
            NewControlKeyView,
            body=body,
            key=idempotency_key,
            keyed=True,
        )

    async def show_clock(self) -> ClockView:
        """What time it is in the `test` environment."""
        return await self._ask("GET", "/v1/test/clock", ClockView)

    async def set_clock(self, body: SetClock, *, idempotency_key: str | None = None) -> ClockView:
        """Let it be another time in the `test` environment, later than it is there; it goes on from there."""
        return await self._ask("PUT", "/v1/test/clock", ClockView, body=body, key=idempotency_key, keyed=True)

    async def advance_clock(self, body: AdvanceClock, *, idempotency_key: str | None = None) -> ClockView:
        """Let time pass in the `test` environment, at once."""
        return await self._ask(
            "POST", "/v1/test/clock/advance", ClockView, body=body, key=idempotency_key, keyed=True
        )

    async def show_health(self) -> Health:
        """Say that the process is alive."""
        return await self._ask("GET", "/healthz", Health)

    async def show_readiness(self) -> Health:
        """Say whether the process can serve requests, and if not, why not."""
        return await self._ask("GET", "/readyz", Health)
