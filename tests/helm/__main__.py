"""`python -m tests.helm`: makes README, schema and store users of the chart, and golden files from the cases."""

from sidecar.store.acl import User
from tests.helm import reference, rendering, store_users

(reference.CHART / "values.schema.json").write_text(reference.schema())
(reference.CHART / "README.md").write_text(reference.readme())
for user in User:
    store_users.file(user).write_text(store_users.rules(user))
GOLDEN = rendering.FOLDER / "golden"
GOLDEN.mkdir(exist_ok=True)
for path in GOLDEN.glob("*.yaml"):
    path.unlink()
for case in rendering.CASES:
    (GOLDEN / f"{case}.yaml").write_text(rendering.golden(case))
