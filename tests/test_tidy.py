"""The habits that a machine can check, over every source file: what ruff, mypy and import-linter do not see."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("sidecar", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in SOURCES if path.is_relative_to(ROOT / "sidecar") and path.name != "__init__.py"]
TEXTS = sorted(
    path
    for pattern in (
        "*.md",
        "*.toml",
        "*.txt",
        "Dockerfile",
        "compose.yaml",
        ".ci/run",
        "docs/**/*.md",
        "helm/**/*",
        "rules/**/*",
        "sidecar/**/*.lua",
    )
    for path in ROOT.glob(pattern)
    if path.is_file()
)

FILE_MAX_LINES = 400
FUNCTION_MAX_LINES = 60
POSITIONAL_MAX_FIELDS = 4

MADE = {"sidecar/client/calls.py"}
"""Written by a program, from something short."""
TESTED_ELSEWHERE: dict[str, str] = {
    "sidecar/__main__.py": "Two lines; every test that starts a process goes through it.",
    "sidecar/control/admin_schema.py": "tests/control/test_admin_keys.py reads all of it.",
    "sidecar/control/auditing.py": "tests/control/test_audit_log.py sees what it leaves.",
    "sidecar/control/tenants.py": "tests/wiring/test_environments.py goes through it.",
    "sidecar/wiring/environment.py": "tests/wiring/test_environments.py and test_running.py start it.",
    "sidecar/domain/audit.py": "Records without behaviour.",
    "sidecar/domain/errors.py": "Names without behaviour; test_problems.py wants an answer for each.",
    "sidecar/control/customer_schema.py": "Records; test_customers.py and test_customer_changes.py see them.",
    "sidecar/control/auto_topup_schema.py": "Records; test_auto_topups.py sees them on the wire.",
    "sidecar/control/adjustment_schema.py": "Records; test_adjustments.py sees them on the wire.",
    "sidecar/control/transfer_schema.py": "Records; test_transfers.py sees them on the wire.",
    "sidecar/archive/transfers.py": "tests/services/test_transferring.py asks it when a store is lost.",
    "sidecar/control/purchase_schema.py": "Records; test_purchases.py sees them on the wire.",
    "sidecar/control/block_schema.py": "Records; test_blocks.py sees them on the wire.",
    "sidecar/services/merging.py": "tests/control/test_merges.py tries all of it, and dies on the way.",
    "sidecar/domain/book_purchases.py": "tests/ledger/test_machine.py compares it with the store.",
    "sidecar/domain/book_periods.py": "tests/ledger/test_machine.py compares it with the store.",
    "sidecar/control/period_schema.py": "Records; test_periods.py sees them on the wire.",
    "sidecar/domain/book_transfers.py": "tests/ledger/test_machine.py compares it with the store.",
    "sidecar/control/entitlement_schema.py": "Records; test_entitlements.py sees them on the wire.",
    "sidecar/control/deposit_schema.py": "Records; test_deposits.py sees them on the wire.",
    "sidecar/control/report_schema.py": "Records; test_reports.py sees them on the wire.",
    "sidecar/domain/denials.py": "A record without behaviour.",
    "sidecar/cli/calls.py": "Every test of a client command goes through it; test_client.py tries its failures.",
    "sidecar/client/errors.py": "Records; test_transport.py and test_client.py see them raised.",
    "sidecar/domain/documents.py": "Records without behaviour.",
    "sidecar/domain/events.py": "Records and names without behaviour.",
    "sidecar/domain/watches.py": "Records without behaviour.",
    "sidecar/services/watching.py": "tests/control/test_thresholds.py tries all of it over HTTP.",
    "sidecar/domain/fields.py": "A protocol: types only.",
    "sidecar/domain/history.py": "Records without behaviour.",
    "sidecar/store/counter_text.py": "test_counters.py and test_journal_lines.py read what it writes.",
    "sidecar/store/ledger_replies.py": "test_ledger.py and its like try what the scripts answer.",
    "sidecar/domain/outcomes.py": "Records without behaviour.",
    "sidecar/domain/request_facts.py": "A record without behaviour.",
    "sidecar/domain/scopes.py": "Names without behaviour; test_openapi.py sees that each endpoint asks for one.",
    "sidecar/domain/retries.py": "A record without behaviour.",
    "sidecar/http1/answering.py": "A chapter of an exchange: tests/http1/test_exchange.py, test_stop.py and more.",
    "sidecar/http1/errors.py": "Records without behaviour.",
    "sidecar/http1/pool.py": "tests/http1/test_upstream.py tries connections and their pool together.",
    "sidecar/proxy/settlements.py": "Every test of the proxy that looks at the books goes through it.",
    "sidecar/http1/sending.py": "A chapter of an exchange: tests/http1/test_exchange.py, test_expect.py and more.",
    "sidecar/config/rule.py": "tests/config/test_rules.py and its cases read every key of a rule.",
    "sidecar/services/hold.py": "A record; tests/services/test_holds.py and test_limits.py use all of it.",
    "sidecar/cli/demo_steps.py": "tests/cli/test_demo.py compares every line that it prints.",
    "sidecar/cli/serving.py": "Three calls; tests/cli/test_run.py and test_workers.py start each of them.",
    "sidecar/services/comparison.py": "tests/services/test_verification.py sees every difference that it names.",
    "sidecar/store/account_text.py": "Formats only; whoever reads or writes an account is tested with them.",
    "sidecar/wiring/books.py": "tests/cli/test_verify.py and test_rebuild.py open it in every way.",
    "sidecar/store/lane.py": "A face; its lanes have their tests.",
    "sidecar/store/lanes.py": "Chooses; every test of the store, a cluster or a sentinel goes through it.",
    "sidecar/store/redirects.py": "tests/store/test_cluster.py and test_cluster_troubles.py go every way.",
    "sidecar/wiring/parts.py": "Holds what the others start; tests/wiring/test_running.py looks at it.",
    "sidecar/wiring/control.py": "tests/wiring/test_running.py starts and stops all of it.",
    "sidecar/cli/toy_upstream.py": "Serves the demo and nothing else; tests/cli/test_demo.py sees what it answers.",
}
"""Modules without a test file of their own, and why."""

MARKER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATH = re.compile(r"/(?:work|root|farm)/")
VAGUE_NAMES = {"utils", "util", "helpers", "common", "misc"}
SYNONYMS = {"backend": "upstream or store", "debit": "charge", "downstream": "client", "authorization hold": "hold"}

NAMED_SO = {"sidecar/control/purchase_schema.py": {"debit"}}
"""Fields of the wire whose names are given."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def structs(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Records that others may see: what only decodes foreign data is private to its module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and "msgspec.Struct" in map(ast.unparse, node.bases):
            yield from () if node.name.startswith("_") else (node,)


def says(struct: ast.ClassDef, name: str) -> bool:
    return any(keyword.arg == name and ast.unparse(keyword.value) == "True" for keyword in struct.keywords)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_MAX_LINES or relative(path) in MADE
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in functions(ast.parse(text))
        if node.end_lineno and node.end_lineno - node.lineno >= FUNCTION_MAX_LINES
    ]
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_has_its_test(path: Path) -> None:
    module = path.relative_to(ROOT / "sidecar")
    test = ROOT / "tests" / module.parent / f"test_{module.name}"
    if relative(path) in TESTED_ELSEWHERE:
        assert not test.exists(), "it has a test now: take it out of TESTED_ELSEWHERE"
    else:
        assert test.exists(), f"write {relative(test)}, or say in TESTED_ELSEWHERE why not"


def test_exceptions_name_modules_that_exist() -> None:
    assert [name for name in TESTED_ELSEWHERE if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_records_are_frozen_and_their_fields_named(path: Path) -> None:
    for struct in structs(ast.parse(path.read_text())):
        fields = [node for node in struct.body if isinstance(node, ast.AnnAssign)]
        required = [
            field for field in fields if field.value is None and not ast.unparse(field.target).startswith("_")
        ]
        assert says(struct, "frozen"), f"{struct.name} is not frozen"
        assert says(struct, "kw_only") or len(required) <= POSITIONAL_MAX_FIELDS, f"{struct.name} needs kw_only"


@pytest.mark.parametrize("path", [*MODULES, *TEXTS], ids=relative)
def test_no_marker_and_no_machine_path_is_left(path: Path) -> None:
    text = path.read_text()
    assert MARKER.findall(text) == []
    assert MACHINE_PATH.findall(text) == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_one_word_for_each_thing(path: Path) -> None:
    assert path.stem not in VAGUE_NAMES
    text = path.read_text().lower()
    found = {word: right for word, right in SYNONYMS.items() if re.search(rf"\b{word}s?\b", text)}
    assert found.keys() <= NAMED_SO.get(relative(path), set()), found
