"""`python -m tests.helm`: makes the chart's README and schema from values.yaml, golden files from the cases."""

from tests.helm import reference, rendering

(reference.CHART / "values.schema.json").write_text(reference.schema())
(reference.CHART / "README.md").write_text(reference.readme())
GOLDEN = rendering.FOLDER / "golden"
GOLDEN.mkdir(exist_ok=True)
for path in GOLDEN.glob("*.yaml"):
    path.unlink()
for case in rendering.CASES:
    (GOLDEN / f"{case}.yaml").write_text(rendering.golden(case))
